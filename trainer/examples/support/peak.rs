//! What the cores can do: fused multiply-adds of `f32` in registers.

use std::hint::black_box;
use std::time::Instant;

const ROUNDS: usize = 1 << 22;
/// Independent chains: more than the latency of an operation times the operations of a cycle.
const CHAINS: usize = 10;

/// Billions of operations per second of this many threads together, two per multiply-add.
pub fn gflop_per_s(threads: usize) -> f64 {
    let started = Instant::now();
    let lanes = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(0)).sum::<usize>()
    });
    (2 * ROUNDS * CHAINS * lanes) as f64 / started.elapsed().as_secs_f64() / 1e9
}

/// Numbers in a register.
#[cfg(target_arch = "x86_64")]
fn run() -> usize {
    #[target_feature(enable = "avx512f")]
    fn wide() {
        chains::<16>();
    }

    #[target_feature(enable = "avx2,fma")]
    fn narrow() {
        chains::<8>();
    }

    if is_x86_feature_detected!("avx512f") {
        // SAFETY: this machine has it.
        unsafe { wide() };
        16
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: this machine has both.
        unsafe { narrow() };
        8
    } else {
        0
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn run() -> usize {
    chains::<4>();
    4
}

#[inline(always)]
fn chains<const WIDTH: usize>() {
    let [a, b] = [black_box(0.999f32), black_box(0.001f32)];
    let mut sums = [[1.0f32; WIDTH]; CHAINS];
    for _ in 0..ROUNDS {
        for x in sums.iter_mut().flatten() {
            *x = x.mul_add(a, b);
        }
    }
    black_box(sums);
}
