//! Where frames come from.

pub mod stored;
pub mod synth;

use std::fmt;

use crate::image::Rgb;

/// One picture from a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Counts the frames of a source, from 0.
    pub seq: u64,
    /// What the source calls it: a path, an archive member, a seed and an index.
    pub name: String,
    pub picture: Rgb,
}

/// A source of frames: the seam where a folder, an archive or a simulation takes a camera's place.
pub trait FrameSource {
    /// The next frame; `None` when the source is exhausted. An error is about this frame only, or
    /// the source returns `None` after it.
    fn next_frame(&mut self) -> Option<Result<Frame, CameraError>>;
}

/// Why a source gave no frame.
#[derive(Debug)]
pub struct CameraError {
    kind: CameraErrorKind,
    message: String,
}

/// What went wrong with a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CameraErrorKind {
    /// The text that names the source cannot be read.
    Spec,
    /// There is nothing at the path, or no picture in it.
    Missing,
    /// Reading failed.
    Read,
    /// An archive ends in the middle.
    Truncated,
    /// One picture cannot be decoded; the next ones may be fine.
    Picture,
}

impl CameraError {
    pub(crate) fn new(kind: CameraErrorKind, message: impl Into<String>) -> CameraError {
        CameraError { kind, message: message.into() }
    }

    /// What went wrong.
    pub fn kind(&self) -> CameraErrorKind {
        self.kind
    }
}

impl fmt::Display for CameraError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CameraError {}
