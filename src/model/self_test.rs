//! The self-test: a few seeded frames and the energies that they must give on any machine.
//!
//! Two things are checked. From stored features to the energy everything is integer arithmetic, so
//! the energy must be equal to the last bit. From the seeded frame to the
//! energy the backbone takes part; a float backbone is planned by tract for the machine at hand, so
//! that energy may differ by the stored tolerance, which is zero for an integer backbone.

use serde::{Deserialize, Serialize};

use super::{ModelError, Scorer};
use crate::backbone::Features;
use crate::energy::Scores;
use crate::image::Rgb;
use crate::random::Random;

/// The stored self-test of a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SelfTest {
    pub frames: Vec<SelfTestFrame>,
}

/// One seeded frame and what it gave when the model was packed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelfTestFrame {
    /// Seed of [`picture`].
    pub seed: u64,
    /// Width and height of the picture, in pixels.
    pub size: [u32; 2],
    /// What the backbone gave.
    pub features: Features,
    /// Composed energy, signed Q47.16.
    pub energy_q16: i64,
    /// How far the energy from the picture may be off.
    pub tolerance_q16: i64,
}

/// A float backbone may move a self-test energy by this share of its size: different CPUs sum in
/// different orders, and energies of frames that are nothing like normal ones magnify it.
const FLOAT_TOLERANCE: f64 = 1e-3;

/// How far an energy may be off where floats take part.
pub(super) fn float_tolerance_q16(energy_q16: i64) -> i64 {
    let size = (energy_q16 as f64).abs().max(65536.0);
    (size * FLOAT_TOLERANCE) as i64
}

impl SelfTest {
    /// Records the self-test of a scorer: three frames of sizes that use each resize path.
    pub fn record(scorer: &mut Scorer) -> Result<SelfTest, ModelError> {
        let [width, height] = scorer.parts.blob.preprocess.crop;
        let sizes = [[width, height], [width * 2 + 3, height + 5], [width / 2 + 1, height / 2 + 7]];
        let mut frames = Vec::new();
        for (seed, size) in (1..).zip(sizes) {
            let features = scorer.features(&picture(seed, size))?;
            let energy_q16 = energy_q16(scorer, &features);
            let tolerance_q16 = match scorer.parts.backbone.is_integer() {
                true => 0,
                false => float_tolerance_q16(energy_q16),
            };
            frames.push(SelfTestFrame { seed, size, features, energy_q16, tolerance_q16 });
        }
        Ok(SelfTest { frames })
    }

    pub(super) fn check(&self, width: usize, classes: usize) -> Result<(), String> {
        let fits = |f: &SelfTestFrame| {
            f.features.avg.len() == width
                && f.features.std.len() == width
                && f.features.logits.len() == classes
                && f.tolerance_q16 >= 0
                && f.size.iter().all(|side| (1..=16384).contains(side))
        };
        if !self.frames.is_empty() && self.frames.iter().all(fits) {
            Ok(())
        } else {
            Err("its self-test is missing or does not fit the backbone".into())
        }
    }

    pub(super) fn run(&self, scorer: &mut Scorer) -> Result<(), String> {
        for frame in &self.frames {
            let heads_q16 = energy_q16(scorer, &frame.features);
            if heads_q16 != frame.energy_q16 {
                return Err(format!(
                    "self-test frame {}: the heads give energy {heads_q16}/65536, {} was stored; \
                     this program does not compute what the model was packed with",
                    frame.seed, frame.energy_q16
                ));
            }
            let picture = picture(frame.seed, frame.size);
            let features = scorer.features(&picture).map_err(|e| e.to_string())?;
            let energy_q16 = energy_q16(scorer, &features);
            if energy_q16.abs_diff(frame.energy_q16) > frame.tolerance_q16 as u64 {
                return Err(format!(
                    "self-test frame {}: energy {energy_q16}/65536 differs from the stored {} by \
                     more than {}; the backbone does not compute what it did when it was packed",
                    frame.seed, frame.energy_q16, frame.tolerance_q16
                ));
            }
        }
        Ok(())
    }
}

fn energy_q16(scorer: &mut Scorer, features: &Features) -> i64 {
    let mut scores = Scores::default();
    scorer.energies(features, &mut scores);
    scores.energy_q16
}

/// A seeded picture of coloured blocks under fine noise. Part of the file format: never change it.
pub fn picture(seed: u64, [width, height]: [u32; 2]) -> Rgb {
    const BLOCKS: usize = 8;
    let mut random = Random::new(seed);
    let blocks: Vec<u8> =
        (0..BLOCKS * BLOCKS * 3).map(|_| (random.next_u64() >> 56) as u8).collect();
    let mut pixels = Vec::with_capacity(width as usize * height as usize * 3);
    for y in 0..height as usize {
        for x in 0..width as usize {
            let block = y * BLOCKS / height as usize * BLOCKS + x * BLOCKS / width as usize;
            let noise = random.next_u64();
            for channel in 0..3 {
                let level = u16::from(blocks[block * 3 + channel]) * 7 / 8;
                pixels.push((level + (noise >> (8 * channel) & 31) as u16) as u8);
            }
        }
    }
    Rgb { width, height, pixels }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_is_frozen() {
        let picture = picture(1, [13, 9]);
        assert_eq!(crc32fast::hash(&picture.pixels), 1_990_005_533);
    }
}
