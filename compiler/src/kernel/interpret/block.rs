//! The threads of a block, each run up to the next barrier in turn.
//!
//! Invariant: a barrier is passed when all threads stand at it: at the same statement, in the same rounds of the loops
//! around it. A thread that ends, or stands elsewhere, while others wait is a fault. Memories are told of each thread and
//! of each barrier, and find what two threads do to one element between two barriers, in whatever order they run. The
//! threads of a warp compute an `mma` together when all stand at it; that is no barrier.

use super::number::Number;
use super::thread::{Ran, Thread};
use super::{Fault, Memories, mma};
use crate::kernel::print;
use crate::kernel::types::mma::WARP;
use crate::kernel::types::*;

/// Runs one range of items on all threads of a block.
pub(super) fn run(strands: &mut [Strand], memories: &mut Memories, begin: i64, end: i64) -> Result<(), Fault> {
    memories.start_item(begin);
    for strand in strands.iter_mut() {
        strand.start(begin, end);
    }
    loop {
        let mut first: Option<Option<Stop>> = None;
        for (number, warp) in strands.chunks_mut(WARP as usize).enumerate() {
            let number = number * WARP as usize;
            let stop = advance_warp(warp, memories, number)?;
            match &first {
                None => first = Some(stop),
                Some(other) if *other == stop => {}
                Some(other) => return Err(divergent(number, other, &stop)),
            }
        }
        match first {
            Some(Some(_)) => memories.pass_barrier(),
            _ => return Ok(()),
        }
    }
}

/// Up to the next barrier, or to the end, computing what the threads compute together on the way.
fn advance_warp(warp: &mut [Strand], memories: &mut Memories, number: usize) -> Result<Option<Stop>, Fault> {
    loop {
        let mut first: Option<Option<Stop>> = None;
        for (lane, strand) in warp.iter_mut().enumerate() {
            memories.enter_thread((number + lane) as u32);
            let stop = strand.advance(memories)?;
            match &first {
                None => first = Some(stop),
                Some(other) if *other == stop => {}
                Some(other) => return Err(divergent(number + lane, other, &stop)),
            }
        }
        match first.flatten() {
            Some(stop) if stop.is_mma => multiply(warp)?,
            stop => return Ok(stop),
        }
    }
}

/// The product that all threads of the warp stand at.
fn multiply(warp: &mut [Strand]) -> Result<(), Fault> {
    let Some(stmt) = warp.first().and_then(Strand::last) else { return Ok(()) };
    let Op::Mma(of, operands) = &stmt.op else { return Ok(()) };
    let registers: Ran<Vec<Vec<Number>>> = warp.iter().map(|strand| strand.thread.scalars(operands)).collect();
    let sums = registers.and_then(|registers| mma::product(*of, &registers));
    let sums = sums.map_err(|message| warp[0].fault(stmt, message))?;
    for (strand, sums) in warp.iter_mut().zip(sums) {
        for (&result, sum) in stmt.results.iter().zip(sums) {
            strand.thread.set(result, vec![sum]);
        }
    }
    Ok(())
}

fn divergent(number: usize, first: &Option<Stop>, other: &Option<Stop>) -> Fault {
    let place = |stop: &Option<Stop>| match stop {
        None => "its end".to_string(),
        Some(stop) => {
            let statements = stop.place.iter().map(|(_, next, _)| next.to_string());
            let what = if stop.is_mma { "an mma" } else { "a barrier" };
            format!("{what}, statement {}", statements.collect::<Vec<_>>().join("."))
        }
    };
    let message = format!("thread 0 is at {}, thread {number} at {}", place(first), place(other));
    Fault { place: "barrier".to_string(), message }
}

/// Where a thread waits: for each block around it which one it is, the next statement, and the index of the loop.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stop {
    place: Vec<(*const Block, usize, i64)>,
    /// For the other threads of its warp; otherwise for those of the block.
    is_mma: bool,
}

/// A thread that can be left and taken up again.
pub(super) struct Strand<'k> {
    thread: Thread<'k>,
    /// The blocks it is in, outermost first.
    frames: Vec<Frame<'k>>,
}

struct Frame<'k> {
    block: &'k Block,
    /// The statement that comes next.
    next: usize,
    /// The statement whose block this is; none for the body.
    of: Option<&'k Stmt>,
    /// The index of a loop, and where it ends.
    at: i64,
    end: i64,
}

impl<'k> Strand<'k> {
    pub fn new(thread: Thread<'k>) -> Strand<'k> {
        Strand { thread, frames: Vec::new() }
    }

    fn start(&mut self, begin: i64, end: i64) {
        self.thread.range = (begin, end);
        let body = &self.thread.kernel.body;
        self.frames = vec![Frame { block: body, next: 0, of: None, at: 0, end: 0 }];
    }

    /// Up to the next barrier, or to the end.
    fn advance(&mut self, memories: &mut Memories) -> Result<Option<Stop>, Fault> {
        while let Some(frame) = self.frames.last_mut() {
            let Some(stmt) = frame.block.stmts.get(frame.next) else {
                self.leave()?;
                continue;
            };
            frame.next += 1;
            match &stmt.op {
                Op::Barrier => return Ok(Some(self.stop(false))),
                Op::Mma(..) => {
                    self.thread.spend(1).map_err(|message| self.fault(stmt, message))?;
                    return Ok(Some(self.stop(true)));
                }
                Op::If(_) | Op::Loop(_) => {
                    self.enter(stmt).map_err(|message| self.fault(stmt, message))?;
                }
                _ => {
                    let ran = self.thread.statement(memories, stmt).map_err(|message| self.fault(stmt, message))?;
                    if let [result] = stmt.results[..] {
                        self.thread.set(result, ran);
                    }
                }
            }
        }
        Ok(None)
    }

    fn stop(&self, is_mma: bool) -> Stop {
        let place = self.frames.iter().map(|frame| (std::ptr::from_ref(frame.block), frame.next, frame.at)).collect();
        Stop { place, is_mma }
    }

    /// The statement before the one that comes next.
    fn last(&self) -> Option<&'k Stmt> {
        let frame = self.frames.last()?;
        frame.block.stmts.get(frame.next.checked_sub(1)?)
    }

    fn fault(&self, stmt: &Stmt, message: String) -> Fault {
        let place = print::statement(self.thread.kernel, stmt);
        Fault { place, message: format!("thread {}: {message}", self.thread.number) }
    }

    fn enter(&mut self, stmt: &'k Stmt) -> Ran<()> {
        self.thread.spend(1)?;
        match &stmt.op {
            Op::If(inner) => {
                let block = if self.thread.condition(&inner.condition)? { &inner.then } else { &inner.otherwise };
                self.frames.push(Frame { block, next: 0, of: Some(stmt), at: 0, end: 0 });
            }
            Op::Loop(inner) => {
                let (at, end) = (self.thread.int(inner.start)?, self.thread.int(inner.end)?);
                self.thread.assign(&inner.params, &inner.inits)?;
                match at < end {
                    true => {
                        self.thread.set(inner.index, vec![Number::int(at)]);
                        self.frames.push(Frame { block: &inner.body, next: 0, of: Some(stmt), at, end });
                    }
                    false => self.thread.assign(&stmt.results, &inner.params)?,
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// At the end of a block: another round, or what comes after the statement.
    fn leave(&mut self) -> Result<(), Fault> {
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        let Some(stmt) = frame.of else {
            self.frames.pop();
            return Ok(());
        };
        let ended = match &stmt.op {
            Op::Loop(inner) => {
                let next = frame.at.checked_add(inner.step).filter(|_| inner.step > 0);
                let again = next.filter(|&next| next < frame.end);
                if let Some(next) = again {
                    (frame.at, frame.next) = (next, 0);
                } else {
                    self.frames.pop();
                }
                self.thread.assign(&inner.params, &inner.body.yields).and_then(|()| match again {
                    Some(next) => {
                        self.thread.set(inner.index, vec![Number::int(next)]);
                        self.thread.spend(1)
                    }
                    None => self.thread.assign(&stmt.results, &inner.params),
                })
            }
            _ => {
                let yields = &frame.block.yields;
                self.frames.pop();
                self.thread.assign(&stmt.results, yields)
            }
        };
        ended.map_err(|message| self.fault(stmt, message))
    }
}
