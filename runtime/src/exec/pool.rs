//! A thread pool for regions of a few microseconds: workers spin a while, then park.
//!
//! One atomic word holds the open region: its number, how many workers are inside, and how many
//! chunks have been claimed by the caller and by workers. A worker enters by claiming a chunk, in
//! one compare-and-swap; so the caller, which claims chunks like everyone else, only ever waits
//! for chunks that someone is running. The caller begins with the first half of the chunks and
//! workers with the second, so that in region after region each side meets the same data in its
//! cache.
//!
//! Invariant: the region's description changes only while the word is closed and nobody is
//! inside, so whoever claims a chunk of a region sees the description of that region.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const SPIN: Duration = Duration::from_micros(200);
const CHUNKS_PER_THREAD: usize = 8;
const MAX_WORKERS: usize = 255;
/// Sizes of chunks that are tried, but for the largest.
const FEW_TRIED: usize = 3;

/// Layout of the word: region number (32 bits), workers inside (8), chunks claimed by workers
/// (12), by the caller (12). With all bits of the last set it is closed: no region has as many.
const OWN: u64 = 1;
const OTHERS: u64 = 1 << 12;
const COUNT: u64 = 0xfff;
const CLOSED: u64 = COUNT * OWN;
const INSIDE: u64 = 1 << 24;
const INSIDE_MASK: u64 = 0xff << 24;
const REGION: u64 = 1 << 32;

fn n_claimed(word: u64) -> usize {
    (((word / OWN) & COUNT) + ((word / OTHERS) & COUNT)) as usize
}

/// In which order the chunks of a region are taken. The caller has the first half of them, workers
/// have the second; whoever is done takes the other half from its far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// From the first chunk of each half on, so that what follows can be asked for ahead.
    Upward,
    /// From the last one back: after a region like it that went upward, what was used last, and is
    /// still in the cache, comes first.
    Downward,
}

/// Who claims: the caller of a region, or a worker that is inside or about to enter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Caller,
    Worker,
    Entering,
}

impl Order {
    /// The chunk that is the `nth` one of a side. Claims of both sides together never exceed
    /// `n_chunks`, and then no chunk is given twice.
    fn chunk(self, is_caller: bool, nth: usize, n_chunks: usize) -> usize {
        let half = n_chunks / 2;
        let (own, other) = if is_caller { (0..half, half..n_chunks) } else { (half..n_chunks, 0..half) };
        let taken = nth.saturating_sub(own.len());
        match (self, nth < own.len()) {
            (Order::Upward, true) => own.start + nth,
            (Order::Upward, false) => other.end - 1 - taken,
            (Order::Downward, true) => own.end - 1 - nth,
            (Order::Downward, false) => other.start + taken,
        }
    }
}

type Body<'a> = dyn Fn(usize, usize) + Sync + 'a;

pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

/// Keeps what callers and workers write on lines of their own.
#[repr(align(128))]
struct Line<T>(T);

struct Shared {
    word: Line<AtomicU64>,
    /// The open region, a `Region` on its caller's stack, and how many chunks it has.
    region: AtomicPtr<()>,
    n_chunks: AtomicUsize,
    /// Set while some caller owns the region.
    busy: Line<AtomicBool>,
    sleepers: Line<AtomicUsize>,
    stop: AtomicBool,
    panicked: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    bed: Mutex<()>,
    wake: Condvar,
}

impl Pool {
    /// `threads` counts the caller; 0 means one for each core that this process may use.
    pub fn new(threads: usize) -> Pool {
        let cores = || thread::available_parallelism().map_or(1, usize::from);
        let threads = if threads == 0 { cores() } else { threads };
        let shared = Arc::new(Shared::new());
        let start = |index| {
            let shared = Arc::clone(&shared);
            let name = format!("tilewright-{index}");
            thread::Builder::new().name(name).spawn(move || shared.serve())
        };
        // A machine that refuses more threads gets the work done with fewer.
        let workers = (1..threads.min(MAX_WORKERS + 1)).map_while(|index| start(index).ok()).collect();
        Pool { shared, workers }
    }

    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `body(begin, end)` on disjoint ranges that cover `0..n_items`, each of at least
    /// `min_chunk` items but for the last, on this thread and whichever workers are free. A
    /// region started inside another one, or beside one, runs on its caller alone. A panic in
    /// `body` is raised again here once nothing uses `body` any more.
    pub fn run(&self, n_items: usize, min_chunk: usize, order: Order, body: &Body<'_>) {
        let min_chunk = min_chunk.max(1);
        let chunk = min_chunk.max(even_chunk(n_items, self.threads()));
        let busy = &self.shared.busy.0;
        if n_items <= min_chunk || self.workers.is_empty() || busy.swap(true, Acquire) {
            return match order {
                Order::Upward if n_items > 0 => body(0, n_items),
                Order::Upward => {}
                Order::Downward => backwards(n_items, chunk, body),
            };
        }
        let region = Region { body, n_items, chunk, order };
        self.shared.run(&region);
        let panicked = self.shared.panicked.swap(false, Relaxed);
        let payload = panicked.then(|| self.shared.panic().take()).flatten();
        busy.store(false, Release);
        if let Some(payload) = payload {
            resume_unwind(payload);
        }
    }
}

/// Items of a chunk, so that each thread has some chunks and none has many items more than others.
fn even_chunk(n_items: usize, threads: usize) -> usize {
    let largest = (n_items / (threads * CHUNKS_PER_THREAD)).max(1);
    let smallest = largest.div_ceil(2).max(largest.saturating_sub(FEW_TRIED));
    let most_of_thread = |chunk: &usize| n_items.div_ceil(*chunk).div_ceil(threads) * chunk;
    let even = (smallest..=largest).rev().min_by_key(most_of_thread).unwrap_or(largest);
    even.max(n_items.div_ceil(COUNT as usize - 1))
}

/// All chunks, the last one first.
fn backwards(n_items: usize, chunk: usize, body: &Body<'_>) {
    for nth in (0..n_items.div_ceil(chunk)).rev() {
        body(nth * chunk, ((nth + 1) * chunk).min(n_items));
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        self.shared.wake_all();
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

/// What a thread needs to run chunks of one region.
struct Region<'a> {
    body: &'a Body<'a>,
    n_items: usize,
    chunk: usize,
    order: Order,
}

impl Shared {
    fn new() -> Shared {
        Shared {
            word: Line(AtomicU64::new(CLOSED)),
            region: AtomicPtr::default(),
            n_chunks: AtomicUsize::new(0),
            busy: Line(AtomicBool::new(false)),
            sleepers: Line(AtomicUsize::new(0)),
            stop: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
            panic: Mutex::new(None),
            bed: Mutex::new(()),
            wake: Condvar::new(),
        }
    }

    /// Opens the region, works on it, waits for those inside and closes it.
    fn run(&self, region: &Region<'_>) {
        let address = std::ptr::from_ref(region).cast_mut().cast();
        self.region.store(address, Relaxed);
        self.n_chunks.store(region.n_items.div_ceil(region.chunk), Relaxed);
        let number = (self.word.0.load(Relaxed) / REGION).wrapping_add(1);
        self.word.0.store(number.wrapping_mul(REGION), SeqCst);
        // Either this sees a sleeper, or the sleeper-to-be sees the region just opened.
        if self.sleepers.0.load(SeqCst) > 0 {
            self.wake_all();
        }
        self.work_off(self.claim(Side::Caller), Side::Caller);
        let mut waits = 0u32;
        while self.word.0.load(Acquire) & INSIDE_MASK != 0 {
            pause(&mut waits);
        }
        self.word.0.fetch_or(CLOSED, SeqCst);
    }

    /// Claims the next chunk of a side: the how manieth it is.
    fn claim(&self, side: Side) -> Option<usize> {
        let (unit, step) = match side {
            Side::Caller => (OWN, OWN),
            Side::Worker => (OTHERS, OTHERS),
            Side::Entering => (OTHERS, OTHERS + INSIDE),
        };
        let mut word = self.word.0.load(Acquire);
        loop {
            if n_claimed(word) >= self.n_chunks.load(Relaxed) {
                return None;
            }
            match self.word.0.compare_exchange_weak(word, word + step, SeqCst, Acquire) {
                Ok(_) => return Some(((word / unit) & COUNT) as usize),
                Err(now) => word = now,
            }
        }
    }

    /// Runs the chunk already claimed, then every further one it can get.
    fn work_off(&self, first: Option<usize>, side: Side) {
        let mut claimed = first;
        while let Some(nth) = claimed {
            // SAFETY: a chunk is claimed and not yet left, so the region's caller is still in
            // `run`, which borrows the region for all that time.
            let region = unsafe { &*self.region.load(Relaxed).cast::<Region<'_>>() };
            let n_chunks = region.n_items.div_ceil(region.chunk);
            let begin = region.order.chunk(side == Side::Caller, nth, n_chunks) * region.chunk;
            let end = (begin + region.chunk).min(region.n_items);
            let run = AssertUnwindSafe(|| (region.body)(begin, end));
            if let Err(payload) = catch_unwind(run) {
                self.panic().get_or_insert(payload);
                self.panicked.store(true, Relaxed);
            }
            claimed = self.claim(side);
        }
    }

    fn serve(&self) {
        while let Some(chunk) = self.wait_for_chunk() {
            self.work_off(Some(chunk), Side::Worker);
            self.word.0.fetch_sub(INSIDE, Release);
        }
    }

    /// Enters the next region there is, or gives `None` when the pool ends.
    fn wait_for_chunk(&self) -> Option<usize> {
        loop {
            let asleep_at = Instant::now() + SPIN;
            let mut waits = 0;
            while waits % 64 != 63 || Instant::now() < asleep_at {
                if let Some(chunk) = self.claim(Side::Entering) {
                    return Some(chunk);
                }
                if self.stop.load(Relaxed) {
                    return None;
                }
                waits += 1;
                std::hint::spin_loop();
            }
            self.sleep();
        }
    }

    fn sleep(&self) {
        let bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.0.fetch_add(1, SeqCst);
        let word = self.word.0.load(SeqCst);
        let nothing = n_claimed(word) >= self.n_chunks.load(Relaxed);
        if nothing && !self.stop.load(SeqCst) {
            drop(self.wake.wait(bed).unwrap_or_else(PoisonError::into_inner));
        }
        self.sleepers.0.fetch_sub(1, SeqCst);
    }

    fn wake_all(&self) {
        drop(self.bed.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake.notify_all();
    }

    fn panic(&self) -> MutexGuard<'_, Option<Box<dyn Any + Send>>> {
        self.panic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Spins, and after a while lets others run: the thread waited for may need this core.
fn pause(waits: &mut u32) {
    *waits += 1;
    if *waits < 4096 {
        std::hint::spin_loop();
    } else {
        thread::yield_now();
    }
}

#[cfg(test)]
mod tests;
