//! One line of a journal.
//!
//! A line is a JSON object whose last field is a checksum: `"crc"` is the CRC-32 (that of zip and PNG, eight hexadecimal
//! digits) of the segment's number in decimal digits, a colon, and the line up to the comma before `"crc"`. It tells a line
//! that was written from one that was torn, from bits that a card lost, and (by the number) from what an older, deleted
//! segment left in the same blocks of the card.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::clock::Stamp;
use crate::event::Message;

/// Longest line, its newline included. Longer ones are neither written nor held in memory when they are read.
pub const MAX_LINE: usize = 64 << 10;

/// Bytes that the checksum and the end of the object add to a line.
pub(super) const SEAL: usize = r#","crc":"00000000"}"#.len() + 1;

/// How the line of a score begins, and that of a note.
pub(super) const SCORE_START: &[u8] = br#"{"record":"score","#;
pub(super) const NOTE_START: &[u8] = br#"{"record":"note","#;

/// What a line says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "lowercase")]
pub enum Record {
    /// A message of an event, as every sink gets it.
    Message(Message),
    /// One region of one frame was scored.
    Score(ScoreLine),
    /// The journal speaks of itself. Each segment begins with one.
    Note(Note),
}

impl Record {
    pub(super) fn is_message(&self) -> bool {
        matches!(self, Record::Message(_))
    }
}

/// What was said of one region of one frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreLine {
    /// Counts the source's frames.
    pub seq: u64,
    /// When the frame was taken; `mono_ms` belongs to the boot of the note before.
    #[serde(flatten)]
    pub at: Stamp,
    pub region: String,
    /// Energy as signed Q47.16.
    pub energy_q16: i64,
    pub p_value: f64,
    /// The light of the scene jumped with this frame.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub light_jumped: bool,
    /// What the source calls the frame; empty if it has no name that says more than `seq`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// A word of the journal about itself: a start, a new segment, lines that were lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Note {
    #[serde(flatten)]
    pub at: Stamp,
    /// The boot that this and the following lines belong to.
    pub boot_id: String,
    /// The segment that the line was written to.
    pub segment: u64,
    /// For people.
    pub note: String,
}

/// A line without its checksum, which only a segment can give it: the object up to its closing brace.
#[derive(Clone, Debug)]
pub(super) struct Body(Vec<u8>);

impl Body {
    /// `None` for a record that is longer than a line may be.
    pub(super) fn of(record: &Record) -> Option<Body> {
        let mut bytes = serde_json::to_vec(record).ok()?;
        bytes.pop();
        (bytes.len() + SEAL <= MAX_LINE).then_some(Body(bytes))
    }

    /// Bytes of the finished line.
    pub(super) fn line_len(&self) -> u64 {
        (self.0.len() + SEAL) as u64
    }

    /// Appends the finished line.
    pub(super) fn seal(&self, segment: u64, lines: &mut Vec<u8>) {
        let mut end = String::with_capacity(SEAL);
        let crc = checksum(segment, &self.0);
        // Writing to a string cannot fail.
        let _ = writeln!(end, r#","crc":"{crc:08x}"}}"#);
        lines.extend_from_slice(&self.0);
        lines.extend_from_slice(end.as_bytes());
    }
}

/// What became of a line that was read.
#[derive(Debug)]
pub(super) enum Line {
    Record(Box<Record>),
    /// Whole, but of a kind that this version does not know.
    Unknown,
    Damaged,
}

/// Reads a line, its newline taken off. Without a `segment` the line itself may name it, as the first line of a segment
/// does; the second value is the segment that the line belongs to.
pub(super) fn parse(line: &[u8], segment: Option<u64>) -> (Line, Option<u64>) {
    let Some((body, crc)) = unseal(line) else { return (Line::Damaged, segment) };
    let parsed = serde_json::from_slice::<Record>(line);
    let belongs = match (&parsed, segment) {
        (Ok(Record::Note(note)), None) => Some(note.segment),
        (_, segment) => segment,
    };
    let whole = belongs.is_some_and(|segment| checksum(segment, body) == crc);
    match parsed {
        _ if !whole => (Line::Damaged, segment),
        Ok(record) => (Line::Record(Box::new(record)), belongs),
        Err(_) => (Line::Unknown, belongs),
    }
}

/// A line's bytes before the checksum, and the checksum.
fn unseal(line: &[u8]) -> Option<(&[u8], u32)> {
    let (body, end) = line.split_at_checked(line.len().checked_sub(SEAL - 1)?)?;
    let digits = end.strip_prefix(br#","crc":""#)?.strip_suffix(br#""}"#)?;
    // `from_str_radix` would take a sign.
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    Some((body, u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?))
}

fn checksum(segment: u64, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(segment.to_string().as_bytes());
    hasher.update(b":");
    hasher.update(body);
    hasher.finalize()
}
