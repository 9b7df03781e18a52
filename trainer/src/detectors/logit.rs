//! Detectors of logits that nothing is fitted for.

use super::{LinearHead, dot, largest, norm, over};
use crate::autodiff::{log_sum_exp, log_sum_exp_backward};

/// ODIN (Liang et al. 2018) on the final layer: `−max_c softmax(f(z')/T)_c` after the row has moved by
/// `z' = z + ε sign(∇_z log softmax(f(z)/T)_y)`, y the class of the largest logit.
///
/// The published method moves pixels, which needs the gradient of the whole network; here the same step is
/// taken on features. No number of it may be quoted as ODIN's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Odin {
    /// T
    pub temperature: f64,
    /// ε
    pub epsilon: f64,
}

impl Default for Odin {
    fn default() -> Odin {
        Odin { temperature: 1000.0, epsilon: 0.0014 }
    }
}

impl Odin {
    pub fn energy(&self, head: &LinearHead, row: &[f64]) -> f64 {
        let logits = head.logits(row);
        let named = largest(&logits);
        let shares = self.softmax(logits);
        // T ∇_z log p_y = w_y − Σ_c p_c w_c; its sign is that of the gradient.
        let mut gradient = head.row(named).to_vec();
        for (weights, share) in head.rows().zip(&shares) {
            gradient.iter_mut().zip(weights).for_each(|(g, w)| *g -= share * w);
        }
        let step = |(&x, &g): (&f64, &f64)| match g {
            0.0 => x,
            _ => x + self.epsilon * g.signum(),
        };
        let moved: Vec<f64> = row.iter().zip(&gradient).map(step).collect();
        -self.softmax(head.logits(&moved)).into_iter().fold(0.0, f64::max)
    }

    fn softmax(&self, mut logits: Vec<f64>) -> Vec<f64> {
        logits.iter_mut().for_each(|l| *l /= self.temperature);
        log_sum_exp_backward(&mut logits, 1.0);
        logits
    }
}

/// Generalised entropy (GEN, Liu et al. 2023): `Σ p_c^γ (1 − p_c)^γ` over the M likeliest classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gen {
    /// γ
    pub power: f64,
    /// M
    pub classes: usize,
}

impl Default for Gen {
    fn default() -> Gen {
        Gen { power: 0.1, classes: 100 }
    }
}

impl Gen {
    pub fn energy(&self, logits: &[f64]) -> f64 {
        // log p and log(1 − p): for a small γ, tiny shares count, and those near 1 round to it.
        let total = log_sum_exp(logits);
        let mut logs: Vec<f64> = logits.iter().map(|l| l - total).collect();
        logs.sort_unstable_by(|a, b| b.total_cmp(a));
        let log_rest = |i: usize| match logs[i] {
            // Of the likeliest class, the sum of the others; 1 − p would be 0 from p = 1 − 10⁻¹⁶ on.
            _ if i == 0 && logs.len() > 1 => log_sum_exp(&logs[1..]),
            log => (-log.exp()).ln_1p(),
        };
        let term = |i: usize| (self.power * (logs[i] + log_rest(i))).exp();
        (0..logs.len().min(self.classes)).map(term).sum()
    }
}

/// `−log Σ_c exp(cos(z, w_c))`: the energy (Liu et al. 2020) of the cosines between a row and the weights
/// of each class, without bias and temperature, as HEAT's code has it.
pub fn cosine(head: &LinearHead, row: &[f64]) -> f64 {
    let length = norm(row);
    let cosines = head.rows().map(|w| over(over(dot(w, row), length), norm(w)));
    -log_sum_exp(&cosines.collect::<Vec<_>>())
}
