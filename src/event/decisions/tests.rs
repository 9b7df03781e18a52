use proptest::prelude::*;

use super::*;
use crate::event::{DAY_MS, Unusual};

mod document;
mod drift;
mod properties;
mod restart;

const ALPHA: f64 = 0.05;

fn alpha() -> Alpha {
    Alpha::new(ALPHA).unwrap()
}

fn at(mono_ms: u64) -> Stamp {
    Stamp { mono_ms, utc_ms: 1_795_684_800_000 + mono_ms as i64, clock_synced: true }
}

fn machine() -> Machine {
    Machine { temperature_c: Some(48.3), throttled: Some(0) }
}

/// A verdict whose energy tells its p-value.
fn verdict(p_value: f64) -> Verdict {
    let energy = 10.0 * (1.0 - p_value);
    Verdict {
        energy,
        energy_q16: (energy * 65536.0) as i64,
        p_value,
        unusual: p_value <= ALPHA,
        nearest: (p_value <= ALPHA).then(|| "cat".to_string()),
        heads: Vec::new(),
    }
}

fn decisions(alarm: AlarmSettings) -> Decisions {
    let rules = Rules { alarm, ..Rules::default() };
    Decisions::new("shed".into(), ["door".into(), "yard".into()], &rules, alpha())
}

fn unusual(message: &Message) -> &Unusual {
    match &message.cause {
        Cause::Unusual(unusual) => unusual,
        other => panic!("{other:?}"),
    }
}

/// Plays frames of region 0, one a second: `x` is flagged, `-` between the levels, `.` clear, `*` a clear frame with
/// which the light jumps. Gives second, phase and start of each message.
fn play(decisions: &mut Decisions, frames: &str) -> Vec<(u64, Phase, u64)> {
    let mut said = Vec::new();
    for (second, frame) in (0..).zip(frames.chars()) {
        let p_value = match frame {
            'x' => 0.01,
            '-' => 0.1,
            _ => 0.7,
        };
        let now = at(second * 1000);
        if frame == '*' {
            decisions.light_jumped(now);
        }
        let messages = decisions.scored(0, &[verdict(p_value)], now, machine());
        said.extend(messages.iter().map(|m| (second, m.phase, m.started_ms / 1000)));
    }
    said
}

use Phase::{End, Start, Update};

#[test]
fn an_event_from_start_to_end() {
    let mut decisions = decisions(AlarmSettings { update_s: 4, ..AlarmSettings::default() });
    let said = play(&mut decisions, "..x.xx.x-....-.....xxx");
    assert_eq!(
        said,
        [(5, Start, 2), (9, Update, 2), (13, Update, 2), (17, Update, 2), (18, End, 2)]
    );
    assert_eq!(decisions.tally(), Tally { alarms: 1, ..Tally::default() });
}

#[test]
fn a_message_has_all_that_is_known() {
    let mut decisions = decisions(AlarmSettings::default());
    let p_values = [0.5, 0.04, 0.5, 0.01, 0.05];
    let said: Vec<Message> = (0..)
        .zip(p_values)
        .flat_map(|(ms, p)| decisions.scored(1, &[verdict(p)], at(ms * 100), machine()))
        .collect();
    let [message] = &said[..] else { panic!("{said:?}") };
    assert_eq!((message.event.number(), message.seq, message.started_ms), (Some(0), 0, 100));
    assert_eq!(
        (message.device.as_str(), &*message.boot_id, message.at),
        ("shed", boot_id(), at(400))
    );
    assert!(message.is_alarm());
    let unusual = unusual(message);
    assert_eq!((unusual.region.as_str(), unusual.frames, unusual.unusual_frames), ("yard", 4, 3));
    assert_eq!((unusual.p_value, unusual.peak_p_value), (0.05, 0.01));
    assert_eq!((unusual.energy, unusual.peak_energy), (9.5, 9.9));
    assert_eq!((unusual.nearest.as_deref(), unusual.suppressed), (Some("cat"), false));
    let json = serde_json::to_string(message).unwrap();
    assert_eq!(&serde_json::from_str::<Message>(&json).unwrap(), message);
}

#[test]
fn messages_without_the_word_suppressed_are_read() {
    let json = r#"{"region":"door","frames":1,"unusual_frames":1,"energy":1.0,"p_value":0.1,
        "peak_energy":1.0,"peak_p_value":0.1}"#;
    assert!(!serde_json::from_str::<Unusual>(json).unwrap().suppressed);
}

#[test]
fn frames_of_the_cool_down_do_not_count() {
    let settings = AlarmSettings { cooldown_s: 10, clear_frames: 2, ..AlarmSettings::default() };
    let said = play(&mut decisions(settings), "xxx..xxxxxxxxxxxxxxxx");
    assert_eq!(said, [(2, Start, 0), (4, End, 0), (16, Start, 14)]);
}

#[test]
fn an_event_has_a_least_length() {
    let settings = AlarmSettings { min_s: 8.0, clear_frames: 2, ..AlarmSettings::default() };
    let said = play(&mut decisions(settings), "xxx...............");
    assert_eq!(said, [(2, Start, 0), (10, End, 0)]);
}

#[test]
fn a_change_of_light_holds_events_off_but_ends_none() {
    let settings = AlarmSettings { light_holdoff_s: 5, cooldown_s: 0, ..AlarmSettings::default() };
    let said = play(&mut decisions(settings.clone()), "xx*xxxxxxxx");
    assert_eq!(
        said,
        [(9, Start, 7)],
        "frames before the jump and during the hold-off do not count"
    );
    let said = play(&mut decisions(settings), "xxx*xxxx.....");
    assert_eq!(said, [(2, Start, 0), (12, End, 0),], "an event goes on and ends by its frames");
}

#[test]
fn events_beyond_the_budget_are_told_as_suppressed() {
    let settings = AlarmSettings {
        budget_per_day: 2,
        raise: 1,
        clear_frames: 1,
        cooldown_s: 0,
        ..AlarmSettings::default()
    };
    let mut decisions = decisions(settings);
    let mut alarms = Vec::new();
    for hour in 0..50u64 {
        let region = hour as usize % 2;
        for (second, p_value) in [(0, 0.01), (1, 0.9)] {
            let now = at((hour * 3600 + second) * 1000);
            for message in decisions.scored(region, &[verdict(p_value)], now, machine()) {
                assert_eq!(message.is_alarm(), !unusual(&message).suppressed);
                if message.phase == Start && message.is_alarm() {
                    alarms.push(hour);
                }
            }
        }
    }
    assert_eq!(alarms, [0, 1, 24, 25, 48, 49]);
    let tally = decisions.tally();
    assert_eq!((tally.alarms, tally.suppressed), (6, 44));
    assert_eq!(decisions.alarms_left(50 * DAY_MS / 24), Some(0));
}

#[test]
fn a_fault_of_the_camera_forgets_what_was_pending() {
    let mut decisions = decisions(AlarmSettings::default());
    let scored = |decisions: &mut Decisions, ms| {
        decisions.scored(0, &[verdict(0.01)], at(ms), machine()).len()
    };
    assert_eq!(scored(&mut decisions, 0) + scored(&mut decisions, 1), 0);
    assert!(decisions.is_attentive());
    let lost = decisions.faulty(FaultKind::Lost, "unplugged", at(2), machine()).unwrap();
    assert_eq!((lost.phase, lost.started_ms, lost.is_alarm()), (Start, 2, false));
    assert!(!decisions.is_attentive() && decisions.fault().is_some());
    assert_eq!(scored(&mut decisions, 3) + scored(&mut decisions, 4), 0);
    assert_eq!(scored(&mut decisions, 5), 1);
    let ends: Vec<Message> =
        (0..5).filter_map(|ms| decisions.good(at(6 + ms), machine())).collect();
    assert_eq!((ends.len(), ends[0].event == lost.event, ends[0].phase), (1, true, End));
    assert_eq!(decisions.tally(), Tally { alarms: 1, faults: 1, ..Tally::default() });
}

#[test]
fn an_event_whose_camera_is_lost_ends_after_ten_minutes() {
    let mut decisions = decisions(AlarmSettings::default());
    for ms in 0..3 {
        decisions.scored(0, &[verdict(0.01)], at(ms), machine());
    }
    assert!(decisions.tick(at(UNSEEN_MS + 100), machine()).is_empty(), "rare frames are no fault");
    decisions.faulty(FaultKind::Lost, "unplugged", at(100), machine());
    assert!(decisions.tick(at(UNSEEN_MS + 1), machine()).is_empty());
    let said = decisions.tick(at(UNSEEN_MS + 2), machine());
    assert_eq!((said.len(), said[0].phase), (1, End));
    assert!(decisions.event(0).is_none() && decisions.fault().is_some());
}

#[test]
fn tiles_are_judged_together() {
    let settings = AlarmSettings { raise: 1, ..AlarmSettings::default() };
    let tiles = |p: f64| [verdict(0.6), verdict(p), verdict(0.9), verdict(0.3)];
    let mut decisions = decisions(settings);
    assert!(decisions.scored(0, &tiles(0.02), at(0), machine()).is_empty());
    let said = decisions.scored(0, &tiles(0.0125), at(1), machine());
    assert_eq!(unusual(&said[0]).p_value, 0.05);
    assert!(decisions.scored(0, &[], at(2), machine()).is_empty());
    assert!(decisions.scored(9, &tiles(0.01), at(2), machine()).is_empty());
}

#[test]
fn other_rules_keep_what_is_open() {
    let mut decisions = decisions(AlarmSettings::default());
    assert_eq!(play(&mut decisions, "xxx."), [(2, Start, 0)]);
    let alarm = AlarmSettings { clear_frames: 1, ..AlarmSettings::default() };
    decisions.set_rules(&Rules { alarm, ..Rules::default() });
    assert!(decisions.event(0).is_some());
    let said = decisions.scored(0, &[verdict(0.9)], at(4_000), machine());
    assert_eq!(said[0].phase, End);
}
