//! Drift beside events.

use super::*;
use crate::random::Random;

fn calibration(seed: u64) -> Calibration {
    let mut random = Random::new(seed);
    Calibration::new((0..1000).map(|_| (random.unit() * 10.0 * 65536.0) as i64).collect()).unwrap()
}

fn with_model(calibration: &Calibration) -> Decisions {
    let alarm = AlarmSettings { raise: 4, window: 4, ..AlarmSettings::default() };
    let mut decisions = decisions(alarm);
    assert!(decisions.set_model(calibration, alpha(), at(0), machine()).is_empty());
    decisions
}

/// A frame each ten minutes, of energies between `low` and `high` of ten.
fn days(
    decisions: &mut Decisions,
    calibration: &Calibration,
    days: std::ops::Range<u64>,
    (low, high): (f64, f64),
) -> Vec<Message> {
    let mut random = Random::new(days.start);
    let mut said = Vec::new();
    for ms in (days.start * DAY_MS..days.end * DAY_MS).step_by(600_000) {
        let energy = random.range(low, high);
        let energy_q16 = (energy * 65536.0) as i64;
        let p_value = calibration.p_value(energy_q16);
        let unusual = p_value <= ALPHA;
        let frame = Verdict { energy, energy_q16, p_value, unusual, ..verdict(0.5) };
        said.extend(decisions.scored(0, &[frame], at(ms), machine()));
    }
    said
}

#[test]
fn a_drift_is_told_once_goes_on_and_ends() {
    let calibration = calibration(1);
    let mut decisions = with_model(&calibration);
    assert!(days(&mut decisions, &calibration, 0..20, (0.0, 10.0)).is_empty());
    let risen = days(&mut decisions, &calibration, 20..40, (3.0, 9.5));
    let phases: Vec<Phase> = risen.iter().map(|message| message.phase).collect();
    assert_eq!(phases[0], Start);
    assert!(phases[1..].iter().all(|&phase| phase == Update) && phases.len() > 3, "{phases:?}");
    assert!(risen.iter().all(|m| m.event == risen[0].event && !m.is_alarm()));
    let Cause::Drift(drift) = &risen[1].cause else { panic!("{risen:?}") };
    assert!(drift.evidence >= 1000.0 && drift.frames == 144, "{drift:?}");
    assert!((0.3..0.45).contains(&drift.mean_p_value), "{drift:?}");
    let settled = days(&mut decisions, &calibration, 40..55, (0.0, 10.0));
    let [.., end] = &settled[..] else { panic!("no end") };
    assert_eq!((end.phase, &end.event), (End, &risen[0].event));
    assert!((45..=48).contains(&(end.at.mono_ms / DAY_MS)), "a week after the last proof");
    assert_eq!(decisions.tally(), Tally { drifts: 1, ..Tally::default() });
}

#[test]
fn energies_that_fall_are_a_drift_as_well() {
    let calibration = calibration(2);
    let mut decisions = with_model(&calibration);
    let fallen = days(&mut decisions, &calibration, 0..10, (0.0, 7.0));
    let Cause::Drift(drift) = &fallen[0].cause else { panic!("{fallen:?}") };
    assert!(drift.mean_p_value > 0.6, "{drift:?}");
}

#[test]
fn another_model_ends_a_drift() {
    let calibration = calibration(3);
    let mut decisions = with_model(&calibration);
    let risen = days(&mut decisions, &calibration, 0..5, (5.0, 9.5));
    let said = decisions.set_model(&calibration, alpha(), at(5 * DAY_MS), machine());
    assert_eq!((said.len(), said[0].phase, &said[0].event), (1, End, &risen[0].event));
    assert!(decisions.close(at(5 * DAY_MS), machine()).is_empty());
}

#[test]
fn what_stands_in_view_for_days_is_an_event_and_no_drift() {
    let calibration = calibration(4);
    let mut decisions = with_model(&calibration);
    let mut said = days(&mut decisions, &calibration, 0..2, (0.0, 9.5));
    said.extend(days(&mut decisions, &calibration, 2..9, (10.5, 11.0)));
    said.extend(days(&mut decisions, &calibration, 9..12, (0.0, 9.5)));
    assert!(said.len() > 900 && said.iter().all(|m| matches!(m.cause, Cause::Unusual(_))));
    assert_eq!((decisions.tally().alarms, decisions.tally().drifts), (1, 0));
}

#[test]
fn a_restart_keeps_what_the_test_knows() {
    let calibration = calibration(5);
    // Each day has a little evidence, too little by itself; and each day the program starts anew.
    for keeps in [false, true] {
        let mut states = BTreeMap::new();
        let mut told = 0;
        for day in 0..20 {
            let mut decisions = with_model(&calibration);
            if keeps && day > 0 {
                assert_eq!(decisions.resume_drift(&states, day * DAY_MS), 1);
            }
            told += days(&mut decisions, &calibration, day..day + 1, (2.0, 10.0)).len();
            states = decisions.drift_states((day + 1) * DAY_MS);
            states.remove("yard");
            let json = serde_json::to_string(&states).unwrap();
            states = serde_json::from_str(&json).unwrap();
        }
        assert_eq!(told > 0, keeps);
    }
}

#[test]
fn a_state_of_another_model_is_left_alone() {
    let mut decisions = with_model(&calibration(6));
    let states = with_model(&calibration(7)).drift_states(0);
    assert_eq!(states.len(), 2);
    assert_eq!(decisions.resume_drift(&states, 0), 0);
    let own = with_model(&calibration(6)).drift_states(0);
    assert_eq!(decisions.resume_drift(&own, 0), 2);
    let odd = serde_json::to_string(&own).unwrap().replace("[0.0,0.0,0.0]", "[-1.0,0.0,0.0]");
    let odd: BTreeMap<String, DriftState> = serde_json::from_str(&odd).unwrap();
    assert_eq!(decisions.resume_drift(&odd, 0), 0, "nobody has less than nothing");
}
