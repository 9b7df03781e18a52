use super::*;
use crate::event::{Budget, Decider, Phase};
use crate::random::Random;
use crate::verdict::Verdict;

/// Alarms of frames at 10 per second whose energies are a Gaussian autoregression with correlation `exp(−t / memory_s)`;
/// 0 is independent.
fn simulate(alpha: f64, settings: &AlarmSettings, memory_s: f64, frames: u64) -> f64 {
    let mut random = Random::new(frames ^ memory_s.to_bits());
    let kept = if memory_s > 0.0 { libm::exp(-0.1 / memory_s) } else { 0.0 };
    let fresh = (1.0 - kept * kept).sqrt();
    let mut decider = Decider::new("door".into(), settings);
    let mut budget = Budget::new(0);
    let mut state = normal(&mut random);
    let mut alarms = 0;
    for frame in 0..frames {
        state = kept * state + fresh * normal(&mut random);
        let p_value = 0.5 * libm::erfc(state * std::f64::consts::FRAC_1_SQRT_2);
        let unusual = p_value <= alpha;
        let verdict = Verdict {
            energy: state,
            energy_q16: 0,
            p_value,
            unusual,
            nearest: None,
            heads: Vec::new(),
        };
        let told = decider.scored(&verdict, frame * 100, false, &mut budget);
        alarms += u32::from(told.is_some_and(|told| told.phase == Phase::Start));
    }
    f64::from(alarms)
}

fn normal(random: &mut Random) -> f64 {
    let radius = (-2.0 * libm::log(1.0 - random.unit())).sqrt();
    radius * libm::cos(std::f64::consts::TAU * random.unit())
}

const DAY: u64 = 864_000;

fn rule(raise: u32, window: u32) -> AlarmSettings {
    AlarmSettings { raise, window, ..AlarmSettings::default() }
}

#[test]
fn binomial_tails() {
    assert_eq!(binomial_tail(4, 0.3, 0), 1.0);
    assert!((binomial_tail(4, 0.05, 2) - 0.01401875).abs() < 1e-12);
    assert!((binomial_tail(999, 0.5, 500) - 0.5).abs() < 1e-9);
    assert!((binomial_tail(0, 0.2, 0) - 1.0).abs() < 1e-12);
    assert_eq!(binomial_tail(0, 0.2, 1), 0.0);
}

#[test]
fn the_formula_is_what_independent_frames_do() {
    for (alpha, settings, days) in [
        (0.05, rule(3, 5), 1),
        (0.02, rule(3, 5), 4),
        (0.05, rule(4, 10), 1),
        (0.05, AlarmSettings { cooldown_s: 600, min_s: 30.0, ..rule(2, 3) }, 4),
        (0.01, AlarmSettings { clear_frames: 20, ..rule(2, 5) }, 3),
    ] {
        let expected = alarms_per_day(alpha, 10.0, &settings) * days as f64;
        let alarms = simulate(alpha, &settings, 0.0, days * DAY);
        println!(
            "alpha {alpha}, {} of {}: {alarms} in {days} days, expected {expected:.1}",
            settings.raise, settings.window
        );
        // Four standard deviations of a count, and the tenth by which the formula is on the safe side.
        let slack = 4.0 * expected.sqrt();
        assert!(alarms <= expected + slack && alarms >= 0.9 * expected - slack);
    }
}

#[test]
fn the_table_of_the_documentation() {
    let document = include_str!("../../../docs/events.md");
    for (raise, window) in [(1, 1), (2, 3), (3, 5), (4, 8), (6, 10)] {
        let cell = |alpha: f64| match alarms_per_day(alpha, 10.0, &rule(raise, window)) {
            n if n >= 9.95 => format!("{n:.0}"),
            n if n >= 0.095 => format!("{n:.1}"),
            n if n >= 0.00095 => format!("{n:.3}"),
            _ => "< 0.001".to_string(),
        };
        let cells = [0.05, 0.02, 0.01, 0.005, 0.002].map(cell).join(" | ");
        let row = format!("| {raise} of {window} | {cells} |");
        println!("{row}");
        assert!(document.contains(&row), "docs/events.md lacks {row}");
    }
}

/// `ODDS_DAYS=20` gives the figures of docs/events.md.
#[test]
fn frames_that_depend_on_each_other_raise_more() {
    let days = std::env::var("ODDS_DAYS").ok().and_then(|days| days.parse().ok()).unwrap_or(0.25);
    let frames = (days * DAY as f64) as u64;
    for (alpha, raise, window) in [
        (0.01, 3, 5),
        (0.01, 30, 50),
        (0.01, 150, 200),
        (0.002, 3, 5),
        (0.002, 30, 50),
        (0.002, 150, 200),
    ] {
        let settings = rule(raise, window);
        let per_day = |memory_s| simulate(alpha, &settings, memory_s, frames) / days;
        let rates = [0.0, 0.1, 1.0, 10.0, 100.0].map(per_day);
        let bound = alpha * DAY as f64 / f64::from(raise);
        println!(
            "alpha {alpha}, {raise} of {window}: {rates:.1?} alarms a day, at most {bound:.1}"
        );
        // Four standard deviations of a count that is at the bound, a frame's weight in it included.
        let slack = 4.0 * (bound / days * 10.0).sqrt();
        assert!(rates.iter().all(|&rate| rate <= bound + slack));
        if (alpha, raise) == (0.01, 3) {
            assert!(rates[1] > rates[0] && rates[2] > 10.0 * rates[0]);
        }
    }
}
