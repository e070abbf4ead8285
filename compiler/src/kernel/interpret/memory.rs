//! Memory with a shadow: for each element, whether it was written, and by and for which items it was used.
//!
//! Invariant: no element is given out before it was initialised, and in kernels that are not sequential no item reads or
//! writes what another item wrote, nor writes what another read. Between two barriers no thread of a block reads or writes
//! what another wrote, nor writes what another read.

use super::number::Number;
use super::{Symbol, eval};
use crate::graph::DType;
use crate::kernel::types::*;

/// The bytes a run may hold.
const MAX_ELEMENTS: i64 = 1 << 28;

const NOBODY: u64 = 0;
const SEVERAL: u64 = u64::MAX;

/// Who last used an element: a thread, and after how many barriers of the run.
#[derive(Clone, Copy, Default)]
struct Use {
    thread: u32,
    /// Counted from 1, so that 0 is before the run.
    era: u32,
    /// Others did so too in this era.
    several: bool,
}

impl Use {
    /// Another thread did so since the last barrier.
    fn by_another(self, thread: u32, era: u32) -> bool {
        self.era == era && (self.several || self.thread != thread)
    }

    fn note(&mut self, thread: u32, era: u32) {
        let several = self.by_another(thread, era);
        *self = Use { thread, era, several };
    }
}

struct Shadowed {
    dtype: DType,
    extents: Vec<i64>,
    elements: Vec<Number>,
    initialised: Vec<bool>,
    writer: Vec<u64>,
    reader: Vec<u64>,
    /// By element, the last write and the last reads; empty where no two threads see the memory.
    uses: Vec<[Use; 2]>,
}

/// All that the threads of a run share.
pub struct Memories {
    buffers: Vec<Shadowed>,
    /// Those of each thread, where a block has several.
    locals: Vec<Vec<Shadowed>>,
    /// The item that runs, counted from 1.
    item: u64,
    sequential: bool,
    /// Of the block that runs.
    thread: u32,
    era: u32,
}

impl Memories {
    pub(super) fn new(kernel: &Kernel, symbols: &[(Symbol, i64)], bytes: &[Vec<u8>]) -> Result<Memories, String> {
        if bytes.len() != kernel.buffers.len() {
            return Err(format!("it takes {} buffers, not {}", kernel.buffers.len(), bytes.len()));
        }
        let mut buffers = Vec::new();
        for (buffer, bytes) in kernel.buffers.iter().zip(bytes) {
            let extents: Option<Vec<i64>> = buffer.shape.iter().map(|dim| eval(dim, symbols)).collect();
            let extents = extents.ok_or_else(|| format!("the shape of `{}` has no value", buffer.name))?;
            let mut memory = Shadowed::new(buffer.dtype, extents, kernel.threads > 1)?;
            let width = buffer.dtype.size_of();
            if bytes.len() != memory.elements.len() * width {
                let wanted = memory.elements.len() * width;
                return Err(format!("`{}` takes {wanted} bytes, not {}", buffer.name, bytes.len()));
            }
            for (element, bytes) in memory.elements.iter_mut().zip(bytes.chunks_exact(width)) {
                *element = Number::from_bytes(bytes, buffer.dtype);
            }
            memory.initialised.fill(buffer.rights != Rights::Write);
            buffers.push(memory);
        }
        let local = |local: &Local| {
            let is_shared = local.scope == Scope::Shared;
            let copies = if is_shared { 1 } else { kernel.threads };
            let extents: Vec<i64> = local.shape.iter().map(|&extent| extent as i64).collect();
            (0..copies).map(|_| Shadowed::new(local.dtype, extents.clone(), is_shared)).collect()
        };
        let locals = kernel.locals.iter().map(local).collect::<Result<Vec<Vec<Shadowed>>, String>>()?;
        Ok(Memories { buffers, locals, item: 1, sequential: kernel.sequential, thread: 0, era: 1 })
    }

    /// What follows is done by this thread of the block.
    pub(super) fn enter_thread(&mut self, thread: u32) {
        self.thread = thread;
    }

    /// All threads of the block have done what they had to do before what follows.
    pub(super) fn pass_barrier(&mut self) {
        self.era = self.era.saturating_add(1);
    }

    pub(super) fn start_item(&mut self, item: i64) {
        self.item = item as u64 + 1;
        self.pass_barrier();
        self.locals.iter_mut().flatten().for_each(|local| local.initialised.fill(false));
    }

    pub(super) fn write_back(&self, bytes: &mut [Vec<u8>]) {
        for (memory, bytes) in self.buffers.iter().zip(bytes) {
            let width = memory.dtype.size_of();
            for (idx, target) in bytes.chunks_exact_mut(width).enumerate() {
                if memory.writer[idx] != NOBODY {
                    target.copy_from_slice(&memory.elements[idx].to_bytes(memory.dtype)[..width]);
                }
            }
        }
    }

    fn shadowed(&mut self, memory: Memory) -> &mut Shadowed {
        match memory {
            Memory::Buffer(at) => &mut self.buffers[at as usize],
            Memory::Local(at) => {
                let own = &mut self.locals[at as usize];
                let number = if own.len() > 1 { self.thread as usize } else { 0 };
                &mut own[number]
            }
        }
    }

    pub(super) fn extents(&mut self, memory: Memory) -> Vec<i64> {
        self.shadowed(memory).extents.clone()
    }

    /// The flat offset of an element, which must be inside.
    pub(super) fn flatten(&mut self, memory: Memory, index: &[i64]) -> Result<i64, String> {
        let mut flat = 0;
        for (axis, (&at, &extent)) in index.iter().zip(&self.shadowed(memory).extents).enumerate() {
            if !(0..extent).contains(&at) {
                return Err(format!("index {at} of axis {axis} is outside 0..{extent}"));
            }
            flat = flat * extent + at;
        }
        Ok(flat)
    }

    pub(super) fn read(&mut self, memory: Memory, flat: i64) -> Result<Number, String> {
        let (item, sequential) = (self.item, self.sequential || matches!(memory, Memory::Local(_)));
        let (thread, era) = (self.thread, self.era);
        let memory = self.shadowed(memory);
        let at = memory.inside(flat)?;
        if let Some([write, read]) = memory.uses.get_mut(at) {
            if write.by_another(thread, era) {
                return Err(format!("element {flat} is read and written by two threads, and no barrier is between"));
            }
            read.note(thread, era);
        }
        if !memory.initialised[at] {
            return Err(format!("element {flat} is read before it is written"));
        }
        if !sequential && memory.writer[at] != NOBODY && memory.writer[at] != item {
            return Err(format!("element {flat} is read by one item and written by another"));
        }
        memory.reader[at] = if memory.reader[at] == NOBODY || memory.reader[at] == item { item } else { SEVERAL };
        Ok(memory.elements[at])
    }

    /// What a load of this type finds from an element on: that element, or a word of it and its neighbours.
    pub(super) fn read_as(&mut self, memory: Memory, flat: i64, dtype: DType) -> Result<Number, String> {
        let stored = self.shadowed(memory).dtype;
        if stored == dtype {
            return self.read(memory, flat);
        }
        let mut bytes = Vec::with_capacity(dtype.size_of());
        while bytes.len() < dtype.size_of() {
            let number = self.read(memory, flat + (bytes.len() / stored.size_of()) as i64)?;
            bytes.extend(&number.to_bytes(stored)[..stored.size_of()]);
        }
        Ok(Number::from_bytes(&bytes, dtype))
    }

    pub(super) fn write(&mut self, memory: Memory, flat: i64, value: Number) -> Result<(), String> {
        let (item, sequential) = (self.item, self.sequential || matches!(memory, Memory::Local(_)));
        let (thread, era) = (self.thread, self.era);
        let memory = self.shadowed(memory);
        let at = memory.inside(flat)?;
        if let Some([write, read]) = memory.uses.get_mut(at) {
            if write.by_another(thread, era) || read.by_another(thread, era) {
                let what = if write.by_another(thread, era) { "written" } else { "read and written" };
                return Err(format!("element {flat} is {what} by two threads, and no barrier is between"));
            }
            write.note(thread, era);
        }
        let others = |user: u64| user != NOBODY && user != item;
        if !sequential && (others(memory.writer[at]) || others(memory.reader[at])) {
            return Err(format!("element {flat} is written by one item and used by another"));
        }
        memory.writer[at] = item;
        memory.initialised[at] = true;
        memory.elements[at] = value;
        Ok(())
    }
}

impl Shadowed {
    fn new(dtype: DType, extents: Vec<i64>, is_shared: bool) -> Result<Shadowed, String> {
        let count = extents.iter().try_fold(1i64, |product, &extent| product.checked_mul(extent));
        let count = count.filter(|count| (0..=MAX_ELEMENTS).contains(count)).ok_or("a memory is too large")? as usize;
        Ok(Shadowed {
            dtype,
            extents,
            elements: vec![Number::default(); count],
            initialised: vec![false; count],
            writer: vec![NOBODY; count],
            reader: vec![NOBODY; count],
            uses: vec![Default::default(); if is_shared { count } else { 0 }],
        })
    }

    fn inside(&self, flat: i64) -> Result<usize, String> {
        let count = self.elements.len();
        match usize::try_from(flat) {
            Ok(at) if at < count => Ok(at),
            _ => Err(format!("element {flat} is outside 0..{count}")),
        }
    }
}
