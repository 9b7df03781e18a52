//! What a client may send: a request, or the reason why it is none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oddsight::http::request::{MOST_BYTES, Parsed, parse};

fuzz_target!(|data: &[u8]| {
    match parse(data) {
        Parsed::Request(request) => {
            assert!(request.path.starts_with('/') && !request.path.contains('?'));
            assert!(request.query.len() <= 16);
            // What is behind a request is not looked at.
            let more = [data, b"GET / HTTP/1.1\r\n\r\n"].concat();
            assert_eq!(parse(&more), Parsed::Request(request));
        }
        Parsed::More => assert!(data.len() < MOST_BYTES),
        Parsed::Refused(refusal) => assert!((400..=505).contains(&refusal.status)),
    }
});
