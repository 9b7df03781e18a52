use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::event::{Fault, FaultKind, Machine, Unusual};

/// A sink on a file, and what the file holds.
struct Bench {
    dir: tempfile::TempDir,
    sink: Option<GpioSink>,
}

impl Bench {
    fn new(change: impl FnOnce(&mut GpioSettings)) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = GpioSettings {
            backend: Backend::Sim(dir.path().join("line")),
            ..GpioSettings::default()
        };
        change(&mut settings);
        Bench { dir, sink: Some(GpioSink::open(settings).unwrap()) }
    }

    fn sink(&mut self) -> &mut GpioSink {
        self.sink.as_mut().unwrap()
    }

    fn level(&self) -> Level {
        level_in(&self.dir.path().join("line"))
    }

    fn tick(&mut self, mono_ms: u64) -> Duration {
        self.sink().tick(Stamp { mono_ms, ..Stamp::default() })
    }

    fn deliver(&mut self, message: Message) {
        self.sink().deliver(&Item::Message(Arc::new(message))).unwrap();
    }
}

fn level_in(path: &Path) -> Level {
    std::fs::read_to_string(path).unwrap().trim().parse().unwrap()
}

fn message(event: u64, phase: Phase, cause: Cause) -> Message {
    Message {
        event: EventId::new(event),
        phase,
        seq: 0,
        boot_id: "boot".into(),
        at: Stamp::default(),
        started_ms: 0,
        device: "device".into(),
        cause,
        machine: Machine::default(),
    }
}

fn unusual(event: u64, phase: Phase, region: &str) -> Message {
    let cause = Cause::Unusual(Unusual {
        region: region.into(),
        frames: 1,
        unusual_frames: 1,
        energy: 1.0,
        p_value: 0.01,
        peak_energy: 1.0,
        peak_p_value: 0.01,
        suppressed: false,
        nearest: None,
    });
    message(event, phase, cause)
}

fn fault(event: u64, phase: Phase) -> Message {
    let fault = Fault { fault: FaultKind::Lost, why: "gone".into(), count: 1 };
    message(event, phase, Cause::CameraFault(fault))
}

#[test]
fn the_line_follows_the_event() {
    let mut bench = Bench::new(|_| {});
    assert_eq!(bench.level(), Level::Low);
    bench.deliver(unusual(1, Phase::Start, "a"));
    assert_eq!(bench.level(), Level::High);
    bench.deliver(unusual(1, Phase::Update, "a"));
    bench.deliver(unusual(2, Phase::Start, "b"));
    bench.deliver(unusual(1, Phase::End, "a"));
    assert_eq!(bench.level(), Level::High, "the other region still alarms");
    bench.deliver(unusual(2, Phase::End, "b"));
    assert_eq!(bench.level(), Level::Low);
}

#[test]
fn an_end_that_was_dropped_is_made_up_for() {
    let mut bench = Bench::new(|_| {});
    bench.deliver(unusual(1, Phase::Start, "a"));
    bench.deliver(unusual(2, Phase::Start, "a"));
    bench.deliver(unusual(2, Phase::End, "a"));
    assert_eq!(bench.level(), Level::Low);
}

#[test]
fn only_what_is_asked_for_is_shown() {
    let mut bench = Bench::new(|settings| settings.on = vec![Trigger::CameraFault]);
    bench.deliver(unusual(1, Phase::Start, "a"));
    assert_eq!(bench.level(), Level::Low);
    bench.deliver(fault(2, Phase::Start));
    assert_eq!(bench.level(), Level::High);
    bench.deliver(fault(2, Phase::End));
    assert_eq!(bench.level(), Level::Low);
}

#[test]
fn a_relay_that_falls_when_the_watcher_dies() {
    let mut bench =
        Bench::new(|settings| (settings.active, settings.safe) = (Level::Low, Level::Low));
    assert_eq!(bench.level(), Level::Low, "nobody is in charge yet");
    bench.tick(0);
    assert_eq!(bench.level(), Level::High, "no alarm");
    bench.deliver(unusual(1, Phase::Start, "a"));
    assert_eq!(bench.level(), Level::Low, "alarm");
    bench.deliver(unusual(1, Phase::End, "a"));
    assert_eq!(bench.level(), Level::High);
    // Dropped without close, as by a panic.
    bench.sink = None;
    assert_eq!(bench.level(), Level::Low);
}

#[test]
fn a_pulse_has_its_length_and_an_end() {
    let mut bench = Bench::new(|settings| (settings.mode, settings.pulse_ms) = (Mode::Pulse, 250));
    bench.tick(1000);
    bench.deliver(unusual(1, Phase::Start, "a"));
    assert_eq!(bench.level(), Level::High);
    assert!(bench.tick(1010) <= Duration::from_millis(100));
    bench.deliver(unusual(1, Phase::Update, "a"));
    bench.tick(1259);
    assert_eq!(bench.level(), Level::High, "an update does not end or lengthen it");
    bench.tick(1260);
    assert_eq!(bench.level(), Level::Low);
    bench.deliver(unusual(1, Phase::Update, "a"));
    assert_eq!(bench.level(), Level::Low);
    bench.deliver(unusual(1, Phase::End, "a"));
    bench.deliver(unusual(2, Phase::Start, "a"));
    assert_eq!(bench.level(), Level::High, "the next event has its own");
    bench.tick(u64::MAX);
    bench.tick(u64::MAX);
    assert_eq!(bench.level(), Level::Low);
}

#[test]
fn a_line_that_came_back_shows_what_is_now() {
    let mut bench = Bench::new(|_| {});
    let away = bench.dir.path().join("away");
    let path = bench.dir.path().to_path_buf();
    // The file cannot be replaced where a folder has its temporary name.
    std::fs::create_dir(path.join("line.new")).unwrap();
    let start = Item::Message(Arc::new(unusual(1, Phase::Start, "a")));
    let why = bench.sink().deliver(&start).unwrap_err();
    assert!(why.is_passing());
    std::fs::rename(path.join("line.new"), away).unwrap();
    bench.tick(0);
    assert_eq!(bench.level(), Level::High);
}

#[test]
fn after_the_end_the_line_is_safe() {
    let mut bench = Bench::new(|settings| settings.safe = Level::High);
    bench.tick(0);
    assert_eq!(bench.level(), Level::Low);
    bench.sink().close();
    assert_eq!(bench.level(), Level::High);
    let settings = GpioSettings { safe: Level::Low, ..bench.sink().settings.clone() };
    assert!(settings.make_safe().unwrap());
    assert_eq!(bench.level(), Level::Low);
}
