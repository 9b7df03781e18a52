use proptest::prelude::*;

use super::*;
use crate::event::Drift;
use crate::sink::fixtures::{event, message, shot};

fn settings() -> EvidenceSettings {
    EvidenceSettings {
        before_s: 1.0,
        after_s: 2.0,
        every_s: 0.5,
        most_frames: 12,
        ..EvidenceSettings::default()
    }
}

fn times(items: &[Item], of: u64) -> Vec<u64> {
    let time = |item: &Item| match item {
        Item::Shot { event: id, shot } if *id == event(of) => Some(shot.at.mono_ms),
        _ => None,
    };
    items.iter().filter_map(time).collect()
}

#[test]
fn an_event_gets_frames_before_during_and_after() {
    let mut shots = Shots::new(&settings());
    let mut kept = Vec::new();
    for tenth in 0..100u64 {
        let now_ms = tenth * 100;
        kept.extend(shots.frame(&shot(now_ms, 100)));
        if now_ms == 3000 {
            kept.extend(shots.message(&message(1, Phase::Start, 3)));
        }
        if now_ms == 4000 {
            kept.extend(shots.message(&message(1, Phase::Update, 4)));
            kept.extend(shots.message(&message(1, Phase::End, 4)));
        }
    }
    // Eleven of the last second, the newest being the event's own; then one each half second, but no more than twelve.
    let expected: Vec<u64> = (20..=30).map(|tenth| tenth * 100).chain([3500]).collect();
    assert_eq!(times(&kept, 1), expected);

    let mut shots = Shots::new(&EvidenceSettings { before_s: 0.0, most_frames: 60, ..settings() });
    let mut kept = Vec::new();
    for now_ms in (0..10_000).step_by(100) {
        kept.extend(shots.frame(&shot(now_ms, 100)));
        match now_ms {
            3000 => kept.extend(shots.message(&message(1, Phase::Start, 3))),
            4000 => kept.extend(shots.message(&message(1, Phase::End, 4))),
            _ => {}
        }
    }
    assert_eq!(times(&kept, 1), (6..=12).map(|half| half * 500).collect::<Vec<u64>>());
}

#[test]
fn events_at_the_same_time_each_get_theirs() {
    let mut shots = Shots::new(&settings());
    let mut kept = Vec::new();
    for now_ms in (0..2000).step_by(500) {
        kept.extend(shots.frame(&shot(now_ms, 100)));
        if now_ms < 1000 {
            kept.extend(shots.message(&message(now_ms, Phase::Start, 0)));
        }
    }
    assert_eq!(times(&kept, 0), [0, 500, 1000, 1500]);
    assert_eq!(times(&kept, 500), [0, 500, 1000, 1500]);
}

#[test]
fn drift_has_no_frames() {
    let mut shots = Shots::new(&settings());
    shots.frame(&shot(0, 100));
    let mut drift = message(1, Phase::Start, 0);
    let region = "frame".into();
    drift.cause = Cause::Drift(Drift { region, evidence: 1e3, mean_p_value: 0.4, frames: 99 });
    assert!(shots.message(&drift).is_empty() && shots.frame(&shot(9000, 100)).is_empty());
}

#[test]
fn events_without_end_are_forgotten_some_day() {
    let mut shots = Shots::new(&settings());
    for number in 0..1000 {
        shots.message(&message(number, Phase::Start, 0));
    }
    assert_eq!(shots.frame(&shot(0, 100)).len(), MOST_EVENTS);
}

proptest! {
    #[test]
    fn the_ring_is_bounded_and_holds_the_newest(
        frames in prop::collection::vec((0u64..400, 5usize..500), 1..60),
        keep_ms in 0u64..2000,
        keep_bytes in 0usize..2000,
    ) {
        let mut ring = PreRoll::new(keep_ms, keep_bytes);
        let mut now_ms = 0;
        let mut all = Vec::new();
        for (step, len) in frames {
            now_ms += step;
            all.push(shot(now_ms, len));
            ring.push(all[all.len() - 1].clone());
            let held: Vec<Arc<Shot>> = ring.shots().cloned().collect();
            let bytes: usize = held.iter().map(|shot| shot.frame.bytes()).sum();
            prop_assert!(bytes <= keep_bytes && bytes == ring.bytes());
            prop_assert!(held.iter().all(|shot| now_ms - shot.at.mono_ms <= keep_ms));
            // As many of the newest as both bounds allow.
            let newest = all.iter().rev().scan(0, |sum, shot| {
                *sum += shot.frame.bytes();
                (*sum <= keep_bytes && now_ms - shot.at.mono_ms <= keep_ms).then_some(())
            });
            prop_assert_eq!(newest.count(), held.len());
        }
    }
}

#[test]
fn seconds_that_are_no_number_are_none() {
    assert_eq!([f64::NAN, -1.0, 0.25, f64::INFINITY].map(milliseconds), [0, 0, 250, u64::MAX]);
}
