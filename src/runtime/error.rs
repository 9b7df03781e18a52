//! Why the program does not run, or stopped.

use std::fmt;
use std::io;

use crate::gate::GateError;
use crate::gpio::GpioError;
use crate::http::{HttpError, HttpErrorKind};
use crate::model::ModelError;
use crate::model::store::StoreError;
use crate::verdict::VerdictError;

/// Why the program does not run, or stopped.
#[derive(Debug)]
pub struct RuntimeError {
    kind: RuntimeErrorKind,
    why: String,
}

/// The kinds of [`RuntimeError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuntimeErrorKind {
    /// The configuration asks for what cannot be: it must be changed before another start.
    Config,
    /// The model does not open, or does not score.
    Model,
    /// Something of the machine is missing or in use: another start may do.
    Start,
    /// A stored source could not be read to its end.
    Source,
}

impl RuntimeError {
    pub(super) fn config(why: impl fmt::Display) -> RuntimeError {
        RuntimeError { kind: RuntimeErrorKind::Config, why: why.to_string() }
    }

    pub(super) fn start(why: impl fmt::Display) -> RuntimeError {
        RuntimeError { kind: RuntimeErrorKind::Start, why: why.to_string() }
    }

    pub(super) fn source(why: impl fmt::Display) -> RuntimeError {
        RuntimeError { kind: RuntimeErrorKind::Source, why: why.to_string() }
    }

    /// What went wrong, for programs.
    pub fn kind(&self) -> RuntimeErrorKind {
        self.kind
    }
}

impl fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for RuntimeError {}

impl From<ModelError> for RuntimeError {
    fn from(e: ModelError) -> RuntimeError {
        RuntimeError { kind: RuntimeErrorKind::Model, why: e.to_string() }
    }
}

impl From<StoreError> for RuntimeError {
    fn from(e: StoreError) -> RuntimeError {
        RuntimeError { kind: RuntimeErrorKind::Model, why: e.to_string() }
    }
}

impl From<VerdictError> for RuntimeError {
    fn from(e: VerdictError) -> RuntimeError {
        RuntimeError::config(format!("model.alpha: {e}"))
    }
}

impl From<GateError> for RuntimeError {
    fn from(e: GateError) -> RuntimeError {
        RuntimeError::config(e)
    }
}

impl From<GpioError> for RuntimeError {
    fn from(e: GpioError) -> RuntimeError {
        RuntimeError::start(e)
    }
}

impl From<HttpError> for RuntimeError {
    fn from(e: HttpError) -> RuntimeError {
        match e.kind() {
            HttpErrorKind::Listen => RuntimeError::start(e),
            _ => RuntimeError::config(e),
        }
    }
}

impl From<io::Error> for RuntimeError {
    fn from(e: io::Error) -> RuntimeError {
        RuntimeError::start(e)
    }
}
