//! Learning on the device.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use oddsight::image::{Rgb, encode_png};
use oddsight::model::self_test::picture;
use oddsight::model::store::Store;
use oddsight::model::{BACKBONE_FILE, HEADS_FILE};
use oddsight::random::Random;
use rustix::process::Signal;
use serde_json::Value;

use crate::camera::Show;
use crate::program::{Bench, Device, failure, success, wait_for};
use crate::scenes::jpeg;
use crate::{directory, tiny};

/// A scene under a light that changes, with noise.
fn scene(seed: u64, gain: f64, random: &mut Random) -> Rgb {
    let mut scene = picture(seed, [tiny::SIDE; 2]);
    let light = gain * random.range(0.9, 1.1);
    for pixel in &mut scene.pixels {
        *pixel = (f64::from(*pixel) * light + random.range(-8.0, 8.0)).clamp(0.0, 255.0) as u8;
    }
    scene
}

/// A bench whose model has a head of every kind.
fn bench() -> Bench {
    let bench = Bench::new();
    let onnx = tiny::onnx(tiny::Tail::Legacy);
    let blob = directory::blob(&onnx, &directory::every_head(tiny::WIDTH));
    fs::write(bench.model.join(HEADS_FILE), blob.to_bytes()).unwrap();
    fs::remove_file(bench.model.join("manifest.json")).unwrap();
    bench
}

/// A folder of pictures of the scene.
fn folder(bench: &Bench, name: &str, gain: f64, count: u64) -> PathBuf {
    let mut random = Random::new(count);
    for n in 0..count {
        let png = encode_png(&scene(7, gain, &mut random));
        bench.write(&format!("{name}/{n:04}.png"), png);
    }
    bench.path(name)
}

/// Learns from the folder `taught`.
pub fn learn_taught(out: &str) -> [&str; 7] {
    ["learn", "--model", "model", "--source", "dir:taught?once", "--out", out]
}

/// Share of the pictures of a folder that a model calls unusual.
fn flagged(bench: &Bench, model: &str, folder: &str) -> f64 {
    let text = success(&bench.command(&["score", "--model", model, "--json", folder]));
    let verdicts =
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["unusual"] == true);
    let verdicts: Vec<bool> = verdicts.collect();
    verdicts.iter().filter(|unusual| **unusual).count() as f64 / verdicts.len() as f64
}

#[test]
fn a_folder_is_learnt_and_another_light_is_unusual() {
    let bench = bench();
    folder(&bench, "taught", 1.0, 900);
    folder(&bench, "same", 1.0, 200);
    folder(&bench, "dark", 0.4, 100);
    let said = success(&bench.command(&[
        "learn",
        "--model",
        "model",
        "--source",
        "dir:taught?once",
        "--minutes",
        "5",
        "--out",
        "learnt",
    ]));
    assert!(said.contains("fitted to 600 frames, calibrated with 300"), "{said}");
    // 200 frames at alpha 0.05, of a threshold that 300 frames gave: 10 ± 4.
    let same = flagged(&bench, "learnt", "same");
    assert!(same < 0.15, "{same} of the same scene");
    let dark = flagged(&bench, "learnt", "dark");
    assert!(dark > 0.95, "{dark} of the dark scene");
    success(&bench.command(&["inspect", "learnt"]));
    success(&bench.command(&["model", "install", "learnt", "--store", "store"]));
    // Over the old one, and over the base itself.
    for out in ["learnt", "model"] {
        success(&bench.command(&learn_taught(out)));
    }
    let mut left: Vec<String> = fs::read_dir(bench.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    left.sort();
    assert_eq!(left, ["dark", "learnt", "model", "same", "store", "taught"]);
}

#[test]
fn what_cannot_be_learnt_is_explained_and_nothing_is_written() {
    let bench = bench();
    folder(&bench, "few", 1.0, 40);
    for n in 0..300 {
        let png = encode_png(&picture(7, [tiny::SIDE; 2]));
        bench.write(&format!("same/{n:04}.png"), png);
    }
    bench.write("broken/1.png", "no picture");
    bench.write("taken/file", "of somebody else");
    let learn = |source: &str, more: &[&str]| {
        let args = ["learn", "--model", "model", "--source", source, "--minutes", "0.05"];
        let (code, why) = failure(&bench.command(&[&args, more].concat()));
        assert_eq!(code, Some(1));
        assert!(!bench.path("learnt").exists());
        why
    };
    let out = ["--out", "learnt"];
    let why = learn("dir:few?once", &out);
    assert!(why.contains("20 to calibrate with") || why.contains("40 frames"), "{why}");
    assert!(why.contains("minutes"), "{why}");
    assert!(learn("dir:same?once", &out).contains("the same"));
    let why = learn("dir:broken?once", &out);
    assert!(why.contains("no frame was seen") && why.contains("1.png"), "{why}");
    assert!(learn("dir:nowhere?once", &out).contains("nowhere"));
    assert!(learn("pipe:false", &out).contains("no frame was seen"));
    assert!(learn("dir:few?once", &["--out", "taken"]).contains("choose another --out"));
    let usage = bench.command(&["learn", "--model", "model", "--source", "x", "--out", "learnt"]);
    assert_eq!(usage.status.code(), Some(2));
}

/// Waits until a camera of the scene was watched and learnt from.
#[test]
fn a_running_device_learns_when_it_is_told_to() {
    let bench = bench();
    success(&bench.command(&["model", "install", "model", "--store", "store"]));
    let bench = Bench { model: bench.path("store"), ..bench };
    let camera = bench.camera();
    let mut random = Random::new(5);
    let normal: Vec<Vec<u8>> = (0..400).map(|_| jpeg(&scene(7, 1.0, &mut random))).collect();
    camera.show(Show::Files(normal));
    let more = format!(
        "[learn]\ndir = \"{}\"\nminutes = 0.1\n[http]\nlisten = \"127.0.0.1:0\"\n",
        bench.path("learnt").display()
    );
    bench.config(&camera.source(), &more);
    // What an earlier day left, and what a person put there.
    for name in ["learnt-2026-01-01T000000.000Z", "learnt-by-hand"] {
        bench.write(&format!("learnt/{name}/{BACKBONE_FILE}"), "old");
    }
    let mut device = bench.start().ready();
    let start = camera.sent();
    wait_for("some frames", || (camera.sent() > start + 10).then_some(()));
    device.signal(Signal::USR1);
    device.wait_until_said("learning for 0.1 minutes");
    device.signal(Signal::USR1);
    device.wait_until_said("learning goes on already");
    device.wait_for("progress", |device| {
        device.notes().iter().any(|(_, note)| note.contains("STATUS=learning: ")).then_some(())
    });
    wait_for("progress on the page", || {
        device.get("/healthz").1.contains("\"learning: ").then_some(())
    });
    device.wait_until_said("from now on with");
    let status = device.status();
    assert!(status["model"]["name"].as_str().unwrap().ends_with("model 2"), "{status}");
    let store = Store::at(&bench.model);
    assert_eq!(
        (store.current().unwrap().number, store.previous().unwrap().unwrap().number),
        (2, 1)
    );
    let kept: Vec<String> = fs::read_dir(bench.path("learnt"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(kept.len(), 2, "the newest, and what is not ours: {kept:?}");
    assert!(kept.contains(&"learnt-by-hand".to_string()), "{kept:?}");
    // A dark scene is unusual to it.
    let dark = (0..50).map(|_| jpeg(&scene(7, 0.4, &mut random))).collect();
    device.mark();
    camera.show(Show::Files(dark));
    device.alarm();

    // While it learns again, another model comes into use: what was seen through the old one is of no use.
    device.signal(Signal::USR1);
    device.wait_for("learning again", |device| {
        (device.said().matches("learning for 0.1 minutes").count() > 1).then_some(())
    });
    success(&bench.command(&["model", "back", "--store", "store"]));
    device.wait_for("the end of learning", |device| {
        let said = device.said();
        let aborted = said.contains("nothing was learnt: another model came into use");
        (aborted || store.current().unwrap().number > 2).then_some(())
    });
    assert_eq!(device.stop().code, Some(0));
}

#[test]
fn a_device_that_cannot_learn_goes_on_as_it_was() {
    let bench = bench();
    let camera = bench.camera();
    bench.config(&camera.source(), "");
    let mut device = bench.start().ready();
    device.signal(Signal::USR1);
    device.wait_until_said("nothing is learnt: learn.dir");
    assert_eq!(device.stop().code, Some(0));

    // One frame again and again, which has no spread.
    camera.show(Show::Files(vec![jpeg(&scene(7, 1.0, &mut Random::new(1)))]));
    let more = format!("[learn]\ndir = \"{}\"\nminutes = 0.1\n", bench.path("learnt").display());
    bench.config(&camera.source(), &more);
    let start = |command: &mut Command| {
        command.env("ODDSIGHT_QUALITY__FROZEN_FRAMES", "0");
    };
    let mut device = Device::start(&bench, start).ready();
    device.signal(Signal::USR1);
    device.wait_until_said("nothing was learnt: ");
    assert!(device.said().contains("the same"), "{}", device.said());
    assert!(
        !bench.path("learnt").exists() || fs::read_dir(bench.path("learnt")).unwrap().count() == 0
    );
    assert_eq!(device.stop().code, Some(0));
}
