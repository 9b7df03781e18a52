//! What is left of a writer that was killed.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

use oddsight::event::Phase;
use oddsight::sink::evidence::{EVENT_FILE, EventFile};
use oddsight::sink::journal::{Reader, Record};
use oddsight::storage;

use super::writer::{FRAMES, MODEL_FILES, bytes, message};

/// What the writers said so far.
#[derive(Debug, Default)]
pub struct Promises {
    /// Messages that are in the journal.
    journalled: BTreeSet<u64>,
    /// Events whose start, and whose end with all frames, is in the store.
    begun: BTreeSet<u64>,
    ended: BTreeSet<u64>,
    /// The newest version of the swapped folder, and how many there were.
    swapped: u64,
    swaps: u64,
}

impl Promises {
    /// Takes what a writer said; a last line without an end was not said.
    pub fn take(&mut self, text: &str) {
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let Some((kind, number)) = line.split_once(' ') else { continue };
            let number: u64 = number.parse().expect("the writer says numbers");
            match kind {
                "j" => drop(self.journalled.insert(number)),
                "b" => drop(self.begun.insert(number)),
                "e" => drop(self.ended.insert(number)),
                "s" => {
                    self.swapped = number;
                    self.swaps += 1;
                }
                _ => panic!("the writer said {line}"),
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.journalled.is_empty() || self.ended.is_empty() || self.swaps == 0
    }
}

impl fmt::Display for Promises {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (messages, events) = (self.journalled.len(), self.ended.len());
        write!(f, "{messages} messages, {events} events, {} swaps", self.swaps)
    }
}

/// What was found, all of it whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    pub messages: u64,
    pub scores: u64,
    pub torn: u64,
    pub events: u64,
    pub frames: u64,
    /// Temporary files and half removed folders.
    pub leftovers: u64,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} messages, {} scores, {} torn lines, {} events with {} frames, {} leftovers",
            self.messages, self.scores, self.torn, self.events, self.frames, self.leftovers
        )
    }
}

/// Looks at everything; panics at the first thing that is half done or not as promised.
pub fn look(dir: &Path, promises: &Promises) -> Found {
    let mut found = Found::default();
    look_at_journal(&dir.join("journal"), promises, &mut found);
    look_at_evidence(&dir.join("evidence"), promises, &mut found);
    look_at_swap(dir, promises);
    found
}

fn look_at_journal(dir: &Path, promises: &Promises, found: &mut Found) {
    let mut seen = Vec::new();
    if dir.exists() {
        let mut reader = Reader::open(dir).expect("the journal can be read");
        for record in reader.by_ref() {
            match record {
                Record::Message(found) => {
                    assert_eq!(found, message(found.seq, Phase::Update));
                    seen.push(found.seq);
                }
                Record::Score(_) => found.scores += 1,
                Record::Note(_) => {}
            }
        }
        let skipped = reader.skipped();
        assert_eq!((skipped.unknown, skipped.unreadable), (0, 0));
        found.torn = skipped.damaged;
    }
    found.messages = seen.len() as u64;
    assert!(seen.is_sorted(), "messages out of order");
    // What is older than all that is there was deleted to make room.
    let oldest = seen.first().copied().unwrap_or(u64::MAX);
    let seen: BTreeSet<u64> = seen.into_iter().collect();
    let missing: Vec<&u64> =
        promises.journalled.range(oldest..).filter(|n| !seen.contains(n)).collect();
    assert!(missing.is_empty(), "promised messages are missing: {missing:?}");
    if let Some(newest) = promises.journalled.last() {
        assert!(seen.contains(newest), "the newest promised message {newest} is missing");
    }
}

fn look_at_evidence(dir: &Path, promises: &Promises, found: &mut Found) {
    let mut events = BTreeSet::new();
    let entries = fs::read_dir(dir).map(|entries| entries.collect::<Vec<_>>()).unwrap_or_default();
    for entry in entries {
        let folder = entry.expect("the store can be listed").path();
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            found.leftovers += 1;
            continue;
        }
        let number =
            name.rsplit('-').next().and_then(|n| n.parse().ok()).expect("an event's folder");
        let (frames, file) = look_at_event(&folder, number, found);
        if let Some(file) = file {
            assert_eq!(file.start, Some(message(number, Phase::Start)), "{name}");
            if file.last.is_some() {
                assert_eq!(file.last, Some(message(number, Phase::End)), "{name}");
                assert_eq!((frames, file.frames.len() as u64), (FRAMES, FRAMES), "{name}");
            }
            assert!(file.last.is_some() || !promises.ended.contains(&number), "{name} has no end");
        } else {
            assert!(!promises.begun.contains(&number), "{name} has no {EVENT_FILE}");
        }
        events.insert(number);
    }
    found.events = events.len() as u64;
    // The oldest are deleted to make room; the newest that was promised is there.
    if let Some(newest) = promises.begun.last() {
        assert!(events.contains(newest), "event {newest} is missing");
    }
}

fn look_at_event(folder: &Path, number: u64, found: &mut Found) -> (u64, Option<EventFile>) {
    let (mut frames, mut file) = (0, None);
    for entry in fs::read_dir(folder).expect("an event can be listed") {
        let path = entry.expect("an event can be listed").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let content = fs::read(&path).expect("a file can be read");
        if name.starts_with('.') {
            found.leftovers += 1;
        } else if name == EVENT_FILE {
            file = Some(serde_json::from_slice(&content).expect("event.json is whole"));
        } else {
            let mono_ms = name.strip_suffix(".jpg").and_then(|name| name.split_once('-'));
            let mono_ms: u64 = mono_ms.and_then(|(_, ms)| ms.parse().ok()).expect("a frame's name");
            assert!(content == bytes(number, mono_ms % 1000), "{} is not whole", path.display());
            frames += 1;
        }
    }
    found.frames += frames;
    (frames, file)
}

fn look_at_swap(dir: &Path, promises: &Promises) {
    let at = dir.join("current");
    storage::recover_dir(&dir.join("candidate"), &at).expect("an interrupted swap is mended");
    if promises.swaps == 0 && !at.exists() {
        return;
    }
    let files = MODEL_FILES.map(|name| fs::read(at.join(name)).expect("all files are there"));
    // The promised version, or one that was put in place and not yet promised.
    let version = files[0].get(3..11).and_then(|number| number.try_into().ok());
    let version = version.map(u64::from_le_bytes).expect("a version");
    assert!(version >= promises.swapped, "{version} instead of {}", promises.swapped);
    for (file, index) in files.iter().zip(0..) {
        assert!(*file == bytes(version, index), "the folder that is swapped is not whole");
    }
}
