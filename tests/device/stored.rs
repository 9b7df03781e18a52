//! Stored pictures: each is scored once.

use std::collections::BTreeMap;
use std::fs;

use oddsight::image::{Rgb, encode_png};

use crate::program::{Bench, failure, fault, is_unusual, success, wait_for};
use crate::scenes::scenes;

/// How often each picture was scored.
fn counts(bench: &Bench) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in bench.scores() {
        *counts.entry(line.name).or_default() += 1;
    }
    counts
}

fn put(bench: &Bench, count: usize) {
    for n in 0..count {
        let file = &scenes().normal[n % scenes().normal.len()];
        bench.write(&format!("pictures/{n:04}.jpg"), file);
    }
}

fn tar(bench: &Bench, name: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_dir_all("set", bench.path("pictures")).unwrap();
    let bytes = builder.into_inner().unwrap();
    bench.write(name, &bytes);
    bytes
}

#[test]
fn a_folder_and_a_tar_are_played_once() {
    for scheme in ["dir", "tar"] {
        let bench = Bench::new();
        put(&bench, 60);
        bench.write("pictures/0007b.jpg", "no picture");
        tar(&bench, "set.tar");
        let source = match scheme {
            "dir" => format!("dir:{}?once", bench.path("pictures").display()),
            _ => format!("tar:{}", bench.path("set.tar").display()),
        };
        bench.config(&source, "");
        let ended = bench.start().ended();
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        let counts = counts(&bench);
        assert_eq!(counts.len(), 60, "{scheme}: {counts:?}");
        assert!(counts.values().all(|count| *count == 1), "{scheme}: {counts:?}");
    }
}

#[test]
fn no_score_of_many_pictures_is_lost() {
    const PICTURES: usize = 20_000;
    let bench = Bench::new();
    // Small, so that they come faster than a camera's.
    let mut builder = tar::Builder::new(Vec::new());
    for n in 0..PICTURES {
        let pixels = (0..16 * 16 * 3).map(|i| ((i * 7 + n * 13) % 200) as u8 + 20).collect();
        let png = encode_png(&Rgb { width: 16, height: 16, pixels });
        let mut header = tar::Header::new_gnu();
        header.set_size(png.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, format!("{n:05}.png"), png.as_slice()).unwrap();
    }
    bench.write("set.tar", builder.into_inner().unwrap());
    bench.config(&format!("tar:{}", bench.path("set.tar").display()), "");
    let ended = bench.start().ended();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let counts = counts(&bench);
    assert_eq!(counts.len(), PICTURES);
    assert!(counts.values().all(|count| *count == 1));
}

#[test]
fn new_files_of_a_folder_are_scored_once() {
    let bench = Bench::new();
    put(&bench, 5);
    bench.config(
        &format!("dir:{}", bench.path("pictures").display()),
        "[http]\nlisten = \"127.0.0.1:0\"\n",
    );
    let mut device = bench.start().ready();
    let scored = |device: &mut crate::program::Device| {
        device.status()["scoring"]["last_hour_frames"].as_u64().unwrap()
    };
    wait_for("the old ones", || (scored(&mut device) == 5).then_some(()));
    for n in 5..40 {
        let file = &scenes().normal[n % scenes().normal.len()];
        if n % 2 == 0 {
            bench.write(&format!("pictures/{n:04}.jpg"), file);
        } else {
            let half = bench.write(&format!("coming/{n}"), file);
            fs::rename(half, bench.path(&format!("pictures/{n:04}.jpg"))).unwrap();
        }
    }
    wait_for("the new ones", || (scored(&mut device) >= 40).then_some(()));
    assert_eq!(device.stop().code, Some(0));
    let counts = counts(&bench);
    assert_eq!(counts.len(), 40, "{counts:?}");
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
}

#[test]
fn a_source_that_cannot_be_read_to_its_end_is_an_error() {
    let bench = Bench::new();
    put(&bench, 20);
    let whole = tar(&bench, "set.tar");
    bench.write("cut.tar", &whole[..whole.len() * 2 / 3]);
    for (source, why) in [
        (format!("tar:{}", bench.path("cut.tar").display()), "cut off"),
        (format!("dir:{}?once", bench.path("nowhere").display()), "nowhere"),
        (format!("tar:{}", bench.path("nowhere.tar").display()), "nowhere.tar"),
    ] {
        bench.config(&source, "");
        let ended = bench.start().ended();
        assert_eq!(ended.code, Some(1), "{source}: {}", ended.said);
        assert!(ended.said.contains("error: ") && ended.said.contains(why), "{}", ended.said);
    }
    let messages = bench.messages();
    assert_eq!(messages.iter().filter(|message| fault(message).is_some()).count(), 6);
    // What is whole of a tar is scored.
    assert!(counts(&bench).len() > 8);
}

#[test]
fn a_journal_and_pictures_are_replayed() {
    let bench = Bench::new();
    let [normal, unusual] = [&scenes().normal, &scenes().unusual];
    for n in 0..40 {
        let file = if (10..15).contains(&n) { &unusual[n % 4] } else { &normal[n % 8] };
        bench.write(&format!("pictures/{n:04}.jpg"), file);
    }
    bench.config(&format!("dir:{}?once", bench.path("pictures").display()), "");
    assert_eq!(bench.start().ended().code, Some(0));
    assert_eq!(bench.messages().iter().filter(|m| is_unusual(m)).count(), 2, "start and end");

    let replay = |args: &[&str]| success(&bench.command(&[&["replay"], args].concat()));
    let text = replay(&["journal", "--alpha", "0.05", "--config", "device.toml"]);
    assert!(text.contains("40 frames of 1 region") && text.contains("5 flagged"), "{text}");
    assert!(text.contains("1 alarm"), "{text}");
    let json = replay(&["journal", "--alpha", "0.05,0.001", "--config", "device.toml", "--json"]);
    let lines: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["alarms"], &lines[0]["flagged"]), (&1.into(), &5.into()), "{json}");
    assert_eq!((&lines[1]["alarms"], &lines[1]["flagged"]), (&0.into(), &0.into()), "{json}");
    assert_eq!(lines[0]["events"][0]["unusual"]["region"], "frame");

    let pictures = [
        "pictures", "--model", "model", "--fps", "10", "--alpha", "0.05", "--raise", "2",
        "--window", "3",
    ];
    let text = replay(&pictures);
    assert!(text.contains("40 frames") && text.contains("5 flagged"), "{text}");
    assert!(text.contains("1 alarm"), "{text}");

    // A line that was altered is passed over, and said.
    let segment = bench.path("journal/00000001.jsonl");
    let damaged = fs::read_to_string(&segment).unwrap().replacen("\"p_value\":", "\"p_valve\":", 1);
    fs::write(&segment, damaged).unwrap();
    let output = bench.command(&["replay", "journal", "--alpha", "0.05"]);
    assert!(success(&output).contains("39 frames"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("1 torn or altered"), "{said}");

    let (code, why) = failure(&bench.command(&["replay", "pictures", "--alpha", "0.05"]));
    assert_eq!(code, Some(1));
    assert!(why.contains("--model DIR"), "{why}");
    let (_, why) = failure(&bench.command(&["replay", "nowhere", "--alpha", "0.05"]));
    assert!(why.contains("nowhere"), "{why}");
}
