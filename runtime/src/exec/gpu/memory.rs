//! What a session has on the device: one buffer for the arena, one for each tensor outside of it.
//!
//! Invariant: weights and constants are copied there once. Inputs and states are copied there before a call, outputs and
//! states back after it, so between calls the session's own memory says what is true. Buffers are a little longer than
//! what they hold, so that whole words can be copied.

use rustc_hash::FxHashMap;

use super::steps::Steps;
use crate::device::wgpu::{Code, Gpu};
use crate::error::{ErrorKind, RunError};
use crate::exec::plan::{Place, Plan};
use crate::program::{Program, ValueId};

/// Buffers are longer than needed by at least this, and multiples of it.
const ROOM: u64 = 256;

#[derive(Default)]
pub struct Memory {
    buffers: FxHashMap<Key, Held>,
}

/// Inputs and outputs are those of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Arena,
    Input(usize, u32),
    Output(usize, u32),
    Param(u32),
    Prepared(u32),
    State(u32),
    Constant(u32),
}

struct Held {
    buffer: wgpu::Buffer,
    /// The host memory that was copied here for good.
    from: Option<usize>,
}

/// Where a value lies on the device.
#[derive(Clone, Debug)]
pub(super) struct Location {
    pub buffer: wgpu::Buffer,
    pub offset: u64,
    pub bytes: u64,
}

fn key(entry: usize, place: Place) -> Key {
    match place {
        Place::Arena(_) => Key::Arena,
        Place::Input(of) => Key::Input(entry, of),
        Place::Output(of) => Key::Output(entry, of),
        Place::Param(of) => Key::Param(of),
        Place::Prepared(of) => Key::Prepared(of),
        Place::State(of) => Key::State(of),
        Place::Constant(of) => Key::Constant(of),
    }
}

/// Whole words.
pub(super) fn words(bytes: u64) -> u64 {
    bytes.next_multiple_of(4)
}

impl Memory {
    /// Runs the steps of a plan; gives the step that failed with the error.
    ///
    /// # Safety
    /// Each of `pointers` must be valid for its value's bytes, and writable where the program writes.
    pub unsafe fn run(
        &mut self,
        code: &Code,
        program: &Program,
        (entry, plan): (usize, &Plan),
        pointers: &[*mut u8],
    ) -> (Result<(), RunError>, Option<usize>) {
        let gpu = &code.gpu;
        // SAFETY: as promised to this function.
        let locations = match unsafe { self.bring(gpu, entry, plan, pointers) } {
            Ok(locations) => locations,
            Err(error) => return (Err(error), None),
        };
        let mut steps = Steps::new(code, program, plan, &locations);
        let done = steps.run();
        let failed_at = steps.failed_at;
        if done.is_err() {
            return (done, failed_at);
        }
        // SAFETY: as promised to this function.
        (unsafe { fetch(gpu, plan, &locations, pointers) }, None)
    }

    /// Buffers for all values, with the contents that a call starts from.
    unsafe fn bring(
        &mut self,
        gpu: &Gpu,
        entry: usize,
        plan: &Plan,
        pointers: &[*mut u8],
    ) -> Result<Vec<Location>, RunError> {
        let mut locations = Vec::with_capacity(plan.places.len());
        let mut brought = Vec::new();
        for (value, (&place, &bytes)) in plan.places.iter().zip(&plan.bytes).enumerate() {
            let key = key(entry, place);
            let (offset, whole) = match place {
                Place::Arena(offset) => (offset as u64, plan.arena_len as u64),
                _ => (0, bytes as u64),
            };
            let fresh = self.make(gpu, key, whole)?;
            let held =
                self.buffers.get_mut(&key).ok_or_else(|| RunError::new(ErrorKind::Memory, "a buffer is lost"))?;
            let host = pointers[value] as usize;
            let (comes, stays) = match place {
                Place::Input(_) | Place::State(_) => (!brought.contains(&key), false),
                Place::Param(_) | Place::Prepared(_) | Place::Constant(_) => (fresh || held.from != Some(host), true),
                Place::Arena(_) | Place::Output(_) => (false, false),
            };
            if comes && bytes > 0 {
                // SAFETY: the value has so many bytes, which nobody writes now.
                let contents = unsafe { std::slice::from_raw_parts(pointers[value], bytes) };
                write(gpu, &held.buffer, contents);
                held.from = stays.then_some(host);
                brought.push(key);
            }
            locations.push(Location { buffer: held.buffer.clone(), offset, bytes: bytes as u64 });
        }
        gpu.check("copying to the GPU")?;
        Ok(locations)
    }

    /// Sees to it that a buffer is there and long enough; says whether it is new.
    fn make(&mut self, gpu: &Gpu, key: Key, bytes: u64) -> Result<bool, RunError> {
        let size = bytes.next_multiple_of(ROOM) + ROOM;
        if self.buffers.get(&key).is_some_and(|held| held.buffer.size() >= size) {
            return Ok(false);
        }
        if size > gpu.limits.max_buffer_size {
            let (needed, most) = (crate::error::ByteCount(size), crate::error::ByteCount(gpu.limits.max_buffer_size));
            let message = format!("{needed} are needed in one buffer; the GPU allows {most}");
            return Err(RunError::new(ErrorKind::Memory, message));
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        self.buffers.insert(key, Held { buffer: gpu.device.create_buffer(&descriptor), from: None });
        Ok(true)
    }
}

/// Copies bytes to the start of a buffer, the last word filled up with zeros.
fn write(gpu: &Gpu, buffer: &wgpu::Buffer, contents: &[u8]) {
    let (whole, rest) = contents.split_at(contents.len() / 4 * 4);
    gpu.queue.write_buffer(buffer, 0, whole);
    if !rest.is_empty() {
        let mut word = [0; 4];
        word[..rest.len()].copy_from_slice(rest);
        gpu.queue.write_buffer(buffer, whole.len() as u64, &word);
    }
}

/// Copies what a call may have written back: outputs and states.
unsafe fn fetch(gpu: &Gpu, plan: &Plan, locations: &[Location], pointers: &[*mut u8]) -> Result<(), RunError> {
    let mut fetched: Vec<Place> = Vec::new();
    let mut wanted = Vec::new();
    for (value, &place) in plan.places.iter().enumerate() {
        let comes_back = matches!(place, Place::Output(_) | Place::State(_)) && plan.bytes[value] > 0;
        if comes_back && !fetched.contains(&place) {
            fetched.push(place);
            wanted.push(ValueId(value as u32));
        }
    }
    let sources: Vec<&Location> = wanted.iter().map(|id| &locations[id.0 as usize]).collect();
    let contents = read(gpu, &sources)?;
    for (id, bytes) in wanted.iter().zip(contents) {
        // SAFETY: the value is writable, has as many bytes, and nobody else uses it now.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), pointers[id.0 as usize], bytes.len()) };
    }
    Ok(())
}

/// The bytes of values, once all that was submitted is done.
pub(super) fn read(gpu: &Gpu, sources: &[&Location]) -> Result<Vec<Vec<u8>>, RunError> {
    let total: u64 = sources.iter().map(|source| words(source.bytes)).sum();
    if total == 0 {
        gpu.finish()?;
        return Ok(sources.iter().map(|_| Vec::new()).collect());
    }
    let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
    let descriptor = wgpu::BufferDescriptor { label: None, size: total, usage, mapped_at_creation: false };
    let staging = gpu.device.create_buffer(&descriptor);
    let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let mut at = 0;
    for source in sources.iter().filter(|source| source.bytes > 0) {
        encoder.copy_buffer_to_buffer(&source.buffer, source.offset, &staging, at, words(source.bytes));
        at += words(source.bytes);
    }
    gpu.queue.submit([encoder.finish()]);
    staging.map_async(wgpu::MapMode::Read, .., |_| {});
    gpu.finish()?;
    gpu.check("copying from the GPU")?;
    let mapped = staging.get_mapped_range(..);
    let mapped = mapped.map_err(|error| RunError::new(ErrorKind::Code, format!("copying from the GPU: {error}")))?;
    let mut at = 0;
    let each = sources.iter().map(|source| {
        let start = at as usize;
        at += words(source.bytes);
        mapped[start..start + source.bytes as usize].to_vec()
    });
    Ok(each.collect())
}
