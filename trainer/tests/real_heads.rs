//! Integer heads against the `f64` ones on features of real pictures.
//!
//! The data lies beside a developer's checkout and is no part of the repository; without it the test
//! prints a SKIP line.

use std::num::NonZeroUsize;
use std::path::Path;

use oddsight::backbone::{Backbone, Features, Normalise, from_feature};
use oddsight::energy::float::{self, Composition, Head, Heads};
use oddsight::energy::{Rule, Scores, Scratch, from_q16, from_q32};
use oddsight::image::{Preprocess, Resize};
use oddsight::verdict::{Alpha, Calibration};
use oddsight_train::extract::{Options, extract};
use oddsight_train::features::Input;
use oddsight_train::fit::{GmmOptions, KnnOptions, Moments, Table, fit_gmm, fit_knn};

const ALPHA: f64 = 0.05;

fn table(features: &[Features], labels: &[u32], tap: fn(&Features) -> &[i32]) -> Table {
    let mut table = Table::new(tap(&features[0]).len());
    for (features, &label) in features.iter().zip(labels) {
        let row: Vec<f64> = tap(features).iter().map(|&x| from_feature(x)).collect();
        table.push(&row, Some(label)).unwrap();
    }
    table
}

fn fit(features: &[Features], labels: &[u32], classes: &[String]) -> Heads {
    let avg = table(features, labels, |f| &f.avg);
    let std = table(features, labels, |f| &f.std);
    let mixture = |rows: &Table| fit_gmm(rows, classes, &GmmOptions::default()).unwrap();
    let heads = vec![
        Head::Msp,
        Head::Mls,
        Head::El,
        Head::Gmm(mixture(&avg)),
        Head::GmmStd(mixture(&std)),
        Head::Knn(fit_knn(&avg, &KnnOptions::default()).unwrap()),
    ];
    let mut moments = vec![Moments::default(); heads.len()];
    let mut scratch = float::Scratch::default();
    for features in features {
        for (moments, head) in moments.iter_mut().zip(&heads) {
            moments.push(head.energy(features, &mut scratch));
        }
    }
    let terms = [2, 3, 4].map(|i| moments[i].term(i as u32).unwrap()).to_vec();
    Heads { heads, composition: Composition { rule: Rule::Sum, terms } }
}

/// One column of energies per head, and the composed one.
fn energies(heads: &Heads, features: &[Features]) -> [Vec<Vec<f64>>; 2] {
    let integer = heads.fix().unwrap();
    let (mut scratch, mut scores) = (Scratch::default(), Scores::default());
    let mut float_scratch = float::Scratch::default();
    let mut columns =
        [vec![Vec::new(); heads.heads.len() + 1], vec![Vec::new(); heads.heads.len() + 1]];
    for features in features {
        integer.score(features, &mut scratch, &mut scores);
        let fixed = scores.heads_q32.iter().map(|&e| from_q32(e));
        let fixed: Vec<f64> = fixed.chain([from_q16(scores.energy_q16)]).collect();
        let head = |head: &Head| head.energy(features, &mut float_scratch);
        let mut exact: Vec<f64> = heads.heads.iter().map(head).collect();
        exact.push(heads.composition.compose(&exact).0);
        for (columns, energies) in columns.iter_mut().zip([exact, fixed]) {
            columns.iter_mut().zip(energies).for_each(|(column, energy)| column.push(energy));
        }
    }
    columns
}

/// Whether each energy of the second half is unusual by a calibration with the first half.
fn decisions(energies: &[f64]) -> Vec<bool> {
    let q32 = |e: &f64| (e * 4_294_967_296.0).round_ties_even() as i64;
    let (first, second) = energies.split_at(energies.len() / 2);
    let calibration = Calibration::new(first.iter().map(q32).collect()).unwrap();
    let threshold = calibration.threshold_q16(Alpha::new(ALPHA).unwrap());
    second.iter().map(|e| q32(e) > threshold).collect()
}

/// Energies differ by less than 0.1 % of the spread of normal ones, decisions by less than one in
/// ten thousand.
#[test]
fn integer_heads_decide_as_the_real_ones_do() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let data = shared.join("data/cifar10-test.tar");
    let onnx = shared.join("models/resnet18-w16-cifar10.onnx");
    if !data.exists() || !onnx.exists() {
        println!("SKIP: no {} beside the checkout", data.display());
        return;
    }
    let backbone = Backbone::load(&onnx, None).unwrap();
    let preprocess = Preprocess { resize: Resize::Shorter(32), crop: [32; 2] };
    let input = Input { preprocess, normalise: Normalise::CIFAR10 };
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let options = Options { threads, keep_going: false };
    let mut features = Vec::new();
    let summary = extract(data.to_str().unwrap(), &backbone, &input, options, |_, row| {
        features.push(row.clone());
        Ok(())
    });
    let labels = summary.unwrap().labels.ok().flatten().unwrap();
    // Pictures lie class by class: every other one is fitted to, and the rest spread by a stride.
    let odd: Vec<Features> = features.iter().skip(1).step_by(2).cloned().collect();
    let odd_labels: Vec<u32> = labels.labels.iter().skip(1).step_by(2).copied().collect();
    let even: Vec<Features> = features.iter().step_by(2).cloned().collect();
    let measured: Vec<Features> =
        (0..2).flat_map(|start| even.iter().skip(start).step_by(2)).cloned().collect();
    let heads = fit(&odd, &odd_labels, &labels.classes);
    let [exact, fixed] = energies(&heads, &measured);
    let names = heads.heads.iter().map(|head| head.id().name()).chain(["composed"]);
    let (mut flips, mut decided) = (0, 0);
    for (name, (exact, fixed)) in names.zip(exact.iter().zip(&fixed)) {
        let mut moments = Moments::default();
        exact.iter().for_each(|&energy| moments.push(energy));
        let spread = moments.std().unwrap();
        let errors: Vec<f64> =
            exact.iter().zip(fixed).map(|(a, b)| (a - b).abs() / spread).collect();
        let largest = errors.iter().fold(0.0, |most: f64, &e| most.max(e));
        let square = errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64;
        let both = decisions(exact).into_iter().zip(decisions(fixed));
        let flipped = both.filter(|(a, b)| a != b).count();
        println!(
            "{name:8} spread {spread:8.3}, error / spread: largest {largest:.1e}, rms {:.1e}; {flipped} flips of {}",
            square.sqrt(),
            exact.len() / 2
        );
        assert!(largest < 1e-3, "{name}: {largest}");
        flips += flipped;
        decided += exact.len() / 2;
    }
    assert!(flips * 10_000 <= decided, "{flips} of {decided}");
}
