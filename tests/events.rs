//! `oddsight events` as its users see it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use oddsight::clock::Stamp;
use oddsight::event::{Cause, Drift, EventId, Fault, FaultKind, Machine, Message, Phase};
use oddsight::sink::journal::{Journal, JournalSettings};
use oddsight::sink::{Item, Sink as _};
use serde_json::Value;

fn message(number: u64, phase: Phase, seq: u64, cause: Cause) -> Message {
    let at = Stamp {
        mono_ms: 60_000 + seq * 1500,
        utc_ms: 1_795_684_800_000 + seq as i64 * 1500,
        clock_synced: number != 3,
    };
    Message {
        event: EventId::new(number),
        phase,
        seq,
        boot_id: "b0071d00".into(),
        at,
        started_ms: 60_000,
        device: "belt-3".into(),
        cause,
        machine: Machine::default(),
    }
}

fn unusual() -> Cause {
    let unusual = serde_json::json!({
        "region": "frame", "frames": 9, "unusual_frames": 5, "energy": 12.625, "p_value": 0.001,
        "peak_energy": 17.5, "peak_p_value": 0.0005, "nearest": "bolt", "suppressed": false,
    });
    Cause::Unusual(serde_json::from_value(unusual).unwrap())
}

fn fault() -> Cause {
    Cause::CameraFault(Fault {
        fault: FaultKind::Stalled,
        why: "no frame for 5 s".into(),
        count: 4,
    })
}

fn drift() -> Cause {
    let region = "frame".into();
    Cause::Drift(Drift { region, evidence: 1234.0, mean_p_value: 0.41, frames: 99 })
}

/// A journal with one event of each kind; only the first has an end.
fn write_journal(dir: &Path) {
    let mut journal = Journal::new(dir, &JournalSettings::default());
    for message in [
        message(1, Phase::Start, 0, unusual()),
        message(2, Phase::Start, 1, fault()),
        message(1, Phase::End, 2, unusual()),
        message(3, Phase::Start, 3, drift()),
    ] {
        journal.deliver(&Item::Message(Arc::new(message))).unwrap();
    }
    journal.close();
}

fn events(args: &[&str], dir: &Path) -> Output {
    let program = env!("CARGO_BIN_EXE_oddsight");
    Command::new(program).arg("events").args(args).arg(dir).output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_table_has_a_row_for_each_event() {
    let dir = tempfile::tempdir().unwrap();
    write_journal(dir.path());
    let table = text(&events(&[], dir.path()));
    let [one, two, three] = [1, 2, 3].map(|n| EventId::new(n).to_string());
    let expected = format!(
        "\
start                      event            kind          state      length  what
2026-11-26T09:20:00.000Z   {one:<15}  unusual       ended       3.0 s  frame: 5 of 9 frames unusual, peak energy 17.500, p 0.0005, nearest bolt
2026-11-26T09:20:01.500Z   {two:<15}  camera_fault  open        1.5 s  stalled: 4 times; no frame for 5 s
2026-11-26T09:20:04.500Z?  {three:<15}  drift         open        4.5 s  frame: evidence 1234 to 1, mean p 0.410 over 99 frames
3 events
?: the device's clock was not synchronised
"
    );
    assert_eq!(table, expected);
}

#[test]
fn json_gives_the_messages_as_they_were_sent() {
    let dir = tempfile::tempdir().unwrap();
    write_journal(dir.path());
    let lines = text(&events(&["--json"], dir.path()));
    let seqs: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].clone())
        .collect();
    assert_eq!(seqs, [0, 1, 2, 3]);
    let first: Message = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first, message(1, Phase::Start, 0, unusual()));
}

#[test]
fn events_are_chosen_by_kind_and_time() {
    let dir = tempfile::tempdir().unwrap();
    write_journal(dir.path());
    let count =
        |args: &[&str]| text(&events(&[&["--json"], args].concat(), dir.path())).lines().count();
    assert_eq!(count(&["--kind", "unusual"]), 2);
    assert_eq!(count(&["--kind", "drift", "--kind", "camera_fault"]), 2);
    assert_eq!(count(&["--since", "2026-11-26T09:20:02Z"]), 2);
    assert_eq!(count(&["--since", "2026-11-27"]), 0);
    let refused = events(&["--since", "yesterday"], dir.path());
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("try 30m"), "{refused:?}");
}

#[test]
fn damage_is_passed_over_and_said() {
    let dir = tempfile::tempdir().unwrap();
    write_journal(dir.path());
    let segment = dir.path().join("00000001.jsonl");
    std::fs::OpenOptions::new().append(true).open(segment).unwrap().write_all(b"{\"rec\n").unwrap();
    let output = events(&[], dir.path());
    assert!(text(&output).contains("3 events"));
    let warning = String::from_utf8(output.stderr).unwrap();
    assert_eq!(warning, "warning: 1 torn or altered lines were passed over\n");
}

#[test]
fn a_folder_that_is_none_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    let output = events(&[], &dir.path().join("nothing"));
    assert_eq!(output.status.code(), Some(1));
    let why = String::from_utf8(output.stderr).unwrap();
    assert!(why.contains("nothing: no journal there; give its folder"), "{why}");
    assert_eq!(text(&events(&[], dir.path())), "0 events\n");
}

/// Ends a program that would not end by itself, also when the test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn follow_goes_on_with_what_is_written() {
    let dir = tempfile::tempdir().unwrap();
    write_journal(dir.path());
    let child = Command::new(env!("CARGO_BIN_EXE_oddsight"))
        .args(["events", "--follow", "--kind", "unusual"])
        .arg(dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Running(child);
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert!(next().contains("  start   ") && next().contains("  end     "));
    let mut journal = Journal::new(dir.path(), &JournalSettings::default());
    let item = |number, phase, seq| Item::Message(Arc::new(message(number, phase, seq, unusual())));
    journal.deliver(&item(7, Phase::Start, 9)).unwrap();
    assert!(next().contains(EventId::new(7).as_str()));
    journal.deliver(&item(7, Phase::Update, 10)).unwrap();
    let line = next();
    assert!(line.contains("  update  ") && line.contains("15.0 s"), "{line}");
}
