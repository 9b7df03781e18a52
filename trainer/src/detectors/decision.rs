//! Where a row lies relative to the final layer's decisions and to the mean of training rows.

use super::rows::mean;
use super::{LinearHead, dot, largest, minus, norm, over};
use oddsight::fit::{FitError, Rows};

/// fDBD (Liu and Qin 2024): minus the mean distance of a row to the decision boundaries of its class,
/// `|l_c − l_y| / ‖w_c − w_y‖` over the other classes, divided by `‖z − mean‖`.
#[derive(Clone, Debug, PartialEq)]
pub struct Fdbd {
    mean: Vec<f64>,
    /// `‖w_c − w_y‖`, K × K.
    apart: Vec<f64>,
}

impl Fdbd {
    pub fn fit(rows: &dyn Rows, head: &LinearHead) -> Result<Fdbd, FitError> {
        let apart = head.rows().flat_map(|a| head.rows().map(move |b| norm(&minus(a, b))));
        Ok(Fdbd { mean: mean(rows)?, apart: apart.collect() })
    }

    pub fn energy(&self, row: &[f64], logits: &[f64]) -> f64 {
        let named = largest(logits);
        let apart = &self.apart[named * logits.len()..][..logits.len()];
        // Classes with the same weights have no boundary.
        let others = logits.iter().zip(apart).filter(|(_, apart)| **apart > 0.0);
        let (mut sum, mut count) = (0.0, 0);
        for (logit, apart) in others {
            sum += (logits[named] - logit) / apart;
            count += 1;
        }
        -over(over(sum, f64::from(count)), norm(&minus(row, &self.mean)))
    }
}

/// NCI (Liu and Qin 2025): minus how near a row lies to the weights of its class, seen from the mean of
/// training rows: `−⟨w_y, z − mean⟩ / ‖z − mean‖ − α ‖z‖₁`.
#[derive(Clone, Debug, PartialEq)]
pub struct Nci {
    mean: Vec<f64>,
    /// α
    pub weight: f64,
}

impl Nci {
    /// α of the published code.
    const WEIGHT: f64 = 1e-4;

    pub fn fit(rows: &dyn Rows) -> Result<Nci, FitError> {
        Ok(Nci { mean: mean(rows)?, weight: Nci::WEIGHT })
    }

    pub fn energy(&self, head: &LinearHead, row: &[f64], logits: &[f64]) -> f64 {
        let apart = minus(row, &self.mean);
        let near = over(dot(head.row(largest(logits)), &apart), norm(&apart));
        -near - self.weight * row.iter().map(|x| x.abs()).sum::<f64>()
    }
}
