//! PNG, by the `png` crate.

use std::io::{self, Cursor};

use super::orientation::Orientation;
use super::{ImageError, ImageErrorKind, Rgb, check_size};
use ::png::{BitDepth, ColorType, DecodeOptions, Decoder, DecodingError, Transformations};

pub(super) fn decode(bytes: &[u8]) -> Result<(Rgb, Orientation), ImageError> {
    let mut options = DecodeOptions::default();
    options.set_ignore_adler32(false);
    options.set_ignore_text_chunk(true);
    options.set_ignore_iccp_chunk(true);
    let mut decoder = Decoder::new_with_options(Cursor::new(bytes), options);
    let header = decoder.read_header_info().map_err(image_error)?;
    let (width, height) = (header.width, header.height);
    check_size(width, height)?;

    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(image_error)?;
    let length =
        reader.output_buffer_size().ok_or_else(|| image_error(DecodingError::LimitsExceeded))?;
    let mut samples = vec![0; length];
    let frame = reader.next_frame(&mut samples).map_err(image_error)?;
    // Reads on to the end chunk: without it the file was cut. An eXIf chunk may stand there too.
    reader.finish().map_err(image_error)?;
    if (frame.width, frame.height, frame.bit_depth) != (width, height, BitDepth::Eight) {
        return Err(ImageError::malformed("the first frame does not fill the picture"));
    }
    samples.truncate(frame.buffer_size());
    let pixels = to_rgb(samples, frame.color_type)?;
    let orientation = reader
        .info()
        .exif_metadata
        .as_ref()
        .map_or(Orientation::UPRIGHT, |e| Orientation::of_exif(e));
    Ok((Rgb { width, height, pixels }, orientation))
}

/// 8-bit samples of any colour type to RGB; alpha is dropped.
fn to_rgb(samples: Vec<u8>, color_type: ColorType) -> Result<Vec<u8>, ImageError> {
    Ok(match color_type {
        ColorType::Rgb => samples,
        ColorType::Rgba => samples.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect(),
        ColorType::Grayscale => samples.iter().flat_map(|&grey| [grey; 3]).collect(),
        ColorType::GrayscaleAlpha => samples.chunks_exact(2).flat_map(|p| [p[0]; 3]).collect(),
        ColorType::Indexed => return Err(ImageError::malformed("the palette is missing")),
    })
}

pub(super) fn encode(picture: &Rgb) -> Vec<u8> {
    assert!(
        picture.is_consistent(),
        "a picture of {} × {} pixels cannot have {} bytes",
        picture.width,
        picture.height,
        picture.pixels.len()
    );
    let mut bytes = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut bytes, picture.width, picture.height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(::png::Compression::Fast);
    encoder
        .write_header()
        .and_then(|mut writer| {
            writer.write_image_data(&picture.pixels)?;
            writer.finish()
        })
        .expect("a consistent picture is written to memory");
    bytes
}

fn image_error(error: DecodingError) -> ImageError {
    match error {
        DecodingError::IoError(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
            ImageError::truncated("the PNG ends before its end chunk")
        }
        DecodingError::LimitsExceeded => ImageError::new(
            ImageErrorKind::TooLarge,
            "the PNG asks for too much memory: scale the picture down or strip its metadata",
        ),
        error => ImageError::malformed(format_args!("PNG: {error}")),
    }
}
