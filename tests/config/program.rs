//! `oddsight config` and `oddsight completions`, as commands.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use oddsight::config::INIT;

use super::LEAST;

fn run(dir: &Path, args: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oddsight"));
    command.current_dir(dir).args(args).env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC");
    command.envs(variables.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn init_writes_a_file_that_passes_and_leaves_an_old_one_alone() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(dir.path(), &["config", "init"], &[]);
    assert!(output.status.success());
    assert_eq!(text(&output.stdout), INIT);
    let output = run(dir.path(), &["config", "init", "--out", "device.toml"], &[]);
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output.stdout).contains("oddsight config check device.toml"));
    assert_eq!(fs::read_to_string(dir.path().join("device.toml")).unwrap(), INIT);
    fs::write(dir.path().join("device.toml"), "mine").unwrap();
    let output = run(dir.path(), &["config", "init", "--out", "device.toml"], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("device.toml: exists already"), "{output:?}");
    assert_eq!(fs::read_to_string(dir.path().join("device.toml")).unwrap(), "mine");
    let output = run(dir.path(), &["config", "init", "--out", "nowhere/device.toml"], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("nowhere/device.toml: "), "{output:?}");
}

#[test]
fn init_knows_the_boards() {
    let dir = tempfile::tempdir().unwrap();
    for board in ["pi-zero-2", "pi-3", "pi-4", "pi-5", "jetson-nano", "jetson-orin"] {
        let output = run(dir.path(), &["config", "init", "--board", board], &[]);
        assert!(output.status.success() && !output.stdout.is_empty(), "{output:?}");
        fs::write(dir.path().join("board.toml"), &output.stdout).unwrap();
        let output = run(dir.path(), &["config", "check", "board.toml"], &[]);
        assert!(output.status.success() && output.stderr.is_empty(), "{board}: {output:?}");
    }
    let output = run(dir.path(), &["config", "init", "--board", "pi-9"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("pi-zero-2"), "{output:?}");
}

#[test]
fn check_ends_with_78_and_names_everything() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("good.toml"), LEAST).unwrap();
    fs::write(dir.path().join("bad.toml"), format!("{LEAST}[alarm]\nrise = 3\nraise = 0\n"))
        .unwrap();
    fs::write(dir.path().join("latin.toml"), b"# caf\xe9\n").unwrap();
    fs::write(dir.path().join("large.toml"), "#".repeat(1 << 20)).unwrap();
    fs::create_dir(dir.path().join("folder.toml")).unwrap();
    let output = run(dir.path(), &["config", "check", "good.toml"], &[]);
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output.stdout).starts_with("good.toml: ok: synth camera, 1 region, no outlet"));
    assert!(
        text(&output.stderr).starts_with("warning: good.toml:4:10: camera.source: "),
        "{output:?}"
    );
    let files = ["bad.toml", "latin.toml", "large.toml", "folder.toml", "none.toml", "good.toml"];
    let output = run(dir.path(), &[&["config", "check"], &files[..]].concat(), &[]);
    assert_eq!(output.status.code(), Some(78));
    let why = text(&output.stderr);
    for part in [
        "error: bad.toml:6:1: alarm.rise: unknown key in [alarm]; did you mean `raise`?\n     6 | rise = 3\n       | ^^^^\n",
        "error: bad.toml:7:9: alarm.raise: 0 frames is out of range: 1 to 1000 frames\n",
        "error: bad.toml: 2 problems\n",
        "error: latin.toml:1:6: this is no text in UTF-8",
        "error: large.toml: more than 256 kB",
        "error: folder.toml: this is a folder",
        "error: none.toml: there is no such file; `oddsight config init --out none.toml` writes one",
    ] {
        assert!(why.contains(part), "{part}\n{why}");
    }
    assert!(text(&output.stdout).contains("good.toml: ok"));
    let output =
        run(dir.path(), &["config", "check", "good.toml"], &[("ODDSIGHT_ALARM__RAISE", "9")]);
    assert_eq!(output.status.code(), Some(78));
    assert!(
        text(&output.stderr).starts_with("error: environment: ODDSIGHT_ALARM__RAISE: "),
        "{output:?}"
    );
}

#[test]
fn show_says_where_each_value_comes_from() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("my.toml"), LEAST).unwrap();
    let output =
        run(dir.path(), &["config", "show", "my.toml"], &[("ODDSIGHT_LOG__LEVEL", "warn")]);
    assert!(output.status.success(), "{output:?}");
    let shown = text(&output.stdout);
    for (start, end) in
        [("dir = \"/m\"", "# my.toml:2"), ("level = \"warn\"", "# ODDSIGHT_LOG__LEVEL")]
    {
        assert!(shown.lines().any(|l| l.starts_with(start) && l.ends_with(end)), "{shown}");
    }
    fs::write(dir.path().join("again.toml"), &shown).unwrap();
    assert!(run(dir.path(), &["config", "check", "again.toml"], &[]).status.success());
    let output = run(dir.path(), &["config", "show", "none.toml"], &[]);
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn shells_learn_every_command() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(dir.path(), &["completions", shell], &[]);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let script = text(&output.stdout);
        assert!(script.contains("completions") && script.contains("config"), "{shell}");
    }
    let syntax = Command::new("bash")
        .arg("-n")
        .arg("/dev/stdin")
        .stdin(std::process::Stdio::piped())
        .spawn();
    if let Ok(mut bash) = syntax {
        let script = run(dir.path(), &["completions", "bash"], &[]).stdout;
        std::io::Write::write_all(&mut bash.stdin.take().unwrap(), &script).unwrap();
        assert!(bash.wait().unwrap().success());
    }
}
