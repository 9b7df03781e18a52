//! What can be tried without a driver; the rest is in `tests/hil.rs`.

use super::*;

fn four(letters: &[u8; 4]) -> FourCc {
    FourCc(u32::from_le_bytes(*letters))
}

fn offer(letters: &[u8; 4], sizes: &[(u32, u32)]) -> Offer {
    Offer {
        fourcc: four(letters),
        description: String::new(),
        sizes: Sizes::Listed(sizes.to_vec()),
    }
}

fn spec(format: Option<PixelFormat>, size: Option<(u32, u32)>) -> V4l2Spec {
    V4l2Spec { path: "/dev/video0".into(), size, format, fps: None }
}

#[test]
fn auto_takes_the_best_format_that_has_the_size() {
    let offers = [
        offer(b"YUYV", &[(640, 480), (320, 240)]),
        offer(b"MJPG", &[(640, 480), (1920, 1080)]),
        offer(b"BA81", &[(640, 480)]),
    ];
    let chosen = |format, size| {
        let spec = spec(format, size);
        choose(&offers, &spec, size.unwrap_or(USUAL_SIZE)).map(|(format, _)| format)
    };
    let yuyv = PixelFormat::Raw(RawFormat::Yuyv);
    assert_eq!(chosen(None, None), Some(PixelFormat::Mjpeg));
    assert_eq!(chosen(None, Some((320, 240))), Some(yuyv));
    assert_eq!(chosen(Some(yuyv), Some((640, 480))), Some(yuyv));
    assert_eq!(chosen(Some(yuyv), Some((1920, 1080))), None);
    assert_eq!(chosen(None, Some((1, 1))), None);
    assert_eq!(chosen(Some(PixelFormat::Raw(RawFormat::Grey)), None), None);
}

#[test]
fn without_a_size_any_size_will_do() {
    let offers = [offer(b"GREY", &[(160, 120)])];
    let chosen = choose(&offers, &spec(None, None), USUAL_SIZE);
    assert_eq!(chosen.map(|(_, fourcc)| fourcc), Some(four(b"GREY")));
}

#[test]
fn a_driver_that_cannot_count_is_refused() {
    let yuyv = PixelFormat::Raw(RawFormat::Yuyv);
    let pix = |width, height, bytesperline| sys::PixFormat {
        width,
        height,
        bytesperline,
        ..Default::default()
    };
    assert_eq!(sensible(&pix(640, 480, 1280), yuyv).unwrap().stride, 1280);
    assert_eq!(sensible(&pix(640, 480, 0), yuyv).unwrap().stride, 1280);
    assert_eq!(sensible(&pix(640, 480, 2048), yuyv).unwrap().stride, 2048);
    assert_eq!(sensible(&pix(640, 480, 1280), PixelFormat::Mjpeg).unwrap().stride, 0);
    for bad in [pix(0, 480, 0), pix(640, 1 << 20, 0), pix(640, 480, 1279), pix(641, 480, 1282)] {
        assert!(sensible(&bad, yuyv).is_err(), "{}x{}", bad.width, bad.height);
    }
}

/// Many cameras leave the Huffman tables of the JPEG standard out of their frames.
#[test]
fn a_frame_without_huffman_tables_is_a_picture() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/image/baseline-420.jpg");
    let whole = std::fs::read(path).unwrap();
    let (mut bare, mut at) = (whole[..2].to_vec(), 2);
    while whole[at + 1] != 0xda {
        let length = 2 + usize::from(u16::from_be_bytes([whole[at + 2], whole[at + 3]]));
        if whole[at + 1] != 0xc4 {
            bare.extend_from_slice(&whole[at..at + length]);
        }
        at += length;
    }
    bare.extend_from_slice(&whole[at..]);
    assert!(bare.len() < whole.len());
    let picture = |bytes| crate::image::decode(bytes).unwrap();
    assert_eq!(picture(&bare), picture(&whole));
}
