//! Pixels as cameras give them without compression, and how they become RGB.
//!
//! Everything is integers, so that a raw frame has one picture, and one energy, on every machine.

use std::fmt;
use std::str::FromStr;

use super::redact::quoted;
use super::{CameraError, CameraErrorKind};
use crate::image::{ImageError, ImageErrorKind, Rgb, check_size};

/// Layouts of raw pixels, by V4L2's names for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RawFormat {
    /// `Y0 Cb Y1 Cr` for each pair of pixels of a line.
    Yuyv,
    /// All of Y, then one line of `Cb Cr` pairs for each two lines; a pair for each 2 × 2 pixels.
    Nv12,
    /// `R G B`.
    Rgb3,
    /// `B G R`.
    Bgr3,
    /// One byte of brightness, black at 0 and white at 255.
    Grey,
}

/// One raw picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    pub format: RawFormat,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// From the start of a line to the start of the next one, in bytes; NV12's lines of colour have the same.
    pub stride: u32,
    /// What follows the last line is not looked at.
    pub bytes: Vec<u8>,
}

impl RawFormat {
    pub const ALL: [RawFormat; 5] =
        [RawFormat::Yuyv, RawFormat::Nv12, RawFormat::Rgb3, RawFormat::Bgr3, RawFormat::Grey];

    /// The name in source URIs: V4L2's four letters in lower case.
    pub fn name(self) -> &'static str {
        match self {
            RawFormat::Yuyv => "yuyv",
            RawFormat::Nv12 => "nv12",
            RawFormat::Rgb3 => "rgb3",
            RawFormat::Bgr3 => "bgr3",
            RawFormat::Grey => "grey",
        }
    }

    /// Bytes of one line, without padding; of NV12, one line of brightness.
    pub fn line_bytes(self, width: u32) -> u64 {
        let per_pixel = match self {
            RawFormat::Yuyv => 2,
            RawFormat::Nv12 | RawFormat::Grey => 1,
            RawFormat::Rgb3 | RawFormat::Bgr3 => 3,
        };
        u64::from(width) * per_pixel
    }

    /// Lines of a picture, NV12's lines of colour included.
    fn lines(self, height: u32) -> u64 {
        let height = u64::from(height);
        if self == RawFormat::Nv12 { height + height / 2 } else { height }
    }

    /// Bytes of a picture whose lines have no padding.
    pub fn picture_bytes(self, width: u32, height: u32) -> u64 {
        self.line_bytes(width) * self.lines(height)
    }

    /// Whether a picture can have this size.
    ///
    /// # Errors
    ///
    /// A size of 0, one beyond [`crate::image::MAX_SIDE`] or [`crate::image::MAX_PIXELS`], and an odd one where two
    /// pixels share a colour.
    pub fn check(self, width: u32, height: u32) -> Result<(), ImageError> {
        check_size(width, height)?;
        let fits = match self {
            RawFormat::Yuyv => width.is_multiple_of(2),
            RawFormat::Nv12 => width.is_multiple_of(2) && height.is_multiple_of(2),
            RawFormat::Rgb3 | RawFormat::Bgr3 | RawFormat::Grey => true,
        };
        if !fits {
            let why = format!(
                "a {self} picture cannot be {width} × {height}: neighbouring pixels share a colour, so ask the camera \
                 for even numbers"
            );
            return Err(ImageError::new(ImageErrorKind::Geometry, why));
        }
        Ok(())
    }
}

impl fmt::Display for RawFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for RawFormat {
    type Err = CameraError;

    fn from_str(text: &str) -> Result<RawFormat, CameraError> {
        RawFormat::ALL.into_iter().find(|format| format.name() == text).ok_or_else(|| {
            let names = RawFormat::ALL.map(RawFormat::name).join(", ");
            let text = quoted(text, 60);
            let why = format!("`{text}` is no raw pixel format: write one of {names}");
            CameraError::new(CameraErrorKind::Spec, why)
        })
    }
}

impl Raw {
    /// The picture as RGB.
    ///
    /// Y'CbCr is read as V4L2 defines it for cameras that name no other encoding: ITU-R BT.601 with limited range
    /// (Y from 16 to 235, Cb and Cr from 16 to 240 around 128). With y = Y − 16, u = Cb − 128, v = Cr − 128:
    ///
    /// ```text
    /// R = 255/219 y                                    + 255/224 · 1.402 v
    /// G = 255/219 y − 255/224 · 0.114/0.587 · 1.772 u  − 255/224 · 0.299/0.587 · 1.402 v
    /// B = 255/219 y + 255/224 · 1.772 u
    /// ```
    ///
    /// in 20 fractional bits, rounded half up, clamped to 0..=255: at most 0.5003 from the real number. Pixels that
    /// share a colour get the same one; nothing is interpolated. Grey and RGB samples are taken as they are.
    ///
    /// # Errors
    ///
    /// Those of [`RawFormat::check`]; a stride that is shorter than a line ([`ImageErrorKind::Geometry`]); fewer bytes
    /// than the size asks for ([`ImageErrorKind::Truncated`]). All before memory is taken.
    pub fn picture(&self) -> Result<Rgb, ImageError> {
        let lines = self.lines()?;
        let (width, height) = (self.width as usize, self.height as usize);
        let mut pixels = vec![0; width * height * 3];
        let rows = pixels.chunks_exact_mut(width * 3);
        match self.format {
            RawFormat::Rgb3 => rows.zip(lines).for_each(|(row, line)| row.copy_from_slice(line)),
            RawFormat::Bgr3 => rows.zip(lines).for_each(|(row, line)| {
                for (rgb, bgr) in row.chunks_exact_mut(3).zip(line.chunks_exact(3)) {
                    rgb.copy_from_slice(&[bgr[2], bgr[1], bgr[0]]);
                }
            }),
            RawFormat::Grey => rows.zip(lines).for_each(|(row, line)| {
                for (rgb, grey) in row.chunks_exact_mut(3).zip(line) {
                    rgb.fill(*grey);
                }
            }),
            RawFormat::Yuyv => rows.zip(lines).for_each(|(row, line)| {
                for (rgb, yuyv) in row.chunks_exact_mut(6).zip(line.chunks_exact(4)) {
                    Colour::new(yuyv[1], yuyv[3]).paint(rgb, [yuyv[0], yuyv[2]]);
                }
            }),
            RawFormat::Nv12 => {
                let colours = lines.clone().skip(height).flat_map(|line| [line, line]);
                for ((row, luma), colour) in rows.zip(lines).zip(colours) {
                    let pairs = luma.chunks_exact(2).zip(colour.chunks_exact(2));
                    for (rgb, (luma, colour)) in row.chunks_exact_mut(6).zip(pairs) {
                        Colour::new(colour[0], colour[1]).paint(rgb, [luma[0], luma[1]]);
                    }
                }
            }
        }
        Ok(Rgb { width: self.width, height: self.height, pixels })
    }

    /// All lines without their padding, once the sizes are known to go together.
    fn lines(&self) -> Result<impl Iterator<Item = &[u8]> + Clone, ImageError> {
        self.format.check(self.width, self.height)?;
        let line = self.format.line_bytes(self.width);
        let stride = u64::from(self.stride);
        if stride < line {
            let why = format!(
                "lines of a {} picture {} pixels wide have {line} bytes, but the stride is {stride}",
                self.format, self.width
            );
            return Err(ImageError::new(ImageErrorKind::Geometry, why));
        }
        let count = self.format.lines(self.height);
        // The last line may come without its padding.
        let needed = stride * (count - 1) + line;
        let held = self.bytes.len();
        if (held as u64) < needed {
            let why = format!(
                "{held} bytes are there, and a {} picture of {} × {} needs {needed}",
                self.format, self.width, self.height
            );
            return Err(ImageError::truncated(why));
        }
        let line = line as usize;
        Ok(self.bytes.chunks(self.stride as usize).take(count as usize).map(move |it| &it[..line]))
    }
}

const BITS: u32 = 20;
/// `round(2^20 · 255/219)` and so on; see [`Raw::picture`].
const Y: i32 = 1_220_945;
const R_V: i32 = 1_673_555;
const G_U: i32 = 410_793;
const G_V: i32 = 852_458;
const B_U: i32 = 2_115_221;

/// What a pair of Cb and Cr adds to each channel, in 2⁻²⁰, with the half that rounds.
struct Colour([i32; 3]);

impl Colour {
    fn new(cb: u8, cr: u8) -> Colour {
        let (u, v) = (i32::from(cb) - 128, i32::from(cr) - 128);
        let half = 1 << (BITS - 1);
        Colour([half + R_V * v, half - G_U * u - G_V * v, half + B_U * u])
    }

    /// Two pixels of this colour. No sum leaves `i32`: 239 · `Y` + 127 · `B_U` + half is below 2³⁰.
    fn paint(&self, rgb: &mut [u8], luma: [u8; 2]) {
        for (rgb, luma) in rgb.chunks_exact_mut(3).zip(luma) {
            let y = Y * (i32::from(luma) - 16);
            for (sample, colour) in rgb.iter_mut().zip(self.0) {
                *sample = ((y + colour) >> BITS).clamp(0, 255) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests;
