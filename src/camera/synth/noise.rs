//! Randomness that is a function of a place: for textures and for things that drift slowly.

use crate::random::Random;

/// An independent stream for the `index`-th thing of a `purpose` under `seed`.
pub(super) fn stream(seed: u64, purpose: u64, index: u64) -> Random {
    let mut outer = Random::new(seed ^ purpose.wrapping_mul(0xd1b5_4a32_d192_ed03));
    Random::new(outer.next_u64() ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Uniform in `[0, 1)`, a hash of an integer place.
pub(super) fn lattice(seed: u32, x: i32, y: i32) -> f32 {
    let mut h = seed
        ^ (x as u32).wrapping_mul(0x8da6_b343)
        ^ (y as u32).wrapping_mul(0xd816_3841).rotate_left(7);
    h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
    h = (h ^ (h >> 12)).wrapping_mul(0x297a_2d39);
    h ^= h >> 15;
    (h >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// Value noise in `[-1, 1)`: lattice values with a cubic fade between them.
pub(super) fn cloud(seed: u32, x: f32, y: f32) -> f32 {
    let (column, row) = (floor(x), floor(y));
    let (fx, fy) = (ease(x - column as f32), ease(y - row as f32));
    let at = |dx: i32, dy: i32| lattice(seed, column.wrapping_add(dx), row.wrapping_add(dy));
    let upper = at(0, 0) + (at(1, 0) - at(0, 0)) * fx;
    let lower = at(0, 1) + (at(1, 1) - at(0, 1)) * fx;
    (upper + (lower - upper) * fy) * 2.0 - 1.0
}

/// Value noise over time, in `[-1, 1)`: a new level every `period` frames, eased in between.
pub(super) fn drift(seed: u32, frame: f64, period: f64) -> f32 {
    let place = frame / period;
    let left = place.floor();
    let (a, b) = (lattice(seed, left as i32, 0), lattice(seed, (left as i32).wrapping_add(1), 0));
    (a + (b - a) * fade((place - left) as f32)) * 2.0 - 1.0
}

/// The cubic that rises from 0 at 0 to 1 at 1 with flat ends, and stays there.
pub(super) fn fade(t: f32) -> f32 {
    ease(t.clamp(0.0, 1.0))
}

fn ease(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}

/// `x.floor()` as an integer; without SSE4.1 the method is a call into the C library.
pub(super) fn floor(x: f32) -> i32 {
    let toward_zero = x as i32;
    toward_zero - i32::from(toward_zero as f32 > x)
}
