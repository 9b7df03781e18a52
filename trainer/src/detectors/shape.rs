//! Energies of the logits after the row has been given another shape.

use oddsight::fit::{FitError, Rows};

use super::{LinearHead, rows};
use crate::autodiff::log_sum_exp;

/// ReAct (Sun et al. 2021): `−log Σ_c exp(W min(z, τ) + b)_c`, τ a percentile of all entries of training
/// rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct React {
    /// τ
    pub limit: f64,
}

impl React {
    /// Of the paper.
    pub const PERCENTILE: f64 = 90.0;

    pub fn fit(rows: &dyn Rows, percent: f64) -> Result<React, FitError> {
        Ok(React { limit: rows::percentile(rows, percent / 100.0)? })
    }

    pub fn energy(&self, head: &LinearHead, row: &[f64]) -> f64 {
        let clipped: Vec<f64> = row.iter().map(|x| x.min(self.limit)).collect();
        -log_sum_exp(&head.logits(&clipped))
    }
}

/// SCALE (Xu et al. 2024): `−log Σ_c exp(W z e^r + b)_c` with `r = Σ z / Σ z₊`, z₊ the largest entries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Percentage of entries that are not among the largest.
    pub percentile: f64,
}

impl Default for Scale {
    fn default() -> Scale {
        Scale { percentile: 85.0 }
    }
}

impl Scale {
    pub fn energy(&self, head: &LinearHead, row: &[f64]) -> f64 {
        let mut sorted = row.to_vec();
        sorted.sort_unstable_by(|a, b| b.total_cmp(a));
        let others = (row.len() as f64 * self.percentile / 100.0).round_ties_even() as usize;
        let kept: f64 = sorted[..row.len().saturating_sub(others).max(1)].iter().sum();
        let all: f64 = row.iter().sum();
        // A row of zeros has no shape.
        let factor = if kept == 0.0 { 1.0 } else { (all / kept).exp() };
        -log_sum_exp(&head.logits(&row.iter().map(|x| x * factor).collect::<Vec<_>>()))
    }
}
