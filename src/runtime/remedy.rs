//! A camera whose frames show nothing is closed and opened again: some come to themselves by that.
//!
//! Silence and loss are the business of [`Supervised`](crate::camera::Supervised), which sees no pictures. Dark and glare
//! are no trouble of the camera.

use crate::event::FaultKind;

/// So many times the time that a silent camera has.
const PATIENCE: u64 = 10;

/// It is tried ever more rarely, but this often at least.
const RAREST_MS: u64 = 3_600_000;

/// When the camera is to be opened again.
#[derive(Clone, Copy, Debug)]
pub struct Remedy {
    first_ms: u64,
    pause_ms: u64,
    /// When the last frame was good, or the remedy was last tried.
    since_ms: u64,
}

impl Remedy {
    /// For a camera that is silent for `stall_ms` at most.
    pub fn new(stall_ms: u64, now_ms: u64) -> Remedy {
        let first_ms = stall_ms.saturating_mul(PATIENCE).min(RAREST_MS);
        Remedy { first_ms, pause_ms: first_ms, since_ms: now_ms }
    }

    /// A frame shows something.
    pub fn good(&mut self, now_ms: u64) {
        (self.pause_ms, self.since_ms) = (self.first_ms, now_ms);
    }

    /// Whether it is time, while this fault goes on.
    pub fn is_due(&mut self, fault: FaultKind, now_ms: u64) -> bool {
        use FaultKind::{Frozen, Truncated, Undecodable, WrongSize};
        let helps = matches!(fault, Truncated | Undecodable | Frozen | WrongSize);
        if !helps || now_ms.saturating_sub(self.since_ms) < self.pause_ms {
            return false;
        }
        self.since_ms = now_ms;
        self.pause_ms = self.pause_ms.saturating_mul(2).min(RAREST_MS);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_ever_more_rarely() {
        let mut remedy = Remedy::new(5_000, 1_000);
        remedy.good(10_000);
        let tried: Vec<u64> =
            (10..100_000).filter(|s| remedy.is_due(FaultKind::Frozen, s * 1000)).collect();
        assert_eq!(tried[..4], [60, 160, 360, 760]);
        assert!(tried.windows(2).skip(8).all(|pair| pair[1] - pair[0] == 3600), "{tried:?}");
        remedy.good(100_000_000);
        assert!(!remedy.is_due(FaultKind::Frozen, 100_049_999));
        assert!(remedy.is_due(FaultKind::Frozen, 100_050_000));
    }

    #[test]
    fn a_night_is_no_trouble_of_the_camera() {
        let mut remedy = Remedy::new(5_000, 0);
        for fault in [FaultKind::Black, FaultKind::Saturated, FaultKind::Lost, FaultKind::Stalled] {
            assert!((0..100).all(|s| !remedy.is_due(fault, s * 1_000_000)));
        }
    }
}
