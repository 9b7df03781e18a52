//! Configurations: one that holds, or places that say why not.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use oddsight::config::Explained;

fuzz_target!(|text: &str| {
    let path = Path::new("device.toml");
    match Explained::parse(text, path, &[]) {
        Ok(explained) => {
            let shown = explained.show();
            let again = Explained::parse(&shown, path, &[]);
            // Secrets are shown as stars, so the two may differ; but what is shown is a configuration.
            assert!(again.is_ok() || shown.contains("***"), "{shown}");
        }
        Err(e) => assert!(!e.explain().is_empty() && e.explain().len() < 200 * 1000),
    }
});
