//! Frames as JPEG files, made when somebody asks for one.

use std::sync::Arc;

use jpeg_encoder::{ColorType, Encoder};

use super::response::Body;
use crate::camera::{Content, Frame};
use crate::image::Rgb;
use crate::status::Still;

/// Quality of pictures that the camera gave without a file.
const QUALITY: u8 = 85;
/// Bytes and number of made files that are kept.
const MOST_BYTES: usize = 4 << 20;
const MOST_FILES: usize = 32;
/// The newest frame is made into a file at most this often, however many ask, in milliseconds.
const PAUSE_MS: u64 = 150;

/// Files that were made, so that nobody makes the board do it twice.
#[derive(Debug, Default)]
pub(super) struct Darkroom {
    prints: Vec<Print>,
}

#[derive(Debug)]
struct Print {
    number: u64,
    region: Option<usize>,
    made_ms: u64,
    file: Arc<Vec<u8>>,
}

impl Darkroom {
    /// The frame as a JPEG file, cut to `region` (its index, and its place as shares) if one is given. With
    /// `or_recent`, one that was made of another frame a moment ago will do.
    ///
    /// # Errors
    ///
    /// A frame that cannot be decoded.
    pub fn print(
        &mut self,
        still: &Still,
        region: Option<(usize, [f64; 4])>,
        or_recent: bool,
        now_ms: u64,
    ) -> Result<Body, String> {
        if region.is_none() && is_readable_file(&still.frame) {
            return Ok(Body::File(still.frame.clone()));
        }
        let index = region.map(|(index, _)| index);
        let will_do = |print: &&Print| {
            let recent = or_recent && now_ms.saturating_sub(print.made_ms) < PAUSE_MS;
            print.region == index && (print.number == still.number || recent)
        };
        if let Some(print) = self.prints.iter().rev().find(will_do) {
            return Ok(Body::Shared(print.file.clone()));
        }
        let file = Arc::new(develop(&still.frame, region.map(|(_, place)| place))?);
        let print =
            Print { number: still.number, region: index, made_ms: now_ms, file: file.clone() };
        self.prints.push(print);
        while self.prints.len() > MOST_FILES || self.bytes() > MOST_BYTES {
            self.prints.remove(0);
        }
        Ok(Body::Shared(file))
    }

    fn bytes(&self) -> usize {
        self.prints.iter().map(|print| print.file.len()).sum()
    }
}

/// Whether the camera's own bytes are a file that any browser can read.
fn is_readable_file(frame: &Frame) -> bool {
    matches!(&frame.content, Content::File(bytes) if has_tables(bytes))
}

/// Whether a JPEG file brings its Huffman tables. Frames of motion-JPEG often do not, and then only some programs
/// read them.
fn has_tables(bytes: &[u8]) -> bool {
    let Some(mut rest) = bytes.strip_prefix(&[0xff, 0xd8]) else { return false };
    loop {
        match *rest {
            [0xff, 0xff, ..] => rest = &rest[1..],
            [0xff, 0xc4, ..] => return true,
            [0xff, marker, high, low, ..] if !matches!(marker, 0xda | 0xd9 | 0x00) => {
                let length = usize::from(u16::from_be_bytes([high, low]));
                match rest.get(2 + length..) {
                    Some(next) => rest = next,
                    None => return false,
                }
            }
            _ => return false,
        }
    }
}

fn develop(frame: &Frame, place: Option<[f64; 4]>) -> Result<Vec<u8>, String> {
    let picture = frame.picture().map_err(|e| format!("{}: {e}", frame.name))?;
    let cut = place.map(|place| crop(&picture, place));
    encode(cut.as_ref().unwrap_or(&picture))
}

/// Encodes a picture as a JPEG file.
fn encode(picture: &Rgb) -> Result<Vec<u8>, String> {
    let side = |side| u16::try_from(side).map_err(|_| "the frame is too large for a JPEG file");
    let (width, height) = (side(picture.width)?, side(picture.height)?);
    let mut file = Vec::new();
    let encoder = Encoder::new(&mut file, QUALITY);
    encoder
        .encode(&picture.pixels, width, height, ColorType::Rgb)
        .map_err(|e| format!("the frame cannot be encoded: {e}"))?;
    Ok(file)
}

/// The part of a picture at `x, y, width, height` as shares; at least a pixel.
fn crop(picture: &Rgb, [x, y, width, height]: [f64; 4]) -> Rgb {
    let span = |start: f64, length: f64, side: u32| {
        let pixel =
            |share: f64| (share * f64::from(side)).round().clamp(0.0, f64::from(side)) as u32;
        let from = pixel(start).min(side.saturating_sub(1));
        (from as usize, pixel(start + length).max(from + 1) as usize)
    };
    let (left, right) = span(x, width, picture.width);
    let (top, bottom) = span(y, height, picture.height);
    let rows = picture.pixels.chunks_exact((picture.width as usize * 3).max(1));
    let rows = rows.skip(top).take(bottom - top);
    Rgb {
        width: (right - left) as u32,
        height: (bottom - top) as u32,
        pixels: rows.flat_map(|row| &row[left * 3..right * 3]).copied().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{decode, encode_png};
    use crate::status::sample::{at, frame};

    fn still(number: u64, content: Content) -> Still {
        let frame = Arc::new(Frame { seq: number, name: "f".into(), content });
        Still { number, at: at(0), frame, regions: Arc::new([]) }
    }

    fn grey(number: u64) -> Still {
        let frame = frame(number, 100);
        Still { number, at: at(0), frame, regions: Arc::new([]) }
    }

    #[test]
    fn a_picture_becomes_a_file_and_a_file_stays_itself() {
        let mut darkroom = Darkroom::default();
        let file = darkroom.print(&grey(1), None, false, 0).unwrap().bytes().to_vec();
        let picture = decode(&file).unwrap();
        assert_eq!((picture.width, picture.height), (32, 16));
        assert!(picture.pixels.iter().all(|&p| p.abs_diff(100) < 4));
        let again = still(2, Content::File(file.clone()));
        let print = darkroom.print(&again, None, false, 0).unwrap();
        assert!(matches!(&print, Body::File(_)) && print.bytes() == file);
        let png = still(3, Content::File(encode_png(&picture)));
        assert!(darkroom.print(&png, None, false, 0).unwrap().bytes().starts_with(&[0xff, 0xd8]));
        let broken = still(4, Content::File(b"no picture".to_vec()));
        assert!(darkroom.print(&broken, None, false, 0).is_err());
    }

    #[test]
    fn a_motion_jpeg_frame_gets_its_tables() {
        let file = encode(&grey(0).frame.picture().unwrap()).unwrap();
        assert!(has_tables(&file));
        let mut bare = file[..2].to_vec();
        let mut rest = &file[2..];
        while rest[1] != 0xda {
            let length = 2 + usize::from(u16::from_be_bytes([rest[2], rest[3]]));
            if rest[1] != 0xc4 {
                bare.extend_from_slice(&rest[..length]);
            }
            rest = &rest[length..];
        }
        bare.extend_from_slice(rest);
        assert!(!has_tables(&bare));
        let print = Darkroom::default().print(&still(0, Content::File(bare)), None, false, 0);
        assert!(has_tables(print.unwrap().bytes()));
        for cut in 0..file.len().min(700) {
            has_tables(&file[..cut]);
        }
    }

    #[test]
    fn regions_are_cut_out_and_never_empty() {
        let pixels = (0..16 * 8).flat_map(|i| [i as u8; 3]).collect();
        let picture = Rgb { width: 16, height: 8, pixels };
        let cut = crop(&picture, [0.5, 0.25, 0.25, 0.5]);
        assert_eq!((cut.width, cut.height), (4, 4));
        assert_eq!((cut.pixels[0], *cut.pixels.last().unwrap()), (40, 91));
        for place in [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.001, 0.001], [2.0, -1.0, 9.0, 9.0]] {
            let cut = crop(&picture, place);
            assert_eq!(cut.pixels.len(), (cut.width * cut.height * 3) as usize);
            assert!(cut.width > 0 && cut.height > 0);
        }
    }

    #[test]
    fn however_many_ask_a_print_is_made_once_in_a_while() {
        let mut darkroom = Darkroom::default();
        let mut print = |number, or_recent, now_ms| match darkroom
            .print(&grey(number), None, or_recent, now_ms)
            .unwrap()
        {
            Body::Shared(file) => file,
            other => panic!("{other:?}"),
        };
        let first = print(1, true, 1_000);
        assert!(Arc::ptr_eq(&first, &print(2, true, 1_100)));
        assert!(!Arc::ptr_eq(&first, &print(2, false, 1_100)));
        assert!(!Arc::ptr_eq(&first, &print(2, true, 1_200)));
        assert!(Arc::ptr_eq(&first, &print(1, false, 9_000)));
        for i in 0..100 {
            darkroom.print(&grey(i), None, false, 2_000).unwrap();
        }
        assert_eq!(darkroom.prints.len(), MOST_FILES);
    }
}
