//! The host program as its users see it, on the tiny network.

use std::path::{Path, PathBuf};
use std::process::Output;

use oddsight::model::Model;
use oddsight::model::self_test::picture;
use serde_json::Value;

mod support;

use support::tiny::{SIDE, Tail};
use support::{Bench, failure, success, tinted, tiny};

impl Bench {
    fn tar(&self, folder: &str) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_dir_all(folder, self.path(folder)).unwrap();
        builder.into_inner().unwrap()
    }

    fn fit(&self, data: &str, more: &str) -> Output {
        self.run(&format!("fit --backbone tiny.onnx --data {data} --out model {more}"))
    }

    /// Fits, expects a refusal, and that nothing was left behind.
    fn fit_refused(&self, data: &str, more: &str) -> String {
        let before = self.files();
        let why = failure(&self.fit(data, more));
        assert_eq!(self.files(), before, "a refused fit leaves nothing behind");
        why
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut names: Vec<_> =
            std::fs::read_dir(self.dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
        names.sort();
        names
    }
}

const ALL_HEADS: &str = "--heads msp,mls,el,gmm,gmm-std,knn --holdout 0.4";

#[test]
fn fit_packs_a_model_that_opens() {
    let bench = Bench::new();
    let said = success(&bench.fit("data", ALL_HEADS));
    assert!(said.contains("72 pictures, 2 classes"), "{said}");
    let model = Model::open(&bench.path("model")).unwrap();
    assert_eq!(model.blob().class_names, ["dark", "light"]);
    assert_eq!(model.calibration().len(), 48);
    let card = std::fs::read_to_string(bench.path("model/card.json")).unwrap();
    let card: Value = serde_json::from_str(&card).unwrap();
    assert_eq!(card["data"]["pictures"], 120);
    assert!(!card.to_string().contains(&bench.dir.path().display().to_string()));
}

/// Folder, tar, any number of threads and a feature file give the same bytes.
#[test]
fn the_heads_depend_on_the_pictures_only() {
    let bench = Bench::new();
    std::fs::write(bench.path("data.tar"), sorted_tar(&bench)).unwrap();
    success(&bench.run("features --backbone tiny.onnx --data data --out data.safetensors"));
    let mut seen = Vec::new();
    for (data, more) in [
        ("data", "--threads 1"),
        ("data", "--threads 3"),
        ("data.tar", ""),
        ("data.safetensors", ""),
    ] {
        success(&bench.fit(data, &format!("{ALL_HEADS} --seed 5 {more}")));
        seen.push(std::fs::read(bench.path("model/heads.postcard")).unwrap());
    }
    assert!(seen.iter().all(|heads| *heads == seen[0]));
    success(&bench.fit("data", &format!("{ALL_HEADS} --seed 6")));
    assert_ne!(std::fs::read(bench.path("model/heads.postcard")).unwrap(), seen[0]);
}

/// The folder's pictures in the order in which a folder is read.
fn sorted_tar(bench: &Bench) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for class in ["dark", "light"] {
        for seed in 0..60 {
            let name = format!("data/{class}/{seed:02}.png");
            builder.append_path_with_name(bench.path(&name), &name).unwrap();
        }
    }
    builder.into_inner().unwrap()
}

#[test]
fn pictures_without_class_folders_are_fitted_by_a_mixture() {
    let bench = Bench::new();
    success(&bench.fit("data/dark", "--holdout 0.4 --components 2"));
    let model = Model::open(&bench.path("model")).unwrap();
    assert!(model.blob().class_names.is_empty());
    let verdict = model.scorer().unwrap().score(&tinted(3, 1)).unwrap();
    assert!(verdict.nearest.unwrap().starts_with("component "));
}

#[test]
fn eval_writes_the_table_and_the_json() {
    let bench = Bench::new();
    for seed in 0..30 {
        bench.picture(&format!("noise/{seed}.png"), &picture(seed, [SIDE, SIDE]));
        bench.picture(&format!("fresh/dark/{seed}.png"), &tinted(seed + 5000, 1));
        bench.picture(&format!("fresh/light/{seed}.png"), &tinted(seed + 6000, 2));
    }
    success(&bench.fit("data", ALL_HEADS));
    let args = "eval --model model --normal fresh --unusual noise=noise --unusual same=fresh/dark \
                --json out.json --resamples 50 --card";
    let table = success(&bench.run(args));
    assert!(table.contains("composed") && table.contains("false alarms"), "{table}");
    let json: Value =
        serde_json::from_slice(&std::fs::read(bench.path("out.json")).unwrap()).unwrap();
    let auroc = json["scores"]["composed"]["noise"]["auroc"].as_f64().unwrap();
    assert!(auroc > 0.9, "bright blocks are unlike dim ones: {auroc}");
    for head in ["msp", "mls", "el", "gmm", "gmm-std", "knn", "composed"] {
        assert!(json["thresholds"][head]["value"].is_number(), "{head}");
        for key in [
            "auroc",
            "fpr_ood_at_95tpr_id",
            "fpr_id_at_95tpr_ood",
            "aupr_in",
            "aupr_out",
            "detection_accuracy",
        ] {
            let value = json["scores"][head]["same"][key].as_f64().unwrap();
            assert!((0.0..=1.0).contains(&value), "{head} {key}");
        }
    }
    assert!(json["false_alarm_rate"].is_number() && json.get("compared").is_none());
    assert!(json["backbone"]["top1"].is_null(), "2 class folders, 4 logits");
    Model::open(&bench.path("model")).unwrap();
    let card = std::fs::read_to_string(bench.path("model/card.json")).unwrap();
    assert!(card.contains("evaluation"));
}

#[test]
fn eval_warns_of_pictures_that_were_seen() {
    let bench = Bench::new();
    for seed in 0..30 {
        bench.picture(&format!("noise/{seed}.png"), &picture(seed, [SIDE, SIDE]));
        bench.picture(&format!("fresh/{seed}.png"), &tinted(seed + 5000, 1));
        bench.picture(&format!("others/{seed}.png"), &tinted(seed + 7000, 1));
    }
    success(&bench.fit("data", "--heads gmm --calibration others"));
    let eval = |more: &str| {
        let output = bench.run(&format!("eval --model model --json e.json --resamples 5 {more}"));
        success(&output);
        (String::from_utf8(output.stderr).unwrap(), json(bench.path("e.json"))["warnings"].clone())
    };
    let (said, warnings) = eval("--normal fresh --unusual noise=noise");
    assert!(!said.contains("pictures are also") && warnings.is_null(), "{said}");
    for (more, parts) in [
        ("--normal data --unusual n=noise", ["at least 120 of its 120", "the model's --data"]),
        (
            "--normal data/dark --unusual n=noise",
            ["--normal data/dark: at least 60", "the model's --data"],
        ),
        ("--normal fresh --unusual n=others", ["--unusual n=others", "the model's --calibration"]),
        ("--normal fresh --unusual n=fresh", ["--unusual n=fresh", "in --normal fresh"]),
        ("--normal fresh --unusual a=noise b=noise", ["--unusual b=noise", "in --unusual a=noise"]),
    ] {
        let (said, warnings) = eval(more);
        assert!(parts.iter().all(|part| said.contains(part)), "{more}: {said}");
        assert_eq!(warnings.as_array().unwrap().len(), 1, "{more}: {warnings}");
        assert!(parts.iter().all(|part| warnings[0].as_str().unwrap().contains(part)));
    }
}

/// The same figures from pictures and from their features; whatever cannot be measured is refused.
#[test]
fn eval_compares_with_detectors_of_the_field() {
    let bench = Bench::new();
    for seed in 0..30 {
        bench.picture(&format!("noise/{seed}.png"), &picture(seed, [SIDE, SIDE]));
        bench.picture(&format!("fresh/{seed}.png"), &tinted(seed + 5000, 1 + (seed % 2) as u8));
    }
    success(&bench.fit("data", "--holdout 0.4"));
    success(&bench.run("features --backbone tiny.onnx --data data --out data.safetensors"));
    let eval = |more: &str| {
        let args = "eval --model model --normal fresh --unusual noise=noise --resamples 20";
        bench.run(&format!("{args} {more}"))
    };
    let table = success(&eval("--compare all --data data --json all.json"));
    assert!(table.contains("maha-unit *") && table.contains("fitted to 120 pictures"), "{table}");
    let found = json(bench.path("all.json"));
    let compared = found["compared"].as_object().unwrap();
    assert_eq!(compared.len(), 18);
    for (name, sets) in compared {
        let auroc = sets["noise"]["auroc"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&auroc), "{name}");
        assert!(found["auroc_over_composed"][name]["value"].is_number(), "{name}");
    }
    success(&eval("--compare all --data data.safetensors --json same.json"));
    assert_eq!(json(bench.path("same.json")), found);
    success(&eval("--compare vim,kl --data data --json two.json"));
    let two = json(bench.path("two.json"));
    assert_eq!(two["compared"]["vim"], found["compared"]["vim"]);
    assert_eq!(two["scores"], found["scores"]);

    let output = eval("--compare all --data data/dark");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let table = success(&output);
    assert!(said.contains("rmds are left out") && said.contains("not the pictures"), "{said}");
    assert!(table.contains("maha-one *") && !table.contains("maha-unit"), "{table}");
    for (more, word) in [
        ("--compare maha --data data/dark", "class folders"),
        ("--compare vim,all --data data", "vim twice"),
        ("--compare vim --data noise", "the same pictures as --data noise"),
        ("--compare vim --data nowhere", "no such file"),
    ] {
        let why = failure(&eval(more));
        assert!(why.contains(word), "{more}: {why}");
    }
    for (more, word) in [
        ("--compare vin --data data", "odin-head"),
        ("--compare vim", "--data"),
        ("--data data", "--compare"),
    ] {
        let usage = eval(more);
        assert_eq!(usage.status.code(), Some(2), "{more}");
        assert!(String::from_utf8_lossy(&usage.stderr).contains(word), "{more}: {usage:?}");
    }
}

fn json(path: PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

const EVALUATED: &str = "--normal fresh --unusual noise=noise same=others --resamples 20";

/// `quantize` measures its heads on the very paths that `fit` and `eval` take.
#[test]
fn quantize_measures_every_head_three_ways() {
    let bench = Bench::new();
    for seed in 0..30 {
        bench.picture(&format!("noise/{seed}.png"), &picture(seed, [SIDE, SIDE]));
        bench.picture(&format!("fresh/a/{seed}.png"), &tinted(seed + 5000, 1));
        bench.picture(&format!("fresh/b/{seed}.png"), &tinted(seed + 6000, 1));
        bench.picture(&format!("others/{seed}.png"), &tinted(seed + 7000, 1));
    }
    let args = "quantize --backbone tiny.onnx --data data/dark --out int8.onnx --json q.json";
    let said = success(&bench.run(&format!("{args} {EVALUATED}")));
    assert!(said.contains("mean over 2 unusual sets; heads fitted to 60 pictures"), "{said}");
    let found = json(bench.path("q.json"));
    assert_eq!(found["heads_fitted_to"], 60);
    assert!(found["losses"][0]["sqnr_db"].as_f64().unwrap() > 20.0);
    let heads = "--heads msp,mls,el,gmm,gmm-std,knn --calibration fresh";
    for (backbone, key) in [("tiny.onnx", "float"), ("int8.onnx", "int8")] {
        let args = format!("fit --backbone {backbone} --data data/dark --out model {heads}");
        success(&bench.run(&args));
        success(&bench.run(&format!("eval --model model --json e.json {EVALUATED}")));
        assert_eq!(found["scores"][key], json(bench.path("e.json"))["scores"], "{key}");
    }
    let mixed = &found["scores"]["float_heads_on_int8_features"];
    // Heads without parameters see the same features either way; the fitted ones were not refitted.
    assert_eq!(mixed["msp"], found["scores"]["int8"]["msp"]);
    assert_ne!(mixed["gmm"], found["scores"]["int8"]["gmm"]);
    assert!(mixed["composed"]["noise"]["auroc"].as_f64().unwrap() > 0.9, "{mixed}");
}

#[test]
fn quantize_refuses_what_it_cannot_measure_before_the_work() {
    let bench = Bench::new();
    let quantize = |more: &str| {
        let args = "quantize --backbone tiny.onnx --data data/dark --out int8.onnx";
        bench.run(&format!("{args} {more}"))
    };
    for (more, word) in [
        ("--normal data/light --unusual x=data/dark", "--unusual data/dark: the same pictures"),
        ("--normal data/../data/dark --unusual x=data/light", "the same pictures as --fit"),
        ("--normal synth:1 --unusual x=synth:2 --fit synth:1", "the same pictures as --fit"),
        ("--normal synth:1 --unusual x=nowhere", "no such file"),
        ("--normal synth:1 --unusual x=f.safetensors", "for both backbones"),
        ("--normal synth:1 --unusual average=synth:2", "reserved"),
        ("--normal synth:1 --unusual x=synth:2 --heads el,el", "twice"),
    ] {
        let why = failure(&quantize(more));
        assert!(why.contains(word) && !why.contains("calibrating"), "{more}: {why}");
        assert!(!bench.path("int8.onnx").exists(), "{more}");
    }
    assert_eq!(quantize("--unusual x=synth:2").status.code(), Some(2));
}

#[test]
fn a_class_that_cannot_be_fitted_is_named() {
    let bench = Bench::new();
    bench.picture("data/single/1.png", &tinted(1, 1));
    let other = "--calibration data/dark";
    let why = bench.fit_refused("data", other);
    assert!(why.contains("single"), "{why}");
    for i in 0..40 {
        bench.picture(&format!("twins/same/{i}.png"), &tinted(1, 1));
        bench.picture(&format!("twins/other/{i}.png"), &tinted(i, 2));
    }
    let why = bench.fit_refused("twins", other);
    assert!(why.contains("same"), "{why}");
    let why = bench.fit_refused("twins/same", other);
    assert!(why.contains("twins/same"), "{why}");
}

#[test]
fn unreadable_pictures_are_counted_named_and_limited() {
    let bench = Bench::new();
    std::fs::write(bench.path("data/dark/00.png"), "broken").unwrap();
    let output = bench.fit("data", "--holdout 0.4");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("dark/00.png"), "1 of 120 may fail: {said}");
    std::fs::remove_dir_all(bench.path("model")).unwrap();
    std::fs::write(bench.path("data/dark/01.png"), []).unwrap();
    let why = bench.fit_refused("data", "--holdout 0.4");
    assert!(why.contains("2 of 120") && why.contains("--keep-going"), "{why}");
    success(&bench.fit("data", "--holdout 0.4 --keep-going"));
}

#[test]
fn sources_that_are_none_are_explained() {
    let bench = Bench::new();
    std::fs::write(bench.path("empty.tar"), []).unwrap();
    std::fs::write(bench.path("text.tar"), "no archive ".repeat(100)).unwrap();
    std::fs::create_dir(bench.path("empty")).unwrap();
    std::fs::write(bench.path("cut.tar"), &bench.tar("data")[..100_000]).unwrap();
    std::fs::write(bench.path("x.safetensors"), [9; 40]).unwrap();
    std::fs::create_dir(bench.path("cifar")).unwrap();
    std::fs::write(bench.path("cifar/data_batch_1.bin"), [0; 5000]).unwrap();
    bench.picture("mixed/1.png", &tinted(1, 1));
    bench.picture("mixed/a/1.png", &tinted(2, 1));
    for (source, word) in [
        ("nowhere", "no such file"),
        ("empty", "no JPEG or PNG"),
        ("empty.tar", "empty"),
        ("text.tar", "not a tar archive"),
        ("cut.tar", "cut.tar"),
        ("x.safetensors", "not a feature file"),
        ("cifar", "3073-byte"),
        ("mixed", "class folders and pictures"),
        ("data/dark/00.png", "a single picture"),
        ("synth:x", "synth:SEED"),
    ] {
        let why = bench.fit_refused(source, "");
        assert!(why.contains(word), "{source}: {why}");
    }
}

#[test]
fn outputs_and_options_are_checked_before_the_work() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("model")).unwrap();
    std::fs::write(bench.path("model/diary.txt"), "mine").unwrap();
    assert!(bench.fit_refused("data", "").contains("no model directory"));
    std::fs::remove_dir_all(bench.path("model")).unwrap();
    for (more, word) in [
        ("--heads gmm,gmm", "twice"),
        ("--compose sum=knn", "knn"),
        ("--compose median", "median"),
        ("--holdout 0", "0 is not between"),
        ("--alpha 0.001 --holdout 0.4", "999 frames"),
        ("--input-size 9999", "8192"),
        ("--resize 8", "smaller"),
    ] {
        let why = bench.fit_refused("data", more);
        assert!(why.contains(word), "{more}: {why}");
    }
    let usage = bench.fit("data", "--heads gmmm");
    assert_eq!(usage.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&usage.stderr).contains("gmm-std"));
}

#[test]
fn features_of_another_backbone_are_refused() {
    let bench = Bench::new();
    success(&bench.run("features --backbone tiny.onnx --data data --out f.safetensors"));
    std::fs::write(bench.path("other.onnx"), tiny::onnx(Tail::ReduceMeanAttribute)).unwrap();
    let args = "fit --backbone other.onnx --data f.safetensors --out model";
    assert!(failure(&bench.run(args)).contains("another backbone"));
    let args = "fit --backbone tiny.onnx --input-size 24 --data f.safetensors --out model";
    assert!(failure(&bench.run(args)).contains("preprocessed"));
    let whole = std::fs::read(bench.path("f.safetensors")).unwrap();
    for cut in [0, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(bench.path("cut.safetensors"), &whole[..cut]).unwrap();
        let why = bench.fit_refused("cut.safetensors", "");
        assert!(why.contains("cut.safetensors"), "cut at {cut}: {why}");
    }
}

#[test]
fn feature_files_of_floats_or_another_scale_are_refused() {
    let bench = Bench::new();
    success(&bench.run("features --backbone tiny.onnx --data data --out f.safetensors"));
    let whole = std::fs::read(bench.path("f.safetensors")).unwrap();
    for (from, to) in [(&b"I32"[..], &b"F32"[..]), (b"2^-20", b"2^-10")] {
        let mut other = whole.clone();
        let at = whole.windows(from.len()).position(|bytes| bytes == from).unwrap();
        other[at..at + to.len()].copy_from_slice(to);
        std::fs::write(bench.path("other.safetensors"), &other).unwrap();
        let why = bench.fit_refused("other.safetensors", "");
        assert!(why.contains("other.safetensors") && why.contains("extract"), "{why}");
    }
}

/// Whether a broken row is fitted to or calibrated with, it is named as a user can look it up.
#[test]
fn features_that_are_not_finite_name_their_picture() {
    let bench = Bench::new();
    success(&bench.run("features --backbone tiny.onnx --data data --out f.safetensors"));
    let mut bytes = std::fs::read(bench.path("f.safetensors")).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let at = |tensor: &str, key: &str, i: usize| header[tensor][key][i].as_u64().unwrap() as usize;
    for row in [7, 8, 9, 10, 11, 12] {
        let row_bytes = 4 * at("avg", "shape", 1);
        let start = 8 + length + at("avg", "data_offsets", 0) + row * row_bytes;
        bytes[start..start + 4].copy_from_slice(&i32::MIN.to_le_bytes());
    }
    std::fs::write(bench.path("broken.safetensors"), &bytes).unwrap();
    for more in ["--holdout 0.4", "--holdout 0.4 --heads knn"] {
        let why = bench.fit_refused("broken.safetensors", more);
        let named = (7..13).any(|i| why.contains(&format!("row {i} (dark/{i:02}.png)")));
        assert!(named && why.contains("not finite"), "{more}: {why}");
    }
}

#[test]
fn cifar_binary_batches_are_read() {
    let bench = Bench::new();
    let mut records = Vec::new();
    for i in 0..100u64 {
        let picture = picture(i, [32, 32]);
        records.push((i % 2) as u8);
        for channel in 0..3 {
            records.extend(picture.pixels.iter().skip(channel).step_by(3));
        }
    }
    let folder: &Path = &bench.path("cifar");
    std::fs::create_dir(folder).unwrap();
    std::fs::write(folder.join("data_batch_1.bin"), &records).unwrap();
    std::fs::write(folder.join("test_batch.bin"), &records[..3073]).unwrap();
    std::fs::write(folder.join("batches.meta.txt"), "airplane\nautomobile\nbird\n").unwrap();
    let said =
        success(&bench.run("features --backbone tiny.onnx --data cifar --out f.safetensors"));
    assert!(said.contains("100 pictures") && said.contains("2 classes"), "{said}");
    // The same pictures as files give the same features.
    for i in 0..100 {
        let class = ["airplane", "automobile"][i as usize % 2];
        bench.picture(&format!("files/{class}/data_batch_1-{i:05}.png"), &picture(i, [32, 32]));
    }
    success(&bench.run("features --backbone tiny.onnx --data files --out g.safetensors"));
    success(&bench.run(
        "fit --backbone tiny.onnx --data f.safetensors --calibration g.safetensors --out model",
    ));
}
