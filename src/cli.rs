//! The commands of the device program.

use oddsight::verdict::Verdict;
use serde_json::{Map, Value, json};

pub mod bench;
mod clock;
pub mod demo;
pub mod doctor;
pub mod inspect;
pub mod run;
pub mod score;
mod timing;

/// A verdict as one JSON object; `name` is the picture's.
fn verdict_json(name: &str, verdict: &Verdict) -> Map<String, Value> {
    let heads: Map<String, Value> = verdict
        .heads
        .iter()
        .map(|head| (head.id.to_string(), json!({ "energy": head.energy, "share": head.share })))
        .collect();
    let Value::Object(object) = json!({
        "name": name,
        "energy": verdict.energy,
        "energy_q16": verdict.energy_q16,
        "p_value": verdict.p_value,
        "unusual": verdict.unusual,
        "nearest": verdict.nearest,
        "heads": heads,
    }) else {
        unreachable!("an object literal is an object")
    };
    object
}
