//! Walks a plan's steps on the device: kernels and copies are recorded, and submitted when the host has to know something.
//!
//! Invariant: steps take effect in their order. The numbers of each call are written once, before the first step that
//! is submitted with them. What a loop or a branch depends on is read back from the device; counters are known.

use rustc_hash::FxHashMap;

use super::memory::{Location, read, words};
use crate::device::wgpu::{Code, Gpu, Loaded};
use crate::error::{ErrorKind, RunError};
use crate::exec::plan::{Action, CopySlice, Launch, Limit, Plan, PlanStep};
use crate::program::{Program, SliceMove, ValueId};

/// Recorded launches after which the device is given something to do.
const BATCH: usize = 256;
/// Blocks along one axis of a dispatch.
const MAX_BLOCKS: u64 = 65_535;

pub(super) struct Steps<'a> {
    gpu: &'a Gpu,
    code: &'a Code,
    program: &'a Program,
    plan: &'a Plan,
    locations: &'a [Location],
    encoder: wgpu::CommandEncoder,
    n_recorded: usize,
    /// Set by a kernel that met a number of more than 32 bits.
    flag: Location,
    /// The launches that were made ready, by the number of their step.
    ready: FxHashMap<usize, Ready>,
    /// The innermost step that failed.
    pub failed_at: Option<usize>,
}

struct Ready {
    group: wgpu::BindGroup,
    n_blocks: u32,
}

impl<'a> Steps<'a> {
    pub fn new(code: &'a Code, program: &'a Program, plan: &'a Plan, locations: &'a [Location]) -> Steps<'a> {
        let gpu = &*code.gpu;
        let encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let buffer = buffer(gpu, 4, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC);
        let flag = Location { buffer, offset: 0, bytes: 4 };
        let ready = FxHashMap::default();
        Steps { gpu, code, program, plan, locations, encoder, n_recorded: 0, flag, ready, failed_at: None }
    }

    pub fn run(&mut self) -> Result<(), RunError> {
        let plan = self.plan;
        self.block(&plan.steps)?;
        self.submit();
        let flag = read(self.gpu, &[&self.flag])?;
        self.gpu.check("running on the GPU")?;
        if flag[0].iter().any(|&byte| byte != 0) {
            let message = "an integer does not fit 32 bits, and this device has no wider ones";
            return Err(RunError::new(ErrorKind::Range, message));
        }
        Ok(())
    }

    fn block(&mut self, steps: &[PlanStep]) -> Result<(), RunError> {
        for step in steps {
            self.step(step).inspect_err(|_| {
                self.failed_at.get_or_insert(step.number);
            })?;
        }
        Ok(())
    }

    fn step(&mut self, step: &PlanStep) -> Result<(), RunError> {
        match &step.action {
            Action::Launch(launch) => self.launch(step.number, launch),
            Action::Copy { from, to, bytes } => {
                let (from, to) = (self.location(*from).clone(), self.location(*to).clone());
                self.copy(&from, &to, *bytes as u64)
            }
            Action::CopySlice(slice) => self.copy_slice(slice),
            Action::Repeat { counter, from, to, body } => {
                let (from, to) = (self.limit(*from)?, self.limit(*to)?);
                for round in from..to {
                    self.write(*counter, &round.to_ne_bytes());
                    self.block(body)?;
                }
                Ok(())
            }
            Action::While { at_most, cond, test, body } => {
                let mut left = at_most.map_or(Ok(i64::MAX), |limit| self.limit(limit))?;
                while left > 0 {
                    self.block(test)?;
                    if self.fetch(*cond)?[0] == 0 {
                        break;
                    }
                    self.block(body)?;
                    left -= 1;
                }
                Ok(())
            }
            Action::Cond { cond, then, otherwise } => {
                let taken = if self.fetch(*cond)?[0] != 0 { then } else { otherwise };
                self.block(taken)
            }
        }
    }

    fn location(&self, id: ValueId) -> &Location {
        &self.locations[id.0 as usize]
    }

    fn submit(&mut self) {
        let next = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let recorded = std::mem::replace(&mut self.encoder, next);
        self.gpu.queue.submit([recorded.finish()]);
        self.n_recorded = 0;
    }

    /// The bytes of a value after all steps so far.
    fn fetch(&mut self, id: ValueId) -> Result<Vec<u8>, RunError> {
        self.submit();
        let mut bytes = read(self.gpu, &[self.location(id)])?;
        Ok(bytes.pop().unwrap_or_default())
    }

    fn fetch_i64(&mut self, id: ValueId) -> Result<i64, RunError> {
        let bytes = self.fetch(id)?;
        let bytes = bytes.try_into().map_err(|_| RunError::new(ErrorKind::Program, "a scalar has another size"))?;
        Ok(i64::from_ne_bytes(bytes))
    }

    fn limit(&mut self, limit: Limit) -> Result<i64, RunError> {
        match limit {
            Limit::Known(value) => Ok(value),
            Limit::Value(id) => self.fetch_i64(id),
        }
    }

    /// Whole words into a value, after all steps so far.
    fn write(&mut self, id: ValueId, contents: &[u8]) {
        self.submit();
        let Location { buffer, offset, .. } = self.location(id).clone();
        self.gpu.queue.write_buffer(&buffer, offset, contents);
    }

    /// Between any two places; a buffer is not copied to itself, so the way may go through another.
    fn copy(&mut self, from: &Location, to: &Location, bytes: u64) -> Result<(), RunError> {
        if bytes == 0 || (&from.buffer, from.offset) == (&to.buffer, to.offset) {
            return Ok(());
        }
        let bytes = words(bytes);
        if from.buffer != to.buffer {
            self.encoder.copy_buffer_to_buffer(&from.buffer, from.offset, &to.buffer, to.offset, bytes);
            return Ok(());
        }
        let between = buffer(self.gpu, bytes, wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST);
        self.encoder.copy_buffer_to_buffer(&from.buffer, from.offset, &between, 0, bytes);
        self.encoder.copy_buffer_to_buffer(&between, 0, &to.buffer, to.offset, bytes);
        Ok(())
    }

    fn copy_slice(&mut self, slice: &CopySlice) -> Result<(), RunError> {
        let at = self.fetch_i64(slice.at)?;
        let Some(row) = usize::try_from(at).ok().filter(|&row| row < slice.n_rows) else {
            let message = format!("row {at} of a tensor with {} rows", slice.n_rows);
            return Err(RunError::new(ErrorKind::Range, message));
        };
        let (start, bytes) = ((row * slice.row_bytes) as u64, slice.row_bytes as u64);
        let (rows, outside) = (self.location(slice.rows).clone(), self.location(slice.row).clone());
        if start % 4 != 0 || bytes % 4 != 0 {
            return self.patch(slice, row);
        }
        let inside = Location { offset: rows.offset + start, bytes, ..rows };
        match slice.direction {
            SliceMove::Write => self.copy(&outside, &inside, bytes),
            SliceMove::Read => self.copy(&inside, &outside, bytes),
        }
    }

    /// A row that does not consist of whole words goes through the host.
    fn patch(&mut self, slice: &CopySlice, row: usize) -> Result<(), RunError> {
        let (mut rows, mut outside) = (self.fetch(slice.rows)?, self.fetch(slice.row)?);
        let range = row * slice.row_bytes..(row + 1) * slice.row_bytes;
        let (id, mut changed) = match slice.direction {
            SliceMove::Write => {
                rows[range].copy_from_slice(&outside);
                (slice.rows, rows)
            }
            SliceMove::Read => {
                outside.copy_from_slice(&rows[range]);
                (slice.row, outside)
            }
        };
        changed.resize(words(changed.len() as u64) as usize, 0);
        self.write(id, &changed);
        Ok(())
    }

    fn launch(&mut self, number: usize, launch: &Launch) -> Result<(), RunError> {
        if launch.grid == 0 {
            return Ok(());
        }
        if !self.ready.contains_key(&number) {
            let ready = self.make_ready(launch)?;
            self.ready.insert(number, ready);
        }
        let Ready { group, n_blocks } = &self.ready[&number];
        let mut pass = self.encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&self.code.kernel(launch.kernel).pipeline);
        pass.set_bind_group(0, group, &[]);
        pass.dispatch_workgroups(*n_blocks, 1, 1);
        drop(pass);
        self.n_recorded += 1;
        if self.n_recorded >= BATCH {
            self.submit();
        }
        Ok(())
    }

    /// Binds a launch's buffers and writes its numbers.
    fn make_ready(&self, launch: &Launch) -> Result<Ready, RunError> {
        let kernel = self.code.kernel(launch.kernel);
        let is_sequential = self.program.kernels[launch.kernel.0 as usize].sequential;
        let per_block = if is_sequential { launch.grid as u64 } else { (launch.grid as u64).div_ceil(MAX_BLOCKS) };
        let n_blocks = (launch.grid as u64).div_ceil(per_block) as u32;
        let align = u64::from(self.gpu.limits.min_storage_buffer_offset_alignment);
        let args = &self.plan.args[launch.args.clone()];
        let bound: Vec<(&Location, u64)> = args
            .iter()
            .map(|&id| {
                let location = self.location(id);
                (location, location.offset / align * align)
            })
            .collect();
        let starts = bound.iter().map(|(location, start)| ((location.offset - start) / 4) as i64);
        let numbers = [launch.grid as i64, per_block as i64].into_iter().chain(starts);
        let numbers = numbers.chain(self.plan.launch_sizes[launch.sizes.clone()].iter().copied());
        let mut words = numbers.map(narrowed).collect::<Result<Vec<i32>, RunError>>()?;
        words.resize(words.len().next_multiple_of(4), 0);
        for (location, _) in &bound {
            narrowed(location.bytes as i64)?;
        }
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let call = buffer(self.gpu, bytes.len() as u64, usage);
        self.gpu.queue.write_buffer(&call, 0, &bytes);
        Ok(Ready { group: self.bind(kernel, &bound, &call)?, n_blocks })
    }

    fn bind(
        &self,
        kernel: &Loaded,
        bound: &[(&Location, u64)],
        call: &wgpu::Buffer,
    ) -> Result<wgpu::BindGroup, RunError> {
        let most = self.gpu.limits.max_storage_buffer_binding_size;
        let mut entries = Vec::with_capacity(bound.len() + 2);
        for (location, start) in bound {
            // Elements of narrow types are found in whole words, of which one more may be looked at.
            let size = words(location.offset - start + location.bytes) + 4;
            if size > most {
                let (needed, most) = (crate::error::ByteCount(size), crate::error::ByteCount(most));
                let message = format!("a tensor of {needed} is more than a kernel can see here, which is {most}");
                return Err(RunError::new(ErrorKind::Memory, message));
            }
            let size = wgpu::BufferSize::new(size);
            let resource = wgpu::BufferBinding { buffer: &location.buffer, offset: *start, size };
            entries.push(wgpu::BindingResource::Buffer(resource));
        }
        if kernel.has_flag {
            entries.push(self.flag.buffer.as_entire_binding());
        }
        entries.push(call.as_entire_binding());
        let numbered = entries.into_iter().enumerate();
        let entries: Vec<wgpu::BindGroupEntry> =
            numbered.map(|(at, resource)| wgpu::BindGroupEntry { binding: at as u32, resource }).collect();
        let descriptor = wgpu::BindGroupDescriptor { label: None, layout: &kernel.layout, entries: &entries };
        Ok(self.gpu.device.create_bind_group(&descriptor))
    }
}

fn buffer(gpu: &Gpu, size: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
    gpu.device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
}

fn narrowed(number: i64) -> Result<i32, RunError> {
    i32::try_from(number).map_err(|_| {
        RunError::new(ErrorKind::Range, format!("a size of {number} does not fit 32 bits, and this device has no more"))
    })
}
