//! A session's queue: launches and copies are recorded, and submitted when the host has to know something.
//!
//! Invariant: whatever the host writes is written after what was recorded before. The numbers of a launch are written once,
//! before it is first submitted. Buffers are a little longer than what they hold, so that whole words can be copied.

use std::sync::Arc;

use super::{Code, Gpu};
use crate::device::gpu::{BufferId, Call, CallId, Queue, Span};
use crate::error::{ByteCount, ErrorKind, RunError};
use crate::program::KernelId;

/// Buffers are longer than needed by at least this, and multiples of it.
const ROOM: u64 = 256;
/// Recorded launches after which the device is given something to do.
const BATCH: usize = 256;
/// Blocks along one axis of a dispatch.
const MAX_BLOCKS: u64 = 65_535;

pub struct Recorder {
    code: Arc<Code>,
    encoder: wgpu::CommandEncoder,
    n_recorded: usize,
    /// By number; those that were freed are gone.
    buffers: Vec<Option<wgpu::Buffer>>,
    calls: Vec<Ready>,
    /// Set by a kernel that met a number of more than 32 bits.
    flag: wgpu::Buffer,
}

struct Ready {
    kernel: KernelId,
    group: wgpu::BindGroup,
    n_blocks: u32,
}

/// Whole words.
fn words(bytes: u64) -> u64 {
    bytes.next_multiple_of(4)
}

impl Recorder {
    pub fn new(code: Arc<Code>) -> Recorder {
        let encoder = code.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let flag = code.gpu.buffer(4, usage);
        Recorder { code, encoder, n_recorded: 0, buffers: Vec::new(), calls: Vec::new(), flag }
    }

    fn gpu(&self) -> &Gpu {
        &self.code.gpu
    }

    fn buffer(&self, id: BufferId) -> Result<&wgpu::Buffer, RunError> {
        let held = self.buffers.get(id.0).and_then(Option::as_ref);
        held.ok_or_else(|| RunError::new(ErrorKind::Program, "a buffer is used after it was freed"))
    }

    fn submit(&mut self) {
        if self.n_recorded == 0 {
            return;
        }
        let next = self.gpu().device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let recorded = std::mem::replace(&mut self.encoder, next);
        self.gpu().queue.submit([recorded.finish()]);
        self.n_recorded = 0;
    }

    fn record_copy(&mut self, from: (&wgpu::Buffer, u64), to: (&wgpu::Buffer, u64), bytes: u64) {
        self.encoder.copy_buffer_to_buffer(from.0, from.1, to.0, to.1, bytes);
        self.n_recorded += 1;
    }

    /// A copy of less than whole words goes through the host.
    fn patch(&mut self, from: Span, to: Span) -> Result<(), RunError> {
        let whole = |span: Span| {
            let offset = span.offset / 4 * 4;
            Span { offset, bytes: words(span.offset + span.bytes) - offset, ..span }
        };
        let (source, target) = (whole(from), whole(to));
        let [contents, mut changed] = <[Vec<u8>; 2]>::try_from(self.read(&[source, target])?)
            .map_err(|_| RunError::new(ErrorKind::Code, "copying from the GPU: two spans were asked for"))?;
        let (at, start) = ((from.offset - source.offset) as usize, (to.offset - target.offset) as usize);
        let bytes = to.bytes as usize;
        changed[start..start + bytes].copy_from_slice(&contents[at..at + bytes]);
        self.write(target, &changed)
    }

    /// The numbers of a call, and where in their bindings its arguments start.
    fn numbers(&self, call: &Call, per_block: u64) -> Result<Vec<u8>, RunError> {
        let starts = call.args.iter().map(|span| ((span.offset - self.bound_from(span)) / 4) as i64);
        let numbers = [call.items as i64, per_block as i64].into_iter().chain(starts);
        let numbers = numbers.chain(call.sizes.iter().copied());
        let mut words = numbers.map(narrowed).collect::<Result<Vec<i32>, RunError>>()?;
        words.resize(words.len().next_multiple_of(4), 0);
        for span in call.args {
            narrowed(span.bytes as i64)?;
        }
        Ok(words.iter().flat_map(|word| word.to_ne_bytes()).collect())
    }

    fn bound_from(&self, span: &Span) -> u64 {
        let align = u64::from(self.gpu().limits.min_storage_buffer_offset_alignment);
        span.offset / align * align
    }

    fn bind(&self, call: &Call, numbers: &wgpu::Buffer) -> Result<wgpu::BindGroup, RunError> {
        let kernel = self.code.kernel(call.kernel);
        let most = self.gpu().limits.max_storage_buffer_binding_size;
        let mut entries = Vec::with_capacity(call.args.len() + 2);
        for span in call.args {
            let start = self.bound_from(span);
            // Elements of narrow types are found in whole words, of which one more may be looked at.
            let size = words(span.offset - start + span.bytes) + 4;
            if size > most {
                let (needed, most) = (ByteCount(size), ByteCount(most));
                let message = format!("a tensor of {needed} is more than a kernel can see here, which is {most}");
                return Err(RunError::new(ErrorKind::Memory, message));
            }
            let size = wgpu::BufferSize::new(size);
            let resource = wgpu::BufferBinding { buffer: self.buffer(span.buffer)?, offset: start, size };
            entries.push(wgpu::BindingResource::Buffer(resource));
        }
        if kernel.has_flag {
            entries.push(self.flag.as_entire_binding());
        }
        entries.push(numbers.as_entire_binding());
        let numbered = entries.into_iter().enumerate();
        let entries: Vec<wgpu::BindGroupEntry> =
            numbered.map(|(at, resource)| wgpu::BindGroupEntry { binding: at as u32, resource }).collect();
        let descriptor = wgpu::BindGroupDescriptor { label: None, layout: &kernel.layout, entries: &entries };
        Ok(self.gpu().device.create_bind_group(&descriptor))
    }

    fn fetch(&mut self, sources: &[(&wgpu::Buffer, u64, u64)]) -> Result<Vec<Vec<u8>>, RunError> {
        let total: u64 = sources.iter().map(|&(_, _, bytes)| words(bytes)).sum();
        if total == 0 {
            return Ok(sources.iter().map(|_| Vec::new()).collect());
        }
        let staging = self.gpu().buffer(total, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
        let mut at = 0;
        for &(buffer, offset, bytes) in sources.iter().filter(|&&(_, _, bytes)| bytes > 0) {
            self.record_copy((buffer, offset), (&staging, at), words(bytes));
            at += words(bytes);
        }
        self.submit();
        staging.map_async(wgpu::MapMode::Read, .., |_| {});
        self.gpu().finish()?;
        self.gpu().check("copying from the GPU")?;
        let mapped = staging.get_mapped_range(..);
        let mapped =
            mapped.map_err(|error| RunError::new(ErrorKind::Code, format!("copying from the GPU: {error}")))?;
        let mut at = 0;
        let each = sources.iter().map(|&(_, _, bytes)| {
            let start = at as usize;
            at += words(bytes);
            mapped[start..start + bytes as usize].to_vec()
        });
        Ok(each.collect())
    }
}

impl Queue for Recorder {
    fn allocate(&mut self, bytes: u64) -> Result<BufferId, RunError> {
        let (size, most) = (bytes.next_multiple_of(ROOM) + ROOM, self.gpu().limits.max_buffer_size);
        if size > most {
            let (needed, most) = (ByteCount(size), ByteCount(most));
            let message = format!("{needed} are needed in one buffer; the GPU allows {most}");
            return Err(RunError::new(ErrorKind::Memory, message));
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let buffer = self.gpu().buffer(size, usage);
        self.gpu().check("finding memory on the GPU")?;
        let free = self.buffers.iter().position(Option::is_none).unwrap_or(self.buffers.len());
        self.buffers.resize(self.buffers.len().max(free + 1), None);
        self.buffers[free] = Some(buffer);
        Ok(BufferId(free))
    }

    fn free(&mut self, buffer: BufferId) {
        if let Some(held) = self.buffers.get_mut(buffer.0) {
            *held = None;
        }
    }

    fn write(&mut self, to: Span, contents: &[u8]) -> Result<(), RunError> {
        self.submit();
        let buffer = self.buffer(to.buffer)?;
        let (whole, rest) = contents.split_at(contents.len() / 4 * 4);
        self.gpu().queue.write_buffer(buffer, to.offset, whole);
        if !rest.is_empty() {
            let mut word = [0; 4];
            word[..rest.len()].copy_from_slice(rest);
            self.gpu().queue.write_buffer(buffer, to.offset + whole.len() as u64, &word);
        }
        self.gpu().check("copying to the GPU")
    }

    fn copy(&mut self, from: Span, to: Span) -> Result<(), RunError> {
        if [from.offset, to.offset, to.bytes].iter().any(|number| number % 4 != 0) {
            return self.patch(from, to);
        }
        let (source, target) = (self.buffer(from.buffer)?.clone(), self.buffer(to.buffer)?.clone());
        if from.buffer != to.buffer {
            self.record_copy((&source, from.offset), (&target, to.offset), to.bytes);
            return Ok(());
        }
        let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let between = self.gpu().buffer(to.bytes, usage);
        self.record_copy((&source, from.offset), (&between, 0), to.bytes);
        self.record_copy((&between, 0), (&target, to.offset), to.bytes);
        Ok(())
    }

    fn prepare(&mut self, call: &Call) -> Result<CallId, RunError> {
        let (n_blocks, per_block) = call.blocks(MAX_BLOCKS);
        let numbers = self.numbers(call, per_block)?;
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let buffer = self.gpu().buffer(numbers.len() as u64, usage);
        self.gpu().queue.write_buffer(&buffer, 0, &numbers);
        let group = self.bind(call, &buffer)?;
        self.calls.push(Ready { kernel: call.kernel, group, n_blocks });
        Ok(CallId(self.calls.len() - 1))
    }

    fn launch(&mut self, call: CallId) -> Result<(), RunError> {
        let Ready { kernel, group, n_blocks } = &self.calls[call.0];
        let mut pass = self.encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&self.code.kernel(*kernel).pipeline);
        pass.set_bind_group(0, group, &[]);
        pass.dispatch_workgroups(*n_blocks, 1, 1);
        drop(pass);
        self.n_recorded += 1;
        if self.n_recorded >= BATCH {
            self.submit();
        }
        Ok(())
    }

    fn read(&mut self, from: &[Span]) -> Result<Vec<Vec<u8>>, RunError> {
        let buffers: Vec<wgpu::Buffer> =
            from.iter().map(|span| self.buffer(span.buffer).cloned()).collect::<Result<_, _>>()?;
        let sources = buffers.iter().zip(from).map(|(buffer, span)| (buffer, span.offset, span.bytes));
        self.fetch(&sources.collect::<Vec<_>>())
    }

    fn finish(&mut self) -> Result<(), RunError> {
        self.calls.clear();
        let flag = self.flag.clone();
        let found = self.fetch(&[(&flag, 0, 4)])?;
        self.gpu().check("running on the GPU")?;
        if found[0].iter().all(|&byte| byte == 0) {
            return Ok(());
        }
        self.gpu().queue.write_buffer(&flag, 0, &[0; 4]);
        let message = "an integer does not fit 32 bits, and this device has no wider ones";
        Err(RunError::new(ErrorKind::Range, message))
    }
}

fn narrowed(number: i64) -> Result<i32, RunError> {
    i32::try_from(number).map_err(|_| {
        RunError::new(ErrorKind::Range, format!("a size of {number} does not fit 32 bits, and this device has no more"))
    })
}
