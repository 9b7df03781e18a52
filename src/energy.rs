//! Heads: from features to energies. Larger energy = more unusual, everywhere.
//!
//! A head is a small density or confidence model on top of a frozen backbone; a [`Composition`]
//! turns the energies of several heads into one number. The scores follow HEAT (Lafon et al., ICML
//! 2023, arXiv 2305.16966), written as energies.
//!
//! # One frame, one energy
//!
//! Everything here is `f64` addition, multiplication, division and square root in a fixed order,
//! plus `exp` and `log` of the `libm` crate, so a feature row has the same energy, bit for bit, on
//! every instruction set.
//!
//! # Broken frames
//!
//! Nothing here panics on the values of features. A head whose input holds a NaN or an infinity, has
//! another width than the head was fitted for, or overflows, has the energy `+∞`; a composition with
//! one such term is `+∞` whatever its rule, and saturates to `i64::MAX` in fixed point. So a broken
//! frame is never normal, and no energy is ever NaN.
//!
//! These types, in this order of fields and variants, are the postcard file format.

mod compose;
mod error;
mod gmm;
mod knn;
mod logit;
mod row;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use compose::{Composition, Rule, Term};
pub use error::{EnergyError, EnergyErrorKind};
pub use gmm::{Gmm, GmmScore};
pub use knn::Knn;
pub use row::project;

use crate::backbone::{Features, from_feature};

/// One energy head. The order of the variants is the file format.
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
}

/// The name of a head, as it is spelt in files, tables and on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HeadId {
    /// `msp`, see [`Head::Msp`]
    Msp,
    /// `mls`, see [`Head::Mls`]
    Mls,
    /// `el`, see [`Head::El`]
    El,
    /// `gmm`, see [`Head::Gmm`]
    Gmm,
    /// `gmm-std`, see [`Head::GmmStd`]
    GmmStd,
    /// `knn`, see [`Head::Knn`]
    Knn,
}

impl HeadId {
    /// Every head, in the order of the file format.
    pub const ALL: [HeadId; 6] =
        [HeadId::Msp, HeadId::Mls, HeadId::El, HeadId::Gmm, HeadId::GmmStd, HeadId::Knn];

    /// `msp`, `mls`, `el`, `gmm`, `gmm-std` or `knn`.
    pub fn name(self) -> &'static str {
        match self {
            HeadId::Msp => "msp",
            HeadId::Mls => "mls",
            HeadId::El => "el",
            HeadId::Gmm => "gmm",
            HeadId::GmmStd => "gmm-std",
            HeadId::Knn => "knn",
        }
    }
}

impl fmt::Display for HeadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for HeadId {
    type Err = EnergyError;

    fn from_str(text: &str) -> Result<HeadId, EnergyError> {
        HeadId::ALL.into_iter().find(|id| id.name() == text).ok_or_else(|| {
            let known = HeadId::ALL.map(HeadId::name).join(", ");
            EnergyError::new(
                EnergyErrorKind::Name,
                format!("unknown head {text:?}: the heads are {known}"),
            )
        })
    }
}

/// Buffers that scoring re-uses: one per thread; after the first frame no head allocates.
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
        }
    }

    /// The energy of one frame: finite, or `+∞` for a broken one (see the module's page).
    pub fn energy(&self, features: &Features, scratch: &mut Scratch) -> f64 {
        let row: Vec<f64> = self.input(features).iter().map(|&x| from_feature(x)).collect();
        if row.is_empty() || !row.iter().all(|x| x.is_finite()) {
            return f64::INFINITY;
        }
        let row = &row[..];
        let energy = match self {
            Head::Msp => logit::msp(row),
            Head::Mls => logit::mls(row),
            Head::El => logit::el(row),
            Head::Gmm(gmm) | Head::GmmStd(gmm) => gmm.energy(row, scratch),
            Head::Knn(knn) => knn.energy(row, scratch),
        };
        if energy.is_finite() { energy } else { f64::INFINITY }
    }

    /// The part of the features that this head reads.
    fn input<'f>(&self, features: &'f Features) -> &'f [i32] {
        match self {
            Head::Msp | Head::Mls | Head::El => &features.logits,
            Head::Gmm(_) | Head::Knn(_) => &features.avg,
            Head::GmmStd(_) => &features.std,
        }
    }

    /// The mixture of a `gmm` or `gmm-std` head.
    fn mixture(&self) -> Option<&Gmm> {
        match self {
            Head::Gmm(gmm) | Head::GmmStd(gmm) => Some(gmm),
            _ => None,
        }
    }
}

/// All heads of a model and the rule that composes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heads {
    /// The heads, each kind at most once.
    pub heads: Vec<Head>,
    /// How their energies become one.
    pub composition: Composition,
}

/// What [`Heads::score`] says of one frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// Energy of each head, in the order of [`Heads::heads`]; in the unit of that head.
    pub heads: Vec<f64>,
    /// Part of each composition term in `energy`, in the order of [`Composition::terms`]; the parts
    /// add up to `energy`.
    pub shares: Vec<f64>,
    /// The composed energy; finite or `+∞`.
    pub energy: f64,
    /// `energy` as signed Q47.16: rounded half to even, saturated; `+∞` is `i64::MAX`.
    pub energy_q16: i64,
    /// The component of the first mixture head that lies nearest, by Mahalanobis distance. `None`
    /// without such a head, or when its input is broken.
    pub nearest: Option<u32>,
}

impl Heads {
    /// Scores one frame. This is the only evaluation of heads, on the host and on the device.
    ///
    /// `avg` and `std` must have the width, and `logits` the classes, that [`Heads::check`] accepted;
    /// other lengths give `+∞`.
    pub fn score(&self, features: &Features, scratch: &mut Scratch) -> Scores {
        let mut energies = Vec::with_capacity(self.heads.len());
        let mut nearest = None;
        let first = self.heads.iter().position(|head| head.mixture().is_some());
        for (i, head) in self.heads.iter().enumerate() {
            let energy = head.energy(features, scratch);
            if first == Some(i) && energy.is_finite() {
                // A mixture leaves its squared distances behind, so they are not computed again.
                nearest = row::argmin(&scratch.distances);
            }
            energies.push(energy);
        }
        let (energy, shares) = self.composition.compose(&energies);
        Scores { heads: energies, shares, energy, energy_q16: to_q16(energy), nearest }
    }

    /// Refuses contents that [`Heads::score`] could not give a meaning to, for a backbone with
    /// `width` channels (`avg`, `std`) and `classes` logits.
    ///
    /// The contents may come from an untrusted file. Errors have the kind
    /// [`Shape`](EnergyErrorKind::Shape), [`Value`](EnergyErrorKind::Value) or
    /// [`Composition`](EnergyErrorKind::Composition) and name the head and the field.
    pub fn check(&self, width: usize, classes: usize) -> Result<(), EnergyError> {
        if self.heads.is_empty() {
            return Err(EnergyError::new(
                EnergyErrorKind::Shape,
                "the model has no heads: fit at least one".to_string(),
            ));
        }
        for (i, head) in self.heads.iter().enumerate() {
            let id = head.id();
            if self.heads[..i].iter().any(|earlier| earlier.id() == id) {
                return Err(EnergyError::new(
                    EnergyErrorKind::Shape,
                    format!("head {id} occurs twice: keep one"),
                ));
            }
            match head {
                Head::Msp | Head::Mls | Head::El if classes == 0 => {
                    return Err(EnergyError::new(
                        EnergyErrorKind::Shape,
                        format!("head {id} needs logits and the backbone has none: remove it"),
                    ));
                }
                Head::Msp | Head::Mls | Head::El => {}
                Head::Gmm(gmm) | Head::GmmStd(gmm) => gmm.check(id, width)?,
                Head::Knn(knn) => knn.check(id, width)?,
            }
        }
        self.composition.check(self.heads.len())
    }
}

/// Signed Q47.16, half to even, saturating. `energy` is never NaN.
fn to_q16(energy: f64) -> i64 {
    (energy * 65536.0).round_ties_even() as i64
}

#[cfg(test)]
mod tests;
