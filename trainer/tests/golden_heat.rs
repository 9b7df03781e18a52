//! Fitted heads against numbers that the authors' HEAT code gives on the same inputs.

use nalgebra::DMatrix;
use oddsight::backbone::{Features, to_feature};
use oddsight::energy::float::{self, Composition, Gmm, GmmScore, Head, Scratch};
use oddsight::energy::{self, Rule, from_q16, from_q32};
use oddsight::fit::{
    Components, GmmOptions, KnnOptions, MixtureOptions, Moments, Table, fit_gmm, fit_knn,
    fit_mixture,
};

#[path = "support/golden.rs"]
mod golden;

use golden::{D, g, query, row};

/// 25 rows, label i mod 3.
fn train() -> Table {
    let mut table = Table::new(D);
    for i in 0..25 {
        table.push(&row(i), Some(i as u32 % 3)).unwrap();
    }
    table
}

/// `avg` and the logits of the golden head.
fn features(avg: &[f64]) -> Features {
    let logit = |c: usize| {
        let product: f64 = (0..D).map(|j| g(c, j, 2.0) * avg[j]).sum();
        to_feature(product + [0.1, -0.2, 0.3][c])
    };
    let avg: Vec<i32> = avg.iter().map(|&x| to_feature(x)).collect();
    Features { logits: (0..3).map(logit).collect(), std: avg.clone(), avg }
}

fn energies(head: &Head) -> Vec<f64> {
    let mut scratch = Scratch::default();
    let exact: Vec<f64> = (0..5).map(|i| head.energy(&features(&query(i)), &mut scratch)).collect();
    // The integer form gives the authors' numbers, too.
    let (fixed, mut scratch) = (head.fix().unwrap(), energy::Scratch::default());
    let energy_q32 = |i| fixed.energy_q32(&features(&query(i)), &mut scratch);
    assert_close(&(0..5).map(energy_q32).map(from_q32).collect::<Vec<_>>(), &exact);
    exact
}

fn assert_close(actual: &[f64], expected: &[f64]) {
    assert_eq!(actual.len(), expected.len());
    for (a, e) in actual.iter().zip(expected) {
        assert!((a - e).abs() <= 1e-4 * e.abs(), "{actual:?}, expected {expected:?}");
    }
}

fn classes() -> Vec<String> {
    ["a", "b", "c"].map(String::from).to_vec()
}

fn gmm(normalize: bool, score: GmmScore) -> Gmm {
    fit_gmm(&train(), &classes(), &GmmOptions { normalize, score }).unwrap()
}

/// `−log N(z; μ_label, Σ)`, without the weight.
fn labelled(gmm: &Gmm) -> Vec<f64> {
    let mut scratch = Scratch::default();
    let energy = |(i, label): (usize, usize)| {
        let m = gmm.distances(&query(i), &mut scratch)[label];
        0.5 * (D as f64 * (2.0 * std::f64::consts::PI).ln() + m) + gmm.half_log_det
    };
    [0, 1, 2, 1, 0].into_iter().enumerate().map(energy).collect()
}

fn lower(gmm: &Gmm) -> DMatrix<f64> {
    let mut whitener = DMatrix::zeros(D, D);
    let places = (0..D).flat_map(|i| (0..=i).map(move |j| (i, j)));
    places.zip(&gmm.whitener).for_each(|(at, &x)| whitener[at] = x);
    whitener.try_inverse().unwrap()
}

#[test]
fn generator_rows() {
    let table = train();
    assert_close(table.row(0), &[2.34147, 0.745705, -0.44252, -0.982453]);
    assert_close(table.row(24), &[0.632798, 0.290102, 0.444744, -0.937756]);
    assert_close(&query(0), &[1.99499, 0.669976, -1.63655, -1.54553]);
}

#[test]
fn logit_heads() {
    let msp = [-0.781127, -0.960627, -0.673289, -0.971306, -0.833044];
    assert_close(&energies(&Head::Msp), &msp);
    let mls = [0.0931697, -3.32739, -2.48611, -4.17965, -1.4529];
    assert_close(&energies(&Head::Mls), &mls);
    let el = [-0.153848, -3.36756, -2.88169, -4.20876, -1.63557];
    assert_close(&energies(&Head::El), &el);
}

#[test]
fn gmm_parameters() {
    let gmm = gmm(true, GmmScore::Mixture);
    let expected = [
        [0.322096, 0.0, 0.0, 0.0],
        [-0.0929567, 0.339854, 0.0, 0.0],
        [0.0065774, -0.0623928, 0.303178, 0.0],
        [0.0400384, 0.00459176, -0.0970807, 0.370785],
    ];
    let lower = lower(&gmm);
    for (i, row) in expected.iter().enumerate() {
        assert_close(&(0..=i).map(|j| lower[(i, j)]).collect::<Vec<_>>(), &row[..=i]);
    }
    let means = lower * DMatrix::from_column_slice(D, 3, &gmm.whitened_means);
    assert_close(means.column(0).as_slice(), &[0.74574, 0.0423737, 0.0572118, -0.0825461]);
    assert_close(means.column(1).as_slice(), &[0.00695303, 0.761997, -0.0789991, 0.0147145]);
    assert_close(means.column(2).as_slice(), &[-0.0747748, 0.0272796, 0.644402, 0.0374907]);
    let weights: Vec<f64> = gmm.log_weights.iter().map(|w| w.exp()).collect();
    assert_close(&weights, &[0.36, 0.32, 0.32]);
    assert_eq!(gmm.ridge, 0.0);
}

#[test]
fn gmm_normalised() {
    let least = energies(&Head::Gmm(gmm(true, GmmScore::MinMahalanobis)));
    assert_close(&least, &[6.19722, 8.59134, 6.26407, 5.33537, 7.88313]);
    let mixture = gmm(true, GmmScore::Mixture);
    assert_close(&labelled(&mixture), &[2.37665, 7.64764, 2.41008, 6.81823, 10.7858]);
    let nll = energies(&Head::Gmm(mixture));
    assert_close(&nll, &[3.35825, 4.57634, 3.53116, 3.07359, 4.32353]);
}

#[test]
fn gmm_raw() {
    let least = energies(&Head::Gmm(gmm(false, GmmScore::MinMahalanobis)));
    assert_close(&least, &[12.2892, 14.4796, 9.20005, 10.6531, 8.41084]);
    let mixture = gmm(false, GmmScore::Mixture);
    assert_close(&labelled(&mixture), &[8.38568, 16.3808, 6.84111, 13.6683, 14.1013]);
    // The std head is the same mixture over the other row; `features` makes both rows equal.
    let nll = energies(&Head::GmmStd(mixture));
    assert_close(&nll, &[9.39145, 10.501, 7.93697, 8.7013, 7.57822]);
}

#[test]
fn one_gaussian() {
    let score = GmmScore::MinMahalanobis;
    let options =
        MixtureOptions { components: Components::Exactly(1), score, ..MixtureOptions::default() };
    let mixture = fit_mixture(&train(), &options).unwrap();
    let expected = [5.85504, 9.6593, 6.3861, 6.73994, 8.33906];
    assert_close(&energies(&Head::Gmm(mixture.gmm)), &expected);
}

/// The mean over training rows of the own-class squared Mahalanobis distance is D exactly.
#[test]
fn own_class_distances_average_to_the_width() {
    for normalize in [true, false] {
        let gmm = gmm(normalize, GmmScore::Mixture);
        let (table, mut scratch) = (train(), Scratch::default());
        let own = |i: usize| gmm.distances(table.row(i), &mut scratch)[i % 3];
        let mean = (0..25).map(own).sum::<f64>() / 25.0;
        assert!((mean - D as f64).abs() < 1e-9, "{mean}");
    }
    let (head, mut scratch) = (gmm(true, GmmScore::Mixture), Scratch::default());
    let nll = (0..25).map(|i| head.energy(train().row(i), &mut scratch)).sum::<f64>() / 25.0;
    assert_close(&[nll], &[2.20942]);
}

#[test]
fn nearest_neighbours() {
    let knn = |normalize| {
        let options = KnnOptions { k: 3, normalize, ..KnnOptions::default() };
        energies(&Head::Knn(fit_knn(&train(), &options).unwrap()))
    };
    assert_close(&knn(true), &[0.452198, 0.905214, 0.47361, 0.755995, 0.514235]);
    assert_close(&knn(false), &[3.84753, 6.58589, 3.13797, 4.99058, 2.75952]);
}

#[test]
fn composition() {
    let heads = [Head::Gmm(gmm(true, GmmScore::MinMahalanobis)), Head::El];
    let (table, mut scratch) = (train(), Scratch::default());
    let mut terms = Vec::new();
    for (head, index) in heads.iter().zip(0..) {
        let mut moments = Moments::default();
        for i in 0..25 {
            moments.push(head.energy(&features(table.row(i)), &mut scratch));
        }
        terms.push(moments.term(index).unwrap());
    }
    assert_close(&[terms[0].mean, terms[1].mean], &[4.0, -1.350625]);
    assert_close(&[terms[0].std, terms[1].std], &[2.252342, 0.829485]);
    let cases = [
        (Rule::Sum, [2.41832, -0.393072, -0.840597, -2.8528, 1.38052]),
        (Rule::LogSumExp(1.0), [1.92936, 2.04986, 1.06138, 0.610349, 1.84315]),
        (Rule::LogSumExp(-1.0), [0.488966, -2.44293, -1.90198, -3.46314, -0.462629]),
        (Rule::LogSumExp(5.0), [1.46125, 2.03847, 1.00521, 0.59288, 1.72405]),
        (Rule::Max, [1.44279, 2.03847, 1.00521, 0.59288, 1.72404]),
        (Rule::Min, [0.975528, -2.43155, -1.8458, -3.44568, -0.343519]),
    ];
    let scores = heads.each_ref().map(energies);
    for (rule, expected) in cases {
        let composition = Composition { rule, terms: terms.clone() };
        let composed: Vec<f64> =
            (0..5).map(|i| composition.compose(&[scores[0][i], scores[1][i]]).0).collect();
        assert_close(&composed, &expected);
        let heads = float::Heads { heads: heads.to_vec(), composition }.fix().unwrap();
        let (mut scratch, mut scores) = (energy::Scratch::default(), energy::Scores::default());
        for (i, expected) in composed.iter().enumerate() {
            heads.score(&features(&query(i)), &mut scratch, &mut scores);
            // Half a step of Q47.16, and the error of the heads over their deviation.
            assert!((from_q16(scores.energy_q16) - expected).abs() < 2e-5, "{rule:?} {scores:?}");
        }
    }
}
