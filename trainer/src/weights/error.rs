use std::fmt;

/// Why weights could not be learnt. The message names the pictures or the head, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightsError {
    kind: WeightsErrorKind,
    message: String,
}

/// The sort of a [`WeightsError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeightsErrorKind {
    /// Energies that are not rows of as many heads as were named.
    Shape,
    /// A penalty that is not positive.
    Penalty,
    /// Not enough pictures of one sort.
    TooFew,
    /// An energy is NaN or infinite.
    NonFinite,
    /// A head says the same of all normal pictures.
    Identical,
    /// Every weight would be 0.
    NoHead,
    /// The minimum was not reached.
    NotConverged,
}

impl WeightsError {
    pub(super) fn new(kind: WeightsErrorKind, message: String) -> WeightsError {
        WeightsError { kind, message }
    }

    /// The sort of error, for programs.
    pub fn kind(&self) -> WeightsErrorKind {
        self.kind
    }
}

impl fmt::Display for WeightsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for WeightsError {}
