//! Detectors of the field, to compare a model's heads with on the same pictures.
//!
//! They are not what a device runs: each is a function of a picture's `avg` row and of the backbone's final
//! layer, in `f64`, fitted to training rows in a few passes. Larger is more unusual, whatever sign a paper
//! has. Defaults are those of the papers; where HEAT's code departs from them, an option gives its number.
//! None of them has seen an unusual picture: constants that the literature tunes on some stay at their
//! published values.
//!
//! Logits are `W z + b` in `f64`, so that a detector does not depend on how an int8 backbone rounds its own.
//!
//! Memory grows with the width and the number of classes, not with that of rows.

mod decision;
mod dice;
mod kl;
mod linear;
mod logit;
mod mahalanobis;
mod mean;
mod rows;
mod shape;
mod subspace;
#[cfg(test)]
mod tests;
mod vim;

use std::fmt;
use std::str::FromStr;

use oddsight::energy::float;

use oddsight::fit::{FitError, FitErrorKind, Rows};

pub use decision::{Fdbd, Nci};
pub use dice::Dice;
pub use kl::Kl;
pub use linear::LinearHead;
pub use logit::{Gen, Odin, cosine};
pub use mahalanobis::{Mahalanobis, Relative};
pub use mean::{MeanOptions, Means};
pub use shape::{React, Scale};
pub use subspace::Pca;
pub use vim::{Vim, VimOptions};

/// A detector's name, as it is spelt in tables and on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DetectorId {
    /// `odin-head`: [`Odin`].
    OdinHead,
    /// `gen`: [`Gen`].
    Gen,
    /// `cosine`: [`cosine`].
    Cosine,
    /// `norm`: length of the row. Unusual rows are often the shorter ones: below 50 % of AUROC then.
    Norm,
    /// `react`: [`React`].
    React,
    /// `scale`: [`Scale`].
    Scale,
    /// `dice`: [`Dice`].
    Dice,
    /// `kl`: [`Kl`].
    Kl,
    /// `mean`: [`Means`], rows and means of length 1, the nearest class.
    Mean,
    /// `nci`: [`Nci`].
    Nci,
    /// `fdbd`: [`Fdbd`].
    Fdbd,
    /// `maha`: [`Mahalanobis`] as published: rows as they are.
    Maha,
    /// `maha-unit`: the same with rows of length 1 (SSD, Sehwag et al. 2021; Mahalanobis++, Müller and
    /// Hein 2025).
    MahaUnit,
    /// `maha-diagonal`: rows of length 1, a covariance without correlations.
    MahaDiagonal,
    /// `maha-one`: rows of length 1, one Gaussian without classes (SSD without labels).
    MahaOne,
    /// `rmds`: [`Relative`].
    Rmds,
    /// `pca`: distance from the principal subspace, [`Pca`].
    Pca,
    /// `vim`: [`Vim`].
    Vim,
}

impl DetectorId {
    /// Every detector, in the order of tables: of logits, of shaped logits, of classes, of densities, of
    /// subspaces.
    pub const ALL: [DetectorId; 18] = [
        DetectorId::OdinHead,
        DetectorId::Gen,
        DetectorId::Cosine,
        DetectorId::Norm,
        DetectorId::React,
        DetectorId::Scale,
        DetectorId::Dice,
        DetectorId::Kl,
        DetectorId::Mean,
        DetectorId::Nci,
        DetectorId::Fdbd,
        DetectorId::Maha,
        DetectorId::MahaUnit,
        DetectorId::MahaDiagonal,
        DetectorId::MahaOne,
        DetectorId::Rmds,
        DetectorId::Pca,
        DetectorId::Vim,
    ];

    /// As it is spelt.
    pub fn name(self) -> &'static str {
        match self {
            DetectorId::OdinHead => "odin-head",
            DetectorId::Gen => "gen",
            DetectorId::Cosine => "cosine",
            DetectorId::Norm => "norm",
            DetectorId::React => "react",
            DetectorId::Scale => "scale",
            DetectorId::Dice => "dice",
            DetectorId::Kl => "kl",
            DetectorId::Mean => "mean",
            DetectorId::Nci => "nci",
            DetectorId::Fdbd => "fdbd",
            DetectorId::Maha => "maha",
            DetectorId::MahaUnit => "maha-unit",
            DetectorId::MahaDiagonal => "maha-diagonal",
            DetectorId::MahaOne => "maha-one",
            DetectorId::Rmds => "rmds",
            DetectorId::Pca => "pca",
            DetectorId::Vim => "vim",
        }
    }

    /// Whether it is fitted to rows of known classes.
    pub fn needs_classes(self) -> bool {
        matches!(
            self,
            DetectorId::Mean
                | DetectorId::Maha
                | DetectorId::MahaUnit
                | DetectorId::MahaDiagonal
                | DetectorId::Rmds
        )
    }
}

impl fmt::Display for DetectorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for DetectorId {
    type Err = FitError;

    fn from_str(text: &str) -> Result<DetectorId, FitError> {
        DetectorId::ALL.into_iter().find(|id| id.name() == text).ok_or_else(|| {
            let known = DetectorId::ALL.map(DetectorId::name).join(", ");
            let message = format!("unknown detector {text:?}: the detectors are {known}");
            FitError::new(FitErrorKind::Option, message)
        })
    }
}

/// A fitted detector.
#[derive(Clone, Debug)]
pub enum Detector {
    Odin(Odin),
    Gen(Gen),
    Cosine,
    Norm,
    React(React),
    Scale(Scale),
    Dice(Dice),
    Kl(Kl),
    Mean(Means),
    Nci(Nci),
    Fdbd(Fdbd),
    Mahalanobis(Mahalanobis),
    Relative(Relative),
    Pca(Pca),
    Vim(Vim),
}

impl Detector {
    /// Fits a detector with its default options to `avg` rows, which have labels where `classes` has names.
    ///
    /// Errors: rows of another width than the layer's, a row that is not finite, too few of them; no
    /// classes where some are needed.
    pub fn fit(
        id: DetectorId,
        rows: &dyn Rows,
        classes: &[String],
        head: &LinearHead,
    ) -> Result<Detector, FitError> {
        head.check(rows.width())?;
        if id.needs_classes() && classes.is_empty() {
            let message = format!(
                "detector {id} is fitted to classes, and the rows have none: give pictures in class \
                 folders, or leave it out"
            );
            return Err(FitError::new(FitErrorKind::Label, message));
        }
        Ok(match id {
            DetectorId::OdinHead => Detector::Odin(Odin::default()),
            DetectorId::Gen => Detector::Gen(Gen::default()),
            DetectorId::Cosine => Detector::Cosine,
            DetectorId::Norm => Detector::Norm,
            DetectorId::React => Detector::React(React::fit(rows, React::PERCENTILE)?),
            DetectorId::Scale => Detector::Scale(Scale::default()),
            DetectorId::Dice => Detector::Dice(Dice::fit(rows, head, Dice::PERCENTILE)?),
            DetectorId::Kl => Detector::Kl(Kl::fit(rows, head)?),
            DetectorId::Mean => Detector::Mean(Means::fit(rows, classes, &MeanOptions::default())?),
            DetectorId::Nci => Detector::Nci(Nci::fit(rows)?),
            DetectorId::Fdbd => Detector::Fdbd(Fdbd::fit(rows, head)?),
            DetectorId::Maha => Detector::Mahalanobis(Mahalanobis::fit(rows, classes, false)?),
            DetectorId::MahaUnit => Detector::Mahalanobis(Mahalanobis::fit(rows, classes, true)?),
            DetectorId::MahaDiagonal => {
                Detector::Mahalanobis(Mahalanobis::fit_diagonal(rows, classes, true)?)
            }
            DetectorId::MahaOne => Detector::Mahalanobis(Mahalanobis::fit_one(rows, true)?),
            DetectorId::Rmds => Detector::Relative(Relative::fit(rows, classes, false)?),
            DetectorId::Pca => Detector::Pca(Pca::fit(rows, Pca::usual_components(rows.width()))?),
            DetectorId::Vim => {
                Detector::Vim(Vim::fit(rows, head, &VimOptions::usual(rows.width()))?)
            }
        })
    }

    /// The energy of a row of the layer's width and of its logits; +∞ where the row is not finite.
    pub fn energy(&self, head: &LinearHead, row: &[f64], logits: &[f64]) -> f64 {
        if !row.iter().all(|x| x.is_finite()) {
            return f64::INFINITY;
        }
        match self {
            Detector::Odin(odin) => odin.energy(head, row),
            Detector::Gen(generalised) => generalised.energy(logits),
            Detector::Cosine => cosine(head, row),
            Detector::Norm => norm(row),
            Detector::React(react) => react.energy(head, row),
            Detector::Scale(scale) => scale.energy(head, row),
            Detector::Dice(dice) => dice.energy(row),
            Detector::Kl(kl) => kl.energy(logits),
            Detector::Mean(means) => means.energy(row),
            Detector::Nci(nci) => nci.energy(head, row, logits),
            Detector::Fdbd(fdbd) => fdbd.energy(row, logits),
            Detector::Mahalanobis(mahalanobis) => mahalanobis.energy(row),
            Detector::Relative(relative) => relative.energy(row),
            Detector::Pca(pca) => pca.distance(row),
            Detector::Vim(vim) => vim.energy(head, row, logits),
        }
    }
}

/// Some detectors, fitted to the same rows.
#[derive(Clone, Debug)]
pub struct Detectors {
    head: LinearHead,
    fitted: Vec<(DetectorId, Detector)>,
}

impl Detectors {
    /// Fits them; see [`Detector::fit`]. The message of an error names the detector.
    pub fn fit(
        ids: &[DetectorId],
        rows: &dyn Rows,
        classes: &[String],
        head: LinearHead,
    ) -> Result<Detectors, FitError> {
        let fit = |&id: &DetectorId| match Detector::fit(id, rows, classes, &head) {
            Ok(detector) => Ok((id, detector)),
            Err(e) => Err(FitError::new(e.kind(), format!("detector {id}: {e}"))),
        };
        let fitted = ids.iter().map(fit).collect::<Result<_, _>>()?;
        Ok(Detectors { head, fitted })
    }

    /// Their names, in the order of fitting.
    pub fn names(&self) -> Vec<String> {
        self.fitted.iter().map(|(id, _)| id.to_string()).collect()
    }

    /// Their energies of one row, in the same order. Panics when it has not the layer's width.
    pub fn energies(&self, row: &[f64]) -> Vec<f64> {
        let logits = self.head.logits(row);
        let energy = |(_, detector): &(_, Detector)| detector.energy(&self.head, row, &logits);
        self.fitted.iter().map(energy).collect()
    }
}

/// Norms below this are taken for this, as everywhere where rows are normalised.
const SMALLEST_NORM: f64 = 1e-12;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(row: &[f64]) -> f64 {
    dot(row, row).sqrt()
}

/// The row with length 1.
fn unit(row: &[f64]) -> Vec<f64> {
    let mut out = Vec::with_capacity(row.len());
    float::project(row, true, &mut out);
    out
}

/// `a − b`
fn minus(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// The place of the largest number, the first of equals; 0 of none.
fn largest(values: &[f64]) -> usize {
    let better = |best: usize, i: usize| if values[i] > values[best] { i } else { best };
    (0..values.len()).fold(0, better)
}

/// Quotient with a positive divisor that may be 0.
fn over(value: f64, divisor: f64) -> f64 {
    value / divisor.max(SMALLEST_NORM)
}
