//! The training core against numbers of the authors' code (6 significant digits), and against itself.

use oddsight::energy::float::Gmm;

use super::adam::Adam;
use super::draws::{Draws, Purpose};
use super::hybrid::{Hybrid, Schedule, Scratch};
use super::loss::{Scale, loss};
use super::network::{Network, initial, layout};
use super::*;
use crate::autodiff::{Layout, Mixture, Stack, Trace, unit};
use crate::recipe::Preset;
use oddsight::fit::{GmmOptions, Table, fit_gmm};

#[path = "../../tests/support/golden.rs"]
mod golden;
mod samples;

use golden::{D, g};

/// The mixture of 25 normalised rows with labels i mod 3.
fn gmm() -> Gmm {
    let mut table = Table::new(D);
    for i in 0..25 {
        table.push(&golden::row(i), Some(i as u32 % 3)).unwrap();
    }
    let classes = ["a", "b", "c"].map(String::from);
    fit_gmm(&table, &classes, &GmmOptions::default()).unwrap()
}

fn mixture() -> Prior<f64> {
    Prior::Mixture(Mixture::new(&gmm()))
}

fn logits() -> Prior<f64> {
    let weights = (0..3).flat_map(|c| (0..D).map(move |j| g(c, j, 2.0))).collect();
    Prior::Logits { weights, biases: vec![0.1, -0.2, 0.3] }
}

fn queries() -> Vec<f64> {
    (0..5).flat_map(golden::query).collect()
}

fn normalised() -> Vec<f64> {
    let mut rows = queries();
    rows.chunks_exact_mut(D).for_each(|row| {
        unit(row);
    });
    rows
}

/// Entry i of parameter tensor k is `sin(0.5 + 0.9 i + 0.3 k) · size / √fan`, fan the inputs of a weight
/// and 8 of a bias.
fn golden_stack(layout: Layout, size: f64) -> Stack<f64> {
    let mut parameters = vec![0.0; layout.parameters()];
    for (k, (inputs, _, weights, biases)) in layout.layers().enumerate() {
        for (k, range, fan) in [(2 * k, weights, inputs), (2 * k + 1, biases, 8)] {
            for (i, x) in parameters[range].iter_mut().enumerate() {
                *x = (0.5 + 0.9 * i as f64 + 0.3 * k as f64).sin() * size / (fan as f64).sqrt();
            }
        }
    }
    Stack::new(layout, parameters)
}

/// Of the golden residual and its chains; the rest is that of `heat-gmm` on CIFAR-10.
fn constants(stack: StackKind) -> Constants {
    let [published, ..] = Preset::Cifar10.constants();
    Constants {
        hidden: 8,
        depth: 2,
        stack,
        prior_temperature: 10.0,
        steps: 3,
        step_size: 0.2,
        noise: 0.0,
        epochs: 3,
        batch: 40,
        learning_rate: 1e-2,
        milestones: vec![2],
        ..published
    }
}

fn tied() -> Stack<f64> {
    golden_stack(layout(&constants(StackKind::Tied), D), 1.0)
}

fn close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() <= 1e-4 * e.abs().max(1e-2), "{found:?}, expected {expected:?}");
    }
}

fn energies(stack: &Stack<f64>, rows: &[f64]) -> Vec<f64> {
    let mut trace = Trace::default();
    stack.forward(rows, &mut trace);
    trace.energies().to_vec()
}

fn hybrid<'a>(stack: &'a Stack<f64>, prior: &'a Prior<f64>, normalize: bool) -> Hybrid<'a, f64> {
    let prior_temperature = if normalize { 10.0 } else { 1.0 };
    Hybrid { stack, prior, temperature: 1.0, prior_temperature, relu: true, normalize }
}

#[test]
fn golden_parameter_counts() {
    let count = |stack, hidden, depth, width| {
        layout(&Constants { hidden, depth, ..constants(stack) }, width).parameters()
    };
    assert_eq!(count(StackKind::Tied, 1024, 4, 512), 1_575_937);
    assert_eq!(count(StackKind::Untied, 1024, 4, 512), 4_724_737);
    assert_eq!(count(StackKind::Tapering, 1024, 6, 2048), 5_597_633);
    assert_eq!(count(StackKind::Tapering, 1024, 4, 2048), 5_584_641);
    assert_eq!(count(StackKind::Tied, 8, 2, 4), 121);
    assert_eq!(count(StackKind::Tapering, 8, 2, 4), 273);
}

#[test]
fn golden_energies() {
    close(&energies(&tied(), &normalised()), &[1.32803, 1.3439, 1.32388, 1.4694, 1.42324]);
    let tapering = golden_stack(layout(&constants(StackKind::Tapering), D), 3.0);
    close(&energies(&tapering, &normalised()), &[2.23306, 2.7207, 2.16901, 3.9756, 3.47527]);
    let mut prior = [0.0; 5];
    let Prior::Mixture(mixture) = mixture() else { unreachable!() };
    let mut scratch = Default::default();
    mixture.energies(&normalised(), mixture.pull(), &mut scratch, &mut prior);
    let residual = energies(&tied(), &normalised());
    let whole: Vec<f64> = residual.iter().zip(prior).map(|(f, p)| f + p / 10.0).collect();
    close(&whole, &[1.66385, 1.80154, 1.67699, 1.77676, 1.85559]);
}

#[test]
fn golden_gradient() {
    let (stack, prior) = (tied(), mixture());
    let mut gradient = Vec::new();
    let mut scratch = Scratch::default();
    hybrid(&stack, &prior, true).gradient(&normalised(), None, &mut scratch, &mut gradient);
    let expected =
        [0.0398521, 0.258678, -0.441619, -0.33428, -0.480877, -0.748671, -0.65706, 0.370833];
    close(&gradient[..8], &expected);
}

/// Of both priors, with respect to rows.
#[test]
fn gradient_of_the_energy_is_that_of_its_differences() {
    let stack = tied();
    for (prior, normalize) in [(mixture(), true), (logits(), false)] {
        let hybrid = hybrid(&stack, &prior, normalize);
        let value = |rows: &[f64]| -> f64 {
            let of_prior: f64 = match &prior {
                Prior::Mixture(mixture) => {
                    let mut energies = [0.0; 5];
                    mixture.energies(rows, mixture.pull(), &mut Default::default(), &mut energies);
                    energies.iter().sum()
                }
                Prior::Logits { weights, biases } => {
                    let energy = |row: &[f64]| {
                        let logit = |(weights, bias): (&[f64], &f64)| {
                            bias + weights.iter().zip(row).map(|(w, x)| w * x).sum::<f64>()
                        };
                        let logits = weights.chunks(D).zip(biases).map(logit);
                        -logits.map(f64::exp).sum::<f64>().ln()
                    };
                    rows.chunks(D).map(energy).sum()
                }
            };
            energies(&stack, rows).iter().sum::<f64>() + of_prior / hybrid.prior_temperature
        };
        let (mut rows, mut gradient) = (queries(), Vec::new());
        hybrid.gradient(&rows, None, &mut Scratch::default(), &mut gradient);
        for i in 0..rows.len() {
            let x = rows[i];
            let [above, below] = [x + 1e-5, x - 1e-5].map(|moved| {
                rows[i] = moved;
                value(&rows)
            });
            rows[i] = x;
            let difference = (above - below) / 2e-5;
            assert!((difference - gradient[i]).abs() < 1e-7, "{i}: {difference} {}", gradient[i]);
        }
    }
}

#[test]
fn golden_schedule() {
    let sizes = |steps, start| -> Vec<f64> {
        let schedule = Schedule::new(steps, start, 0.0, 0.1);
        schedule.steps().iter().map(|step| step[0]).collect()
    };
    close(&sizes(5, 1.0), &[1.0, 0.676, 0.424, 0.244, 0.136]);
    let sizes = sizes(40, 1e-4);
    close(&[sizes[1] * 1e5, sizes[39] * 1e5], &[9.555625, 1.005625]);
    close(&[sizes.iter().sum::<f64>()], &[1.645375e-3]);
}

/// Three steps without noise from the queries.
fn chain(prior: &Prior<f64>, normalize: bool) -> (Vec<f64>, Vec<f64>) {
    let stack = tied();
    let hybrid = hybrid(&stack, prior, normalize);
    let mut start = queries();
    hybrid.project(&mut start);
    let mut end = start.clone();
    let mut draws: Vec<Draws> =
        (0..5).map(|row| Seed(0).stream(Purpose::Chain, 0, 0, row)).collect();
    let schedule = Schedule::new(3, 0.2, 0.0, 0.1);
    let gradient = |rows: &[f64], scratch: &mut Scratch<f64>, out: &mut Vec<f64>| {
        hybrid.gradient(rows, None, scratch, out);
    };
    hybrid.langevin(gradient, &mut end, &schedule, &mut draws, &mut Scratch::default());
    (start, end)
}

#[test]
fn golden_chains() {
    let (start, end) = chain(&mixture(), true);
    #[rustfmt::skip]
    let expected = [
        0.988195, 0.153201, 0.0, 0.0, 0.804664, 0.0, 0.0, 0.59373, 0.164524, 0.0, 0.834611, 0.525697,
        0.0, 0.0, 0.999542, 0.0302625, 0.0, 0.994095, 0.0, 0.108512,
    ];
    close(&end, &expected);
    #[rustfmt::skip]
    let expected = [
        0.947971, 0.318357, 0.0, 0.0, 0.710959, 0.0, 0.0, 0.703234, 0.302821, 0.0, 0.812306, 0.498456,
        0.0, 0.0, 1.0, 0.0, 0.0, 0.994751, 0.0, 0.102326,
    ];
    close(&start, &expected);
    let (_, end) = chain(&logits(), false);
    close(&end, &ENDS_OVER_LOGITS);
}

#[rustfmt::skip]
const ENDS_OVER_LOGITS: [f64; 20] = [
    1.92723, 0.30695, 0.0, 0.0703073, 1.58314, 0.0, 0.0, 1.78605, 0.22031, 0.0, 1.41741, 0.916549,
    0.0, 0.0, 1.89375, 0.0, 0.0, 1.2776, 0.12454, 0.00806468,
];

#[test]
fn golden_loss_and_step() {
    let (start, mut negatives) = chain_from_normalised();
    negatives.extend(start);
    let mut network =
        Network::new(layout(&constants(StackKind::Tied), D), tied().parameters().to_vec(), &[]);
    let mut gradient = vec![0.0; 121];
    let weights = Scale { l2: 10.0, temperature: 1.0 };
    let rows = normalised();
    let found =
        loss(network.stack(), [&rows, &negatives], weights, 1.0, &mut Vec::new(), &mut gradient);
    close(&[found.data, found.samples], &[1.37769, 1.58984]);
    close(&[found.data - found.samples, 10.0 * found.squares], &[-0.212149, 44.3266]);
    close(&[found.total(10.0), gradient[120]], &[44.1145, 59.3505]);
    // Input layer 4·8 + 8, hidden weights 8·8, then the hidden biases.
    let hidden_bias = &gradient[104..112];
    close(
        hidden_bias,
        &[41.1181, 33.3862, -5.81088, -6.58069, -8.25891, -3.68695, 18.3761, 41.2803],
    );
    let zeros = vec![0.0; 121];
    let mut adam = Adam { betas: [0.0, 0.999], first: zeros.clone(), second: zeros, updates: 0 };
    network.update(&mut gradient, |parameters, gradient| adam.step(parameters, gradient, 1e-2));
    close(&energies(network.stack(), &rows), &[1.18645, 1.21441, 1.19303, 1.33654, 1.29777]);
}

/// The golden loss starts its chains at normalised queries, which project to the same points.
fn chain_from_normalised() -> (Vec<f64>, Vec<f64>) {
    chain(&mixture(), true)
}

#[test]
fn gradient_of_the_loss_is_that_of_its_differences() {
    let layout = layout(&constants(StackKind::Untied), D);
    let parameters: Vec<f64> = initial(&layout, Seed(3));
    let (rows, negatives) = (normalised(), queries());
    let weights = Scale { l2: 0.5, temperature: 2.0 };
    let value = |parameters: &[f64]| {
        let stack = Stack::new(layout.clone(), parameters.to_vec());
        let mut ignored = vec![0.0; parameters.len()];
        let sets = [&rows[..], &negatives[..]];
        loss(&stack, sets, weights, 1.0, &mut Vec::new(), &mut ignored).total(0.5)
    };
    let stack = Stack::new(layout.clone(), parameters.clone());
    let mut gradient = vec![0.0; parameters.len()];
    loss(&stack, [&rows, &negatives], weights, 1.0, &mut Vec::new(), &mut gradient);
    let mut moved = parameters.clone();
    for i in 0..parameters.len() {
        let mut at = |x: f64| {
            moved[i] = x;
            value(&moved)
        };
        let difference = (at(parameters[i] + 1e-5) - at(parameters[i] - 1e-5)) / 2e-5;
        moved[i] = parameters[i];
        assert!((difference - gradient[i]).abs() < 1e-7, "{i}: {difference} {}", gradient[i]);
    }
}

#[test]
fn large_singular_values_are_bounded_and_survive_a_stop() {
    let layout = layout(&constants(StackKind::Untied), D);
    let mut parameters: Vec<f64> = initial(&layout, Seed(3));
    parameters.iter_mut().for_each(|p| *p *= 100.0);
    let inner: usize = layout.layers().take(3).map(|(_, outputs, ..)| outputs).sum();
    let mut network = Network::new(layout.clone(), parameters.clone(), &vec![1.0; inner]);
    for _ in 0..50 {
        network.update(&mut vec![0.0; layout.parameters()], |_, _| ());
    }
    let again = Network::new(layout.clone(), parameters.clone(), &network.singular());
    assert_eq!(again.stack().parameters(), network.stack().parameters());
    let layers: Vec<_> = layout.layers().collect();
    for (_, outputs, weights, _) in &layers[..3] {
        let found = &network.stack().parameters()[weights.clone()];
        let matrix = nalgebra::DMatrix::from_row_slice(*outputs, found.len() / outputs, found);
        let sigma = matrix.singular_values().max();
        assert!((sigma - 10.0).abs() < 0.1, "{sigma}");
    }
    let last = layers[3].2.clone();
    assert_eq!(network.stack().parameters()[last.clone()], parameters[last], "the last one stays");
}
