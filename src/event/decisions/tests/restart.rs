//! What a program that starts again knows of the one before.

use super::*;

fn rules() -> Rules {
    let alarm =
        AlarmSettings { raise: 1, clear_frames: 1, budget_per_day: 3, ..AlarmSettings::default() };
    Rules { alarm, ..Rules::default() }
}

fn fresh() -> Decisions {
    Decisions::new("shed".into(), ["door".into(), "yard".into()], &rules(), alpha())
}

/// An event that ended, one of another region and a fault that did not.
fn past() -> Vec<Message> {
    let mut decisions = fresh();
    let mut said = Vec::new();
    for (ms, region, p_value) in [(0, 0, 0.01), (100, 0, 0.9), (200, 1, 0.01)] {
        said.extend(decisions.scored(region, &[verdict(p_value)], at(ms), machine()));
    }
    said.extend(decisions.faulty(FaultKind::Lost, "unplugged", at(300), machine()));
    assert_eq!(said.len(), 4);
    said
}

#[test]
fn open_events_end_and_numbers_go_on() {
    let past = past();
    let mut decisions = fresh();
    let ends = decisions.resume(past.clone(), at(5_000), machine());
    let brief: Vec<_> = ends.iter().map(|m| (&m.event, m.phase, m.seq, m.started_ms)).collect();
    assert_eq!(brief, [(&past[2].event, End, 4, 200), (&past[3].event, End, 5, 300)]);
    let next = decisions.scored(1, &[verdict(0.01)], at(6_000), machine());
    assert_eq!((next[0].event.number(), next[0].seq), (Some(3), 6), "at once, without a cool-down");
}

#[test]
fn alarms_and_cool_downs_of_before_count() {
    let mut decisions = fresh();
    decisions.resume(past(), at(5_000), machine());
    assert_eq!(decisions.alarms_left(5_000), Some(1));
    let mut raised = |s: u64| decisions.scored(0, &[verdict(0.01)], at(s * 1000), machine()).len();
    assert_eq!((raised(6), raised(60), raised(61)), (0, 0, 1), "cool-down of the first event");
}

#[test]
fn events_of_an_earlier_boot_end_too() {
    let mut earlier = past();
    for message in &mut earlier {
        message.boot_id = "0ld".into();
        message.seq += 900;
        let number = message.event.number().unwrap();
        message.event = serde_json::from_str(&format!("\"0ld-{number:06}\"")).unwrap();
    }
    let mut decisions = fresh();
    let ends = decisions.resume(earlier.clone(), at(50), machine());
    let brief: Vec<_> = ends.iter().map(|m| (&m.event, m.phase, m.seq, m.started_ms)).collect();
    assert_eq!(brief, [(&earlier[2].event, End, 0, 0), (&earlier[3].event, End, 1, 0)]);
    assert!(ends.iter().all(|message| message.boot_id == boot_id()));
    assert_eq!(decisions.alarms_left(50), Some(3), "times of another boot say nothing");
    let next = decisions.scored(0, &[verdict(0.01)], at(60), machine());
    assert_eq!(next[0].event.number(), Some(0));
}

#[test]
fn without_a_journal_numbers_begin_where_they_are_told_to() {
    let mut decisions = fresh();
    decisions.number_from(5_000, 80_000);
    decisions.number_from(1, 1);
    let said = decisions.scored(0, &[verdict(0.01)], at(0), machine());
    assert_eq!((said[0].event.number(), said[0].seq), (Some(5_000), 80_000));
}

#[test]
fn what_makes_no_sense_does_no_harm() {
    let mut odd = past();
    odd.reverse();
    odd[0].seq = u64::MAX;
    odd[1].event = serde_json::from_str("\"no number\"").unwrap();
    let mut decisions = fresh();
    let ends = decisions.resume(odd, at(400), machine());
    assert!(!ends.is_empty() && ends.iter().all(|m| m.phase == End));
}

#[test]
fn a_damaged_memory_blinds_nothing() {
    let mut decisions = fresh();
    decisions.scored(0, &[verdict(0.01)], at(0), machine());
    let text = serde_json::to_string(&decisions.memory(at(0), machine())).unwrap();
    let text = text.replace("\"alarms_ms\":[0]", "\"alarms_ms\":[0,9000000000000000000]");
    let text = text.replace("\"cooling_ms\":{}", "\"cooling_ms\":{\"yard\":9000000000000000000}");
    let memory: Memory = serde_json::from_str(&text).unwrap();
    let mut decisions = fresh();
    let open = decisions.remember(&memory, 1000);
    assert_eq!(decisions.resume(open, at(1000), machine()).len(), 1);
    assert_eq!(decisions.alarms_left(1000), Some(2));
    let cooled = at(1000 + AlarmSettings::default().cooldown_s * 1000);
    assert_eq!(decisions.scored(1, &[verdict(0.01)], cooled, machine()).len(), 1);
}

proptest! {
    /// The same as below of a program that knows what it kept at some time, and the messages since.
    #[test]
    fn a_memory_and_what_was_said_since_are_the_whole(
        p_values in prop::collection::vec(prop_oneof![Just(0.01), Just(0.9)], 1..60),
        restarts in prop::collection::btree_set(0usize..60, 0..5),
        keeps in prop::collection::btree_set(0usize..60, 0..9),
    ) {
        let (mut all, mut since) = (Vec::new(), Vec::new());
        let mut memory = Memory::default();
        let mut decisions = fresh();
        for (i, p_value) in p_values.iter().enumerate() {
            let now = at(i as u64 * 40_000);
            if keeps.contains(&i) {
                let text = serde_json::to_string(&decisions.memory(now, machine())).unwrap();
                memory = serde_json::from_str(&text).unwrap();
                since.clear();
            }
            if restarts.contains(&i) {
                decisions = fresh();
                let mut past = decisions.remember(&memory, now.mono_ms);
                past.extend(since.iter().cloned());
                let ends = decisions.resume(past, now, machine());
                all.extend(ends.clone());
                since.extend(ends);
            }
            let said = decisions.scored(i % 2, &[verdict(*p_value)], now, machine());
            all.extend(said.clone());
            since.extend(said);
        }
        all.extend(decisions.close(at(DAY_MS), machine()));
        assert_whole(&all)?;
    }

    /// A program that is killed between any two frames, and started again, leaves no event without an end, and uses no
    /// name and no number twice.
    #[test]
    fn a_restart_anywhere_leaves_whole_events(
        p_values in prop::collection::vec(prop_oneof![Just(0.01), Just(0.9)], 1..60),
        restarts in prop::collection::btree_set(0usize..60, 0..5),
    ) {
        let mut journal: Vec<Message> = Vec::new();
        let mut decisions = fresh();
        for (i, p_value) in p_values.iter().enumerate() {
            let now = at(i as u64 * 40_000);
            if restarts.contains(&i) {
                decisions = fresh();
                let ends = decisions.resume(journal.clone(), now, machine());
                journal.extend(ends);
            }
            journal.extend(decisions.scored(i % 2, &[verdict(*p_value)], now, machine()));
        }
        journal.extend(decisions.close(at(DAY_MS), machine()));
        assert_whole(&journal)?;
    }
}

/// Numbers without a gap, each event with one start and one end, and no more alarms than the budget.
fn assert_whole(journal: &[Message]) -> Result<(), TestCaseError> {
    let seqs: Vec<u64> = journal.iter().map(|m| m.seq).collect();
    prop_assert_eq!(seqs, (0..journal.len() as u64).collect::<Vec<_>>());
    let mut open = BTreeMap::new();
    let mut alarms = 0;
    for message in journal {
        match message.phase {
            Start => {
                alarms += usize::from(message.is_alarm());
                prop_assert!(open.insert(message.event.clone(), true).is_none());
            }
            Update => prop_assert_eq!(open.get(&message.event), Some(&true)),
            End => prop_assert_eq!(open.insert(message.event.clone(), false), Some(true)),
        }
    }
    prop_assert!(open.values().all(|open| !open));
    prop_assert!(alarms <= 3, "{} alarms in a day", alarms);
    Ok(())
}
