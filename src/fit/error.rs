//! Why heads could not be fitted.

use std::fmt;

/// Why a fit failed. The message names the class or row and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FitError {
    kind: FitErrorKind,
    message: String,
}

/// The sort of a [`FitError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FitErrorKind {
    /// The rows could not be read.
    Source,
    /// An option is outside its range.
    Option,
    /// A row has another width than the others.
    Width,
    /// A row has no label, or one without a class.
    Label,
    /// A feature or an energy is NaN or infinite.
    NonFinite,
    /// There are too few rows, in all or of one class.
    TooFew,
    /// All rows, or all rows of one class, are the same.
    Identical,
    /// A covariance stays singular.
    Singular,
}

impl FitError {
    /// An error; [`Rows::visit`](super::Rows::visit) needs it for errors of its source. `message` is
    /// lower case, without a final period, and names the file and the remedy.
    pub fn new(kind: FitErrorKind, message: String) -> FitError {
        FitError { kind, message }
    }

    /// The sort of error, for programs.
    pub fn kind(&self) -> FitErrorKind {
        self.kind
    }
}

impl fmt::Display for FitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for FitError {}
