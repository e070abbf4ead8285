//! A device in this process: buffers are vectors, kernels functions. The tests of sessions run on it as they do on the CPU.
//!
//! Invariant: it is as strict as the interface allows. Spans lie inside of buffers that were not freed, at multiples of 4;
//! what was never written is NaN, and what was prepared for one run is unknown to the next.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::device::cpu::KernelFn;
use crate::device::gpu::{BufferId, Call, CallId, Loaded, Queue, Span};
use crate::error::{ErrorKind, RunError};

pub struct Device {
    pub functions: Vec<KernelFn>,
    /// Bytes that the host wrote so far.
    pub written: AtomicU64,
    /// What the next run is going to complain of.
    pub complaint: Mutex<Option<RunError>>,
}

impl Device {
    pub fn new(functions: Vec<KernelFn>) -> Arc<Device> {
        Arc::new(Device { functions, written: AtomicU64::new(0), complaint: Mutex::new(None) })
    }
}

impl Loaded for Device {
    fn n_kernels(&self) -> usize {
        self.functions.len()
    }

    fn queue(self: Arc<Self>) -> Result<Box<dyn Queue>, RunError> {
        Ok(Box::new(Host { device: self, buffers: Vec::new(), calls: Vec::new() }))
    }
}

struct Host {
    device: Arc<Device>,
    /// In words that are aligned for all elements.
    buffers: Vec<Option<Vec<u64>>>,
    calls: Vec<Bound>,
}

struct Bound {
    function: KernelFn,
    args: Vec<Span>,
    sizes: Vec<i64>,
    items: u64,
}

impl Host {
    fn pointer(&mut self, span: Span) -> *mut u8 {
        let buffer = self.buffers[span.buffer.0].as_mut().expect("it was not freed");
        assert!(span.offset + span.bytes <= 8 * buffer.len() as u64, "{span:?} is outside of its buffer");
        buffer.as_mut_ptr().cast::<u8>().wrapping_add(span.offset as usize)
    }

    fn bytes(&mut self, span: Span) -> &mut [u8] {
        let pointer = self.pointer(span);
        // SAFETY: the span is inside of its buffer, which is borrowed as long as this is.
        unsafe { std::slice::from_raw_parts_mut(pointer, span.bytes as usize) }
    }
}

impl Queue for Host {
    fn allocate(&mut self, bytes: u64) -> Result<BufferId, RunError> {
        self.buffers.push(Some(vec![u64::MAX; bytes as usize / 8 + 1]));
        Ok(BufferId(self.buffers.len() - 1))
    }

    fn free(&mut self, buffer: BufferId) {
        assert!(self.buffers[buffer.0].take().is_some(), "it is freed once");
    }

    fn write(&mut self, to: Span, contents: &[u8]) -> Result<(), RunError> {
        assert!(to.offset.is_multiple_of(4) && contents.len() as u64 == to.bytes, "{to:?}");
        self.device.written.fetch_add(to.bytes, Ordering::Relaxed);
        let whole = Span { bytes: to.bytes.next_multiple_of(4), ..to };
        let words = self.bytes(whole);
        words.fill(0xff);
        words[..contents.len()].copy_from_slice(contents);
        Ok(())
    }

    fn copy(&mut self, from: Span, to: Span) -> Result<(), RunError> {
        assert_eq!(from.bytes, to.bytes);
        let contents = self.bytes(from).to_vec();
        self.bytes(to).copy_from_slice(&contents);
        Ok(())
    }

    fn prepare(&mut self, call: &Call) -> Result<CallId, RunError> {
        let (args, sizes) = (call.args.to_vec(), call.sizes.to_vec());
        let function = self.device.functions[call.kernel.0 as usize];
        self.calls.push(Bound { function, args, sizes, items: call.items });
        Ok(CallId(self.calls.len() - 1))
    }

    fn launch(&mut self, call: CallId) -> Result<(), RunError> {
        let Bound { function, args, sizes, items } = &self.calls[call.0];
        let (function, sizes, items, args) = (*function, sizes.clone(), *items, args.clone());
        let pointers: Vec<*mut u8> = args.into_iter().map(|span| self.pointer(span)).collect();
        // SAFETY: the plan has checked that the arguments are as many and as long as the kernel needs.
        unsafe { function(pointers.as_ptr(), sizes.as_ptr(), 0, items as i64) };
        Ok(())
    }

    fn read(&mut self, from: &[Span]) -> Result<Vec<Vec<u8>>, RunError> {
        assert!(from.iter().all(|span| span.offset % 4 == 0));
        Ok(from.iter().map(|&span| self.bytes(span).to_vec()).collect())
    }

    fn finish(&mut self) -> Result<(), RunError> {
        self.calls.clear();
        self.device.complaint.lock().unwrap().take().map_or(Ok(()), Err)
    }
}

#[test]
fn blocks_take_all_items_and_not_one_twice() {
    for (items, most, sequential, expected) in [
        (1, 65_535, false, (1, 1)),
        (65_536, 65_535, false, (32_768, 2)),
        (10, 3, false, (3, 4)),
        (10, 3, true, (1, 10)),
    ] {
        let call = Call { kernel: crate::program::KernelId(0), args: &[], sizes: &[], items, sequential };
        assert_eq!(call.blocks(most), expected);
        let (blocks, each) = expected;
        assert!(u64::from(blocks) * each >= items && (u64::from(blocks) - 1) * each < items);
    }
}

pub fn complaint() -> RunError {
    RunError::new(ErrorKind::Range, "an integer does not fit")
}
