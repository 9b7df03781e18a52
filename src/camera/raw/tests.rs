use proptest::prelude::*;

use super::*;

fn raw(format: RawFormat, width: u32, height: u32, stride: u32, bytes: Vec<u8>) -> Raw {
    Raw { format, width, height, stride, bytes }
}

fn kind(raw: &Raw) -> Option<ImageErrorKind> {
    raw.picture().err().map(|e| e.kind())
}

/// BT.601 with limited range, in real numbers; clamped, not rounded.
fn oracle(y: u8, cb: u8, cr: u8) -> [f64; 3] {
    let (y, u, v) = (f64::from(y) - 16.0, f64::from(cb) - 128.0, f64::from(cr) - 128.0);
    let (kr, kg, kb) = (0.299, 0.587, 0.114);
    let luma = 255.0 / 219.0 * y;
    let (red, blue) = (255.0 / 224.0 * 2.0 * (1.0 - kr) * v, 255.0 / 224.0 * 2.0 * (1.0 - kb) * u);
    [luma + red, luma - kb / kg * blue - kr / kg * red, luma + blue]
        .map(|sample| sample.clamp(0.0, 255.0))
}

#[test]
fn every_colour_is_as_near_to_the_real_number_as_the_documentation_says() {
    let mut worst: f64 = 0.0;
    for cb in 0..=255 {
        for cr in 0..=255 {
            let colour = Colour::new(cb, cr);
            for pair in 0..128 {
                let luma = [pair * 2, pair * 2 + 1];
                let mut rgb = [0; 6];
                colour.paint(&mut rgb, luma);
                let expected = luma.map(|y| oracle(y, cb, cr));
                for (found, real) in rgb.into_iter().zip(expected.as_flattened()) {
                    worst = worst.max((f64::from(found) - real).abs());
                }
            }
        }
    }
    assert!(worst <= 0.5003, "{worst}");
}

#[test]
fn known_colours() {
    // Bars of 75 %, from ITU-R BT.601: white, yellow, cyan, green, magenta, red, blue, black.
    let bars = [
        ([180, 128, 128], [191, 191, 191]),
        ([162, 44, 142], [191, 191, 0]),
        ([131, 156, 44], [0, 191, 191]),
        ([112, 72, 58], [0, 191, 0]),
        ([84, 184, 198], [191, 0, 191]),
        ([65, 100, 212], [191, 0, 0]),
        ([35, 212, 114], [0, 0, 191]),
        ([16, 128, 128], [0, 0, 0]),
    ];
    for ([y, cb, cr], rgb) in bars {
        let picture = raw(RawFormat::Yuyv, 2, 1, 4, vec![y, cb, y, cr]).picture().unwrap();
        for (found, expected) in picture.pixels.iter().zip(rgb.repeat(2)) {
            assert!(found.abs_diff(expected) <= 1, "{:?} for {rgb:?}", picture.pixels);
        }
    }
}

#[test]
fn each_format_finds_its_pixels_and_skips_padding() {
    let grey = |samples: &[u8]| samples.iter().flat_map(|&s| [s; 3]).collect::<Vec<u8>>();
    // Y 16, 60, 104, 148 without colour.
    let ramp = grey(&[0, 51, 102, 154]);
    let cases = [
        raw(RawFormat::Yuyv, 2, 2, 5, vec![16, 128, 60, 128, 9, 104, 128, 148, 128]),
        raw(RawFormat::Nv12, 2, 2, 3, vec![16, 60, 9, 104, 148, 9, 128, 128]),
        raw(RawFormat::Grey, 2, 2, 4, vec![0, 51, 9, 9, 102, 154]),
        raw(RawFormat::Rgb3, 4, 1, 12, ramp.clone()),
        raw(RawFormat::Bgr3, 4, 1, 12, ramp.clone()),
    ];
    for raw in cases {
        let picture = raw.picture().unwrap();
        assert_eq!((picture.width, picture.height), (raw.width, raw.height));
        assert_eq!(picture.pixels, ramp, "{raw:?}");
    }
    let colours = vec![1, 2, 3, 4, 5, 6];
    let rgb = raw(RawFormat::Rgb3, 1, 2, 3, colours.clone()).picture().unwrap();
    let bgr = raw(RawFormat::Bgr3, 1, 2, 3, colours.clone()).picture().unwrap();
    assert_eq!((rgb.pixels, bgr.pixels), (colours, vec![3, 2, 1, 6, 5, 4]));
}

#[test]
fn nv12_shares_a_colour_between_four_pixels() {
    let luma = [100, 110, 120, 130, 140, 150, 160, 170];
    let bytes = [&luma[..], &[90, 160, 200, 70]].concat();
    let picture = raw(RawFormat::Nv12, 4, 2, 4, bytes).picture().unwrap();
    for (at, found) in picture.pixels.chunks(3).enumerate() {
        let [cb, cr] = if at % 4 < 2 { [90, 160] } else { [200, 70] };
        for (found, real) in found.iter().zip(oracle(luma[at], cb, cr)) {
            assert!((f64::from(*found) - real).abs() <= 0.5003, "pixel {at}");
        }
    }
}

#[test]
fn hostile_sizes_are_errors() {
    use ImageErrorKind::{Geometry, Malformed, TooLarge, Truncated};
    use RawFormat::{Grey, Nv12, Rgb3, Yuyv};
    for (raw, expected) in [
        (raw(Grey, 0, 1, 1, vec![1]), Malformed),
        (raw(Grey, 1, 0, 1, vec![1]), Malformed),
        (raw(Grey, u32::MAX, u32::MAX, u32::MAX, vec![]), TooLarge),
        (raw(Rgb3, 30_000, 30_000, 90_000, vec![]), TooLarge),
        (raw(Rgb3, 10_000, 10_000, 30_000, vec![0; 99]), Truncated),
        (raw(Grey, 4, 4, u32::MAX, vec![0; 99]), Truncated),
        (raw(Grey, 4, 4, 3, vec![0; 99]), Geometry),
        (raw(Grey, 4, 4, 0, vec![0; 99]), Geometry),
        (raw(Yuyv, 3, 2, 8, vec![0; 99]), Geometry),
        (raw(Nv12, 3, 2, 8, vec![0; 99]), Geometry),
        (raw(Nv12, 2, 3, 8, vec![0; 99]), Geometry),
        (raw(Nv12, 2, 2, 2, vec![0; 5]), Truncated),
        (raw(Yuyv, 2, 2, 4, vec![0; 7]), Truncated),
    ] {
        assert_eq!(kind(&raw), Some(expected), "{raw:?}");
    }
}

fn any_format() -> impl Strategy<Value = RawFormat> {
    prop::sample::select(&RawFormat::ALL[..])
}

proptest! {
    #[test]
    fn any_raw_is_a_picture_or_an_error(
        format in any_format(), width in 0u32..9, height in 0u32..9, stride in 0u32..40,
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let needs = u64::from(stride) * format.lines(height).saturating_sub(1) + format.line_bytes(width);
        let fits = bytes.len() as u64 >= needs && u64::from(stride) >= format.line_bytes(width);
        let raw = raw(format, width, height, stride, bytes);
        match raw.picture() {
            Ok(picture) => {
                prop_assert!(fits && format.check(width, height).is_ok());
                prop_assert_eq!(picture.pixels.len(), (width * height * 3) as usize);
            }
            Err(e) => prop_assert!(!fits || format.check(width, height).is_err(), "{e}"),
        }
    }

    #[test]
    fn padding_changes_nothing(
        format in any_format(), width in 1u32..5, height in 1u32..4, padding in 0u32..5, seed: u64,
    ) {
        let (width, height) = (width * 2, height * 2);
        let mut random = crate::random::Random::new(seed);
        let line = format.line_bytes(width) as usize;
        let tight: Vec<u8> =
            (0..format.picture_bytes(width, height)).map(|_| random.next_u64() as u8).collect();
        let padded = tight
            .chunks(line)
            .flat_map(|line| line.iter().copied().chain((0..padding).map(|_| 77)))
            .collect();
        prop_assert_eq!(
            raw(format, width, height, line as u32, tight).picture().unwrap(),
            raw(format, width, height, line as u32 + padding, padded).picture().unwrap()
        );
    }

    #[test]
    fn names_are_read_back(format in any_format()) {
        prop_assert_eq!(format.name().parse::<RawFormat>().unwrap(), format);
    }
}
