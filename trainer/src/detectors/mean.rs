//! Nearest class means by their inner products.

use super::rows::class_means;
use super::{dot, unit};
use crate::autodiff::log_sum_exp;
use oddsight::fit::{FitError, Rows};

/// How class means are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeanOptions {
    /// Rows and means (of rows as they are) have length 1.
    pub normalize: bool,
    /// All classes count (log-sum-exp), not the nearest alone.
    pub soft: bool,
}

impl Default for MeanOptions {
    fn default() -> MeanOptions {
        MeanOptions { normalize: true, soft: false }
    }
}

/// `−max_c z·μ_c`, or `−log Σ_c exp(z·μ_c)`: inner products with class means, as in HEAT's code; close to
/// SHE (Zhang et al. 2023), which takes the mean of the class that the layer names.
#[derive(Clone, Debug, PartialEq)]
pub struct Means {
    options: MeanOptions,
    means: Vec<Vec<f64>>,
}

impl Means {
    /// Errors: a row without a label or of no class; a class without rows.
    pub fn fit(
        rows: &dyn Rows,
        classes: &[String],
        options: &MeanOptions,
    ) -> Result<Means, FitError> {
        let means = class_means(rows, classes)?.into_iter();
        let means = means.map(|m| if options.normalize { unit(&m) } else { m }).collect();
        Ok(Means { options: *options, means })
    }

    pub fn energy(&self, row: &[f64]) -> f64 {
        let row = if self.options.normalize { unit(row) } else { row.to_vec() };
        let products: Vec<f64> = self.means.iter().map(|mean| dot(mean, &row)).collect();
        match self.options.soft {
            true => -log_sum_exp(&products),
            false => -products[super::largest(&products)],
        }
    }
}
