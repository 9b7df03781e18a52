//! Scores of the final layer alone. `logits` are at least one, none of them "not a number".

use super::exp_log::{EXP_BITS, log_sum_exp, sum_of_exp};
use super::fixed::HEAD_BITS;
use crate::backbone::FEATURE_BITS;

/// Negative maximum softmax probability (Hendrycks and Gimpel 2017), in `[−1, 0)`.
pub(super) fn msp(logits: &[i32]) -> i64 {
    // The largest softmax is exp(largest) / Σ exp = 1 / Σ exp(logit − largest), of a sum of at least
    // 1; the quotient has 32 fractional bits and rounds half up.
    let sum = sum_of_exp(largest(logits), logits.iter().map(energy_bits));
    let one = 1u128 << (EXP_BITS + HEAD_BITS);
    -(((2 * one / sum).div_ceil(2)) as i64)
}

/// Negative maximum logit (Hendrycks et al. 2022): exact.
pub(super) fn mls(logits: &[i32]) -> i64 {
    -largest(logits)
}

/// Negative log-sum-exp of the logits (Liu et al. 2020, temperature 1).
pub(super) fn el(logits: &[i32]) -> i64 {
    -log_sum_exp(logits.iter().map(energy_bits))
}

fn largest(logits: &[i32]) -> i64 {
    logits.iter().map(energy_bits).max().unwrap_or(0)
}

/// A logit with the fractional bits of an energy: below 2⁴³ in size.
fn energy_bits(logit: &i32) -> i64 {
    i64::from(*logit) << (HEAD_BITS - FEATURE_BITS)
}
