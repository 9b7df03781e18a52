//! All decisions together: what is said to the world, and in which order.

mod memory;

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::tiles;
use super::{
    AlarmSettings, Budget, Cause, Decider, DriftSettings, DriftState, DriftTest, EventId, Fault,
    FaultDecider, FaultKind, FaultRule, HoldOff, Machine, Message, Phase, Told,
};
use crate::clock::{Stamp, boot_id};
use crate::gate::QualitySettings;
use crate::verdict::{Alpha, Calibration, Verdict};

pub use memory::Memory;

/// Settings of all decisions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    pub alarm: AlarmSettings,
    /// Of these, when faults start and end.
    pub quality: QualitySettings,
    pub drift: DriftSettings,
}

/// An event whose camera is at fault ends when its region has not been seen for so long: nobody can say whether it goes
/// on, and a siren must end some time. That the camera is at fault stays said.
const UNSEEN_MS: u64 = 600_000;

/// How many events there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Unusual events that people were told of …
    pub alarms: u64,
    /// … and those beyond the budget.
    pub suppressed: u64,
    pub faults: u64,
    pub drifts: u64,
    /// Jumps of the light that held events off.
    pub holdoffs: u64,
}

/// Makes messages of verdicts and faults. Times that are given must not decrease; where one does, nothing worse happens
/// than that intervals take longer.
#[derive(Clone, Debug)]
pub struct Decisions {
    rules: Rules,
    alpha: Alpha,
    regions: Vec<Region>,
    fault: FaultDecider,
    fault_event: Option<EventId>,
    budget: Budget,
    hold: HoldOff,
    voice: Voice,
}

#[derive(Clone, Debug)]
struct Region {
    decider: Decider,
    event: Option<EventId>,
    drift: Option<DriftTest>,
    drift_event: Option<EventId>,
}

/// Names events and numbers messages.
#[derive(Clone, Debug)]
struct Voice {
    device: String,
    boot_id: String,
    /// Both wrap: a damaged journal can make them begin anywhere.
    next_event: u64,
    next_seq: u64,
    /// Messages of this boot with smaller numbers are counted already.
    counted_seq: u64,
    tally: Tally,
}

impl Decisions {
    /// Decisions for the regions of a device, in the order of their indices. Without [`Decisions::set_model`] there is no
    /// test for drift.
    pub fn new(
        device: String,
        regions: impl IntoIterator<Item = String>,
        rules: &Rules,
        alpha: Alpha,
    ) -> Decisions {
        Decisions {
            rules: rules.clone(),
            alpha,
            regions: regions.into_iter().map(|name| Region::new(name, rules)).collect(),
            fault: FaultDecider::new(fault_rule(rules)),
            fault_event: None,
            budget: Budget::new(rules.alarm.budget_per_day),
            hold: HoldOff::new(holdoff_ms(rules)),
            voice: Voice {
                device,
                boot_id: boot_id().into(),
                next_event: 0,
                next_seq: 0,
                counted_seq: 0,
                tally: Tally::default(),
            },
        }
    }

    /// Takes the verdicts on a region of a frame, one for each of its tiles, of a scorer that flags by the same alpha. A
    /// region that does not exist is not heard.
    pub fn scored(
        &mut self,
        region: usize,
        tiles: &[Verdict],
        at: Stamp,
        machine: Machine,
    ) -> Vec<Message> {
        let Some(region) = self.regions.get_mut(region) else { return Vec::new() };
        let verdict = match tiles {
            [only] => Cow::Borrowed(only),
            _ => match tiles::join(tiles, self.alpha) {
                Some(joined) => Cow::Owned(joined),
                None => return Vec::new(),
            },
        };
        let mut said = Vec::new();
        let held = self.hold.holds(at.mono_ms);
        let told = region.decider.scored(&verdict, at.mono_ms, held, &mut self.budget);
        said.extend(told.map(|told| self.voice.say(&mut region.event, told, at, machine)));
        // What stands in view during an event is not the slow change that is looked for.
        if !region.decider.is_open()
            && let Some(drift) = &mut region.drift
        {
            let energies = tiles.iter().map(|tile| tile.energy_q16);
            let told = drift.scored(energies, at.mono_ms);
            said.extend(
                told.map(|told| self.voice.say(&mut region.drift_event, told, at, machine)),
            );
        }
        said
    }

    /// A frame that shows something, whether it is scored or not.
    pub fn good(&mut self, at: Stamp, machine: Machine) -> Option<Message> {
        let told = self.fault.good()?;
        Some(self.voice.say(&mut self.fault_event, told, at, machine))
    }

    /// A frame that shows nothing, or an attempt to open a camera that is away.
    pub fn faulty(
        &mut self,
        kind: FaultKind,
        why: &str,
        at: Stamp,
        machine: Machine,
    ) -> Option<Message> {
        let told = self.fault.faulty(kind, why, at.mono_ms)?;
        if told.phase == Phase::Start {
            // What is seen after the fault has nothing to do with what was seen before it.
            self.regions.iter_mut().for_each(|region| region.decider.forget());
        }
        Some(self.voice.say(&mut self.fault_event, told, at, machine))
    }

    /// The light has jumped: no event starts for a while, unless it jumps all the time. Says whether that is so.
    pub fn light_jumped(&mut self, at: Stamp) -> bool {
        let honoured = self.hold.jumped(at.mono_ms);
        self.voice.tally.holdoffs += u64::from(honoured);
        honoured
    }

    /// What is due without a frame; to be called at least every few seconds.
    pub fn tick(&mut self, at: Stamp, machine: Machine) -> Vec<Message> {
        if self.fault.open().is_none() {
            return Vec::new();
        }
        let mut said = Vec::new();
        for region in &mut self.regions {
            let told = region.decider.lapse(at.mono_ms, UNSEEN_MS);
            said.extend(told.map(|told| self.voice.say(&mut region.event, told, at, machine)));
        }
        said
    }

    /// Ends everything that is open: the program stops.
    pub fn close(&mut self, at: Stamp, machine: Machine) -> Vec<Message> {
        let mut said = Vec::new();
        for region in &mut self.regions {
            let told = region.decider.close(at.mono_ms);
            said.extend(told.map(|told| self.voice.say(&mut region.event, told, at, machine)));
        }
        let told = self.fault.close();
        said.extend(told.map(|told| self.voice.say(&mut self.fault_event, told, at, machine)));
        said.extend(self.end_drifts(at, machine));
        said
    }

    /// Another model, or the first one: tests of drift begin anew, and frames that wait for more are forgotten. An event
    /// goes on, judged by the new model.
    pub fn set_model(
        &mut self,
        calibration: &Calibration,
        alpha: Alpha,
        at: Stamp,
        machine: Machine,
    ) -> Vec<Message> {
        let said = self.end_drifts(at, machine);
        self.alpha = alpha;
        for region in &mut self.regions {
            region.decider.forget();
            let name = region.decider.region().to_string();
            region.drift = self
                .rules
                .drift
                .enabled
                .then(|| DriftTest::new(name, &self.rules.drift, calibration));
        }
        said
    }

    /// From now on by other rules of alarms and faults: what is open stays open. Those of drift hold from the next model
    /// on.
    pub fn set_rules(&mut self, rules: &Rules) {
        self.rules = rules.clone();
        self.fault.set_rule(fault_rule(rules));
        self.budget.set_per_day(rules.alarm.budget_per_day);
        self.hold.set_length_ms(holdoff_ms(rules));
        self.regions.iter_mut().for_each(|region| region.decider.set_settings(&rules.alarm));
    }

    /// Goes on after a restart of the program: takes the messages that a journal kept, the oldest first, and gives an
    /// end for each event that has none. What a [`Memory`] gave comes before them. Numbers go on where this boot's messages ended, alarms of this boot count for
    /// the budget, and cool-downs run on. To be called before the first frame.
    ///
    /// An event that ends so has no cool-down: if it goes on, it is told again at once. One of an earlier boot ends with
    /// a `started_ms` of 0: it is older than this boot's clock.
    pub fn resume(
        &mut self,
        past: impl IntoIterator<Item = Message>,
        at: Stamp,
        machine: Machine,
    ) -> Vec<Message> {
        let mut open: BTreeMap<EventId, Message> = BTreeMap::new();
        for message in past {
            if message.boot_id == self.voice.boot_id {
                self.resume_from(&message);
            }
            match message.phase {
                Phase::End => open.remove(&message.event),
                _ => open.insert(message.event.clone(), message),
            };
        }
        let ends = open.into_values().map(|last| {
            let same_boot = last.boot_id == self.voice.boot_id;
            let started_ms = if same_boot { last.started_ms } else { 0 };
            let told = Told { phase: Phase::End, started_ms, cause: last.cause };
            self.voice.say(&mut Some(last.event), told, at, machine)
        });
        ends.collect()
    }

    /// Names of events and numbers of messages begin here at the earliest: for a device without a journal that is started
    /// again within a boot, where anything that has grown since will do.
    pub fn number_from(&mut self, event: u64, seq: u64) {
        self.voice.next_event = self.voice.next_event.max(event);
        self.voice.next_seq = self.voice.next_seq.max(seq);
    }

    /// The region of this name; a new one if there is none.
    pub(super) fn region(&mut self, name: &str) -> usize {
        let known = self.regions.iter().position(|region| region.decider.region() == name);
        known.unwrap_or_else(|| {
            self.regions.push(Region::new(name.to_string(), &self.rules));
            self.regions.len() - 1
        })
    }

    /// Whether the next frames matter, moved or not.
    pub fn is_attentive(&self) -> bool {
        self.regions.iter().any(|region| region.decider.is_attentive())
    }

    /// The event that is open in a region.
    pub fn event(&self, region: usize) -> Option<&EventId> {
        self.regions.get(region)?.event.as_ref()
    }

    /// The camera's fault, if one is open.
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.open()
    }

    /// Whether a change of the light holds events off.
    pub fn is_held(&self, now_ms: u64) -> bool {
        self.hold.holds(now_ms)
    }

    /// Alarms that the budget has left; `None` without one.
    pub fn alarms_left(&self, now_ms: u64) -> Option<u32> {
        self.budget.left(now_ms)
    }

    /// A region's test for drift.
    pub fn drift(&self, region: usize) -> Option<&DriftTest> {
        self.regions.get(region)?.drift.as_ref()
    }

    /// What tests of drift know, by region.
    pub fn drift_states(&self, now_ms: u64) -> BTreeMap<String, DriftState> {
        let state = |region: &Region| {
            let state = region.drift.as_ref()?.state(now_ms);
            Some((region.decider.region().to_string(), state))
        };
        self.regions.iter().filter_map(state).collect()
    }

    /// Goes on with the tests of drift of before a restart; says how many did. Those of another model begin anew.
    pub fn resume_drift(&mut self, states: &BTreeMap<String, DriftState>, now_ms: u64) -> usize {
        let resumed = self.regions.iter_mut().filter_map(|region| {
            let state = states.get(region.decider.region())?;
            Some(region.drift.as_mut()?.resume(state, now_ms))
        });
        resumed.filter(|&resumed| resumed).count()
    }

    /// How many events there were since the program began.
    pub fn tally(&self) -> Tally {
        self.voice.tally
    }

    fn resume_from(&mut self, message: &Message) {
        let voice = &mut self.voice;
        voice.next_seq = voice.next_seq.max(message.seq.saturating_add(1));
        let number = message.event.number().unwrap_or(0);
        voice.next_event = voice.next_event.max(number.saturating_add(1));
        if message.seq < voice.counted_seq {
            return;
        }
        if let Cause::Unusual(unusual) = &message.cause {
            if message.phase == Phase::Start && !unusual.suppressed {
                self.budget.spend(message.at.mono_ms);
            }
            let cooldown_ms = self.rules.alarm.cooldown_s.saturating_mul(1000);
            let region = self.regions.iter_mut().find(|r| r.decider.region() == unusual.region);
            if let (Phase::End, Some(region)) = (message.phase, region) {
                region.decider.cool_until(message.at.mono_ms.saturating_add(cooldown_ms));
            }
        }
    }

    fn end_drifts(&mut self, at: Stamp, machine: Machine) -> Vec<Message> {
        let mut said = Vec::new();
        for region in &mut self.regions {
            let told = region.drift.as_mut().and_then(DriftTest::close);
            said.extend(
                told.map(|told| self.voice.say(&mut region.drift_event, told, at, machine)),
            );
        }
        said
    }
}

impl Region {
    fn new(name: String, rules: &Rules) -> Region {
        let decider = Decider::new(name, &rules.alarm);
        Region { decider, event: None, drift: None, drift_event: None }
    }
}

impl Voice {
    /// Makes a message of the event that stands in `event`, or of a new one that then stands there.
    fn say(
        &mut self,
        event: &mut Option<EventId>,
        told: Told,
        at: Stamp,
        machine: Machine,
    ) -> Message {
        let id = event.take().unwrap_or_else(|| {
            let id = EventId::new(self.next_event);
            self.next_event = self.next_event.wrapping_add(1);
            id
        });
        if told.phase != Phase::End {
            *event = Some(id.clone());
        }
        if told.phase == Phase::Start {
            let count = match &told.cause {
                Cause::Unusual(unusual) if unusual.suppressed => &mut self.tally.suppressed,
                Cause::Unusual(_) => &mut self.tally.alarms,
                Cause::CameraFault(_) => &mut self.tally.faults,
                Cause::Drift(_) => &mut self.tally.drifts,
            };
            *count += 1;
        }
        let message = self.message(id, told, at, machine);
        self.next_seq = self.next_seq.wrapping_add(1);
        message
    }

    /// The next message, which is not said yet.
    fn message(&self, event: EventId, told: Told, at: Stamp, machine: Machine) -> Message {
        Message {
            event,
            phase: told.phase,
            seq: self.next_seq,
            boot_id: self.boot_id.clone(),
            at,
            started_ms: told.started_ms,
            device: self.device.clone(),
            cause: told.cause,
            machine,
        }
    }
}

fn fault_rule(rules: &Rules) -> FaultRule {
    let QualitySettings { bad_frames, good_frames, .. } = rules.quality;
    FaultRule { bad_frames, good_frames, update_ms: rules.alarm.update_s.saturating_mul(1000) }
}

fn holdoff_ms(rules: &Rules) -> u64 {
    rules.alarm.light_holdoff_s.saturating_mul(1000)
}

#[cfg(test)]
mod tests;
