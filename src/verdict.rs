//! From an energy to a p-value and a verdict.
//!
//! Calibration keeps the sorted energies of held-out normal frames. A new energy becomes a conformal
//! p-value `p = (1 + #{calibration ≥ energy}) / (n + 1)` (Vovk et al. 2005, eq. 2.19 without
//! smoothing): when the frame is exchangeable with the calibration frames, P(p ≤ α) ≤ α, whatever
//! the model.

use std::fmt;
use std::str::FromStr;

use crate::energy::HeadId;

/// What is said of one frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Composed energy; larger = more unusual.
    pub energy: f64,
    /// The same as signed Q47.16: what verdicts compare.
    pub energy_q16: i64,
    /// Share of normal frames at least as unusual, in (0, 1].
    pub p_value: f64,
    /// `p_value ≤ alpha`.
    pub unusual: bool,
    /// Name of the nearest class, where a head knows one.
    pub nearest: Option<String>,
    /// Each head's own energy.
    pub heads: Vec<HeadVerdict>,
}

/// One head's part of a [`Verdict`].
#[derive(Clone, Debug, PartialEq)]
pub struct HeadVerdict {
    pub id: HeadId,
    pub energy: f64,
    /// Part of the composed energy; `None` for a head outside the composition.
    pub share: Option<f64>,
}

/// A per-frame false-alarm rate, strictly between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Alpha(f64);

impl Alpha {
    /// Refuses anything outside of (0, 1).
    pub fn new(alpha: f64) -> Result<Alpha, VerdictError> {
        if alpha > 0.0 && alpha < 1.0 {
            Ok(Alpha(alpha))
        } else {
            Err(VerdictError::new(
                VerdictErrorKind::Alpha,
                format!("alpha {alpha} is not between 0 and 1; 0.05 flags 1 normal frame in 20"),
            ))
        }
    }

    /// The rate.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl FromStr for Alpha {
    type Err = VerdictError;

    fn from_str(text: &str) -> Result<Alpha, VerdictError> {
        let number = text.parse().map_err(|_| {
            let why = format!("alpha `{text}` is not a number; try 0.05");
            VerdictError::new(VerdictErrorKind::Alpha, why)
        })?;
        Alpha::new(number)
    }
}

/// Energies of held-out normal frames, sorted, as signed Q47.16.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    sorted_q16: Vec<i64>,
}

impl Calibration {
    /// Sorts the energies; refuses an empty set.
    pub fn new(mut energies_q16: Vec<i64>) -> Result<Calibration, VerdictError> {
        if energies_q16.is_empty() {
            let why = "no calibration energies: hold out some normal frames".into();
            return Err(VerdictError::new(VerdictErrorKind::NoCalibration, why));
        }
        energies_q16.sort_unstable();
        Ok(Calibration { sorted_q16: energies_q16 })
    }

    /// Number of calibration frames.
    pub fn len(&self) -> usize {
        self.sorted_q16.len()
    }

    /// Never: a calibration has at least one frame.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The energies, ascending.
    pub fn energies_q16(&self) -> &[i64] {
        &self.sorted_q16
    }

    /// `(1 + #{calibration ≥ energy}) / (n + 1)`.
    pub fn p_value(&self, energy_q16: i64) -> f64 {
        let below = self.sorted_q16.partition_point(|&e| e < energy_q16);
        (1 + self.len() - below) as f64 / (self.len() + 1) as f64
    }

    /// The smallest alpha that this calibration can honour, `1 / (n + 1)`.
    pub fn smallest_alpha(&self) -> f64 {
        1.0 / (self.len() + 1) as f64
    }

    /// Refuses an alpha that needs more calibration frames, naming how many.
    pub fn check(&self, alpha: Alpha) -> Result<(), VerdictError> {
        self.check_for(alpha, 1)
    }

    /// As [`Calibration::check`], for a region of so many tiles, each of which has its part of alpha: with fewer frames no
    /// tile could ever flag it.
    pub fn check_for(&self, alpha: Alpha, tiles: u32) -> Result<(), VerdictError> {
        let parts = f64::from(tiles.max(1));
        let alpha = alpha.get();
        if alpha / parts >= self.smallest_alpha() {
            return Ok(());
        }
        let (each, fewer) = match tiles {
            0 | 1 => (String::new(), ""),
            _ => (format!(", shared by {tiles} tiles,"), "fewer tiles, "),
        };
        Err(VerdictError::new(
            VerdictErrorKind::Alpha,
            format!(
                "alpha {alpha}{each} cannot be honoured by {} calibration frames: the smallest is {:.3e}; use that, \
                 {fewer}or calibrate with {} frames or more",
                self.len(),
                self.smallest_alpha() * parts,
                (parts / alpha).ceil() - 1.0,
            ),
        ))
    }

    /// The energy that a frame must exceed to be unusual at `alpha`; `i64::MAX` when none can be.
    pub fn threshold_q16(&self, alpha: Alpha) -> i64 {
        let n = self.len();
        // `p ≤ alpha` allows at most `above` calibration energies at or above the frame's.
        let allowed = |above: usize| (above + 1) as f64 / (n + 1) as f64 <= alpha.get();
        match (0..n).rev().find(|&above| allowed(above)) {
            Some(above) => self.sorted_q16[n - 1 - above],
            None => i64::MAX,
        }
    }
}

/// Why a calibration or an alpha was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictError {
    kind: VerdictErrorKind,
    why: String,
}

/// The kinds of [`VerdictError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerdictErrorKind {
    /// An alpha that is no rate, or too small for the calibration.
    Alpha,
    /// A calibration without frames.
    NoCalibration,
}

impl VerdictError {
    fn new(kind: VerdictErrorKind, why: String) -> VerdictError {
        VerdictError { kind, why }
    }

    /// What went wrong, for programs.
    pub fn kind(&self) -> VerdictErrorKind {
        self.kind
    }
}

impl fmt::Display for VerdictError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for VerdictError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn alpha(a: f64) -> Alpha {
        Alpha::new(a).unwrap()
    }

    #[test]
    fn p_values_count_ties_as_unusual() {
        let calibration = Calibration::new(vec![30, 10, 20, 20]).unwrap();
        let p: Vec<f64> = [31, 30, 20, 10, 9].map(|e| calibration.p_value(e)).into();
        assert_eq!(p, [0.2, 0.4, 0.8, 1.0, 1.0]);
    }

    #[test]
    fn an_alpha_that_the_calibration_cannot_honour_is_refused() {
        let calibration = Calibration::new((0..99).collect()).unwrap();
        assert!(calibration.check(alpha(0.01)).is_ok());
        let refused = calibration.check(alpha(0.005)).unwrap_err();
        assert!(refused.to_string().contains("199 frames"), "{refused}");
        assert!(Alpha::new(0.0).is_err() && Alpha::new(f64::NAN).is_err());
    }

    proptest! {
        #[test]
        fn the_threshold_is_the_verdict(
            energies in prop::collection::vec(-50i64..50, 1..60),
            energy in -60i64..60,
            rate in 0.001f64..0.999,
        ) {
            let calibration = Calibration::new(energies).unwrap();
            let unusual = calibration.p_value(energy) <= rate;
            prop_assert_eq!(unusual, energy > calibration.threshold_q16(alpha(rate)));
        }

        /// Conformal validity, exactly: over all choices of the test frame among n + 1 exchangeable
        /// ones, at most a share alpha is flagged.
        #[test]
        fn at_most_alpha_of_exchangeable_frames_are_flagged(
            energies in prop::collection::vec(-20i64..20, 2..50),
            rate in 0.001f64..0.999,
        ) {
            let flagged = (0..energies.len())
                .filter(|&i| {
                    let mut rest = energies.clone();
                    let test = rest.remove(i);
                    Calibration::new(rest).unwrap().p_value(test) <= rate
                })
                .count();
            prop_assert!(flagged as f64 <= rate * energies.len() as f64);
        }
    }
}
