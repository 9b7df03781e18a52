//! Outlets against real receivers: a broker, web servers, commands. Tests whose programs are not installed print a SKIP
//! line.

#[path = "../support/broker.rs"]
mod broker;
#[path = "../support/certificates.rs"]
mod certificates;
#[path = "../support/messages.rs"]
mod messages;

#[cfg(target_os = "linux")]
mod hook;
mod mqtt;
mod webhook;

use std::sync::Arc;

use oddsight::sink::Item;

/// A message as sinks are given it.
fn item(event: u64, phase: &str, seq: u64) -> Item {
    Item::Message(Arc::new(messages::message(event, phase, seq)))
}

/// The examples of `docs/sinks.md` are messages, with no field too many and none too few.
#[test]
fn documented_messages_are_real_ones() {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/sinks.md")).unwrap();
    let examples: Vec<_> =
        text.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= 3);
    for example in examples {
        let json: serde_json::Value = serde_json::from_str(example).unwrap();
        let message: oddsight::event::Message = serde_json::from_str(example).unwrap();
        // By way of the text, in which 48.1 is 48.1.
        let text = serde_json::to_string(&message).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), json);
    }
}
