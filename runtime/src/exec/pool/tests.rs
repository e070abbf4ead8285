//! Regions cover their items once, whoever runs them, and end whatever their bodies do.

use super::*;

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        thread::yield_now();
    }
}

fn covers_each_item_once(pool: &Pool, n_items: usize, min_chunk: usize, order: Order) {
    let hits: Vec<AtomicUsize> = (0..n_items).map(|_| AtomicUsize::new(0)).collect();
    pool.run(n_items, min_chunk, order, &|begin, end| {
        assert!(begin < end && end <= n_items);
        for hit in &hits[begin..end] {
            hit.fetch_add(1, Relaxed);
        }
    });
    assert!(hits.iter().all(|hit| hit.load(Relaxed) == 1));
}

#[test]
fn every_item_runs_once() {
    for threads in [1, 2, 5] {
        let pool = Pool::new(threads);
        assert_eq!(pool.threads(), threads);
        for n_items in [0, 1, 2, 3, 17, 1000, 70_001] {
            for min_chunk in [0, 1, 7, 5000] {
                covers_each_item_once(&pool, n_items, min_chunk, Order::Upward);
                covers_each_item_once(&pool, n_items, min_chunk, Order::Downward);
            }
        }
    }
}

#[test]
fn downward_takes_the_last_used_first() {
    let taken = |order: Order| {
        let starts = Mutex::new(Vec::new());
        Pool::new(1).run(800, 100, order, &|begin, end| {
            starts.lock().unwrap().extend((begin..end).step_by(100));
        });
        starts.into_inner().unwrap()
    };
    let (upward, mut downward) = (taken(Order::Upward), taken(Order::Downward));
    downward.reverse();
    assert_eq!(upward, downward);
    let places = |is_caller: bool| (0..3).map(move |nth| Order::Downward.chunk(is_caller, nth, 7));
    assert_eq!((places(true).collect::<Vec<_>>(), places(false).collect::<Vec<_>>()), (vec![2, 1, 0], vec![6, 5, 4]));
}

#[test]
fn both_sides_together_take_each_chunk_once() {
    for (n_chunks, order) in (1..20).flat_map(|n| [(n, Order::Upward), (n, Order::Downward)]) {
        for n_own in 0..=n_chunks {
            let own = (0..n_own).map(|nth| order.chunk(true, nth, n_chunks));
            let others = (0..n_chunks - n_own).map(|nth| order.chunk(false, nth, n_chunks));
            let mut all: Vec<usize> = own.chain(others).collect();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..n_chunks), "{order:?} {n_own} of {n_chunks}");
        }
    }
}

#[test]
fn many_small_regions_see_their_own_data() {
    let pool = Pool::new(4);
    for round in 0..20_000usize {
        let n_items = 2 + round % 61;
        let sum = AtomicUsize::new(0);
        pool.run(n_items, 1, Order::Upward, &|begin, end| {
            sum.fetch_add((begin..end).map(|item| item + round).sum(), Relaxed);
        });
        let expected = n_items * (n_items - 1) / 2 + n_items * round;
        assert_eq!(sum.into_inner(), expected);
    }
}

#[test]
fn workers_that_fell_asleep_come_back() {
    let pool = Pool::new(3);
    for _ in 0..5 {
        wait_until("both workers sleep", || pool.shared.sleepers.0.load(SeqCst) == 2);
        let threads = Mutex::new(std::collections::HashSet::new());
        pool.run(3, 1, Order::Upward, &|_, _| {
            thread::sleep(Duration::from_millis(20));
            threads.lock().unwrap().insert(thread::current().id());
        });
        assert!(threads.into_inner().unwrap().len() > 1);
    }
}

#[test]
fn nested_and_neighbouring_regions_end() {
    let pool = Pool::new(3);
    let total = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..200 {
                    pool.run(8, 1, Order::Upward, &|begin, end| {
                        pool.run(end - begin, 1, Order::Upward, &|from, to| {
                            total.fetch_add(to - from, Relaxed);
                        });
                    });
                }
            });
        }
    });
    assert_eq!(total.into_inner(), 3 * 200 * 8);
}

#[test]
fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
    let pool = Pool::new(3);
    for bad in 0..20 {
        let run = AssertUnwindSafe(|| {
            pool.run(20, 1, Order::Upward, &|begin, end| {
                assert!(!(begin..end).contains(&bad), "item {bad}");
            });
        });
        let payload = catch_unwind(run).unwrap_err();
        let message = payload.downcast_ref::<String>().unwrap();
        assert!(message.contains(&format!("item {bad}")));
        covers_each_item_once(&pool, 100, 1, Order::Upward);
    }
}

/// The least time of a region, in nanoseconds, of which the body runs on two threads if it waits for both.
fn cost(pool: &Pool, waits_for_both: bool) -> u128 {
    let batch = |n_regions: u32| {
        let begin = Instant::now();
        for _ in 0..n_regions {
            let inside = AtomicUsize::new(0);
            pool.run(2, 1, Order::Upward, &|_, _| {
                inside.fetch_add(1, SeqCst);
                while waits_for_both && inside.load(SeqCst) < 2 {
                    std::hint::spin_loop();
                }
            });
        }
        begin.elapsed().as_nanos() / u128::from(n_regions)
    };
    (0..200).map(|_| batch(100)).min().unwrap_or(0)
}

/// `cargo test --release -p tilewright-runtime --lib cost -- --ignored --nocapture`
#[test]
#[ignore = "times the machine, which must be quiet"]
fn the_cost_of_a_region_is_below_a_microsecond() {
    let pool = Pool::new(2);
    let (alone, both) = (cost(&pool, false), cost(&pool, true));
    println!("{alone} ns where the caller may do all, {both} ns where both threads take part");
    assert!(both < 1000);
}

#[test]
fn a_caller_takes_all_that_a_busy_worker_leaves() {
    let pool = Pool::new(2);
    let caller = thread::current().id();
    let (is_inside, n_own, n_others) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let n_chunks = 2 * CHUNKS_PER_THREAD;
    pool.run(n_chunks, 1, Order::Upward, &|_, _| {
        if thread::current().id() == caller {
            wait_until("the worker enters", || is_inside.load(SeqCst));
            n_own.fetch_add(1, SeqCst);
        } else {
            n_others.fetch_add(1, SeqCst);
            is_inside.store(true, SeqCst);
            wait_until("the caller runs the rest", || n_own.load(SeqCst) == n_chunks - 1);
        }
    });
    assert_eq!((n_own.into_inner(), n_others.into_inner()), (n_chunks - 1, 1));
}

#[test]
fn chunks_are_even_and_not_too_many() {
    for threads in [2, 3, 16, 256] {
        for n_items in (1..500).chain([4094, 4095, 4096, 10_000, 1 << 40]) {
            let chunk = even_chunk(n_items, threads);
            let n_chunks = n_items.div_ceil(chunk);
            assert!(n_chunks < COUNT as usize && n_chunks <= 4 * threads * CHUNKS_PER_THREAD, "{n_items} {threads}");
            assert!(n_chunks >= n_items.min(threads * CHUNKS_PER_THREAD), "{n_items} {threads}");
        }
    }
    // Eight chunks of six on one side and seven on the other would be nine percent more.
    for n_items in [72, 88, 96, 250] {
        let chunk = even_chunk(n_items, 2);
        assert!(n_items.div_ceil(chunk).div_ceil(2) * chunk * 100 <= n_items.div_ceil(2) * 105, "{n_items} by {chunk}");
    }
}
