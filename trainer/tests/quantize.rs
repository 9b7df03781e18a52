//! `oddsight-train quantize` on the tiny network.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use oddsight::backbone::{Backbone, Features, Normalise};
use oddsight::image::{Rgb, encode_png};
use oddsight::model::self_test::picture;
use oddsight_train::quantize::{Entry, Options, QuantizeErrorKind, Quantized, RangeRule, quantize};
use prost::Message as _;
use tract_onnx::pb::{ModelProto, NodeProto, TensorProto, tensor_proto::DataType};

#[path = "../../tests/support/tiny.rs"]
mod tiny;

use tiny::{CLASSES, SIDE, Tail};

const QUANTISABLE: [Tail; 4] =
    [Tail::Legacy, Tail::ReduceMeanAttribute, Tail::ReduceMeanInput, Tail::AveragePool];

const ENTRY: Entry = Entry { crop: [SIDE; 2], normalise: Normalise::CIFAR10 };

fn pictures(seeds: std::ops::Range<u64>) -> Vec<Rgb> {
    seeds.map(|seed| picture(seed, [SIDE; 2])).collect()
}

fn options(threads: usize) -> Options {
    Options {
        range: RangeRule::Mse,
        equalize: false,
        bias_correction: true,
        threads: NonZeroUsize::new(threads).unwrap(),
    }
}

fn quantized(proto: &ModelProto) -> Quantized {
    let pictures = pictures(0..24);
    let pictures: Vec<&Rgb> = pictures.iter().collect();
    quantize(&proto.encode_to_vec(), &ENTRY, &pictures, options(2)).unwrap()
}

fn refused(proto: &ModelProto) -> (QuantizeErrorKind, String) {
    let pictures = pictures(0..2);
    let pictures: Vec<&Rgb> = pictures.iter().collect();
    let refused = quantize(&proto.encode_to_vec(), &ENTRY, &pictures, options(1));
    let error = refused.map(|_| ()).unwrap_err();
    (error.kind(), error.to_string())
}

fn features(onnx: &[u8], pictures: &[Rgb]) -> Vec<Features> {
    let backbone = Backbone::from_bytes(onnx, "test.onnx", None).unwrap();
    let mut state = backbone.state(&Normalise::CIFAR10).unwrap();
    pictures.iter().map(|picture| state.run(picture).unwrap()).collect()
}

/// Root mean square of the differences, over the root mean square of the wanted values.
fn relative_error(found: &[Features], wanted: &[Features], of: fn(&Features) -> &[i32]) -> f64 {
    let (mut error, mut power) = (0.0, 0.0);
    for (found, wanted) in found.iter().zip(wanted) {
        for (f, w) in of(found).iter().zip(of(wanted)) {
            error += f64::from(f - w).powi(2);
            power += f64::from(*w).powi(2);
        }
    }
    (error / power).sqrt()
}

/// Eight bits per activation and weight lose about 40 dB per layer: the features of three layers
/// differ by about a hundredth.
#[test]
fn every_spelling_gives_the_float_features_to_a_hundredth() {
    let others = pictures(100..116);
    for tail in QUANTISABLE {
        let proto = tiny::proto(tail);
        let int8 = quantized(&proto);
        assert_eq!((int8.layers, &int8.kept_float[..]), (4, &kept_float(tail)[..]), "{tail:?}");
        let wanted = features(&proto.encode_to_vec(), &others);
        let found = features(&int8.onnx, &others);
        let taps: [fn(&Features) -> &[i32]; 3] = [|f| &f.avg, |f| &f.std, |f| &f.logits];
        for tap in taps {
            let error = relative_error(&found, &wanted, tap);
            assert!((1e-6..0.015).contains(&error), "{tail:?}: {error}");
        }
        let losses = int8.losses(&ENTRY, &others.iter().collect::<Vec<_>>(), options(2).threads);
        let losses = losses.unwrap();
        assert!(losses.iter().all(|loss| loss.sqnr_db > 30.0), "{tail:?}: {losses:?}");
    }
}

fn kept_float(tail: Tail) -> Vec<String> {
    let why = "its operator has no int8 form here";
    match tail {
        Tail::ReduceMeanInput => {
            vec![
                format!("/net/sum/Add (Add): {why}"),
                format!("/net/logits/Softmax (Softmax): {why}"),
            ]
        }
        _ => Vec::new(),
    }
}

/// What the rewrite promises to its readers: where quantisation stands, and of which types.
#[test]
fn the_file_is_a_qdq_network() {
    let int8 = quantized(&tiny::proto(Tail::Legacy));
    let proto = ModelProto::decode(&int8.onnx[..]).unwrap();
    assert_eq!(proto.producer_name, "oddsight-train");
    let graph = proto.graph.unwrap();
    let tensors: HashMap<&str, &TensorProto> =
        graph.initializer.iter().map(|t| (t.name.as_str(), t)).collect();
    let producer: HashMap<&str, &NodeProto> =
        graph.node.iter().map(|node| (node.output[0].as_str(), node)).collect();
    let kind = |name: &str| DataType::try_from(tensors[name].data_type).unwrap();
    for node in &graph.node {
        match node.op_type.as_str() {
            "Conv" | "Gemm" => {
                let inputs: Vec<&NodeProto> =
                    node.input.iter().map(|input| producer[input.as_str()]).collect();
                assert!(inputs.iter().all(|n| n.op_type == "DequantizeLinear"), "{node:?}");
                assert_eq!(kind(&inputs[1].input[0]), DataType::Int8);
                assert_eq!(kind(&inputs[2].input[0]), DataType::Int32);
                let channels = tensors[inputs[1].input[0].as_str()].dims[0];
                assert_eq!(tensors[inputs[1].input[1].as_str()].dims, [channels]);
            }
            "Add" | "GlobalAveragePool" => assert!(
                node.input.iter().all(|i| producer[i.as_str()].op_type == "DequantizeLinear"),
                "{node:?}"
            ),
            "Relu" => {
                assert!(matches!(producer[node.input[0].as_str()].op_type.as_str(), "Conv" | "Add"))
            }
            _ => {}
        }
    }
    let after_relu = ["r1", "map"].map(|name| tensors[format!("{name}_zero_point").as_str()]);
    assert!(after_relu.iter().all(|zero| zero.raw_data == [0]));
    let backbone = Backbone::from_bytes(&int8.onnx, "tiny.onnx", None).unwrap();
    assert_eq!(producer[backbone.taps().map.as_str()].op_type, "DequantizeLinear");
    assert_eq!((&graph.input[0].name[..], &graph.output[0].name[..]), ("image", "logits"));
}

#[test]
fn the_bytes_depend_on_the_pictures_only() {
    let onnx = tiny::onnx(Tail::Legacy);
    let pictures = pictures(0..9);
    let pictures: Vec<&Rgb> = pictures.iter().collect();
    let run = |threads| quantize(&onnx, &ENTRY, &pictures, options(threads)).unwrap().onnx;
    let one = run(1);
    assert_eq!(one, run(4));
    assert_ne!(one, quantize(&onnx, &ENTRY, &pictures[1..], options(1)).unwrap().onnx);
}

/// Batch normalisation behind a convolution changes nothing but the convolution's weights.
#[test]
fn batch_normalisation_is_folded() {
    let mut proto = tiny::proto(Tail::Legacy);
    let graph = proto.graph.as_mut().unwrap();
    let parameters = [("gamma", 1.5), ("beta", 0.2), ("mean", -0.1), ("variance", 0.7)];
    for (name, value) in parameters {
        graph.initializer.push(TensorProto {
            name: name.into(),
            dims: vec![8],
            data_type: DataType::Float as i32,
            float_data: (0..8).map(|c| value + 0.05 * c as f32).collect(),
            ..Default::default()
        });
    }
    let conv = graph.node.iter().position(|node| node.output == ["c1"]).unwrap();
    graph.node[conv].output = vec!["raw".into()];
    let inputs = ["raw", "gamma", "beta", "mean", "variance"];
    graph.node.insert(
        conv + 1,
        NodeProto {
            name: "norm".into(),
            op_type: "BatchNormalization".into(),
            input: inputs.map(String::from).into(),
            output: vec!["c1".into()],
            ..Default::default()
        },
    );
    let others = pictures(100..108);
    let int8 = quantized(&proto);
    assert!(int8.kept_float.is_empty(), "{:?}", int8.kept_float);
    let written = ModelProto::decode(&int8.onnx[..]).unwrap().graph.unwrap();
    assert!(written.node.iter().all(|node| node.op_type != "BatchNormalization"));
    let wanted = features(&proto.encode_to_vec(), &others);
    let error = relative_error(&features(&int8.onnx, &others), &wanted, |f| &f.avg);
    assert!(error < 0.015, "{error}");
}

#[test]
fn what_cannot_be_quantised_is_refused_by_name() {
    let int8 = quantized(&tiny::proto(Tail::Legacy));
    let (kind, why) = refused(&ModelProto::decode(&int8.onnx[..]).unwrap());
    assert_eq!(kind, QuantizeErrorKind::AlreadyQuantized);
    assert!(why.contains("`image_QuantizeLinear`") && why.contains("already"), "{why}");

    let mut old = tiny::proto(Tail::Legacy);
    old.opset_import[0].version = 10;
    let (kind, why) = refused(&old);
    assert_eq!(kind, QuantizeErrorKind::Graph);
    assert!(why.contains("operator set 10") && why.contains("/net/c1/Conv"), "{why}");

    let mut endless = tiny::proto(Tail::Legacy);
    let graph = endless.graph.as_mut().unwrap();
    graph.initializer.iter_mut().for_each(|w| w.float_data.iter_mut().for_each(|v| *v *= 1e30));
    let (kind, why) = refused(&endless);
    assert_eq!(kind, QuantizeErrorKind::NonFinite);
    assert!(why.contains("node `/net/"), "{why}");

    let none = quantize(&tiny::onnx(Tail::Legacy), &ENTRY, &[], options(1)).map(|_| ());
    assert_eq!(none.unwrap_err().kind(), QuantizeErrorKind::NoPictures);
}

/// The tiny network without its shortcut: two convolutions with a ReLU between them.
fn chain() -> ModelProto {
    let mut proto = tiny::proto(Tail::Legacy);
    let graph = proto.graph.as_mut().unwrap();
    graph.node.retain(|node| !["c3", "a"].contains(&node.output[0].as_str()));
    let relu = graph.node.iter_mut().find(|node| node.output == ["map"]).unwrap();
    relu.input = vec!["c2".into()];
    proto
}

#[test]
fn equalisation_keeps_the_features() {
    let calibration = pictures(0..24);
    let calibration: Vec<&Rgb> = calibration.iter().collect();
    let others = pictures(100..116);
    let equalize = Options { equalize: true, ..options(2) };
    for (proto, pairs) in [(chain(), 1), (tiny::proto(Tail::Legacy), 0)] {
        let onnx = proto.encode_to_vec();
        let int8 = quantize(&onnx, &ENTRY, &calibration, equalize).unwrap();
        assert_eq!(int8.equalized, pairs);
        assert_eq!(int8.onnx != quantized(&proto).onnx, pairs > 0);
        let wanted = features(&onnx, &others);
        let error = relative_error(&features(&int8.onnx, &others), &wanted, |f| &f.avg);
        assert!(error < 0.015, "{error}");
    }
}

/// On the calibration pictures themselves, corrected biases bring the mean of each feature closer.
#[test]
fn the_correction_of_biases_brings_means_closer() {
    let proto = chain();
    let onnx = proto.encode_to_vec();
    let calibration = pictures(0..24);
    let pictures: Vec<&Rgb> = calibration.iter().collect();
    let mean_error = |bias_correction: bool| {
        let how = Options { bias_correction, ..options(2) };
        let int8 = quantize(&onnx, &ENTRY, &pictures, how).unwrap();
        let (found, wanted) = (features(&int8.onnx, &calibration), features(&onnx, &calibration));
        let mut sums = [0.0; tiny::WIDTH];
        for (found, wanted) in found.iter().zip(&wanted) {
            for ((sum, f), w) in sums.iter_mut().zip(&found.avg).zip(&wanted.avg) {
                *sum += f64::from(f - w);
            }
        }
        sums.iter().map(|sum| sum * sum).sum::<f64>()
    };
    let (with, without) = (mean_error(true), mean_error(false));
    assert!(with < without, "{with} {without}");
}

/// Operator set 11 has no per-channel scales: the file is raised to 13 and still computes the same.
#[test]
fn an_older_operator_set_is_raised() {
    let mut proto = tiny::proto(Tail::Legacy);
    proto.opset_import[0].version = 11;
    let int8 = quantized(&proto);
    assert_eq!(ModelProto::decode(&int8.onnx[..]).unwrap().opset_import[0].version, 13);
    assert_eq!(int8.onnx, quantized(&tiny::proto(Tail::Legacy)).onnx);
}

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new(tail: Tail) -> Bench {
        let bench = Bench { dir: tempfile::tempdir().unwrap() };
        std::fs::write(bench.path("tiny.onnx"), tiny::onnx(tail)).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn pictures(&self, folder: &str, count: u64) {
        std::fs::create_dir_all(self.path(folder)).unwrap();
        for seed in 0..count {
            let png = encode_png(&picture(seed, [SIDE + 2, SIDE]));
            std::fs::write(self.path(&format!("{folder}/{seed:02}.png")), png).unwrap();
        }
    }

    fn run(&self, args: &str) -> Output {
        let program = env!("CARGO_BIN_EXE_oddsight-train");
        let args = format!("quantize --backbone tiny.onnx {args}");
        let args = args.split_whitespace();
        Command::new(program).current_dir(self.dir.path()).args(args).output().unwrap()
    }

    fn said(&self, args: &str) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, args: &str) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(!self.path("int8.onnx").exists(), "a refusal leaves nothing behind");
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn the_program_writes_and_reports() {
    let bench = Bench::new(Tail::Legacy);
    for class in 0..CLASSES {
        bench.pictures(&format!("data/class{class}"), 8);
    }
    let said = bench.said("--data data --out int8.onnx --pictures 6");
    assert!(said.contains("4 layers") && said.contains("6 pictures"), "{said}");
    assert!(said.contains("top-1 on 6 other pictures: float "), "{said}");
    assert!(said.contains(" dB  /net/"), "{said}");
    Backbone::load(&bench.path("int8.onnx"), None).unwrap();
    let said = bench.said("--data data/class0 --out other.onnx --range percentile");
    assert!(!said.contains("top-1") && said.contains("by percentile"), "{said}");
    let said = bench.said("--data data/class0 --out other.onnx --equalize --no-bias-correction");
    assert!(said.contains("equalised: 0 pairs"), "{said}");
}

#[test]
fn the_program_refuses() {
    let bench = Bench::new(Tail::NoPool);
    bench.pictures("data", 2);
    std::fs::create_dir(bench.path("empty")).unwrap();
    let why = bench.refused("--data data --out int8.onnx");
    assert!(why.contains("/net/logits/Gemm") && why.contains("global average pool"), "{why}");
    std::fs::write(bench.path("tiny.onnx"), tiny::onnx(Tail::Legacy)).unwrap();
    let why = bench.refused("--data data --out tiny.onnx");
    assert!(why.contains("would be overwritten"), "{why}");
    let why = bench.refused("--data empty --out int8.onnx");
    assert!(why.contains("empty"), "{why}");
    assert!(bench.said("--data data --out int8.onnx").contains("activations"));
    std::fs::rename(bench.path("int8.onnx"), bench.path("tiny.onnx")).unwrap();
    let why = bench.refused("--data data --out int8.onnx");
    assert!(why.contains("quantised already"), "{why}");
}

/// A real network keeps its classes. The data lies beside a developer's checkout.
#[test]
fn a_real_network_keeps_its_classes() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let onnx = shared.join("models/resnet18-w16-cifar10.onnx");
    let tar = shared.join("data/cifar10-train.tar");
    if !onnx.exists() || !tar.exists() {
        println!("SKIP: no {} beside the checkout", shared.display());
        return;
    }
    let bench = Bench { dir: tempfile::tempdir().unwrap() };
    std::fs::copy(onnx, bench.path("tiny.onnx")).unwrap();
    let said = bench.said(&format!("--data {} --out int8.onnx --pictures 100", tar.display()));
    let same = said.split("same class ").nth(1).unwrap().split(' ').next().unwrap();
    assert!(same.parse::<f64>().unwrap() >= 97.0, "{said}");
    assert!(said.contains("21 layers") && !said.contains("stays float"), "{said}");
}
