//! `event.json`: what is known of an event, beside its frames.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::picture::ENDINGS;
use crate::clock::Stamp;
use crate::event::{EventId, Message, Phase};

/// Name of the file in an event's folder.
pub const EVENT_FILE: &str = "event.json";

/// No `event.json` is longer than this: somebody else's file takes no more memory.
const MOST_BYTES: u64 = 4 << 20;

/// What `event.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventFile {
    pub event: EventId,
    /// The message that it began with; missing if it was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Message>,
    /// The newest message after that: the end, if the event is over and the device saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Message>,
    /// The frames beside this file. After a crash the newest ones may be missing here.
    pub frames: Vec<KeptFrame>,
    /// Frames that were not kept because the event had as many as it may have.
    pub left_out: u64,
}

/// One frame of an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptFrame {
    /// Name of its file.
    pub file: String,
    /// When it was taken.
    #[serde(flatten)]
    pub at: Stamp,
    /// What the source calls it.
    pub name: String,
    /// Energy and p-value of its most unusual region, if it was scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_value: Option<f64>,
}

impl EventFile {
    /// Reads the file; `None` if there is none, or it is not one of ours.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn read(path: &Path) -> io::Result<Option<EventFile>> {
        let file = match File::open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut bytes = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut bytes)?;
        Ok(serde_json::from_slice(&bytes).ok())
    }

    pub(super) fn new(event: EventId) -> EventFile {
        EventFile { event, start: None, last: None, frames: Vec::new(), left_out: 0 }
    }

    pub(super) fn take(&mut self, message: &Message) {
        let place = match message.phase {
            Phase::Start => &mut self.start,
            Phase::Update | Phase::End => &mut self.last,
        };
        *place = Some(message.clone());
    }
}

/// `0007-421337.jpg`: the seventh frame of its event, and when it was taken in monotonic milliseconds.
pub(super) fn frame_name(number: u64, mono_ms: u64, ending: &str) -> String {
    format!("{number:04}-{mono_ms}.{ending}")
}

/// The number of a [`frame_name`]; `None` for every other name.
pub(super) fn parse_frame_name(name: &str) -> Option<u64> {
    let (stem, ending) = name.split_once('.')?;
    let (number, mono_ms) = stem.split_once('-')?;
    let is_number = |digits: &str| {
        (1..=20).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
    };
    if !ENDINGS.contains(&ending) || number.len() < 4 || !is_number(number) || !is_number(mono_ms) {
        return None;
    }
    number.parse().ok()
}

/// Whether this program writes files of that name into an event's folder.
pub(super) fn is_ours(name: &str) -> bool {
    name == EVENT_FILE || parse_frame_name(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_frames() {
        assert_eq!(frame_name(7, 421_337, "jpg"), "0007-421337.jpg");
        for number in [1, 9_999, 10_000, u64::MAX] {
            assert_eq!(parse_frame_name(&frame_name(number, u64::MAX, "png")), Some(number));
        }
        for name in
            ["7-1.jpg", "0007-1.gif", "0007.jpg", "0007-.jpg", "0007-1.jpg.tmp", "", "+007-1.jpg"]
        {
            assert_eq!(parse_frame_name(name), None, "{name}");
        }
        assert!(is_ours("event.json") && !is_ours("notes.txt") && !is_ours(".event.json.tmp"));
    }
}
