//! How fitting behaves on good rows and on bad ones.

use oddsight::backbone::{Features, to_feature};
use oddsight::energy::float::{Composition, Gmm, GmmScore, Head, Heads, Scratch, Term};
use oddsight::energy::{self, Rule};
use oddsight::fit::{
    Components, EachRow, FitError, FitErrorKind, GmmOptions, KnnOptions, MixtureOptions, Rows,
    SAMPLE_ROWS, Table, fit_gmm, fit_knn, fit_mixture,
};
use oddsight::random::Random;

/// Roughly normal: the sum of twelve uniform numbers.
fn normal(random: &mut Random) -> f64 {
    (0..12).map(|_| random.unit()).sum::<f64>() - 6.0
}

/// `n` rows of three correlated features around `groups` centres that are `gap` apart.
fn blobs(n: usize, groups: u32, gap: f64, seed: u64) -> Table {
    let mut random = Random::new(seed);
    let mut table = Table::new(3);
    for _ in 0..n {
        let group = random.below(u64::from(groups)) as u32;
        let at = f64::from(group) * gap;
        let (a, b, c) = (normal(&mut random), normal(&mut random), normal(&mut random));
        let row = [at + a, 0.5 * at + 0.6 * a + b, (at * 0.9).sin() * gap + 0.3 * b + 0.4 * c];
        table.push(&row, Some(group)).unwrap();
    }
    table
}

fn raw(components: Components) -> MixtureOptions {
    MixtureOptions { normalize: false, components, ..MixtureOptions::default() }
}

fn names(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("class-{i}")).collect()
}

fn assert_valid(head: Head) {
    let terms = vec![Term { head: 0, mean: 0.0, std: 1.0, weight: 1.0 }];
    let heads = Heads { heads: vec![head], composition: Composition { rule: Rule::Sum, terms } };
    assert_eq!(heads.fix().unwrap().check(3, 10), Ok(()));
}

fn mean_energy(gmm: &Gmm, rows: &Table) -> f64 {
    let mut scratch = Scratch::default();
    let total: f64 = (0..rows.len()).map(|i| gmm.energy(rows.row(i), &mut scratch)).sum();
    total / rows.len() as f64
}

#[test]
fn em_never_loses_likelihood_and_counts_it_as_the_device_does() {
    // Overlapping groups, so that EM has something to do.
    let rows = blobs(3000, 4, 1.5, 5);
    for k in [1, 2, 5, 16] {
        let fitted = fit_mixture(&rows, &raw(Components::Exactly(k))).unwrap();
        let history = &fitted.log_likelihoods;
        assert!(history.windows(2).all(|w| w[1] >= w[0] - 1e-9), "{k}: {history:?}");
        let energy = mean_energy(&fitted.gmm, &rows);
        assert!((energy + history.last().unwrap()).abs() < 1e-6, "{k}: {energy} {history:?}");
        assert_valid(Head::Gmm(fitted.gmm));
    }
}

#[test]
fn bic_finds_the_groups_and_beyond_the_sample_all_rows_count() {
    let rows = blobs(SAMPLE_ROWS + 4000, 4, 12.0, 6);
    let fitted = fit_mixture(&rows, &raw(Components::Bic)).unwrap();
    let tried: Vec<usize> = fitted.candidates.iter().map(|c| c.components).collect();
    assert_eq!(tried, [1, 2, 4, 8]);
    assert_eq!(fitted.gmm.log_weights.len(), 4);
    // With separated groups, unlabelled components are the labelled ones but for their order.
    let options = GmmOptions { normalize: false, score: GmmScore::Mixture };
    let labelled = fit_gmm(&rows, &names(4), &options).unwrap();
    assert!((mean_energy(&fitted.gmm, &rows) - mean_energy(&labelled, &rows)).abs() < 1e-3);
    let (mut scratch, mut seen) = (Scratch::default(), [const { Vec::new() }; 4]);
    rows_of(&rows, |row, label| {
        seen[label as usize].push(fitted.gmm.nearest(row, &mut scratch).unwrap());
    });
    for group in &mut seen {
        group.dedup();
        assert_eq!(group.len(), 1, "a group is split over components {group:?}");
    }
}

fn rows_of(rows: &Table, mut each: impl FnMut(&[f64], u32)) {
    rows.visit(&mut |row, label| {
        each(row, label.unwrap());
        Ok(())
    })
    .unwrap();
}

#[test]
fn fits_repeat_exactly() {
    let rows = blobs(500, 3, 2.0, 7);
    let mixture = || fit_mixture(&rows, &raw(Components::Bic)).unwrap();
    assert_eq!(mixture(), mixture());
    let knn =
        |seed| fit_knn(&rows, &KnnOptions { coreset: 50, seed, ..KnnOptions::default() }).unwrap();
    assert_eq!(knn(1), knn(1));
    assert_ne!(knn(1), knn(2));
}

#[test]
fn more_components_than_distinct_rows_leaves_fewer() {
    let mut rows = Table::new(3);
    for i in 0..12 {
        rows.push(&[f64::from(i % 3), f64::from(i % 2), 1.0], None).unwrap();
    }
    let fitted = fit_mixture(&rows, &raw(Components::Exactly(9))).unwrap();
    assert!(fitted.gmm.log_weights.len() <= 6);
    assert!(fitted.gmm.ridge > 0.0);
    assert_valid(Head::Gmm(fitted.gmm));
}

/// A constant feature makes the covariance singular; the rest must not notice.
#[test]
fn constant_feature_gets_a_ridge() {
    let mut rows = Table::new(3);
    rows_of(&blobs(400, 2, 5.0, 8), |row, label| {
        rows.push(&[row[0], row[1], 0.25], Some(label)).unwrap();
    });
    let options = GmmOptions { normalize: false, score: GmmScore::MinMahalanobis };
    let gmm = fit_gmm(&rows, &names(2), &options).unwrap();
    assert!(gmm.ridge > 0.0 && gmm.ridge < 1e-8, "{}", gmm.ridge);
    let (mut scratch, mut total) = (Scratch::default(), 0.0);
    rows_of(&rows, |row, label| total += gmm.distances(row, &mut scratch)[label as usize]);
    assert!((total / 400.0 - 2.0).abs() < 1e-6, "{total}");
    assert_valid(Head::Gmm(gmm));
}

/// With fewer rows than features, new rows vary in directions in which the fitted ones do not.
#[test]
fn few_rows_leave_energies_that_can_be_compared() {
    let mut random = Random::new(11);
    let mut draw = |n: usize| {
        let mut table = Table::new(64);
        for i in 0..n {
            let row: Vec<f64> = (0..64).map(|_| 1.0 + 0.3 * normal(&mut random)).collect();
            table.push(&row, Some(i as u32 % 2)).unwrap();
        }
        table
    };
    let (few, new) = (draw(40), draw(50));
    let labelled = fit_gmm(&few, &names(2), &GmmOptions::default()).unwrap();
    let mixed = fit_mixture(&few, &MixtureOptions::default()).unwrap().gmm;
    for gmm in [labelled, mixed] {
        let head = Head::Gmm(gmm).fix().unwrap();
        let mut energies = Vec::new();
        rows_of(&new, |row, _| {
            let avg: Vec<i32> = row.iter().map(|&x| to_feature(x)).collect();
            let features = Features { std: avg.clone(), logits: Vec::new(), avg };
            energies.push(head.energy_q32(&features, &mut energy::Scratch::default()));
        });
        energies.sort_unstable();
        energies.dedup();
        assert_eq!(energies.len(), 50, "no two are saturated");
    }
}

#[test]
fn coreset_scales_the_neighbour() {
    let rows = blobs(1000, 2, 3.0, 9);
    let of = |coreset, k| {
        let options = KnnOptions { coreset, k, ..KnnOptions::default() };
        let knn = fit_knn(&rows, &options).unwrap();
        let kept = knn.rows.len() / 3;
        let k = knn.k;
        assert_valid(Head::Knn(knn));
        (kept, k)
    };
    assert_eq!(of(2000, 50), (1000, 50));
    assert_eq!(of(100, 50), (100, 5));
    assert_eq!(of(100, 45), (100, 5));
    assert_eq!(of(100, 44), (100, 4));
    assert_eq!(of(10, 3), (10, 1));
    assert_eq!(of(2000, 5000), (1000, 1000));
}

/// A source that fails at its third row.
struct Torn;

impl Rows for Torn {
    fn width(&self) -> usize {
        2
    }

    fn visit(&self, each: EachRow) -> Result<(), FitError> {
        each(&[1.0, 2.0], Some(0))?;
        each(&[2.0, 1.0], Some(0))?;
        Err(FitError::new(FitErrorKind::Source, "features.bin: truncated".to_string()))
    }
}

#[test]
fn source_error_reaches_the_caller() {
    let errors = [
        fit_gmm(&Torn, &names(1), &GmmOptions::default()).unwrap_err(),
        fit_mixture(&Torn, &MixtureOptions::default()).unwrap_err(),
        fit_knn(&Torn, &KnnOptions::default()).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), FitErrorKind::Source);
        assert_eq!(error.to_string(), "features.bin: truncated");
    }
}

fn table(rows: &[([f64; 2], Option<u32>)]) -> Table {
    let mut table = Table::new(2);
    rows.iter().for_each(|(row, label)| table.push(row, *label).unwrap());
    table
}

#[test]
fn labelled_rows_that_cannot_be_fitted() {
    let good = [([1.0, 0.0], Some(0)), ([0.0, 1.0], Some(0)), ([1.0, 1.0], Some(1))];
    let with = |last: ([f64; 2], Option<u32>)| {
        let mut rows = good.to_vec();
        rows.push(last);
        fit_gmm(&table(&rows), &names(2), &GmmOptions::default()).map(|_| ())
    };
    assert_eq!(with(([0.0, 1.0], Some(1))), Ok(()));
    let cases = [
        (([0.0, 1.0], Some(0)), FitErrorKind::TooFew, "class-1"),
        (([1.0, 1.0], Some(1)), FitErrorKind::Identical, "class-1"),
        // The same direction is the same row once normalised.
        (([3.0, 3.0], Some(1)), FitErrorKind::Identical, "class-1"),
        (([f64::NAN, 1.0], Some(1)), FitErrorKind::NonFinite, "row 3 (class class-1)"),
        (([0.0, 1.0], Some(2)), FitErrorKind::Label, "row 3 has label 2"),
        (([0.0, 1.0], None), FitErrorKind::Label, "row 3 has no label"),
    ];
    for (row, kind, text) in cases {
        let error = with(row).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
    let none = fit_gmm(&Table::new(2), &names(2), &GmmOptions::default()).unwrap_err();
    assert_eq!(none.kind(), FitErrorKind::TooFew);
    let flat = fit_gmm(&Table::new(0), &names(2), &GmmOptions::default()).unwrap_err();
    assert_eq!(flat.kind(), FitErrorKind::Width);
}

#[test]
fn unlabelled_rows_that_cannot_be_fitted() {
    let kind = |rows: &Table, components| fit_mixture(rows, &raw(components)).unwrap_err().kind();
    let twins = table(&[([1.0, 2.0], None), ([1.0, 2.0], None)]);
    assert_eq!(kind(&twins, Components::Bic), FitErrorKind::Identical);
    let single = table(&[([1.0, 2.0], None)]);
    assert_eq!(kind(&single, Components::Bic), FitErrorKind::TooFew);
    let rows = blobs(5, 1, 1.0, 1);
    assert_eq!(kind(&rows, Components::Exactly(6)), FitErrorKind::TooFew);
    assert_eq!(kind(&rows, Components::Exactly(0)), FitErrorKind::Option);
    let broken = table(&[([1.0, 2.0], None), ([1.0, f64::INFINITY], None)]);
    assert_eq!(kind(&broken, Components::Bic), FitErrorKind::NonFinite);
    let empty = fit_knn(&Table::new(2), &KnnOptions::default()).unwrap_err();
    assert_eq!(empty.kind(), FitErrorKind::TooFew);
    let zero = fit_knn(&rows, &KnnOptions { k: 0, ..KnnOptions::default() }).unwrap_err();
    assert_eq!(zero.kind(), FitErrorKind::Option);
}
