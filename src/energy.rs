//! Heads: from features to energies. Larger energy = more unusual, everywhere.
//!
//! A head is a small density or confidence model on top of a frozen backbone; a [`Composition`]
//! turns the energies of several heads into one number. The scores follow HEAT (Lafon et al., ICML
//! 2023, arXiv 2305.16966), written as energies.
//!
//! # One frame, one energy
//!
//! [`Heads::score`] is integer arithmetic from the features (Q11.20) to the energy, so a frame has
//! the same energy, bit for bit, on every instruction set. A head's energy is signed Q31.32, the
//! composed one signed Q47.16. Heads are fitted in `f64` ([`float`]) and then fixed; the `f64` form
//! stays as the oracle: energies of the two differ by less than 0.1 % of the spread of normal
//! energies, which the tests check on real features. A residual has int8 weights, so that a refined
//! head differs by more (docs/heads.md).
//!
//! # Broken frames
//!
//! Nothing here panics on the values of features. A head whose input holds something that is not a
//! number, or has another width than the head was fitted for, has the energy `+∞`, which is
//! [`BROKEN`] (`i64::MAX`); a composition with one such term is `+∞` whatever its rule. So a broken
//! frame is never normal. The energy of a frame that is not broken saturates below that.
//!
//! These types, in this order of fields and variants, are the postcard file format.

mod compose;
mod error;
mod exp_log;
mod fixed;
pub mod float;
mod gmm;
mod heat;
mod knn;
mod logit;
mod ready;
mod residual;
mod rule;
mod unit;

use std::collections::BinaryHeap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use compose::{Composition, Term};
pub use error::{EnergyError, EnergyErrorKind};
pub use fixed::{BROKEN, Scale, from_q16, from_q32};
pub use float::{GmmScore, LogitEnergy};
pub use gmm::Gmm;
pub use heat::Heat;
pub use knn::Knn;
pub use residual::Residual;
pub use rule::Rule;

use crate::backbone::{Features, NOT_A_NUMBER};
use crate::kernel::Kernel;

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
    /// [`Head::Gmm`], refined by a residual over the same rows.
    HeatGmm(Heat<Gmm>),
    /// [`Head::GmmStd`], refined by a residual over the same rows.
    HeatGmmStd(Heat<Gmm>),
    /// [`Head::El`], refined by a residual over `avg`.
    HeatEl(Heat<LogitEnergy>),
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
    /// `heat-gmm`, see [`Head::HeatGmm`]
    HeatGmm,
    /// `heat-gmm-std`, see [`Head::HeatGmmStd`]
    HeatGmmStd,
    /// `heat-el`, see [`Head::HeatEl`]
    HeatEl,
}

impl HeadId {
    /// Every head, in the order of the file format.
    pub const ALL: [HeadId; 9] = [
        HeadId::Msp,
        HeadId::Mls,
        HeadId::El,
        HeadId::Gmm,
        HeadId::GmmStd,
        HeadId::Knn,
        HeadId::HeatGmm,
        HeadId::HeatGmmStd,
        HeadId::HeatEl,
    ];

    /// `msp`, `mls`, `el`, `gmm`, `gmm-std`, `knn`, `heat-gmm`, `heat-gmm-std` or `heat-el`.
    pub fn name(self) -> &'static str {
        match self {
            HeadId::Msp => "msp",
            HeadId::Mls => "mls",
            HeadId::El => "el",
            HeadId::Gmm => "gmm",
            HeadId::GmmStd => "gmm-std",
            HeadId::Knn => "knn",
            HeadId::HeatGmm => "heat-gmm",
            HeadId::HeatGmmStd => "heat-gmm-std",
            HeadId::HeatEl => "heat-el",
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
    row: Vec<i32>,
    /// The same, made unsigned.
    offset: Vec<u32>,
    /// The same, multiplied by the weights of a mixture.
    products: Vec<u64>,
    /// The same, rounded.
    whitened: Vec<i64>,
    /// Squared distances to components.
    distances: Vec<u128>,
    /// High bytes of a nearest-neighbour query.
    coarse: Vec<i16>,
    /// Squared distances to the nearest rows so far, the farthest on top.
    nearest: BinaryHeap<u64>,
    /// Weights of the terms of a composition.
    weights: Vec<u64>,
    /// What the layers of a residual need.
    layers: residual::Buffers,
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

    /// The energy of one frame, signed Q31.32; [`BROKEN`] for a broken one (see the module's page).
    pub fn energy_q32(&self, features: &Features, scratch: &mut Scratch) -> i64 {
        let (row, width) = match self {
            Head::Msp | Head::Mls | Head::El => (&features.logits, features.logits.len()),
            Head::Gmm(gmm) => (&features.avg, gmm.width()),
            Head::GmmStd(gmm) => (&features.std, gmm.width()),
            Head::Knn(knn) => (&features.avg, knn.width()),
            Head::HeatGmm(heat) => (&features.avg, heat.width()),
            Head::HeatGmmStd(heat) => (&features.std, heat.width()),
            Head::HeatEl(heat) => (&features.avg, heat.width()),
        };
        if is_broken(row) || row.len() != width {
            return BROKEN;
        }
        match self {
            Head::Msp => logit::msp(row),
            Head::Mls => logit::mls(row),
            Head::El => logit::el(row),
            Head::Gmm(gmm) | Head::GmmStd(gmm) => gmm.energy_q32(row, scratch),
            Head::Knn(knn) => knn.energy_q32(row, scratch),
            Head::HeatGmm(heat) | Head::HeatGmmStd(heat) => {
                let prior_q32 = heat.prior().energy_q32(row, scratch);
                heat.energy_q32(row, (prior_q32, heat.prior().normalises()), scratch)
            }
            Head::HeatEl(_) if is_broken(&features.logits) => BROKEN,
            Head::HeatEl(heat) => {
                heat.energy_q32(row, (logit::el(&features.logits), false), scratch)
            }
        }
    }

    /// Whether scoring leaves the distances to a mixture's components behind.
    fn has_components(&self) -> bool {
        matches!(self, Head::Gmm(_) | Head::GmmStd(_) | Head::HeatGmm(_) | Head::HeatGmmStd(_))
    }

    fn check(&self, width: usize, classes: usize) -> Result<(), EnergyError> {
        let id = self.id();
        if classes == 0 && matches!(self, Head::Msp | Head::Mls | Head::El | Head::HeatEl(_)) {
            let message = format!("head {id} needs logits and the backbone has none: remove it");
            return Err(EnergyError::new(EnergyErrorKind::Shape, message));
        }
        match self {
            Head::Msp | Head::Mls | Head::El => Ok(()),
            Head::Gmm(gmm) | Head::GmmStd(gmm) => gmm.check(id, width),
            Head::Knn(knn) => knn.check(id, width),
            Head::HeatGmm(heat) | Head::HeatGmmStd(heat) => {
                heat.check(id, width)?;
                heat.prior().check(id, width)?;
                float::same_rows(heat.normalises(), heat.prior().normalises(), id)
            }
            Head::HeatEl(heat) => heat.check(id, width),
        }
    }
}

/// Whether there is no energy of these features.
fn is_broken(row: &[i32]) -> bool {
    row.is_empty() || row.contains(&NOT_A_NUMBER)
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scores {
    /// Energy of each head, in the order of [`Heads::heads`]; in the unit of that head, signed Q31.32.
    pub heads_q32: Vec<i64>,
    /// Part of each composition term in the energy, in the order of [`Composition::terms`], signed
    /// Q47.16; the parts add up to the energy.
    pub shares_q16: Vec<i64>,
    /// The composed energy, signed Q47.16; [`BROKEN`] for `+∞`.
    pub energy_q16: i64,
    /// The component of the first mixture head, refined or not, that lies nearest, by Mahalanobis
    /// distance. `None` without such a head, or when its input is broken.
    pub nearest: Option<u32>,
}

impl Heads {
    /// Scores one frame into `scores`. This is the only evaluation of heads, on the host and on the
    /// device; it allocates nothing once `scratch` and `scores` have seen a frame.
    ///
    /// `avg` and `std` must have the width, and `logits` the classes, that [`Heads::check`] accepted;
    /// other lengths give `+∞`.
    pub fn score(&self, features: &Features, scratch: &mut Scratch, scores: &mut Scores) {
        scores.heads_q32.clear();
        scores.nearest = None;
        let first = self.heads.iter().position(Head::has_components);
        for (i, head) in self.heads.iter().enumerate() {
            let energy_q32 = head.energy_q32(features, scratch);
            if first == Some(i) && energy_q32 != BROKEN {
                // A mixture leaves its squared distances behind, so they are not computed again.
                let components = 0..scratch.distances.len() as u32;
                scores.nearest = components.min_by_key(|&c| scratch.distances[c as usize]);
            }
            scores.heads_q32.push(energy_q32);
        }
        self.composition.compose(scores, scratch);
    }

    /// Packs the weights of residuals for a kernel. Without this, the first frame packs them for the
    /// fastest kernel of this machine; energies do not depend on it. The heads must be
    /// [checked](Heads::check).
    pub fn pack(&mut self, kernel: Kernel) {
        for head in &mut self.heads {
            match head {
                Head::Gmm(gmm) | Head::GmmStd(gmm) => gmm.pack(kernel),
                Head::HeatGmm(heat) | Head::HeatGmmStd(heat) => {
                    heat.prior.pack(kernel);
                    heat.pack(kernel);
                }
                Head::HeatEl(heat) => heat.pack(kernel),
                _ => {}
            }
        }
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
            head.check(width, classes)?;
        }
        self.composition.check(self.heads.len())
    }
}

#[cfg(test)]
mod tests;
