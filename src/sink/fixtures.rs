//! Items for tests of sinks.

use std::sync::Arc;

use super::{Item, Shot};
use crate::camera::{Content, Frame};
use crate::clock::Stamp;
use crate::event::{Cause, EventId, Machine, Message, Phase, Unusual};

/// `mono_ms` after boot, with a wall clock that is years off.
pub(crate) fn at(mono_ms: u64) -> Stamp {
    Stamp { mono_ms, utc_ms: 1_000_000_000 + mono_ms as i64, clock_synced: false }
}

/// The `number`th event of this boot.
pub(crate) fn event(number: u64) -> EventId {
    EventId::new(number)
}

/// A message about unusual frames, made `seq` seconds after boot.
pub(crate) fn message(number: u64, phase: Phase, seq: u64) -> Message {
    Message {
        event: event(number),
        phase,
        seq,
        boot_id: "b0071d00-0000".into(),
        at: at(seq * 1000),
        started_ms: 0,
        device: "belt-3".into(),
        cause: Cause::Unusual(serde_json::from_value::<Unusual>(serde_json::json!({
            "region": "frame", "frames": 9, "unusual_frames": 5, "energy": 12.625, "p_value": 0.001,
            "peak_energy": 17.5, "peak_p_value": 0.0005, "nearest": "bolt", "suppressed": false,
        }))
        .unwrap()),
        machine: Machine { temperature_c: Some(51.5), throttled: None },
    }
}

pub(crate) fn message_item(number: u64, phase: Phase, seq: u64) -> Item {
    Item::Message(Arc::new(message(number, phase, seq)))
}

/// A JPEG-like file of so many bytes, all of them known.
pub(crate) fn shot(mono_ms: u64, len: usize) -> Arc<Shot> {
    let mut bytes = vec![mono_ms as u8; len.max(5)];
    bytes[..3].copy_from_slice(&[0xff, 0xd8, 0xff]);
    let end = bytes.len() - 2;
    bytes[end..].copy_from_slice(&[0xff, 0xd9]);
    let frame = Frame { seq: mono_ms, name: format!("f{mono_ms}"), content: Content::File(bytes) };
    Arc::new(Shot { at: at(mono_ms), frame: Arc::new(frame), score: Some((1.5, 0.25)) })
}

pub(crate) fn shot_item(number: u64, mono_ms: u64, len: usize) -> Item {
    Item::Shot { event: event(number), shot: shot(mono_ms, len) }
}
