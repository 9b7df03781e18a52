//! Residuals in integers: against `f64` within stated bounds, and with every kernel.

use proptest::prelude::*;

use super::super::fixed::{BROKEN, power_of_two};
use super::super::unit::UNIT_BITS;
use super::super::{Head, HeadId, Residual, Scratch, float, from_q32, residual::Buffers};
use super::{from_feature, to_feature};
use crate::backbone::{FEATURE_BITS, Features};
use crate::kernel::Kernel;
use crate::random::Random;

/// A small tied stack over two features, whose weights are multiples of 1/256 and need no rounding.
pub(super) fn heat<P>(prior: P) -> float::Heat<P> {
    let mut random = Random::new(5);
    let mut numbers = |n: usize| -> Vec<f32> {
        let mut number = |i| if i % 2 == 0 { 127 } else { random.below(255) as i32 - 127 };
        (0..n).map(|i| number(i) as f32 / 256.0).collect()
    };
    let mut layer = |inputs: u32, outputs: u32| float::Dense {
        inputs,
        outputs,
        weights: numbers((inputs * outputs) as usize),
        biases: numbers(outputs as usize),
    };
    let layers = vec![layer(2, 4), layer(4, 4), layer(4, 1)];
    let residual =
        float::Residual { layers, order: vec![0, 1, 1, 2], ranges: vec![2.5, 2.0, 2.0, 2.0] };
    float::Heat { normalize: false, residual, temperature: 0.5, prior, prior_temperature: 10.0 }
}

/// How the layers of a random stack follow each other.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Tied,
    Untied,
    Tapering,
}

/// A stack with weights as at the start of training, times `size`.
fn stack(
    kind: Kind,
    [width, hidden, depth]: [usize; 3],
    size: f64,
    random: &mut Random,
) -> float::Residual {
    let mut widths = vec![[width, hidden]];
    let mut last = hidden;
    for _ in 0..depth {
        match kind {
            Kind::Tied | Kind::Untied => widths.push([hidden, hidden]),
            Kind::Tapering => {
                let next = (last / 2).max(1);
                widths.extend([[last, last], [last, last], [last, next]]);
                last = next;
            }
        }
    }
    widths.push([last, 1]);
    let mut order: Vec<u32> = (0..widths.len() as u32).collect();
    if let Kind::Tied = kind {
        order = (0..widths.len()).map(|i| i.min(1) as u32 + u32::from(i > depth)).collect();
        widths.drain(1..depth);
    }
    let layers = widths
        .into_iter()
        .map(|[inputs, outputs]| {
            let bound = size / (inputs as f64).sqrt();
            let mut draw = |n| (0..n).map(|_| random.range(-bound, bound) as f32).collect();
            float::Dense {
                inputs: inputs as u32,
                outputs: outputs as u32,
                weights: draw(inputs * outputs),
                biases: draw(outputs),
            }
        })
        .collect();
    float::Residual { layers, ranges: vec![0.0; order.len()], order }
}

/// The inputs of each application for a row, and last the output.
fn activations(residual: &float::Residual, row: &[f64]) -> Vec<Vec<f64>> {
    let mut all = vec![row.to_vec()];
    for (application, &layer) in residual.order.iter().enumerate() {
        let (layer, x) = (&residual.layers[layer as usize], &all[application]);
        let rows = layer.weights.chunks_exact(x.len()).zip(&layer.biases);
        let sum = |(weights, &bias): (&[f32], &f32)| {
            weights.iter().zip(x).map(|(&w, x)| f64::from(w) * x).sum::<f64>() + f64::from(bias)
        };
        let last = application + 1 == residual.order.len();
        let leaky = |y: f64| if y < 0.0 && !last { y / 5.0 } else { y };
        all.push(rows.map(sum).map(leaky).collect());
    }
    all
}

/// The bound of a residual's value, for rows that no application saturates.
///
/// With an error of at most `e_j` in entry j of its input, a hidden number is off by at most
///
/// `Σ_j (|w_ij − ŵ_ij| (|x_j| + e_j) + |w_ij| e_j) + |b_i − b̂_i| + ulp_i/2`,
///
/// where ŵ and b̂ are what the integers stand for and `ulp_i` is the step of the next input: leaky
/// ReLU makes no error larger.
fn bound(residual: &float::Residual, fixed: &Residual, all: &[Vec<f64>], entry_error: f64) -> f64 {
    let half_step = |application: usize| match fixed.bits.get(application) {
        Some(&bits) => power_of_two(-i32::from(bits) - 1) * 1.001,
        None => power_of_two(-33),
    };
    let mut errors = vec![entry_error + half_step(0); all[0].len()];
    for (application, &index) in residual.order.iter().enumerate() {
        let (exact, rounded) = (&residual.layers[index as usize], &fixed.layers[index as usize]);
        let x = &all[application];
        let error = |row: usize| {
            let shift = i32::from(rounded.shifts[row]);
            let scale = f64::from(rounded.multipliers[row]) * power_of_two(-shift);
            let weights = |j: usize| {
                let at = row * x.len() + j;
                (f64::from(exact.weights[at]), f64::from(rounded.weights[at]) * scale)
            };
            let products = (0..x.len()).map(|j| {
                let (w, rounded) = weights(j);
                (w - rounded).abs() * (x[j].abs() + errors[j]) + w.abs() * errors[j]
            });
            let bias = rounded.biases[row] as f64 * power_of_two(-shift - i32::from(rounded.bits));
            let bias = (f64::from(exact.biases[row]) - bias).abs();
            products.sum::<f64>() + bias + half_step(application + 1) + 1e-12
        };
        errors = (0..exact.outputs as usize).map(error).collect();
    }
    errors[0]
}

/// Both values of a random stack for one row, the bound of their difference, and the largest product
/// of each kernel with the reference's.
fn check(kind: Kind, shape: [usize; 3], size: f64, normalize: bool, seed: u64) {
    let mut random = Random::new(seed);
    let mut residual = stack(kind, shape, size, &mut random);
    let features: Vec<i32> = (0..shape[0]).map(|_| to_feature(random.range(-3.0, 3.0))).collect();
    let numbers: Vec<f64> = features.iter().map(|&x| from_feature(x)).collect();
    let mut row = Vec::new();
    float::project(&numbers, normalize, &mut row);
    let all = activations(&residual, &row);
    for (range, x) in residual.ranges.iter_mut().zip(&all) {
        *range = x.iter().fold(0.0, |most: f64, x| most.max(x.abs())) as f32;
    }
    let exact = residual.evaluate(&row);
    assert!((exact - all[all.len() - 1][0]).abs() <= 1e-9 * exact.abs().max(1.0));

    let (entry_bits, entry_error) =
        if normalize { (UNIT_BITS, power_of_two(-30)) } else { (FEATURE_BITS, 0.0) };
    let most = if normalize { 1.0 } else { 2048.0 };
    let mut fixed = Residual::fix(&residual, (entry_bits, most), HeadId::HeatEl).unwrap();
    assert_eq!(fixed.check(entry_bits, HeadId::HeatEl, shape[0]), Ok(()));
    let entries: Vec<i32> =
        row.iter().map(|x| (x * power_of_two(entry_bits as i32)).round() as i32).collect();
    let mut values = Kernel::available().into_iter().map(|kernel| {
        fixed.pack(kernel);
        fixed.evaluate_q32(&entries, entry_bits, &mut Buffers::default())
    });
    let found = values.next().unwrap();
    assert!(values.all(|value| value == found));
    let (found, bound) = (from_q32(found), bound(&residual, &fixed, &all, entry_error));
    // Beyond 2³¹ a value saturates.
    if exact.abs() + bound < power_of_two(31) {
        assert!((found - exact).abs() <= bound, "{found} {exact} {bound}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn residuals_are_within_their_bound_with_every_kernel(
        kind in prop_oneof![Just(Kind::Tied), Just(Kind::Untied), Just(Kind::Tapering)],
        width in 1usize..40, hidden in 1usize..70, depth in 1usize..5,
        size in -6.0..3.0f64, normalize in any::<bool>(), seed in any::<u32>()
    ) {
        check(kind, [width, hidden, depth], libm::exp2(size), normalize, seed.into());
    }
}

/// As wide as the networks of the paper, without their time.
#[test]
fn wide_residuals_are_within_their_bound() {
    check(Kind::Tied, [512, 256, 4], 1.0, true, 1);
    check(Kind::Tapering, [300, 256, 4], 2.0, false, 2);
    check(Kind::Untied, [8192, 3, 1], 1.0, false, 3);
}

/// What training leaves: the part of the error that rows do not share is small against the spread of
/// the values, because weights are rounded once for all rows.
#[test]
fn values_keep_their_order() {
    let mut random = Random::new(9);
    let mut residual = stack(Kind::Tied, [128, 256, 4], 1.0, &mut random);
    let rows: Vec<Vec<i32>> = (0..60)
        .map(|_| (0..128).map(|_| to_feature(random.range(-2.0, 2.0).max(0.0))).collect())
        .collect();
    for row in &rows {
        let numbers: Vec<f64> = row.iter().map(|&x| from_feature(x)).collect();
        let mut unit = Vec::new();
        float::project(&numbers, true, &mut unit);
        let all = activations(&residual, &unit);
        for (range, x) in residual.ranges.iter_mut().zip(&all) {
            *range = x.iter().fold(*range, |most, &x| most.max(x.abs() as f32));
        }
    }
    let heat = float::Heat {
        normalize: true,
        residual,
        temperature: 1.0,
        prior: float::LogitEnergy,
        prior_temperature: 1e12,
    };
    let head = float::Head::HeatEl(heat);
    let fixed = head.fix().unwrap();
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    for avg in rows {
        let features = Features { avg, std: Vec::new(), logits: vec![0] };
        values.push(head.energy(&features, &mut float::Scratch::default()));
        let found = fixed.energy_q32(&features, &mut Scratch::default());
        errors.push(from_q32(found) - values[values.len() - 1]);
    }
    let deviation = |x: &[f64]| {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        (x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64).sqrt()
    };
    let share = deviation(&errors) / deviation(&values);
    assert!(share < 0.03, "{share}");
}

/// Features far beyond the ranges of training saturate; the prior still counts.
#[test]
fn extreme_rows_saturate() {
    let head = float::Head::HeatGmm(heat(super::gmm(super::GmmScore::Mixture))).fix().unwrap();
    let energy = |avg: [i32; 2]| {
        let features = Features { avg: avg.to_vec(), ..Features::default() };
        head.energy_q32(&features, &mut Scratch::default())
    };
    let Head::HeatGmm(refined) = &head else { unreachable!() };
    assert_eq!(refined.residual().widths(), [2, 4, 4, 4]);
    for far in [1000.0, 1500.0, 2047.0].map(to_feature) {
        assert!(energy([far, far]) < BROKEN);
        assert!(energy([far, far]) > energy([far / 2, far / 2]));
        assert!(energy([i32::MAX, -i32::MAX]) < BROKEN);
    }
    assert_eq!(energy([crate::backbone::NOT_A_NUMBER, 0]), BROKEN);
}

/// A layer that leaves nothing, and a bias beyond the weights' scale.
#[test]
fn degenerate_layers_are_evaluated() {
    for bias in [0.0, 1e-20, 3.0, 1e6] {
        let mut heat = heat(float::LogitEnergy);
        let residual = &mut heat.residual;
        residual.layers[1].weights.fill(0.0);
        residual.layers[1].biases.fill(bias);
        residual.ranges = vec![0.0, 0.0, bias, bias];
        let exact = residual.evaluate(&[0.5, -0.25]);
        let fixed = Residual::fix(residual, (FEATURE_BITS, 2048.0), HeadId::HeatEl).unwrap();
        assert_eq!(fixed.check(FEATURE_BITS, HeadId::HeatEl, 2), Ok(()));
        let row = [0.5, -0.25].map(to_feature);
        let found = from_q32(fixed.evaluate_q32(&row, FEATURE_BITS, &mut Buffers::default()));
        assert!((found - exact).abs() <= 1e-3 * exact.abs().max(1.0), "{found} {exact}");
    }
}
