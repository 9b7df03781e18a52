//! Frames sorted by energy once, so that every resample is a vector of counts over that order.

use super::Separation;
use std::iter::repeat_n;

/// How often a frame is drawn, as a normal and as an unusual frame; one of the two is 0.
///
/// A slice of these holds the normal frames and then the unusual ones, and each kind is drawn as
/// often as it has frames.
pub(super) type Draws = [u32; 2];

/// The normal frames under one head.
pub(super) struct Normals {
    /// Energy and index into the draws, highest energy first.
    descending: Vec<(f64, u32)>,
}

impl Normals {
    pub(super) fn new(energies: &[f64]) -> Normals {
        Normals { descending: descending(energies.iter()) }
    }

    /// The 95th percentile of the drawn energies.
    pub(super) fn percentile_95(&self, draws: &[Draws]) -> f64 {
        let (below, weight) = position(self.descending.len(), 0.95);
        let rank_from_top = self.descending.len() - 1 - below;
        let mut top = self
            .descending
            .iter()
            .flat_map(|&(energy, frame)| repeat_n(energy, draws[frame as usize][0] as usize))
            .skip(rank_from_top.saturating_sub(1));
        let upper = top.next().expect("as many normal frames are drawn as there are");
        let lower = top.next().unwrap_or(upper);
        between(lower, upper, weight)
    }
}

/// The normal and the unusual frames under one head together.
pub(super) struct Ranking {
    /// Indices into the draws, highest energy first.
    frames: Vec<u32>,
    blocks: Vec<Block>,
    normal_total: f64,
    unusual_total: f64,
}

/// A run of frames with one energy.
struct Block {
    energy: f64,
    /// Where the run ends in [`Ranking::frames`].
    end: usize,
}

impl Ranking {
    pub(super) fn new(normal: &[f64], unusual: &[f64]) -> Ranking {
        let sorted = descending(normal.iter().chain(unusual));
        let mut end = 0;
        let blocks = sorted.chunk_by(|a, b| a.0 == b.0).map(|run| {
            end += run.len();
            Block { energy: run[0].0, end }
        });
        Ranking {
            blocks: blocks.collect(),
            frames: sorted.iter().map(|&(_, frame)| frame).collect(),
            normal_total: normal.len() as f64,
            unusual_total: unusual.len() as f64,
        }
    }

    /// All figures of one draw in one walk from the highest energy down; `threshold` is that of
    /// [`Normals::percentile_95`].
    ///
    /// Counts are whole numbers below 2³² and their products stay exact in a double below 2⁵³.
    pub(super) fn separation(&self, draws: &[Draws], threshold: f64) -> Separation {
        let (normal_total, unusual_total) = (self.normal_total, self.unusual_total);
        let (mut flagged, mut found, mut rejected) = (0.0, 0.0, 0.0);
        let (mut pairs_won, mut aupr_in, mut aupr_out) = (0.0, 0.0, 0.0);
        // To flag nothing finds no unusual frame and accepts all normal ones.
        let (mut fpr_at_vertex, mut accuracy) = (None, 0.5f64);
        let mut start = 0;
        for block in &self.blocks {
            let (mut normal, mut unusual) = (0, 0);
            for &frame in &self.frames[start..block.end] {
                let [as_normal, as_unusual] = draws[frame as usize];
                normal += as_normal;
                unusual += as_unusual;
            }
            start = block.end;
            let (normal, unusual) = (f64::from(normal), f64::from(unusual));

            // Of the frames with this energy or less; an empty block adds nothing to either sum.
            let (normal_left, unusual_left) = (normal_total - flagged, unusual_total - found);
            pairs_won += unusual * (normal_left - 0.5 * normal);
            aupr_in += normal * normal_left / (normal_left + unusual_left).max(1.0);

            flagged += normal;
            found += unusual;
            aupr_out += unusual * found / (flagged + found).max(1.0);
            if block.energy >= threshold {
                rejected = found;
            }
            let balanced = found / unusual_total + (normal_total - flagged) / normal_total;
            accuracy = accuracy.max(0.5 * balanced);
            if fpr_at_vertex.is_none() && 20.0 * found >= 19.0 * unusual_total {
                fpr_at_vertex = Some(flagged / normal_total);
            }
        }
        Separation {
            auroc: pairs_won / (normal_total * unusual_total),
            fpr_ood_at_95tpr_id: (unusual_total - rejected) / unusual_total,
            fpr_id_at_95tpr_ood: fpr_at_vertex.unwrap_or(1.0),
            aupr_in: aupr_in / normal_total,
            aupr_out: aupr_out / unusual_total,
            detection_accuracy: accuracy,
        }
    }
}

/// The percentile at `share` of an ascending, non-empty slice, as numpy's default computes it.
pub(crate) fn percentile(ascending: &[f64], share: f64) -> f64 {
    let (below, weight) = position(ascending.len(), share);
    let upper = ascending[(below + 1).min(ascending.len() - 1)];
    between(ascending[below], upper, weight)
}

/// Rank of the value below the percentile at `share` of `count` values, and the weight of the next.
pub(crate) fn position(count: usize, share: f64) -> (usize, f64) {
    let exact = (count - 1) as f64 * share;
    (exact as usize, exact.fract())
}

/// Linear interpolation in numpy's two-sided form, so that thresholds agree to the last bit.
pub(crate) fn between(lower: f64, upper: f64, weight: f64) -> f64 {
    let step = upper - lower;
    if weight < 0.5 { lower + step * weight } else { upper - step * (1.0 - weight) }
}

fn descending<'a>(energies: impl Iterator<Item = &'a f64>) -> Vec<(f64, u32)> {
    let mut sorted: Vec<(f64, u32)> = energies.copied().zip(0..).collect();
    sorted.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;
    use oddsight::random::Random;

    fn figures(normal: &[f64], unusual: &[f64], draws: &[Draws]) -> (f64, Separation) {
        let threshold = Normals::new(normal).percentile_95(draws);
        (threshold, Ranking::new(normal, unusual).separation(draws, threshold))
    }

    /// A frame drawn `n` times counts as `n` frames with its energy.
    #[test]
    fn a_draw_is_the_set_written_out() {
        let mut random = Random::new(11);
        for (normal_frames, unusual_frames) in [(1, 1), (2, 5), (20, 3), (21, 40), (301, 97)] {
            let mut set = |frames: usize, shift: f64| {
                let energies = (0..frames).map(|_| (20.0 * random.unit()).floor() + shift);
                let energies: Vec<f64> = energies.collect();
                let mut draws = vec![0; frames];
                for _ in 0..frames {
                    draws[random.below(frames as u64) as usize] += 1;
                }
                let drawn = energies.iter().zip(&draws).flat_map(|(&e, &n)| repeat_n(e, n));
                (drawn.collect::<Vec<f64>>(), energies, draws)
            };
            let (normal_drawn, normal, normal_draws) = set(normal_frames, 0.0);
            let (unusual_drawn, unusual, unusual_draws) = set(unusual_frames, 6.0);
            let as_normal = normal_draws.iter().map(|&n| [n as u32, 0]);
            let as_unusual = unusual_draws.iter().map(|&n| [0, n as u32]);
            let draws: Vec<Draws> = as_normal.chain(as_unusual).collect();

            let once = [vec![[1, 0]; normal_frames], vec![[0, 1]; unusual_frames]].concat();
            let expected = figures(&normal_drawn, &unusual_drawn, &once);
            assert_eq!(figures(&normal, &unusual, &draws), expected);
        }
    }
}
