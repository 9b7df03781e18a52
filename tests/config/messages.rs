//! Every message as a new user meets it: where it is, what it says, what to do.

use oddsight::config::{ConfigErrorKind, Place};

use super::{LEAST, explained, parse, with};

/// The one problem of `text`: its kind, its place and its message.
fn problem(text: &str) -> (ConfigErrorKind, Place, String) {
    let error = parse(text, &[]).expect_err(text);
    assert_eq!(error.problems().len(), 1, "{text}\n{}", error.explain());
    let problem = &error.problems()[0];
    assert!(!error.explain().contains('\u{1b}'));
    (problem.kind(), problem.place().clone(), format!("{}: {}", problem.key(), problem.why()))
}

/// Lines after those of [`LEAST`], which ends behind line 4.
fn problem_of(more: &str) -> (ConfigErrorKind, String) {
    let (kind, place, why) = problem(&format!("{LEAST}{more}"));
    assert!(matches!(place, Place::File { line: 5.., .. }), "{more}: {place:?} {why}");
    (kind, why)
}

#[track_caller]
fn refused(kind: ConfigErrorKind, cases: &[(&str, &[&str])]) {
    for (more, parts) in cases {
        let (found, why) = problem_of(more);
        assert_eq!(found, kind, "{more}: {why}");
        for part in *parts {
            assert!(why.contains(part), "{more}: no `{part}` in: {why}");
        }
    }
}

#[test]
fn unknown_names_lead_to_the_known_ones() {
    refused(
        ConfigErrorKind::Key,
        &[
            ("[alarm]\nrise = 3", &["alarm.rise", "did you mean `raise`"]),
            ("[alarm]\ncool-down_s = 3", &["did you mean `cooldown_s`"]),
            ("[alarm]\nCooldown_S = 3", &["did you mean `cooldown_s`"]),
            ("[gate]\nfloor = 3", &["did you mean `floor_s`"]),
            ("[gate]\nfloor_ms = 3", &["did you mean `floor_s`"]),
            ("[alarm]\nthreshold = 3", &["`alpha` in [model]"]),
            ("[gate]\nmax_fps = 3", &["belongs under [pace]"]),
            ("[gate]\ndevice = \"q\"", &["belongs above all sections"]),
            ("[alarm]\ncolour = 3", &["its keys are raise, window"]),
            ("[http]\ntoken = \"x\"", &["`token_file`", "to a file"]),
            ("[mqtt]\nurl = \"mqtt://b\"\npassword = \"x\"", &["`password_file`", "to a file"]),
            ("[[gpio]]\nline = 1\npin = 17", &["gpio.0.pin", "`line` in [[gpio]]"]),
            ("[[region]]\nname = \"a\"\nroi = 1", &["region.0.roi", "`at` in [[region]]"]),
            ("[alarms]\nraise = 3", &["did you mean [alarm]"]),
            ("[[regions]]\nname = \"a\"", &["did you mean [[region]]"]),
            ("[sound]\nraise = 3", &["[quality]", "[[gpio]]", "[http]"]),
        ],
    );
}

#[test]
fn keys_above_all_sections_are_sent_to_theirs() {
    for (line, part) in [
        ("devcie = \"x\"", "did you mean `device`"),
        ("raise = 3", "belongs under [alarm]"),
        ("sorce = \"synth:1\"", "did you mean `source` in [camera]"),
        ("threshold = 3", "did you mean `alpha` in [model]"),
        ("colour = 3", "under the header of their section"),
        ("alarm = 3", "write [alarm]"),
        ("gpio = 3", "write [[gpio]]"),
    ] {
        let (_, place, why) = problem(&format!("{line}\n{LEAST}"));
        assert!(matches!(place, Place::File { line: 1, .. }) && why.contains(part), "{why}");
    }
}

#[test]
fn sections_have_one_bracket_or_two() {
    refused(
        ConfigErrorKind::Type,
        &[
            ("[region]\nname = \"a\"", &["[[region]]", "two brackets"]),
            ("[[alarm]]\nraise = 3", &["[alarm]", "one bracket"]),
        ],
    );
}

#[test]
fn values_of_another_type_say_how_to_write_them() {
    refused(
        ConfigErrorKind::Type,
        &[
            ("[alarm]\nraise = \"3\"", &["whole number, without quotes: 3"]),
            ("[alarm]\nraise = 3.0", &["without a point: 3"]),
            ("[alarm]\nraise = 3.5", &["a whole number", "3.5"]),
            ("[alarm]\nraise = [3]", &["a whole number", "a list"]),
            ("[alarm]\nclear_p = \"0.5\"", &["a number, without quotes: 0.5"]),
            ("[alarm]\nclear_p = true", &["a number", "true"]),
            ("[drift]\nenabled = \"true\"", &["true, without quotes"]),
            ("[drift]\nenabled = 1", &["true or false"]),
            ("[log]\nlevel = 3", &["in quotes: \"3\""]),
            ("[log]\nlevel = [\"info\"]", &["not a list"]),
            ("[http]\nlisten = 8080", &["in quotes: \"8080\""]),
            ("[http]\nlisten = 10:20:30", &["in quotes", "a date or time"]),
            ("[[hook]]\ncommand = \"/bin/x\"", &["[\"/bin/x\"]"]),
            ("[[region]]\nname = \"a\"\nat = 0.5", &["a list in brackets: [0.5]"]),
            ("[[region]]\nname = \"a\"\nat = [0, \"0\", 1, 1]", &["without quotes: 0"]),
            ("[[gpio]]\nline = 1\non = {}", &["a list in brackets", "a table"]),
        ],
    );
}

#[test]
fn values_out_of_range_say_what_is_allowed() {
    refused(
        ConfigErrorKind::Value,
        &[
            ("[alarm]\nraise = 0", &["0 frames", "1 to 1000 frames"]),
            ("[alarm]\nraise = -3", &["-3 frames", "1 to 1000 frames"]),
            ("[alarm]\nraise = 99999999999999999999999999", &["99999999999999999999999999"]),
            ("[quality]\nblack = 256", &["256", "0 to 255"]),
            ("[mqtt]\nurl = \"mqtt://b\"\ntimeout_ms = 10", &["10 s are 10000"]),
            ("[alarm]\nclear_p = inf", &["inf", "0 to 0.95"]),
            ("[alarm]\nclear_p = nan", &["NaN", "0 to 0.95"]),
            ("[pace]\nhot_c = 500", &["500.0 °C", "30 to 120 °C"]),
            ("[log]\nlevel = \"trace\"", &["\"trace\"", "\"warn\", \"info\" or \"debug\""]),
            ("[log]\nlevel = \"\"", &["none of the choices"]),
            ("[learn]\ndir = \"\"", &["is empty"]),
            ("[learn]\ndir = \"~/x\"", &["whole path"]),
            ("[learn]\ndir = \"$HOME/x\"", &["whole path"]),
            ("[[region]]\nname = \"a\"\nat = [0, 0, 1]", &["has 3 numbers", "write 4"]),
            ("[[region]]\nname = \"a\"\nat = [0, 0, 0, 1]", &["an area"]),
            (
                "[[region]]\nname = \"a\"\nat = [0.5, 0, 0.9, 0.4]",
                &["beyond", "[0.5, 0, 0.4, 0.4]"],
            ),
            ("[[region]]\nname = \"a\"\nat = [0, 0.5, 1, 0.51]", &["beyond"]),
            ("[[region]]\nname = \"a\"\nat = [-0.1, 0, 1, 1]", &["-0.1", "0 to 1"]),
            ("[[region]]\nname = \"a\"\ntiles = [0, 1]", &["1 to 16"]),
            ("[[region]]\nname = \"a b\"", &["\"a b\"", "a-z"]),
            ("[[gpio]]\nline = 1\non = []", &["name one at least"]),
            ("[[gpio]]\nline = 1\non = [\"unusual\", \"unusual\"]", &["twice"]),
            ("[[gpio]]\nline = 1\non = [\"drift\"]", &["\"unusual\" or \"camera_fault\""]),
            ("[[gpio]]\nline = 1\nbackend = \"sim\"", &["\"sim:PATH\""]),
            ("[[gpio]]\nline = 1\nchip = \"dev/gpiochip0\"", &["/dev/gpiochip0", "pinctrl-rp1"]),
            ("[[hook]]\ncommand = []", &["name the program"]),
            ("[[hook]]\ncommand = [\"a b\"]", &["[\"a\", \"b\"]"]),
            ("[[hook]]\ncommand = [\"a\", \"b\\u0000\"]", &["NUL"]),
            ("[http]\nlisten = \"8080\"", &["127.0.0.1:8080"]),
            ("[http]\nlisten = \":80\"", &["0.0.0.0:80"]),
            ("[http]\nlisten = \"localhost:80\"", &["127.0.0.1:80"]),
            ("[http]\nlisten = \"::1\"", &["add a port: [::1]:8080"]),
            ("[http]\nlisten = \"10.0.0.1\"", &["add a port: 10.0.0.1:8080"]),
            ("[http]\nlisten = \"me:80\"", &["names are not looked up"]),
            ("[mqtt]\nurl = \"b:1883\"", &["write mqtt://b:1883"]),
            ("[mqtt]\nurl = \"http://b\"", &["use mqtt or mqtts"]),
            ("[mqtt]\nurl = \"mqtt://b\"\nprefix = \"a/#\"", &["`#`"]),
            ("[mqtt]\nurl = \"mqtt://b\"\nprefix = \"/a\"", &["either end"]),
            ("[mqtt]\nurl = \"mqtt://b\"\nprefix = \"$SYS\"", &["broker's own"]),
            ("[[webhook]]\nurl = \"example.org\"", &["write http://example.org"]),
        ],
    );
}

#[test]
fn the_two_keys_of_every_file_are_explained_too() {
    for (model, camera, parts) in [
        ("dir = \"/m\"\nalpha = 0", "source = \"synth:1\"", ["model.alpha", "0.05"]),
        ("dir = \"/m\"\nkernel = \"fast\"", "source = \"synth:1\"", ["model.kernel", "portable"]),
        ("dir = \"/m\"\npublic_key = \"RWx\"", "source = \"synth:1\"", ["public_key", "RW"]),
        ("dir = \"/m\"", "source = \"camera0\"", ["camera.source", "synth:SEED"]),
        ("dir = \"/m\"", "source = \"/dev/video0\"", ["no scheme", "\"v4l2:/dev/video0\""]),
        ("dir = \"/m\"", "source = \"0\"", ["no scheme", "\"v4l2:/dev/video0\""]),
        ("dir = \"/m\"", "source = \"/srv/in\"", ["no scheme", "\"dir:/srv/in\""]),
        ("dir = \"/m\"", "source = \"rtsp://u:pw@cam/1\"", ["no scheme", "pipe:ffmpeg"]),
        ("dir = \"/m\"", "source = \"synth:1\"\nsize = \"640\"", ["camera.size", "\"640x480\""]),
        ("dir = \"/m\"", "source = \"synth:1\"\nsize = \"1x1\"", ["camera.size", "16 to 16384"]),
    ] {
        let (_, _, why) = problem(&format!("[model]\n{model}\n[camera]\n{camera}\n"));
        assert!(parts.iter().all(|part| why.contains(part)), "{why}");
        assert!(!why.contains("pw"), "{why}");
    }
    let error = parse("[model]\n", &[]).unwrap_err();
    assert_eq!(error.kind(), ConfigErrorKind::Key);
    assert_eq!(
        error.to_string(),
        "my.toml:1:1: model.dir: missing; write for example `dir = \"/var/lib/oddsight/model\"` under [model], or set \
         ODDSIGHT_MODEL__DIR\nmy.toml: camera.source: missing; write for example `source = \"v4l2:/dev/video0\"` under \
         [camera], or set ODDSIGHT_CAMERA__SOURCE"
    );
}

#[test]
fn values_that_contradict_each_other_name_both() {
    refused(
        ConfigErrorKind::Value,
        &[
            ("[alarm]\nraise = 6", &["alarm.raise: 6", "alarm.window = 5 (the default)"]),
            ("[alarm]\nwindow = 2", &["alarm.window: 3", "alarm.raise = 3 (the default)"]),
            ("[alarm]\nraise = 6\nwindow = 5", &["alarm.raise", "alarm.window = 5 (line 7)"]),
            ("[quality]\nblack = 250", &["saturated = 250 (the default)"]),
            ("[quality]\nfrozen_frames = 1", &["0 for never"]),
            ("[pace]\nhot_fps = 20", &["pace.max_fps = 10.0"]),
            ("[pace]\nhot_fps = 0", &["pace.max_fps = 10.0"]),
            ("[gate]\nfloor_s = 1\n[pace]\nmax_fps = 0.5\nhot_fps = 0.5", &["floor_s"]),
            ("[gate]\nfloor_s = 60\n[http]", &["gate.floor_s", "http.stale_s = 30"]),
            ("[learn]\nbutton_line = 5", &["learn.dir is not set"]),
            ("[learn]\ndir = \"/m\"", &["folder of their own", "model.dir = \"/m\" (line 2)"]),
            ("[journal]\ndir = \"/j\"\nmost_mb = 6", &["at least 8"]),
            ("[journal]\ndir = \"/m/j\"", &["journal.dir", "model.dir"]),
            ("[journal]\ndir = \"/a\"\n[evidence]\ndir = \"/a/../a/b\"", &["old files"]),
            ("[journal]\ndir = \"/j\"\nrequire_mount = \"/\"", &["always mounted"]),
            ("[journal]\ndir = \"/j\"\nrequire_mount = \"/mnt\"", &["journal.dir = \"/j\""]),
            ("[evidence]\ndir = \"/e\"\nquota_mb = 20", &["at least 32"]),
            ("[evidence]\ndir = \"/e\"\nrequire_mount = \"/\"", &["always mounted"]),
            ("[evidence]\ndir = \"/e\"\nrequire_mount = \"/mnt\"", &["evidence.dir = \"/e\""]),
            (
                "[[gpio]]\nline = 1\n[[gpio]]\nline = 1",
                &["gpio.1.line", "gpio.0.line = 1 (line 6)"],
            ),
            ("[[gpio]]\nline = 5\n[learn]\ndir = \"/l\"\nbutton_line = 5", &["the button's"]),
            ("[[region]]\nname = \"a\"\n[[region]]\nname = \"a\"", &["region.1.name", "one name"]),
            ("[[region]]\nname = \"a\"\ntiles = [9, 9]", &["81 crops", "64"]),
            ("[mqtt]\nurl = \"mqtt://b/x\"", &["mqtt.prefix"]),
            ("[mqtt]\nurl = \"mqtts://b\"\npassword_file = \"/p\"", &["mqtt.user is not set"]),
            ("[mqtt]\nurl = \"mqtt://b\"\nca_file = \"/c\"", &["mqtts://"]),
            ("[[webhook]]\nurl = \"http://b\"\nca_file = \"/c\"", &["https://"]),
            ("[http]\nlisten = \"0.0.0.0:80\"", &["http.token_file is not set", "127.0.0.1"]),
            ("[http]\nlisten = \"[::]:80\"", &["http.token_file"]),
        ],
    );
    let (_, _, why) = problem(
        "[model]\ndir = \"/m\"\n[camera]\nsource = \"synth:1\"\nreopen_ms = 9000\nreopen_most_ms = 8000\n",
    );
    assert!(why.contains("exchange them") && why.contains("reopen_most_ms = 8000 (line 6)"));
}

#[test]
fn what_makes_sense_is_not_refused() {
    for more in [
        "[pace]\nmax_fps = 0.5",
        "[pace]\nmax_fps = 0\nhot_fps = 0",
        "[pace]\nmax_fps = 0",
        "[alarm]\nraise = 1000\nwindow = 1000\nclear_p = 0",
        "[http]\nlisten = \"[::1]:0\"",
        "[http]\nlisten = \"0.0.0.0:80\"\ntoken_file = \"/t\"",
        "[evidence]\ndir = \"/mnt/e\"\nrequire_mount = \"/mnt/\"",
        "[journal]\ndir = \"/mnt/j\"\nrequire_mount = \"/mnt/\"",
        "[journal]\ndir = \"/a\"\n[evidence]\ndir = \"/ab\"",
        "[[gpio]]\nline = 1\n[[gpio]]\nline = 1\nchip = \"pinctrl-rp1\"\nbackend = \"gpiocdev\"",
        "[[gpio]]\nline = 1\nbackend = \"sim:/a\"\n[[gpio]]\nline = 1\nbackend = \"sim:/b\"",
        "[[region]]\nname = \"a\"\nat = [0.3, 0.3, 0.7, 0.7]\ntiles = [8, 8]",
        "[mqtt]\nurl = \"mqtts://[fe80::1]:8883/\"",
    ] {
        with(more);
    }
    // As editors of other systems save it.
    for text in [format!("\u{feff}{LEAST}"), LEAST.replace('\n', "\r\n")] {
        parse(&text, &[]).unwrap();
    }
    assert_eq!(with("[pace]\nmax_fps = 0.5").pace.hot_fps, 0.5, "not more when hot than when cool");
}

#[test]
fn what_is_odd_is_a_warning() {
    for (more, part) in [
        ("", "simulated camera"),
        ("", "nobody would learn"),
        ("[alarm]\nraise = 1", "set a budget"),
        ("[alarm]\nbudget_per_day = 100\ncooldown_s = 3600", "25 events a day"),
        ("[alarm]\nclear_p = 0.001", ""),
        ("[[gpio]]\nline = 1\npulse_ms = 10", "mode = \"pulse\""),
        ("[[gpio]]\nline = 1\nbackend = \"rppal\"\nchip = \"/dev/x\"", "gpiocdev"),
        ("[learn]\nbutton_chip = \"/dev/x\"", "without button_line"),
        ("[learn]\ndir = \"l\"", "learn.dir: a path that depends"),
        ("[[hook]]\ncommand = [\"bin/x\"]", "hook.0.command: a path that depends"),
        ("[mqtt]\nurl = \"mqtt://b\"\nuser = \"u\"\npassword_file = \"/p\"", "plain text"),
        ("[[webhook]]\nurl = \"http://b\"\ntoken_file = \"/p\"", "plain text"),
    ] {
        let warnings: Vec<String> = explained(&format!("{LEAST}{more}"), &[]).warnings().collect();
        assert!(warnings.iter().any(|warning| warning.contains(part)), "{more}: {warnings:?}");
    }
    let quiet = "[model]\ndir = \"/m\"\n[camera]\nsource = \"dir:/in\"\n[mqtt]\nurl = \"mqtt://localhost\"\n\
                 user = \"u\"\npassword_file = \"/p\"\n[[hook]]\ncommand = [\"logger\"]\n";
    assert_eq!(explained(quiet, &[]).warnings().collect::<Vec<_>>(), Vec::<String>::new());
    let text = quiet.replace("/m\"", "/m\"\nalpha = 0.3");
    let warnings: Vec<String> = explained(&text, &[]).warnings().collect();
    assert!(
        warnings[0].starts_with("my.toml:3:9: model.alpha: ") || warnings[0].contains("clear_p")
    );
}

#[test]
fn what_contradicts_itself_is_told_beside_a_broken_line() {
    let text = "[alarm]\nraise = 6\nwindow = 5\n[quality]\nblack = 250\n[camera]\nstall_ms = 5 s\n\
                [http]\nlisten = \"0.0.0.0:80\"\n";
    let error = parse(text, &[]).unwrap_err();
    let found: Vec<&str> = error.problems().iter().map(|problem| problem.key()).collect();
    // What `black` and `listen` would need may stand in the broken line.
    assert_eq!(found, ["alarm.raise", ""], "{error}");
    assert!(error.problems()[1].why().contains("stall_ms"), "{error}");
}

#[test]
fn broken_toml_is_explained_by_what_was_meant() {
    for (more, line, column, part) in [
        ("[log]\nlevel = info", 6, 9, "in quotes: write level = \"info\""),
        ("[drift]\nenabled = True", 6, 11, "write enabled = true"),
        ("[drift]\nenabled = yes", 6, 11, "write enabled = true"),
        ("[camera2\nx = 1\ny = 2", 5, 9, "write [camera2]"),
        ("[[region]\nname = \"a\"", 5, 10, "write [[region]]"),
        ("alarm]\nraise = 3", 5, 6, "write [alarm]"),
        ("[log]\nlevel: info", 6, 8, "write level = \"info\""),
        ("[log]\nlevel \"info\"", 6, 7, "write level = \"info\""),
        ("[log]\nlevel =", 6, 8, "no value"),
        ("[log]\nlevel", 6, 6, "no value"),
        ("[log]\nlevel = \"info", 6, 14, "not closed"),
        ("[log]\nlevel = “info”", 6, 9, "typographic quotes: write level = \"info\""),
        ("[log]\nlevel = \"C:\\info\"", 6, 13, "twice"),
        ("[log]\nlevel = \"info\" # x\nlevel = \"warn\"", 7, 1, "line 6 has it already"),
        ("[log]\nlevel = \"info\"\n[log] # again", 7, 2, "line 5 has it already"),
        ("[alarm]\ncooldown_s = 2 h", 6, 14, "write cooldown_s = 7200"),
        ("[alarm]\ncooldown_s = 1 000", 6, 14, "write cooldown_s = 1000"),
        ("[alarm]\ncooldown_s = 1,000", 6, 15, "write cooldown_s = 1000"),
        ("[alarm]\nclear_p = .5", 6, 11, "write clear_p = 0.5"),
        ("[alarm]\nclear_p = 0,5", 6, 12, "write clear_p = 0.5"),
        ("[alarm]\nraise = 3;", 6, 9, "write raise = 3"),
        ("[alarm]\nraise = 3 window = 5", 6, 18, "a new line before window"),
        ("[alarm]\n// raise = 3", 6, 4, "begins with #"),
        ("[alarm]\ncooldown s = 3", 6, 10, "write cooldown_s = 3"),
        ("[[region]]\nname = \"a\"\nat = [0 0 1 1]", 7, 7, "commas"),
        (
            "[[region]]\nname = \"a\"\nat = [0, 0, 1, 1 # all\n\n[log]\nlevel = 5",
            7,
            17,
            "`]` is missing",
        ),
        ("[log]\nlevel = null", 6, 9, "put # before the line"),
        ("[log]\n\0level = 3", 6, 1, "NUL"),
    ] {
        let text = format!("{LEAST}{more}\n");
        let (kind, place, why) = problem(&text);
        assert_eq!(kind, ConfigErrorKind::Syntax, "{more}: {why}");
        assert_eq!(place, Place::File { line, column }, "{more}: {why}");
        assert!(why.contains(part), "{more}: no `{part}` in: {why}");
    }
    let (_, _, why) = problem("{\"model\": {\"dir\": \"/m\"}}");
    assert!(why.contains("JSON"));
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let text = "[model]\nthreads = 0\n[camera]\nsource = synth\nstall_ms = 5\n[alarm]\nrise = 3\n[log]\nlevel: 3\n";
    let error = parse(text, &[("ODDSIGHT_GATE__FLOOR", "3")]).unwrap_err();
    assert_eq!(error.kind(), ConfigErrorKind::Syntax);
    let lines: Vec<String> = error.to_string().lines().map(str::to_string).collect();
    let starts = [
        "my.toml:2:11: model.threads: ",
        "my.toml:4:10: a text stands in quotes",
        "my.toml:5:12: camera.stall_ms: ",
        "my.toml:7:1: alarm.rise: ",
        "my.toml:9:8: between key",
        "environment: ODDSIGHT_GATE__FLOOR: names no key; did you mean ODDSIGHT_GATE__FLOOR_S?",
    ];
    assert_eq!(lines.len(), starts.len(), "{error}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
    assert!(error.explain().ends_with("error: my.toml: 6 problems\n"), "{}", error.explain());
}

#[test]
fn the_line_is_shown_with_a_mark_and_without_secrets() {
    let text = format!(
        "{LEAST}[mqtt]\nurl = \"mqtt://anna:hunter2@b\"\n\tpassword = \"hunter2\" # \u{202e}x\n"
    );
    let shown = parse(&text, &[]).unwrap_err().explain();
    assert!(!shown.contains("hunter2") && !shown.contains('\u{202e}'), "{shown}");
    assert!(
        shown.contains("     6 | url = \"mqtt://************@b\"\n       |       ^^^^^^^"),
        "{shown}"
    );
    assert!(
        shown.contains("     7 |  password = \"*******\" # \u{fffd}x\n       |  ^^^^^^^^\n"),
        "{shown}"
    );
    let long = format!("{LEAST}[log]\nlevel = {}\"{}\"\n", " ".repeat(300), "x".repeat(300));
    let shown = parse(&long, &[]).unwrap_err().explain();
    assert!(shown.lines().all(|line| line.chars().count() < 250), "{shown}");
    let marked = shown.lines().find(|line| line.contains('^')).unwrap();
    let above = shown.lines().find(|line| line.contains(" 6 | ")).unwrap();
    assert_eq!(marked.find('^'), above.find('"'), "{shown}");
}

#[test]
fn a_file_of_nonsense_is_cut_short() {
    let many: String = (0..10_000).map(|i| format!("key{i} = 1\n")).collect();
    let error = parse(&format!("{LEAST}{many}"), &[]).unwrap_err();
    assert!(error.problems().len() <= 50);
    assert!(error.to_string().contains("9950 more problems"), "{error}");
    assert!(error.explain().contains("10000 problems; 50 of them are shown"));
    let regions = "[[region]]\nname = \"a\"\n".repeat(1000);
    let error = parse(&format!("{LEAST}{regions}"), &[]).unwrap_err();
    assert!(error.to_string().contains("region.64: one too many: there may be 64"), "{error}");
}
