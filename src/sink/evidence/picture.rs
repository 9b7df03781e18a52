//! A frame as a file.

use std::borrow::Cow;

use crate::camera::{Content, Frame};
use crate::image::Rgb;

/// Quality of pictures that the camera did not compress itself.
const JPEG_QUALITY: u8 = 90;

/// Endings that [`file`] gives.
pub(super) const ENDINGS: [&str; 3] = ["jpg", "png", "bin"];

/// The file that is kept of a frame, and the ending of its name. What the camera compressed is kept byte for byte, also
/// when it is no picture (`bin`): that is what there is to see of a faulty camera.
///
/// # Errors
///
/// Why a picture cannot be encoded.
pub fn file(frame: &Frame) -> Result<(Cow<'_, [u8]>, &'static str), String> {
    if let Content::File(bytes) = &frame.content {
        let ending = match bytes.as_slice() {
            [0xff, 0xd8, 0xff, ..] => "jpg",
            [0x89, b'P', b'N', b'G', ..] => "png",
            _ => "bin",
        };
        return Ok((Cow::Borrowed(bytes), ending));
    }
    let picture = frame.picture().map_err(|e| e.to_string())?;
    Ok((Cow::Owned(jpeg(&picture)?), "jpg"))
}

fn jpeg(picture: &Rgb) -> Result<Vec<u8>, String> {
    let side = |pixels: u32| {
        u16::try_from(pixels).map_err(|_| format!("{pixels} pixels are more than a JPEG can have"))
    };
    let (width, height) = (side(picture.width)?, side(picture.height)?);
    let mut bytes = Vec::new();
    jpeg_encoder::Encoder::new(&mut bytes, JPEG_QUALITY)
        .encode(&picture.pixels, width, height, jpeg_encoder::ColorType::Rgb)
        .map_err(|e| format!("JPEG encoder: {e}"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{decode, encode_png};
    use crate::model::self_test::picture;

    fn frame(content: Content) -> Frame {
        Frame { seq: 0, name: String::new(), content }
    }

    #[test]
    fn a_file_stays_what_it_is() {
        for (bytes, ending) in [
            (encode_png(&picture(1, [9, 5])), "png"),
            (vec![0xff, 0xd8, 0xff, 0xe0, 1, 2], "jpg"),
            (vec![], "bin"),
        ] {
            let frame = frame(Content::File(bytes.clone()));
            let (kept, kind) = file(&frame).unwrap();
            assert_eq!((kept.as_ref(), kind), (bytes.as_slice(), ending));
        }
    }

    #[test]
    fn a_picture_becomes_a_jpeg_that_looks_like_it() {
        let mut smooth = picture(1, [64, 48]);
        for (i, value) in smooth.pixels.iter_mut().enumerate() {
            *value = (i / 3 % 64 * 3) as u8;
        }
        let frame = frame(Content::Picture(smooth.clone()));
        let (bytes, ending) = file(&frame).unwrap();
        assert_eq!(ending, "jpg");
        let seen = decode(&bytes).unwrap();
        assert_eq!((seen.width, seen.height), (64, 48));
        let off = seen.pixels.iter().zip(&smooth.pixels).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(off.is_some_and(|off| off <= 12), "{off:?}");
    }

    #[test]
    fn a_picture_of_wrong_size_is_refused() {
        for (width, height) in [(0, 0), (70_000, 1), (4, 4)] {
            let wrong = Rgb { width, height, pixels: vec![0; 12] };
            assert!(file(&frame(Content::Picture(wrong))).is_err());
        }
    }
}
