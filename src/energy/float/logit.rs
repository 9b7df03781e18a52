//! Scores of the final layer alone. `logits` are finite and at least one.

use super::row::{largest, log_sum_exp};

/// Negative maximum softmax probability (Hendrycks and Gimpel 2017), in `[−1, 0)`.
pub(super) fn msp(logits: &[f64]) -> f64 {
    // The largest softmax is exp(largest) / Σ exp = 1 / Σ exp(logit − largest).
    let largest = largest(logits.iter().copied());
    -1.0 / logits.iter().fold(0.0, |sum, &logit| sum + libm::exp(logit - largest))
}

/// Negative maximum logit (Hendrycks et al. 2022).
pub(super) fn mls(logits: &[f64]) -> f64 {
    -largest(logits.iter().copied())
}

/// Negative log-sum-exp of the logits (Liu et al. 2020, temperature 1).
pub(super) fn el(logits: &[f64]) -> f64 {
    -log_sum_exp(logits.iter().copied())
}
