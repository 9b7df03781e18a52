use nalgebra::DVector;
use oddsight::energy::HeadId;

use super::*;

const NAMES: [HeadId; 3] = [HeadId::Gmm, HeadId::GmmStd, HeadId::El];

/// Rows of `sin(1 + a + 0.7 i + 1.3 j + 0.37 i j)`, column j moved by `shift[j]`.
fn waves<const M: usize>(rows: usize, a: f64, shift: [f64; M]) -> Energies {
    let entry = |i: usize, j: usize| {
        let (x, y) = (i as f64, j as f64);
        (1.0 + a + 0.7 * x + 1.3 * y + 0.37 * x * y).sin() + shift[j]
    };
    let values = (0..rows).flat_map(|i| (0..M).map(move |j| entry(i, j))).collect();
    Energies::new(values, M).unwrap()
}

fn normal() -> Energies {
    waves(12, 0.0, [0.0; 3])
}

fn unusual() -> Energies {
    waves(10, 0.5, [0.9, 0.4, 0.6])
}

fn assert_close(ours: impl IntoIterator<Item = f64>, wanted: &[f64], tolerance: f64) {
    let ours: Vec<f64> = ours.into_iter().collect();
    assert_eq!(ours.len(), wanted.len());
    for (a, b) in ours.iter().zip(wanted) {
        assert!((a - b).abs() <= tolerance, "{ours:?} instead of {wanted:?}");
    }
}

#[test]
fn derivatives_equal_finite_differences() {
    let (normal, unusual) = (normal(), unusual());
    let problem = Problem { normal: &normal, unusual: &unusual, penalty: 0.3 };
    let point = DVector::from_column_slice(&[0.7, 0.0, 1.9, -0.4]);
    let at = problem.expand(&point);
    let step = 1e-6;
    for k in 0..4 {
        let moved = |by: f64| {
            let mut moved = point.clone();
            moved[k] += by;
            moved
        };
        let slope = (problem.value(&moved(step)) - problem.value(&moved(-step))) / (2.0 * step);
        assert!((slope - at.gradient[k]).abs() < 1e-9, "{slope} instead of {}", at.gradient[k]);
        let ahead = problem.expand(&moved(step)).gradient;
        let bend = (ahead - problem.expand(&moved(-step)).gradient) / (2.0 * step);
        assert_close(bend.iter().copied(), at.hessian.column(k).as_slice(), 1e-9);
    }
}

/// scikit-learn 1.9.1 on the same rows: `LogisticRegression(C=1 / (0.01 * 22), class_weight="balanced",
/// solver="newton-cholesky", tol=1e-12)`; its objective is ours times 22 C.
#[test]
fn equals_scikit_learn() {
    let (normal, unusual) = (normal(), unusual());
    let solution =
        Problem { normal: &normal, unusual: &unusual, penalty: 0.01 }.minimise().unwrap();
    let theirs = [1.910060759428096, 1.7319576751828707, 1.8205895869420052, -1.867961798291622];
    assert_close(solution.point.iter().copied(), &theirs, 1e-8);
    let learnt = Weights::learn(&NAMES, &normal, &unusual, 0.01).unwrap();
    assert!((learnt.log_loss - 0.3337148233926555).abs() < 1e-9);
    let scale = 3.0 / theirs[..3].iter().sum::<f64>();
    assert_close(learnt.weights, &theirs[..3].iter().map(|w| w * scale).collect::<Vec<_>>(), 1e-8);
}

/// With the second column of the unusual rows moved down, scikit-learn gives it −1.37. Held at 0, it
/// leaves what scikit-learn gives the other two columns alone.
#[test]
fn a_head_that_is_smaller_for_the_unusual_counts_nothing() {
    let (normal, unusual) = (normal(), waves(10, 0.5, [0.9, -1.0, 0.6]));
    let solution =
        Problem { normal: &normal, unusual: &unusual, penalty: 0.01 }.minimise().unwrap();
    assert_eq!(solution.point[1], 0.0);
    let theirs = [1.5069180347232922, 0.0, 1.2291330300110739, -1.23928004];
    assert_close(solution.point.iter().copied(), &theirs, 1e-7);
    let learnt = Weights::learn(&NAMES, &normal, &unusual, 0.01).unwrap();
    let terms = [0, 1, 2].map(|head| Term { head, mean: 5.0, std: 2.0, weight: 1.0 });
    let (weighed, scale) = (learnt.weigh(&terms), 3.0 / (theirs[0] + theirs[2]));
    assert_eq!(weighed.iter().map(|term| term.head).collect::<Vec<_>>(), [0, 2]);
    let weights = weighed.iter().map(|term| term.weight);
    assert_close(weights, &[theirs[0] * scale, theirs[2] * scale], 1e-7);
}

#[test]
fn equal_heads_weigh_one_and_repeated_examples_change_nothing() {
    let repeat = |energies: &Energies| {
        let values = energies.rows().flat_map(|row| [row[0]; 3]).collect();
        Energies::new(values, 3).unwrap()
    };
    let (normal, unusual) = (repeat(&normal()), repeat(&unusual()));
    let once = Weights::learn(&NAMES, &normal, &unusual, PENALTY).unwrap();
    assert_close(once.weights.clone(), &[1.0; 3], 1e-9);
    let twice = Energies::new(unusual.values.repeat(2), 3).unwrap();
    let twice = Weights::learn(&NAMES, &normal, &twice, PENALTY).unwrap();
    assert_close(twice.weights, &once.weights, 1e-8);
    assert!((twice.log_loss - once.log_loss).abs() < 1e-9);
}

#[test]
fn separable_examples_give_finite_weights() {
    let normal = normal();
    for far in [5.0, 1e3, 1e7] {
        let unusual = waves(10, 0.5, [far, far, 0.2]);
        let learnt = Weights::learn(&NAMES, &normal, &unusual, 0.01).unwrap();
        assert!(learnt.weights.iter().all(|w| (0.0..=3.0).contains(w)), "{learnt:?}");
        assert!(learnt.log_loss < 0.05, "{learnt:?}");
        assert!(learnt.weights[0] > learnt.weights[2], "{learnt:?}");
    }
}

#[test]
fn what_cannot_be_learnt_from_is_refused() {
    use WeightsErrorKind::*;
    let (normal, unusual) = (normal(), unusual());
    let kind = |normal: &Energies, unusual: &Energies, penalty| {
        Weights::learn(&NAMES, normal, unusual, penalty).unwrap_err().kind()
    };
    assert_eq!(kind(&normal, &waves(9, 0.5, [0.9, 0.4, 0.6]), PENALTY), TooFew);
    assert_eq!(kind(&waves(0, 0.0, [0.0; 3]), &unusual, PENALTY), TooFew);
    assert_eq!(kind(&normal, &waves(10, 0.5, [0.0; 2]), PENALTY), Shape);
    assert_eq!(Energies::new(vec![0.0; 7], 3).unwrap_err().kind(), Shape);
    assert_eq!(kind(&normal, &unusual, 0.0), Penalty);
    assert_eq!(kind(&normal, &unusual, f64::NAN), Penalty);
    for broken in [f64::NAN, f64::INFINITY] {
        let mut broken_unusual = unusual.clone();
        broken_unusual.values[4] = broken;
        assert_eq!(kind(&normal, &broken_unusual, PENALTY), NonFinite);
    }
    let mut constant = normal.clone();
    constant.values.iter_mut().skip(1).step_by(3).for_each(|v| *v = 0.25);
    let error = Weights::learn(&NAMES, &constant, &unusual, PENALTY).unwrap_err();
    assert_eq!(error.kind(), Identical);
    assert!(error.to_string().contains("gmm-std"), "{error}");
    assert_eq!(kind(&normal, &waves(10, 0.5, [-3.0; 3]), PENALTY), NoHead);
}
