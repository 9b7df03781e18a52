use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::*;
use crate::event::Phase;
use crate::sink::fixtures::{at, message, message_item};
use crate::storage::crash::{Recorder, scratch};
use crate::storage::{Answer, Op, StorageErrorKind};

pub(super) fn settings() -> JournalSettings {
    JournalSettings { segment_mb: 1, most_mb: 1, ..JournalSettings::default() }
}

pub(super) fn score(seq: u64) -> ScoreLine {
    ScoreLine {
        seq,
        at: at(seq * 100),
        region: "frame".into(),
        energy_q16: -77_123 + seq as i64,
        p_value: 0.04795204795204795,
        light_jumped: false,
        name: String::new(),
    }
}

pub(super) fn read(path: &Path) -> (Vec<Record>, Skipped) {
    let mut reader = Reader::open(path).unwrap();
    let records: Vec<Record> = reader.by_ref().collect();
    (records, reader.skipped())
}

/// The `seq` of each message, and of each score.
pub(super) fn numbers(records: &[Record]) -> (Vec<u64>, Vec<u64>) {
    let (mut messages, mut scores) = (Vec::new(), Vec::new());
    for record in records {
        match record {
            Record::Message(message) => messages.push(message.seq),
            Record::Score(score) => scores.push(score.seq),
            Record::Note(_) => {}
        }
    }
    (messages, scores)
}

pub(super) fn notes(records: &[Record]) -> Vec<String> {
    let note = |record: &Record| match record {
        Record::Note(note) => Some(note.note.clone()),
        _ => None,
    };
    records.iter().filter_map(note).collect()
}

pub(super) fn segments(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn what_goes_in_comes_out() {
    let dir = scratch();
    let mut journal = Journal::new(dir.path(), &settings());
    let scores = journal.scores();
    for seq in 0..3 {
        scores.push(score(seq));
    }
    journal.deliver(&message_item(7, Phase::Start, 41)).unwrap();
    scores.push(score(3));
    journal.close();
    let (records, skipped) = read(dir.path());
    assert_eq!(skipped, Skipped::default());
    assert!(matches!(&records[0], Record::Note(note) if note.segment == 1));
    let mut expected: Vec<Record> = (0..3).map(|seq| Record::Score(score(seq))).collect();
    expected.push(Record::Message(message(7, Phase::Start, 41)));
    expected.push(Record::Score(score(3)));
    assert_eq!(records[1..], expected);
}

/// The checksum is what the documentation says: other programs may check it.
#[test]
fn a_frame_that_is_only_numbered_has_no_name() {
    let dir = scratch();
    let mut journal = Journal::new(dir.path(), &settings());
    let names = ["python3/000167", "/dev/video0#7", "stdin/000000", "a/000167.jpg", "7.png", ""];
    for (seq, name) in names.into_iter().enumerate() {
        journal.score(ScoreLine { name: name.into(), ..score(seq as u64) });
    }
    journal.close();
    let kept: Vec<String> = read(dir.path())
        .0
        .into_iter()
        .filter_map(|record| match record {
            Record::Score(line) => Some(line.name),
            _ => None,
        })
        .collect();
    assert_eq!(kept, ["", "", "", "a/000167.jpg", "7.png", ""]);
}

#[test]
fn a_line_is_json_with_a_checksum() {
    let dir = scratch();
    let mut journal = Journal::new(dir.path(), &settings());
    journal.score(score(5));
    journal.close();
    let text = fs::read_to_string(dir.path().join("00000001.jsonl")).unwrap();
    let line = text.lines().last().unwrap();
    let (body, rest) = line.split_once(r#","crc":""#).unwrap();
    assert_eq!(
        body,
        concat!(
            r#"{"record":"score","seq":5,"mono_ms":500,"utc_ms":1000000500,"clock_synced":false,"#,
            r#""region":"frame","energy_q16":-77118,"p_value":0.04795204795204795"#
        )
    );
    assert_eq!(rest, format!("{:08x}\"}}", crc32fast::hash(format!("1:{body}").as_bytes())));
    serde_json::from_str::<serde_json::Value>(line).unwrap();
}

#[test]
fn scores_wait_for_a_tick_or_a_message() {
    let dir = scratch();
    let mut journal = Journal::new(dir.path(), &settings());
    journal.tick(at(0));
    journal.score(score(1));
    let wait = journal.tick(at(GATHER_MS - 1));
    assert_eq!(wait, Duration::from_millis(1));
    assert!(numbers(&read(dir.path()).0).1.is_empty());
    journal.tick(at(GATHER_MS));
    assert_eq!(numbers(&read(dir.path()).0).1, [1]);
    // So many come that they are written before their time.
    for seq in 0..MOST_SCORES as u64 / 2 {
        journal.score(score(seq));
    }
    journal.tick(at(GATHER_MS + 1));
    assert_eq!(numbers(&read(dir.path()).0).1.len(), 1 + MOST_SCORES / 2);
    let off = JournalSettings { scores: false, ..settings() };
    let mut journal = Journal::new(dir.path().join("off"), &off);
    journal.score(score(1));
    journal.close();
    assert!(numbers(&read(&dir.path().join("off")).0).1.is_empty());
}

#[test]
fn the_quota_holds_and_the_oldest_goes() {
    let dir = scratch();
    let mut journal = Journal::new(dir.path(), &settings());
    for seq in 0..9000 {
        journal.score(score(seq));
        if seq % 100 == 99 {
            journal.deliver(&message_item(1, Phase::Update, seq)).unwrap();
            let bytes: u64 = fs::read_dir(dir.path())
                .unwrap()
                .map(|e| e.unwrap().metadata().unwrap().len())
                .sum();
            assert!(bytes <= 1 << 20, "{bytes}");
            assert_eq!(bytes, journal.usage().bytes());
        }
    }
    let (records, skipped) = read(dir.path());
    assert_eq!(skipped, Skipped::default());
    let (messages, scores) = numbers(&records);
    assert!(scores.len() > 3000 && scores.windows(2).all(|pair| pair[1] == pair[0] + 1));
    assert_eq!((scores.last(), messages.last()), (Some(&8999), Some(&8999)));
    assert!(
        journal.usage().deleted() > 0 && !segments(dir.path()).contains(&"00000001.jsonl".into())
    );
}

#[test]
fn a_torn_line_is_closed_at_the_next_start_and_costs_no_other() {
    for tail in [&b"{\"record\":\"sco"[..], &[0; 5000], &[0xff; 3], b"\n\n{}"] {
        let dir = scratch();
        let mut journal = Journal::new(dir.path(), &settings());
        journal.deliver(&message_item(1, Phase::Start, 0)).unwrap();
        drop(journal);
        let segment = dir.path().join("00000001.jsonl");
        fs::OpenOptions::new().append(true).open(&segment).unwrap().write_all(tail).unwrap();
        assert_eq!(read(dir.path()).1.unknown, 0);
        let mut journal = Journal::new(dir.path(), &settings());
        journal.deliver(&message_item(1, Phase::End, 1)).unwrap();
        assert_eq!(segments(dir.path()).len(), 1);
        let (records, skipped) = read(dir.path());
        assert_eq!(numbers(&records).0, [0, 1]);
        assert!(skipped.damaged >= 1);
        assert!(notes(&records)[1].contains("had no end"), "{:?}", notes(&records));
    }
}

#[test]
fn a_line_that_lacks_only_its_newline_is_saved() {
    let dir = scratch();
    let mut journal = Journal::new(dir.path(), &settings());
    journal.deliver(&message_item(1, Phase::Start, 0)).unwrap();
    drop(journal);
    let segment = dir.path().join("00000001.jsonl");
    let mut bytes = fs::read(&segment).unwrap();
    bytes.pop();
    fs::write(&segment, bytes).unwrap();
    Journal::new(dir.path(), &settings()).deliver(&message_item(1, Phase::End, 1)).unwrap();
    let (records, skipped) = read(dir.path());
    assert_eq!((numbers(&records).0, skipped.damaged), (vec![0, 1], 0));
}

#[test]
fn every_promise_survives_any_power_cut() {
    let dir = scratch();
    let recorder = Recorder::new(dir.path());
    let folder = dir.path().join("j");
    let mut kept = Vec::new();
    // Names fill segments, so that they change and the oldest are deleted.
    let long = |seq| ScoreLine { name: "n".repeat(40_000), ..score(seq) };
    for start in 0..4 {
        let mut journal = Journal::on(recorder.disk(|_| Answer::Go), &folder, &settings());
        for i in 0..8 {
            let seq = start * 8 + i;
            journal.score(long(seq));
            journal.tick(at(seq * 9000));
            journal.deliver(&message_item(start, Phase::Update, seq)).unwrap();
            recorder.promise();
            kept.push(journal.usage().deleted());
        }
        // A process that is killed closes nothing.
        drop(journal);
    }
    assert!(kept.iter().any(|deleted| *deleted > 0));
    let states = recorder.explore_with_controls(8, |root, promises| {
        let folder = root.join("j");
        let before = if folder.exists() { numbers(&read(&folder).0).0 } else { Vec::new() };
        // Messages whose segment was deleted to make room are gone; all later ones are there, in order.
        assert!(before.windows(2).all(|pair| pair[1] == pair[0] + 1), "{before:?}");
        if promises > 0 {
            let last = before.last().copied();
            assert!(last == Some(promises as u64 - 1) || last == Some(promises as u64), "{last:?}");
        }
        let mut journal = Journal::new(&folder, &settings());
        journal.deliver(&message_item(9, Phase::Start, 1000)).unwrap();
        let after = numbers(&read(&folder).0).0;
        assert!(after.ends_with(&[1000]), "{after:?}");
    });
    assert!(states > 500, "{states}");
}

/// A disk with so much room, and what a deleted file gives back.
fn narrow(room: &Arc<AtomicU64>, given_back: &Arc<AtomicU64>) -> Disk {
    let (room, given_back) = (room.clone(), given_back.clone());
    Disk::scripted(move |op| match op {
        Op::Write { bytes, .. } => {
            let (free, wanted) = (room.load(Relaxed), bytes.len() as u64);
            room.store(free.saturating_sub(wanted), Relaxed);
            match free >= wanted {
                true => Answer::Go,
                false => Answer::Short(free as usize, std::io::ErrorKind::StorageFull),
            }
        }
        Op::Remove(_) => {
            room.store(room.load(Relaxed).saturating_add(given_back.load(Relaxed)), Relaxed);
            Answer::Go
        }
        _ => Answer::Go,
    })
}

#[test]
fn a_full_disk_costs_whole_lines_only() {
    let dir = scratch();
    let room = Arc::new(AtomicU64::new(10_000));
    let mut journal = Journal::on(narrow(&room, &Arc::default()), dir.path(), &settings());
    journal.deliver(&message_item(1, Phase::Start, 0)).unwrap();
    room.store(100, Relaxed);
    let full = journal.deliver(&message_item(1, Phase::Update, 1)).unwrap_err();
    assert!(full.is_passing() && full.to_string().contains("free some room"), "{full}");
    // The half line is taken back: nothing is torn.
    assert_eq!(read(dir.path()).1, Skipped::default());
    assert!(fs::read(dir.path().join("00000001.jsonl")).unwrap().ends_with(b"\n"));
    room.store(10_000, Relaxed);
    journal.deliver(&message_item(1, Phase::Update, 1)).unwrap();
    let (records, skipped) = read(dir.path());
    assert_eq!((numbers(&records).0, skipped), (vec![0, 1], Skipped::default()));
}

#[test]
fn a_full_disk_takes_the_oldest_segments_and_leaves_four() {
    let dir = scratch();
    let (room, given_back) = (Arc::new(AtomicU64::new(u64::MAX)), Arc::new(AtomicU64::new(1_000)));
    let wide = JournalSettings { most_mb: 64, ..settings() };
    let mut journal = Journal::on(narrow(&room, &given_back), dir.path(), &wide);
    for seq in 0..6000 {
        journal.score(ScoreLine { name: "n".repeat(900), ..score(seq) });
        if seq % 50 == 49 {
            journal.deliver(&message_item(2, Phase::Update, seq)).unwrap();
        }
    }
    let before = segments(dir.path()).len();
    assert!(before >= 6);
    room.store(0, Relaxed);
    journal.deliver(&message_item(3, Phase::Start, 10_000)).unwrap();
    assert_eq!(segments(dir.path()).len(), before - 1);
    given_back.store(0, Relaxed);
    room.store(0, Relaxed);
    assert!(journal.deliver(&message_item(3, Phase::End, 10_001)).unwrap_err().is_passing());
    assert_eq!(segments(dir.path()).len(), 4);
    assert_eq!(numbers(&read(dir.path()).0).0.last(), Some(&10_000));
}

#[test]
fn a_flush_that_fails_makes_the_message_be_written_elsewhere() {
    let dir = scratch();
    let failures = Arc::new(AtomicU64::new(0));
    let left = failures.clone();
    let disk = Disk::scripted(move |op| match op {
        Op::Sync(_) if left.load(Relaxed) > 0 => {
            left.fetch_sub(1, Relaxed);
            Answer::Fail(std::io::ErrorKind::Other)
        }
        _ => Answer::Go,
    });
    let mut journal = Journal::on(disk, dir.path(), &settings());
    journal.deliver(&message_item(1, Phase::Start, 0)).unwrap();
    failures.store(3, Relaxed);
    for _ in 0..3 {
        assert!(journal.deliver(&message_item(1, Phase::End, 1)).unwrap_err().is_passing());
    }
    journal.deliver(&message_item(1, Phase::End, 1)).unwrap();
    // The first try stands in the segment that could not be flushed; the others' segments were removed.
    assert_eq!(segments(dir.path()), ["00000001.jsonl", "00000002.jsonl"]);
    let (records, skipped) = read(dir.path());
    assert_eq!((numbers(&records).0, skipped), (vec![0, 1, 1], Skipped::default()));
    assert!(notes(&records).iter().any(|note| note.contains("could not be flushed")));
}

#[test]
fn a_segment_that_cannot_be_closed_or_deleted_is_left() {
    let dir = scratch();
    let mut journal = Journal::new(dir.path(), &settings());
    journal.deliver(&message_item(1, Phase::Start, 0)).unwrap();
    drop(journal);
    let first = dir.path().join("00000001.jsonl");
    fs::OpenOptions::new().append(true).open(&first).unwrap().write_all(b"{\"torn").unwrap();
    let stuck = first.clone();
    let disk = Disk::scripted(move |op| match op {
        Op::Write { path, .. } if *path == stuck => Answer::Fail(std::io::ErrorKind::Other),
        Op::Remove(path) if *path == stuck => Answer::Fail(std::io::ErrorKind::Other),
        _ => Answer::Go,
    });
    let mut journal = Journal::on(disk, dir.path(), &settings());
    journal.deliver(&message_item(1, Phase::Update, 1)).unwrap();
    for seq in 0..9000 {
        journal.score(score(seq));
        if seq % 1000 == 999 {
            journal.deliver(&message_item(1, Phase::Update, seq)).unwrap();
        }
    }
    assert!(journal.usage().deleted() > 0 && journal.usage().bytes() <= 1 << 20);
    let (records, skipped) = read(dir.path());
    let (messages, _) = numbers(&records);
    assert_eq!((messages.first(), messages.last(), skipped.damaged), (Some(&0), Some(&8999), 1));
}

#[test]
fn a_read_only_disk_passes() {
    let dir = scratch();
    let read_only = Arc::new(AtomicU64::new(0));
    let is_read_only = read_only.clone();
    let disk = Disk::scripted(move |op| match op {
        Op::Free(_) => Answer::Go,
        _ if is_read_only.load(Relaxed) > 0 => Answer::Fail(std::io::ErrorKind::ReadOnlyFilesystem),
        _ => Answer::Go,
    });
    let wide = JournalSettings { most_mb: 8, ..settings() };
    let mut journal = Journal::on(disk, dir.path(), &wide);
    journal.deliver(&message_item(1, Phase::Start, 0)).unwrap();
    read_only.store(1, Relaxed);
    for seq in 0..MOST_SCORES as u64 + 10 {
        journal.score(score(seq));
    }
    let why = journal.deliver(&message_item(1, Phase::End, 1)).unwrap_err();
    assert!(why.is_passing() && why.to_string().contains("fsck"), "{why}");
    assert_eq!(journal.usage().dropped(), 10);
    // A tick that comes to nothing is no end of the trouble.
    journal.tick(at(GATHER_MS * 2));
    assert!(journal.in_trouble);
    read_only.store(0, Relaxed);
    journal.deliver(&message_item(1, Phase::End, 1)).unwrap();
    assert!(!journal.in_trouble);
    let (records, skipped) = read(dir.path());
    let (messages, scores) = numbers(&records);
    assert_eq!((messages, skipped), (vec![0, 1], Skipped::default()));
    assert_eq!((scores.len(), scores[0]), (MOST_SCORES, 10));
    assert!(notes(&records).contains(&"10 score lines were lost".to_string()));
}

#[cfg(unix)]
#[test]
fn nothing_is_written_where_no_disk_is_mounted() {
    let dir = scratch();
    let mount = dir.path().join("usb");
    fs::create_dir(&mount).unwrap();
    let required = JournalSettings { require_mount: Some(mount.clone()), ..settings() };
    let mut journal = Journal::new(mount.join("journal"), &required);
    let why = journal.deliver(&message_item(1, Phase::Start, 1)).unwrap_err();
    assert!(why.is_passing() && why.to_string().contains("journal.require_mount"), "{why}");
    journal.tick(at(GATHER_MS));
    journal.close();
    assert_eq!(fs::read_dir(&mount).unwrap().count(), 0);
    // Where one is, it is written to.
    let required = JournalSettings { require_mount: Some("/".into()), ..settings() };
    Journal::new(dir.path(), &required).deliver(&message_item(1, Phase::Start, 1)).unwrap();
}

#[test]
fn a_folder_that_cannot_be_one_is_explained() {
    let dir = scratch();
    let path = dir.path().join("journal");
    fs::write(&path, "a file").unwrap();
    let mut journal = Journal::new(&path, &settings());
    let why = journal.open().unwrap_err();
    assert_eq!(why.kind(), StorageErrorKind::NotAFolder);
    assert!(why.to_string().contains("a file in the folder's place"), "{why}");
    // A person puts it right, and nobody has to start the device again.
    fs::remove_file(&path).unwrap();
    journal.deliver(&message_item(1, Phase::Start, 0)).unwrap();
    assert_eq!(Journal::new(&path, &settings()).open().unwrap_err().kind(), StorageErrorKind::Busy);
}

#[test]
fn a_journal_that_is_taken_away_is_begun_again() {
    let dir = scratch();
    let folder = dir.path().join("j");
    let mut journal = Journal::new(&folder, &settings());
    journal.deliver(&message_item(1, Phase::Start, 0)).unwrap();
    fs::remove_file(folder.join("00000001.jsonl")).unwrap();
    journal.deliver(&message_item(1, Phase::Update, 1)).unwrap();
    assert_eq!(numbers(&read(&folder).0).0, [1]);
    fs::rename(&folder, dir.path().join("elsewhere")).unwrap();
    journal.deliver(&message_item(1, Phase::End, 2)).unwrap();
    assert_eq!(numbers(&read(&folder).0).0, [2]);
}

#[cfg(unix)]
#[test]
fn foreign_files_stay() {
    let dir = scratch();
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    fs::write(dir.path().join("1.jsonl"), "mine").unwrap();
    fs::create_dir(dir.path().join("00000003.jsonl")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("00000007.jsonl")).unwrap();
    let mut journal = Journal::new(dir.path(), &settings());
    for seq in 0..9000 {
        journal.score(score(seq));
        if seq % 1000 == 0 {
            journal.deliver(&message_item(1, Phase::Update, seq)).unwrap();
        }
    }
    journal.close();
    assert!(journal.usage().deleted() > 0);
    let names = segments(dir.path());
    for foreign in ["notes.txt", "1.jsonl", "00000003.jsonl", "00000007.jsonl"] {
        assert!(names.iter().any(|name| name == foreign), "{foreign}");
    }
    assert_eq!(read(dir.path()).1, Skipped::default());
}

#[test]
fn numbers_end_some_day() {
    let dir = scratch();
    fs::write(dir.path().join("99999998.jsonl"), vec![b'\n'; 1 << 20]).unwrap();
    let mut journal = Journal::new(dir.path(), &settings());
    for seq in 0..3000 {
        journal.score(score(seq));
        if seq % 1000 == 0 {
            journal.deliver(&message_item(1, Phase::Update, seq)).unwrap();
        }
    }
    journal.close();
    // After eight digits come nine, and the order stays.
    assert!(segments(dir.path()).contains(&"100000000.jsonl".to_string()));
    let (_, scores) = numbers(&read(dir.path()).0);
    assert!(scores.windows(2).all(|pair| pair[1] == pair[0] + 1) && scores.last() == Some(&2999));

    let dir = scratch();
    fs::write(dir.path().join("999999999999.jsonl"), vec![b'\n'; 1 << 20]).unwrap();
    let mut journal = Journal::new(dir.path(), &settings());
    let why = journal.deliver(&message_item(1, Phase::Start, 0)).unwrap_err();
    assert!(why.is_passing() && why.to_string().contains("used up"), "{why}");
}

#[test]
fn a_message_that_is_too_long_is_refused_and_a_score_dropped() {
    let dir = scratch();
    let mut journal = Journal::new(dir.path(), &settings());
    let mut long = message(1, Phase::Start, 0);
    long.device = "d".repeat(MAX_LINE);
    let refused = journal.deliver(&Item::Message(Arc::new(long))).unwrap_err();
    assert!(!refused.is_passing(), "{refused}");
    journal.score(ScoreLine { name: "n".repeat(MAX_LINE), ..score(1) });
    journal.score(score(2));
    journal.close();
    assert_eq!(numbers(&read(dir.path()).0).1, [2]);
    assert_eq!(journal.usage().dropped(), 1);
}

/// The examples in the documentation are lines of a journal, checksum included.
#[test]
fn documented_lines_are_read() {
    let text = include_str!("../../../docs/storage.md");
    let lines: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|l| l.starts_with("{\"record\""))
        .collect();
    assert_eq!(lines.len(), 3);
    for line in lines {
        let parsed = record::parse(line.as_bytes(), Some(42)).0;
        assert!(matches!(parsed, record::Line::Record(_)), "{parsed:?}: {line}");
    }
}
