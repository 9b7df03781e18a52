//! How often frames are scored, and less often when the board is hot.

/// Section `[pace]`.
#[derive(Clone, Debug, PartialEq)]
pub struct PaceSettings {
    /// Most frames per second; 0 is no limit.
    pub max_fps: f64,
    /// From this temperature on, °C …
    pub hot_c: f64,
    /// … at most so many frames per second, until it is 5 °C cooler; 0 is no limit.
    pub hot_fps: f64,
}

impl Default for PaceSettings {
    fn default() -> PaceSettings {
        PaceSettings { max_fps: 10.0, hot_c: 75.0, hot_fps: 1.0 }
    }
}

/// Without a distance between hot and cool a board would go back and forth with each frame.
const COOLER_C: f64 = 5.0;
const MOST_EARLY_US: u64 = 50_000;

/// Lets frames through at an even pace.
#[derive(Clone, Debug)]
pub struct Pace {
    normal_us: u64,
    hot_us: u64,
    hot_c: f64,
    hot: bool,
    /// When the next frame is due, in microseconds; the first one is due at once.
    next_us: u64,
}

impl Pace {
    /// A pace at which the first frame is due at once.
    pub fn new(settings: &PaceSettings) -> Pace {
        let normal_us = interval_us(settings.max_fps);
        Pace {
            normal_us,
            hot_us: interval_us(settings.hot_fps).max(normal_us),
            hot_c: settings.hot_c,
            hot: false,
            next_us: 0,
        }
    }

    /// Whether a frame at `now_ms` may be scored.
    ///
    /// A frame may come a little before its time (half an interval, at most 50 ms), so that a camera of just this rate
    /// loses none to its jitter; the next one's time stays. Time without frames is not made up for. So any stretch of
    /// `t` seconds has at most `t · fps + 2` frames.
    pub fn due(&mut self, now_ms: u64, temperature_c: Option<f32>) -> bool {
        // A board without a thermometer is never hot; one that cannot be read for a while is as it was.
        if let Some(now_c) = temperature_c.map(f64::from) {
            self.hot = now_c >= if self.hot { self.hot_c - COOLER_C } else { self.hot_c };
        }
        let interval_us = if self.hot { self.hot_us } else { self.normal_us };
        let now_us = now_ms.saturating_mul(1000);
        // What was due at the slower pace may be due earlier now.
        self.next_us = self.next_us.min(now_us.saturating_add(interval_us + MOST_EARLY_US));
        if now_us.saturating_add((interval_us / 2).min(MOST_EARLY_US)) < self.next_us {
            return false;
        }
        let paused = now_us >= self.next_us.saturating_add(interval_us / 2);
        self.next_us = if paused { now_us } else { self.next_us }.saturating_add(interval_us);
        true
    }

    /// Whether frames are shed because of heat.
    pub fn is_hot(&self) -> bool {
        self.hot
    }
}

/// At most a day, so that no rate, however small, stops a device for good.
fn interval_us(fps: f64) -> u64 {
    if fps > 0.0 { ((1e6 / fps).round() as u64).min(86_400_000_000) } else { 0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn count(pace: &mut Pace, ms: impl Iterator<Item = u64>, temperature_c: Option<f32>) -> usize {
        ms.filter(|&ms| pace.due(ms, temperature_c)).count()
    }

    #[test]
    fn thirty_frames_a_second_become_ten() {
        let mut pace = Pace::new(&PaceSettings::default());
        let frames = (0..30 * 60).map(|i| i * 1000 / 30);
        let count = count(&mut pace, frames, None);
        assert!((600..=601).contains(&count), "{count}");
    }

    #[test]
    fn a_camera_of_just_that_rate_loses_nothing() {
        let mut pace = Pace::new(&PaceSettings { max_fps: 30.0, ..PaceSettings::default() });
        // 29.97 frames per second with jitter of some milliseconds.
        let frames = (0..2_000u64).map(|i| i * 33_367 / 1000 + [0, 9, 3, 12][i as usize % 4]);
        assert_eq!(count(&mut pace, frames, None), 2_000);
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let mut pace = Pace::new(&PaceSettings::default());
        assert!(pace.due(0, None));
        assert_eq!(count(&mut pace, 60_000..61_000, None), 11);
    }

    #[test]
    fn heat_slows_until_it_is_cooler_by_some_degrees() {
        let mut pace = Pace::new(&PaceSettings::default());
        let second = |s: u64| (s * 1000..(s + 1) * 1000).step_by(10);
        assert!(count(&mut pace, second(0), Some(74.9)) >= 10);
        assert!(count(&mut pace, second(1), Some(75.0)) <= 2);
        assert!(pace.is_hot());
        assert!(count(&mut pace, second(2), Some(70.1)) <= 2);
        assert!(count(&mut pace, second(3), None) <= 2, "unknown: as before");
        assert!(count(&mut pace, second(4), Some(69.9)) >= 9);
        assert!(!pace.is_hot());
    }

    #[test]
    fn odd_rates_do_no_harm() {
        for fps in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let settings = PaceSettings { max_fps: fps, hot_fps: fps, ..PaceSettings::default() };
            let mut pace = Pace::new(&settings);
            assert_eq!(count(&mut pace, 0..100, Some(90.0)), 100, "{fps}");
        }
        let mut pace = Pace::new(&PaceSettings { max_fps: 1e-300, ..PaceSettings::default() });
        assert_eq!(count(&mut pace, [0, 86_399_999, 86_400_000, u64::MAX].into_iter(), None), 3);
    }

    proptest! {
        #[test]
        fn no_stretch_of_time_has_more_frames_than_its_rate(
            gaps_ms in prop::collection::vec(0u64..400, 1..200),
            max_fps in 0.5f64..40.0,
        ) {
            let mut pace = Pace::new(&PaceSettings { max_fps, ..PaceSettings::default() });
            let mut now_ms = 0;
            let mut taken = Vec::new();
            for gap_ms in gaps_ms {
                now_ms += gap_ms;
                if pace.due(now_ms, None) {
                    taken.push(now_ms);
                }
            }
            for (i, first) in taken.iter().enumerate() {
                for (n, last) in taken[i..].iter().enumerate() {
                    let most = (last - first) as f64 * max_fps / 1000.0 + 2.0;
                    prop_assert!((n + 1) as f64 <= most + 1e-3, "{} in {} ms", n + 1, last - first);
                }
            }
        }
    }
}
