//! From encoded bytes to the 8-bit RGB picture that a backbone is fed with.

use serde::{Deserialize, Serialize};

/// An 8-bit RGB picture: `pixels[(y * width + x) * 3 + channel]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rgb {
    pub width: u32,
    pub height: u32,
    pub pixels: Vec<u8>,
}

/// How a picture is brought to the size that the backbone wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preprocess {
    pub resize: Resize,
    /// Width and height of the centre crop, in pixels: the backbone's input size.
    pub crop: [u32; 2],
}

/// The resize before the centre crop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resize {
    /// The shorter side becomes this long; the aspect ratio is kept.
    Shorter(u32),
    /// Exactly this width and height; the aspect ratio is lost.
    Stretch(u32, u32),
}
