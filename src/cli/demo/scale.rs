//! How energies are drawn: calm ones and outrageous ones in one picture.

use oddsight::verdict::Calibration;

/// Linear from below the calibration's median up to the threshold, logarithmic above it.
#[derive(Clone, Copy, Debug)]
pub struct EnergyScale {
    pub median: f64,
    pub threshold: f64,
}

/// How far below the median the drawing starts, in distances from the median to the threshold.
const FLOOR: f64 = -1.2;
/// Where it ends, in the same unit.
const TOP: f64 = 60.0;

impl EnergyScale {
    pub fn new(calibration: &Calibration, threshold_q16: i64) -> EnergyScale {
        let energies = calibration.energies_q16();
        let plain = |q16: i64| q16 as f64 / 65_536.0;
        EnergyScale { median: plain(energies[energies.len() / 2]), threshold: plain(threshold_q16) }
    }

    /// Height of an energy, from 0 to 1.
    pub fn height(&self, energy: f64) -> f64 {
        let unit = (self.threshold - self.median).max(1e-9);
        let distance = ((energy - self.median) / unit).clamp(FLOOR, TOP);
        let bent = |x: f64| if x <= 1.0 { x } else { 1.0 + x.ln() };
        (bent(distance) - FLOOR) / (bent(TOP) - FLOOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_rise_and_stay_in_the_picture() {
        let calibration = Calibration::new((0..100).map(|e| e << 16).collect()).unwrap();
        let scale = EnergyScale::new(&calibration, 95 << 16);
        assert_eq!((scale.median, scale.threshold), (50.0, 95.0));
        let heights = [-1e9, 20.0, 50.0, 95.0, 200.0, 900.0, 1e9].map(|e| scale.height(e));
        assert!(heights.is_sorted_by(|a, b| a < b || (a, b) == (&1.0, &1.0)), "{heights:?}");
        assert_eq!((heights[0], heights[6]), (0.0, 1.0));
    }
}
