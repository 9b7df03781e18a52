//! What keeps the program from starting, and with which exit code it says so.

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::camera::Show;
use crate::program::{Bench, Device, success};

/// Starts it with variables, which must fail; gives the code and what was said.
fn refused(bench: &Bench, variables: &[(&str, &str)]) -> (i32, String) {
    let start = |command: &mut Command| {
        command.envs(variables.iter().copied());
    };
    let device = Device::start(bench, start);
    let ended = device.ended();
    assert!(!ended.said.contains("panicked"), "{}", ended.said);
    assert!(ended.said.contains("error: "), "{}", ended.said);
    (ended.code.unwrap(), ended.said)
}

#[test]
fn exit_codes_tell_what_has_to_be_mended() {
    let bench = Bench::new();
    let camera = bench.camera();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().to_string();
    let (lamp, store) = (bench.lamp_section(), bench.path("empty"));
    fs::create_dir_all(store.join("versions")).unwrap();
    let token = bench.write("short-token", "abc\n");
    let long_token = bench.write("token", "0123456789abcdef0123456789abcdef\n");
    type Variables<'a> = &'a [(&'a str, &'a str)];
    let cases: &[(i32, &str, Variables)] = &[
        // What may pass, or is mended elsewhere: another start may do.
        (1, "no such model directory", &[("ODDSIGHT_MODEL__DIR", "/nowhere/model")]),
        (1, "no model is installed", &[("ODDSIGHT_MODEL__DIR", store.to_str().unwrap())]),
        (1, "is another program listening there", &[("ODDSIGHT_HTTP__LISTEN", &port)]),
        // An address of TEST-NET-1, which no machine has.
        (
            1,
            "no such address",
            &[
                ("ODDSIGHT_HTTP__LISTEN", "192.0.2.1:8080"),
                ("ODDSIGHT_HTTP__TOKEN_FILE", long_token.to_str().unwrap()),
            ],
        ),
        (
            1,
            "gpiochip99",
            &[
                ("ODDSIGHT_GPIO__1__LINE", "3"),
                ("ODDSIGHT_GPIO__1__BACKEND", "gpiocdev"),
                ("ODDSIGHT_GPIO__1__CHIP", "/dev/gpiochip99"),
            ],
        ),
        (
            1,
            "gpiochip99",
            &[
                ("ODDSIGHT_LEARN__DIR", "/nowhere/learnt"),
                ("ODDSIGHT_LEARN__BUTTON_LINE", "3"),
                ("ODDSIGHT_LEARN__BUTTON_CHIP", "/dev/gpiochip99"),
            ],
        ),
        // What only another configuration mends.
        (78, "cannot be honoured", &[("ODDSIGHT_MODEL__ALPHA", "0.0001")]),
        (78, "token", &[("ODDSIGHT_HTTP__LISTEN", "0.0.0.0:0")]),
        (
            78,
            "token",
            &[
                ("ODDSIGHT_HTTP__LISTEN", "0.0.0.0:0"),
                ("ODDSIGHT_HTTP__TOKEN_FILE", "/nowhere/token"),
            ],
        ),
        (
            78,
            "token",
            &[
                ("ODDSIGHT_HTTP__LISTEN", "0.0.0.0:0"),
                ("ODDSIGHT_HTTP__TOKEN_FILE", token.to_str().unwrap()),
            ],
        ),
        (78, "names no key", &[("ODDSIGHT_CAMERA__STAL_MS", "3")]),
        (78, "camera.source", &[("ODDSIGHT_CAMERA__SOURCE", "webcam")]),
    ];
    for (code, why, variables) in cases {
        bench.config(&camera.source(), &lamp);
        let (found, said) = refused(&bench, variables);
        assert_eq!(found, *code, "{variables:?}: {said}");
        assert!(said.contains(why), "{variables:?}: {said}");
        // Whatever failed, a line that was opened is at its safe level.
        assert!(["", "low"].contains(&bench.lamp().as_str()), "{variables:?}");
    }
    bench.config(&camera.source(), "[alarm.x]\n[cammera]\n");
    let (code, said) = refused(&bench, &[]);
    assert_eq!(code, 78);
    assert!(said.contains("device.toml") && said.contains("[cammera]"), "{said}");
    fs::remove_file(bench.path("device.toml")).unwrap();
    assert_eq!(refused(&bench, &[]).0, 78);
    assert_eq!(bench.command(&["run", "--config"]).status.code(), Some(2));
    assert_eq!(bench.command(&["run"]).status.code(), Some(2));
    assert_eq!(
        bench.command(&["run", "--config", "x", "--faults", "rain=1"]).status.code(),
        Some(2)
    );
}

/// A line whose safe level is that of an alarm: it may only show "no alarm" when somebody watches.
#[test]
fn a_line_stays_safe_when_the_program_does_not_come_up() {
    let bench = Bench::new();
    let camera = bench.camera();
    bench.config(&camera.source(), &format!("{}safe = \"high\"\n", bench.lamp_section()));
    for variables in [("ODDSIGHT_MODEL__DIR", "/nowhere"), ("ODDSIGHT_MODEL__ALPHA", "0.0001")] {
        refused(&bench, &[variables]);
        assert_eq!(bench.lamp(), "high", "{variables:?}");
    }
    let mut device = bench.start().ready();
    device.wait_for("no alarm", |_| (bench.lamp() == "low").then_some(()));
    assert_eq!(device.stop().code, Some(0));
    assert_eq!(bench.lamp(), "high");
    success(&bench.command(&["gpio", "safe", "--config", "device.toml"]));
}

#[test]
fn a_word_more_is_said_when_the_command_line_asks() {
    let bench = Bench::new();
    let camera = bench.camera();
    bench.config(&camera.source(), "[log]\nlevel = \"warn\"\n");
    let device = bench.start().ready();
    assert_eq!(device.stop().said, "");
    let loud = |command: &mut Command| {
        command.arg("-v");
    };
    let ended = Device::start(&bench, loud).ready().stop();
    assert!(ended.said.contains("watching pipe:"), "{}", ended.said);
}

/// A memo that is gone and a journal that is damaged cost what they knew, and give no name twice.
#[test]
fn no_event_is_named_as_another_one_was() {
    let bench = Bench::new();
    let camera = bench.camera();
    bench.config(&camera.source(), "");
    camera.show(Show::Unusual);
    let alarm = || {
        let mut device = bench.start().ready();
        device.mark();
        let alarm = device.alarm();
        assert_eq!(device.stop().code, Some(0));
        alarm
    };
    let first = alarm();
    fs::remove_file(bench.path("journal/memo.json")).unwrap();
    bench.write("journal/00000009.jsonl", "damaged\n");
    // Names go on from the tenths of a second since the machine started.
    thread::sleep(Duration::from_secs(1));
    let second = alarm();
    assert!(second.event != first.event, "{:?}", second.event);
    assert!(second.seq > first.seq, "{} after {}", second.seq, first.seq);
}

#[test]
fn a_memo_that_cannot_be_kept_is_told_once() {
    let bench = Bench::new();
    let camera = bench.camera();
    bench.config(&camera.source(), "");
    fs::create_dir_all(bench.path("journal/memo.json/in/the/way")).unwrap();
    let mut device = bench.start().ready();
    for _ in 0..2 {
        device.mark();
        camera.show(Show::Unusual);
        let alarm = device.alarm();
        camera.show(Show::Normal);
        device.end_of(&alarm);
    }
    let ended = device.stop();
    assert_eq!(ended.said.matches("a restart would begin with").count(), 1, "{}", ended.said);
}
