//! ViM: a virtual logit.

use nalgebra::{DMatrix, DVector};

use super::rows::{mean, moment, visit};
use super::subspace::{Pca, axes, check_components};
use super::{LinearHead, dot, largest, minus};
use crate::autodiff::log_sum_exp;
use oddsight::fit::{FitError, FitErrorKind, Rows};

/// How ViM is fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VimOptions {
    /// Dimensions of the principal subspace.
    pub principal: usize,
    /// HEAT's code: the subspace is that of the covariance, and the energy that of the logits of `z − u`. As
    /// published, it is that of the second moments about u, and of the row's own logits.
    pub as_heat: bool,
}

impl VimOptions {
    /// As published; the paper takes 1,000 of 2,048 dimensions, and OpenOOD half of 512.
    pub fn usual(width: usize) -> VimOptions {
        VimOptions { principal: Pca::usual_components(width), as_heat: false }
    }
}

/// ViM (Wang et al. 2022): `α ‖Rᵀ(z − u)‖ − log Σ_c exp(l_c)`. `u = −W⁺ b` is where all logits are nearest
/// to 0, R spans what lies beside the principal subspace of `z − u`, and α brings both terms to one scale:
/// the mean largest logit of training rows over their mean residual.
#[derive(Clone, Debug, PartialEq)]
pub struct Vim {
    as_heat: bool,
    origin: Vec<f64>,
    /// R, one vector per row.
    rest: Vec<Vec<f64>>,
    alpha: f64,
}

impl Vim {
    /// Errors: no principal dimensions, or all of them; no rows; rows that all lie in the principal
    /// subspace.
    pub fn fit(rows: &dyn Rows, head: &LinearHead, options: &VimOptions) -> Result<Vim, FitError> {
        check_components(options.principal, rows.width())?;
        let origin = origin(head)?;
        let centre = if options.as_heat { mean(rows)? } else { origin.clone() };
        let (_, mut vectors) = axes(moment(rows, &centre)?.0)?;
        let rest = vectors.split_off(options.principal);
        let mut vim = Vim { as_heat: options.as_heat, origin, rest, alpha: 0.0 };
        let (mut logits, mut residuals) = (0.0, 0.0);
        visit(rows, &mut |row| {
            let of_row = head.logits(row);
            logits += of_row[largest(&of_row)];
            residuals += vim.residual(row);
        })?;
        vim.alpha = logits / residuals;
        if !vim.alpha.is_finite() {
            let message = format!(
                "all rows lie in {} dimensions, which leaves no residual: add pictures that differ",
                options.principal
            );
            return Err(FitError::new(FitErrorKind::Singular, message));
        }
        Ok(vim)
    }

    /// u
    pub fn origin(&self) -> &[f64] {
        &self.origin
    }

    /// α
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// `‖Rᵀ(z − u)‖`
    pub fn residual(&self, row: &[f64]) -> f64 {
        let apart = minus(row, &self.origin);
        self.rest.iter().map(|axis| dot(axis, &apart).powi(2)).sum::<f64>().sqrt()
    }

    pub fn energy(&self, head: &LinearHead, row: &[f64], logits: &[f64]) -> f64 {
        let virtual_logit = self.alpha * self.residual(row);
        match self.as_heat {
            true => virtual_logit - log_sum_exp(&head.logits(&minus(row, &self.origin))),
            false => virtual_logit - log_sum_exp(logits),
        }
    }
}

/// `−W⁺ b`
fn origin(head: &LinearHead) -> Result<Vec<f64>, FitError> {
    let weights = DMatrix::from_row_slice(head.classes(), head.width(), head.weights());
    let sides = head.classes().max(head.width()) as f64;
    let svd = weights.svd(true, true);
    let least = svd.singular_values.max() * sides * f64::EPSILON;
    let solved = svd.solve(&DVector::from_row_slice(head.biases()), least);
    let solved = solved.map_err(|why| {
        let message = format!("the final layer has no pseudo-inverse: {why}");
        FitError::new(FitErrorKind::Singular, message)
    })?;
    Ok(solved.iter().map(|x| -x).collect())
}
