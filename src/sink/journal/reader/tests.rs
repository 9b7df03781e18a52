use std::fs;
use std::io::Write as _;

use proptest::prelude::*;

use super::super::Journal;
use super::super::record::{Line, MAX_LINE, Record, parse};
use super::super::tests::{numbers, read, score, segments, settings};
use super::*;
use crate::event::Phase;
use crate::sink::Sink as _;
use crate::sink::fixtures::{message, message_item};
use crate::storage::crash::scratch;

#[test]
fn a_reader_follows_a_writer() {
    let dir = scratch();
    let mut journal = Journal::new(dir.path(), &settings());
    journal.open().unwrap();
    let mut reader = Reader::open(dir.path()).unwrap();
    let mut seen = Vec::new();
    for seq in 0..6000 {
        journal.score(score(seq));
        if seq % 37 == 0 {
            journal.deliver(&message_item(1, Phase::Update, seq)).unwrap();
            seen.extend(numbers(&reader.by_ref().collect::<Vec<_>>()).1);
        }
    }
    journal.close();
    seen.extend(numbers(&reader.by_ref().collect::<Vec<_>>()).1);
    assert_eq!(seen, (0..6000).collect::<Vec<u64>>());
    assert_eq!(reader.skipped(), Skipped::default());
    // A half line is read when it is whole, and forgotten when it is taken back.
    let newest = dir.path().join(segments(dir.path()).last().unwrap());
    let len = fs::metadata(&newest).unwrap().len();
    let file = fs::OpenOptions::new().append(true).open(&newest).unwrap();
    (&file).write_all(b"{\"record\":\"score\",\"seq\":1").unwrap();
    assert_eq!(reader.next(), None);
    file.set_len(len).unwrap();
    let mut journal = Journal::new(dir.path(), &settings());
    journal.score(score(6000));
    journal.close();
    assert_eq!(numbers(&reader.by_ref().collect::<Vec<_>>()).1, [6000]);
    assert_eq!(reader.skipped(), Skipped::default());
}

#[test]
fn a_segment_can_be_read_wherever_it_was_copied() {
    let dir = scratch();
    let mut journal = Journal::new(dir.path().join("j"), &settings());
    for seq in 0..3000 {
        journal.score(score(seq));
        if seq % 500 == 0 {
            journal.deliver(&message_item(1, Phase::Update, seq)).unwrap();
        }
    }
    journal.close();
    let (records, _) = read(&dir.path().join("j"));
    let messages: Vec<Record> =
        records.iter().filter(|record| record.is_message()).cloned().collect();
    let only = Reader::open(&dir.path().join("j")).unwrap().only_messages();
    assert_eq!(only.collect::<Vec<_>>(), messages);
    let mut all = Vec::new();
    for name in segments(&dir.path().join("j")) {
        let bytes = fs::read(dir.path().join("j").join(name)).unwrap();
        all.extend_from_slice(&bytes);
    }
    let copy = dir.path().join("all.jsonl");
    fs::write(&copy, &all).unwrap();
    assert_eq!(read(&copy), (records, Skipped::default()));
    assert_eq!(Reader::open(&copy).unwrap().only_messages().collect::<Vec<_>>(), messages);
    // Under a number that is not its own, nothing is believed: such lines are what an older segment left on the card.
    let wrong = dir.path().join("00000042.jsonl");
    fs::write(&wrong, &all).unwrap();
    let (records, skipped) = read(&wrong);
    assert!(records.is_empty() && skipped.damaged > 3000);
}

#[test]
fn events_without_an_end_are_found() {
    let dir = scratch();
    assert_eq!(unfinished(dir.path()).unwrap(), []);
    let mut journal = Journal::new(dir.path(), &settings());
    for (number, phase, seq) in [
        (1, Phase::Start, 0),
        (2, Phase::Start, 1),
        (3, Phase::Start, 2),
        (2, Phase::End, 3),
        (1, Phase::Update, 4),
    ] {
        journal.deliver(&message_item(number, phase, seq)).unwrap();
    }
    let open = [message(1, Phase::Update, 4), message(3, Phase::Start, 2)];
    assert_eq!(unfinished(dir.path()).unwrap(), open);
    assert!(unfinished(&dir.path().join("nothing")).is_err());
}

#[test]
fn lines_of_a_newer_version_are_passed_over() {
    let dir = scratch();
    let body = r#"{"record":"weather","wind":3"#;
    let crc = crc32fast::hash(format!("1:{body}").as_bytes());
    fs::write(dir.path().join("00000001.jsonl"), format!("{body},\"crc\":\"{crc:08x}\"}}\n"))
        .unwrap();
    let (records, skipped) = read(dir.path());
    assert!(records.is_empty());
    assert_eq!(skipped, Skipped { unknown: 1, ..Skipped::default() });
}

/// A journal of one segment, as bytes.
fn a_segment() -> Vec<u8> {
    let dir = scratch();
    let mut journal = Journal::new(dir.path(), &settings());
    for seq in 0..6 {
        journal.score(score(seq));
    }
    journal.deliver(&message_item(1, Phase::Start, 77)).unwrap();
    journal.close();
    fs::read(dir.path().join("00000001.jsonl")).unwrap()
}

/// Reads bytes as a segment, and says whether each record is one that was written.
fn read_bytes(bytes: &[u8]) -> (Vec<Record>, Skipped) {
    let dir = scratch();
    fs::write(dir.path().join("00000001.jsonl"), bytes).unwrap();
    fs::write(dir.path().join("00000002.jsonl"), b"").unwrap();
    read(dir.path())
}

/// A hundred thousand hostile segments: bytes of a real one that were changed, cut, doubled, or made up.
#[test]
fn whatever_is_on_the_card_only_what_was_written_is_read() {
    let segment = a_segment();
    let (written, _) = read_bytes(&segment);
    let mut random = crate::random::Random::new(5);
    for _ in 0..100_000 {
        let mut bytes = segment.clone();
        for _ in 0..random.below(4) {
            let len = bytes.len() as u64;
            let (a, b) = (random.below(len + 1) as usize, random.below(len + 1) as usize);
            let (from, to) = (a.min(b), a.max(b));
            match random.below(5) {
                0 => bytes.truncate(a),
                1 => bytes[from..to].fill(random.next_u64() as u8),
                2 => drop(bytes.drain(from..to)),
                3 if a < bytes.len() => bytes[a] ^= 1 << random.below(8),
                _ => {
                    let copy = bytes[from..to].to_vec();
                    let _ = bytes.splice(a..a, copy).count();
                }
            }
            if bytes.is_empty() {
                break;
            }
        }
        // Without the folder: a file for each would measure the disk.
        for line in bytes.split(|b| *b == b'\n') {
            if let Line::Record(record) = parse(line, Some(1)).0 {
                assert!(written.contains(&record), "{record:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_reader_takes_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let (records, skipped) = read_bytes(&bytes);
        let lines = bytes.split(|b| *b == b'\n').count() as u64 - u64::from(bytes.ends_with(b"\n") || bytes.is_empty());
        prop_assert_eq!(records.len() as u64 + skipped.damaged + skipped.unknown, lines);
    }

    #[test]
    fn damage_costs_the_lines_that_it_touches(at in 0usize..2000, len in 1usize..300, with in any::<u8>()) {
        let segment = a_segment();
        let mut bytes = segment.clone();
        let from = at % bytes.len();
        let to = (from + len).min(bytes.len());
        bytes[from..to].fill(with);
        let touched = |line: &(usize, usize)| line.0 < to && from < line.1;
        let mut start = 0;
        let mut lines = Vec::new();
        for (end, byte) in segment.iter().enumerate() {
            if *byte == b'\n' {
                lines.push((start, end + 1));
                start = end + 1;
            }
        }
        let untouched = lines.iter().filter(|line| !touched(line)).count();
        // A newline that is gone costs the line after it, too.
        let newlines = lines.iter().filter(|line| (from..to).contains(&(line.1 - 1))).count();
        let (records, _) = read_bytes(&bytes);
        prop_assert!(records.len() + newlines.min(1) >= untouched);
    }
}

#[test]
fn a_line_without_end_takes_no_memory() {
    let dir = scratch();
    let mut bytes = vec![b'x'; 3 * MAX_LINE];
    bytes.push(b'\n');
    bytes.extend_from_slice(&a_segment());
    fs::write(dir.path().join("00000001.jsonl"), &bytes).unwrap();
    let mut reader = Reader::open(dir.path()).unwrap();
    let records = reader.by_ref().count();
    assert_eq!((records, reader.skipped().damaged), (8, 1));
}
