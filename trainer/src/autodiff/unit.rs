//! L2 normalisation.

use super::Real;

/// Divides a row by its length and returns the length; a zero row stays.
///
/// Rows shorter than 10⁻¹² are divided by that, as in the authors' code.
pub fn unit<T: Real>(row: &mut [T]) -> T {
    let norm = norm(row);
    let inverse = norm.max(T::of(1e-12)).recip();
    row.iter_mut().for_each(|x| *x *= inverse);
    norm
}

/// In eight sums, so that they run side by side; their order is fixed.
fn norm<T: Real>(row: &[T]) -> T {
    let mut sums = [T::zero(); 8];
    let chunks = row.chunks_exact(8);
    let rest: T = chunks.remainder().iter().map(|&x| x * x).sum();
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, &x)| *sum += x * x);
    }
    (sums.into_iter().sum::<T>() + rest).sqrt()
}
