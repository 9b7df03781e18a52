use proptest::prelude::*;

use super::*;
use crate::random::Random;

/// Energies of a scene that changes by itself: a Gaussian autoregression of the first order in continuous time, with
/// correlation `exp(−t / memory_s)` after `t` seconds, mean 0 and deviation 1.
struct Scene {
    random: Random,
    memory_s: f64,
    state: f64,
    at_ms: u64,
}

impl Scene {
    fn new(seed: u64, memory_s: f64) -> Scene {
        let mut random = Random::new(seed);
        let state = normal(&mut random);
        Scene { random, memory_s, state, at_ms: 0 }
    }

    fn energy(&mut self, at_ms: u64) -> f64 {
        let gap_s = (at_ms - self.at_ms) as f64 / 1000.0;
        let kept = libm::exp(-gap_s / self.memory_s);
        self.at_ms = at_ms;
        self.state = kept * self.state + (1.0 - kept * kept).sqrt() * normal(&mut self.random);
        self.state
    }
}

fn normal(random: &mut Random) -> f64 {
    let radius = (-2.0 * libm::log(1.0 - random.unit())).sqrt();
    radius * libm::cos(std::f64::consts::TAU * random.unit())
}

fn q16(energy: f64) -> i64 {
    (energy * 65536.0).round() as i64
}

fn calibration(seed: u64, frames: usize) -> Calibration {
    let mut random = Random::new(seed ^ 0xca1b);
    Calibration::new((0..frames).map(|_| q16(normal(&mut random))).collect()).unwrap()
}

/// One run of a device.
#[derive(Clone, Copy)]
struct Run {
    calibration_frames: usize,
    memory_s: f64,
    every_s: u64,
    /// Time between frames.
    frame_s: u64,
    days: u64,
}

impl Run {
    const YEAR: Run =
        Run { calibration_frames: 500, memory_s: 10.0, every_s: 1800, frame_s: 300, days: 365 };

    /// What is told, with the day; `shift` moves the energies of a time in days, in calibration spreads.
    fn play(self, seed: u64, shift: impl Fn(f64) -> f64) -> Vec<(f64, Told)> {
        let settings = DriftSettings { every_s: self.every_s, ..DriftSettings::default() };
        let calibration = calibration(seed, self.calibration_frames);
        let mut test = DriftTest::new("door".into(), &settings, &calibration);
        let mut scene = Scene::new(seed, self.memory_s);
        let mut told = Vec::new();
        for at_ms in (0..self.days * DAY_MS).step_by(self.frame_s as usize * 1000) {
            let day = at_ms as f64 / DAY_MS as f64;
            let energy = q16(scene.energy(at_ms) + shift(day));
            told.extend(test.scored([energy].into_iter(), at_ms).map(|told| (day, told)));
        }
        told
    }

    /// Of each run that tells anything, the day of the first.
    fn reports(self, runs: u64, shift: impl Fn(f64) -> f64) -> Vec<f64> {
        (0..runs).filter_map(|seed| Some(self.play(seed, &shift).first()?.0)).collect()
    }
}

/// How many runs stand behind each figure; `DRIFT_RUNS=1000` gives those of docs/events.md.
fn runs() -> u64 {
    std::env::var("DRIFT_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(20)
}

/// More false reports than this in so many runs break the promise of two in a thousand, but for a chance of less than one
/// in a hundred.
fn promised(runs: u64) -> f64 {
    let mean = runs as f64 * 2.0 / 1000.0;
    mean + 3.0 * mean.sqrt()
}

#[test]
fn a_year_without_drift_tells_none() {
    let runs = runs();
    for (calibration_frames, memory_s) in [(100, 10.0), (500, 10.0), (500, 1800.0), (2500, 1800.0)]
    {
        let run = Run { calibration_frames, memory_s, ..Run::YEAR };
        let told = run.reports(runs, |_| 0.0).len();
        println!(
            "{calibration_frames} frames, memory {memory_s} s: {told} of {runs} years tell a drift"
        );
        assert!(told as f64 <= promised(runs), "{told} of {runs}");
    }
}

#[test]
fn a_slow_drift_is_found() {
    let runs = runs();
    for (calibration_frames, memory_s, begins) in
        [(500, 10.0, 0), (500, 10.0, 200), (500, 1800.0, 0), (2500, 10.0, 0), (2500, 1800.0, 200)]
    {
        let days = begins + 42;
        let run = Run { calibration_frames, memory_s, days, ..Run::YEAR };
        for most in [0.5, -0.5] {
            let shift = |day: f64| ((day - begins as f64) / 14.0).clamp(0.0, 1.0) * most;
            let mut found = run.reports(runs, shift);
            found.iter_mut().for_each(|day| *day -= begins as f64);
            found.sort_by(f64::total_cmp);
            let (median, last) = (found[found.len() / 2], found[found.len() - 1]);
            println!(
                "{calibration_frames} frames, memory {memory_s} s, {most} spreads in the 14 days after day {begins}: \
                 found after {median:.0} days (median; last {last:.0})"
            );
            assert!(found.len() as f64 >= 0.99 * runs as f64 && found[0] > 1.0, "{found:?}");
            assert!(median < 21.0);
        }
    }
}

/// Why the calibration's own error must be allowed for.
#[test]
fn without_an_allowance_a_year_proves_that_the_calibration_is_a_sample() {
    let told = (0..20).filter(|&seed| {
        let mut test = DriftTest::new("door".into(), &SETTINGS, &calibration(seed, 500));
        test.tolerance = 0.0;
        let mut random = Random::new(seed);
        (0..365 * 48).any(|half_hour| {
            test.scored([q16(normal(&mut random))].into_iter(), half_hour * 1_800_000).is_some()
        })
    });
    let told = told.count();
    println!("without an allowance {told} of 20 years tell a drift");
    assert!(told >= 5);
}

const SETTINGS: DriftSettings = DriftSettings { enabled: true, every_s: 1800, evidence: 1000.0 };

#[test]
fn a_night_is_no_drift() {
    let told = (0..5).filter(|&seed| {
        let mut random = Random::new(seed);
        let mut energy =
            |day: f64| q16(normal(&mut random) + 0.8 * libm::sin(day * std::f64::consts::TAU));
        let calibration = (0..1000).map(|i| energy(f64::from(i) / 1000.0)).collect();
        let calibration = Calibration::new(calibration).unwrap();
        let mut test = DriftTest::new("door".into(), &SETTINGS, &calibration);
        (0..100 * 144u64).any(|i| {
            let energy = energy(i as f64 / 144.0);
            test.scored([energy].into_iter(), i * 600_000).is_some()
        })
    });
    assert_eq!(told.count(), 0);
}

#[test]
fn energies_that_tie_are_no_drift() {
    for distinct in [1, 2, 3] {
        let mut random = Random::new(distinct);
        let mut energy = || random.below(distinct) as i64;
        let calibration = Calibration::new((0..1000).map(|_| energy()).collect()).unwrap();
        let mut test = DriftTest::new("door".into(), &SETTINGS, &calibration);
        let told =
            (0..365 * 48).any(|i| test.scored([energy()].into_iter(), i * 1_800_000).is_some());
        assert!(!told);
    }
}

#[test]
fn the_tolerance_covers_calibrations_of_bad_luck() {
    let mut random = Random::new(5);
    for n in [20, 100] {
        // Evidence of 20, so that some luck is bad enough.
        let tolerance = tolerance(n, 20.0);
        assert!(tolerance > LEAST_TOLERANCE);
        let bad = (0..20_000).filter(|_| {
            let sum: f64 = (0..n).map(|_| random.unit()).sum();
            let mean = (1.0 + sum) / (n + 1) as f64;
            mean < 0.5 - tolerance || 1.0 - mean < 0.5 - tolerance
        });
        let bad = bad.count();
        assert!((20..=1_000).contains(&bad), "{bad} of 20000, promised 1000");
    }
    assert_eq!(tolerance(100_000, 1000.0), LEAST_TOLERANCE);
}

#[test]
fn nothing_breaks_on_what_no_camera_does() {
    let odd = DriftSettings { enabled: true, every_s: 0, evidence: f64::INFINITY };
    let mut test = DriftTest::new("door".into(), &odd, &calibration(1, 1));
    let mut random = Random::new(1);
    let mut now_ms = 0u64;
    for _ in 0..10_000 {
        now_ms = now_ms.saturating_add(random.next_u64() >> random.range(1.0, 63.0) as u32);
        let told = test.scored([i64::MAX, i64::MIN, 0].into_iter(), now_ms);
        assert!(told.is_none() && test.tested().evidence.is_finite());
    }
    assert_eq!(now_ms, u64::MAX);
}

proptest! {
    /// The bet is fair: over all choices of the frame that is tested among n + 1 exchangeable ones, mean p-values of both
    /// sides are a half or more, ties or not.
    #[test]
    fn mean_p_values_of_exchangeable_frames_are_a_half_or_more(
        energies in prop::collection::vec(-20i64..20, 2..50),
    ) {
        let mut sums = [0.0; 2];
        for (i, energy) in energies.iter().enumerate() {
            let mut rest = energies.clone();
            rest.remove(i);
            let calibration = Calibration::new(rest).unwrap();
            let mut test = DriftTest::new("door".into(), &SETTINGS, &calibration);
            test.scored([*energy].into_iter(), 0);
            for (sum, p_value) in sums.iter_mut().zip(test.interval.p_values) {
                *sum += p_value;
            }
            prop_assert_eq!(test.interval.p_values[0], calibration.p_value(*energy));
        }
        for sum in sums {
            prop_assert!(sum >= energies.len() as f64 / 2.0 - 1e-9);
        }
    }
}
