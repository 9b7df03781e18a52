//! Where frames come from.
//!
//! A [`SourceUri`] names a source and opens it as a [`FrameSource`]; [`Supervised`] keeps one going through stalls and
//! losses, and [`Latest`] hands its frames to another thread, the newest only. docs/sources.md tells users the same.

pub mod faults;
mod latest;
pub mod mjpeg;
mod raw;
mod redact;
pub mod stored;
mod supervise;
pub mod synth;
mod uri;

#[cfg(target_os = "linux")]
mod deadline;
#[cfg(target_os = "linux")]
mod pipe;
#[cfg(target_os = "linux")]
mod stdin;
#[cfg(target_os = "linux")]
mod stream;
#[cfg(target_os = "linux")]
pub mod v4l2;
#[cfg(target_os = "linux")]
mod watch;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::event::FaultKind;
use crate::image::{self, ImageError, Rgb};

pub use faults::Faults;
pub use latest::Latest;
pub use raw::{Raw, RawFormat};
pub use supervise::{BackOff, Seen, Supervised};
pub use uri::{Framing, PixelFormat, SourceUri, V4l2Spec};

/// One frame of a source. Its content stays as the source gave it until somebody asks for the picture: a frame that
/// is dropped costs no decoding, and evidence keeps the camera's own bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Counts the frames of a source, from 0.
    pub seq: u64,
    /// What the source calls it: a path, an archive member, a seed and an index.
    pub name: String,
    pub content: Content,
}

/// A frame's pixels, as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A JPEG or PNG file.
    File(Vec<u8>),
    /// Pixels in one of the camera's own formats.
    Raw(Raw),
    /// A picture without a file.
    Picture(Rgb),
}

impl Frame {
    /// The picture, decoded if it is a file and converted if it is raw.
    ///
    /// # Errors
    ///
    /// Those of [`image::decode`] and of [`Raw::picture`].
    pub fn picture(&self) -> Result<Cow<'_, Rgb>, ImageError> {
        match &self.content {
            Content::File(bytes) => image::decode(bytes).map(Cow::Owned),
            Content::Raw(raw) => raw.picture().map(Cow::Owned),
            Content::Picture(picture) => Ok(Cow::Borrowed(picture)),
        }
    }

    /// Bytes that the content takes in memory.
    pub fn bytes(&self) -> usize {
        match &self.content {
            Content::File(bytes) => bytes.len(),
            Content::Raw(raw) => raw.bytes.len(),
            Content::Picture(picture) => picture.pixels.len(),
        }
    }
}

/// A source of frames: the seam where a folder, an archive or a simulation takes a camera's place.
pub trait FrameSource: Send {
    /// The next frame, waited for up to `wait`.
    ///
    /// # Errors
    ///
    /// An error that [`CameraError::is_passing`] is about one frame; the next one can be asked for. After any other
    /// error the source is of no more use: open it again.
    fn next_frame(&mut self, wait: Duration) -> Result<Next, CameraError>;
}

/// Opens a source, as often as it is lost.
pub type Opener = Box<dyn FnMut() -> Result<Box<dyn FrameSource>, CameraError> + Send>;

/// What a source gives when it is asked for a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    Frame(Frame),
    /// None came within the time.
    Late,
    /// There are no more.
    Ended,
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
    /// One picture ends early; the next ones may be fine.
    Cut,
    /// The camera was there and went away.
    Lost,
    /// The camera does not give what it is asked for.
    Refused,
}

impl CameraError {
    /// An error of a source; `message` is lower case, and names the source and the remedy.
    pub fn new(kind: CameraErrorKind, message: impl Into<String>) -> CameraError {
        CameraError { kind, message: message.into() }
    }

    /// What went wrong.
    pub fn kind(&self) -> CameraErrorKind {
        self.kind
    }

    /// Whether only one frame is lost, and the source can be asked for the next.
    pub fn is_passing(&self) -> bool {
        matches!(self.kind, CameraErrorKind::Picture | CameraErrorKind::Cut)
    }

    /// The kind of camera fault that this is, for events.
    pub fn fault(&self) -> FaultKind {
        match self.kind {
            CameraErrorKind::Picture => FaultKind::Undecodable,
            CameraErrorKind::Cut => FaultKind::Truncated,
            _ => FaultKind::Lost,
        }
    }
}

impl fmt::Display for CameraError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CameraError {}
