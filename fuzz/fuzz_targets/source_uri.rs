//! Source URIs: what is read is written as it was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oddsight::camera::SourceUri;

fuzz_target!(|text: &str| {
    match text.parse::<SourceUri>() {
        Ok(source) => {
            assert_eq!(source.to_string().parse::<SourceUri>().ok(), Some(source.clone()));
            let _ = source.for_log();
        }
        Err(e) => assert!(e.to_string().len() < 2000),
    }
});
