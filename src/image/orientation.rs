//! The EXIF orientation tag.

use super::Rgb;

/// EXIF 2.32, tag 0x0112: 1 is upright; 2 to 8 are the other ways to hold a camera or a mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Orientation(u8);

impl Orientation {
    pub(super) const UPRIGHT: Orientation = Orientation(1);

    /// Reads the tag from an EXIF block that starts with its TIFF header.
    ///
    /// A broken block, an absent tag and a value outside of 1..=8 all mean upright: the metadata of
    /// a picture must not keep its pixels from being judged.
    pub(super) fn of_exif(tiff: &[u8]) -> Orientation {
        let mut reader = exif::Reader::new();
        let fields = reader
            .continue_on_error(true)
            .read_raw(tiff.to_vec())
            .or_else(|error| error.distill_partial_result(|_| ()));
        let value = fields.ok().and_then(|fields| {
            fields.get_field(exif::Tag::Orientation, exif::In::PRIMARY)?.value.get_uint(0)
        });
        match value {
            Some(value @ 1..=8) => Orientation(value as u8),
            _ => Orientation::UPRIGHT,
        }
    }

    /// The picture as it is meant to be seen.
    pub(super) fn upright(self, picture: Rgb) -> Rgb {
        let (w, h) = (picture.width as usize, picture.height as usize);
        // Where pixel (x, y) of the upright picture is stored.
        let stored: fn(usize, usize, usize, usize) -> (usize, usize) = match self.0 {
            2 => |x, y, w, _| (w - 1 - x, y),
            3 => |x, y, w, h| (w - 1 - x, h - 1 - y),
            4 => |x, y, _, h| (x, h - 1 - y),
            5 => |x, y, _, _| (y, x),
            6 => |x, y, _, h| (y, h - 1 - x),
            7 => |x, y, w, h| (w - 1 - y, h - 1 - x),
            8 => |x, y, w, _| (w - 1 - y, x),
            _ => return picture,
        };
        let (width, height) = if self.0 >= 5 { (h, w) } else { (w, h) };
        let mut pixels = Vec::with_capacity(picture.pixels.len());
        for y in 0..height {
            for x in 0..width {
                let (from_x, from_y) = stored(x, y, w, h);
                let at = (from_y * w + from_x) * 3;
                pixels.extend_from_slice(&picture.pixels[at..at + 3]);
            }
        }
        Rgb { width: width as u32, height: height as u32, pixels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of one letter per pixel.
    fn letters(rows: &[&str]) -> Rgb {
        Rgb {
            width: rows[0].len() as u32,
            height: rows.len() as u32,
            pixels: rows.iter().flat_map(|row| row.bytes()).flat_map(|b| [b; 3]).collect(),
        }
    }

    #[test]
    fn all_eight_orientations_match_the_standard() {
        // The rows of PIL.ImageOps.exif_transpose for each tag value.
        let expected: [&[&str]; 8] = [
            &["abc", "def"],
            &["cba", "fed"],
            &["fed", "cba"],
            &["def", "abc"],
            &["ad", "be", "cf"],
            &["da", "eb", "fc"],
            &["fc", "eb", "da"],
            &["cf", "be", "ad"],
        ];
        for (value, rows) in (1..).zip(expected) {
            assert_eq!(
                Orientation(value).upright(letters(&["abc", "def"])),
                letters(rows),
                "orientation {value}"
            );
        }
    }

    /// A TIFF header and one directory whose only entry is the orientation.
    fn tiff(value: u16) -> Vec<u8> {
        let mut bytes = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        bytes.extend_from_slice(&value.to_le_bytes());
        bytes.extend_from_slice(&[0; 6]);
        bytes
    }

    #[test]
    fn broken_exif_counts_as_upright() {
        assert_eq!(Orientation::of_exif(&tiff(6)), Orientation(6));
        for value in [0, 9, 65_535] {
            assert_eq!(Orientation::of_exif(&tiff(value)), Orientation::UPRIGHT);
        }
        for length in 0..20 {
            assert_eq!(Orientation::of_exif(&tiff(6)[..length]), Orientation::UPRIGHT);
        }
        assert_eq!(Orientation::of_exif(b"not exif at all"), Orientation::UPRIGHT);
    }
}
