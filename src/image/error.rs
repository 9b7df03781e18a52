//! Why a picture could not be read or prepared.

use std::fmt;

/// What a caller can tell apart about an [`ImageError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageErrorKind {
    /// There are no bytes at all.
    Empty,
    /// Neither JPEG nor PNG.
    UnknownFormat,
    /// A JPEG or PNG that ends early, or whose picture data has a gap.
    Truncated,
    /// A JPEG or PNG that breaks the rules of its format.
    Malformed,
    /// More pixels than this program accepts.
    TooLarge,
    /// A valid file of a variant that this program does not read.
    Unsupported,
    /// The sizes of a picture, a resize or a crop do not go together.
    Geometry,
}

/// A picture could not be read or prepared.
///
/// The message says what is wrong and what to do; it does not name the file, which only the caller
/// knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageError {
    kind: ImageErrorKind,
    message: String,
}

impl ImageError {
    pub(crate) fn new(kind: ImageErrorKind, message: impl Into<String>) -> ImageError {
        ImageError { kind, message: message.into() }
    }

    pub(crate) fn malformed(what: impl fmt::Display) -> ImageError {
        ImageError::new(ImageErrorKind::Malformed, format!("damaged picture file: {what}"))
    }

    pub(crate) fn truncated(what: impl fmt::Display) -> ImageError {
        ImageError::new(ImageErrorKind::Truncated, format!("incomplete picture file: {what}"))
    }

    pub(crate) fn unsupported(what: impl fmt::Display) -> ImageError {
        ImageError::new(
            ImageErrorKind::Unsupported,
            format!("{what} is not supported: save the picture as baseline JPEG or PNG"),
        )
    }

    /// What went wrong, for programs.
    pub fn kind(&self) -> ImageErrorKind {
        self.kind
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ImageError {}
