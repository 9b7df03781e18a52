//! `log Σ_c exp(x_c)`.

use super::Real;

/// Of one row of finite numbers; never overflows.
pub fn log_sum_exp<T: Real>(row: &[T]) -> T {
    let largest = row.iter().copied().fold(T::neg_infinity(), T::max);
    largest + row.iter().map(|&x| (x - largest).exp()).sum::<T>().ln()
}

/// Turns the row into the gradient, which is its softmax, times `gradient`.
pub fn log_sum_exp_backward<T: Real>(row: &mut [T], gradient: T) {
    let total = log_sum_exp(row);
    row.iter_mut().for_each(|x| *x = (*x - total).exp() * gradient);
}
