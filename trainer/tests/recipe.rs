//! Recipes, checkpoints and reports of refined heads as their users see them, on the tiny network.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use oddsight::model::Model;
use oddsight::model::self_test::picture;
use serde_json::Value;

mod support;

use support::tiny::SIDE;
use support::{Bench, failure, success, tinted};

/// A training that takes no time.
const SMALL: &str = "heads = [\"gmm\", \"heat\"]\ncompose = \"sum=heat\"\n\
    [heat-gmm]\nhidden = 16\ndepth = 2\nepochs = 4\nbatch = 32\nsteps = 3\nlearning-rate = 1e-3\n\
    replay = 64\n\
    [heat-gmm-std]\nhidden = 16\ndepth = 2\nepochs = 2\nbatch = 32\nsteps = 1\n\
    [heat-el]\nhidden = 16\ndepth = 2\nepochs = 2\nbatch = 32\nsteps = 2\nproposal = \"data\"\n";

const FIT: &str = "fit --backbone tiny.onnx --recipe small.toml --holdout 0.4 --out model";

/// A folder with `small.toml`, and `f.safetensors` of the two classes.
fn with_features() -> Bench {
    let bench = Bench::new();
    std::fs::write(bench.path("small.toml"), SMALL).unwrap();
    bench.features("data", "f.safetensors");
    bench
}

impl Bench {
    fn features(&self, data: &str, out: &str) {
        let args = format!("features --backbone tiny.onnx --data {data} --out {out}");
        success(&self.run(&args));
    }

    fn fit(&self, more: &str) -> Output {
        self.run(&format!("{FIT} --data f.safetensors {more}"))
    }

    fn heads(&self) -> Vec<u8> {
        std::fs::read(self.path("model/heads.postcard")).unwrap()
    }

    fn card(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.path("model/card.json")).unwrap()).unwrap()
    }

    /// Writes `to` as a copy of the file `from` in which feature `index` of `avg` is another one.
    fn with_feature(&self, from: &str, to: &str, index: usize, feature: i32) {
        self.with_features([from, to], "avg", index..index + 1, feature);
    }

    /// The same of some features of any tensor.
    fn with_features(
        &self,
        [from, to]: [&str; 2],
        tensor: &str,
        indices: std::ops::Range<usize>,
        feature: i32,
    ) {
        let mut bytes = std::fs::read(self.path(from)).unwrap();
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let json: Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
        let start = json[tensor]["data_offsets"][0].as_u64().unwrap() as usize;
        for at in indices.map(|index| 8 + header + start + 4 * index) {
            bytes[at..at + 4].copy_from_slice(&feature.to_le_bytes());
        }
        std::fs::write(self.path(to), bytes).unwrap();
    }
}

#[test]
fn a_printed_recipe_is_read_again_and_flags_win() {
    let bench = with_features();
    let printed = success(&bench.run("recipe --preset imagenet --set heat-gmm.steps=7"));
    assert!(printed.contains("steps = 7") && printed.contains("tapering"), "{printed}");
    std::fs::write(bench.path("printed.toml"), &printed).unwrap();
    assert_eq!(success(&bench.run("recipe --recipe printed.toml")), printed);
    let args = "recipe --recipe printed.toml --set alpha=0.2 --set seed=3 --alpha 0.3";
    let over = success(&bench.run(args));
    assert!(over.contains("alpha = 0.3\nseed = 3\n"), "{over}");
}

#[test]
fn recipes_that_are_none_are_refused_before_the_work() {
    let bench = with_features();
    for (text, parts) in [
        ("format = 9\nwarp = 1", &["newer version", "update oddsight-train"][..]),
        ("[heat-gmm]\nstep-siez = 1", &["step-siez", "[heat-gmm]", "heat-gmm.step-size"]),
        ("[heat-gmm]\nsteps = \"many\"", &["heat-gmm.steps", "whole number"]),
        ("[heat-el]\ntemperature = -1", &["heat-el.temperature", "more than 0"]),
        ("[heat-el]\nsteps = 1000000000000", &["heat-el.steps", "at most"]),
        ("[heat-el]\nprior = \"mixture\"", &["heat-el.prior", "no meaning"]),
        (
            "[heat-gmm]\nlabelled-prior = true\nproposal = \"data\"",
            &["heat-gmm.labelled-prior", "no effect", "batch-classes"],
        ),
        (
            "[heat-gmm]\nbatch-classes = true\nproposal = \"data\"",
            &["heat-gmm.batch-classes", "no effect", "labelled-prior"],
        ),
        (
            "[heat-gmm]\nlabelled-prior = true\nreplay = 4096",
            &["heat-gmm.labelled-prior", "replay to 0"],
        ),
        (
            "[heat-gmm]\nlabelled-prior = true\nsampler = \"svgd\"",
            &["heat-gmm.labelled-prior", "sgld"],
        ),
        ("seed =", &["line 1"]),
    ] {
        std::fs::write(bench.path("bad.toml"), text).unwrap();
        let args = "fit --backbone tiny.onnx --data f.safetensors --out model --recipe bad.toml";
        let why = failure(&bench.run(args));
        assert!(why.contains("bad.toml") && parts.iter().all(|part| why.contains(part)), "{why}");
        assert!(!bench.path("model").exists());
    }
    for more in ["--preset cifar", "--heads heatt", "--seed -1", "--standardise some"] {
        assert_eq!(bench.fit(more).status.code(), Some(2), "{more}");
    }
    let why = failure(
        &bench
            .run("fit --backbone tiny.onnx --data f.safetensors --out model --heads gmm --resume"),
    );
    assert!(why.contains("--resume") && why.contains("heat"), "{why}");
}

#[test]
fn refined_heads_are_fitted_reported_and_cleaned_up_after() {
    let bench = with_features();
    let said = success(&bench.fit("--report report.html"));
    assert!(said.contains("heat-gmm-std") && said.contains("report.html"), "{said}");
    let model = Model::open(&bench.path("model")).unwrap();
    assert_eq!(model.blob().heads.heads.len(), 4);
    assert!(!bench.path("model.checkpoints").exists());
    let page = std::fs::read_to_string(bench.path("report.html")).unwrap();
    assert_eq!(page.matches("<polyline").count(), 3 * 4, "four curves for each refined head");
    assert_eq!(page.matches("<polygon").count(), 2 * 5, "two spreads for each head and the sum");
    assert!(page.contains("4 of 4") && !page.contains("Stopped"));
    let recipe = bench.card()["recipe"].clone();
    assert_eq!((&recipe["heat-gmm"]["hidden"], &recipe["alpha"]), (&16.into(), &0.05.into()));
    let first = bench.heads();
    let slash = FIT.replace("--out model", "--out model/");
    success(&bench.run(&format!("{slash} --data f.safetensors --threads 1 --keep-checkpoints")));
    assert_eq!(bench.heads(), first, "threads change nothing");
    assert!(bench.path("model.checkpoints/heat-gmm.checkpoint").is_file());
    // Fewer rows than the batch of 256: the batch is all of them.
    success(&bench.fit("--standardise batch --checkpoints other"));
    assert_eq!(bench.heads(), first);
}

/// The head that was trained last goes on from the middle; heads that were finished are taken as they
/// are.
#[test]
fn a_stopped_run_goes_on_to_the_same_bits() {
    let bench = with_features();
    success(&bench.fit("--keep-checkpoints"));
    let whole = bench.heads();
    // A run is stopped by an error of its last head: the others leave their checkpoints.
    std::fs::remove_dir_all(bench.path("model.checkpoints")).unwrap();
    let diverges = "--report report.html --set heat-el.learning-rate=1e30 --set heat-el.epochs=9";
    let why = failure(&bench.fit(diverges));
    assert!(why.contains("heat-el") && why.contains("learning-rate"), "{why}");
    assert!(why.contains("heat-gmm-std: 2 epochs") && !why.contains("heat-el: 0"), "{why}");
    let page = std::fs::read_to_string(bench.path("report.html")).unwrap();
    assert!(page.contains("Stopped:") && page.contains("4 of 4"), "what was learnt is shown");
    let why = failure(&bench.fit(""));
    assert!(why.contains("--resume") && why.contains("remove the folder"), "{why}");
    let _ = std::fs::remove_file(bench.path("model.checkpoints/heat-el.checkpoint"));
    let output = bench.fit("--resume --report report.html");
    success(&output);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("heat-gmm: 0 epochs after the 4 of a checkpoint"), "{said}");
    assert_eq!(bench.heads(), whole);
    let page = std::fs::read_to_string(bench.path("report.html")).unwrap();
    assert!(page.contains("went on from a checkpoint after 4"));
    assert!(!bench.path("model.checkpoints").exists());
}

/// As a power cut does it: in the middle of an epoch, without a chance to tidy up.
#[test]
fn a_killed_run_goes_on_to_the_same_bits() {
    let bench = with_features();
    let long = "--set heat-gmm.epochs=60 --set heat-gmm.steps=20 --checkpoints kept";
    success(&bench.fit(long));
    let whole = bench.heads();
    std::fs::remove_dir_all(bench.path("model")).unwrap();
    let args = format!("{FIT} --data f.safetensors {long}");
    let mut child = Command::new(env!("CARGO_BIN_EXE_oddsight-train"))
        .current_dir(bench.dir.path())
        .args(args.split_whitespace())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !bench.path("kept/heat-gmm.checkpoint").exists() {
        assert!(child.try_wait().unwrap().is_none(), "ended without a checkpoint");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!bench.path("model").exists(), "killed before its end");
    let output = bench.fit(&format!("{long} --resume"));
    success(&output);
    assert!(String::from_utf8_lossy(&output.stderr).contains("of a checkpoint"), "{output:?}");
    assert_eq!(bench.heads(), whole);
}

/// Nothing comes after the last step but the model.
#[test]
fn a_last_step_that_diverges_is_seen() {
    let bench = with_features();
    let one_step = "--set heat-gmm.epochs=1 --set heat-gmm.batch=72 --set heat-gmm.replay=0";
    for rate in ["10", "1e3", "1e30"] {
        let why = failure(&bench.fit(&format!("{one_step} --set heat-gmm.learning-rate={rate}")));
        assert!(
            why.contains("diverged in epoch 1") && why.contains("lower learning-rate"),
            "{why}"
        );
        assert!(!bench.path("model").exists() && !bench.path("model.checkpoints").exists());
    }
    // The second epoch learns a billion times as fast.
    let later = "--set heat-gmm.milestones=[1] --set heat-gmm.gamma=1e9";
    let why = failure(&bench.fit(later));
    assert!(why.contains("diverged in epoch 2"), "{why}");
    assert!(why.contains("remove model.checkpoints/heat-gmm.checkpoint"), "{why}");
    std::fs::remove_file(bench.path("model.checkpoints/heat-gmm.checkpoint")).unwrap();
    success(&bench.fit("--resume"));
}

/// Also where a small or no l2 sets no bound.
#[test]
fn energies_that_explode_stop_a_training() {
    let bench = with_features();
    for more in [
        "--set heat-gmm.l2=0 --set heat-gmm.learning-rate=0.3",
        "--set heat-gmm.hidden=64 --set heat-gmm.learning-rate=0.1",
    ] {
        let why = failure(&bench.fit(&format!("--set heat-gmm.epochs=100 {more}")));
        assert!(why.contains("diverged in epoch") && why.contains("at most"), "{why}");
        let _ = std::fs::remove_dir_all(bench.path("model.checkpoints"));
    }
}

#[test]
fn checkpoints_that_do_not_fit_are_refused_by_name() {
    let bench = with_features();
    success(&bench.fit("--keep-checkpoints"));
    let path = bench.path("model.checkpoints/heat-gmm.checkpoint");
    let whole = std::fs::read(&path).unwrap();
    for (more, word) in [
        ("--set heat-gmm.l2=3", "other constants"),
        ("--set heat-gmm.prior=mahalanobis", "other constants"),
        ("--calibration f.safetensors", "other data"),
        ("--seed 5", "seed 0, not 5"),
    ] {
        let fit = match more.starts_with("--calibration") {
            true => FIT.replace("--holdout 0.4", ""),
            false => FIT.to_string(),
        };
        let why = failure(&bench.run(&format!("{fit} --data f.safetensors --resume {more}")));
        assert!(why.contains("heat-gmm.checkpoint") && why.contains(word), "{more}: {why}");
    }
    let mut altered = whole.clone();
    altered[whole.len() / 2] ^= 1;
    let mut newer = whole.clone();
    newer[8] = 2;
    for (bytes, word) in [
        (&whole[..whole.len() / 2], "bytes long"),
        (&altered, "checksum"),
        (&newer, "newer"),
        (b"ODDSIGHT", "not a checkpoint"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let why = failure(&bench.fit("--resume"));
        assert!(why.contains("heat-gmm.checkpoint") && why.contains(word), "{why}");
        assert!(why.contains("remove "), "{why}");
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let why = failure(&bench.fit("--resume"));
    assert!(why.contains("heat-gmm.checkpoint: cannot be read"), "{why}");
    assert!(why.contains("remove "), "{why}");
    // That of a later head is looked at before the first one is trained.
    std::fs::remove_dir(&path).unwrap();
    std::fs::write(bench.path("model.checkpoints/heat-el.checkpoint"), "ODDTRAIN?").unwrap();
    let why = failure(&bench.fit("--resume"));
    assert!(why.contains("heat-el.checkpoint") && !path.exists(), "{why}");
}

#[test]
fn features_that_cannot_be_learnt_from_are_named() {
    let bench = with_features();
    bench.with_feature("f.safetensors", "nan.safetensors", 12 * 7 + 3, i32::MIN);
    for heads in ["heat-gmm", "heat-el"] {
        let args = "fit --backbone tiny.onnx --recipe small.toml --data nan.safetensors --out model \
                    --calibration f.safetensors";
        let why = failure(&bench.run(&format!("{args} --heads {heads} --compose sum")));
        assert!(why.contains("nan.safetensors") && why.contains("row 7"), "{heads}: {why}");
        assert!(!bench.path("model").exists());
        let _ = std::fs::remove_dir_all(bench.path("model.checkpoints"));
    }
    let args =
        "fit --backbone tiny.onnx --data f.safetensors --calibration nan.safetensors --out model";
    let why = failure(&bench.run(args));
    assert!(why.contains("nan.safetensors") && why.contains("row 7"), "{why}");
}

/// What can be known before hours of training is said before.
#[test]
fn all_sources_are_looked_at_before_the_training() {
    let bench = with_features();
    for seed in 0..12 {
        bench.picture(&format!("known/{seed}.png"), &picture(seed, [SIDE, SIDE]));
        bench.picture(&format!("few/{}.png", seed % 9), &picture(seed, [SIDE, SIDE]));
    }
    bench.features("known", "known.safetensors");
    let (good, bad) = ("f.safetensors", "bad.safetensors");
    let fit = format!("--data {good} --holdout 0.4");
    let one_row = |from: &str, tensor, width: usize| {
        bench.with_features([from, bad], tensor, 7 * width..7 * width + 1, i32::MIN);
    };
    let refused = |more: &str, word: &str| {
        let why = failure(
            &bench.run(&format!("fit --backbone tiny.onnx --recipe small.toml --out model {more}")),
        );
        assert!(why.contains(word), "{more}: {why}");
        assert!(!why.contains("epochs") && !bench.path("model.checkpoints").exists(), "{why}");
    };
    for (tensor, width) in [("avg", 12), ("std", 12), ("logits", 4)] {
        one_row(good, tensor, width);
        refused(&format!("--data {bad} --holdout 0.4"), "bad.safetensors: row 7 ");
        refused(&format!("--data {good} --calibration {bad}"), "bad.safetensors: row 7 ");
        one_row("known.safetensors", tensor, width);
        refused(&format!("{fit} --known-unusual {bad}"), "bad.safetensors: row 7 ");
    }
    refused(&format!("{fit} --known-unusual few"), "9 pictures, weights need 10");
    let one = "--heads heat-el,gmm --compose sum=heat-el";
    refused(&format!("{fit} {one} --known-unusual known"), "heat-el is the only one");
    // The prior of the second head.
    bench.with_features([good, bad], "std", 0..120 * 12, 0);
    refused(&format!("--data {bad} --holdout 0.4"), "training head heat-gmm-std");
    // What no head reads does not matter.
    one_row(good, "std", 12);
    let args =
        format!("fit --backbone tiny.onnx --data {bad} --holdout 0.4 --heads gmm --out model");
    success(&bench.run(&args));
}

#[test]
fn classes_of_pictures_without_any_are_missed() {
    let bench = with_features();
    let args = "fit --backbone tiny.onnx --recipe small.toml --data data/dark --out model \
                --heads heat-gmm --compose sum --holdout 0.4 --set heat-gmm.batch-classes=true";
    let output = bench.run(args);
    success(&output);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("batch-classes has no effect"), "{said}");
}

/// A dead channel, one folder, and fewer pictures than channels are ridged and trained.
#[test]
fn scarce_features_still_train() {
    let bench = with_features();
    for seed in 0..9 {
        bench.picture(&format!("few/only/{seed}.png"), &tinted(seed, 1));
    }
    bench.features("few", "few.safetensors");
    for row in 0..9 {
        bench.with_feature("few.safetensors", "few.safetensors", 12 * row + 5, 0);
    }
    let args = "fit --backbone tiny.onnx --recipe small.toml --data few.safetensors --out model \
                --calibration f.safetensors";
    let output = bench.run(args);
    success(&output);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("ridge"), "{said}");
    assert!(said.contains("heat-gmm: step-size") && said.contains("leap"), "{said}");
    let model = Model::open(&bench.path("model")).unwrap();
    assert_eq!(model.blob().heads.heads.len(), 4);
}

/// The map of a stride-2 network is 1×1 for an input of 2×2 pixels.
#[test]
fn a_map_of_one_pixel_has_no_standard_deviation() {
    let bench = with_features();
    let args =
        "fit --backbone tiny.onnx --input-size 2 --data data --out model --heads heat-gmm-std";
    let why = failure(&bench.run(args));
    assert!(why.contains("heat-gmm-std") && why.contains("1×1"), "{why}");
}

#[test]
fn known_unusual_pictures_weigh_heads_and_are_kept_from_evaluation() {
    let bench = with_features();
    for seed in 0..30 {
        bench.picture(&format!("scratched/{seed}.png"), &picture(seed, [SIDE, SIDE]));
        bench.picture(&format!("torn/{seed}.png"), &picture(seed + 100, [SIDE, SIDE]));
        bench.picture(&format!("fresh/{seed}.png"), &tinted(seed + 5000, 1));
    }
    let fit = "fit --backbone tiny.onnx --data data --holdout 0.4 --out model --heads gmm,el";
    success(&bench.run(fit));
    let plain = bench.heads();
    assert_eq!(bench.card()["known_unusual"], Value::Array(Vec::new()));
    success(&bench.run(&format!("{fit} --known-unusual scratched")));
    assert_ne!(bench.heads(), plain, "the composition is weighed");
    let known = bench.card()["known_unusual"].clone();
    assert_eq!((&known[0]["source"], &known[0]["pictures"]), (&"scratched".into(), &30.into()));
    let eval = "eval --model model --normal fresh --resamples 5 --unusual";
    success(&bench.run(&format!("{eval} torn=torn")));
    bench.features("scratched", "scratched.safetensors");
    for source in ["scratched", "scratched.safetensors"] {
        let why = failure(&bench.run(&format!("{eval} torn=torn new={source}")));
        assert!(why.contains("--unusual new=") && why.contains("--known-unusual"), "{why}");
    }
    // Whatever they are called, however they are packed, and also where they are only some.
    for seed in 0..30 {
        let picture = picture(seed, [SIDE, SIDE]);
        bench.picture(&format!("classes/a{}/{seed}x.png", seed % 2), &picture);
        if seed > 0 {
            bench.picture(&format!("fewer/{seed}.png"), &picture);
        }
    }
    bench.picture("mixed/1.png", &picture(0, [SIDE, SIDE]));
    bench.picture("mixed/2.png", &tinted(9000, 1));
    let mut tar = tar::Builder::new(std::fs::File::create(bench.path("packed.tar")).unwrap());
    tar.append_dir_all("packed", bench.path("classes")).unwrap();
    tar.finish().unwrap();
    for (source, shared) in [
        ("classes", "30 of these 30"),
        ("fewer", "29 of these 29"),
        ("packed.tar", "30 of these 30"),
        ("mixed", "1 of these 2"),
    ] {
        let why = failure(&bench.run(&format!("{eval} torn=torn new={source}")));
        assert!(why.contains("--unusual new=") && why.contains(shared), "{why}");
        let normal = eval.replace("--normal fresh", &format!("--normal {source}"));
        let why = failure(&bench.run(&format!("{normal} torn=torn")));
        assert!(why.contains("--normal") && why.contains(shared), "{why}");
    }
    let warned = |output: Output| {
        success(&output);
        String::from_utf8_lossy(&output.stderr).contains("nothing keeps these out")
    };
    assert!(!warned(bench.run(&format!("{eval} torn=torn"))));
    let whole = bench.card();
    for alter in [
        |card: &mut Value| drop(card.as_object_mut().unwrap().remove("known_unusual")),
        |card: &mut Value| drop(card.as_object_mut().unwrap().remove("digests")),
        |card: &mut Value| card["digests"]["known_unusual"][0] = "0123456789abcdef".into(),
    ] {
        let mut card = whole.clone();
        alter(&mut card);
        std::fs::write(bench.path("model/card.json"), card.to_string()).unwrap();
        assert!(warned(bench.run(&format!("{eval} torn=torn"))));
    }
    std::fs::remove_file(bench.path("model/card.json")).unwrap();
    assert!(warned(bench.run(&format!("{eval} torn=torn"))));
    for (more, word) in [
        (
            "--known-unusual data/dark",
            "60 of its 60 pictures are the same pictures as some of --data",
        ),
        ("--known-unusual classes --known-unusual fewer", "29 of its 29 pictures"),
    ] {
        let why = failure(&bench.run(&format!("{fit} {more}")));
        assert!(why.contains(word), "{why}");
    }
}
