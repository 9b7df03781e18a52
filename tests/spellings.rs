//! Quantised networks in every spelling that exporters and quantisers write, against onnxruntime.
//!
//! `tests/onnx/NAME.json` holds what onnxruntime computes without optimisation for `NAME.onnx`; see the
//! README there.

use std::fs;
use std::path::{Path, PathBuf};

use oddsight::backbone::{Backbone, Features, Normalise, Threads, from_feature};
use oddsight::image::Rgb;
use oddsight::kernel::Kernel;
use oddsight::random::Random;
use serde::Deserialize;

#[derive(Deserialize)]
struct Expected {
    width: u32,
    height: u32,
    normalise: Normalise,
    pixels: Vec<u8>,
    /// Channels, height and width come last.
    map_shape: Vec<usize>,
    map_type: String,
    map_scale: Option<f32>,
    map_zero_point: Option<i32>,
    /// NCHW.
    map: Vec<f32>,
    logits: Vec<f32>,
}

/// Networks of which some part is float, or is nothing that an int8 step can compute.
const LEFT_TO_TRACT: [&str; 10] = [
    "qdq-batch-norm",
    "qdq-conv-only",
    "qdq-ends-float",
    "qdq-one-branch-float",
    "qdq-shortcut-float",
    "qdq-weights-asymmetric",
    "qdq-weights-u8",
    "qoperator-conv-only",
    "qoperator-one-branch-float",
    "qoperator-relu-kept",
];

fn spellings() -> Vec<(String, PathBuf, Expected)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx");
    let mut files: Vec<PathBuf> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "onnx"));
    files.sort();
    assert!(files.len() > 40, "{} networks", files.len());
    files
        .into_iter()
        .map(|path| {
            let json = fs::read_to_string(path.with_extension("json")).unwrap();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, path, serde_json::from_str(&json).unwrap())
        })
        .collect()
}

impl Expected {
    fn picture(&self) -> Rgb {
        Rgb { width: self.width, height: self.height, pixels: self.pixels.clone() }
    }

    /// Spatial mean of each channel.
    fn avg(&self) -> Vec<f64> {
        let scale = f64::from(self.map_scale.unwrap_or(1.0));
        let zero = f64::from(self.map_zero_point.unwrap_or(0));
        let area: usize = self.map_shape[2..].iter().product();
        let mean =
            |plane: &[f32]| plane.iter().map(|&q| f64::from(q) - zero).sum::<f64>() / area as f64;
        self.map.chunks_exact(area).map(|plane| mean(plane) * scale).collect()
    }
}

fn load(path: &Path, expected: &Expected, kernel: Kernel) -> Backbone {
    let crop = Some([expected.width, expected.height]);
    Backbone::load_for(path, crop, kernel).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn maps_equal_onnxruntime() {
    let (mut values, mut unequal) = (0, 0);
    for (name, path, expected) in spellings() {
        let backbone = load(&path, &expected, Kernel::detect());
        let mut state = backbone.state(&expected.normalise).unwrap();
        let features = state.run(&expected.picture()).unwrap();
        let left = LEFT_TO_TRACT.contains(&&*name);
        assert_eq!(!backbone.is_integer(), left, "{name}: {:#?}", backbone.nodes());
        let Some(map) = state.int8_map() else {
            same_features(&name, &expected, &features);
            continue;
        };
        assert_eq!(Some(map.scale), expected.map_scale, "{name}");
        let flip = if expected.map_type == "u8" { 128 } else { 0 };
        assert_eq!(Some(i32::from(map.zero_point) + flip), expected.map_zero_point, "{name}");
        let area = map.shape.height * map.shape.width;
        assert_eq!(map.values.len(), expected.map.len(), "{name}");
        for (i, want) in expected.map.iter().enumerate() {
            let ours = i32::from(map.values[i % area * map.shape.channels + i / area]) + flip;
            let off = (ours - *want as i32).abs();
            assert!(off <= 1, "{name}: value {i} is {ours}, onnxruntime has {want}");
            values += 1;
            unequal += off;
        }
        same_features(&name, &expected, &features);
    }
    println!("{unequal} of {values} values differ, by 1");
    assert!(values > 2000 && unequal * 100 <= values, "{unequal} of {values} values differ");
}

fn same_features(name: &str, expected: &Expected, features: &Features) {
    let step = f64::from(expected.map_scale.unwrap_or(0.02));
    for (c, (have, want)) in features.avg.iter().zip(expected.avg()).enumerate() {
        let have = from_feature(*have);
        assert!((have - want).abs() < step, "{name}: avg of channel {c} is {have}, not {want}");
    }
    // Real biases are rounded to the grid of the sums. One value that is off by one moves the logits: where
    // tract runs layers, where a product is quantised before its bias is added, and behind onnxruntime's
    // QLinearGlobalAveragePool, which rounds ties otherwise.
    let steps = LEFT_TO_TRACT.contains(&name)
        || name.contains("matmul")
        || name.contains("qoperator")
        || name.contains("resnext");
    let tolerance = if steps { 0.02 } else { 1e-4 };
    let largest = expected.logits.iter().fold(0f32, |most, l| most.max(l.abs()));
    for (c, (have, want)) in features.logits.iter().zip(&expected.logits).enumerate() {
        let (have, want, largest) = (from_feature(*have), f64::from(*want), f64::from(largest));
        assert!(
            (have - want).abs() < tolerance * largest,
            "{name}: logit {c} is {have}, not {want}"
        );
    }
}

#[test]
fn every_kernel_and_thread_count_gives_the_same_features() {
    for (name, path, expected) in spellings() {
        if LEFT_TO_TRACT.contains(&&*name) {
            continue;
        }
        let mut reference: Option<(Features, Vec<i8>)> = None;
        for kernel in Kernel::available() {
            let backbone = load(&path, &expected, kernel);
            for threads in [1, 3] {
                let threads = Threads::new(threads).unwrap();
                let mut state = backbone.state_on(&expected.normalise, threads).unwrap();
                let features = state.run(&expected.picture()).unwrap();
                let map = state.int8_map().unwrap().values.to_vec();
                match &reference {
                    None => reference = Some((features, map)),
                    Some(reference) => {
                        assert_eq!(*reference, (features, map), "{name} on {kernel}");
                    }
                }
            }
        }
    }
}

#[test]
fn malformed_networks_are_refused_by_node() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx");
    let readme = fs::read_to_string(dir.join("README.md")).unwrap();
    let mut seen = 0;
    for entry in fs::read_dir(dir.join("bad")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let node = row.and_then(|row| row.split('`').rev().nth(1)).unwrap();
        let error = Backbone::load(&path, None).err().map(|e| e.to_string());
        let error = error.unwrap_or_else(|| panic!("{name} was accepted"));
        let part = node.split('_').next().unwrap();
        assert!(error.contains(part), "{name}: `{error}` does not name `{node}`");
        seen += 1;
    }
    assert!(seen >= 20, "{seen} files");
}

#[test]
fn damaged_networks_are_refused_or_run() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx");
    let mut random = Random::new(20);
    let (mut refused, mut ran) = (0, 0);
    for name in ["qdq-i8-per-channel", "qoperator-u8-per-tensor", "torch-dynamo"] {
        let whole = fs::read(dir.join(format!("{name}.onnx"))).unwrap();
        for round in 0..100 {
            let mut bytes = whole.clone();
            if round % 5 == 0 {
                bytes.truncate(random.below(whole.len() as u64) as usize);
            } else {
                for _ in 0..=round % 3 {
                    let at = random.below(whole.len() as u64) as usize;
                    bytes[at] = random.next_u64() as u8;
                }
            }
            match Backbone::from_bytes(&bytes, name, Some([8, 8])) {
                Err(e) => refused += usize::from(!e.to_string().is_empty()),
                Ok(backbone) => {
                    let mut state = backbone.state(&Normalise::CIFAR10).unwrap();
                    let picture = oddsight::model::self_test::picture(1, [8, 8]);
                    // tract may find at run time that shapes do not fit: an error, not a panic.
                    ran += usize::from(state.run(&picture).is_ok());
                }
            }
        }
    }
    assert!(refused > 100 && ran > 10, "{refused} refused, {ran} ran");
}
