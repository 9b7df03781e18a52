//! Variables over the file.

use oddsight::config::known;
use oddsight::config::settings::{Backend, LogLevel};
use oddsight::event::Phase;

use super::{LEAST, parse};

#[test]
fn variables_override_the_file_and_make_sections() {
    let config = parse(
        &format!("{LEAST}[alarm]\nraise = 2\nwindow = 4\n[[region]]\nname = \"a\"\n"),
        &[
            ("ODDSIGHT_DEVICE", "gate-7"),
            ("ODDSIGHT_ALARM__RAISE", "4"),
            ("ODDSIGHT_ALARM__CLEAR_P", "0.5"),
            ("ODDSIGHT_ALARM__MIN_S", "2"),
            ("ODDSIGHT_DRIFT__ENABLED", "false"),
            ("ODDSIGHT_CAMERA__SIZE", "640x480"),
            ("ODDSIGHT_LOG__LEVEL", "debug"),
            ("ODDSIGHT_MQTT__URL", "mqtt://b"),
            ("ODDSIGHT_REGION__0__AT", "0, 0, 0.5, 1"),
            ("ODDSIGHT_REGION__1__NAME", "b"),
            ("ODDSIGHT_REGION__1__TILES", "[2, 3]"),
            ("ODDSIGHT_GPIO__0__LINE", "0x11"),
            ("ODDSIGHT_GPIO__0__BACKEND", "sim:/tmp/line"),
            ("ODDSIGHT_WEBHOOK__0__URL", "https://example.org/"),
            ("ODDSIGHT_WEBHOOK__0__PHASES", "start,end"),
            ("ODDSIGHT_HOOK__0__COMMAND", "[\"/bin/x\", \"a,b\"]"),
            ("ODDSIGHT_JOURNAL__DIR", "/j"),
            ("PATH", "/bin"),
            ("oddsight_nothing", "1"),
        ],
    )
    .unwrap();
    assert_eq!(config.device, "gate-7");
    assert_eq!((config.alarm.raise, config.alarm.window), (4, 4));
    assert_eq!((config.alarm.clear_p, config.alarm.min_s), (0.5, 2.0));
    assert!(!config.drift.enabled);
    assert_eq!(config.camera.size, Some((640, 480)));
    assert_eq!(config.log.level, LogLevel::Debug);
    let mqtt = config.mqtt.unwrap();
    assert_eq!(
        (mqtt.url.to_string().as_str(), mqtt.prefix.as_str()),
        ("mqtt://b:1883", "oddsight/gate-7")
    );
    let [a, b] = &config.regions[..] else { panic!("{:?}", config.regions) };
    assert_eq!((a.name.as_str(), a.at), ("a", [0.0, 0.0, 0.5, 1.0]));
    assert_eq!((b.name.as_str(), b.at, b.tiles), ("b", [0.0, 0.0, 1.0, 1.0], [2, 3]));
    assert_eq!(config.gpio[0].line, 17);
    assert_eq!(config.gpio[0].backend, Backend::Sim("/tmp/line".into()));
    assert_eq!(config.webhooks[0].phases, [Phase::Start, Phase::End]);
    assert_eq!(config.hooks[0].command, ["/bin/x", "a,b"]);
    assert_eq!(config.journal.dir, Some("/j".into()));
}

#[test]
fn an_empty_variable_stands_for_a_key_that_is_not_there() {
    let text = format!("{LEAST}[alarm]\nraise = 2\n[mqtt]\nurl = \"mqtt://b\"\nuser = \"u\"\n");
    let config = parse(
        &text,
        &[
            ("ODDSIGHT_ALARM__RAISE", ""),
            ("ODDSIGHT_MQTT__USER", ""),
            ("ODDSIGHT_JOURNAL__DIR", ""),
        ],
    )
    .unwrap();
    assert_eq!((config.alarm.raise, config.mqtt.unwrap().user), (3, None));
    assert_eq!(config.journal.dir, None);
    let error = parse(&text, &[("ODDSIGHT_MODEL__DIR", "")]).unwrap_err();
    assert!(error.to_string().contains("model.dir: missing"), "{error}");
}

#[test]
fn the_environment_alone_is_enough() {
    let config =
        parse("", &[("ODDSIGHT_MODEL__DIR", "/m"), ("ODDSIGHT_CAMERA__SOURCE", "synth:7")])
            .unwrap();
    assert_eq!(config.camera.source.to_string(), "synth:7");
}

#[test]
fn variables_that_override_nothing_are_refused() {
    for (name, value, part) in [
        ("ODDSIGHT_ALARM__RISE", "3", "did you mean ODDSIGHT_ALARM__RAISE?"),
        ("ODDSIGHT_ALARM_RAISE", "3", "did you mean ODDSIGHT_ALARM__RAISE?"),
        ("ODDSIGHT_CAMERA_STALL_MS", "3", "did you mean ODDSIGHT_CAMERA__STALL_MS?"),
        ("ODDSIGHT_SOUND__VOLUME", "3", "ODDSIGHT_SECTION__KEY"),
        ("ODDSIGHT_", "3", "names no key"),
        ("ODDSIGHT_REGION__NAME", "a", "ODDSIGHT_REGION__0__NAME"),
        ("ODDSIGHT_REGION__0__NAM", "a", "ODDSIGHT_REGION__0__NAME"),
        ("ODDSIGHT_REGION__X__NAME", "a", "ODDSIGHT_REGION__0__NAME"),
        ("ODDSIGHT_REGION__3__NAME", "a", "no [[region]] number 3"),
        ("ODDSIGHT_REGION__18446744073709551615__NAME", "a", "number 18446744073709551615"),
        ("ODDSIGHT_ALARM__RAISE", "three", "expected a whole number; got `three`"),
        ("ODDSIGHT_ALARM__RAISE", "3.5", "a whole number"),
        ("ODDSIGHT_ALARM__RAISE", "0", "1 to 1000"),
        ("ODDSIGHT_DRIFT__ENABLED", "yes", "true or false"),
        ("ODDSIGHT_ALARM__CLEAR_P", "half", "expected a number"),
        ("ODDSIGHT_HOOK__0__COMMAND", "[\"/bin/x\"", "a list in brackets"),
        ("ODDSIGHT_CAMERA__SOURCE", "camera\u{1b}", "camera\u{fffd}"),
    ] {
        let error = parse(LEAST, &[(name, value)]).expect_err(name);
        let why = error.to_string();
        assert!(why.starts_with(&format!("environment: {name}: ")), "{why}");
        assert!(why.contains(part), "{name}: {why}");
    }
}

#[test]
fn a_hook_that_calls_the_program_means_no_key_by_its_variables() {
    let of_hook = [
        ("ODDSIGHT_EVENT", "1"),
        ("ODDSIGHT_PHASE", "start"),
        ("ODDSIGHT_DEVICE", "other device"),
        ("ODDSIGHT_ALARM__RAISE", "1"),
    ];
    let config = parse(LEAST, &of_hook).unwrap();
    assert_eq!(config.alarm.raise, 1);
    assert_ne!(config.device, "other device");
    assert!(parse(LEAST, &of_hook[1..]).is_err());
}

#[test]
fn every_key_has_a_variable() {
    for key in known() {
        let path = match (key.section, key.several) {
            ("", _) => key.name.to_string(),
            (section, true) => format!("{section}.0.{}", key.name),
            (section, false) => format!("{section}.{}", key.name),
        };
        let name = oddsight::config::variable(&path);
        let error = parse(LEAST, &[(&name, "\u{0}")]).expect_err(&name);
        let found = error.problems().iter().any(|problem| problem.key() == path);
        assert!(found, "{name}: {error}");
    }
}

#[test]
fn a_unit_refuses_what_depends_on_its_folder_or_starves_its_watchdog() {
    let text = format!("{LEAST}[learn]\ndir = \"learnt\"\n[[hook]]\ncommand = [\"./on-event\"]\n")
        .replace("synth:1", "dir:pictures");
    parse(&text, &[]).unwrap();
    let error = parse(&text, &[("NOTIFY_SOCKET", "/run/systemd/notify")]).unwrap_err();
    let keys: Vec<&str> = error.problems().iter().map(|problem| problem.key()).collect();
    assert_eq!(keys, ["camera.source", "learn.dir", "hook.0.command"], "{error}");
    parse(LEAST, &[("WATCHDOG_USEC", "60000000")]).unwrap();
    for odd in ["0", "", "x", "99999999999999999999999"] {
        parse(LEAST, &[("WATCHDOG_USEC", odd)]).unwrap();
    }
    let error = parse(LEAST, &[("WATCHDOG_USEC", "20000000")]).unwrap_err();
    assert!(error.to_string().contains("watchdog of 20 s"), "{error}");
}
