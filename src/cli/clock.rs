//! The clock of the core that this program runs on.

use std::fs;
use std::hint::black_box;
use std::time::Instant;

/// Cycles a second: what the kernel says of the fastest clock, or else what a chain of dependent
/// additions and shifts takes.
pub fn hertz() -> f64 {
    let path = "/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq";
    let kilohertz = fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<f64>().ok());
    kilohertz.map_or_else(measured, |kilohertz| kilohertz * 1e3)
}

/// A rotation and an exclusive or, each of which needs the one before, take one cycle each on every
/// core of interest.
fn measured() -> f64 {
    const STEPS: u32 = 2_000_000;
    let mut best = f64::INFINITY;
    for round in 0..5u64 {
        let start = Instant::now();
        let mut x = black_box(round + 1);
        for i in 0..u64::from(STEPS) {
            x = x.rotate_left(7) ^ i;
        }
        black_box(x);
        best = best.min(start.elapsed().as_secs_f64());
    }
    2.0 * f64::from(STEPS) / best
}
