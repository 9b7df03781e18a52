//! The integer heads against the `f64` ones, within stated bounds.

use proptest::prelude::*;

use super::super::fixed::{from_q32, power_of_two, to_fixed};
use super::super::gmm::{WHITENED_BITS, centre};
use super::super::unit::UNIT_BITS;
use super::super::{Composition, Gmm, GmmScore, Head, HeadId, Knn, Rule, Scores, Scratch, float};
use super::{from_feature, to_feature};
use crate::backbone::{FEATURE_BITS, Features};
use crate::random::Random;

fn only_avg(avg: Vec<i32>) -> Features {
    Features { avg, ..Features::default() }
}

/// Both energies of a head.
fn energies(head: &float::Head, features: &Features) -> (f64, f64) {
    let fixed = head.fix().unwrap().energy_q32(features, &mut Scratch::default());
    (from_q32(fixed), head.energy(features, &mut float::Scratch::default()))
}

/// A mixture with whitener rows of very different sizes: `spread` powers of e between them.
fn mixture(
    width: usize,
    components: usize,
    spread: f64,
    how: (bool, GmmScore),
    seed: u64,
) -> float::Gmm {
    let mut random = Random::new(seed);
    let mut whitener = Vec::new();
    let mut half_log_det = 0.0;
    for i in 0..width {
        let log_size = random.range(0.0, spread);
        let size = libm::exp(log_size);
        whitener.extend((0..i).map(|_| random.range(-size, size)));
        whitener.push(size);
        half_log_det -= log_size;
    }
    let unfit = float::Gmm {
        normalize: how.0,
        score: how.1,
        width: width as u32,
        whitener,
        whitened_means: Vec::new(),
        log_weights: vec![-libm::log(components as f64); components],
        half_log_det,
        ridge: 0.0,
    };
    let mut whitened_means = Vec::new();
    for _ in 0..components {
        let mean: Vec<f64> = (0..width).map(|_| random.range(-0.5, 0.5)).collect();
        let mut whitened = Vec::new();
        unfit.whiten(&mean, &mut whitened);
        whitened_means.extend(whitened);
    }
    float::Gmm { whitened_means, ..unfit }
}

/// The bound of a mixture's energy. A whitened number `w_i` is off by at most
///
/// `ε_i = Σ_j (½ ulp_i |y_j − c_j| + |L⁻¹_ij| δ) + 2⁻²⁴`,
///
/// where `ulp_i` is the step of the row's weights, `δ` that of a normalised entry (0 otherwise), and
/// 2⁻²⁴ is for rounding `w_i` and the mean. So a squared distance is off by at most
/// `Σ_i (2 |w_i − m_i| ε_i + ε_i²)`, and an energy, in which distances count half, by half of the
/// largest of these and 2⁻³⁰ for the logarithms. (Last comes what the oracle itself rounds.)
fn mixture_bound(gmm: &float::Gmm, features: &Features) -> f64 {
    let row: Vec<f64> = features.avg.iter().map(|&x| from_feature(x)).collect();
    let (mut entries, mut whitened) = (Vec::new(), Vec::new());
    float::project(&row, gmm.normalize, &mut entries);
    gmm.whiten(&entries, &mut whitened);
    let (entry_bits, step) =
        if gmm.normalize { (UNIT_BITS, power_of_two(-30)) } else { (FEATURE_BITS, 0.0) };
    let one = power_of_two(entry_bits as i32);
    let centre: Vec<f64> = centre(gmm, entry_bits).iter().map(|&c| f64::from(c) / one).collect();
    let shifts = Gmm::fix(gmm, HeadId::Gmm).unwrap().shifts;
    let mut rest = &gmm.whitener[..];
    let errors: Vec<f64> = (0..row.len())
        .map(|i| {
            let (weights, next) = rest.split_at(i + 1);
            rest = next;
            let ulp = power_of_two(entry_bits as i32 - WHITENED_BITS as i32 - i32::from(shifts[i]));
            let terms = weights.iter().zip(entries.iter().zip(&centre));
            let sum: f64 = terms
                .map(|(w, (y, c))| {
                    0.5 * ulp * ((y - c).abs() + step)
                        + w.abs() * (step + 1e-14 * (y.abs() + c.abs()))
                })
                .sum();
            sum + power_of_two(-(WHITENED_BITS as i32))
        })
        .collect();
    let distance = |mean: &[f64]| -> f64 {
        let terms = whitened.iter().zip(mean).zip(&errors);
        terms.map(|((w, m), e)| 2.0 * (w - m).abs() * e + e * e + 1e-13 * (w - m).powi(2)).sum()
    };
    let largest = gmm.whitened_means.chunks_exact(row.len()).map(distance).fold(0.0, f64::max);
    let part = if gmm.score == GmmScore::Mixture { 0.5 } else { 1.0 };
    part * largest + power_of_two(-30)
}

/// A row near the middle of the mixtures, and one that is far from everything.
fn rows(width: usize, random: &mut Random) -> [Vec<i32>; 2] {
    [1.0, 1000.0].map(|size| (0..width).map(|_| to_feature(random.range(-size, size))).collect())
}

fn check_mixture(width: usize, components: usize, spread: f64, how: (bool, GmmScore), seed: u64) {
    let gmm = mixture(width, components, spread, how, seed);
    for row in rows(width, &mut Random::new(seed + 1)) {
        let features = only_avg(row);
        let (fixed, exact) = energies(&float::Head::Gmm(gmm.clone()), &features);
        let bound = mixture_bound(&gmm, &features);
        // Beyond 2³¹ an energy saturates.
        if exact.abs() + bound < power_of_two(31) {
            assert!((fixed - exact).abs() <= bound, "{fixed} {exact} {bound}");
        }
    }
}

fn bank(width: usize, count: usize, normalize: bool, random: &mut Random) -> Vec<f32> {
    let mut rows = Vec::new();
    for _ in 0..count {
        let row: Vec<f64> = (0..width).map(|_| random.range(-2.0, 2.0)).collect();
        let mut projected = Vec::new();
        float::project(&row, normalize, &mut projected);
        rows.extend(projected.iter().map(|&x| x as f32));
    }
    rows
}

/// An entry of a row, and one of the query, is off by half a step of the bank, and a normalised query
/// by 2⁻³⁰; so a difference `d` by at most `ε`, and a squared distance by `Σ (2 |d| ε + ε²)`.
///
/// With a small `size`, rows and query differ in their low bytes only, and the last row keeps the
/// bank's step large.
fn check_nearest(width: usize, count: usize, k: usize, size: f64, normalize: bool, seed: u64) {
    let mut random = Random::new(seed);
    let mut rows = bank(width, count, normalize, &mut random);
    let last = width * (count - 1);
    rows[..last].iter_mut().for_each(|x| *x *= size as f32);
    let knn = float::Knn { normalize, k: k as u32, width: width as u32, rows };
    let fixed_head = Knn::fix(&knn, HeadId::Knn).unwrap();
    let error = power_of_two(-i32::from(fixed_head.bits)) + power_of_two(-30);
    let query: Vec<f64> = (0..width).map(|_| random.range(-3.0, 3.0) * size).collect();
    let features = only_avg(query.iter().map(|&x| to_feature(x)).collect());
    let row: Vec<f64> = features.avg.iter().map(|&x| from_feature(x)).collect();
    let mut entries = Vec::new();
    float::project(&row, normalize, &mut entries);
    let bound = knn.rows.chunks_exact(width).map(|row| {
        let differences = row.iter().zip(&entries).map(|(&r, q)| (f64::from(r) - q).abs());
        differences.map(|d| 2.0 * d * error + error * error).sum::<f64>()
    });
    let bound = bound.fold(0.0, f64::max) + power_of_two(-32);
    let (fixed, exact) = energies(&float::Head::Knn(knn.clone()), &features);
    assert!((fixed - exact).abs() <= bound, "{fixed} {exact} {bound}");

    // The scan of high bytes changes nothing: the result is the k-th of all 16-bit distances.
    let mut scratch = Scratch::default();
    let found = fixed_head.energy_q32(&features.avg, &mut scratch);
    let query = &scratch.row;
    let mut distances: Vec<i64> = fixed_head
        .high
        .chunks_exact(width)
        .zip(fixed_head.low.chunks_exact(width))
        .map(|(high, low)| {
            let entries = high.iter().zip(low).map(|(&h, &l)| 256 * i64::from(h) + i64::from(l));
            query.iter().zip(entries).map(|(&x, entry)| (i64::from(x) - entry).pow(2)).sum()
        })
        .collect();
    distances.sort_unstable();
    let exact = distances[k - 1] as f64 * power_of_two(32 - 2 * i32::from(fixed_head.bits));
    assert!((found as f64 - exact).abs() <= 0.5, "{found} {exact}");
}

fn rules() -> impl Strategy<Value = Rule> {
    prop_oneof![
        Just(Rule::Sum),
        Just(Rule::Max),
        Just(Rule::Min),
        (prop_oneof![-20.0..-0.05f64, 0.05..20.0f64]).prop_map(Rule::LogSumExp),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn mixtures_are_within_their_bound(
        width in 1usize..40, components in 1usize..5, spread in 0.0..14.0f64,
        normalize in any::<bool>(), least in any::<bool>(), seed in any::<u32>()
    ) {
        let score = if least { GmmScore::MinMahalanobis } else { GmmScore::Mixture };
        check_mixture(width, components, spread, (normalize, score), seed.into());
    }

    #[test]
    fn neighbours_are_within_their_bound(
        width in 1usize..40, count in 1usize..300, rank in any::<prop::sample::Index>(),
        small in any::<bool>(), normalize in any::<bool>(), seed in any::<u32>()
    ) {
        let size = if small { 0.01 } else { 1.0 };
        check_nearest(width, count, rank.index(count) + 1, size, normalize, seed.into());
    }

    /// A feature has 20 fractional bits; what the logit heads add is below 2⁻³¹.
    #[test]
    fn logit_heads_are_within_2_to_the_minus_31(
        logits in prop::collection::vec(-40.0..40.0f64, 1..200), size in 0.01..50.0f64
    ) {
        let logits = logits.iter().map(|x| to_feature(x * size)).collect();
        let features = Features { logits, ..Features::default() };
        for head in [float::Head::Msp, float::Head::Mls, float::Head::El] {
            let (fixed, exact) = energies(&head, &features);
            prop_assert!((fixed - exact).abs() <= power_of_two(-31), "{}: {fixed} {exact}", head.id());
        }
    }

    /// Per term 2⁻³⁰ of its size and 2⁻¹⁷ of rounding, and for `lse` 2⁻³¹/|β|.
    #[test]
    fn compositions_are_within_their_bound(
        rule in rules(), terms in prop::collection::vec((-50.0..50.0f64, -9.0..9.0f64, 0.1..9.0f64), 1..6)
    ) {
        let heads_q32: Vec<i64> = terms.iter().map(|t| to_fixed(t.0, 32, 62).unwrap()).collect();
        let energies: Vec<f64> = heads_q32.iter().map(|&e| from_q32(e)).collect();
        let float_terms: Vec<float::Term> = terms.iter().zip(0..)
            .map(|(t, head)| float::Term { head, mean: t.1, std: t.2, weight: 1.0 })
            .collect();
        let composition = float::Composition { rule, terms: float_terms };
        let (exact, exact_shares) = composition.compose(&energies);
        let mut scores = Scores { heads_q32, ..Scores::default() };
        Composition::fix(&composition, terms.len()).unwrap().compose(&mut scores, &mut Scratch::default());
        let size: f64 = terms.iter().map(|t| ((t.0 - t.1) / t.2).abs() + 1.0).sum();
        let beta = if let Rule::LogSumExp(beta) = rule { beta } else { 1.0 };
        let step = power_of_two(-17);
        let bound = size * power_of_two(-30) * (1.0 + 1.0 / beta.abs()) + terms.len() as f64 * step;
        let found = scores.energy_q16 as f64 * 2.0 * step;
        prop_assert!((found - exact).abs() <= bound, "{found} {exact}");
        prop_assert_eq!(scores.shares_q16.iter().sum::<i64>(), scores.energy_q16);
        for (share, exact) in scores.shares_q16.iter().zip(exact_shares) {
            let share = *share as f64 * 2.0 * step;
            let slack = bound * (1.0 + beta.abs() * (size + exact.abs())) + 8.0 * step;
            prop_assert!((share - exact).abs() <= slack, "{share} {exact}");
        }
    }
}

/// As wide as a ResNet-18, and nearly singular.
#[test]
fn a_wide_mixture_is_within_its_bound() {
    for spread in [2.0, 12.0] {
        check_mixture(512, 3, spread, (true, GmmScore::Mixture), 5);
    }
}

#[test]
fn a_far_query_saturates() {
    let rows = bank(512, 40, true, &mut Random::new(3));
    for normalize in [false, true] {
        let knn = float::Knn { normalize, k: 3, width: 512, rows: rows.clone() };
        let head = Head::Knn(Knn::fix(&knn, HeadId::Knn).unwrap());
        for entry in [i32::MAX, -i32::MAX, 0, 1] {
            let energy = head.energy_q32(&only_avg(vec![entry; 512]), &mut Scratch::default());
            assert!((0..i64::MAX).contains(&energy), "{energy}");
        }
    }
}
