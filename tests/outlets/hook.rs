//! The command hook with commands of all kinds.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use oddsight::sink::hook::{HookSettings, HookSink};
use oddsight::sink::{Item, Sink as _, SinkError};

use crate::item;

/// A hook of a shell script, whose first argument is a folder.
fn shell(script: &str, dir: &Path, timeout_ms: u64) -> HookSink {
    let command = ["/bin/sh", "-c", script, "hook", dir.to_str().unwrap()].map(str::to_string);
    let settings = HookSettings { timeout_ms, ..HookSettings::new(command.to_vec()) };
    HookSink::new("hook", settings).unwrap()
}

/// Long enough for any machine; only a test that fails waits for it.
const LONG_MS: u64 = 60_000;

fn run(script: &str, timeout_ms: u64) -> Result<(), SinkError> {
    let dir = tempfile::tempdir().unwrap();
    shell(script, dir.path(), timeout_ms).deliver(&item(1, "start", 0))
}

/// Whether the process does anything yet; one that only waits to be reaped does not.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    !matches!(state, None | Some("Z" | "X"))
}

#[test]
fn a_hook_gets_the_message_on_its_input_and_in_its_environment() {
    let dir = tempfile::tempdir().unwrap();
    let mut hook = shell("cat > $1/input; env > $1/environment; echo done", dir.path(), LONG_MS);
    let sent = item(7, "update", 12);
    hook.deliver(&sent).unwrap();
    let input = std::fs::read_to_string(dir.path().join("input")).unwrap();
    assert!(input.ends_with("}\n") && input.lines().count() == 1);
    let Item::Message(sent) = sent else { panic!("a shot") };
    assert_eq!(serde_json::from_str::<oddsight::event::Message>(&input).unwrap(), *sent);
    let text = std::fs::read_to_string(dir.path().join("environment")).unwrap();
    let environment: BTreeMap<_, _> =
        text.lines().filter_map(|line| line.split_once('=')).collect();
    for (name, value) in [
        ("ODDSIGHT_EVENT", "5f0c6a1e-000007"),
        ("ODDSIGHT_EVENT_PHASE", "update"),
        ("ODDSIGHT_EVENT_KIND", "unusual"),
        ("ODDSIGHT_EVENT_REGION", "frame"),
        ("ODDSIGHT_EVENT_SEQ", "12"),
        ("ODDSIGHT_EVENT_UTC", "2026-11-26T09:20:13.042Z"),
        ("ODDSIGHT_EVENT_UTC_MS", "1795684813042"),
        ("ODDSIGHT_EVENT_CLOCK_SYNCED", "true"),
        ("ODDSIGHT_EVENT_P_VALUE", "0.002"),
        ("ODDSIGHT_EVENT_ENERGY", "41.25"),
        ("ODDSIGHT_EVENT_NEAREST", "empty hall"),
        ("ODDSIGHT_EVENT_MACHINE_TEMPERATURE_C", "48.1"),
    ] {
        assert_eq!(environment.get(name), Some(&value), "{name} in {text}");
    }
}

#[test]
fn no_shell_reads_the_arguments() {
    let dir = tempfile::tempdir().unwrap();
    let name = dir.path().join("$HOME; exit 3");
    let command = vec!["/usr/bin/touch".to_string(), name.to_str().unwrap().to_string()];
    let mut hook = HookSink::new("hook", HookSettings::new(command)).unwrap();
    hook.deliver(&item(1, "end", 1)).unwrap();
    assert!(name.exists());
}

#[test]
fn what_our_service_manager_says_is_not_for_hooks() {
    let dir = tempfile::tempdir().unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hook::a_process_with_secrets_of_its_own", "--ignored"])
        .env("ODDSIGHT_TEST_DIR", dir.path())
        .env("ODDSIGHT_EVENT_SEQ", "an older one")
        .env("ODDSIGHT_EVENT_OTHER", "left over")
        .env("NOTIFY_SOCKET", "/run/notify")
        .env("WATCHDOG_USEC", "1000000")
        .env("HARMLESS", "yes")
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let text = std::fs::read_to_string(dir.path().join("environment")).unwrap();
    let has = |name: &str| text.lines().any(|line| line.starts_with(name));
    assert!(has("HARMLESS=yes") && has("ODDSIGHT_EVENT="));
    assert!(!has("NOTIFY_SOCKET") && !has("WATCHDOG_USEC"), "{text}");
    assert!(has("ODDSIGHT_EVENT_SEQ=0") && !has("ODDSIGHT_EVENT_OTHER"), "{text}");
}

#[test]
#[ignore = "no test of its own: what_our_service_manager_says_is_not_for_hooks starts it as a process with other variables"]
fn a_process_with_secrets_of_its_own() {
    let Some(dir) = std::env::var_os("ODDSIGHT_TEST_DIR") else { return };
    let mut hook = shell("env > $1/environment", Path::new(&dir), LONG_MS);
    hook.deliver(&item(1, "start", 0)).unwrap();
}

#[test]
fn how_a_command_ends_decides_what_becomes_of_the_message() {
    for (script, passing, why) in [
        ("echo busy >&2; exit 75", true, "status 75): busy"),
        ("echo one; echo two >&2; exit 1", false, "(exit status: 1): one two"),
        ("exit 255", false, "(exit status: 255)"),
        ("kill -TERM $$", false, "signal: 15"),
        ("printf 'a\\033[2Jb\\0c'; exit 1", false, ": a [2Jb c"),
    ] {
        let error = run(script, LONG_MS).unwrap_err();
        assert_eq!(error.is_passing(), passing, "{script}: {error}");
        assert!(error.to_string().contains(why), "{script}: {error}");
    }
    for script in ["true", "echo fine", "exec >&- 2>&-; sleep 0.1", "exec <&-"] {
        run(script, LONG_MS).unwrap();
    }
}

#[test]
fn a_command_that_is_not_there_is_tried_again() {
    let command = vec!["/nowhere/hook".to_string()];
    let mut hook = HookSink::new("hook", HookSettings::new(command)).unwrap();
    let error = hook.deliver(&item(1, "start", 0)).unwrap_err();
    assert!(error.is_passing());
    assert!(error.to_string().contains("/nowhere/hook cannot be started"), "{error}");
}

#[test]
fn a_command_that_hangs_is_killed_with_its_children() {
    let dir = tempfile::tempdir().unwrap();
    // Deaf to anything milder than SIGKILL, and so are its children.
    let script = "trap '' TERM INT HUP; sleep 1000 & echo $! > $1/child; echo $$ > $1/self; wait; sleep 1000";
    let mut hook = shell(script, dir.path(), 2000);
    let error = hook.deliver(&item(1, "start", 0)).unwrap_err();
    assert!(!error.is_passing());
    assert!(error.to_string().contains("killed after 2000 ms"), "{error}");
    for name in ["child", "self"] {
        let pid = std::fs::read_to_string(dir.path().join(name)).unwrap();
        gone(&pid);
    }
}

/// A killed process takes a moment to be gone.
fn gone(pid: &str) {
    for _ in 0..1000 {
        if !lives(pid) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("process {pid} lives on");
}

#[test]
fn what_a_command_leaves_behind_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut hook = shell("sleep 1000 & echo $! > $1/child", dir.path(), LONG_MS);
    hook.deliver(&item(1, "start", 0)).unwrap();
    gone(&std::fs::read_to_string(dir.path().join("child")).unwrap());
}

#[test]
fn one_that_escapes_its_group_holds_nobody_up() {
    // It keeps the pipe open for longer than the test may take.
    let dir = tempfile::tempdir().unwrap();
    let mut hook = shell("setsid sleep 1000 & echo $! > $1/child; sleep 0.2", dir.path(), LONG_MS);
    hook.deliver(&item(1, "start", 0)).unwrap();
    let pid = std::fs::read_to_string(dir.path().join("child")).unwrap();
    assert!(Command::new("/bin/kill").args(["-KILL", pid.trim()]).status().unwrap().success());
}

#[test]
fn output_without_an_end_costs_nothing_but_time() {
    let error = run("yes 0123456789 | tee /dev/stderr", 2000).unwrap_err().to_string();
    assert!(error.contains("killed after 2000 ms") && error.len() < 1500, "{error}");
    assert!(error.contains("0123456789"));
}

#[test]
fn a_message_larger_than_a_pipe_needs_no_reader() {
    let large = |kilobytes: usize| {
        let mut json = serde_json::to_value(crate::messages::message::<oddsight::event::Message>(
            1, "start", 0,
        ))
        .unwrap();
        json["nearest"] = "x".repeat(kilobytes << 10).into();
        Item::Message(serde_json::from_value::<oddsight::event::Message>(json).unwrap().into())
    };
    let dir = tempfile::tempdir().unwrap();
    shell("true", dir.path(), LONG_MS).deliver(&large(1000)).unwrap();
    shell("wc -c > $1/size", dir.path(), LONG_MS).deliver(&large(1000)).unwrap();
    let size = std::fs::read_to_string(dir.path().join("size")).unwrap();
    assert!(size.trim().parse::<usize>().unwrap() > 1_024_000);
}

#[test]
fn settings_that_can_never_work_name_their_key() {
    let good = || HookSettings::new(vec!["/bin/true".into()]);
    assert_eq!(good().problems(), []);
    for (settings, key) in [
        (HookSettings { command: vec![], ..good() }, "hook.command"),
        (HookSettings { command: vec!["".into()], ..good() }, "hook.command"),
        (HookSettings { command: vec!["a".into(), "\0".into()], ..good() }, "hook.command"),
        (HookSettings { phases: vec![], ..good() }, "hook.phases"),
        (HookSettings { timeout_ms: 0, ..good() }, "hook.timeout_ms"),
    ] {
        let why = HookSink::new("x", settings).err().expect(key).to_string();
        assert!(why.starts_with(key), "{why}");
    }
}
