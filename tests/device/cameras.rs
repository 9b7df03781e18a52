//! Cameras that misbehave: each trouble is said as what it is, and none of it is an unusual scene.

use std::process::Command;

use oddsight::event::{FaultKind, Phase};
use oddsight::image::{Rgb, encode_png};

use crate::camera::{Camera, Show};
use crate::program::{Bench, Device, assert_whole, fault, is_unusual, wait_for};
use crate::scenes::{grey, scenes};

/// Shows something until it is a fault of this kind, and then normal frames until the fault is over.
fn trouble(device: &mut Device, camera: &Camera, show: Show, kind: FaultKind) {
    device.mark();
    camera.show(show);
    let start = device.message(&format!("{kind:?}"), |message| fault(message) == Some(kind));
    camera.show(Show::Normal);
    device.end_of(&start);
}

/// Nothing was unusual, everything that began has ended, and it ends in order.
fn finish(bench: &Bench, device: Device) {
    let ended = device.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(!ended.said.contains("panicked"), "{}", ended.said);
    let messages = bench.messages();
    assert!(messages.iter().all(|message| !is_unusual(message)), "{messages:?}");
    assert_whole(&messages);
}

#[test]
fn a_camera_that_is_lost_is_found_again() {
    let bench = Bench::new();
    let camera = bench.camera();
    bench.config(&camera.source(), "");
    let mut device = bench.start().ready();
    for _ in 0..3 {
        trouble(&mut device, &camera, Show::Gone, FaultKind::Lost);
    }
    finish(&bench, device);
}

#[test]
fn a_program_that_dies_after_some_frames_is_started_again_and_again() {
    let bench = Bench::new();
    for (n, file) in scenes().normal.iter().enumerate() {
        bench.write(&format!("frames/{n}.jpg"), file);
    }
    let script = "#!/bin/sh\nfor n in 0 1 2 3 4 5 6 7; do cat frames/$n.jpg; sleep 0.05; done\n\
                  echo out of film >&2\nexit 3\n";
    let script = bench.write("camera", script);
    rustix::fs::chmod(&script, rustix::fs::Mode::from(0o755)).unwrap();
    bench.config(&format!("pipe:{}", script.display()), "");
    let mut device = bench.start().ready();
    let start = device.fault(FaultKind::Lost);
    let why = serde_json::to_string(&start).unwrap();
    assert!(why.contains("exit status: 3") && why.contains("out of film"), "{why}");
    let mut first =
        device.message("frames between", |m| fault(m).is_some() && m.phase == Phase::End);
    for _ in 0..2 {
        device.mark();
        let next = device.fault(FaultKind::Lost);
        assert!(next.event.number() > first.event.number());
        first = next;
    }
    finish(&bench, device);
}

#[test]
fn a_camera_that_stalls_is_opened_again() {
    let bench = Bench::new();
    let camera = bench.camera();
    bench.config(&camera.source(), "");
    let mut device = bench.start().ready();
    wait_for("some frames", || (camera.sent() > 10).then_some(()));
    trouble(&mut device, &camera, Show::Silence, FaultKind::Stalled);
    finish(&bench, device);
}

#[test]
fn frames_that_show_nothing_are_faults() {
    let bench = Bench::new();
    let camera = bench.camera();
    bench.config(&camera.source(), "");
    let mut device = bench.start().ready();
    wait_for("some frames", || (camera.sent() > 10).then_some(()));
    let whole = &scenes().normal[0];
    let cut = whole[..whole.len() / 2].to_vec();
    for (show, kind) in [
        (Show::grey([3, 5]), FaultKind::Black),
        (Show::grey([252, 254]), FaultKind::Saturated),
        (Show::Files(vec![whole.clone()]), FaultKind::Frozen),
        (Show::Files(vec![cut]), FaultKind::Truncated),
        (Show::Bytes(b"\xff\xd8\xff\xe0\x00\x04\x00\x00\xff\xd9".to_vec()), FaultKind::Undecodable),
        (Show::Files(vec![grey([40, 40], 90), grey([40, 40], 99)]), FaultKind::WrongSize),
    ] {
        trouble(&mut device, &camera, show, kind);
    }
    finish(&bench, device);
}

#[test]
fn a_camera_that_hangs_on_one_picture_is_opened_again() {
    let bench = Bench::new();
    // It shows one picture for ever, until it is started again.
    bench.write("a.jpg", &scenes().normal[0]);
    bench.write("b.jpg", &scenes().normal[1]);
    let script = "#!/bin/sh\necho start >> starts\nif [ $(wc -l < starts) -gt 1 ]; then b=b.jpg; else b=a.jpg; fi\n\
                  while :; do cat a.jpg; sleep 0.02; cat $b; sleep 0.02; done\n";
    let script = bench.write("camera", script);
    rustix::fs::chmod(&script, rustix::fs::Mode::from(0o755)).unwrap();
    bench.config(&format!("pipe:{}", script.display()), "");
    // Ten times as long is waited for frames that show something.
    let start = |command: &mut Command| {
        command.env("ODDSIGHT_CAMERA__STALL_MS", "500");
    };
    let mut device = Device::start(&bench, start).ready();
    let start = device.fault(FaultKind::Frozen);
    device.end_of(&start);
    let starts = std::fs::read_to_string(bench.path("starts")).unwrap();
    assert!(starts.lines().count() > 1, "{starts}");
    finish(&bench, device);
}

#[test]
fn a_flood_without_a_picture_holds_up_nothing() {
    let bench = Bench::new();
    bench.config("pipe:yes this is no picture", "[http]\nlisten = \"127.0.0.1:0\"\n");
    let mut device = bench.start().ready();
    let start = device.message("a fault", |message| fault(message).is_some());
    assert!(
        matches!(fault(&start), Some(FaultKind::Undecodable | FaultKind::Stalled)),
        "{start:?}"
    );
    assert_eq!(device.get("/healthz").0, 200, "not yet blind");
    finish(&bench, device);
}

#[test]
fn frames_smaller_than_the_tiles_are_scored() {
    let bench = Bench::new();
    // Tiles share alpha: 0.05 for 1 of 8 wants a calibration of 159 frames, and the model has 200.
    let region = "[[region]]\nname = \"corner\"\nat = [0.99, 0.99, 0.01, 0.01]\ntiles = [4, 2]\n";
    for n in 0..4u8 {
        let picture = Rgb { width: 1, height: 1, pixels: vec![60 + n; 3] };
        bench.write(&format!("pictures/{n}.png"), encode_png(&picture));
    }
    bench.config(&format!("dir:{}?once", bench.path("pictures").display()), region);
    let ended = bench.start().ended();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!(bench.scores().len(), 4);
}

#[test]
fn injected_faults_of_all_kinds_are_survived() {
    let bench = Bench::new();
    let camera = bench.camera();
    bench.config(&camera.source(), "");
    let faults = "drop=0.1,corrupt=0.1,truncate=0.1,freeze=0.02,stall=0.005,disconnect=0.03,seed=7";
    let start = |command: &mut Command| {
        command.args(["--faults", faults]);
    };
    let mut device = Device::start(&bench, start).ready();
    for kind in [FaultKind::Lost, FaultKind::Truncated] {
        device.message("a fault", |message| fault(message) == Some(kind));
    }
    let sent = camera.sent();
    wait_for("more frames", || (camera.sent() > sent + 50).then_some(()));
    let ended = device.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(!ended.said.contains("panicked"), "{}", ended.said);
    // A corrupted frame may well be unusual; what begins ends.
    assert_whole(&bench.messages());
}
