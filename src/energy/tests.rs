use proptest::prelude::*;

use super::*;
use crate::backbone::{from_feature, to_feature};
use crate::random::Random;

mod error_bounds;
mod refined;

/// Two components at (0, 0) and (3, 0), Σ = [[4, 2], [2, 5]], so L = [[2, 0], [1, 2]].
fn gmm(score: GmmScore) -> float::Gmm {
    float::Gmm {
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

fn float_heads() -> float::Heads {
    let knn =
        float::Knn { normalize: false, k: 2, width: 2, rows: vec![0.0, 0.0, 1.0, 0.0, 0.0, 3.0] };
    let heads = vec![
        float::Head::Msp,
        float::Head::Mls,
        float::Head::El,
        float::Head::Gmm(gmm(GmmScore::Mixture)),
        float::Head::GmmStd(gmm(GmmScore::MinMahalanobis)),
        float::Head::Knn(knn),
        float::Head::HeatGmm(refined::heat(gmm(GmmScore::Mixture))),
        float::Head::HeatGmmStd(refined::heat(gmm(GmmScore::MinMahalanobis))),
        float::Head::HeatEl(refined::heat(LogitEnergy)),
    ];
    let terms = (0..9).map(|head| float::Term { head, mean: 0.5, std: 2.0, weight: 1.0 }).collect();
    float::Heads { heads, composition: float::Composition { rule: Rule::Sum, terms } }
}

fn heads() -> Heads {
    float_heads().fix().unwrap()
}

fn features(avg: &[f64], std: &[f64], logits: &[f64]) -> Features {
    let [avg, std, logits] =
        [avg, std, logits].map(|row| row.iter().map(|&x| to_feature(x)).collect());
    Features { avg, std, logits }
}

fn frame() -> Features {
    features(&[2.5, 1.0], &[0.0, 2.0], &[1.0, 3.0, -2.0])
}

fn score(heads: &Heads, features: &Features) -> Scores {
    let mut scores = Scores::default();
    heads.score(features, &mut Scratch::default(), &mut scores);
    scores
}

#[test]
fn heads_compose_and_name_the_nearest_component() {
    let scores = score(&heads(), &frame());
    let mut scratch = float::Scratch::default();
    let mut sum = 0.0;
    for (head, &energy_q32) in float_heads().heads.iter().zip(&scores.heads_q32) {
        let exact = head.energy(&frame(), &mut scratch);
        // A residual rounds between its layers.
        let slack = if head.id() < HeadId::HeatGmm { 1e-6 } else { 5e-3 };
        assert!((from_q32(energy_q32) - exact).abs() < slack, "{}: {exact}", head.id());
        sum += (exact - 0.5) / 2.0;
    }
    assert!((from_q16(scores.energy_q16) - sum).abs() < 1e-2);
    assert_eq!(scores.shares_q16.iter().sum::<i64>(), scores.energy_q16);
    assert_eq!(scores.nearest, Some(1));
}

/// The nearest component is that of a refined mixture, too, whether or not its prior is a head.
#[test]
fn a_refined_mixture_names_the_nearest_component() {
    let mut heads = heads();
    heads.heads.drain(3..6);
    heads.composition.terms.truncate(6);
    assert_eq!(heads.check(2, 3), Ok(()));
    for (entry, nearest) in [(-9.0, 0), (9.0, 1)] {
        let scores = score(&heads, &features(&[entry, 0.0], &[0.0, 2.0], &[1.0, 3.0, -2.0]));
        assert_eq!(scores.nearest, Some(nearest));
    }
}

/// The energies of stored models are promised to the last bit: a change here breaks them all.
#[test]
fn energies_are_frozen() {
    const WIDTH: usize = 37;
    let mut random = Random::new(11);
    let mut draw = |n: usize| -> Vec<f64> { (0..n).map(|_| random.range(-1.0, 1.0)).collect() };
    let mut whitener = draw(WIDTH * (WIDTH + 1) / 2);
    (0..WIDTH).for_each(|i| whitener[i * (i + 3) / 2] = 1.0);
    let mixture = float::Gmm {
        normalize: true,
        width: WIDTH as u32,
        whitener,
        whitened_means: draw(2 * WIDTH),
        half_log_det: 0.0,
        ..gmm(GmmScore::Mixture)
    };
    let rows = draw(9 * WIDTH).into_iter().map(|x| x as f32).collect();
    let near = float::Knn { normalize: true, k: 4, width: WIDTH as u32, rows };
    let mut heads = float_heads();
    heads.heads.truncate(6);
    heads.composition.terms.truncate(6);
    heads.heads[3] = float::Head::Gmm(mixture.clone());
    let least = float::Gmm { score: GmmScore::MinMahalanobis, ..mixture };
    heads.heads[4] = float::Head::GmmStd(least);
    heads.heads[5] = float::Head::Knn(near);
    heads.composition.rule = Rule::LogSumExp(0.7);
    heads.composition.terms.iter_mut().for_each(|term| term.std = 20.0);
    let [avg, std, logits] = [WIDTH, WIDTH, 10].map(draw);
    let scores = score(&heads.fix().unwrap(), &features(&avg, &std, &logits));
    let frozen = Scores {
        heads_q32: vec![
            -856086863,
            -3500670976,
            -10427711799,
            181214909178,
            72423335003,
            53874361788,
        ],
        shares_q16: vec![20533, 20096, 18993, 90541, 37309, 32075],
        energy_q16: 219547,
        nearest: Some(1),
    };
    assert_eq!(scores, frozen);
}

#[test]
fn broken_frame_is_never_normal() {
    let mut heads = heads();
    for rule in [Rule::Sum, Rule::LogSumExp(-3.0), Rule::Max, Rule::Min] {
        heads.composition.rule = rule;
        for part in 0..3 {
            let mut features = frame();
            [&mut features.avg, &mut features.std, &mut features.logits][part][1] = NOT_A_NUMBER;
            let scores = score(&heads, &features);
            assert_eq!(scores.energy_q16, BROKEN);
            assert!(scores.shares_q16.iter().all(|&share| share == 0 || share == BROKEN));
            let broken = |&i: &usize| scores.heads_q32[i] == BROKEN;
            let expected: &[usize] = [&[3, 5, 6, 8][..], &[4, 7], &[0, 1, 2, 8]][part];
            assert_eq!((0..9).filter(broken).collect::<Vec<_>>(), expected);
            assert_eq!(scores.nearest.is_none(), part == 0);
        }
    }
}

#[test]
fn features_of_another_width_are_broken() {
    let features = Features { avg: vec![1; 3], std: vec![1], logits: vec![] };
    let scores = score(&heads(), &features);
    assert_eq!((scores.heads_q32, scores.nearest), (vec![BROKEN; 9], None));
}

/// Frames far from everything saturate in order, and are not broken.
#[test]
fn extreme_features_saturate() {
    let mut heads = heads();
    for rule in [Rule::Sum, Rule::LogSumExp(1e300), Rule::LogSumExp(-1e-300), Rule::Max, Rule::Min]
    {
        heads.composition.rule = rule;
        for entry in [i32::MAX, -i32::MAX, 0, 1] {
            let features =
                Features { avg: vec![entry; 2], std: vec![entry; 2], logits: vec![entry; 3] };
            let scores = score(&heads, &features);
            assert!(!scores.heads_q32.contains(&BROKEN), "{scores:?}");
            assert!(scores.energy_q16 < BROKEN, "{scores:?}");
            assert!(scores.nearest.is_some());
        }
    }
}

/// Buffers are as large after one frame as they will ever be.
#[test]
fn buffers_do_not_grow_after_the_first_frame() {
    let mut heads = heads();
    heads.composition.rule = Rule::LogSumExp(1.0);
    let (mut scratch, mut scores) = (Scratch::default(), Scores::default());
    let sizes = |scratch: &Scratch, scores: &Scores| {
        // tests/allocation.rs has the layers of a residual.
        let Scratch {
            row,
            offset,
            products,
            whitened,
            distances,
            coarse,
            nearest,
            weights,
            layers: _,
        } = scratch;
        let rows = [row.capacity(), offset.capacity(), whitened.capacity(), distances.capacity()];
        let others =
            [products.capacity(), coarse.capacity(), nearest.capacity(), weights.capacity()];
        (rows, others, scores.heads_q32.capacity(), scores.shares_q16.capacity())
    };
    heads.score(&frame(), &mut scratch, &mut scores);
    let first = sizes(&scratch, &scores);
    for entry in [0.0, 1.0, -5.0, 1000.0, f64::NAN] {
        let features = features(&[entry, 0.1], &[entry, 0.1], &[0.1, entry, 0.1]);
        heads.score(&features, &mut scratch, &mut scores);
        assert_eq!(sizes(&scratch, &scores), first);
    }
}

#[test]
fn names_and_rules_read_back() {
    for id in HeadId::ALL {
        assert_eq!(id.to_string().parse::<HeadId>().unwrap(), id);
    }
    let error = "gmm_std".parse::<HeadId>().unwrap_err();
    assert_eq!(error.kind(), EnergyErrorKind::Name);
    assert!(error.to_string().contains("knn, heat-gmm, heat-gmm-std, heat-el"), "{error}");
    for rule in [Rule::Sum, Rule::LogSumExp(-0.1), Rule::LogSumExp(1e300), Rule::Max, Rule::Min] {
        assert_eq!(rule.to_string().parse::<Rule>().unwrap(), rule);
    }
    for text in ["", "mean", "lse", "lse:", "lse:0", "lse:-0", "lse:inf", "lse:nan", "SUM"] {
        assert_eq!(text.parse::<Rule>().unwrap_err().kind(), EnergyErrorKind::Rule, "{text}");
    }
}

/// Every single inconsistency of fitted heads is refused, with the right kind.
#[test]
fn fix_refuses_each_inconsistency() {
    use EnergyErrorKind::{Composition, Shape, Value};
    type Damage = fn(&mut float::Heads);
    fn mix(heads: &mut float::Heads) -> &mut float::Gmm {
        let float::Head::Gmm(gmm) = &mut heads.heads[3] else { unreachable!() };
        gmm
    }
    fn near(heads: &mut float::Heads) -> &mut float::Knn {
        let float::Head::Knn(knn) = &mut heads.heads[5] else { unreachable!() };
        knn
    }
    fn heat(heads: &mut float::Heads) -> &mut float::Heat<float::Gmm> {
        let float::Head::HeatGmm(heat) = &mut heads.heads[6] else { unreachable!() };
        heat
    }
    fn net(heads: &mut float::Heads) -> &mut float::Residual {
        &mut heat(heads).residual
    }
    let cases: [(EnergyErrorKind, Damage); 51] = [
        (Shape, |h| mix(h).width = u32::MAX),
        (Shape, |h| mix(h).whitener.push(1.0)),
        (Shape, |h| mix(h).whitened_means.truncate(3)),
        (Shape, |h| mix(h).log_weights.clear()),
        (Shape, |h| mix(h).log_weights.push(-1.0)),
        (Value, |h| mix(h).log_weights[0] = 1.0),
        (Value, |h| mix(h).log_weights[0] = f64::NEG_INFINITY),
        (Value, |h| mix(h).whitener[1] = f64::NAN),
        (Value, |h| mix(h).whitener[1] = 1e30),
        (Value, |h| mix(h).whitener[2] = -0.5),
        (Value, |h| mix(h).whitener[0] = 0.0),
        (Value, |h| mix(h).whitened_means[0] = f64::INFINITY),
        (Value, |h| mix(h).whitened_means[0] = 1e10),
        (Value, |h| mix(h).half_log_det = f64::NAN),
        (Value, |h| mix(h).half_log_det = 0.0),
        (Value, |h| mix(h).ridge = -1.0),
        (Shape, |h| near(h).width = 0),
        (Shape, |h| near(h).rows.push(0.0)),
        (Value, |h| near(h).rows.clear()),
        (Value, |h| near(h).rows[3] = f32::NAN),
        (Value, |h| near(h).rows[3] = 1e30),
        (Value, |h| near(h).k = 0),
        (Value, |h| near(h).k = 4),
        (Shape, |h| net(h).order.clear()),
        (Shape, |h| net(h).order[1] = 3),
        (Shape, |h| net(h).order = vec![0, 2]),
        (Shape, |h| net(h).order.truncate(2)),
        (Shape, |h| net(h).order = [&[0][..], &[1; 63], &[2]].concat()),
        (Shape, |h| net(h).layers[0].inputs = 3),
        (Shape, |h| net(h).layers[0].outputs = u32::MAX),
        (Shape, |h| net(h).layers[0].outputs = 0),
        (Shape, |h| net(h).layers[1].weights.push(0.0)),
        (Shape, |h| net(h).layers[1].biases.clear()),
        (Shape, |h| net(h).ranges.truncate(3)),
        (Value, |h| net(h).layers[1].weights[4] = f32::NAN),
        (Value, |h| net(h).layers[1].biases[2] = f32::INFINITY),
        (Value, |h| net(h).layers[1].weights[4] = 1e30),
        (Value, |h| net(h).layers[2].biases[0] = 1e30),
        (Value, |h| net(h).ranges[1] = 1e30),
        (Value, |h| net(h).ranges[1] = -1.0),
        (Value, |h| heat(h).temperature = 0.0),
        (Value, |h| heat(h).prior_temperature = f64::NAN),
        (Value, |h| heat(h).normalize = true),
        (Composition, |h| h.composition.terms[0].head = 9),
        (Composition, |h| h.composition.terms[0].head = 1),
        (Composition, |h| h.composition.terms[2].weight = 0.0),
        (Composition, |h| h.composition.terms[2].weight = f64::INFINITY),
        (Composition, |h| h.composition.terms[2].std = 0.0),
        (Composition, |h| h.composition.terms[2].std = f64::INFINITY),
        (Composition, |h| h.composition.terms[2].mean = 1e30),
        (Composition, |h| h.composition.rule = Rule::LogSumExp(0.0)),
    ];
    for (i, (kind, damage)) in cases.into_iter().enumerate() {
        let mut heads = float_heads();
        damage(&mut heads);
        assert_eq!(heads.fix().map(|_| ()).map_err(|e| e.kind()), Err(kind), "case {i}");
    }
}

/// Every single inconsistency of a stored model is refused, with the right kind.
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
    fn heat(heads: &mut Heads) -> &mut Heat<Gmm> {
        let Head::HeatGmm(heat) = &mut heads.heads[6] else { unreachable!() };
        heat
    }
    fn net(heads: &mut Heads) -> &mut Residual {
        &mut heat(heads).residual
    }
    let cases: [(EnergyErrorKind, Damage); 45] = [
        (Shape, |h| h.heads.clear()),
        (Shape, |h| h.heads[1] = Head::Msp),
        (Shape, |h| mix(h).width = u32::MAX),
        (Shape, |h| mix(h).weights.push(1)),
        (Shape, |h| mix(h).biases.clear()),
        (Shape, |h| mix(h).shifts.push(0)),
        (Shape, |h| mix(h).means.truncate(3)),
        (Shape, |h| mix(h).log_weights_q32.clear()),
        (Value, |h| mix(h).weights[1] = 0),
        (Value, |h| mix(h).shifts[1] = 63),
        (Value, |h| mix(h).means[1] = 1 << 52),
        (Value, |h| mix(h).log_weights_q32[0] = i64::MIN),
        (Value, |h| mix(h).log_weights_q32[0] = 1 << 20),
        (Value, |h| mix(h).log_volume_q32 = 1 << 62),
        (Value, |h| mix(h).ridge = f64::NAN),
        (Shape, |h| near(h).width = 3),
        (Shape, |h| near(h).high.push(0)),
        (Shape, |h| near(h).low.truncate(4)),
        (Value, |h| near(h).k = 0),
        (Value, |h| near(h).k = 4),
        (Value, |h| near(h).bits = 31),
        (Shape, |h| net(h).order.clear()),
        (Shape, |h| net(h).order[1] = 3),
        (Shape, |h| net(h).order.truncate(2)),
        (Shape, |h| net(h).bits.truncate(2)),
        (Shape, |h| net(h).layers[0].weights.truncate(2)),
        (Shape, |h| net(h).layers[1].multipliers.truncate(2)),
        (Shape, |h| net(h).layers[1].shifts.truncate(2)),
        (Shape, |h| net(h).layers[1].biases.truncate(2)),
        (Value, |h| net(h).layers[1].multipliers[0] = 0),
        (Value, |h| net(h).layers[1].multipliers[0] = 1 << 25),
        (Value, |h| net(h).layers[1].shifts[0] = 127),
        (Value, |h| net(h).layers[1].shifts[0] = -100),
        (Value, |h| net(h).layers[2].shifts[0] = -128),
        (Value, |h| net(h).layers[1].bits = 30),
        (Value, |h| net(h).layers[1].biases[0] = i64::MIN),
        (Value, |h| net(h).bits[1] = 127),
        (Value, |h| net(h).bits[0] = 21),
        (Value, |h| heat(h).normalize = true),
        (Composition, |h| h.composition.terms.clear()),
        (Composition, |h| h.composition.terms[0].head = 9),
        (Composition, |h| h.composition.terms[0].head = 1),
        (Composition, |h| h.composition.terms[0].mean_q32 = BROKEN),
        (Composition, |h| h.composition.rule = Rule::LogSumExp(0.0)),
        (Composition, |h| h.composition.rule = Rule::LogSumExp(f64::NAN)),
    ];
    for (i, (kind, damage)) in cases.into_iter().enumerate() {
        let mut heads = heads();
        damage(&mut heads);
        assert_eq!(heads.check(2, 3).map_err(|e| e.kind()), Err(kind), "case {i}");
    }
    assert_eq!(heads().check(3, 3).unwrap_err().kind(), Shape);
    assert_eq!(heads().check(2, 0).unwrap_err().kind(), Shape);
}

proptest! {
    /// Whatever the bytes of a model say, what `check` lets through is scored without a panic.
    #[test]
    fn altered_bytes_are_refused_or_scored(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        avg in any::<[i32; 2]>(), logits in any::<[i32; 3]>()
    ) {
        let features = Features { avg: avg.to_vec(), std: avg.to_vec(), logits: logits.to_vec() };
        let mut bytes = postcard::to_stdvec(&heads()).unwrap();
        let mut float_bytes = postcard::to_stdvec(&float_heads()).unwrap();
        for (at, byte) in changes {
            for bytes in [&mut bytes, &mut float_bytes] {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        if let Ok(heads) = postcard::from_bytes::<Heads>(&bytes) && heads.check(2, 3).is_ok() {
            score(&heads, &features);
        }
        if let Ok(heads) = postcard::from_bytes::<float::Heads>(&float_bytes) && let Ok(heads) = heads.fix() {
            score(&heads, &features);
        }
    }
}
