//! What a session has on the device: one buffer for the arena, one for each tensor outside of it.
//!
//! Invariant: weights, constants and states are copied there when a call first needs them, inputs before each call, and
//! outputs back after it. Once a call used a state, the device alone knows its value: whoever looks at the session's own
//! memory calls `fetch_state` before, and whoever writes there calls `forget_state`.

use rustc_hash::FxHashMap;

use super::steps::Steps;
use crate::device::gpu::{BufferId, Queue, Span};
use crate::error::{ErrorKind, RunError};
use crate::exec::plan::{Place, Plan};
use crate::program::Program;

pub struct Memory {
    queue: Box<dyn Queue>,
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
    buffer: BufferId,
    bytes: u64,
    /// It has what the host had when it was copied, or for a state what calls made of that.
    is_current: bool,
    /// Calls may have written to it since the host had its contents.
    is_ahead: bool,
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

impl Memory {
    pub fn new(queue: Box<dyn Queue>) -> Memory {
        Memory { queue, buffers: FxHashMap::default() }
    }

    /// Runs the steps of a plan; gives the step that failed with the error.
    ///
    /// # Safety
    /// Each of `pointers` must be valid for its value's bytes, and writable where the program writes, but for values in the
    /// arena.
    pub unsafe fn run(
        &mut self,
        program: &Program,
        (entry, plan): (usize, &Plan),
        pointers: &[*mut u8],
    ) -> (Result<(), RunError>, Option<usize>) {
        // SAFETY: as promised to this function.
        let spans = match unsafe { self.bring(entry, plan, pointers) } {
            Ok(spans) => spans,
            Err(error) => return (Err(error), None),
        };
        let (done, failed_at) = Steps::new(&mut *self.queue, program, plan, &spans).run();
        // What was recorded before a failure is run, and must not complain to a later call.
        let finished = self.queue.finish();
        if let Err(error) = done.and(finished) {
            return (Err(error), failed_at);
        }
        // SAFETY: as promised to this function.
        (unsafe { self.fetch_outputs(plan, &spans, pointers) }, None)
    }

    /// Buffers for all values, with the contents that a call starts from.
    unsafe fn bring(&mut self, entry: usize, plan: &Plan, pointers: &[*mut u8]) -> Result<Vec<Span>, RunError> {
        let mut spans = Vec::with_capacity(plan.places.len());
        // An input is another one in each call.
        self.buffers.iter_mut().for_each(|(key, held)| held.is_current &= !matches!(key, Key::Input(..)));
        for (value, (&place, &bytes)) in plan.places.iter().zip(&plan.bytes).enumerate() {
            let key = key(entry, place);
            let (offset, whole) = match place {
                Place::Arena(offset) => (offset as u64, plan.arena_len as u64),
                _ => (0, bytes as u64),
            };
            let buffer = self.make(key, whole)?;
            let span = Span { buffer, offset, bytes: bytes as u64 };
            spans.push(span);
            let comes = !matches!(place, Place::Arena(_) | Place::Output(_));
            let Some(held) = self.buffers.get_mut(&key).filter(|_| comes) else { continue };
            if !held.is_current && bytes > 0 {
                // SAFETY: the value has so many bytes, which nobody writes now.
                let contents = unsafe { std::slice::from_raw_parts(pointers[value], bytes) };
                self.queue.write(span, contents)?;
            }
            held.is_current = true;
            held.is_ahead |= matches!(key, Key::State(_));
        }
        Ok(spans)
    }

    /// The buffer of a key, made anew where it is not there or too short.
    fn make(&mut self, key: Key, bytes: u64) -> Result<BufferId, RunError> {
        if let Some(held) = self.buffers.get(&key) {
            if held.bytes >= bytes {
                return Ok(held.buffer);
            }
            self.queue.free(held.buffer);
            self.buffers.remove(&key);
        }
        let buffer = self.queue.allocate(bytes)?;
        self.buffers.insert(key, Held { buffer, bytes, is_current: false, is_ahead: false });
        Ok(buffer)
    }

    /// Copies the outputs of a call back.
    unsafe fn fetch_outputs(&mut self, plan: &Plan, spans: &[Span], pointers: &[*mut u8]) -> Result<(), RunError> {
        let mut fetched: Vec<Place> = Vec::new();
        let mut wanted = Vec::new();
        for (value, &place) in plan.places.iter().enumerate() {
            if matches!(place, Place::Output(_)) && plan.bytes[value] > 0 && !fetched.contains(&place) {
                fetched.push(place);
                wanted.push(value);
            }
        }
        let sources: Vec<Span> = wanted.iter().map(|&value| spans[value]).collect();
        for (value, bytes) in wanted.into_iter().zip(self.queue.read(&sources)?) {
            // SAFETY: the value is writable, has as many bytes, and nobody else uses it now.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), pointers[value], bytes.len()) };
        }
        Ok(())
    }

    /// The value of a state, if the device alone knows it.
    pub fn fetch_state(&mut self, index: usize, into: &mut [u8]) -> Result<(), RunError> {
        let Some(held) = self.buffers.get_mut(&Key::State(index as u32)).filter(|held| held.is_ahead) else {
            return Ok(());
        };
        let span = Span { buffer: held.buffer, offset: 0, bytes: into.len() as u64 };
        let bytes = self.queue.read(&[span])?.pop().filter(|bytes| bytes.len() == into.len());
        let bytes = bytes.ok_or_else(|| RunError::new(ErrorKind::Program, "a state has another size on the GPU"))?;
        into.copy_from_slice(&bytes);
        held.is_ahead = false;
        Ok(())
    }

    /// The host has another value for a state.
    pub fn forget_state(&mut self, index: usize) {
        if let Some(held) = self.buffers.get_mut(&Key::State(index as u32)) {
            (held.is_current, held.is_ahead) = (false, false);
        }
    }

    /// Gives the memory of weights back, until a call needs them again.
    pub fn forget_weights(&mut self) {
        let queue = &mut self.queue;
        self.buffers.retain(|key, held| {
            let stays = !matches!(key, Key::Param(_));
            if !stays {
                queue.free(held.buffer);
            }
            stays
        });
    }
}
