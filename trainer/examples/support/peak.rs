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

/// Returns how many numbers a register has.
#[cfg(target_arch = "x86_64")]
fn run() -> usize {
    use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_set1_ps, _mm512_fmadd_ps, _mm512_set1_ps};

    #[target_feature(enable = "avx512f")]
    fn wide() {
        let [a, b] = [black_box(0.999), black_box(0.001)].map(|x| _mm512_set1_ps(x));
        let mut sums = [_mm512_set1_ps(1.0); CHAINS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, a, b);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx2,fma")]
    fn narrow() {
        let [a, b] = [black_box(0.999), black_box(0.001)].map(|x| _mm256_set1_ps(x));
        let mut sums = [_mm256_set1_ps(1.0); CHAINS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, a, b);
            }
        }
        black_box(sums);
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

/// Elsewhere, registers of four numbers; the compiler fuses.
#[cfg(not(target_arch = "x86_64"))]
fn run() -> usize {
    let [a, b] = [black_box(0.999f32), black_box(0.001f32)];
    let mut sums = [[1.0f32; 4]; CHAINS];
    for _ in 0..ROUNDS {
        sums = sums.map(|sum| sum.map(|x| x.mul_add(a, b)));
    }
    black_box(sums);
    4
}
