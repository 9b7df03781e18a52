//! Dirt on the lens: it stays where it is while the belt moves.

use super::SIDE;
use super::canvas::Canvas;
use super::noise::{cloud, fade};
use super::plane::{V2, v};
use crate::random::Random;

/// A greasy wipe: the picture behind it is blurred, veiled and streaked.
pub(super) fn smear(canvas: &mut Canvas, amount: f32, random: &mut Random) {
    let center = v(random.range(50.0, 110.0) as f32, random.range(50.0, 110.0) as f32);
    let axis = V2::polar(1.0, random.range(-0.15, 0.15) as f32);
    let half = v(random.range(70.0, 95.0) as f32, random.range(30.0, 44.0) as f32);
    let seed = random.next_u64() as u32;
    let mut blurred = canvas.clone();
    blurred.soften(5.5);
    canvas.each(|pixel, at| {
        let q = (at - center).back(axis);
        let arc = q.y - q.x * q.x * 0.004;
        let inside = fade(1.6 * (1.0 - v(q.x / half.x, arc / half.y).len()));
        let streak = 0.75 + 0.25 * cloud(seed, q.x * 0.012, arc * 0.45);
        let mask = (inside * streak * (0.3 + 1.3 * amount)).clamp(0.0, 1.0);
        let veil = 0.22 * amount * streak * streak;
        for (sharp, soft) in pixel.iter_mut().zip(blurred.sample(at)) {
            *sharp += (soft * 0.9 + veil - *sharp) * mask;
        }
    });
}

/// Drops of water or coolant: each shows the scene upside down, with a dark rim and a glint.
pub(super) fn droplets(canvas: &mut Canvas, amount: f32, random: &mut Random) {
    let scene = canvas.clone();
    let count = 3 + (amount * 8.0) as usize;
    for _ in 0..count {
        let side = f64::from(SIDE);
        let center = v(random.range(0.0, side) as f32, random.range(0.0, side) as f32);
        let radius = random.range(8.0, 19.0) as f32;
        canvas.each_near(center, radius + 1.0, |pixel, at| {
            let q = (at - center) * (1.0 / radius);
            let r = q.len();
            let cover = ((1.0 - r) * radius + 0.5).clamp(0.0, 1.0);
            if cover > 0.0 {
                let seen = scene.sample(center - q * (radius * (1.0 + 1.5 * r * r)));
                let rim = 1.0 - 0.75 * r * r * r * r * r * r;
                let glint = fade(1.0 - (q - v(-0.38, -0.42)).len() * 4.5) * 0.8;
                let glow = fade(1.2 - (q - v(0.3, 0.4)).len() * 2.0) * 0.10;
                for (under, over) in pixel.iter_mut().zip(seen) {
                    *under += (over * rim + glint + glow - *under) * cover;
                }
            }
        });
    }
}
