//! Detectors on rows that are bad, and against their definitions.

use oddsight::fit::Table;
use oddsight::random::Random;

use super::*;

const WIDTH: usize = 6;

fn head() -> LinearHead {
    let mut random = Random::new(1);
    let mut draw = |n: usize| (0..n).map(|_| random.range(-1.0, 1.0)).collect();
    LinearHead::new(draw(4 * WIDTH), draw(4)).unwrap()
}

fn names(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("class-{i}")).collect()
}

/// Rows of three classes, positive as features are.
fn rows(count: usize) -> Table {
    let mut random = Random::new(2);
    let mut table = Table::new(WIDTH);
    for i in 0..count {
        let row: Vec<f64> =
            (0..WIDTH).map(|j| random.range(0.0, 1.0) + f64::from(u8::from(j == i % 3))).collect();
        table.push(&row, Some(i as u32 % 3)).unwrap();
    }
    table
}

fn fit(id: DetectorId, table: &Table, classes: usize) -> Result<Detector, FitError> {
    Detector::fit(id, table, &names(classes), &head())
}

#[test]
fn names_are_read_back_and_others_refused() {
    for id in DetectorId::ALL {
        assert_eq!(id.name().parse::<DetectorId>().unwrap(), id);
    }
    let why = "vin".parse::<DetectorId>().unwrap_err();
    assert_eq!(why.kind(), FitErrorKind::Option);
    assert!(why.to_string().contains("vim"), "{why}");
}

/// Far from all training rows is more unusual than among them, for what measures that; and no detector
/// gives anything but a number.
#[test]
fn all_are_fitted_and_finite() {
    let table = rows(300);
    let detectors = Detectors::fit(&DetectorId::ALL, &table, &names(3), head()).unwrap();
    assert_eq!(detectors.names().len(), DetectorId::ALL.len());
    let near = detectors.energies(table.row(0));
    let far = detectors.energies(&[9.0, -9.0, 5.0, -7.0, 3.0, -8.0]);
    for (id, (near, far)) in DetectorId::ALL.into_iter().zip(near.iter().zip(&far)) {
        assert!(near.is_finite() && far.is_finite(), "{id}: {near} {far}");
        let is_distance = id.name().starts_with("maha") || matches!(id, DetectorId::Pca);
        assert!(!is_distance || near < far, "{id}: {near} {far}");
    }
}

/// A row of zeros, enormous numbers, NaN: an energy or no energy, and no panic.
#[test]
fn strange_rows_are_scored() {
    let table = rows(300);
    let detectors = Detectors::fit(&DetectorId::ALL, &table, &names(3), head()).unwrap();
    assert!(detectors.energies(&[0.0; WIDTH]).iter().all(|energy| energy.is_finite()));
    let large = detectors.energies(&[1e9; WIDTH]);
    assert!(large.iter().all(|energy| !energy.is_nan()), "{large:?}");
    let mut broken = [1.0; WIDTH];
    broken[2] = f64::NAN;
    assert!(detectors.energies(&broken).iter().all(|&energy| energy == f64::INFINITY));
}

#[test]
fn rows_that_cannot_be_fitted() {
    let good = rows(30);
    let mut broken = good.clone();
    broken.push(&[f64::INFINITY; WIDTH], Some(0)).unwrap();
    let mut narrow = Table::new(WIDTH - 1);
    narrow.push(&[1.0; WIDTH - 1], Some(0)).unwrap();
    let needs_rows = |id| {
        !matches!(
            id,
            DetectorId::OdinHead
                | DetectorId::Gen
                | DetectorId::Cosine
                | DetectorId::Norm
                | DetectorId::Scale
        )
    };
    for id in DetectorId::ALL {
        let kind = |table: &Table, classes| fit(id, table, classes).map_err(|e| e.kind()).err();
        assert_eq!(kind(&good, 3), None, "{id}");
        assert_eq!(kind(&narrow, 1), Some(FitErrorKind::Width), "{id}");
        if needs_rows(id) {
            assert_eq!(kind(&broken, 3), Some(FitErrorKind::NonFinite), "{id}");
            let none = kind(&Table::new(WIDTH), 3);
            assert_eq!(none, Some(FitErrorKind::TooFew), "{id}");
        }
        if id.needs_classes() {
            assert_eq!(kind(&good, 0), Some(FitErrorKind::Label), "{id}");
            // Labels that have no class, and a class that has no rows.
            assert_eq!(kind(&good, 2), Some(FitErrorKind::Label), "{id}");
            assert_eq!(kind(&good, 4), Some(FitErrorKind::TooFew), "{id}");
        }
    }
    let one_class = Detector::fit(DetectorId::Rmds, &good, &names(1), &head());
    assert_eq!(one_class.unwrap_err().kind(), FitErrorKind::TooFew);
}

#[test]
fn subspaces_that_leave_nothing() {
    let table = rows(30);
    for principal in [0, WIDTH, WIDTH + 1] {
        let pca = Pca::fit(&table, principal).unwrap_err();
        assert_eq!(pca.kind(), FitErrorKind::Option, "{principal}");
        let options = VimOptions { principal, as_heat: false };
        let vim = Vim::fit(&table, &head(), &options).unwrap_err();
        assert_eq!(vim.kind(), FitErrorKind::Option, "{principal}");
    }
    // Rows on a line through u have no residual beside it.
    let head = LinearHead::new(vec![1.0, 0.0, 0.0, 1.0], vec![0.0, 0.0]).unwrap();
    let mut line = Table::new(2);
    (1..9).for_each(|i| line.push(&[f64::from(i), 0.0], None).unwrap());
    let vim = Vim::fit(&line, &head, &VimOptions { principal: 1, as_heat: false }).unwrap_err();
    assert_eq!(vim.kind(), FitErrorKind::Singular);
}

#[test]
fn layers_that_are_none() {
    let kind = |weights: &[f64], biases: &[f64]| {
        LinearHead::new(weights.to_vec(), biases.to_vec()).unwrap_err().kind()
    };
    assert_eq!(kind(&[], &[]), FitErrorKind::Width);
    assert_eq!(kind(&[1.0, 2.0, 3.0], &[0.0, 0.0]), FitErrorKind::Width);
    assert_eq!(kind(&[1.0, f64::NAN], &[0.0]), FitErrorKind::NonFinite);
}

/// Where the layer is sure, 1 − p is far below what a double has beside 1.
#[test]
fn generalised_entropy_of_sure_logits() {
    let generalised = Gen { power: 0.1, classes: 2 };
    let energies = [30.0, 60.0, 90.0].map(|lead| generalised.energy(&[lead, 0.0]));
    // p₁ = 1 − p₀ = e^−lead: both terms are p₁^γ.
    for (energy, lead) in energies.into_iter().zip([30.0f64, 60.0, 90.0]) {
        assert!((energy / (2.0 * (-0.1 * lead).exp()) - 1.0).abs() < 1e-9, "{energy}");
    }
    assert!((Gen { power: 1.0, classes: 9 }.energy(&[0.0, 0.0]) - 0.5).abs() < 1e-12);
}

#[test]
fn clipping_and_scaling() {
    let head = LinearHead::new(vec![1.0, 2.0, 3.0, 4.0], vec![0.5]).unwrap();
    // One class: the energy is minus its logit.
    let react = React { limit: 2.0 };
    assert_eq!(react.energy(&head, &[1.0, 2.0, 3.0, 4.0]), -(1.0 + 4.0 + 6.0 + 8.0 + 0.5));
    // Half of the entries are the two largest: r = 10 / 7.
    let scale = Scale { percentile: 50.0 };
    let factor = (10f64 / 7.0).exp();
    let expected = -(30.0 * factor + 0.5);
    assert!((scale.energy(&head, &[1.0, 2.0, 3.0, 4.0]) - expected).abs() < 1e-12);
}

#[test]
fn decisions_of_two_classes() {
    // The boundary is x = y; the mean of rows is the origin.
    let head = LinearHead::new(vec![1.0, 0.0, 0.0, 1.0], vec![0.0, 0.0]).unwrap();
    let mut table = Table::new(2);
    [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]
        .iter()
        .for_each(|row| table.push(row, None).unwrap());
    let row = [3.0, 1.0];
    let logits = head.logits(&row);
    let fdbd = Fdbd::fit(&table, &head).unwrap();
    let expected = -(2.0 / 2f64.sqrt()) / 10f64.sqrt();
    assert!((fdbd.energy(&row, &logits) - expected).abs() < 1e-12);
    let nci = Nci::fit(&table).unwrap();
    let expected = -3.0 / 10f64.sqrt() - 1e-4 * 4.0;
    assert!((nci.energy(&head, &row, &logits) - expected).abs() < 1e-12);
}

#[test]
fn relative_distance_is_the_difference() {
    let (table, classes) = (rows(90), names(3));
    let relative = Relative::fit(&table, &classes, false).unwrap();
    let near = Mahalanobis::fit(&table, &classes, false).unwrap();
    let all = Mahalanobis::fit_one(&table, false).unwrap();
    let row = table.row(4);
    assert_eq!(relative.energy(row), near.energy(row) - all.energy(row));
}
