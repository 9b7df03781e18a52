//! What a changed file changes, and when.

use oddsight::config::{Config, Reload, known};

use super::{LEAST, explained, with};

/// A value of each key that is not its default.
const OTHERS: &str = "device = \"other\"
[model]
dir = \"/other\"
alpha = 0.5
threads = 2
kernel = \"portable\"
public_key = \"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\"
failed_starts = 4
[camera]
source = \"synth:2\"
stall_ms = 5001
reopen_ms = 501
reopen_most_ms = 60001
size = \"640x480\"
[quality]
frozen_frames = 51
black = 17
saturated = 251
bad_frames = 4
good_frames = 4
[gate]
change = 0.5
floor_s = 11
[[region]]
name = \"other\"
at = [0.0, 0.0, 0.5, 1.0]
tiles = [1, 2]
[pace]
max_fps = 11.0
hot_c = 76.0
hot_fps = 2.0
[alarm]
raise = 4
window = 6
clear_p = 0.9
clear_frames = 6
min_s = 1.0
cooldown_s = 61
budget_per_day = 1
update_s = 11
light_change = 41
light_holdoff_s = 21
[drift]
enabled = false
every_s = 61
evidence = 1001.0
[learn]
dir = \"/learnt\"
minutes = 11.0
button_line = 3
button_chip = \"/dev/gpiochip1\"
[journal]
dir = \"/srv/journal\"
segment_mb = 5
most_mb = 257
scores = false
fsync = \"never\"
require_mount = \"/srv\"
[evidence]
dir = \"/mnt/evidence\"
quota_mb = 1025
free_mb = 513
before_s = 4.0
before_mb = 17
after_s = 6.0
every_s = 2.0
most_frames = 61
require_mount = \"/mnt\"
[[gpio]]
line = 18
backend = \"gpiocdev\"
chip = \"/dev/gpiochip2\"
active = \"low\"
mode = \"pulse\"
pulse_ms = 501
safe = \"high\"
on = [\"camera_fault\"]
[mqtt]
url = \"mqtts://other\"
prefix = \"other\"
client_id = \"other\"
user = \"other\"
password_file = \"/password\"
ca_file = \"/ca\"
keep_alive_s = 31
timeout_ms = 10001
queue = 257
per_minute = 121
[[webhook]]
url = \"https://other\"
token_file = \"/token\"
ca_file = \"/ca\"
timeout_ms = 5001
queue = 65
per_minute = 31
phases = [\"start\"]
[[hook]]
command = [\"/other\"]
timeout_ms = 10001
queue = 65
per_minute = 31
phases = [\"end\"]
[http]
listen = \"127.0.0.1:8081\"
token_file = \"/token\"
stale_s = 31
[log]
level = \"debug\"
";

/// One of each outlet, with its defaults.
const OUTLETS: &str = "[journal]\ndir = \"/j\"\n[evidence]\ndir = \"/e\"\n[[gpio]]\nline = 17\n[mqtt]\n\
                       url = \"mqtt://b\"\n[[webhook]]\nurl = \"https://w\"\n[[hook]]\ncommand = [\"/h\"]\n[http]\n";

fn key_of(key: &oddsight::config::Known) -> String {
    match (key.section, key.several) {
        ("", _) => key.name.to_string(),
        (section, true) => format!("{section}.0.{}", key.name),
        (section, false) => format!("{section}.{}", key.name),
    }
}

#[test]
fn every_key_that_changes_is_named_once_with_its_class() {
    let old = with(OUTLETS);
    let new = explained(OTHERS, &[]).config;
    let changes = old.changes(&new);
    let found: Vec<(String, Reload)> =
        changes.iter().map(|change| (change.key.clone(), change.reload)).collect();
    let expected: Vec<(String, Reload)> =
        known().iter().map(|key| (key_of(key), key.reload)).collect();
    assert_eq!(found, expected);
    assert_eq!(old.changes(&old), []);
    assert_eq!(new.changes(&new), []);
    let raise = changes.iter().find(|change| change.key == "alarm.raise").unwrap();
    assert_eq!(raise.to_string(), "alarm.raise: 3 becomes 4");
    let alpha = changes.iter().find(|change| change.key == "model.alpha").unwrap();
    assert_eq!(alpha.to_string(), "model.alpha: not set becomes 0.5");
    let dir = changes.iter().find(|change| change.key == "model.dir").unwrap();
    assert_eq!(dir.to_string(), "model.dir: \"/m\" becomes \"/other\" at the next start");
}

#[test]
fn a_reload_takes_the_live_keys_and_only_those() {
    let old = with(OUTLETS);
    let new = explained(OTHERS, &[]).config;
    let now = old.reloaded(&new);
    let of = |from: &Config, to: &Config, reload: Reload| {
        let changes = from.changes(to);
        assert!(!changes.is_empty());
        assert!(changes.iter().all(|change| change.reload == reload), "{changes:?}");
    };
    of(&old, &now, Reload::Live);
    of(&now, &new, Reload::Restart);
    assert_eq!(old.changes(&now).len() + now.changes(&new).len(), old.changes(&new).len());
    assert_eq!(old.reloaded(&old), old);
}

#[test]
fn sections_that_come_and_go_are_changes_of_their_keys() {
    let (bare, full) = (with(""), with(OUTLETS));
    let (come, gone) = (bare.changes(&full), full.changes(&bare));
    assert!(come.iter().all(|change| change.old.is_none() && change.reload == Reload::Restart));
    assert!(gone.iter().all(|change| change.new.is_none() && change.reload == Reload::Restart));
    for key in ["journal.dir", "evidence.dir", "gpio.0.line", "mqtt.url", "http.listen"] {
        assert!(come.iter().any(|change| change.key == key), "{key}");
        assert!(gone.iter().any(|change| change.key == key), "{key}");
    }
    let two = with(&format!("{OUTLETS}[[hook]]\ncommand = [\"/b\"]\n"));
    assert!(full.changes(&two).iter().all(|change| change.key.starts_with("hook.1.")));
}

#[test]
fn changes_hold_no_secrets() {
    let of = |token: &str| {
        with(&format!("[[webhook]]\nurl = \"https://w/{token}\"\n[[hook]]\ncommand = [\"x\"]\n"))
    };
    let changes = of("abc").changes(&of("xyz"));
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert!(!changes[0].to_string().contains("abc") && !changes[0].to_string().contains("xyz"));
}

#[test]
fn what_is_shown_is_the_same_configuration_again() {
    for text in [OTHERS.to_string(), format!("{LEAST}{OUTLETS}"), LEAST.to_string()] {
        let first = explained(&text, &[]);
        let again = explained(&first.show(), &[]);
        assert_eq!(again.config, first.config, "{}", first.show());
    }
    let shown = explained(LEAST, &[("ODDSIGHT_ALARM__RAISE", "2")]).show();
    let line = |start: &str| shown.lines().find(|line| line.starts_with(start)).unwrap();
    assert!(line("source = ").ends_with("# my.toml:4"), "{shown}");
    assert!(line("raise = 2 ").ends_with("# ODDSIGHT_ALARM__RAISE"), "{shown}");
    assert!(line("window = 5 ").ends_with("# default"), "{shown}");
    assert!(line("# alpha is not set").ends_with("# default"), "{shown}");
    assert!(
        shown.ends_with("not done: journal, evidence, gpio, mqtt, webhook, hook, http\n"),
        "{shown}"
    );
}

#[test]
fn what_is_shown_holds_no_secrets() {
    let text = format!(
        "{LEAST}[[webhook]]\nurl = \"https://w/hunter2/x\"\n[[hook]]\ncommand = [\"x\", \"--password\", \"hunter2\"]\n"
    );
    let shown = explained(&text, &[]).show();
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("url = \"https://w/…\""), "{shown}");
}
