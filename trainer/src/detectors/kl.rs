//! KL matching.

use super::rows::visit;
use super::{LinearHead, largest};
use crate::autodiff::log_sum_exp;
use oddsight::fit::{FitError, FitErrorKind, Rows};

/// KL matching (Hendrycks et al. 2022): `min_c KL(p ‖ q_c)`, p the softmax of a row's logits and q_c the mean
/// softmax of the training rows that the layer names c.
///
/// Classes that it names for no row match nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Kl {
    /// Training rows named so, class by class.
    counts: Vec<u64>,
    /// `log q_c` of classes that were named.
    templates: Vec<Vec<f64>>,
}

impl Kl {
    pub fn fit(rows: &dyn Rows, head: &LinearHead) -> Result<Kl, FitError> {
        let classes = head.classes();
        let mut counts = vec![0u64; classes];
        let mut sums = vec![0.0; classes * classes];
        visit(rows, &mut |row| {
            let logs = log_softmax(&head.logits(row));
            let named = largest(&logs);
            counts[named] += 1;
            let sum = &mut sums[named * classes..][..classes];
            sum.iter_mut().zip(&logs).for_each(|(sum, log)| *sum += log.exp());
        })?;
        let named = sums.chunks_exact(classes).zip(&counts).filter(|(_, count)| **count > 0);
        // Shares that are 0 by underflow: far from everything, and finite.
        let log = |sum: f64, count: u64| (sum / count as f64).max(f64::MIN_POSITIVE).ln();
        let template = |(sum, count): (&[f64], &u64)| sum.iter().map(|&s| log(s, *count)).collect();
        let templates: Vec<Vec<f64>> = named.map(template).collect();
        if templates.is_empty() {
            let message = "there are no rows to fit: add pictures".to_string();
            return Err(FitError::new(FitErrorKind::TooFew, message));
        }
        Ok(Kl { counts, templates })
    }

    /// How many training rows were named each class.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    pub fn energy(&self, logits: &[f64]) -> f64 {
        let logs = log_softmax(logits);
        let divergence = |template: &Vec<f64>| -> f64 {
            logs.iter().zip(template).map(|(p, q)| p.exp() * (p - q)).sum()
        };
        self.templates.iter().map(divergence).fold(f64::INFINITY, f64::min)
    }
}

fn log_softmax(logits: &[f64]) -> Vec<f64> {
    let total = log_sum_exp(logits);
    logits.iter().map(|l| l - total).collect()
}
