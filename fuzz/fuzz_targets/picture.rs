//! JPEG and PNG files: a whole picture, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oddsight::image::{MAX_PIXELS, MAX_SIDE, decode};

fuzz_target!(|data: &[u8]| {
    let Ok(picture) = decode(data) else { return };
    let pixels = u64::from(picture.width) * u64::from(picture.height);
    assert!(picture.width.max(picture.height) <= MAX_SIDE && (1..=MAX_PIXELS).contains(&pixels));
    assert_eq!(picture.pixels.len() as u64, pixels * 3);
});
