//! JPEG: a strict survey of the file, then the pixels by `zune-jpeg`.
//!
//! The survey reads every marker and decodes the Huffman codes of every scan once, without building
//! pixels. It is there because `zune-jpeg` 0.5.15, even in its strict mode,
//!
//! - continues with zero bits where picture data is missing before a marker, so a frame that lost
//!   bytes on its way becomes a half-grey picture without an error;
//! - returns garbled pixels, or panics, for sequential files of several scans and for sampling
//!   factors that are largest in a chroma component.
//!
//! What the survey lets through is complete, and of the variants that `zune-jpeg` decodes well.
//!
//! Its AVX2 and NEON paths are switched off twice, by the crate features in the manifest and by
//! [`DecoderOptions::new_safe`] here (another crate of the build could enable the features): then
//! inverse DCT, upsampling and colour conversion are plain integer code, the same on every machine.

mod frame;
mod huffman;
mod scan;
mod survey;

use std::borrow::Cow;

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::orientation::Orientation;
use super::{ImageError, MAX_SIDE, Rgb};
use survey::survey;

pub(super) fn decode(bytes: &[u8]) -> Result<(Rgb, Orientation), ImageError> {
    let found = survey(bytes)?;
    let file = &bytes[..found.end];
    let file = if found.lacks_tables {
        let (start_of_image, rest) = file.split_at(2);
        Cow::Owned([start_of_image, &huffman::STANDARD_TABLES, rest].concat())
    } else {
        Cow::Borrowed(file)
    };
    let options = DecoderOptions::new_safe()
        .set_strict_mode(true)
        .set_max_width(MAX_SIDE as usize)
        .set_max_height(MAX_SIDE as usize)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&file[..]), options);
    let pixels = decoder
        .decode()
        .map_err(|error| ImageError::malformed(format_args!("JPEG decoder: {error:?}")))?;
    let picture = Rgb { width: found.width, height: found.height, pixels };
    if !picture.is_consistent() {
        return Err(ImageError::malformed("JPEG decoder: wrong number of samples"));
    }
    Ok((picture, found.exif.map_or(Orientation::UPRIGHT, Orientation::of_exif)))
}
