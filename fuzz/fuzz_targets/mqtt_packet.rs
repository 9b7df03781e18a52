//! What a broker may send.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oddsight::sink::mqtt::packet::decode;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    while let Ok(Some((packet, length))) = decode(rest) {
        assert!((2..=4).contains(&length) && length <= rest.len());
        // It does not depend on what comes after.
        assert_eq!(decode(&rest[..length]).unwrap(), Some((packet, length)));
        assert!((0..length).all(|cut| !matches!(decode(&rest[..cut]), Ok(Some(_)))));
        rest = &rest[length..];
    }
    if let Ok(None) = decode(rest) {
        assert!(rest.len() < 4);
    }
});
