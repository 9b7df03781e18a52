//! Heads files with a right checksum: heads, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oddsight::model::HeadsBlob;
use oddsight::model::blob::VERSION;

fuzz_target!(|data: &[u8]| {
    let Some((&version, payload)) = data.split_first() else { return };
    let mut file = b"ODDSIGHT".to_vec();
    file.extend((1 + u16::from(version) % VERSION).to_le_bytes());
    file.extend((payload.len() as u32).to_le_bytes());
    file.extend(payload);
    file.extend(crc32fast::hash(&file).to_le_bytes());
    if let Ok(blob) = HeadsBlob::from_bytes(&file) {
        // Only NaN is not equal to itself.
        let again = HeadsBlob::from_bytes(&blob.to_bytes()).expect("what was read can be written");
        assert_eq!(format!("{again:?}"), format!("{blob:?}"));
    }
});
