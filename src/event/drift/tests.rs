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
        Run { calibration_frames: 500, memory_s: 10.0, every_s: 600, frame_s: 60, days: 365 };

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

#[test]
#[ignore]
fn explore() {
    for n in [100, 500, 2000] {
        for memory_s in [10.0, 180.0, 600.0, 1800.0, 3600.0, 36000.0] {
            let run = Run { calibration_frames: n, memory_s, ..Run::YEAR };
            let found = run.reports(20, |_| 0.0);
            println!("n {n} memory {memory_s}: {} of 20 {:?}", found.len(), found.first());
        }
    }
    for n in [100, 200, 500, 2000] {
        for memory_s in [10.0, 600.0] {
            let run = Run { calibration_frames: n, memory_s, days: 30, ..Run::YEAR };
            for most in [0.25, 0.5, 1.0, -0.5] {
                let mut found = run.reports(40, |day| (day / 14.0).min(1.0) * most);
                found.sort_by(f64::total_cmp);
                let in_time = found.iter().filter(|&&d| d <= 14.1).count();
                println!(
                    "n {n} memory {memory_s} ramp {most}: {} of 40, {in_time} in 14, median {:?}",
                    found.len(),
                    found.get(found.len() / 2)
                );
            }
        }
    }
}
