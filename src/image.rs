//! From encoded bytes to the 8-bit RGB picture that a backbone is fed with.
//!
//! [`decode`] reads a JPEG or PNG file, [`prepare`] brings the picture to the backbone's input size.
//! Both compute in integers with one implementation, so a file gives the same pixels on every
//! processor. Colour profiles are not applied: samples are taken as they are stored.

mod error;
mod format;
mod jpeg;
mod orientation;
mod png;
mod resize;

use serde::{Deserialize, Serialize};

pub use error::{ImageError, ImageErrorKind};
pub use resize::prepare;

/// Longest side of a picture that [`decode`] accepts, in pixels.
pub const MAX_SIDE: u32 = 32_767;

/// Most pixels of a picture that [`decode`] accepts: 100 megapixels, which take 300 MB decoded, and
/// three times that while a progressive JPEG is decoded.
pub const MAX_PIXELS: u64 = 100_000_000;

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

/// Decodes a JPEG or PNG file, told apart by content, and turns it upright by its EXIF orientation.
///
/// - JPEG: 8-bit baseline, extended sequential and progressive Huffman files, grey, YCbCr, RGB, CMYK
///   and YCCK (CMYK as Adobe stores it: inverted). Motion-JPEG frames without Huffman tables get the
///   standard ones. Bytes after the end marker are ignored.
/// - PNG: every colour type and depth, interlaced too. 16-bit samples keep their high byte. Alpha and
///   transparent colours are dropped, not blended, as `PIL.Image.convert("RGB")` and
///   `cv2.imread` do; an animation gives its first frame.
///
/// A broken EXIF block counts as none.
///
/// # Errors
///
/// Never a half picture: a file that ends early, or whose picture data has a gap, is
/// [`ImageErrorKind::Truncated`] or [`ImageErrorKind::Malformed`]. More than [`MAX_PIXELS`] or
/// [`MAX_SIDE`] is [`ImageErrorKind::TooLarge`], refused before memory is taken. Other file types
/// and rare JPEG variants are [`ImageErrorKind::UnknownFormat`] and [`ImageErrorKind::Unsupported`].
pub fn decode(bytes: &[u8]) -> Result<Rgb, ImageError> {
    let (picture, orientation) = match format::recognise(bytes)? {
        format::Format::Jpeg => jpeg::decode(bytes)?,
        format::Format::Png => png::decode(bytes)?,
    };
    Ok(orientation.upright(picture))
}

/// Encodes a picture as an 8-bit RGB PNG file.
///
/// # Panics
///
/// If `pixels` is not `width × height × 3` bytes long, or a side is 0.
pub fn encode_png(picture: &Rgb) -> Vec<u8> {
    png::encode(picture)
}

impl Rgb {
    /// Whether both sides are at least 1 and `pixels` has the length that they ask for.
    fn is_consistent(&self) -> bool {
        let bytes = u128::from(self.width) * u128::from(self.height) * 3;
        bytes > 0 && bytes == self.pixels.len() as u128
    }
}

/// Refuses a picture by the size in its header, before memory is taken for it.
pub(crate) fn check_size(width: u32, height: u32) -> Result<(), ImageError> {
    if width == 0 || height == 0 {
        return Err(ImageError::malformed(format!("the header says {width} × {height} pixels")));
    }
    let pixels = u64::from(width) * u64::from(height);
    if width.max(height) > MAX_SIDE || pixels > MAX_PIXELS {
        return Err(ImageError::new(
            ImageErrorKind::TooLarge,
            format!(
                "{width} × {height} pixels are more than the limit of {MAX_SIDE} a side and {} \
                 megapixels: scale the picture down first",
                MAX_PIXELS / 1_000_000
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
