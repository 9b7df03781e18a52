//! The float32 peak of this machine, by what its fused multiply-adds do when nothing else is in their way.

use std::hint::black_box;
use std::time::Instant;

/// Chains that are independent of each other: more than two multiply-adds a cycle with a latency of five need.
const CHAINS: usize = 12;
/// Multiply-adds of each chain in one measurement.
const ROUNDS: usize = 4_000_000;

/// GFLOP/s of `threads` threads, a multiply-add being two; the best of five measurements.
pub fn gflop_per_s(threads: usize) -> f64 {
    (0..5).map(|_| measure(threads)).fold(0.0, f64::max)
}

fn measure(threads: usize) -> f64 {
    let start = Instant::now();
    let flop: usize = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(multiply_adds)).collect();
        running.into_iter().map(|thread| thread.join().expect("it does not panic")).sum()
    });
    flop as f64 / start.elapsed().as_secs_f64() / 1e9
}

/// Runs the chains and returns how many operations they were.
fn multiply_adds() -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f")]
        fn avx512() {
            chains::<16>();
        }
        #[target_feature(enable = "avx2,fma")]
        fn avx2() {
            chains::<8>();
        }
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the machine has AVX-512F.
            unsafe { avx512() };
            return 2 * CHAINS * ROUNDS * 16;
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the machine has AVX2 and FMA.
            unsafe { avx2() };
            return 2 * CHAINS * ROUNDS * 8;
        }
    }
    chains::<4>();
    2 * CHAINS * ROUNDS * 4
}

#[inline(always)]
fn chains<const LANES: usize>() {
    let (factor, addend) = (black_box(0.999f32), black_box(0.001f32));
    let mut chains = black_box([[1.0f32; LANES]; CHAINS]);
    for _ in 0..ROUNDS {
        for chain in &mut chains {
            for x in chain {
                *x = x.mul_add(factor, addend);
            }
        }
    }
    black_box(chains);
}
