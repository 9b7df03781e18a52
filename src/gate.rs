//! What of a camera's frames is judged: whether a frame shows anything, whether it differs from the last one that was
//! scored, which parts of it are looked at, and how often.
//!
//! One pass over the pixels ([`Look`]) serves all of these. Everything here is in integers, and time is an argument.

mod change;
mod light;
mod look;
mod pace;
mod quality;
mod region;

use std::fmt;

pub use change::{Change, GateSettings};
pub use light::Light;
pub use look::Look;
pub use pace::{Pace, PaceSettings};
pub use quality::{Quality, QualitySettings, fault_kind};
pub use region::{MOST_TILES, Rect, Region, RegionSettings};

/// Why a region was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateError {
    kind: GateErrorKind,
    why: String,
}

/// The kinds of [`GateError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GateErrorKind {
    /// A part that is not inside of the frame, or has no area.
    Place,
    /// No tiles, or too many.
    Tiles,
}

impl GateError {
    fn new(kind: GateErrorKind, why: String) -> GateError {
        GateError { kind, why }
    }

    /// What went wrong, for programs.
    pub fn kind(&self) -> GateErrorKind {
        self.kind
    }
}

impl fmt::Display for GateError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for GateError {}
