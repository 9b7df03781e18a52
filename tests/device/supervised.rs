//! Service managers, signals, and the end of the program.

use std::io::Read as _;
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use oddsight::event::{FaultKind, Phase};
use rustix::process::Signal;

use crate::camera::Show;
use crate::program::{Bench, Device, assert_whole, fault, is_unusual, load, success, wait_for};

/// The watchdog that tests set: as short as `gate.floor_s` of a second lets it be.
const WATCHDOG: Duration = Duration::from_secs(4);

fn with_watchdog(command: &mut Command) {
    command.env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
}

fn state(note: &str) -> Option<&str> {
    note.lines().find_map(|line| line.strip_prefix("STATUS="))
}

#[test]
fn the_service_manager_is_told_what_goes_on() {
    let bench = Bench::new();
    let camera = bench.camera();
    bench.config(&camera.source(), "");
    let mut device = Device::start(&bench, with_watchdog).ready();
    assert_eq!(device.notes()[0].1.trim(), "READY=1", "nothing before the model is loaded");
    let says = |text: &'static str| {
        move |device: &Device| {
            let notes = device.notes();
            notes
                .iter()
                .any(|(_, note)| state(note).is_some_and(|s| s.contains(text)))
                .then_some(())
        }
    };
    device.wait_for("what it watches with", says("watching with"));
    camera.show(Show::Unusual);
    device.wait_for("an event in the status", says("1 unusual event"));
    camera.show(Show::Gone);
    device.wait_for("a lost camera in the status", says("no camera: cat ended"));
    camera.show(Show::Normal);
    device.wait_for("signs of life", |device| (device.count("WATCHDOG=1") > 3).then_some(()));
    device.signal(Signal::HUP);
    device.wait_for("the end of a reload", |device| (device.count("READY=1") > 1).then_some(()));
    let notes = device.notes();
    let reload = notes.iter().find(|(_, note)| note.lines().any(|line| line == "RELOADING=1"));
    let (_, reload) = reload.expect("the reload is told");
    assert!(reload.lines().any(|line| line.starts_with("MONOTONIC_USEC=")), "{reload}");
    device.signal(Signal::TERM);
    device.wait_for("STOPPING=1", |device| (device.count("STOPPING=1") > 0).then_some(()));
    assert_eq!(device.ended().code, Some(0));
}

/// How long the watchdog was not fed when `enough` is over.
fn silence(device: &Device, enough: Duration) -> Option<()> {
    let fed = device.notes().into_iter().rev().find(|(_, note)| note.contains("WATCHDOG=1"));
    fed.is_some_and(|(at, _)| at.elapsed() > enough).then_some(())
}

#[test]
fn frames_that_cannot_be_scored_do_not_feed_the_watchdog() {
    let bench = Bench::new();
    let camera = bench.camera();
    // No fault is declared, however many frames are faulty.
    bench.config(&camera.source(), "");
    let start = |command: &mut Command| {
        with_watchdog(command);
        command.env("ODDSIGHT_QUALITY__BAD_FRAMES", "10000");
    };
    let mut device = Device::start(&bench, start).ready();
    device.wait_for("signs of life", |device| (device.count("WATCHDOG=1") > 1).then_some(()));
    camera.show(Show::Bytes(b"\xff\xd8\xff\xe0\x00\x04\x00\x00\xff\xd9".to_vec()));
    let sent = camera.sent();
    device.wait_for("the watchdog's end", |device| silence(device, WATCHDOG));
    assert!(camera.sent() > sent, "frames came");
    let fed = device.count("WATCHDOG=1");
    camera.show(Show::Normal);
    device.wait_for("signs of life", |device| (device.count("WATCHDOG=1") > fed).then_some(()));
    assert!(bench.messages().iter().all(|message| !is_unusual(message)));
}

#[test]
fn a_camera_that_is_away_is_no_reason_to_be_restarted() {
    let bench = Bench::new();
    let camera = bench.camera();
    bench.config(&camera.source(), "");
    let mut device = Device::start(&bench, with_watchdog).ready();
    device.wait_for("signs of life", |device| (device.count("WATCHDOG=1") > 1).then_some(()));
    camera.show(Show::Gone);
    device.fault(FaultKind::Lost);
    let fed = device.count("WATCHDOG=1");
    device.wait_for("more signs of life", |device| {
        (device.count("WATCHDOG=1") > fed + 5).then_some(())
    });
}

#[test]
fn a_camera_that_hangs_is_one() {
    let bench = Bench::new();
    let pipe = bench.path("pipe.tar");
    let (file, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from(0o600));
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, file, mode, 0).unwrap();
    // Opening it waits for somebody who writes, as the opening of a device may wait for ever.
    bench.config(&format!("tar:{}", pipe.display()), "");
    let mut device = Device::start(&bench, with_watchdog).ready();
    device.wait_for("a sign of life", |device| (device.count("WATCHDOG=1") > 0).then_some(()));
    device.wait_for("the watchdog's end", |device| silence(device, WATCHDOG));
    let ended = device.stop();
    assert_eq!(ended.code, Some(0));
    assert!(ended.said.contains("the camera does not close"), "{}", ended.said);
}

/// A listener that takes connections and never says a word.
fn black_hole() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming().flatten() {
            kept.push(stream);
        }
    });
    port
}

#[test]
fn a_stop_drains_for_two_seconds_whoever_hangs() {
    let bench = Bench::new();
    let camera = bench.camera();
    let deaf = bench.write(
        "deaf",
        format!(
            "#!/bin/sh\ntrap '' TERM\nwhile :; do cat {}; done\n",
            camera.source().rsplit(' ').next().unwrap()
        ),
    );
    let hole = black_hole();
    let hook = bench.write("hook", "#!/bin/sh\necho $$ > hook.pid\nsleep 1000 & wait\n");
    for script in [&deaf, &hook] {
        rustix::fs::chmod(script, rustix::fs::Mode::from(0o755)).unwrap();
    }
    let outlets = format!(
        "{lamp}[mqtt]\nurl = \"mqtt://127.0.0.1:{hole}\"\n[[webhook]]\nurl = \"http://127.0.0.1:{hole}/\"\n\
         timeout_ms = 60000\n[[hook]]\ncommand = [\"{hook}\"]\ntimeout_ms = 60000\n[evidence]\ndir = \"{dir}/evidence\"\n\
         free_mb = 0\n[http]\nlisten = \"127.0.0.1:0\"\n",
        lamp = bench.lamp_section(),
        hook = hook.display(),
        dir = bench.dir.path().display(),
    );
    bench.config(&format!("pipe:{}", deaf.display()), &outlets);
    let mut device = bench.start().ready();
    camera.show(Show::Unusual);
    let alarm = device.alarm();
    wait_for("the hook", || bench.path("hook.pid").exists().then_some(()));
    wait_for("the lamp", || (bench.lamp() == "high").then_some(()));
    device.signal(Signal::TERM);
    let told = Instant::now();
    let ended = device.ended();
    let took = told.elapsed();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(took.as_secs_f64() < 2.0 * load() + 0.2, "it took {took:?}, load {}", load());
    assert_eq!(bench.lamp(), "low");
    let messages = bench.messages();
    assert_whole(&messages);
    assert!(messages.iter().any(|m| m.event == alarm.event && m.phase == Phase::End));
    for name in ["hook", "webhook"] {
        let warned = format!("{name}: not everything could be delivered");
        assert!(ended.said.contains(&warned), "{name}: {}", ended.said);
    }
    // Nobody is left behind, whatever he thinks of SIGTERM.
    let pid: i32 = std::fs::read_to_string(bench.path("hook.pid")).unwrap().trim().parse().unwrap();
    wait_for("the end of the hook", || (!is_alive(pid)).then_some(()));
}

/// Whether there is such a process, and not only its remains.
fn is_alive(pid: i32) -> bool {
    let mut stat = String::new();
    let opened = std::fs::File::open(format!("/proc/{pid}/stat"));
    let read = opened.and_then(|mut file| file.read_to_string(&mut stat));
    read.is_ok() && !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z')
}

#[test]
fn a_later_signal_ends_it_at_once() {
    let bench = Bench::new();
    for n in 0..4 {
        bench.write(&format!("pictures/{n}.jpg"), &crate::scenes::scenes().unusual[n]);
    }
    let hook = "[[hook]]\ncommand = [\"/bin/sleep\", \"40\"]\ntimeout_ms = 600000\n";
    bench.config(&format!("dir:{}?once", bench.path("pictures").display()), hook);
    // The source ends, and the hook is waited for, a minute long.
    let mut device = bench.start().ready();
    device.wait_for("STOPPING=1", |device| (device.count("STOPPING=1") > 0).then_some(()));
    // It is patient with those of the first half second.
    for _ in 0..40 {
        device.signal(Signal::TERM);
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(device.ended().code, Some(1));
}

/// Some programs send a signal to a process, and then to its group.
#[test]
fn signals_that_come_together_are_one() {
    let bench = Bench::new();
    let camera = bench.camera();
    bench.config(&camera.source(), &bench.lamp_section());
    let device = bench.start().ready();
    for _ in 0..5 {
        device.signal(Signal::TERM);
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(device.ended().code, Some(0));
    assert_eq!(bench.lamp(), "low");
}

#[test]
fn what_a_killed_program_left_is_put_in_order() {
    let bench = Bench::new();
    let camera = bench.camera();
    bench.config(&camera.source(), &bench.lamp_section());
    let mut device = bench.start().ready();
    camera.show(Show::Unusual);
    let alarm = device.alarm();
    wait_for("the lamp", || (bench.lamp() == "high").then_some(()));
    device.kill();
    assert_eq!(bench.lamp(), "high");
    let said = success(&bench.command(&["gpio", "safe", "--config", "device.toml"]));
    assert!(said.contains("low"), "{said}");
    assert_eq!(bench.lamp(), "low");
    camera.show(Show::Normal);
    let mut device = bench.start().ready();
    let end = device.end_of(&alarm);
    assert!(end.seq > alarm.seq);
    camera.show(Show::Unusual);
    let next = device.message("another alarm", |m| is_unusual(m) && m.event != alarm.event);
    assert!(next.event.number() > alarm.event.number() && next.seq > end.seq);
    assert_eq!(device.stop().code, Some(0));
    assert_whole(&bench.messages());
}

#[test]
fn budgets_outlive_a_crash_and_the_journal() {
    let bench = Bench::new();
    let camera = bench.camera();
    bench.config(&camera.source(), &bench.lamp_section());
    let start = |command: &mut Command| {
        command.env("ODDSIGHT_ALARM__BUDGET_PER_DAY", "1");
    };
    let mut device = Device::start(&bench, start).ready();
    camera.show(Show::Unusual);
    let alarm = device.alarm();
    assert!(alarm.is_alarm());
    wait_for("the memo", || bench.path("journal/memo.json").exists().then_some(()));
    camera.show(Show::Normal);
    device.end_of(&alarm);
    // What the memo says of the end comes a second later at most.
    wait_for("the memo of the end", || {
        let memo = std::fs::read_to_string(bench.path("journal/memo.json")).unwrap();
        memo.contains("\"open\":[]").then_some(())
    });
    device.kill();
    for entry in std::fs::read_dir(bench.path("journal")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "jsonl") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let mut device = Device::start(&bench, start).ready();
    camera.show(Show::Unusual);
    let next = device.alarm();
    assert!(next.is_suppressed(), "{next:?}");
    assert!(next.event.number() > alarm.event.number() && next.seq > alarm.seq);
}

#[test]
fn a_reload_takes_what_is_live_and_names_what_is_not() {
    let bench = Bench::new();
    let camera = bench.camera();
    let path = bench.config(&camera.source(), "[http]\nlisten = \"127.0.0.1:0\"\n");
    let first = std::fs::read_to_string(&path).unwrap();
    let mut device = bench.start().ready();
    let mut reloads = 1;
    let mut reload = |device: &mut Device, text: &str| {
        std::fs::write(&path, text).unwrap();
        device.signal(Signal::HUP);
        reloads += 1;
        device.wait_for("a reload", |device| (device.count("READY=1") >= reloads).then_some(()));
    };

    // A file that is wrong changes nothing.
    reload(&mut device, &first.replace("raise = 2", "raise = 0\nrise = 2"));
    device.wait_until_said("the configuration stays as it was");
    assert!(device.said().contains("alarm.rise: unknown key"), "{}", device.said());
    camera.show(Show::Unusual);
    let alarm = device.alarm();
    camera.show(Show::Normal);
    device.end_of(&alarm);

    // Live: what needs a thousand frames is no alarm; drift is tested no more.
    assert_eq!(device.status()["drift"].as_array().unwrap().len(), 1);
    let patient = first.replace("raise = 2\nwindow = 3", "raise = 1000\nwindow = 1000");
    let patient = format!("{patient}[drift]\nenabled = false\n").replace("\"box\"", "\"other\"");
    device.mark();
    reload(&mut device, &patient);
    for line in ["alarm.raise: 2 becomes 1000", "drift.enabled: true becomes false"] {
        device.wait_until_said(line);
    }
    device.wait_until_said("device: \"box\" becomes \"other\" at the next start");
    camera.show(Show::Unusual);
    let sent = camera.sent();
    wait_for("some frames", || (camera.sent() > sent + 30).then_some(()));
    wait_for("no test of drift", || {
        device.status()["drift"].as_array().unwrap().is_empty().then_some(())
    });

    // And back.
    reload(&mut device, &first);
    let alarm = device.alarm();
    assert_eq!(alarm.device, "box");
    camera.show(Show::Normal);
    device.end_of(&alarm);

    // With an alpha that the model cannot honour, nothing else is taken either.
    let alpha = |alpha: &str| first.replace("[camera]", &format!("alpha = {alpha}\n[camera]"));
    device.mark();
    reload(&mut device, &alpha("0.001").replace("raise = 2", "raise = 3"));
    device.wait_until_said("model.alpha: alpha 0.001 cannot be honoured");
    assert!(!device.said().contains("alarm.raise: 2 becomes 3"), "{}", device.said());
    assert_eq!(device.status()["model"]["alpha"], 0.05);
    reload(&mut device, &alpha("0.04"));
    wait_for("another alpha", || (device.status()["model"]["alpha"] == 0.04).then_some(()));
    let ended = device.stop();
    assert_eq!(ended.code, Some(0));
    assert_eq!(
        bench.messages().iter().filter(|m| m.phase == Phase::Start && fault(m).is_none()).count(),
        2
    );
    assert_whole(&bench.messages());
}
