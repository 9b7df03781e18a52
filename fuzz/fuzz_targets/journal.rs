//! A segment of a journal: records, and a count of what was passed over.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use oddsight::sink::journal::{Reader, Record};

fuzz_target!(|data: &[u8]| {
    static DIR: OnceLock<tempfile::TempDir> = OnceLock::new();
    let dir = DIR.get_or_init(|| tempfile::tempdir().unwrap());
    let path = dir.path().join("00000001.jsonl");
    std::fs::write(&path, data).unwrap();
    let mut folder = Reader::open(dir.path()).unwrap();
    let records: Vec<Record> = folder.by_ref().collect();
    let skipped = folder.skipped();
    let lines = data.split(|byte| *byte == b'\n').count() as u64;
    assert!(records.len() as u64 + skipped.damaged + skipped.unknown <= lines);
    assert_eq!(skipped.unreadable, 0);
    let file: Vec<Record> = Reader::open(&path).unwrap().collect();
    assert_eq!(format!("{file:?}"), format!("{records:?}"));
});
