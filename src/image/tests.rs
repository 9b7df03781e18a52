//! Against Pillow's pixels, and against files that lost bytes. `scripts/image-fixtures.py` draws the
//! files and notes what Pillow makes of them.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

/// A JPEG with what our decoder must make of it on every machine: CRC-32 of the RGB samples.
const JPEGS: [(&str, u32); 9] = [
    ("baseline-420.jpg", 0x78a11847),
    ("baseline-422-restart.jpg", 0xaca43ab6),
    ("baseline-444.jpg", 0xfa61ea38),
    ("cmyk.jpg", 0xd20cbc6a),
    ("exif-orientation-6.jpg", 0x0576d689),
    ("grey.jpg", 0x4748cd08),
    ("progressive-420.jpg", 0x78a11847),
    ("progressive-444-restart.jpg", 0xfa61ea38),
    ("ycck.jpg", 0x5ed39f92),
];

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/image").join(name)
}

fn file(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn lines(name: &str) -> Vec<String> {
    String::from_utf8(file(name)).unwrap().lines().map(str::to_owned).collect()
}

fn kind(bytes: &[u8]) -> Option<ImageErrorKind> {
    decode(bytes).err().map(|error| error.kind())
}

/// Where the picture data of the first scan begins.
fn picture_data(jpeg: &[u8]) -> usize {
    let marker = jpeg.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    marker + 2 + usize::from(jpeg[marker + 3])
}

#[test]
fn jpeg_pixels_are_frozen() {
    let found =
        JPEGS.map(|(name, _)| (name, crc32fast::hash(&decode(&file(name)).unwrap().pixels)));
    assert_eq!(found, JPEGS, "the energies of every calibrated model change with these");
}

#[test]
fn jpeg_pixels_are_near_those_of_pillow() {
    for name in ["baseline-420", "baseline-444", "cmyk", "grey", "ycck"] {
        let ours = decode(&file(&format!("{name}.jpg"))).unwrap();
        let pillow = decode(&file(&format!("{name}.pillow.png"))).unwrap();
        assert_eq!((ours.width, ours.height), (pillow.width, pillow.height));
        let differences = || ours.pixels.iter().zip(&pillow.pixels).map(|(&a, &b)| a.abs_diff(b));
        let sum: u32 = differences().map(u32::from).sum();
        let mean = f64::from(sum) / ours.pixels.len() as f64;
        // Two decoders round their DCT and upsampling differently.
        assert!(differences().max() <= Some(8) && mean < 0.6, "{name}: mean difference {mean}");
    }
}

#[test]
fn every_png_type_matches_pillow() {
    for line in lines("png.txt") {
        let (name, digest) = line.split_once(' ').unwrap();
        let picture = decode(&file(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((picture.width, picture.height), (6, 7), "{name}");
        assert_eq!(format!("{:08x}", crc32fast::hash(&picture.pixels)), digest, "{name}");
    }
}

#[test]
fn exif_orientation_is_applied() {
    let upright = decode(&file("baseline-420.jpg")).unwrap();
    let turned = decode(&file("exif-orientation-6.jpg")).unwrap();
    assert_eq!((turned.width, turned.height), (upright.height, upright.width));
    let png = decode(&file("exif-orientation-8.png")).unwrap();
    assert_eq!((png.width, png.height), (4, 6));
}

#[test]
fn a_jpeg_cut_anywhere_is_an_error() {
    for (name, _) in JPEGS {
        let whole = file(name);
        assert_eq!(whole[whole.len() - 2..], [0xff, 0xd9], "{name} ends with its end marker");
        assert_eq!(kind(&[]), Some(ImageErrorKind::Empty));
        for length in 1..whole.len() {
            let kind = kind(&whole[..length]);
            assert_eq!(kind, Some(ImageErrorKind::Truncated), "{name} cut to {length} bytes");
        }
    }
}

#[test]
fn a_cut_jpeg_that_someone_closed_is_an_error() {
    for (name, _) in JPEGS {
        let whole = file(name);
        // The last byte of picture data may be nothing but padding.
        for length in picture_data(&whole)..whole.len() - 3 {
            let closed = [&whole[..length], &[0xff, 0xd9]].concat();
            assert!(kind(&closed).is_some(), "{name} cut to {length} bytes and closed");
        }
    }
}

#[test]
fn a_jpeg_with_a_gap_is_an_error() {
    for (name, _) in JPEGS {
        let whole = file(name);
        for start in picture_data(&whole)..whole.len() - 2 - 100 {
            let gap = [&whole[..start], &whole[start + 100..]].concat();
            assert!(kind(&gap).is_some(), "{name} without 100 bytes from {start}");
        }
    }
}

#[test]
fn a_png_cut_anywhere_is_an_error() {
    for name in ["type2-depth8.png", "type3-depth4-interlaced.png", "exif-orientation-8.png"] {
        let whole = file(name);
        for length in 1..whole.len() {
            let kind = kind(&whole[..length]);
            assert_eq!(kind, Some(ImageErrorKind::Truncated), "{name} cut to {length} bytes");
        }
    }
}

#[test]
fn bytes_behind_the_end_of_a_jpeg_are_ignored() {
    let whole = file("baseline-420.jpg");
    let padded = [&whole[..], &[0; 512], &whole[..300]].concat();
    assert_eq!(decode(&padded), decode(&whole));
}

#[test]
fn stray_bytes_of_webcams_are_tolerated() {
    let whole = file("baseline-422-restart.jpg");
    let with = |at: usize, stray: usize| [&whole[..at], &vec![0x5a; stray], &whole[at..]].concat();
    let find = |marker: [u8; 2]| whole.windows(2).position(|pair| pair == marker).unwrap();
    for (marker, stray) in [([0xff, 0xdb], 1), ([0xff, 0xd3], 9), ([0xff, 0xd9], 3)] {
        assert_eq!(decode(&with(find(marker), stray)), decode(&whole), "before {marker:02x?}");
        let surplus = with(find(marker), 40);
        assert_eq!(kind(&surplus), Some(ImageErrorKind::Malformed), "before {marker:02x?}");
    }
    let (data, end) = whole.split_at(find([0xff, 0xd9]));
    assert_eq!(
        decode(&[data, &[0xff, 0xd0], end].concat()),
        decode(&whole),
        "a last restart marker"
    );
}

#[test]
fn a_restart_marker_out_of_order_is_an_error() {
    let mut bytes = file("baseline-422-restart.jpg");
    let third = bytes.windows(2).position(|pair| pair == [0xff, 0xd2]).unwrap();
    bytes[third + 1] = 0xd5;
    assert_eq!(kind(&bytes), Some(ImageErrorKind::Malformed));
}

#[test]
fn motion_jpeg_without_tables_is_decoded() {
    let whole = file("baseline-420.jpg");
    let mut without = whole[..2].to_vec();
    let mut at = 2;
    while whole[at + 1] != 0xda {
        let end = at + 2 + usize::from(u16::from_be_bytes([whole[at + 2], whole[at + 3]]));
        if whole[at + 1] != 0xc4 {
            without.extend_from_slice(&whole[at..end]);
        }
        at = end;
    }
    without.extend_from_slice(&whole[at..]);
    assert!(without.len() < whole.len() - 400);
    assert_eq!(decode(&without), decode(&whole));
}

#[test]
fn jpeg_variants_that_are_not_read_are_named() {
    let whole = file("baseline-444.jpg");
    let frame = whole.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    let scan = whole.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    let patched = |at: usize, value: u8| {
        let mut bytes = whole.clone();
        bytes[at] = value;
        decode(&bytes).unwrap_err()
    };
    for (error, what) in [
        (patched(frame + 1, 0xc9), "arithmetic"),
        (patched(frame + 4, 12), "12 bits"),
        (patched(frame + 14, 0x21), "chroma sampling"),
    ] {
        assert_eq!(error.kind(), ImageErrorKind::Unsupported);
        assert!(error.to_string().contains(what), "{error}");
    }
    let one_component = [&whole[..scan], &[0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 0]].concat();
    assert_eq!(kind(&one_component), Some(ImageErrorKind::Unsupported));
}

#[test]
fn huge_pictures_are_refused_by_their_header() {
    let mut jpeg = file("baseline-444.jpg");
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0x7f, 0xff, 0x7f, 0xff]);
    assert_eq!(kind(&jpeg), Some(ImageErrorKind::TooLarge));
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0x00, 0x01, 0x80, 0x00]);
    assert_eq!(kind(&jpeg), Some(ImageErrorKind::TooLarge));
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0, 0, 0, 35]);
    assert_eq!(kind(&jpeg), Some(ImageErrorKind::Malformed));

    let mut png = file("type2-depth8.png");
    png[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
    let digest = crc32fast::hash(&png[12..29]);
    png[29..33].copy_from_slice(&digest.to_be_bytes());
    assert_eq!(kind(&png), Some(ImageErrorKind::TooLarge));
}

#[test]
fn an_altered_png_is_an_error() {
    let whole = file("type2-depth8.png");
    for at in 8..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        assert!(decode(&bytes).is_err(), "byte {at} altered");
    }
}

#[test]
fn png_round_trip() {
    let picture = formula(37, 11);
    assert_eq!(decode(&encode_png(&picture)), Ok(picture));
}

/// The picture of the resize cases; scripts/image-fixtures.py has the same formula.
fn formula(width: u32, height: u32) -> Rgb {
    let mut pixels = Vec::new();
    for y in 0..height {
        for x in 0..width {
            for c in 0..3 {
                pixels.push(((x * 7 + y * 13 + c * 50) ^ (x * y / 8)) as u8);
            }
        }
    }
    Rgb { width, height, pixels }
}

#[test]
fn resize_and_crop_equal_pillow_bit_for_bit() {
    let cases = lines("resize.txt");
    assert!(cases.len() > 50);
    for case in cases {
        let words: Vec<&str> = case.split(' ').collect();
        let number = |at: usize| words[at].parse().unwrap();
        let resize = match words[2] {
            "shorter" => Resize::Shorter(number(3)),
            _ => Resize::Stretch(number(3), number(4)),
        };
        let how = Preprocess { resize, crop: [number(5), number(6)] };
        let result = prepare(&formula(number(0), number(1)), &how).unwrap();
        assert_eq!([result.width, result.height], how.crop, "{case}");
        assert_eq!(format!("{:08x}", crc32fast::hash(&result.pixels)), words[7], "{case}");
    }
}

#[test]
fn impossible_sizes_are_refused() {
    let picture = formula(8, 6);
    let kind = |resize, crop| prepare(&picture, &Preprocess { resize, crop }).unwrap_err().kind();
    assert_eq!(kind(Resize::Shorter(31), [32, 32]), ImageErrorKind::Geometry);
    assert_eq!(kind(Resize::Stretch(32, 31), [32, 32]), ImageErrorKind::Geometry);
    assert_eq!(kind(Resize::Stretch(0, 32), [32, 32]), ImageErrorKind::Geometry);
    assert_eq!(kind(Resize::Shorter(32), [32, 0]), ImageErrorKind::Geometry);
    assert_eq!(kind(Resize::Shorter(9000), [5000, 32]), ImageErrorKind::TooLarge);
    let torn = Rgb { pixels: vec![0; 10], ..picture };
    let how = Preprocess { resize: Resize::Shorter(4), crop: [4, 4] };
    assert_eq!(prepare(&torn, &how).unwrap_err().kind(), ImageErrorKind::Geometry);
}

/// Sizes far beyond memory are fine as long as the crop is small.
#[test]
fn only_the_crop_of_a_giant_resize_is_computed() {
    let picture = Rgb { width: 1, height: 32_767, pixels: vec![77; 32_767 * 3] };
    let how = Preprocess { resize: Resize::Shorter(u32::MAX), crop: [3, 2] };
    assert_eq!(prepare(&picture, &how).unwrap().pixels, vec![77; 18]);
}

fn mutated_file() -> impl Strategy<Value = Vec<u8>> {
    let names: Vec<&str> = JPEGS
        .iter()
        .map(|(name, _)| *name)
        .chain(["type3-depth8.png", "type6-depth16.png"])
        .collect();
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..6);
    (prop::sample::select(names), edits).prop_map(|(name, edits)| {
        let mut bytes = file(name);
        for (at, value, edit) in edits {
            let at = at.index(bytes.len());
            match edit {
                0 => bytes[at] = value,
                1 => bytes.insert(at, value),
                _ => drop(bytes.drain(at..(at + usize::from(value) % 32 + 1).min(bytes.len()))),
            }
        }
        bytes
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), magic in 0..3) {
        let magic: &[u8] = [&b""[..], b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"][magic as usize];
        prop_assert!(decode(&[magic, &bytes].concat()).is_err());
    }

    #[test]
    fn altered_files_never_panic_nor_give_torn_pictures(bytes in mutated_file()) {
        if let Ok(picture) = decode(&bytes) {
            prop_assert!(picture.is_consistent());
        }
    }

    #[test]
    fn a_constant_picture_stays_constant(
        width in 1u32..200, height in 1u32..200, colour: [u8; 3],
        crop in [1u32..40, 1u32..40], more in 0u32..20, keep: bool,
    ) {
        let pixels = colour.repeat((width * height) as usize);
        let resize = if keep {
            Resize::Shorter(crop[0].max(crop[1]) + more)
        } else {
            Resize::Stretch(crop[0] + more, crop[1] + more)
        };
        let result = prepare(&Rgb { width, height, pixels }, &Preprocess { resize, crop }).unwrap();
        prop_assert_eq!(result.pixels, colour.repeat((crop[0] * crop[1]) as usize));
    }
}
