//! Whether the energies of normal frames still come from where the calibration energies came from.
//!
//! A conformal test martingale (Vovk, Nouretdinov, Gammerman, "Testing exchangeability on-line", ICML 2003) bets against
//! it and tells when its capital has multiplied. The bets are those of the simple jumper (Vovk et al., "Retrain or not
//! retrain", COPA 2021). The calibration is one fixed sample, so its own error is allowed for, as in Shaer et al. ("Testing
//! for distribution shifts with conditional conformal test martingales", 2026): without that, a year of frames would
//! prove beyond doubt that 500 calibration frames are not quite the truth. `docs/events.md` has the argument in full.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::budget::DAY_MS;
use super::{Cause, Drift, Phase, Told};
use crate::verdict::Calibration;

/// Section `[drift]`.
#[derive(Clone, Debug, PartialEq)]
pub struct DriftSettings {
    /// Whether drift is looked for.
    pub enabled: bool,
    /// Frames of an interval of this length are tested by their mean: what is further apart should have nothing to do
    /// with each other.
    pub every_s: u64,
    /// Betting gain at which a drift is told. The chance of a false one, ever, is at most twice its inverse for each
    /// region.
    pub evidence: f64,
}

impl Default for DriftSettings {
    fn default() -> DriftSettings {
        DriftSettings { enabled: true, every_s: 1800, evidence: 1000.0 }
    }
}

/// A bet multiplies its capital by `1 + stake · edge`, where the edge of a mean p-value is between −1 and 1.
const STAKES: [f64; 3] = [0.1, 0.3, 0.9];
/// Bets on risen energies and on fallen ones.
const SIDES: usize = 2;
/// A mean p-value that is off a half by less than this does not matter, however certain it is: 0.05 is a change of the
/// energies by a sixth of their spread.
const LEAST_TOLERANCE: f64 = 0.05;
/// Nothing is told of evidence beyond this.
const MOST_EVIDENCE: f64 = 1e12;
/// A drift is over when no day has proved it for so long.
const QUIET_MS: u64 = 7 * DAY_MS;

/// Tests the frames of one region.
#[derive(Clone, Debug)]
pub struct DriftTest {
    interval_ms: u64,
    evidence: f64,
    tolerance: f64,
    /// Ascending.
    calibration_q16: Arc<[i64]>,
    interval: Interval,
    day_ends_ms: Option<u64>,
    day: Day,
    wealth: Wealth,
    /// The last day that had frames.
    tested: Drift,
    drifting: Option<Drifting>,
}

/// The frames of an interval. Its bet is one on their mean p-value: bets are linear in p, so the mean of the p-values
/// gives the mean of the frames' own bets, which is fair however much the frames of an interval depend on each other.
#[derive(Clone, Copy, Debug, Default)]
struct Interval {
    index: u64,
    frames: u64,
    /// Sums of p-values: how unusually large the energies are, and how unusually small.
    p_values: [f64; SIDES],
}

/// The bets of a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Day {
    frames: u64,
    p_values: f64,
    /// Natural logarithm of what each bet has made of 1.
    log_gains: [[f64; STAKES.len()]; SIDES],
}

/// What the bets of all days have made of a capital of 1.
///
/// Nobody knows the day on which a drift begins, and a bet that was placed before it may have lost everything. So the
/// capital is spread over all days to come: day k = 0, 1, 2, … gets 1 / ((k + 1) (k + 2)), which adds up to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Wealth {
    days: u64,
    placed: [[f64; STAKES.len()]; SIDES],
}

/// A drift that was told.
#[derive(Clone, Copy, Debug)]
struct Drifting {
    started_ms: u64,
    proved_ms: u64,
}

/// What a test knows, to be kept over a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DriftState {
    /// Which calibration it belongs to.
    calibration_frames: u64,
    calibration_crc: u32,
    into_day_ms: u64,
    day: Day,
    wealth: Wealth,
}

impl DriftTest {
    /// A test of energies against those of a calibration.
    pub fn new(region: String, settings: &DriftSettings, calibration: &Calibration) -> DriftTest {
        let evidence = settings.evidence.clamp(2.0, MOST_EVIDENCE);
        DriftTest {
            interval_ms: settings.every_s.max(1).saturating_mul(1000),
            evidence,
            tolerance: tolerance(calibration.len(), evidence),
            calibration_q16: calibration.energies_q16().into(),
            interval: Interval::default(),
            day_ends_ms: None,
            day: Day::default(),
            wealth: Wealth::default(),
            tested: Drift { region, evidence: 1.0, mean_p_value: 0.5, frames: 0 },
            drifting: None,
        }
    }

    /// Takes the energies of a frame's tiles. Evidence is weighed at the end of each day (24 hours of the monotonic
    /// clock): a day has all of its light in it, so that a night is no drift.
    pub fn scored(&mut self, tiles_q16: impl Iterator<Item = i64>, now_ms: u64) -> Option<Told> {
        let index = now_ms / self.interval_ms;
        if self.interval.index != index {
            self.day.bet(&self.interval, self.tolerance);
            self.interval = Interval { index, ..Interval::default() };
        }
        let ends_ms = *self.day_ends_ms.get_or_insert(now_ms.saturating_add(DAY_MS));
        let told = if now_ms < ends_ms {
            None
        } else {
            self.day_ends_ms = Some(now_ms.saturating_add(DAY_MS));
            self.weigh(now_ms)
        };
        tiles_q16.for_each(|energy_q16| self.count(energy_q16));
        told
    }

    /// Ends a drift that is open.
    pub fn close(&mut self) -> Option<Told> {
        let drifting = self.drifting.take()?;
        Some(self.tell(Phase::End, drifting.started_ms))
    }

    /// The drift that is open, as an update would tell it now.
    pub fn told(&self) -> Option<Told> {
        let drifting = self.drifting.as_ref()?;
        Some(self.tell(Phase::Update, drifting.started_ms))
    }

    /// Whether a drift is open.
    pub fn is_drifting(&self) -> bool {
        self.drifting.is_some()
    }

    /// The evidence, and of the last day that was weighed the rest.
    pub fn tested(&self) -> &Drift {
        &self.tested
    }

    /// What is to be kept over a restart; a drift that is open is not: it will be proved anew.
    pub fn state(&self, now_ms: u64) -> DriftState {
        let left_ms = self.day_ends_ms.map_or(DAY_MS, |ends_ms| ends_ms.saturating_sub(now_ms));
        DriftState {
            calibration_frames: self.calibration_q16.len() as u64,
            calibration_crc: self.calibration_crc(),
            into_day_ms: DAY_MS - left_ms.min(DAY_MS),
            day: self.day,
            wealth: self.wealth,
        }
    }

    /// Goes on where a test before the restart was; says whether it did. A state of another calibration, or one that
    /// makes no sense, is left alone.
    pub fn resume(&mut self, state: &DriftState, now_ms: u64) -> bool {
        let sums =
            [state.day.p_values].into_iter().chain(state.day.log_gains.into_iter().flatten());
        let sane = sums.into_iter().all(f64::is_finite)
            && state.day.p_values >= 0.0
            && state.wealth.placed.iter().flatten().all(|w| (0.0..=MOST_EVIDENCE).contains(w))
            && state.into_day_ms <= DAY_MS;
        let same = state.calibration_frames == self.calibration_q16.len() as u64
            && state.calibration_crc == self.calibration_crc();
        if sane && same {
            (self.day, self.wealth) = (state.day, state.wealth);
            self.day_ends_ms = Some(now_ms.saturating_add(DAY_MS - state.into_day_ms));
        }
        sane && same
    }

    fn calibration_crc(&self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        self.calibration_q16.iter().for_each(|energy| crc.update(&energy.to_le_bytes()));
        crc.finalize()
    }

    /// Ties with calibration energies count against the bet on either side.
    fn count(&mut self, energy_q16: i64) {
        let n = self.calibration_q16.len();
        let below = self.calibration_q16.partition_point(|&e| e < energy_q16);
        let up_to = below + self.calibration_q16[below..].partition_point(|&e| e <= energy_q16);
        let p_value = |as_unusual: usize| (1 + as_unusual) as f64 / (n + 1) as f64;
        self.interval.frames += 1;
        self.interval.p_values[0] += p_value(n - below);
        self.interval.p_values[1] += p_value(up_to);
    }

    fn weigh(&mut self, now_ms: u64) -> Option<Told> {
        let day = std::mem::take(&mut self.day);
        if day.frames > 0 {
            self.tested.mean_p_value = day.p_values / day.frames as f64;
            self.tested.frames = day.frames;
        }
        self.tested.evidence = self.wealth.add(&day);
        if self.tested.evidence < self.evidence {
            let since_ms = now_ms.saturating_sub(self.drifting?.proved_ms);
            return if since_ms < QUIET_MS { None } else { self.close() };
        }
        // The capital is won: the next proof needs frames of its own.
        self.wealth = Wealth::default();
        let known = self.drifting.is_some();
        let started_ms = now_ms.saturating_sub(DAY_MS);
        let drifting = self.drifting.get_or_insert(Drifting { started_ms, proved_ms: now_ms });
        drifting.proved_ms = now_ms;
        let started_ms = drifting.started_ms;
        Some(self.tell(if known { Phase::Update } else { Phase::Start }, started_ms))
    }

    fn tell(&self, phase: Phase, started_ms: u64) -> Told {
        Told { phase, started_ms, cause: Cause::Drift(self.tested.clone()) }
    }
}

impl Day {
    fn bet(&mut self, interval: &Interval, tolerance: f64) {
        if interval.frames == 0 {
            return;
        }
        self.frames = self.frames.saturating_add(interval.frames);
        self.p_values += interval.p_values[0];
        for (gains, sum) in self.log_gains.iter_mut().zip(interval.p_values) {
            let mean = sum / interval.frames as f64;
            let edge = (1.0 - 2.0 * (mean + tolerance)) / (1.0 + 2.0 * tolerance);
            for (gain, stake) in gains.iter_mut().zip(STAKES) {
                *gain += libm::log(1.0 + stake * edge);
            }
        }
    }
}

impl Wealth {
    /// Adds a day, and gives what there is now: what was placed and what is left for the days to come.
    fn add(&mut self, day: &Day) -> f64 {
        let k = self.days as f64;
        let share = 1.0 / ((k + 1.0) * (k + 2.0)) / (SIDES * STAKES.len()) as f64;
        for (placed, log_gain) in self.placed.iter_mut().zip(&day.log_gains) {
            for (placed, log_gain) in placed.iter_mut().zip(log_gain) {
                *placed = ((*placed + share) * libm::exp(*log_gain)).min(MOST_EVIDENCE);
            }
        }
        self.days = self.days.saturating_add(1);
        let all = self.placed.iter().flatten().sum::<f64>() + 1.0 / (k + 2.0);
        all.min(MOST_EVIDENCE)
    }
}

/// By how much the mean p-value of normal frames may be below a half because the calibration is a sample of `n` frames,
/// but for a chance of 1 / evidence; at least what matters.
///
/// Given the calibration `c`, the mean is `(1 + Σ F(c_i)) / (n + 1)` with the distribution function F of energies, and
/// each `F(c_i)` is uniform on `[0, 1]` (or larger, where energies tie). A uniform number is sub-Gaussian with its own
/// variance 1/12, so the mean is below `1/2 − t` with a chance of at most `exp(−6 n t²)`; there are two sides.
fn tolerance(n: usize, evidence: f64) -> f64 {
    (libm::log(2.0 * evidence) / (6 * n) as f64).sqrt().max(LEAST_TOLERANCE)
}

#[cfg(test)]
mod tests;
