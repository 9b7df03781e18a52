use super::*;

/// One head, which is the composition alone: the fewest energies that [`evaluate`] takes.
fn scored(name: &str, energies: Vec<f64>) -> Scored {
    Scored { name: name.into(), energies: vec![energies] }
}

fn options(resamples: u32, seed: u64) -> Options {
    Options { resamples: NonZeroU32::new(resamples).expect("resamples"), seed }
}

fn evaluation(normal: Vec<f64>, unusual: Vec<f64>) -> HeadEvaluation {
    let (normal, unusual) = (scored("normal", normal), scored("odd", unusual));
    let mut found =
        evaluate(&[], &[], &normal, &[unusual], &options(20, 0)).expect("an evaluation");
    found.heads.remove(0)
}

fn separation(normal: Vec<f64>, unusual: Vec<f64>) -> Separation<Estimate> {
    evaluation(normal, unusual).sets[0].separation
}

fn values<const N: usize>(of: &Separation<Estimate>) -> [f64; N] {
    let all = [
        of.auroc,
        of.fpr_ood_at_95tpr_id,
        of.fpr_id_at_95tpr_ood,
        of.aupr_in,
        of.aupr_out,
        of.detection_accuracy,
    ];
    std::array::from_fn(|i| all[i].value)
}

/// Of the first figures.
fn assert_values<const N: usize>(found: &Separation<Estimate>, expected: [f64; N]) {
    let close = |(a, b): (f64, f64)| (a - b).abs() <= 1e-13;
    let found: [f64; N] = values(found);
    assert!(found.into_iter().zip(expected).all(close), "{found:?} is not {expected:?}");
}

/// Whole numbers, spread by squares, with many ties: `(a i² + b i) mod modulus + shift`.
fn quadratic(count: i64, a: i64, b: i64, modulus: i64, shift: i64) -> Vec<f64> {
    (0..count).map(|i| ((a * i * i + b * i) % modulus + shift) as f64).collect()
}

fn waves() -> (Vec<f64>, Vec<f64>) {
    let normal = (0..41).map(|i| (0.9 * f64::from(i)).sin() + 0.1 * f64::from(i % 7));
    let unusual = (0..23).map(|i| (1.7 * f64::from(i)).sin() + 0.8);
    (normal.collect(), unusual.collect())
}

/// HEAT reference, golden vector 16; digits beyond its six, and the third figure, from
/// scikit-learn 1.9.1.
#[test]
fn figures_are_heats() {
    let normal = (0..10).map(f64::from).collect();
    let found = evaluation(normal, vec![8.6, 9.0, 8.5, 20.0, 1.0, 9.0]);
    let expected =
        [0.8083333333333333, 1.0 / 3.0, 0.9, 0.8237698412698412, 0.7555555555555555, 13.0 / 15.0];
    assert_values(&found.sets[0].separation, expected);
    assert!((found.threshold.value - 8.55).abs() < 1e-12);

    let (normal, unusual) = waves();
    let found = evaluation(normal, unusual);
    let expected = [
        0.6998939554612938,
        0.6086956521739131,
        0.8048780487804879,
        0.8055287437395895,
        0.6757438730565595,
    ];
    assert_values(&found.sets[0].separation, expected);
    let rest = [found.threshold.value, found.sets[0].separation.detection_accuracy.value];
    for (found, expected) in rest.into_iter().zip([1.165658, 0.695652]) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }
}

/// `roc_auc_score`, `roc_curve(drop_intermediate=False)` and `average_precision_score` of
/// scikit-learn 1.9.1, `percentile` of numpy 2.4.6.
#[test]
fn figures_with_many_ties_are_sklearns() {
    let cases = [
        (
            quadratic(400, 31, 17, 97, 0),
            quadratic(150, 13, 29, 89, 20),
            [0.6918583333333334, 0.68, 0.7775, 0.8609085994682094, 0.5459463777389861],
        ),
        (
            quadratic(37, 5, 3, 7, 0),
            quadratic(61, 3, 1, 5, 1),
            [
                0.6665928223305272,
                0.6065573770491803,
                0.7027027027027027,
                0.6086648708229255,
                0.7190363352557088,
            ],
        ),
        (
            quadratic(1000, 31, 17, 1009, 0),
            quadratic(1000, 13, 29, 1013, -300),
            [0.225832, 1.0, 1.0, 0.351592238146174, 0.3516262448767942],
        ),
        (
            quadratic(333, 7, 2, 11, 0),
            quadratic(40, 5, 3, 13, 8),
            [0.880930930930931, 0.325, 0.3663663663663664, 0.9817565472170735, 0.6461680876869049],
        ),
    ];
    for (normal, unusual, expected) in cases {
        assert_values(&separation(normal, unusual), expected);
    }
}

#[test]
fn figures_at_the_extremes() {
    let low = || quadratic(50, 1, 1, 40, 0);
    let high = || quadratic(60, 1, 3, 37, 100);
    assert_values(&separation(low(), high()), [1.0, 0.0, 0.0, 1.0, 1.0]);
    assert_values(
        &separation(high(), low()),
        [0.0, 1.0, 1.0, 0.3573929622814078, 0.2923696493130772],
    );
    assert_values(&separation(vec![0.0; 20], vec![-0.0; 20]), [0.5, 0.0, 1.0, 0.5, 0.5]);
    assert_values(&separation(vec![1.0], vec![2.0]), [1.0, 0.0, 0.0, 1.0, 1.0]);
}

/// All figures but the interpolated percentile depend on the order alone.
#[test]
fn a_monotone_transform_changes_nothing() {
    let (normal, unusual) = waves();
    let before = separation(normal.clone(), unusual.clone());
    let transform = |energies: Vec<f64>| energies.into_iter().map(|e| (3.0 * e).exp()).collect();
    let after = separation(transform(normal), transform(unusual));
    assert_eq!(Separation { fpr_ood_at_95tpr_id: before.fpr_ood_at_95tpr_id, ..after }, before);
}

/// Two heads and the composition, and two unusual sets.
fn example() -> ([String; 2], Scored, [Scored; 2]) {
    let set = |name: &str, count: i64, shift: i64| Scored {
        name: name.into(),
        energies: vec![
            quadratic(count, 31, 17, 97, shift),
            quadratic(count, 5, 3, 23, shift / 8),
            quadratic(count, 3, 11, 1009, 4 * shift),
        ],
    };
    (["gmm".into(), "el".into()], set("normal", 301, 0), [set("near", 97, 20), set("far", 150, 60)])
}

#[test]
fn intervals_do_not_depend_on_the_number_of_threads() {
    let (heads, normal, unusual) = example();
    let in_pool = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| evaluate(&heads, &[], &normal, &unusual, &options(40, 3)))
            .expect("evaluation")
    };
    assert_eq!(in_pool(1), in_pool(2));
}

#[test]
fn intervals_depend_on_the_seed_and_values_do_not() {
    let (heads, normal, unusual) = example();
    let seeded = |seed| {
        let found =
            evaluate(&heads, &[], &normal, &unusual, &options(40, seed)).expect("evaluation");
        found.heads[0].sets[0].separation
    };
    assert_ne!(seeded(1).auroc.interval, seeded(2).auroc.interval);
    assert_eq!(values::<6>(&seeded(1)), values(&seeded(2)));
}

/// The interval's width against the normal approximation with DeLong's variance (1988).
#[test]
fn auroc_interval_agrees_with_delong() {
    let normal = quadratic(400, 31, 17, 97, 0);
    let unusual = quadratic(150, 13, 29, 89, 20);
    let wins = |o: f64, n: f64| if o == n { 0.5 } else { f64::from(o > n) };
    let mean_over = |energies: &[f64], f: &dyn Fn(f64) -> f64| {
        energies.iter().map(|&e| f(e)).sum::<f64>() / energies.len() as f64
    };
    let variance = |placements: Vec<f64>| {
        let (n, mean) = (placements.len() as f64, mean_over(&placements, &|v| v));
        placements.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0) / n
    };
    let of_unusual = unusual.iter().map(|&o| mean_over(&normal, &|n| wins(o, n))).collect();
    let of_normal = normal.iter().map(|&n| mean_over(&unusual, &|o| wins(o, n))).collect();
    let analytic = 2.0 * 1.959964 * (variance(of_unusual) + variance(of_normal)).sqrt();

    let (normal, unusual) = (scored("normal", normal), scored("odd", unusual));
    let found = evaluate(&[], &[], &normal, &[unusual], &options(2000, 5)).expect("an evaluation");
    let auroc = found.heads[0].sets[0].separation.auroc;
    let [low, high] = auroc.interval;
    assert!(low < auroc.value && auroc.value < high, "{auroc:?}");
    let ratio = (high - low) / analytic;
    assert!((0.93..1.07).contains(&ratio), "{ratio}");
}

#[test]
fn the_average_is_the_mean_over_sets() {
    let (heads, normal, unusual) = example();
    let found = evaluate(&heads, &[], &normal, &unusual, &options(200, 0)).expect("an evaluation");
    let names: Vec<&str> = found.heads.iter().map(|head| head.name.as_str()).collect();
    assert_eq!(names, ["gmm", "el", COMPOSED]);
    for head in &found.heads {
        let sets: Vec<[f64; 6]> = head.sets.iter().map(|set| values(&set.separation)).collect();
        let mean: [f64; 6] = std::array::from_fn(|i| (sets[0][i] + sets[1][i]) / 2.0);
        assert_values(&head.average, mean);
    }
}

/// Two copies of one set share the normal draw but not their own; were the normal draw not shared,
/// the mean's interval would be narrower by the square root of two.
#[test]
fn sets_of_one_replicate_share_the_normal_draw() {
    let normal = scored("normal", quadratic(60, 31, 17, 97, 0));
    let unusual = quadratic(4000, 13, 29, 89, 20);
    let sets = [scored("a", unusual.clone()), scored("b", unusual)];
    let found = evaluate(&[], &[], &normal, &sets, &options(1000, 0)).expect("an evaluation");
    let width = |estimate: Estimate| estimate.interval[1] - estimate.interval[0];
    let head = &found.heads[0];
    let ratio = width(head.average.auroc) / width(head.sets[0].separation.auroc);
    assert!((0.9..1.05).contains(&ratio), "{ratio}");
}

#[test]
fn unfit_energies_are_refused_by_name() {
    let (heads, normal, unusual) = example();
    let refuse = |edit: &dyn Fn(&mut Scored, &mut [Scored; 2])| {
        let (mut normal, mut unusual) = (normal.clone(), unusual.clone());
        edit(&mut normal, &mut unusual);
        let error = evaluate(&heads, &[], &normal, &unusual, &options(1, 0)).unwrap_err();
        (error.kind(), error.to_string())
    };
    let (kind, message) = refuse(&|_, unusual| unusual[1].energies[1][7] = f64::NAN);
    assert_eq!(kind, MetricsErrorKind::NotFinite);
    assert_eq!(message, "set `far`, head `el`: energy of frame 7 is NaN; refit the head");

    let (kind, message) = refuse(&|normal, _| normal.energies = vec![vec![]; 3]);
    assert_eq!(kind, MetricsErrorKind::Empty);
    assert_eq!(message, "set `normal`: holds no frame; add some");

    let (kind, message) = refuse(&|normal, _| normal.energies[2].truncate(300));
    assert_eq!(kind, MetricsErrorKind::Shape);
    assert_eq!(message, "set `normal`, head `composed`: holds 300 energies for 301 frames");

    let (kind, _) = refuse(&|_, unusual| unusual[0].energies.truncate(2));
    assert_eq!(kind, MetricsErrorKind::Shape);

    let (kind, message) = refuse(&|_, unusual| unusual[0].name = AVERAGE.into());
    assert_eq!(kind, MetricsErrorKind::Name);
    assert_eq!(message, "unusual set `average`: the name is reserved or given twice; rename one");

    let none = evaluate(&heads, &[], &normal, &[], &options(1, 0)).unwrap_err();
    assert_eq!(none.kind(), MetricsErrorKind::Empty);
}

/// Columns behind the composition are measured like the heads, and differences are those of one draw.
#[test]
fn other_detectors_are_compared_on_the_same_draws() {
    let ([gmm, el], normal, unusual) = example();
    let others = ["vim".to_string()];
    let found = evaluate(std::slice::from_ref(&gmm), &others, &normal, &unusual, &options(200, 0));
    let found = found.expect("an evaluation");
    let names = |heads: &[HeadEvaluation]| -> Vec<String> {
        heads.iter().map(|head| head.name.clone()).collect()
    };
    assert_eq!(names(&found.heads), [gmm.as_str(), COMPOSED]);
    assert_eq!(names(&found.compared), others);
    // The same columns, all of them heads.
    let all = evaluate(&[gmm, el], &[], &normal, &unusual, &options(200, 0)).expect("evaluation");
    assert_eq!(found.compared[0].average, all.heads[2].average);
    assert_eq!(found.compared[0].threshold, all.heads[2].threshold);
    let auroc = |head: &HeadEvaluation| head.average.auroc.value;
    let [of_gmm, composed] = [&found.heads[0], &found.heads[1]];
    assert_eq!(of_gmm.over_composed.value, auroc(of_gmm) - auroc(composed));
    assert_eq!(composed.over_composed, Estimate { value: 0.0, interval: [0.0; 2] });
}
