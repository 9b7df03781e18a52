//! DICE: a sparse final layer.

use super::LinearHead;
use super::rows::mean;
use crate::autodiff::log_sum_exp;
use crate::metrics::percentile;
use oddsight::fit::{FitError, Rows};

/// DICE (Sun and Li 2022): `−log Σ_c exp((M ∘ W) z + b)_c`, where M keeps the weights that contribute most:
/// those with `w_cj · mean_j` strictly above a percentile of all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Dice {
    sparse: LinearHead,
    threshold: f64,
}

impl Dice {
    /// Of the paper for CIFAR; it has 70 for ImageNet.
    pub const PERCENTILE: f64 = 90.0;

    /// Chooses the weights by the mean of training rows.
    pub fn fit(rows: &dyn Rows, head: &LinearHead, percent: f64) -> Result<Dice, FitError> {
        let mean = mean(rows)?;
        let contributions = head.rows().flat_map(|w| w.iter().zip(&mean).map(|(w, m)| w * m));
        let contributions: Vec<f64> = contributions.collect();
        let mut sorted = contributions.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let threshold = percentile(&sorted, percent / 100.0);
        let kept = head.weights().iter().zip(&contributions);
        let kept = kept.map(|(&w, &c)| if c > threshold { w } else { 0.0 }).collect();
        Ok(Dice { sparse: LinearHead::new(kept, head.biases().to_vec())?, threshold })
    }

    /// The contribution that a weight has to exceed.
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// Number of weights that are kept.
    pub fn kept(&self) -> usize {
        self.sparse.weights().iter().filter(|w| **w != 0.0).count()
    }

    pub fn energy(&self, row: &[f64]) -> f64 {
        -log_sum_exp(&self.sparse.logits(row))
    }
}
