//! Which frames are worth scoring.

use super::Look;
use super::look::{COLUMNS, ROWS};

/// Section `[gate]`.
#[derive(Clone, Debug, PartialEq)]
pub struct GateSettings {
    /// Mean absolute change of luma, in grey levels, of the part of the frame that changed most (of 8 × 6 parts), from
    /// which on a frame is scored. 0 scores all.
    pub change: f64,
    /// A frame is scored at least this often, whatever changed.
    pub floor_s: u64,
}

impl Default for GateSettings {
    fn default() -> GateSettings {
        GateSettings { change: 0.0, floor_s: 10 }
    }
}

/// Side of a part in cells: a change is sought in each part by itself, because the mean over a whole frame would not
/// see a small thing.
const PART: usize = 4;

/// Compares each frame with the last one that was scored, so that slow changes add up until they are seen.
#[derive(Clone, Debug)]
pub struct Change {
    /// Of the cells of a part together, in 1/256 of a grey level; 0 scores all.
    change_sum_q8: u32,
    floor_ms: u64,
    scored: Option<(Look, u64)>,
}

impl Change {
    /// A gate that lets the first frame through.
    pub fn new(settings: &GateSettings) -> Change {
        Change {
            // The conversion saturates: what is no positive number scores all.
            change_sum_q8: (settings.change * 256.0 * (PART * PART) as f64).round() as u32,
            floor_ms: settings.floor_s.saturating_mul(1000),
            scored: None,
        }
    }

    /// Whether a frame is to be scored, and if so, takes it as the one to compare with.
    ///
    /// `attentive` opens the gate: while a decision is pending (flagged frames of which more are needed, an event that
    /// must end some time) a scene that stands still is as telling as one that moves.
    pub fn due(&mut self, look: &Look, now_ms: u64, attentive: bool) -> bool {
        let due = attentive
            || self.change_sum_q8 == 0
            || self.scored.as_ref().is_none_or(|(last, at_ms)| {
                now_ms.saturating_sub(*at_ms) >= self.floor_ms
                    || largest_change(last, look) >= self.change_sum_q8
            });
        if due {
            self.scored = Some((look.clone(), now_ms));
        }
        due
    }
}

/// Sum of the absolute changes of a part's cells in 1/256 of a grey level, of the part where it is largest.
fn largest_change(before: &Look, after: &Look) -> u32 {
    let mut parts = [0u32; COLUMNS / PART * (ROWS / PART)];
    for (cell, (a, b)) in before.cells_q8().iter().zip(after.cells_q8()).enumerate() {
        let (column, row) = (cell % COLUMNS, cell / COLUMNS);
        parts[row / PART * (COLUMNS / PART) + column / PART] += u32::from(a.abs_diff(*b));
    }
    parts.into_iter().max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Rgb;

    /// A grey picture with a bright square.
    fn look(square: Option<(u32, u32)>, side: u32, contrast: u8) -> Look {
        let (width, height) = (320, 240);
        let inside = |x: u32, y: u32| {
            square.is_some_and(|(left, top)| {
                (left..left + side).contains(&x) && (top..top + side).contains(&y)
            })
        };
        let pixels = (0..width * height)
            .flat_map(|i| [100 + if inside(i % width, i / width) { contrast } else { 0 }; 3])
            .collect();
        Look::at(&Rgb { width, height, pixels })
    }

    #[test]
    fn all_frames_are_scored_at_a_change_of_nothing() {
        assert!(Change::new(&GateSettings { change: f64::INFINITY, floor_s: u64::MAX }).due(
            &look(None, 0, 0),
            0,
            false
        ));
        for change in [0.0, -1.0, f64::NAN] {
            let mut gate = Change::new(&GateSettings { change, floor_s: 10 });
            assert!((0..5).all(|ms| gate.due(&look(None, 0, 0), ms, false)), "{change}");
        }
    }

    #[test]
    fn a_frame_is_scored_when_something_moved_or_time_is_up() {
        let mut gate = Change::new(&GateSettings { change: 1.0, floor_s: 10 });
        let still = look(None, 0, 0);
        assert!(gate.due(&still, 0, false), "the first");
        assert!(!gate.due(&still, 9_999, false));
        assert!(gate.due(&still, 10_000, false), "time is up");
        // 8 × 8 pixels of the 40 × 40 of a part: a mean change of 0.04 times the contrast.
        assert!(!gate.due(&look(Some((4, 4)), 8, 24), 10_100, false));
        assert!(gate.due(&look(Some((4, 4)), 8, 26), 10_200, false));
        assert!(gate.due(&still, 10_300, false), "and its going away");
    }

    #[test]
    fn a_slow_change_adds_up() {
        let mut gate = Change::new(&GateSettings { change: 4.0, floor_s: 1_000 });
        let steps = (0u8..20).map(|step| look(Some((0, 0)), 320, step));
        let scored: Vec<u64> = (0..)
            .zip(steps)
            .filter_map(|(ms, look)| gate.due(&look, ms, false).then_some(ms))
            .collect();
        assert_eq!(scored, [0, 4, 8, 12, 16]);
    }

    #[test]
    fn a_pending_decision_opens_the_gate() {
        let mut gate = Change::new(&GateSettings { change: 1.0, floor_s: 10 });
        let still = look(None, 0, 0);
        assert!(gate.due(&still, 0, false));
        assert!(gate.due(&still, 100, true));
        assert!(!gate.due(&still, 10_099, false), "the floor counts from the last one");
        assert!(gate.due(&still, 10_100, false));
    }
}
