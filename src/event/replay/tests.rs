use super::*;

fn alpha(rate: f64) -> Alpha {
    Alpha::new(rate).unwrap()
}

/// One frame a second of region `door`; a digit is a p-value in tenths, `x` is 0.01 and `l` a p-value of 0.9 with which
/// the light jumps.
fn frames(text: &str) -> Vec<ScoredFrame> {
    let frame = |(second, c): (u64, char)| ScoredFrame {
        at: Stamp { mono_ms: second * 1000, utc_ms: second as i64 * 1000, clock_synced: true },
        region: "door".into(),
        energy: if c == 'x' { 12.5 } else { 1.0 },
        p_value: c.to_digit(10).map_or(if c == 'x' { 0.01 } else { 0.9 }, |d| f64::from(d) / 10.0),
        nearest: (c == 'x').then(|| "cat".into()),
        light_jumped: c == 'l',
    };
    (0..).zip(text.chars()).map(frame).collect()
}

fn brief(summary: &Summary) -> Vec<(u64, u64, u64)> {
    let event = |e: &Replayed| (e.at.mono_ms / 1000, e.length_ms / 1000, e.unusual.frames);
    summary.events.iter().map(event).collect()
}

#[test]
fn frames_become_the_events_of_the_settings() {
    let tape = frames("999xxx99999999xx11x99999");
    let settings = AlarmSettings { cooldown_s: 2, ..AlarmSettings::default() };
    let summary = replay(tape.clone(), alpha(0.05), &settings);
    assert_eq!(brief(&summary), [(5, 7, 8), (18, 9, 10)]);
    assert_eq!((summary.frames, summary.flagged, summary.watched_ms), (24, 6, 23_000));
    let strict = AlarmSettings { raise: 2, window: 2, clear_p: 0.05, ..settings.clone() };
    assert_eq!(brief(&replay(tape.clone(), alpha(0.05), &strict)), [(4, 7, 8), (15, 9, 10)]);
    assert!(replay(tape, alpha(0.001), &settings).events.is_empty());
}

#[test]
fn a_jump_of_the_light_holds_events_off() {
    let settings = AlarmSettings { light_holdoff_s: 5, ..AlarmSettings::default() };
    let summary = replay(frames("99lxxxx999999xxx"), alpha(0.05), &settings);
    assert_eq!(brief(&summary), [(15, 2, 3)], "open at the end of the tape");
}

#[test]
fn another_boot_begins_anew() {
    let mut tape = frames("99xxx");
    tape.extend(frames("9xx9"));
    tape.extend(frames("9999999x"));
    let summary = replay(tape, alpha(0.05), &AlarmSettings::default());
    assert_eq!(brief(&summary), [(4, 2, 3)]);
    assert_eq!(summary.watched_ms, 4_000 + 3_000 + 7_000);
}

#[test]
fn pauses_are_not_watched() {
    let mut tape = frames("99");
    tape[1].at.mono_ms = 10 * DAY_MS;
    assert_eq!(replay(tape, alpha(0.05), &AlarmSettings::default()).watched_ms, 60_000);
    assert_eq!(replay([], alpha(0.05), &AlarmSettings::default()).alarms_per_day(), None);
}

#[test]
fn the_summary_is_a_table() {
    let settings = AlarmSettings { cooldown_s: 0, budget_per_day: 1, ..AlarmSettings::default() };
    let summary = replay(frames("xxx99999xxx99999"), alpha(0.05), &settings);
    assert_eq!((summary.alarms(), summary.suppressed()), (1, 1));
    let expected = "\
16 frames of 1 region in 15.0 s: 6 flagged at alpha 0.05 (37.50 %)
1 alarm, 5760.00 a day; 1 event beyond the budget

told                      region     length  frames  flagged       peak        p  nearest
1970-01-01T00:00:02.000Z  door        7.0 s       8        3      12.50  0.01000  cat
1970-01-01T00:00:10.000Z  door        7.0 s       8        3      12.50  0.01000  cat  (beyond the budget)
";
    assert_eq!(summary.to_string(), expected);
    let none = replay([], alpha(0.05), &AlarmSettings::default()).to_string();
    assert_eq!(
        none,
        "0 frames of 0 regions in 0.0 s: 0 flagged at alpha 0.05 (0.00 %)\n0 alarms\n"
    );
}
