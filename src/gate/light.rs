//! Sudden changes of the overall light: a lamp, a shutter, an infrared filter.

use std::collections::VecDeque;

use super::Look;

/// A change of light within this time is a jump, and a slower one is daylight.
const WINDOW_MS: u64 = 2_000;
/// Looks that are kept are at least so far apart, which bounds their number.
const SPACING_MS: u64 = 100;

/// Watches the mean luma for jumps.
#[derive(Clone, Debug)]
pub struct Light {
    jump_q8: u32,
    /// Mean luma in 1/256 of a grey level over the last [`WINDOW_MS`], the oldest first.
    past: VecDeque<(u64, u32)>,
}

impl Light {
    /// A jump is a change of the mean by `light_change` grey levels or more; 0 sees none.
    pub fn new(light_change: u8) -> Light {
        Light { jump_q8: u32::from(light_change) * 256, past: VecDeque::new() }
    }

    /// Whether the light has jumped with this frame: against any frame of the last two seconds, or against the frame
    /// before it, however old. A jump is told once.
    pub fn jumped(&mut self, look: &Look, now_ms: u64) -> bool {
        if self.jump_q8 == 0 {
            return false;
        }
        let mean = look.mean_q8();
        while self.past.len() > 1 && now_ms.saturating_sub(self.past[0].0) > WINDOW_MS {
            self.past.pop_front();
        }
        let jumped = self.past.iter().any(|&(_, before)| mean.abs_diff(before) >= self.jump_q8);
        if jumped {
            self.past.clear();
        }
        match self.past.back() {
            Some(&(at_ms, _)) if now_ms.saturating_sub(at_ms) < SPACING_MS => {}
            _ => self.past.push_back((now_ms, mean)),
        }
        jumped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Rgb;

    fn jumps(light_change: u8, frames: impl IntoIterator<Item = (u64, u8)>) -> Vec<u64> {
        let mut light = Light::new(light_change);
        frames
            .into_iter()
            .filter(|&(ms, grey)| {
                let picture = Rgb { width: 2, height: 1, pixels: vec![grey; 6] };
                light.jumped(&Look::at(&picture), ms)
            })
            .map(|(ms, _)| ms)
            .collect()
    }

    #[test]
    fn a_switch_is_a_jump_and_is_told_once() {
        let lamp = (0..100).map(|i| (i * 100, if (30..60).contains(&i) { 140 } else { 100 }));
        assert_eq!(jumps(40, lamp.clone()), [3_000, 6_000]);
        assert_eq!(jumps(41, lamp.clone()), [0; 0]);
        assert_eq!(jumps(0, lamp), [0; 0]);
    }

    #[test]
    fn a_fade_of_a_second_is_a_jump_and_dawn_is_none() {
        let fade = |steps: u64| {
            (0..steps + 50).map(move |i| (i * 40, (60 + 100 * i.min(steps) / steps) as u8))
        };
        assert_eq!(jumps(40, fade(25)).len(), 2, "100 levels within a second");
        assert_eq!(jumps(40, fade(250)), [0; 0], "100 levels within ten seconds");
    }

    #[test]
    fn a_rare_frame_is_compared_with_the_one_before() {
        assert_eq!(jumps(40, [(0, 50), (600_000, 100), (1_200_000, 95)]), [600_000]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut light = Light::new(200);
        let look = Look::at(&Rgb { width: 1, height: 1, pixels: vec![9; 3] });
        for ms in 0..10_000 {
            light.jumped(&look, ms);
            assert!(light.past.len() <= 22, "{}", light.past.len());
        }
    }
}
