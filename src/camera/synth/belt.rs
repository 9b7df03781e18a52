//! What is always there: the belt with its weave, wear and seams, and the two side rails.

use super::SIDE;
use super::canvas::Canvas;
use super::noise::{cloud, floor, lattice};
use super::plane::{V2, v};

/// Width of a side rail in pixels.
pub(super) const RAIL_PX: f32 = 12.0;
/// Distance between two seams of the belt in pixels.
const SEAM_EVERY_PX: f64 = 430.0;

/// A belt of one make; `seed` decides its wear.
#[derive(Clone, Copy, Debug)]
pub(super) struct Belt {
    pub seed: u32,
    /// Reflectance of the clean rubber.
    pub color: [f32; 3],
}

impl Belt {
    /// Draws the belt after `travel_px` of its way, and the rails.
    pub fn draw(&self, canvas: &mut Canvas, travel_px: f64, shake: V2) {
        // Within stretches that f32 resolves well; the belt is that long before it repeats.
        let start = (-travel_px).rem_euclid(65_536.0) as f32;
        let seam = (self.seed % 430) as f64 - travel_px;
        let seam = (seam.rem_euclid(SEAM_EVERY_PX) - SEAM_EVERY_PX / 2.0) as f32;
        canvas.each(|pixel, at| {
            let at = at - shake;
            let edge = at.y.min(SIDE as f32 - at.y);
            *pixel =
                if edge < RAIL_PX { rail(at, edge) } else { self.rubber(at, edge, start, seam) };
        });
    }

    /// `start` is where on the belt the left border is; `seam` is its distance to a seam.
    fn rubber(&self, at: V2, edge: f32, start: f32, seam: f32) -> [f32; 3] {
        let u = start + at.x;
        let weave = wave((u + at.y) / 4.5) * wave((u - at.y) / 4.5);
        let wear = 0.07 * cloud(self.seed, u * 0.16, at.y * 0.16)
            + 0.09 * cloud(self.seed ^ 1, u * 0.02, at.y * 0.05)
            + 0.06 * cloud(self.seed ^ 2, u * 0.008, at.y * 0.55);
        let mut level = 1.0 + 0.07 * weave + wear + seam_mark(seam + at.x + at.y * 0.22, at.y);
        // The rails shade the edges of the belt.
        level *= 1.0 - 0.45 * (1.0 - (edge - RAIL_PX) / 7.0).clamp(0.0, 1.0);
        self.color.map(|c| c * level)
    }
}

/// Change of brightness at a distance `off` from where two ends of the belt were joined: a groove
/// between two rows of stitches.
fn seam_mark(off: f32, y: f32) -> f32 {
    if off.abs() > 7.0 {
        return 0.0;
    }
    let groove = -0.5 * (1.6 - off.abs()).clamp(0.0, 1.0);
    let thread = (1.5 - (off.abs() - 5.0).abs()).clamp(0.0, 1.0);
    groove + if wave(y / 6.0) > 0.0 { 0.55 * thread } else { 0.0 }
}

/// A triangle wave of period 1 between -1 and 1.
fn wave(x: f32) -> f32 {
    let phase = x - floor(x) as f32;
    1.0 - 4.0 * (phase - 0.5).abs()
}

/// Extruded aluminium: a rounded profile with a groove, and screws that do not move with the belt.
fn rail(at: V2, edge: f32) -> [f32; 3] {
    let profile = [0.30, 0.42, 0.50, 0.46, 0.34, 0.20, 0.30, 0.44, 0.48, 0.42, 0.30, 0.16];
    let level = profile[(edge.max(0.0) as usize).min(profile.len() - 1)];
    let brushed = 0.9 + 0.2 * lattice(77, (at.x * 0.5) as i32, edge as i32);
    let nearest = floor((at.x - 27.0) / 53.0 + 0.5) as f32 * 53.0 + 27.0;
    let off = v(at.x - nearest, edge - 6.0);
    let head = (4.2 - off.len()).clamp(0.0, 1.0);
    let slot = (1.2 - (off.x + off.y).abs()).clamp(0.0, 1.0) * (3.4 - off.len()).clamp(0.0, 1.0);
    let level = level * brushed * (1.0 - head) + head * (0.38 - 0.3 * slot);
    [level * 0.96, level, level * 1.04]
}
