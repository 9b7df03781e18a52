//! The device program as its users see it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use oddsight::image::{Rgb, encode_png};
use oddsight::model::self_test::picture;
use serde_json::Value;

#[path = "support/directory.rs"]
mod directory;
#[path = "support/tiny.rs"]
mod tiny;

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    /// A folder with a model and three pictures of three sizes.
    fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        directory::write(&dir.path().join("model"));
        let pictures = dir.path().join("pictures");
        std::fs::create_dir_all(&pictures).unwrap();
        for (seed, size) in [(1, [16, 16]), (2, [40, 25]), (3, [7, 90])] {
            let png = encode_png(&picture(seed, size));
            std::fs::write(pictures.join(format!("{seed}.png")), png).unwrap();
        }
        Bench { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Output {
        let program = env!("CARGO_BIN_EXE_oddsight");
        Command::new(program).current_dir(self.dir.path()).args(args).output().unwrap()
    }
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn failure(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(text.starts_with("error: ") || text.contains("\nerror: "), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

#[test]
fn score_gives_one_line_per_picture() {
    let bench = Bench::new();
    let output = bench.run(&["score", "--model", "model", "--json", "pictures/1.png", "pictures"]);
    assert!(output.status.success(), "{output:?}");
    let lines = lines(&output);
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0]["energy_q16"], lines[1]["energy_q16"]);
    assert_eq!(lines[3]["name"], "pictures/3.png");
    for line in &lines {
        let p = line["p_value"].as_f64().unwrap();
        assert!(p > 0.0 && p <= 1.0);
        assert_eq!(line["unusual"], p <= 0.05);
        assert!(line["heads"]["mls"]["share"].is_null());
    }
    let plain = bench.run(&["score", "--model", "model", "pictures"]);
    assert_eq!(String::from_utf8(plain.stdout).unwrap().lines().count(), 3);
}

#[test]
fn score_says_which_pictures_it_could_not_read() {
    let bench = Bench::new();
    let whole = std::fs::read(bench.path("pictures/2.png")).unwrap();
    std::fs::write(bench.path("cut.png"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(bench.path("empty.jpg"), []).unwrap();
    std::fs::write(bench.path("note.png"), "no picture").unwrap();
    let unreadable = ["cut.png", "empty.jpg", "note.png", "nowhere.png"];
    let mut args = vec!["score", "--model", "model", "--json", "pictures/1.png"];
    args.extend(unreadable);
    let output = bench.run(&args);
    let why = failure(&output);
    for name in unreadable {
        assert!(why.contains(&format!("error: {name}: ")), "{why}");
    }
    assert_eq!(lines(&output).len(), 1);
}

#[test]
fn run_plays_a_folder_a_tar_and_the_simulated_camera() {
    let bench = Bench::new();
    std::fs::write(bench.path("pictures/2b.png"), "broken").unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_dir_all("set", bench.path("pictures")).unwrap();
    std::fs::write(bench.path("set.tar"), builder.into_inner().unwrap()).unwrap();
    for source in ["dir:pictures", "tar:set.tar"] {
        let output = bench.run(&["run", "--model", "model", "--source", source, "--once"]);
        assert!(output.status.success(), "{output:?}");
        let lines = lines(&output);
        assert_eq!(lines.len(), 4, "{source}");
        let faults = lines.iter().filter(|line| line["camera_fault"].is_string()).count();
        assert_eq!(faults, 1, "a broken frame is a camera fault, not an anomaly");
        assert!(lines.iter().enumerate().all(|(i, line)| line["seq"] == i));
    }
    let output = bench.run(&["run", "--model", "model", "--source", "synth:5", "--once"]);
    assert!(output.status.success(), "{output:?}");
    assert!(lines(&output).len() > 50);
}

#[test]
fn a_cut_tar_ends_with_an_error() {
    let bench = Bench::new();
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_dir_all("set", bench.path("pictures")).unwrap();
    let whole = builder.into_inner().unwrap();
    std::fs::write(bench.path("cut.tar"), &whole[..whole.len() * 2 / 3]).unwrap();
    let output = bench.run(&["run", "--model", "model", "--source", "tar:cut.tar", "--once"]);
    assert!(failure(&output).contains("cut.tar"));
}

#[test]
fn wrong_models_are_refused_by_name() {
    let bench = Bench::new();
    let score = |model: &str| failure(&bench.run(&["score", "--model", model, "pictures"]));
    assert!(score("nowhere").contains("nowhere"));
    assert!(score("pictures").contains("heads.postcard"));
    std::fs::write(bench.path("model/heads.postcard"), "ODDS").unwrap();
    assert!(score("model").contains("copy it again"));
}

#[test]
fn an_alpha_that_cannot_be_honoured_is_refused() {
    let bench = Bench::new();
    let output = bench.run(&["score", "--model", "model", "--alpha", "0.001", "pictures"]);
    assert!(failure(&output).contains("999 frames"));
    let usage = bench.run(&["score", "--model", "model", "--alpha", "2", "pictures"]);
    assert_eq!(usage.status.code(), Some(2));
}

#[test]
fn inspect_describes_a_model_a_heads_file_and_a_backbone() {
    let bench = Bench::new();
    let say = |path: &str| {
        let output = bench.run(&["inspect", path]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let whole = say("model");
    for word in ["16×16", "12 channels of 8×8", "maximum softmax", "200 held-out", "3 frames"] {
        assert!(whole.contains(word), "{word}: {whole}");
    }
    assert!(say("model/heads.postcard").contains("energy of the logits"));
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/heads-v3.postcard");
    let refined = "energy of the logits, temperature 4; refined by a residual 12-9-1 of 127 parameters, \
                   temperature 0.25";
    assert!(say(golden).contains(refined), "{}", say(golden));
    assert!(say("model/backbone.onnx").contains("12 features to 4 classes"));
    let missing = bench.run(&["inspect", "nowhere"]);
    assert!(failure(&missing).contains("nowhere"));
}

#[test]
fn an_extreme_picture_is_scored() {
    let bench = Bench::new();
    let thin = Rgb { width: 4000, height: 1, pixels: vec![120; 12_000] };
    std::fs::write(bench.path("thin.png"), encode_png(&thin)).unwrap();
    let output = bench.run(&["score", "--model", "model", "--json", "thin.png"]);
    assert!(output.status.success() && lines(&output).len() == 1, "{output:?}");
    assert!(Path::new(&bench.path("thin.png")).exists());
}

/// The shipped model, whose backbone is an int8 one.
fn shipped() -> String {
    format!("{}/models/demo-conveyor", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn doctor_lists_every_node_with_its_kernel() {
    let bench = Bench::new();
    let output = bench.run(&["doctor", "--model", &shipped(), "--frames", "2"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("int8 from the picture to the features"), "{text}");
    assert!(text.contains("/layer4/layer4.1/relu_1/Relu_output_0_QuantizeLinear"), "{text}");

    let output = bench.run(&["doctor", "--model", &shipped(), "--frames", "2", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let [nodes, kinds] = ["nodes", "kinds"].map(|key| report[key].as_array().unwrap());
    let macs = |entry: &Value| entry["macs"].as_u64().unwrap();
    assert_eq!(
        kinds.iter().map(macs).sum::<u64>(),
        nodes.iter().map(|node| macs(&node["node"])).sum::<u64>()
    );
    for how in ["3×3/2", "1×1/2"] {
        assert!(kinds.iter().any(|kind| kind["how"] == how), "{kinds:?}");
    }

    // The tiny model of these tests is float: tract runs it.
    let output = bench.run(&["doctor", "--model", "model", "--frames", "2", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["integer"], false);
    let nodes = report["nodes"].as_array().unwrap();
    assert!(nodes.iter().all(|node| node["node"]["kernel"] == "tract"), "{nodes:?}");
    let shares: f64 = nodes.iter().map(|node| node["share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-9, "{shares}");
}

#[test]
fn bench_times_every_stage_and_an_int8_backbone_allocates_nothing() {
    let bench = Bench::new();
    let args = ["bench", "--model", &shipped(), "--frames", "2", "--picture", "64x48", "--json"];
    let report: Value = serde_json::from_slice(&bench.run(&args).stdout).unwrap();
    let stages = report["stages"].as_array().unwrap();
    let names: Vec<&str> = stages.iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    assert_eq!(names, ["image", "backbone", "energy", "verdict"]);
    assert!(stages.iter().all(|stage| stage["median_us"].as_f64().unwrap() > 0.0));
    assert!(stages[1]["gmac_per_s"].as_f64().unwrap() > 0.0);
    assert_eq!(stages[1]["bytes_allocated"], 0);
    assert_eq!(stages[2]["bytes_allocated"], 0);
}

#[test]
fn kernels_and_threads_change_nothing_that_is_printed() {
    let bench = Bench::new();
    let score = |more: &[&str]| {
        let model = shipped();
        let args = [&["score", "--model", &model, "--json", "pictures"], more].concat();
        let output = bench.run(&args);
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let usual = score(&[]);
    assert_eq!(usual, score(&["--threads", "3"]));
    assert_eq!(usual, score(&["--kernel", "portable"]));
    assert_eq!(usual, score(&["--kernel", "reference"]));
}

#[test]
fn an_unknown_kernel_is_a_usage_error_that_names_the_known_ones() {
    let bench = Bench::new();
    let output = bench.run(&["score", "--model", "model", "--kernel", "fast", "pictures"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("portable") && text.contains("reference"), "{text}");
}

/// What a file holds is never printed as it is: it may hold codes that a terminal obeys.
#[test]
fn archives_that_are_none_are_named_and_not_shown() {
    let bench = Bench::new();
    std::fs::write(bench.path("codes.tar"), b"\x1b[31m\x07garbage".repeat(100)).unwrap();
    std::fs::write(bench.path("packed.tar.gz"), b"\x1f\x8b\x08\0\0\0\0\0\0\x03").unwrap();
    for (name, why) in [
        ("codes.tar", "not a tar archive, or a damaged one"),
        ("packed.tar.gz", "compressed with gzip; unpack it to a plain .tar first"),
        ("pictures/1.png", "not a tar archive, or a damaged one"),
    ] {
        let source = format!("tar:{name}");
        for args in [
            ["model", "install", name, "--store", "store"],
            ["run", "--model", "model", "--source", &source],
        ] {
            assert_eq!(failure(&bench.run(&args)), format!("error: {name}: {why}\n"));
        }
    }
}

#[test]
fn a_model_that_is_refused_is_named_as_it_was_given() {
    let bench = Bench::new();
    let refused = |args: &[&str]| {
        let args = [&["model", "install"], args, &["--store", "store"]].concat();
        failure(&bench.run(&args))
    };
    let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    let why = refused(&["model", "--key", key]);
    assert!(why.starts_with("error: model/manifest.json: missing"), "{why}");
    std::fs::write(bench.path("model/heads.postcard"), "ODDS").unwrap();
    let why = refused(&["model"]);
    assert!(why.contains("model/heads.postcard") && !why.contains("candidate"), "{why}");
}

#[test]
fn pipes_are_not_waited_for() {
    let bench = Bench::new();
    let made = Command::new("mkfifo").arg(bench.path("pipe")).status();
    assert!(made.unwrap().success());
    std::fs::remove_file(bench.path("model/heads.postcard")).unwrap();
    std::fs::rename(bench.path("pipe"), bench.path("model/heads.postcard")).unwrap();
    for source in ["model/heads.postcard", "model"] {
        let why = failure(&bench.run(&["model", "install", source, "--store", "store"]));
        assert!(why.contains("heads.postcard: is no plain file"), "{why}");
    }
    let output = bench.run(&["config", "check", "model/heads.postcard"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
}

#[test]
fn what_comes_in_by_standard_input_and_is_no_picture_is_named() {
    let bench = Bench::new();
    for (bytes, what) in [
        (b"y\n".repeat(50_000), "100000 bytes without a JPEG picture, which look like text"),
        (vec![0; 300_000], "which look like zeros only"),
        (std::fs::read(bench.path("pictures/2.png")).unwrap(), "which look like PNG files"),
        (vec![0x55, 0xaa, 1, 2], "4 bytes without a JPEG picture, which begin with 55 aa 01 02"),
    ] {
        std::fs::write(bench.path("stream"), bytes).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_oddsight"))
            .current_dir(bench.dir.path())
            .args(["run", "--model", "model", "--source", "stdin:", "--once"])
            .stdin(std::fs::File::open(bench.path("stream")).unwrap())
            .output()
            .unwrap();
        let why = failure(&output);
        assert!(why.contains("no frame that could be scored: ") && why.contains(what), "{why}");
    }
}

#[test]
fn missing_arguments_name_every_way_to_give_them() {
    let bench = Bench::new();
    for (args, what) in [
        (&["run"][..], "--config FILE, or --model DIR and --source URI"),
        (&["run", "--model", "model"], "--config FILE, or --model DIR and --source URI"),
        (&["learn", "--out", "x"], "--config FILE, or --model DIR and --source URI"),
        (&["model", "install", "model"], "--config FILE or --store DIR"),
        (&["model", "list"], "--config FILE or --store DIR"),
    ] {
        let output = bench.run(args);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(text, format!("error: give {what}\n"));
    }
}

#[test]
fn events_of_what_is_no_journal_are_an_error() {
    let bench = Bench::new();
    std::fs::write(bench.path("d.toml"), "[model]\ndir = \"/m\"\n".repeat(99)).unwrap();
    for path in ["d.toml", "pictures", "nowhere"] {
        let why = failure(&bench.run(&["events", path]));
        assert!(why.contains(&format!("error: {path}: no journal there")), "{why}");
    }
    // One that nothing was written to yet.
    std::fs::create_dir(bench.path("new")).unwrap();
    let output = bench.run(&["events", "new"]);
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"0 events\n"[..]));
}

#[cfg(target_os = "linux")]
#[test]
fn learning_that_is_stopped_says_so() {
    use std::io::{BufRead as _, Read as _};
    let bench = Bench::new();
    let args = ["learn", "--model", "model", "--source", "synth:1?fps=10", "--out", "learnt"];
    let mut child = Command::new(env!("CARGO_BIN_EXE_oddsight"))
        .current_dir(bench.dir.path())
        .args(args)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("learning: ") {
        assert!(said.read_line(&mut line).unwrap() > 0, "{line}");
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(rest.contains("stopped after") && rest.contains("nothing was written"), "{rest}");
    assert!(!bench.path("learnt").exists());
}
