//! Training of residuals as a whole: on rows of a file, in f32, on threads.

use std::path::Path;

use oddsight::backbone::{Features, Normalise, to_feature};
use oddsight::energy::HeadId;
use oddsight::energy::float::Residual;
use oddsight::fit::{GmmOptions, fit_gmm};
use oddsight::image::{Preprocess, Resize};
use oddsight::random::Random;
use oddsight_train::autodiff::Mixture;
use oddsight_train::features::{FeatureFile, FeatureWriter, Input, Origin, Tap, TapRows};
use oddsight_train::heat::{
    Constants, Data, Event, Prior, Proposal, Sampler, Seed, StackKind, State, train,
};
use oddsight_train::labels::Labels;
use oddsight_train::recipe::{Layer, Recipe};

const WIDTH: usize = 6;
const ROWS: usize = 90;

/// Rows of three classes; within a class, the first two features have the same sign of deviation, which
/// a shared covariance cannot tell.
fn features(folder: &Path) -> FeatureFile {
    let mut random = Random::new(1);
    let mut writer = FeatureWriter::new(folder, WIDTH, 3).unwrap();
    for row in 0..ROWS {
        let sign = if random.unit() < 0.5 { -1.0 } else { 1.0 };
        let at = |j: usize| {
            let mean = if j == row % 3 { 2.0 } else { 1.0 };
            mean + if j < 2 { 0.4 * sign } else { 0.2 * sign * (j as f64 - 3.5) }
        };
        let avg = (0..WIDTH).map(|j| to_feature(at(j) + random.range(-0.1, 0.1))).collect();
        let (std, logits) = (vec![to_feature(1.0); WIDTH], vec![0; 3]);
        writer.push(row.to_string(), &Features { avg, std, logits }).unwrap();
    }
    let labels = (0..ROWS as u32).map(|row| row % 3).collect();
    let labels = Labels { classes: ["a", "b", "c"].map(String::from).to_vec(), labels };
    let preprocess = Preprocess { resize: Resize::Stretch(32, 32), crop: [32, 32] };
    let origin = Origin {
        backbone_sha256: String::new(),
        data_sha256: String::new(),
        input: Input { preprocess, normalise: Normalise::usual_for(32) },
    };
    let file = writer.finish(Some(&labels), &origin).unwrap();
    let path = folder.join("features.safetensors");
    file.persist(&path).unwrap();
    FeatureFile::open(&path).unwrap()
}

fn prior(file: &FeatureFile) -> Prior<f32> {
    let keep = vec![true; ROWS];
    let rows = TapRows { file, tap: Tap::Avg, keep: &keep };
    let classes = &file.labels().unwrap().classes;
    Prior::Mixture(Mixture::new(&fit_gmm(&rows, classes, &GmmOptions::default()).unwrap()))
}

/// A small and quick form of the preset for CIFAR-10.
fn constants() -> Constants {
    let recipe = Recipe::of(&[Layer::set("preset=\"cifar10\"").unwrap()]).unwrap();
    Constants {
        hidden: 16,
        depth: 2,
        steps: 5,
        batch: 40,
        epochs: 4,
        learning_rate: 1e-3,
        milestones: vec![2],
        ..recipe.constants(HeadId::HeatGmm).unwrap().clone()
    }
}

fn run(
    file: &FeatureFile,
    constants: &Constants,
    threads: usize,
    resume: Option<State>,
) -> (Residual, Vec<State>) {
    let prior = prior(file);
    let keep = vec![true; ROWS];
    let mut data = Data::new(file, Tap::Avg, &keep, constants.normalize).unwrap();
    let mut states = Vec::new();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let each = &mut |event: Event| {
        if let Event::Epoch(state) = event {
            states.push(state.clone());
        }
        Ok(())
    };
    let trained = pool.install(|| train(&mut data, &prior, constants, Seed(7), resume, each));
    let (residual, last) = trained.unwrap();
    assert_eq!(states.last(), Some(&last));
    (residual, states)
}

fn variants() -> Vec<(&'static str, Constants)> {
    let plain = constants();
    vec![
        ("plain", plain.clone()),
        ("replay", Constants { replay: 60, keep_start: false, ..plain.clone() }),
        ("untied", Constants { stack: StackKind::Untied, accumulate: 2, ..plain.clone() }),
        ("tapering", Constants { stack: StackKind::Tapering, ..plain.clone() }),
        ("spectral", Constants { spectral_norm: true, ..plain.clone() }),
        ("svgd", Constants { sampler: Sampler::Svgd, keep_start: false, ..plain.clone() }),
        (
            "labelled",
            Constants {
                labelled_prior: true,
                batch_classes: true,
                proposal: Proposal::PriorTemperature,
                ..plain.clone()
            },
        ),
        ("data", Constants { proposal: Proposal::Data, ..plain.clone() }),
        ("no steps", Constants { steps: 0, proposal: Proposal::Normal, ..plain }),
    ]
}

#[test]
fn threads_and_a_stop_change_no_bit() {
    let folder = tempfile::tempdir().unwrap();
    let file = features(folder.path());
    let mut all: Vec<Residual> = Vec::new();
    for (name, constants) in variants() {
        let (residual, states) = run(&file, &constants, 1, None);
        assert_eq!(states.len(), constants.epochs, "{name}");
        assert_eq!(run(&file, &constants, 3, None), (residual.clone(), states.clone()), "{name}");
        let (again, rest) = run(&file, &constants, 2, Some(states[1].clone()));
        assert_eq!((&again, &rest[..]), (&residual, &states[2..]), "{name}, resumed");
        // Singular values this small are left alone.
        assert_eq!(all.contains(&residual), name == "spectral", "{name} is trained in its own way");
        all.push(residual);
    }
}

#[test]
fn the_residual_learns_what_the_prior_cannot_say() {
    let folder = tempfile::tempdir().unwrap();
    let file = features(folder.path());
    let constants = Constants {
        hidden: 32,
        epochs: 300,
        learning_rate: 5e-3,
        milestones: vec![200],
        ..constants()
    };
    let (_, states) = run(&file, &constants, 2, None);
    let curves = &states.last().unwrap().curves;
    let (first, last) = (curves[0], curves[curves.len() - 1]);
    assert!(last.loss < first.loss, "{first:?} {last:?}");
    // The optimum lies within ±1/(2 l2) = ±0.05.
    let gap = last.sample_energy - last.data_energy;
    assert!((0.01..0.2).contains(&gap), "{last:?}");
    assert!((0.005..0.5).contains(&last.moved), "{last:?}");
}

#[test]
fn ranges_hold_the_inputs_of_training() {
    let folder = tempfile::tempdir().unwrap();
    let file = features(folder.path());
    let (residual, _) = run(&file, &constants(), 1, None);
    assert_eq!(residual.ranges.len(), residual.order.len());
    // Unit rows, all positive, of which no entry is above 1 and the largest is above 1/√6.
    assert!((0.41..=1.0).contains(&residual.ranges[0]), "{:?}", residual.ranges);
    assert!(residual.ranges.iter().all(|&range| range > 0.0));
}

#[test]
fn divergence_stops_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = features(folder.path());
    let keep = vec![true; ROWS];
    let mut data = Data::new(&file, Tap::Avg, &keep, true).unwrap();
    let prior = prior(&file);
    let constants = Constants { learning_rate: 1e3, ..constants() };
    let each = &mut |_: Event| Ok(());
    let why = train(&mut data, &prior, &constants, Seed(7), None, each).unwrap_err().to_string();
    assert!(why.contains("diverged in epoch") && why.contains("lower learning-rate"), "{why}");
}

#[test]
fn a_file_that_is_cut_short_meanwhile_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = features(folder.path());
    let (prior, keep) = (prior(&file), vec![true; ROWS]);
    let mut data = Data::new(&file, Tap::Avg, &keep, true).unwrap();
    let path = folder.path().join("features.safetensors");
    std::fs::File::options().write(true).open(&path).unwrap().set_len(1000).unwrap();
    let each = &mut |_: Event| Ok(());
    let why = train(&mut data, &prior, &constants(), Seed(7), None, each).unwrap_err();
    let why = format!("{why:#}");
    assert!(
        why.contains("features.safetensors: became shorter") && why.contains("extract"),
        "{why}"
    );
}

#[test]
fn events_frame_the_training() {
    let folder = tempfile::tempdir().unwrap();
    let file = features(folder.path());
    let (prior, keep) = (prior(&file), vec![true; ROWS]);
    let mut data = Data::new(&file, Tap::Avg, &keep, true).unwrap();
    let mut events = String::new();
    let each = &mut |event: Event| {
        events.push(match event {
            Event::Start => '(',
            Event::Step(_) => '.',
            Event::Epoch(_) => '|',
            Event::Done => ')',
        });
        Ok(())
    };
    train(&mut data, &prior, &constants(), Seed(7), None, each).unwrap();
    assert_eq!(events, "(..|..|..|..|)");
}

#[test]
fn a_state_of_another_network_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = features(folder.path());
    let (_, states) = run(&file, &constants(), 1, None);
    let keep = vec![true; ROWS];
    let mut data = Data::new(&file, Tap::Avg, &keep, true).unwrap();
    let wider = Constants { hidden: 17, ..constants() };
    let each = &mut |_: Event| Ok(());
    let state = Some(states[0].clone());
    let why = train(&mut data, &prior(&file), &wider, Seed(7), state, each).unwrap_err();
    assert!(why.to_string().contains("another network"), "{why}");
}
