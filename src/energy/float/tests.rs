use proptest::prelude::*;

use super::*;
use crate::backbone::to_feature;
use crate::energy::Rule;

/// Two components at (0, 0) and (3, 0), Σ = [[4, 2], [2, 5]], so L = [[2, 0], [1, 2]].
fn gmm(score: GmmScore) -> Gmm {
    Gmm {
        normalize: false,
        score,
        width: 2,
        whitener: vec![0.5, -0.25, 0.5],
        whitened_means: vec![0.0, 0.0, 1.5, -0.75],
        log_weights: vec![libm::log(0.25), libm::log(0.75)],
        half_log_det: libm::log(4.0),
        ridge: 0.0,
    }
}

fn knn() -> Knn {
    Knn { normalize: false, k: 2, width: 2, rows: vec![0.0, 0.0, 1.0, 0.0, 0.0, 3.0] }
}

fn features(avg: &[f64], std: &[f64], logits: &[f64]) -> Features {
    let [avg, std, logits] =
        [avg, std, logits].map(|row| row.iter().map(|&x| to_feature(x)).collect());
    Features { avg, std, logits }
}

fn frame() -> Features {
    features(&[2.5, 1.0], &[0.0, 2.0], &[1.0, 3.0, -2.0])
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-12 * b.abs().max(1.0)
}

#[test]
fn each_head_gives_its_textbook_value() {
    let heads = [
        Head::Msp,
        Head::Mls,
        Head::El,
        Head::Gmm(gmm(GmmScore::Mixture)),
        Head::GmmStd(gmm(GmmScore::MinMahalanobis)),
        Head::Knn(knn()),
    ];
    let sum: f64 = [1.0f64, 3.0, -2.0].iter().map(|l| l.exp()).sum();
    // Σ⁻¹ = [[5, −2], [−2, 4]] / 16; differences (2.5, 1) and (−0.5, 1).
    let (m0, m1) = ((31.25 - 10.0 + 4.0) / 16.0, (1.25 + 2.0 + 4.0) / 16.0);
    let density = (0.25 * (-m0 / 2.0f64).exp() + 0.75 * (-m1 / 2.0f64).exp())
        / (2.0 * std::f64::consts::PI * 4.0);
    // Squared distances to the rows are 7.25, 3.25 and 10.25.
    let expected = [-(3.0f64.exp()) / sum, -3.0, -sum.ln(), -density.ln(), 1.0, 7.25];
    let mut scratch = Scratch::default();
    for (head, expected) in heads.iter().zip(expected) {
        let energy = head.energy(&frame(), &mut scratch);
        assert!(close(energy, expected), "{}: {energy} {expected}", head.id());
    }
}

/// What the authors' code gives (PyTorch, float32) for networks with these weights.
#[test]
fn residuals_equal_the_authors() {
    let number = |amplitude: f64, tensor: usize, i: usize, fan: u32| {
        let angle = 0.5 + 0.9 * i as f64 + 0.3 * tensor as f64;
        (amplitude * libm::sin(angle) / f64::from(fan).sqrt()) as f32
    };
    let residual = |amplitude: f64, shapes: &[[u32; 2]], order: &[u32]| {
        let layer = |(k, &[inputs, outputs]): (usize, &[u32; 2])| {
            let tensor = |k: usize, n: u32, fan| {
                (0..n as usize).map(|i| number(amplitude, k, i, fan)).collect()
            };
            let weights = tensor(2 * k, inputs * outputs, inputs);
            Dense { inputs, outputs, weights, biases: tensor(2 * k + 1, outputs, 8) }
        };
        let layers = shapes.iter().enumerate().map(layer).collect();
        Residual { layers, order: order.to_vec(), ranges: vec![1.0; order.len()] }
    };
    let tied = residual(1.0, &[[4, 8], [8, 8], [8, 1]], &[0, 1, 1, 2]);
    let tapering = [[4, 8], [8, 8], [8, 8], [8, 4], [4, 4], [4, 4], [4, 2], [2, 1]].as_slice();
    let tapering = residual(3.0, tapering, &[0, 1, 2, 3, 4, 5, 6, 7]);
    let expected = [
        (tied, [1.32803, 1.3439, 1.32388, 1.4694, 1.42324]),
        (tapering, [2.23306, 2.7207, 2.16901, 3.9756, 3.47527]),
    ];
    for (residual, values) in expected {
        residual.check(HeadId::HeatGmm, 4).unwrap();
        for (i, value) in values.into_iter().enumerate() {
            let i = i as f64;
            let query = |j| 2.0 * libm::sin(1.5 + 0.7 * i + 1.3 * j + 0.37 * i * j);
            let mut row = Vec::new();
            project(&[0.0, 1.0, 2.0, 3.0].map(query), true, &mut row);
            let found = residual.evaluate(&row);
            assert!((found - value).abs() <= 1e-4 * value, "{found} {value}");
        }
    }
}

#[test]
fn logit_heads_survive_large_logits() {
    let features = features(&[], &[], &[2000.0, -2000.0]);
    let mut scratch = Scratch::default();
    assert_eq!(Head::Msp.energy(&features, &mut scratch), -1.0);
    assert_eq!(Head::El.energy(&features, &mut scratch), -2000.0);
}

#[test]
fn normalised_query_has_no_scale_and_zero_stays_zero() {
    let mut out = Vec::new();
    project(&[3.0 * 2f64.powi(100), 4.0 * 2f64.powi(100)], true, &mut out);
    assert!(close(out[0], 0.6) && close(out[1], 0.8), "{out:?}");
    project(&[0.0, 0.0], true, &mut out);
    assert_eq!(out, [0.0, 0.0]);
}

/// Lanes and remainder of the row arithmetic together cover every element once.
#[test]
fn row_sums_cover_every_length() {
    for n in 0..40 {
        let a: Vec<f64> = (0..n).map(f64::from).collect();
        let b: Vec<f32> = (0..n).map(|i| i as f32 - 2.0).collect();
        let ones = vec![1.0; a.len()];
        assert_eq!(row::dot(&a, &ones), f64::from(n * (n - 1) / 2));
        assert_eq!(row::squared_distance(&a, &b), f64::from(4 * n));
    }
}

#[test]
fn empty_composition_is_never_normal() {
    for rule in [Rule::Sum, Rule::LogSumExp(1.0), Rule::Max, Rule::Min] {
        let (energy, shares) = Composition { rule, terms: vec![] }.compose(&[1.0]);
        assert_eq!((energy, shares.len()), (f64::INFINITY, 0));
    }
}

fn rules() -> impl Strategy<Value = Rule> {
    prop_oneof![
        Just(Rule::Sum),
        Just(Rule::Max),
        Just(Rule::Min),
        (prop_oneof![-20.0..-0.05f64, 0.05..20.0f64]).prop_map(Rule::LogSumExp),
    ]
}

fn terms() -> impl Strategy<Value = Vec<(f64, f64, f64)>> {
    prop::collection::vec((-50.0..50.0f64, -9.0..9.0f64, 0.1..9.0f64), 1..6)
}

fn compose(rule: Rule, terms: &[(f64, f64, f64)]) -> (f64, Vec<f64>) {
    let energies: Vec<f64> = terms.iter().map(|t| t.0).collect();
    let terms = terms
        .iter()
        .zip(0..)
        .map(|(t, head)| Term { head, mean: t.1, std: t.2, weight: 1.0 })
        .collect();
    Composition { rule, terms }.compose(&energies)
}

proptest! {
    /// Standardised terms do not see an affine change of a head's unit.
    #[test]
    fn composition_ignores_units(
        rule in rules(), terms in terms(), scale in 0.01..100.0f64, shift in -100.0..100.0f64
    ) {
        let (energy, _) = compose(rule, &terms);
        let mut moved = terms.clone();
        let (s, mean, std) = moved[0];
        moved[0] = (s * scale + shift, mean * scale + shift, std * scale);
        let (again, _) = compose(rule, &moved);
        prop_assert!((energy - again).abs() < 1e-6 * energy.abs().max(1.0), "{energy} {again}");
    }

    #[test]
    fn shares_add_up(rule in rules(), terms in terms()) {
        let (energy, shares) = compose(rule, &terms);
        prop_assert_eq!(shares.len(), terms.len());
        prop_assert!((shares.iter().sum::<f64>() - energy).abs() <= 1e-9 * energy.abs().max(1.0));
    }

    /// A large |beta| is the extremum; every soft maximum lies between it and log(n)/beta above.
    #[test]
    fn large_beta_is_the_extremum(terms in terms(), beta in 0.05..20.0f64) {
        let (max, _) = compose(Rule::Max, &terms);
        let (min, _) = compose(Rule::Min, &terms);
        prop_assert!((compose(Rule::LogSumExp(1000.0), &terms).0 - max).abs() < 2e-3);
        prop_assert!((compose(Rule::LogSumExp(-1000.0), &terms).0 - min).abs() < 2e-3);
        let slack = (terms.len() as f64).ln() / beta + 1e-9;
        let soft = compose(Rule::LogSumExp(beta), &terms).0;
        prop_assert!(soft >= max && soft <= max + slack);
        let soft = compose(Rule::LogSumExp(-beta), &terms).0;
        prop_assert!(soft <= min && soft >= min - slack);
    }

    /// The k-th neighbour by selection is the k-th of the sorted distances.
    #[test]
    fn knn_is_the_kth_of_the_sorted_distances(
        rows in prop::collection::vec(-4.0..4.0f32, 1..60), query in -5.0..5.0f32,
        rank in any::<prop::sample::Index>()
    ) {
        let rank = rank.index(rows.len());
        let mut distances: Vec<f64> =
            rows.iter().map(|&x| (f64::from(query) - f64::from(x)).powi(2)).collect();
        distances.sort_by(f64::total_cmp);
        let knn = Knn { normalize: false, k: rank as u32 + 1, width: 1, rows };
        prop_assert_eq!(knn.energy(&[f64::from(query)], &mut Scratch::default()), distances[rank]);
    }
}
