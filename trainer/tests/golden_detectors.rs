//! Detectors against numbers that the authors' HEAT code gives on the same inputs (6 significant digits).

use oddsight::fit::Table;
use oddsight_train::detectors::{
    Dice, Kl, LinearHead, Mahalanobis, MeanOptions, Means, Odin, Pca, Vim, VimOptions, cosine,
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

fn classes() -> Vec<String> {
    ["a", "b", "c"].map(String::from).to_vec()
}

fn head() -> LinearHead {
    let weights = (0..3).flat_map(|c| (0..D).map(move |j| g(c, j, 2.0))).collect();
    LinearHead::new(weights, vec![0.1, -0.2, 0.3]).unwrap()
}

fn each(energy: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    (0..5).map(|i| energy(&query(i))).collect()
}

fn assert_close(actual: &[f64], expected: &[f64]) {
    assert_eq!(actual.len(), expected.len());
    for (a, e) in actual.iter().zip(expected) {
        assert!((a - e).abs() <= 1e-4 * e.abs(), "{actual:?}, expected {expected:?}");
    }
}

#[test]
fn logit_scores() {
    let head = head();
    let expected = [-0.718373, -1.3472, -1.55172, -1.45365, -1.06961];
    assert_close(&each(|row| cosine(&head, row)), &expected);
    let odin = Odin { temperature: 2.0, epsilon: 0.1 };
    let expected = [-0.654651, -0.832245, -0.546861, -0.846715, -0.658925];
    assert_close(&each(|row| odin.energy(&head, row)), &expected);
}

#[test]
fn lengths() {
    use oddsight_train::detectors::{DetectorId, Detectors};
    let norm = Detectors::fit(&[DetectorId::Norm], &train(), &classes(), head()).unwrap();
    assert_close(
        &each(|row| norm.energies(row)[0]),
        &[3.08153, 2.96255, 2.50862, 2.79561, 2.47705],
    );
}

#[test]
fn mahalanobis() {
    let (rows, classes) = (train(), classes());
    let unit = Mahalanobis::fit(&rows, &classes, true).unwrap();
    let expected = [6.19722, 8.59134, 6.26407, 5.33537, 7.88313];
    assert_close(&each(|row| unit.energy(row)), &expected);
    let diagonal = Mahalanobis::fit_diagonal(&rows, &classes, true).unwrap();
    let expected = [5.13269, 7.69802, 6.58469, 4.68958, 6.37481];
    assert_close(&each(|row| diagonal.energy(row)), &expected);
    let one = Mahalanobis::fit_one(&rows, true).unwrap();
    assert_close(&each(|row| one.energy(row)), &[5.85504, 9.6593, 6.3861, 6.73994, 8.33906]);
    let raw = Mahalanobis::fit(&rows, &classes, false).unwrap();
    let expected = [12.2892, 14.4796, 9.20005, 10.6531, 8.41084];
    assert_close(&each(|row| raw.energy(row)), &expected);
}

#[test]
fn class_means() {
    let cases = [
        (true, false, [-0.683903, -0.442892, -0.517281, -0.584719, -0.586524]),
        (true, true, [-1.35064, -1.05898, -1.18849, -1.21142, -1.10063]),
        (false, false, [-3.1871, -1.98426, -1.87417, -2.36087, -2.235]),
    ];
    for (normalize, soft, expected) in cases {
        let means = Means::fit(&train(), &classes(), &MeanOptions { normalize, soft }).unwrap();
        assert_close(&each(|row| means.energy(row)), &expected);
    }
}

#[test]
fn dice() {
    let dice = Dice::fit(&train(), &head(), 50.0).unwrap();
    assert_close(&[dice.threshold()], &[-0.0185199]);
    assert_eq!(dice.kept(), 6);
    let expected = [-0.890901, -1.36449, -1.65633, -3.43617, -0.758814];
    assert_close(&each(|row| dice.energy(row)), &expected);
}

#[test]
fn kl_matching() {
    let head = head();
    let kl = Kl::fit(&train(), &head).unwrap();
    assert_eq!(kl.counts(), [7, 4, 14]);
    let expected = [0.0861744, 0.235203, 0.14329, 0.207362, 0.0246476];
    assert_close(&each(|row| kl.energy(&head.logits(row))), &expected);
}

/// As in HEAT's code and as published; what they share, once.
#[test]
fn vim() {
    let head = head();
    let fit = |as_heat| Vim::fit(&train(), &head, &VimOptions { principal: 2, as_heat }).unwrap();
    let parity = fit(true);
    assert_close(parity.origin(), &[0.213757, 0.199468, 0.293559, 0.411268]);
    assert_close(&[parity.alpha()], &[0.993143]);
    let residuals = [1.89232, 1.85906, 0.850404, 2.3779, 1.03102];
    assert_close(&each(|row| parity.residual(row)), &residuals);
    let expected = [1.58597, -1.61131, -1.95859, -2.13637, -0.862379];
    assert_close(&each(|row| parity.energy(&head, row, &head.logits(row))), &expected);
    // The row's own logits, all else equal.
    let own = |row: &[f64]| {
        let shifted: Vec<f64> = row.iter().zip(parity.origin()).map(|(x, u)| x + u).collect();
        let of_logits =
            parity.energy(&head, &shifted, &[]) - parity.alpha() * parity.residual(&shifted);
        parity.alpha() * parity.residual(row) + of_logits
    };
    assert_close(&each(own), &[1.7255, -1.52125, -2.03712, -1.84716, -0.611619]);

    let textbook = fit(false);
    assert_close(textbook.origin(), parity.origin());
    let residuals = [1.41121, 2.33785, 0.712255, 2.64909, 1.01027];
    assert_close(&each(|row| textbook.residual(row)), &residuals);
    // Its energy has the same logits, and a virtual logit with an α of its own.
    for i in 0..5 {
        let (row, logits) = (query(i), head.logits(&query(i)));
        let found = textbook.energy(&head, &row, &logits);
        let el = found - textbook.alpha() * textbook.residual(&row);
        assert_close(&[el], &[[-0.153848, -3.36756, -2.88169, -4.20876, -1.63557][i]]);
    }
}

#[test]
// One of the numbers is near ln 10 by chance.
#[allow(clippy::approx_constant)]
fn principal_components() {
    let pca = Pca::fit(&train(), 2).unwrap();
    assert_close(pca.variances(), &[1.44924, 1.28603]);
    let found: Vec<f64> = (0..5).flat_map(|i| pca.transform(&query(i), false)).collect();
    #[rustfmt::skip]
    let expected = [
        0.420304, 2.50143, -0.825782, 1.8915, -2.20667, -0.628133, -1.02055, -1.81758, 2.3025, -1.02428,
    ];
    assert_close(&found, &expected);
    assert_close(&pca.transform(&query(0), true), &[0.349135, 2.20579]);
}

/// What components explain and what they leave add up.
#[test]
fn a_row_is_its_components_and_its_distance_from_them() {
    let whole = Pca::fit(&train(), 3).unwrap();
    let mean: Vec<f64> = (0..D).map(|j| (0..25).map(|i| row(i)[j]).sum::<f64>() / 25.0).collect();
    for i in 0..5 {
        let (row, along) = (query(i), whole.transform(&query(i), false));
        let all: f64 = row.iter().zip(&mean).map(|(x, m)| (x - m) * (x - m)).sum();
        let explained: f64 = along.iter().map(|x| x * x).sum();
        assert!((all - explained - whole.distance(&row).powi(2)).abs() < 1e-12);
    }
}
