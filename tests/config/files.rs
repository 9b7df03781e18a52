//! The files that are shipped: the commented one, those of the boards, the tables of the documentation.

use std::fs;
use std::path::Path;
use std::process::Command;

use oddsight::config::{Config, INIT, Known, known};

use super::{explained, parse};

fn repository(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A file with every key that is commented out switched on.
fn switched_on(text: &str) -> String {
    let switched = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => rest.to_string(),
        _ => line.to_string(),
    };
    text.lines().map(switched).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_commented_file_says_the_defaults() {
    assert_eq!(parse(INIT, &[]).unwrap(), Config::default());
}

#[test]
fn the_commented_file_has_every_key_with_its_default() {
    let shown = explained(&switched_on(INIT), &[]);
    let mut section = "";
    let mut keys: Vec<(String, String, String)> = Vec::new();
    for line in INIT.lines() {
        let line = line.strip_prefix('#').unwrap_or(line);
        let header = line.trim_matches(['[', ']']);
        if line.starts_with('[') {
            section = header;
        } else if let Some((key, value)) =
            line.split_once(" = ").filter(|(key, _)| !key.contains(' '))
        {
            keys.push((section.to_string(), key.to_string(), value.to_string()));
        }
    }
    let known = known();
    let names: Vec<(&str, &str)> = known.iter().map(|key| (key.section, key.name)).collect();
    let found: Vec<(&str, &str)> = keys.iter().map(|(s, k, _)| (s.as_str(), k.as_str())).collect();
    assert_eq!(found, names, "in the order of the schema");
    for (key, (_, _, value)) in known.iter().zip(&keys) {
        let depends_on_the_machine = ["device", "prefix"].contains(&key.name);
        if let Some(default) = key.default.as_ref().filter(|_| !depends_on_the_machine) {
            assert_eq!(value, default, "{}.{}", key.section, key.name);
        }
    }
    let given = shown.show().lines().filter(|line| line.contains(" = ")).count();
    assert_eq!(given, known.len());
    assert!(!shown.show().contains("# default"), "{}", shown.show());
}

const BOARDS: [&str; 6] = ["pi-zero-2", "pi-3", "pi-4", "pi-5", "jetson-nano", "jetson-orin"];

#[test]
fn the_files_of_the_boards_pass() {
    for board in BOARDS {
        let text = repository(&format!("firmware-config/boards/{board}.toml"));
        let explained = explained(&text, &[("NOTIFY_SOCKET", "/run/systemd/notify")]);
        let warnings: Vec<String> = explained.warnings().collect();
        assert_eq!(warnings, Vec::<String>::new(), "{board}");
        let config = explained.config;
        assert!(config.http.is_some_and(|http| http.listen.ip().is_loopback()), "{board}");
        assert!(config.journal.dir.is_some() && config.evidence.dir.is_some(), "{board}");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("firmware-config/boards");
    assert_eq!(fs::read_dir(folder).unwrap().count(), BOARDS.len());
}

/// Also with the lines that are commented out.
#[test]
fn the_files_of_the_boards_pass_with_their_output_line() {
    for board in BOARDS {
        let text = repository(&format!("firmware-config/boards/{board}.toml"));
        let config = explained(&switched_on(&text), &[]).config;
        assert_eq!(config.gpio.len(), 1, "{board}");
        // Two frames of a camera that gives more than are scored must not be a stall.
        assert!(config.pace.max_fps > 0.0 && config.model.threads < 4, "{board}");
    }
}

/// Lines of docs/configuration.md that say nothing but what the program knows.
fn row(key: &Known) -> String {
    let default = match (&key.default, key.required) {
        (_, true) => "must be given".to_string(),
        _ if key.section.is_empty() => "the host's name".to_string(),
        _ if key.name == "prefix" => "`oddsight/` + device".to_string(),
        (Some(default), _) => format!("`{default}`"),
        (None, _) => "–".to_string(),
    };
    format!("| `{}` | {default} | {} | {} |", key.name, key.allowed, key.reload)
}

/// All of them, below the headers of their sections.
fn tables() -> String {
    let mut tables = String::new();
    let mut section = "";
    for key in known() {
        if key.section != section {
            section = key.section;
            let header =
                if key.several { format!("[[{section}]]") } else { format!("[{section}]") };
            tables += &format!("\n### `{header}`\n\n");
        }
        tables += &row(&key);
        tables.push('\n');
    }
    tables
}

#[test]
fn the_documentation_has_every_key_as_the_program_knows_it() {
    let text = repository("docs/configuration.md");
    let is_table = |line: &&str| line.starts_with("| `") || line.starts_with("### `[");
    let (_, keys) = text.split_once("\n## Keys\n").expect("a chapter of keys");
    let found: Vec<&str> = keys.lines().filter(is_table).collect();
    let tables = tables();
    let expected: Vec<&str> = tables.lines().filter(|line| !line.is_empty()).collect();
    for (found, expected) in found.iter().zip(&expected) {
        assert!(
            found.starts_with(expected),
            "docs/configuration.md has\n{found}\nin place of\n{expected}\n{tables}"
        );
    }
    assert_eq!(found.len(), expected.len(), "docs/configuration.md lacks some of\n{tables}");
}

#[test]
fn the_unit_names_commands_and_codes_that_there_are() {
    let unit = repository("firmware-config/oddsight.service");
    for line in [
        "Type=notify",
        "RestartPreventExitStatus=78",
        "ExecStart=/usr/local/bin/oddsight run --config /etc/oddsight/device.toml",
        "ExecStopPost=/usr/local/bin/oddsight gpio safe --config /etc/oddsight/device.toml",
        "StateDirectory=oddsight",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "SystemCallFilter=@system-service adjtimex clock_adjtime",
    ] {
        assert!(unit.lines().any(|there| there == line), "{line}");
    }
    systemd_finds_no_fault(&unit);
    let watchdog = unit.lines().find_map(|line| line.strip_prefix("WatchdogSec=")).unwrap();
    let usec = watchdog.parse::<u64>().unwrap() * 1_000_000;
    parse(INIT, &[("NOTIFY_SOCKET", "/x"), ("WATCHDOG_USEC", &usec.to_string())]).unwrap();
}

/// Where there is a systemd, it reads the unit.
fn systemd_finds_no_fault(unit: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("oddsight.service");
    let program = env!("CARGO_BIN_EXE_oddsight");
    fs::write(&path, unit.replace("/usr/local/bin/oddsight", program)).unwrap();
    match Command::new("systemd-analyze").arg("verify").arg(&path).output() {
        Ok(output) => assert!(output.status.success() && output.stderr.is_empty(), "{output:?}"),
        Err(_) => println!("SKIP: no systemd-analyze"),
    }
}
