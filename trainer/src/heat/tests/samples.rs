//! What holds of energies and samples without stored numbers.

use oddsight::energy::float::GmmScore;

use super::super::data::Batch;
use super::super::negatives::{Chains, Negatives, Place};
use super::super::svgd::svgd;
use super::*;
use crate::autodiff::Pull;

/// Twenty rows of the authors' generator, normalised.
fn batch() -> Batch {
    let mut rows: Vec<f32> =
        (0..20).flat_map(|i| (0..D).map(move |j| g(i, j, 0.0).abs() as f32)).collect();
    rows.chunks_exact_mut(D).for_each(|row| {
        unit(row);
    });
    Batch { rows, labels: (0..20).map(|i| i % 3).collect() }
}

/// The negatives of a batch with the golden stack.
fn negatives(constants: &Constants, prior: &Prior<f32>, batch: &Batch) -> Negatives {
    let parameters = tied().parameters().iter().map(|&p| p as f32).collect();
    let stack = Stack::new(layout(constants, D), parameters);
    let Constants { temperature, prior_temperature, relu, normalize, .. } = *constants;
    let hybrid = Hybrid { stack: &stack, prior, temperature, prior_temperature, relu, normalize };
    let place = Place { seed: Seed(11), epoch: 2, batch: 3 };
    Chains::new(constants, D, &[]).run(&hybrid, batch, place)
}

fn mixture_f32() -> Prior<f32> {
    Prior::Mixture(Mixture::new(&gmm()))
}

/// The authors return the ends of all chains, then their projected starts.
#[test]
fn golden_order_of_negatives() {
    let constants = Constants { proposal: Proposal::Data, ..constants(StackKind::Tied) };
    let rows = normalised().iter().map(|&x| x as f32).collect();
    let found = negatives(&constants, &mixture_f32(), &Batch { rows, labels: Vec::new() });
    let (start, end) = chain_from_normalised();
    let found: Vec<f64> = found.rows.iter().map(|&x| x.into()).collect();
    close(&found, &[end, start].concat());
}

/// The authors' chain over logits, by the very path that training takes: in `f32`, fused where the processor has
/// vectors.
#[test]
fn golden_chain_over_logits_in_f32() {
    let Prior::Logits { weights, biases } = logits() else { unreachable!() };
    let [weights, biases] = [weights, biases].map(|of| of.iter().map(|&x| x as f32).collect());
    let constants = Constants {
        proposal: Proposal::Data,
        normalize: false,
        prior_temperature: 1.0,
        keep_start: false,
        ..constants(StackKind::Tied)
    };
    let rows = queries().iter().map(|&x| x as f32).collect();
    let batch = Batch { rows, labels: Vec::new() };
    let found = negatives(&constants, &Prior::Logits { weights, biases }, &batch);
    let found: Vec<f64> = found.rows.iter().map(|&x| x.into()).collect();
    close(&found, &ENDS_OVER_LOGITS);
}

#[test]
fn without_steps_both_halves_are_the_starts() {
    for proposal in [Proposal::Prior, Proposal::PriorTemperature, Proposal::Normal, Proposal::Data]
    {
        let constants = Constants { steps: 0, noise: 0.5, proposal, ..constants(StackKind::Tied) };
        let found = negatives(&constants, &mixture_f32(), &batch());
        let (ends, starts) = found.rows.split_at(20 * D);
        assert_eq!(ends, starts, "{proposal:?}");
        assert_eq!(found.moved, 0.0);
        let constants = Constants { keep_start: false, ..constants };
        assert_eq!(negatives(&constants, &mixture_f32(), &batch()).rows, ends);
    }
}

#[test]
fn samples_lie_on_the_unit_sphere_among_positive_rows() {
    for (sampler, proposal) in [
        (Sampler::Sgld, Proposal::Prior),
        (Sampler::Sgld, Proposal::PriorTemperature),
        (Sampler::Svgd, Proposal::Normal),
    ] {
        let constants = Constants { noise: 0.3, sampler, proposal, ..constants(StackKind::Tied) };
        let found = negatives(&constants, &mixture_f32(), &batch());
        assert!(found.moved > 0.01, "{}", found.moved);
        for row in found.rows.chunks_exact(D) {
            assert!(row.iter().all(|&x| x >= 0.0), "{row:?}");
            let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            // A row without a positive entry stays where it is.
            assert!((norm - 1.0).abs() < 1e-5 || norm == 0.0, "{row:?}");
        }
    }
}

/// Components far apart, so that a sample says which one it is of.
#[test]
fn samples_have_the_classes_of_the_batch() {
    let corner = |c: usize| (0..D).map(move |j| if j == c { 100.0 } else { 0.0 });
    let diagonal = |i: usize| (0..=i).map(move |j| if i == j { 100.0 } else { 0.0 });
    let prior = Prior::Mixture(Mixture::new(&Gmm {
        normalize: true,
        score: GmmScore::Mixture,
        width: D as u32,
        whitener: (0..D).flat_map(diagonal).collect(),
        whitened_means: (0..3).flat_map(corner).collect(),
        log_weights: [0.1f64, 0.1, 0.8].map(f64::ln).to_vec(),
        half_log_det: -(D as f64) * 100f64.ln(),
        ridge: 0.0,
    }));
    let rows = 400;
    let labels = (0..rows).map(|i| u32::from(i % 4 == 0)).collect();
    let batch = Batch { rows: vec![0.5; rows as usize * D], labels };
    let classes = |batch_classes| {
        let constants =
            Constants { steps: 0, keep_start: false, batch_classes, ..constants(StackKind::Tied) };
        let mut counts = [0; 3];
        for row in negatives(&constants, &prior, &batch).rows.chunks_exact(D) {
            counts[(0..3).find(|&c| row[c] > 0.9).unwrap()] += 1;
        }
        counts
    };
    let [a, b, c] = classes(true);
    // Three quarters and one quarter, within four standard deviations.
    assert!((265..=335).contains(&a) && c == 0, "{:?}", [a, b, c]);
    let [a, b, c] = classes(false);
    assert!(a < 70 && b < 70 && c > 285, "{:?}", [a, b, c]);
}

/// Where all energies are alike, rows move by the gradient of the kernel alone, away from each other.
#[test]
fn svgd_drives_rows_apart() {
    let layout = layout(&constants(StackKind::Tied), D);
    let stack = Stack::new(layout.clone(), vec![0.0; layout.parameters()]);
    let prior = Prior::Logits { weights: vec![0.0; 3 * D], biases: vec![0.0; 3] };
    let hybrid = Hybrid { relu: false, ..hybrid(&stack, &prior, false) };
    let (start, step) = (queries(), 0.1);
    let mut end = start.clone();
    let schedule = Schedule::new(1, step, 0.0, 1.0);
    svgd(&hybrid, &mut end, &schedule, &mut [], &mut Scratch::default());
    let square = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    let pairs: Vec<_> =
        start.chunks(D).flat_map(|a| start.chunks(D).map(move |b| (a, b))).collect();
    let mut squares: Vec<f64> = pairs.iter().map(|(a, b)| square(a, b)).collect();
    squares.sort_by(f64::total_cmp);
    let bandwidth = squares[12] / (2.0 * 6f64.ln());
    let kernel = |a: &[f64], b: &[f64]| (-square(a, b) / (2.0 * bandwidth)).exp();
    for (i, (z, moved)) in start.chunks(D).zip(end.chunks(D)).enumerate() {
        for k in 0..D {
            // (1/N) Σ_j ∂k(z_j, z_i)/∂z_j
            let difference = |other: &[f64]| {
                let at = |h: f64| {
                    let mut other = other.to_vec();
                    other[k] += h;
                    kernel(&other, z)
                };
                (at(1e-5) - at(-1e-5)) / 2e-5
            };
            let expected = step / 5.0 * start.chunks(D).map(difference).sum::<f64>();
            assert!((moved[k] - z[k] - expected).abs() < 1e-7, "{i} {k}: {expected}");
        }
    }
    let spread = |rows: &[f64]| -> f64 {
        rows.chunks(D).flat_map(|a| rows.chunks(D).map(|b| square(a, b))).sum()
    };
    assert!(spread(&end) > spread(&start));
}

/// A labelled energy is `−log N(z; μ_y, Σ)`, without the weight of its component: the mixture's is made
/// of them.
#[test]
fn labelled_energies_are_those_of_the_components() {
    let Prior::Mixture(mixture) = mixture() else { unreachable!() };
    let energies = |pull: Pull| {
        let mut energies = [0.0; 5];
        mixture.energies(&normalised(), pull, &mut Default::default(), &mut energies);
        energies
    };
    let golden = [2.37665, 7.64764, 2.41008, 6.81823, 10.7858];
    close(&energies(Pull::Labels(&[0, 1, 2, 1, 0])), &golden);
    let each = [[0; 5], [1; 5], [2; 5]].map(|labels| energies(Pull::Labels(&labels)));
    let whole = energies(Pull::All);
    for i in 0..5 {
        let weighted = (0..3).map(|c| (mixture.log_weights()[c] - each[c][i]).exp());
        assert!((whole[i] + weighted.sum::<f64>().ln()).abs() < 1e-12);
    }
}

/// For data and negatives that a network can tell apart, the loss is least at energies of
/// `∓1/(2 l2)`.
#[test]
fn separable_rows_end_at_the_bound_of_the_energies() {
    let rows = |at: f64| -> Vec<f64> {
        (0..32).flat_map(|i| (0..D).map(move |j| at + 0.1 * g(i, j, 0.0))).collect()
    };
    let (data, samples) = (rows(0.2), rows(0.8));
    let layout = layout(&constants(StackKind::Tied), D);
    let mut network = Network::new(layout.clone(), initial(&layout, Seed(5)), &[]);
    let zeros = vec![0.0; layout.parameters()];
    let mut adam =
        Adam { betas: [0.9, 0.999], first: zeros.clone(), second: zeros.clone(), updates: 0 };
    let weights = Scale { l2: 10.0, temperature: 1.0 };
    let mut last = Default::default();
    for _ in 0..1000 {
        let mut gradient = zeros.clone();
        let sets = [&data[..], &samples[..]];
        last = loss(network.stack(), sets, weights, 1.0, &mut Vec::new(), &mut gradient);
        network.update(&mut gradient, |parameters, gradient| {
            adam.step(parameters, gradient, 5e-3);
        });
    }
    assert!((last.data + 0.05).abs() < 2e-3 && (last.samples - 0.05).abs() < 2e-3, "{last:?}");
    assert!((last.total(10.0) + 0.05).abs() < 2e-3, "−1/(2 l2): {last:?}");
}
