//! Manifests of models, and keys.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oddsight::model::store::{Manifest, PublicKey};

fuzz_target!(|data: &[u8]| {
    if let Ok(manifest) = serde_json::from_slice::<Manifest>(data) {
        let text = serde_json::to_string(&manifest).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&text).unwrap(), manifest);
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(key) = text.parse::<PublicKey>()
    {
        assert_eq!(key.to_string().parse::<PublicKey>(), Ok(key));
    }
});
