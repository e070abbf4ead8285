//! What the arithmetic units of this machine can do: fused multiply-adds on registers, nothing else.

use std::hint::black_box;
use std::time::{Duration, Instant};

const SLICE: Duration = Duration::from_millis(60);
/// Independent chains, enough to hide the latency of each.
const CHAINS: usize = 12;

/// Floating-point operations per second of this many threads.
pub fn measure(n_threads: usize) -> f64 {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..n_threads.max(1)).map(|_| scope.spawn(one_thread)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or(0.0)).sum()
    })
}

fn one_thread() -> f64 {
    let mut best = 0.0f64;
    let start = Instant::now();
    while start.elapsed() < SLICE {
        let begin = Instant::now();
        let flops = burst();
        best = best.max(flops / begin.elapsed().as_secs_f64());
    }
    best
}

const ROUNDS: usize = 20_000;

#[cfg(target_arch = "x86_64")]
fn burst() -> f64 {
    if std::is_x86_feature_detected!("avx512f") {
        // SAFETY: the feature was just seen.
        unsafe { burst_avx512() }
    } else if std::is_x86_feature_detected!("fma") && std::is_x86_feature_detected!("avx2") {
        // SAFETY: as above.
        unsafe { burst_avx2() }
    } else {
        burst_plain()
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn burst() -> f64 {
    burst_plain()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn burst_avx512() -> f64 {
    use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_reduce_add_ps, _mm512_set1_ps};
    let (a, b) = (_mm512_set1_ps(black_box(0.999)), _mm512_set1_ps(black_box(0.001)));
    let mut chains = [a; CHAINS];
    // Equal chains would be computed once.
    for (idx, chain) in chains.iter_mut().enumerate() {
        *chain = _mm512_set1_ps(black_box(idx as f32));
    }
    for _ in 0..ROUNDS {
        for chain in &mut chains {
            *chain = _mm512_fmadd_ps(*chain, a, b);
        }
    }
    chains.iter().for_each(|&chain| _ = black_box(_mm512_reduce_add_ps(chain)));
    (ROUNDS * CHAINS * 16 * 2) as f64
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn burst_avx2() -> f64 {
    use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_set1_ps, _mm256_storeu_ps};
    let (a, b) = (_mm256_set1_ps(black_box(0.999)), _mm256_set1_ps(black_box(0.001)));
    let mut chains = [a; CHAINS];
    // Equal chains would be computed once.
    for (idx, chain) in chains.iter_mut().enumerate() {
        *chain = _mm256_set1_ps(black_box(idx as f32));
    }
    for _ in 0..ROUNDS {
        for chain in &mut chains {
            *chain = _mm256_fmadd_ps(*chain, a, b);
        }
    }
    let mut out = [0f32; 8];
    for chain in chains {
        // SAFETY: `out` holds eight floats.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), chain) };
        black_box(&out);
    }
    (ROUNDS * CHAINS * 8 * 2) as f64
}

/// Four lanes at a time, as compilers vectorise it.
fn burst_plain() -> f64 {
    let (a, b) = (black_box(0.999f32), black_box(0.001f32));
    let mut chains = [[1f32; 4]; CHAINS];
    for _ in 0..ROUNDS {
        for chain in &mut chains {
            for lane in chain {
                *lane = *lane * a + b;
            }
        }
    }
    black_box(&chains);
    (ROUNDS * CHAINS * 4 * 2) as f64
}
