//! The picture in linear light, and the camera that turns it into 8 bits.

use super::SIDE;
use super::plane::{V2, v};
use crate::image::Rgb;
use crate::random::Random;

/// A square picture in linear light: reflectance while the scene is drawn, then light on the sensor.
#[derive(Clone, Debug)]
pub(super) struct Canvas {
    pub pixels: Vec<[f32; 3]>,
}

/// The light on the scene.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lamp {
    pub brightness: f32,
    /// Colour temperature: positive is warmer, 0.1 is plainly visible.
    pub warmth: f32,
    /// Where the light is brightest, in pixels.
    pub center: V2,
}

/// The state of lens and sensor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Optics {
    /// Radius of the focus blur in pixels (standard deviation).
    pub focus_px: f32,
    /// Path of the belt during one exposure, in pixels.
    pub motion_px: f32,
    /// Standard deviation of the sensor noise, in linear light.
    pub read_noise: f32,
}

const SIDE_PX: usize = SIDE as usize;

impl Canvas {
    pub fn new() -> Canvas {
        Canvas { pixels: vec![[0.0; 3]; SIDE_PX * SIDE_PX] }
    }

    /// Calls `paint` with every pixel whose centre may lie within `reach` of `center`.
    pub fn each_near(&mut self, center: V2, reach: f32, mut paint: impl FnMut(&mut [f32; 3], V2)) {
        let clip = |x: f32| x.clamp(0.0, SIDE as f32) as usize;
        for y in clip(center.y - reach)..clip(center.y + reach + 1.0) {
            let off = y as f32 + 0.5 - center.y;
            let half = (reach * reach - off * off).max(0.0).sqrt();
            for x in clip(center.x - half)..clip(center.x + half + 1.0) {
                let at = v(x as f32 + 0.5, y as f32 + 0.5);
                paint(&mut self.pixels[y * SIDE_PX + x], at);
            }
        }
    }

    /// Calls `paint` with every pixel and its centre.
    pub fn each(&mut self, mut paint: impl FnMut(&mut [f32; 3], V2)) {
        for (y, row) in self.pixels.chunks_exact_mut(SIDE_PX).enumerate() {
            for (x, pixel) in row.iter_mut().enumerate() {
                paint(pixel, v(x as f32 + 0.5, y as f32 + 0.5));
            }
        }
    }

    /// The colour at `at`, interpolated; the border goes on for ever.
    pub fn sample(&self, at: V2) -> [f32; 3] {
        let limit = SIDE as f32 - 1.0;
        let (x, y) = ((at.x - 0.5).clamp(0.0, limit), (at.y - 0.5).clamp(0.0, limit));
        let (left, top) = ((x as usize).min(SIDE_PX - 2), (y as usize).min(SIDE_PX - 2));
        let (fx, fy) = (x - left as f32, y - top as f32);
        let corner = |dx: usize, dy: usize| self.pixels[(top + dy) * SIDE_PX + left + dx];
        let (a, b, c, d) = (corner(0, 0), corner(1, 0), corner(0, 1), corner(1, 1));
        std::array::from_fn(|i| {
            let upper = a[i] + (b[i] - a[i]) * fx;
            let lower = c[i] + (d[i] - c[i]) * fx;
            upper + (lower - upper) * fy
        })
    }

    /// Convolves with a small symmetric kernel (`taps[0]` is its middle) along x or along y.
    fn convolve(&mut self, taps: &[f32], along_x: bool) {
        let source = self.pixels.clone();
        let last = SIDE_PX - 1;
        for y in 0..SIDE_PX {
            for x in 0..SIDE_PX {
                let mut sum = source[y * SIDE_PX + x].map(|c| c * taps[0]);
                for (i, tap) in taps.iter().enumerate().skip(1) {
                    let (before, after) = if along_x {
                        (y * SIDE_PX + x.saturating_sub(i), y * SIDE_PX + (x + i).min(last))
                    } else {
                        (y.saturating_sub(i) * SIDE_PX + x, (y + i).min(last) * SIDE_PX + x)
                    };
                    for (channel, total) in sum.iter_mut().enumerate() {
                        *total += (source[before][channel] + source[after][channel]) * tap;
                    }
                }
                self.pixels[y * SIDE_PX + x] = sum;
            }
        }
    }

    /// Gaussian blur with standard deviation `radius_px`.
    pub fn soften(&mut self, radius_px: f32) {
        let reach = (radius_px * 2.5).ceil().max(1.0) as usize;
        let falloff = 1.0 / (2.0 * radius_px * radius_px).max(1e-3);
        let mut taps: Vec<f32> =
            (0..=reach).map(|i| libm::expf(-((i * i) as f32) * falloff)).collect();
        let total = taps[0] + 2.0 * taps[1..].iter().sum::<f32>();
        taps.iter_mut().for_each(|tap| *tap /= total);
        self.convolve(&taps, true);
        self.convolve(&taps, false);
    }

    /// Box blur along x over `path_px`: the belt moves while the shutter is open.
    pub fn drag(&mut self, path_px: f32) {
        let half = path_px / 2.0;
        let reach = (half + 0.5).ceil() as usize;
        let cover = |i: usize| (half + 0.5 - i as f32).clamp(0.0, 1.0);
        let mut taps: Vec<f32> = (0..=reach).map(cover).collect();
        let total = taps[0] + 2.0 * taps[1..].iter().sum::<f32>();
        taps.iter_mut().for_each(|tap| *tap /= total);
        self.convolve(&taps, true);
    }

    /// Lights the reflectances: a lamp with a soft centre, and the lens' vignette.
    pub fn light(&mut self, lamp: &Lamp) {
        let tint = [1.0 + lamp.warmth, 1.0, 1.0 - lamp.warmth];
        let middle = v(SIDE as f32 / 2.0, SIDE as f32 / 2.0);
        self.each(|pixel, at| {
            let (off_lamp, off_axis) = (at - lamp.center, at - middle);
            let spread = 1.0 / (1.0 + off_lamp.dot(off_lamp) / (150.0 * 150.0));
            let vignette = 1.0 - 0.26 * off_axis.dot(off_axis) / (113.0 * 113.0);
            let level = lamp.brightness * (0.35 + 0.65 * spread) * vignette;
            for (channel, tint) in pixel.iter_mut().zip(tint) {
                *channel *= level * tint;
            }
        });
    }

    /// Adds shot and read noise, applies the tone curve (a square root) and rounds to 8 bits.
    pub fn develop(&self, read_noise: f32, random: &mut Random) -> Rgb {
        let mut pixels = Vec::with_capacity(self.pixels.len() * 3);
        for &light in self.pixels.iter().flatten() {
            // The number of ones among 64 fair bits is a normal variable of deviation 4.
            let normal = (random.next_u64().count_ones() as f32 - 32.0) / 4.0;
            let deviation = (read_noise * read_noise + 0.00012 * light.max(0.0)).sqrt();
            let exposed = (light + deviation * normal).clamp(0.0, 1.0);
            pixels.push((exposed.sqrt() * 255.0 + 0.5) as u8);
        }
        Rgb { width: SIDE, height: SIDE, pixels }
    }
}
