//! Why nothing was learnt.

use std::fmt;

use crate::energy::EnergyError;
use crate::fit::FitError;

/// Why a [`Learner`](super::Learner) gave no heads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearnError {
    kind: LearnErrorKind,
    why: String,
}

/// The kinds of [`LearnError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LearnErrorKind {
    /// Too few frames were seen.
    TooFew,
    /// A head could not be fitted to what was seen.
    Fit,
    /// The calibration does not carry the model's alpha.
    Calibration,
    /// The new heads do not run on the model's backbone.
    Model,
}

impl LearnError {
    pub(super) fn new(kind: LearnErrorKind, why: String) -> LearnError {
        LearnError { kind, why }
    }

    pub(super) fn fit(e: FitError) -> LearnError {
        LearnError::new(LearnErrorKind::Fit, e.to_string())
    }

    pub(super) fn energy(e: EnergyError) -> LearnError {
        LearnError::new(LearnErrorKind::Fit, e.to_string())
    }

    /// What went wrong, for programs.
    pub fn kind(&self) -> LearnErrorKind {
        self.kind
    }
}

impl fmt::Display for LearnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for LearnError {}
