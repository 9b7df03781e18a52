//! What can be wrong with a head's name, a rule or the contents of a model.

use std::fmt;

/// Why heads or their names were refused. The message names the head or key and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnergyError {
    kind: EnergyErrorKind,
    message: String,
}

/// The sort of an [`EnergyError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnergyErrorKind {
    /// A text names no head.
    Name,
    /// A text is no composition rule.
    Rule,
    /// A length or a width does not fit the backbone or the other fields.
    Shape,
    /// A number is not finite or out of its range.
    Value,
    /// The composition is empty, refers to no head, or cannot be evaluated.
    Composition,
}

impl EnergyError {
    pub(super) fn new(kind: EnergyErrorKind, message: String) -> EnergyError {
        EnergyError { kind, message }
    }

    /// The sort of error, for programs.
    pub fn kind(&self) -> EnergyErrorKind {
        self.kind
    }
}

impl fmt::Display for EnergyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for EnergyError {}
