//! A session's stream: its memory, and what is asked of the GPU, in order.
//!
//! Invariant: all of it happens on one stream, so nothing needs to be waited for but by the host. A span is looked up, and
//! found to lie inside of its buffer, before anything is done with its address.

use std::sync::Arc;

use cudarc::driver::{CudaSlice, CudaStream, DevicePtr, LaunchConfig, PushKernelArg, result, sys};

use super::Code;
use super::driver::failed;
use crate::device::gpu::{BufferId, Call, CallId, Queue, Span};
use crate::error::{ErrorKind, RunError};
use crate::program::KernelId;

/// Buffers are longer than needed by this.
const ROOM: usize = 256;
/// Blocks along one axis of a grid.
const MAX_BLOCKS: u64 = (1 << 31) - 1;

pub struct Stream {
    code: Arc<Code>,
    stream: Arc<CudaStream>,
    /// By number; those that were freed are gone.
    buffers: Vec<Option<CudaSlice<u8>>>,
    calls: Vec<Ready>,
}

struct Ready {
    kernel: KernelId,
    n_blocks: u32,
    /// All arguments are words of 8 bytes: addresses, then numbers.
    args: Vec<u64>,
}

impl Stream {
    pub fn new(code: Arc<Code>) -> Result<Stream, RunError> {
        let stream = code.gpu.context.new_stream().map_err(failed("opening a stream on the GPU"))?;
        Ok(Stream { code, stream, buffers: Vec::new(), calls: Vec::new() })
    }

    fn address(&self, span: Span) -> Result<sys::CUdeviceptr, RunError> {
        let held = self.buffers.get(span.buffer.0).and_then(Option::as_ref);
        let inside = |held: &&CudaSlice<u8>| {
            span.offset.checked_add(span.bytes).is_some_and(|end| end <= held.num_bytes() as u64)
        };
        let held = held.filter(inside);
        let held =
            held.ok_or_else(|| RunError::new(ErrorKind::Program, format!("{span:?} is no memory of the GPU")))?;
        let (start, _tracked) = held.device_ptr(&self.stream);
        Ok(start + span.offset)
    }

    /// This thread may not be the one that spoke to the GPU before.
    fn enter(&self) -> Result<(), RunError> {
        self.code.gpu.context.bind_to_thread().map_err(failed("reaching the GPU"))
    }

    fn synchronize(&self, doing: &str) -> Result<(), RunError> {
        self.stream.synchronize().map_err(failed(doing))?;
        self.code.gpu.context.check_err().map_err(failed(doing))
    }
}

impl Queue for Stream {
    fn allocate(&mut self, bytes: u64) -> Result<BufferId, RunError> {
        // SAFETY: whoever asks for memory writes to it before it is read.
        let buffer = unsafe { self.stream.alloc::<u8>(bytes as usize + ROOM) };
        let needed = crate::error::ByteCount(bytes);
        let buffer = buffer.map_err(failed(&format!("finding {needed} on the GPU")))?;
        let free = self.buffers.iter().position(Option::is_none).unwrap_or(self.buffers.len());
        if free == self.buffers.len() {
            self.buffers.push(None);
        }
        self.buffers[free] = Some(buffer);
        Ok(BufferId(free))
    }

    fn free(&mut self, buffer: BufferId) {
        if let Some(held) = self.buffers.get_mut(buffer.0) {
            *held = None;
        }
    }

    fn write(&mut self, to: Span, contents: &[u8]) -> Result<(), RunError> {
        let to = self.address(Span { bytes: contents.len() as u64, ..to })?;
        self.enter()?;
        // SAFETY: the address has as many bytes. From memory that is not pinned the driver takes what it copies at once.
        let copied = unsafe { result::memcpy_htod_async(to, contents, self.stream.cu_stream()) };
        copied.map_err(failed("copying to the GPU"))
    }

    fn copy(&mut self, from: Span, to: Span) -> Result<(), RunError> {
        let (source, target) = (self.address(from)?, self.address(to)?);
        self.enter()?;
        let copy = |source, target| {
            // SAFETY: both addresses have as many bytes, which do not overlap: see below.
            let copied =
                unsafe { result::memcpy_dtod_async(target, source, to.bytes as usize, self.stream.cu_stream()) };
            copied.map_err(failed("copying on the GPU"))
        };
        if source.abs_diff(target) >= to.bytes {
            return copy(source, target);
        }
        // SAFETY: it is written in the next line.
        let between = unsafe { self.stream.alloc::<u8>(to.bytes as usize) }.map_err(failed("copying on the GPU"))?;
        let (middle, _tracked) = between.device_ptr(&self.stream);
        copy(source, middle)?;
        copy(middle, target)
    }

    fn prepare(&mut self, call: &Call) -> Result<CallId, RunError> {
        let (n_blocks, per_block) = call.blocks(MAX_BLOCKS);
        let mut args = call.args.iter().map(|&span| self.address(span)).collect::<Result<Vec<u64>, _>>()?;
        args.extend([call.items, per_block]);
        args.extend(call.sizes.iter().map(|&size| size as u64));
        self.calls.push(Ready { kernel: call.kernel, n_blocks, args });
        Ok(CallId(self.calls.len() - 1))
    }

    fn launch(&mut self, call: CallId) -> Result<(), RunError> {
        let Ready { kernel, n_blocks, args } = &self.calls[call.0];
        let function = self.code.function(*kernel);
        let mut launch = self.stream.launch_builder(&function.function);
        args.iter().for_each(|arg| {
            launch.arg(arg);
        });
        let config =
            LaunchConfig { grid_dim: (*n_blocks, 1, 1), block_dim: (function.threads, 1, 1), shared_mem_bytes: 0 };
        // SAFETY: the plan has checked that the arguments are as many and as long as the kernel's text says, and the text
        // is that of a kernel that was proved to stay inside of them.
        unsafe { launch.launch(config) }.map(|_| ()).map_err(failed("launching a kernel"))
    }

    fn read(&mut self, from: &[Span]) -> Result<Vec<Vec<u8>>, RunError> {
        let addresses = from.iter().map(|&span| self.address(span)).collect::<Result<Vec<_>, _>>()?;
        let mut read = Vec::with_capacity(from.len());
        self.enter()?;
        for (address, span) in addresses.into_iter().zip(from) {
            let mut bytes = vec![0u8; span.bytes as usize];
            if !bytes.is_empty() {
                // SAFETY: the address has as many bytes, and these here live until the stream has done it: see below.
                let copied = unsafe { result::memcpy_dtoh_async(&mut bytes, address, self.stream.cu_stream()) };
                if let Err(error) = copied {
                    // What was asked for before may still be on its way.
                    let _ = self.stream.synchronize();
                    return Err(failed("copying from the GPU")(error));
                }
            }
            read.push(bytes);
        }
        self.synchronize("copying from the GPU")?;
        Ok(read)
    }

    fn finish(&mut self) -> Result<(), RunError> {
        self.calls.clear();
        self.synchronize("running on the GPU")
    }
}
