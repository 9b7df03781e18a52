//! `oddsight gpio` and `oddsight camera` as a user without a board sees them.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn oddsight(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oddsight"));
    command.args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn gpio_safe_makes_safe_what_it_can_and_names_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let (lamp, horn) = (dir.path().join("lamp"), dir.path().join("horn"));
    for path in [&lamp, &horn] {
        fs::write(path, "high\n").unwrap();
    }
    let config = dir.path().join("device.toml");
    let sim = |path: &Path| format!("[[gpio]]\nbackend = \"sim:{}\"\nline = 1\n", path.display());
    let broken =
        "[[gpio]]\nbackend = \"gpiocdev\"\nchip = \"/dev/no-chip\"\nline = 2\nsafe = \"low\"\n";
    let (lamp_at, horn_at) = (sim(&lamp), sim(&horn));
    let file =
        format!("[model]\noops =\n{broken}{lamp_at}safe = \"low\"\n{horn_at}safe = \"high\"\n");
    fs::write(&config, file).unwrap();
    let done = oddsight(&["gpio", "safe", "--config", config.to_str().unwrap()]);
    assert!(!done.status.success());
    assert!(stderr(&done).contains("oops"), "{}", stderr(&done));
    assert!(stderr(&done).contains("gpio.0: /dev/no-chip: no GPIO chip"), "{}", stderr(&done));
    assert_eq!((text(&lamp).as_str(), text(&horn).as_str()), ("low\n", "high\n"));
    assert!(stdout(&done).contains(": low\n") && stdout(&done).contains(": high\n"));
}

#[test]
fn gpio_set_says_what_the_line_reads() {
    let dir = tempfile::tempdir().unwrap();
    let backend = format!("sim:{}", dir.path().join("line").display());
    let set = oddsight(&["gpio", "set", "--backend", &backend, "--line", "0", "high"]);
    assert!(set.status.success(), "{}", stderr(&set));
    assert!(stdout(&set).ends_with("set high, reads high\n"), "{}", stdout(&set));
    let wrong = oddsight(&["gpio", "set", "--backend", "sysfs", "--line", "0", "high"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("sim:PATH"), "{}", stderr(&wrong));
}

#[test]
fn camera_grab_takes_frames_of_any_source() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("frames");
    let out = out.to_str().unwrap();
    let grabbed = oddsight(&["camera", "grab", "synth:1", "--frames", "3", "--out", out]);
    assert!(grabbed.status.success(), "{}", stderr(&grabbed));
    assert!(stdout(&grabbed).contains("\n3 frames, 0 faulty; "), "{}", stdout(&grabbed));
    let mut names: Vec<_> =
        fs::read_dir(out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["000000.png", "000001.png", "000002.png"]);
    // What was written is what was seen.
    let again = oddsight(&["camera", "grab", &format!("tar:{out}/000000.png")]);
    assert!(!again.status.success());
}

#[test]
fn a_camera_that_is_not_there_is_named() {
    let listed = oddsight(&["camera", "list"]);
    assert!(listed.status.success() && !listed.stdout.is_empty());
    let missing = oddsight(&["camera", "show", "/dev/video-none"]);
    assert!(!missing.status.success());
    let why = stderr(&missing);
    assert!(why.contains("/dev/video-none: no camera is there"), "{why}");
}
