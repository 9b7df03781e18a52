//! Gaussian classes with one covariance.

use oddsight::energy::float::{Gmm, GmmScore, Scratch};

use oddsight::fit::{
    Components, FitError, FitErrorKind, GmmOptions, MixtureOptions, Rows, fit_gmm,
    fit_gmm_diagonal, fit_mixture,
};

const SCORE: GmmScore = GmmScore::MinMahalanobis;

/// `min_c (z−μ_c)ᵀ Σ⁻¹ (z−μ_c)` of class means and the covariance that classes share (Lee et al. 2018; of
/// the last layer alone, and without their step on pixels).
#[derive(Clone, Debug, PartialEq)]
pub struct Mahalanobis(Gmm);

impl Mahalanobis {
    pub fn fit(
        rows: &dyn Rows,
        classes: &[String],
        normalize: bool,
    ) -> Result<Mahalanobis, FitError> {
        Ok(Mahalanobis(fit_gmm(rows, classes, &GmmOptions { normalize, score: SCORE })?))
    }

    /// The same with the variances of the covariance alone.
    pub fn fit_diagonal(
        rows: &dyn Rows,
        classes: &[String],
        normalize: bool,
    ) -> Result<Mahalanobis, FitError> {
        Ok(Mahalanobis(fit_gmm_diagonal(rows, classes, &GmmOptions { normalize, score: SCORE })?))
    }

    /// One mean and the covariance of all rows; labels are ignored.
    pub fn fit_one(rows: &dyn Rows, normalize: bool) -> Result<Mahalanobis, FitError> {
        let options = MixtureOptions {
            normalize,
            score: SCORE,
            components: Components::Exactly(1),
            ..MixtureOptions::default()
        };
        Ok(Mahalanobis(fit_mixture(rows, &options)?.gmm))
    }

    pub fn energy(&self, row: &[f64]) -> f64 {
        self.0.energy(row, &mut Scratch::default())
    }
}

/// Relative Mahalanobis distance (RMDS, Ren et al. 2021): [`Mahalanobis`] minus the distance to the one
/// Gaussian of all rows, which takes away what is common to all classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Relative {
    classes: Mahalanobis,
    all: Mahalanobis,
}

impl Relative {
    /// Errors: as [`Mahalanobis::fit`]; one class, which is no other than all rows.
    pub fn fit(rows: &dyn Rows, classes: &[String], normalize: bool) -> Result<Relative, FitError> {
        if classes.len() < 2 {
            let message = "a distance relative to all rows needs two classes or more: leave it out";
            return Err(FitError::new(FitErrorKind::TooFew, message.into()));
        }
        Ok(Relative {
            classes: Mahalanobis::fit(rows, classes, normalize)?,
            all: Mahalanobis::fit_one(rows, normalize)?,
        })
    }

    pub fn energy(&self, row: &[f64]) -> f64 {
        self.classes.energy(row) - self.all.energy(row)
    }
}
