//! One verdict on a region that is scored in several tiles.

use crate::verdict::{Alpha, Verdict};

/// The verdict of the most unusual tile, with the p-value of all of them: `T · p` for the smallest `p` of `T` tiles, at
/// most 1. A normal frame has `T` chances to look unusual, and this keeps the region's rate of flagged frames at alpha
/// or below, however the tiles depend on each other (Bonferroni). `None` without tiles.
pub fn join(tiles: &[Verdict], alpha: Alpha) -> Option<Verdict> {
    let first = tiles.first()?;
    let worst = tiles
        .iter()
        .fold(first, |worst, tile| if tile.energy_q16 > worst.energy_q16 { tile } else { worst });
    let mut verdict = worst.clone();
    if tiles.len() > 1 {
        verdict.p_value = (worst.p_value * tiles.len() as f64).min(1.0);
        verdict.unusual = verdict.p_value <= alpha.get();
    }
    Some(verdict)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::verdict::Calibration;

    fn alpha(rate: f64) -> Alpha {
        Alpha::new(rate).unwrap()
    }

    fn verdict(energy_q16: i64, calibration: &Calibration, alpha: Alpha) -> Verdict {
        let p_value = calibration.p_value(energy_q16);
        let unusual = p_value <= alpha.get();
        let energy = energy_q16 as f64 / 65536.0;
        Verdict { energy, energy_q16, p_value, unusual, nearest: None, heads: Vec::new() }
    }

    #[test]
    fn one_tile_is_its_own_verdict() {
        let calibration = Calibration::new((0..99).collect()).unwrap();
        let tile = verdict(97, &calibration, alpha(0.02));
        assert_eq!(join(std::slice::from_ref(&tile), alpha(0.02)), Some(tile));
        assert_eq!(join(&[], alpha(0.02)), None);
    }

    #[test]
    fn the_worst_of_four_must_be_four_times_as_unusual() {
        let calibration = Calibration::new((0..99).collect()).unwrap();
        let tiles = |worst: i64| [3, worst, 50, 20].map(|e| verdict(e, &calibration, alpha(0.04)));
        let joined = join(&tiles(98), alpha(0.04)).unwrap();
        assert_eq!((joined.energy_q16, joined.p_value, joined.unusual), (98, 0.08, false));
        let joined = join(&tiles(99), alpha(0.04)).unwrap();
        assert_eq!((joined.p_value, joined.unusual), (0.04, true));
        assert_eq!(join(&tiles(51), alpha(0.04)).unwrap().p_value, 1.0);
    }

    #[test]
    fn the_calibration_must_honour_the_alpha_of_a_tile() {
        let calibration = Calibration::new((0..99).collect()).unwrap();
        assert!(calibration.check_for(alpha(0.04), 4).is_ok());
        assert!(calibration.check_for(alpha(0.04), 5).is_err());
    }

    /// Conformal validity of the joined verdict: over calibrations and frames of normal tiles that go with each other
    /// or not, at most a share alpha is flagged.
    #[test]
    fn at_most_alpha_of_normal_frames_are_flagged() {
        let mut random = Random::new(11);
        for same in [0.0, 0.9] {
            let energy = |shared: f64, random: &mut Random| {
                ((same * shared + (1.0 - same) * random.unit()) * 1e6) as i64
            };
            let mut flagged = 0;
            for _ in 0..4000 {
                let energies = (0..199).map(|_| {
                    let shared = random.unit();
                    energy(shared, &mut random)
                });
                let calibration = Calibration::new(energies.collect()).unwrap();
                let shared = random.unit();
                let tiles: Vec<Verdict> = (0..6)
                    .map(|_| verdict(energy(shared, &mut random), &calibration, alpha(0.1)))
                    .collect();
                flagged += u32::from(join(&tiles, alpha(0.1)).unwrap().unusual);
            }
            // Four standard deviations of the count above alpha.
            assert!(flagged <= 400 + 76, "{flagged} of 4000, alpha 0.1");
        }
    }
}
