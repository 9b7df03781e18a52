//! Messages for tests of sinks, from the JSON that users see.

use serde::de::DeserializeOwned;
use serde_json::json;

/// A message of the `event`th event; `phase` is `start`, `update` or `end`.
pub fn message<T: DeserializeOwned>(event: u64, phase: &str, seq: u64) -> T {
    let message = json!({
        "event": format!("5f0c6a1e-{event:06}"), "phase": phase, "seq": seq,
        "boot_id": "5f0c6a1e-8a0b-4e57-9a43-0d6f5b3b9f10",
        "mono_ms": 86_412_345, "utc_ms": 1_795_684_813_042_i64, "clock_synced": true,
        "started_ms": 86_411_845, "device": "door", "kind": "unusual", "region": "frame",
        "frames": 6, "unusual_frames": 4, "energy": 41.25, "p_value": 0.002,
        "peak_energy": 44.5, "peak_p_value": 0.001, "nearest": "empty hall",
        "machine": { "temperature_c": 48.1 }
    });
    serde_json::from_value(message).expect("the sample is a message")
}
