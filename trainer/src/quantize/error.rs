//! Why a network could not be quantised.

use std::fmt;

/// Why a quantisation failed. The message names the node or tensor and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantizeError {
    kind: QuantizeErrorKind,
    message: String,
}

/// The sort of a [`QuantizeError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QuantizeErrorKind {
    /// The network holds quantised nodes already.
    AlreadyQuantized,
    /// The graph's operator set is too old, or the graph is not a plain list of nodes.
    Graph,
    /// A weight cannot be read or does not fit its node.
    Weights,
    /// An activation is NaN or infinite.
    NonFinite,
    /// There is no picture to calibrate with.
    NoPictures,
    /// tract cannot run the network.
    Run,
}

impl QuantizeError {
    pub(super) fn new(kind: QuantizeErrorKind, message: String) -> QuantizeError {
        QuantizeError { kind, message }
    }

    /// The sort of error, for programs.
    pub fn kind(&self) -> QuantizeErrorKind {
        self.kind
    }
}

impl fmt::Display for QuantizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for QuantizeError {}
