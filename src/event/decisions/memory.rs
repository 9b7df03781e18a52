//! What decisions know, kept over a restart.
//!
//! A journal has all of it, but a journal is long: its newest segments may hold minutes. Memory and the messages that were
//! made since are the whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Decisions;
use crate::clock::Stamp;
use crate::event::{DriftState, EventId, Machine, Message, Told};

/// What decisions know at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// The boot that numbers and times belong to.
    boot_id: String,
    next_event: u64,
    next_seq: u64,
    /// When the alarms of the last 24 hours began, as far as there is a budget.
    alarms_ms: Vec<u64>,
    /// Until when regions cool down.
    cooling_ms: BTreeMap<String, u64>,
    /// The events that are open, as an update would tell them.
    open: Vec<Message>,
    /// What the tests of drift know, by region.
    drift: BTreeMap<String, DriftState>,
}

impl Decisions {
    /// What is to be kept over a restart.
    pub fn memory(&self, at: Stamp, machine: Machine) -> Memory {
        let mut open = Vec::new();
        let mut keep = |event: &Option<EventId>, told: Option<Told>| {
            if let (Some(event), Some(told)) = (event, told) {
                let message = self.voice.message(event.clone(), told, at, machine);
                // It is not said, so it takes no number.
                open.push(Message { seq: message.seq.saturating_sub(1), ..message });
            }
        };
        for region in &self.regions {
            keep(&region.event, region.decider.told());
            keep(&region.drift_event, region.drift.as_ref().and_then(|drift| drift.told()));
        }
        keep(&self.fault_event, self.fault.told());
        let cooling = self.regions.iter().map(|region| &region.decider);
        let cooling = cooling.filter(|decider| decider.ready_ms() > at.mono_ms);
        Memory {
            boot_id: self.voice.boot_id.clone(),
            next_event: self.voice.next_event,
            next_seq: self.voice.next_seq,
            alarms_ms: self.budget.spent_ms().collect(),
            cooling_ms: cooling.map(|d| (d.region().to_string(), d.ready_ms())).collect(),
            open,
            drift: self.drift_states(at.mono_ms),
        }
    }

    /// Takes up what was kept, and gives the messages of events that were open: [`Decisions::resume`] takes them before
    /// those of the journal. To be called before the first frame.
    ///
    /// Of an earlier boot only open events and tests of drift say anything. Times that cannot be are brought to what
    /// can: a damaged memory blinds no region.
    pub fn remember(&mut self, memory: &Memory, now_ms: u64) -> Vec<Message> {
        self.resume_drift(&memory.drift, now_ms);
        if memory.boot_id == self.voice.boot_id {
            let voice = &mut self.voice;
            voice.next_event = voice.next_event.max(memory.next_event);
            voice.next_seq = voice.next_seq.max(memory.next_seq);
            voice.counted_seq = memory.next_seq;
            for &alarm_ms in memory.alarms_ms.iter().filter(|&&ms| ms <= now_ms) {
                self.budget.spend(alarm_ms);
            }
            let longest_ms = self.rules.alarm.cooldown_s.saturating_mul(1000);
            for region in &mut self.regions {
                if let Some(&ready_ms) = memory.cooling_ms.get(region.decider.region()) {
                    region.decider.cool_until(ready_ms.min(now_ms.saturating_add(longest_ms)));
                }
            }
        }
        memory.open.clone()
    }
}
