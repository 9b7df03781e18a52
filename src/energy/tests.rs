use proptest::prelude::*;

use super::*;
use crate::backbone::{NOT_A_NUMBER, to_feature};

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

fn heads() -> Heads {
    let heads = vec![
        Head::Msp,
        Head::Mls,
        Head::El,
        Head::Gmm(gmm(GmmScore::Mixture)),
        Head::GmmStd(gmm(GmmScore::MinMahalanobis)),
        Head::Knn(knn()),
    ];
    let terms = (0..6).map(|head| Term { head, mean: 0.5, std: 2.0 }).collect();
    Heads { heads, composition: Composition { rule: Rule::Sum, terms } }
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
    let scores = heads().score(&frame(), &mut Scratch::default());
    let sum: f64 = [1.0f64, 3.0, -2.0].iter().map(|l| l.exp()).sum();
    // Σ⁻¹ = [[5, −2], [−2, 4]] / 16; differences (2.5, 1) and (−0.5, 1).
    let (m0, m1) = ((31.25 - 10.0 + 4.0) / 16.0, (1.25 + 2.0 + 4.0) / 16.0);
    let density = (0.25 * (-m0 / 2.0f64).exp() + 0.75 * (-m1 / 2.0f64).exp())
        / (2.0 * std::f64::consts::PI * 4.0);
    let expected = [-(3.0f64.exp()) / sum, -3.0, -sum.ln(), -density.ln(), 1.0, 7.25 - 4.0 + 3.0];
    for (energy, expected) in scores.heads.iter().zip(expected).take(5) {
        assert!(close(*energy, expected), "{energy} {expected}");
    }
    // Squared distances to the rows are 7.25, 3.25 and 10.25.
    assert_eq!(scores.heads[5], 7.25);
    assert_eq!(scores.nearest, Some(1));
    assert_eq!(scores.energy_q16, (scores.energy * 65536.0).round_ties_even() as i64);
}

/// The energies of stored models are promised to the last bit: a change here breaks them all.
#[test]
fn energies_are_frozen() {
    const WIDTH: usize = 37;
    let mut random = crate::random::Random::new(11);
    let mut draw = |n: usize| -> Vec<f64> { (0..n).map(|_| random.range(-1.0, 1.0)).collect() };
    let single = |values: Vec<f64>| -> Vec<f32> { values.iter().map(|&x| x as f32).collect() };
    let mixture = Gmm {
        normalize: true,
        width: WIDTH as u32,
        whitener: draw(WIDTH * (WIDTH + 1) / 2),
        whitened_means: draw(2 * WIDTH),
        ..gmm(GmmScore::Mixture)
    };
    let rows = single(draw(9 * WIDTH));
    let near = Knn { normalize: true, k: 4, width: WIDTH as u32, rows };
    let mut heads = heads();
    heads.heads[3] = Head::Gmm(mixture.clone());
    heads.heads[4] = Head::GmmStd(Gmm { score: GmmScore::MinMahalanobis, ..mixture });
    heads.heads[5] = Head::Knn(near);
    heads.composition.rule = Rule::LogSumExp(0.7);
    heads.composition.terms.iter_mut().for_each(|term| term.std = 20.0);
    let [avg, std, logits] = [WIDTH, WIDTH, 10].map(&mut draw);
    let scores = heads.score(&features(&avg, &std, &logits), &mut Scratch::default());
    let bits: Vec<u64> = scores.heads.iter().map(|e| e.to_bits()).collect();
    assert_eq!((bits, scores.energy.to_bits()), (FROZEN.to_vec(), FROZEN_ENERGY), "{scores:?}");
}

const FROZEN: [u64; 6] = [
    13819721434252906384,
    13828888695538712576,
    13836021579818616130,
    4631439758321597216,
    4624838526362550126,
    4623251050887090598,
];
const FROZEN_ENERGY: u64 = 4614801652411007012;

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
fn broken_frame_is_never_normal() {
    let mut heads = heads();
    for rule in [Rule::Sum, Rule::LogSumExp(-3.0), Rule::Max, Rule::Min] {
        heads.composition.rule = rule;
        for bad in [NOT_A_NUMBER] {
            for part in 0..3 {
                let mut features = frame();
                [&mut features.avg, &mut features.std, &mut features.logits][part][1] = bad;
                let scores = heads.score(&features, &mut Scratch::default());
                assert_eq!(scores.energy, f64::INFINITY);
                assert_eq!(scores.energy_q16, i64::MAX);
                assert_eq!(scores.shares.iter().sum::<f64>(), f64::INFINITY);
                assert!(scores.heads.iter().all(|e| e.is_finite() || *e == f64::INFINITY));
                assert_eq!(scores.nearest.is_none(), part == 0);
            }
        }
    }
}

#[test]
fn features_of_another_width_are_broken() {
    let features = Features { avg: vec![1; 3], std: vec![1], logits: vec![] };
    let scores = heads().score(&features, &mut Scratch::default());
    assert!(scores.heads.iter().all(|&e| e == f64::INFINITY), "{:?}", scores.heads);
    assert_eq!(gmm(GmmScore::Mixture).nearest(&[f64::NAN, 0.0], &mut Scratch::default()), None);
}

#[test]
fn fixed_point_rounds_half_to_even_and_saturates() {
    let half = 0.5 / 65536.0;
    let cases = [(half, 0), (3.0 * half, 2), (-half, 0), (-3.0 * half, -2), (1.0, 65536)];
    for (energy, expected) in cases {
        assert_eq!(to_q16(energy), expected);
    }
    assert_eq!(to_q16(1e300), i64::MAX);
    assert_eq!(to_q16(-1e300), i64::MIN);
}

#[test]
fn names_and_rules_read_back() {
    for id in HeadId::ALL {
        assert_eq!(id.to_string().parse::<HeadId>().unwrap(), id);
    }
    let error = "gmm_std".parse::<HeadId>().unwrap_err();
    assert_eq!(error.kind(), EnergyErrorKind::Name);
    assert!(error.to_string().contains("gmm-std, knn"), "{error}");
    for rule in [Rule::Sum, Rule::LogSumExp(-0.1), Rule::LogSumExp(1e300), Rule::Max, Rule::Min] {
        assert_eq!(rule.to_string().parse::<Rule>().unwrap(), rule);
    }
    for text in ["", "mean", "lse", "lse:", "lse:0", "lse:-0", "lse:inf", "lse:nan", "SUM"] {
        assert_eq!(text.parse::<Rule>().unwrap_err().kind(), EnergyErrorKind::Rule, "{text}");
    }
}

/// Every single inconsistency is refused, with the right kind.
#[test]
fn check_refuses_each_inconsistency() {
    use EnergyErrorKind::{Composition, Shape, Value};
    assert_eq!(heads().check(2, 3), Ok(()));
    type Damage = fn(&mut Heads);
    fn mix(heads: &mut Heads) -> &mut Gmm {
        let Head::Gmm(gmm) = &mut heads.heads[3] else { unreachable!() };
        gmm
    }
    fn near(heads: &mut Heads) -> &mut Knn {
        let Head::Knn(knn) = &mut heads.heads[5] else { unreachable!() };
        knn
    }
    let cases: [(EnergyErrorKind, Damage); 29] = [
        (Shape, |h| h.heads.clear()),
        (Shape, |h| h.heads[1] = Head::Msp),
        (Shape, |h| mix(h).width = u32::MAX),
        (Shape, |h| mix(h).whitener.push(1.0)),
        (Shape, |h| mix(h).whitened_means.truncate(3)),
        (Shape, |h| mix(h).log_weights.clear()),
        (Shape, |h| mix(h).log_weights.push(-1.0)),
        (Value, |h| mix(h).log_weights[0] = 1.0),
        (Value, |h| mix(h).log_weights[0] = f64::NEG_INFINITY),
        (Value, |h| mix(h).whitener[1] = f64::NAN),
        (Value, |h| mix(h).whitener[2] = -0.5),
        (Value, |h| mix(h).whitener[0] = 0.0),
        (Value, |h| mix(h).whitened_means[0] = f64::INFINITY),
        (Value, |h| mix(h).half_log_det = f64::NAN),
        (Value, |h| mix(h).half_log_det = 0.0),
        (Value, |h| mix(h).ridge = -1.0),
        (Shape, |h| near(h).width = 0),
        (Shape, |h| near(h).rows.push(0.0)),
        (Value, |h| near(h).rows.clear()),
        (Value, |h| near(h).rows[3] = f32::NAN),
        (Value, |h| near(h).k = 0),
        (Value, |h| near(h).k = 4),
        (Composition, |h| h.composition.terms.clear()),
        (Composition, |h| h.composition.terms[0].head = 6),
        (Composition, |h| h.composition.terms[0].head = 1),
        (Composition, |h| h.composition.terms[2].std = 0.0),
        (Composition, |h| h.composition.terms[2].std = f64::INFINITY),
        (Composition, |h| h.composition.terms[2].mean = f64::NAN),
        (Composition, |h| h.composition.rule = Rule::LogSumExp(0.0)),
    ];
    for (i, (kind, damage)) in cases.into_iter().enumerate() {
        let mut heads = heads();
        damage(&mut heads);
        assert_eq!(heads.check(2, 3).map_err(|e| e.kind()), Err(kind), "case {i}");
    }
    assert_eq!(heads().check(3, 3).unwrap_err().kind(), Shape);
    assert_eq!(heads().check(2, 0).unwrap_err().kind(), Shape);
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
    let terms = terms.iter().zip(0..).map(|(t, head)| Term { head, mean: t.1, std: t.2 }).collect();
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

    /// Whatever the bytes of a model say, what `check` lets through is scored without a panic.
    #[test]
    fn altered_bytes_are_refused_or_scored(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        avg in any::<[i32; 2]>(), logits in any::<[i32; 3]>()
    ) {
        let mut bytes = postcard::to_stdvec(&heads()).unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(heads) = postcard::from_bytes::<Heads>(&bytes) && heads.check(2, 3).is_ok() {
            let features = Features { avg: avg.to_vec(), std: avg.to_vec(), logits: logits.to_vec() };
            let scores = heads.score(&features, &mut Scratch::default());
            prop_assert!(scores.energy.is_finite() || scores.energy_q16 == i64::MAX);
        }
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
