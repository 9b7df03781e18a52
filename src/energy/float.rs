//! Heads in real numbers (`f64`): what fitting gives, and the oracle that tests hold the integers to.
//!
//! A device never evaluates these: [`Heads::fix`] makes the integer form that it does. Format 1 of
//! `heads.postcard` holds [`Gmm`] and [`Knn`], in this order of fields.

mod compose;
mod gmm;
mod heat;
mod knn;
mod logit;
mod residual;
mod row;

use serde::{Deserialize, Serialize};

pub use compose::{Composition, Term};
pub(super) use gmm::LOG_2_PI;
pub use gmm::{Gmm, GmmScore};
pub(super) use heat::same_rows;
pub use heat::{Heat, LogitEnergy};
pub use knn::Knn;
pub(super) use residual::check_order;
pub use residual::{Dense, Residual};
pub use row::project;

use super::{EnergyError, EnergyErrorKind, HeadId};
use crate::backbone::{Features, from_feature};

/// One energy head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Head {
    /// Maximum softmax probability (Hendrycks and Gimpel 2017): `−max_c softmax(logits)_c`.
    Msp,
    /// Maximum logit (Hendrycks et al. 2022): `−max_c logits_c`.
    Mls,
    /// Energy of the logits (Liu et al. 2020) at temperature 1: `−log Σ_c exp(logits_c)`.
    El,
    /// Gaussian mixture over `avg`.
    Gmm(Gmm),
    /// Gaussian mixture over `std`.
    GmmStd(Gmm),
    /// Nearest neighbours over `avg`.
    Knn(Knn),
    /// [`Head::Gmm`], refined.
    HeatGmm(Heat<Gmm>),
    /// [`Head::GmmStd`], refined.
    HeatGmmStd(Heat<Gmm>),
    /// [`Head::El`], refined by a residual over `avg`.
    HeatEl(Heat<LogitEnergy>),
}

/// Buffers that scoring re-uses.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    /// The feature row as the head sees it.
    row: Vec<f64>,
    /// The same row multiplied by a whitener.
    whitened: Vec<f64>,
    /// Squared distances to components or to coreset rows.
    distances: Vec<f64>,
}

impl Head {
    /// The name of this head.
    pub fn id(&self) -> HeadId {
        match self {
            Head::Msp => HeadId::Msp,
            Head::Mls => HeadId::Mls,
            Head::El => HeadId::El,
            Head::Gmm(_) => HeadId::Gmm,
            Head::GmmStd(_) => HeadId::GmmStd,
            Head::Knn(_) => HeadId::Knn,
            Head::HeatGmm(_) => HeadId::HeatGmm,
            Head::HeatGmmStd(_) => HeadId::HeatGmmStd,
            Head::HeatEl(_) => HeadId::HeatEl,
        }
    }

    /// The energy of one frame: finite, or `+∞` for a broken one or after an overflow.
    pub fn energy(&self, features: &Features, scratch: &mut Scratch) -> f64 {
        let row = match self {
            Head::Msp | Head::Mls | Head::El => &features.logits,
            Head::Gmm(_) | Head::Knn(_) | Head::HeatGmm(_) | Head::HeatEl(_) => &features.avg,
            Head::GmmStd(_) | Head::HeatGmmStd(_) => &features.std,
        };
        let Some(row) = numbers(row) else { return f64::INFINITY };
        let energy = match self {
            Head::Msp => logit::msp(&row),
            Head::Mls => logit::mls(&row),
            Head::El => logit::el(&row),
            Head::Gmm(gmm) | Head::GmmStd(gmm) => gmm.energy(&row, scratch),
            Head::Knn(knn) => knn.energy(&row, scratch),
            Head::HeatGmm(heat) | Head::HeatGmmStd(heat) => {
                let prior = heat.prior.energy(&row, scratch);
                heat.energy(&row, prior, scratch)
            }
            Head::HeatEl(heat) => match numbers(&features.logits) {
                Some(logits) => heat.energy(&row, logit::el(&logits), scratch),
                None => f64::INFINITY,
            },
        };
        if energy.is_finite() { energy } else { f64::INFINITY }
    }

    /// The integer form of this head. Errors: contents without a meaning, or out of the range of the
    /// integers.
    pub fn fix(&self) -> Result<super::Head, EnergyError> {
        let id = self.id();
        Ok(match self {
            Head::Msp => super::Head::Msp,
            Head::Mls => super::Head::Mls,
            Head::El => super::Head::El,
            Head::Gmm(gmm) => super::Head::Gmm(super::Gmm::fix(gmm, id)?),
            Head::GmmStd(gmm) => super::Head::GmmStd(super::Gmm::fix(gmm, id)?),
            Head::Knn(knn) => super::Head::Knn(super::Knn::fix(knn, id)?),
            Head::HeatGmm(heat) => super::Head::HeatGmm(super::Heat::fix_gmm(heat, id)?),
            Head::HeatGmmStd(heat) => super::Head::HeatGmmStd(super::Heat::fix_gmm(heat, id)?),
            Head::HeatEl(heat) => super::Head::HeatEl(super::Heat::fix_el(heat, id)?),
        })
    }
}

/// A row of features as real numbers; `None` of nothing and of one that is not finite.
fn numbers(row: &[i32]) -> Option<Vec<f64>> {
    let row: Vec<f64> = row.iter().map(|&feature| from_feature(feature)).collect();
    (!row.is_empty() && row.iter().all(|x| x.is_finite())).then_some(row)
}

/// All heads of a model and the rule that composes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heads {
    /// The heads, each kind at most once.
    pub heads: Vec<Head>,
    /// How their energies become one.
    pub composition: Composition,
}

impl Heads {
    /// The integer form, which is the one that scores; see [`Head::fix`].
    ///
    /// A composition without terms is let through here, and refused by
    /// [`Heads::check`](super::Heads::check): its terms are known when the heads have scored.
    pub fn fix(&self) -> Result<super::Heads, EnergyError> {
        let heads = self.heads.iter().map(Head::fix).collect::<Result<Vec<_>, _>>()?;
        let composition = super::Composition::fix(&self.composition, heads.len())?;
        Ok(super::Heads { heads, composition })
    }
}

#[cfg(test)]
mod tests;
