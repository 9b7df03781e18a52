//! File types, told apart by their first bytes.

use super::{ImageError, ImageErrorKind};

/// A file type that this program decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Jpeg,
    Png,
}

const JPEG: &[u8] = b"\xff\xd8\xff";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// JPEG or PNG, or an error that names what the bytes look like.
pub(super) fn recognise(bytes: &[u8]) -> Result<Format, ImageError> {
    if bytes.is_empty() {
        return Err(ImageError::new(ImageErrorKind::Empty, "the picture file is empty (0 bytes)"));
    }
    if bytes.starts_with(JPEG) {
        return Ok(Format::Jpeg);
    }
    if bytes.starts_with(PNG) {
        return Ok(Format::Png);
    }
    if JPEG.starts_with(bytes) || PNG.starts_with(bytes) {
        return Err(ImageError::truncated(format_args!("only {} bytes are there", bytes.len())));
    }
    let message = match guess(bytes) {
        Some(Guess::Picture(name)) => {
            format!("not a JPEG or PNG picture but {name}: convert it to JPEG or PNG")
        }
        Some(Guess::Other(name)) => {
            format!("not a JPEG or PNG picture but {name}: give a picture file")
        }
        None => {
            let head: Vec<String> = bytes.iter().take(4).map(|b| format!("{b:02x}")).collect();
            format!(
                "not a JPEG or PNG picture (it starts with the bytes {}): convert it to JPEG or PNG",
                head.join(" ")
            )
        }
    };
    Err(ImageError::new(ImageErrorKind::UnknownFormat, message))
}

enum Guess {
    /// A picture that some other program can convert.
    Picture(&'static str),
    Other(&'static str),
}

fn guess(bytes: &[u8]) -> Option<Guess> {
    use Guess::{Other, Picture};
    let at =
        |offset: usize, magic: &[u8]| bytes.get(offset..).is_some_and(|b| b.starts_with(magic));
    Some(match bytes {
        _ if at(0, b"GIF8") => Picture("a GIF"),
        _ if at(0, b"RIFF") && at(8, b"WEBP") => Picture("a WebP"),
        _ if at(0, b"RIFF") && at(8, b"AVI ") => Other("an AVI video"),
        _ if at(4, b"ftyp") => return Some(iso_media(bytes)),
        _ if at(0, b"II*\0") || at(0, b"MM\0*") => Picture("a TIFF or a camera raw file"),
        _ if at(0, b"\0\0\0\x0cJXL ") || at(0, b"\xff\x0a") => Picture("a JPEG XL"),
        _ if at(0, b"\0\0\0\x0cjP  ") || at(0, b"\xff\x4f\xff\x51") => Picture("a JPEG 2000"),
        _ if at(0, b"BM") && bytes.len() >= 26 => Picture("a BMP"),
        _ if at(0, b"P5") || at(0, b"P6") => Picture("a PGM or PPM"),
        _ if at(0, b"%PDF") => Other("a PDF document"),
        _ if at(0, b"PK\x03\x04") => Other("a ZIP archive"),
        _ if at(0, b"\x1f\x8b") => Other("gzip-compressed data"),
        _ if bytes.iter().all(|&b| b == 0) => {
            Other("zeros only (a write that was cut short by a full disk or a power loss)")
        }
        _ if is_text(bytes) => Other("text"),
        _ => return None,
    })
}

/// Files of the ISO base media family name their kind at offset 8.
fn iso_media(bytes: &[u8]) -> Guess {
    match bytes.get(8..12) {
        Some(b"avif" | b"avis") => Guess::Picture("an AVIF"),
        Some(b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1") => {
            Guess::Picture("a HEIC")
        }
        _ => Guess::Other("a video of the MP4 family"),
    }
}

/// Whether the first bytes are printable, as in HTML, XML, JSON or a Git LFS pointer.
fn is_text(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(64)];
    head.iter().all(|&b| matches!(b, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..=0xfd))
        && head.iter().filter(|&&b| b < 0x80).count() * 2 >= head.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(bytes: &[u8]) -> String {
        let error = recognise(bytes).expect_err("not a JPEG or PNG");
        assert_eq!(error.kind(), ImageErrorKind::UnknownFormat);
        error.to_string()
    }

    #[test]
    fn jpeg_and_png_are_recognised() {
        assert_eq!(recognise(b"\xff\xd8\xff\xe0").unwrap(), Format::Jpeg);
        assert_eq!(recognise(b"\x89PNG\r\n\x1a\n\0").unwrap(), Format::Png);
    }

    #[test]
    fn other_types_are_named() {
        for (bytes, name) in [
            (&b"GIF89a\x01\0"[..], "a GIF"),
            (b"RIFF\x24\0\0\0WEBPVP8 ", "a WebP"),
            (b"RIFF\x24\0\0\0AVI LIST", "an AVI video"),
            (b"\0\0\0\x20ftypavif\0\0\0\0", "an AVIF"),
            (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC"),
            (b"\0\0\0\x18ftypisom\0\0\0\0", "a video"),
            (b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0", "a BMP"),
            (b"II*\0\x08\0\0\0", "a TIFF"),
            (b"%PDF-1.7\n", "a PDF"),
            (b"version https://git-lfs.github.com/spec/v1\n", "but text"),
            (b"<!doctype html><title>404</title>", "but text"),
            (&[0; 4096], "zeros only"),
            (b"\x01\x02\x03\x04\x05", "01 02 03 04"),
        ] {
            let message = complaint(bytes);
            assert!(message.contains(name), "{message:?} should name {name:?}");
        }
        assert!(complaint(b"GIF89a\x01\0").ends_with("convert it to JPEG or PNG"));
    }

    #[test]
    fn empty_and_very_short_files_are_told_apart() {
        assert_eq!(recognise(b"").unwrap_err().kind(), ImageErrorKind::Empty);
        assert_eq!(recognise(b"\xff\xd8").unwrap_err().kind(), ImageErrorKind::Truncated);
        assert_eq!(recognise(b"\x89PNG").unwrap_err().kind(), ImageErrorKind::Truncated);
    }
}
