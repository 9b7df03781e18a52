//! What the camera of the simulation would see, and when things go wrong.

use oddsight::image::Rgb;
use oddsight::model::self_test::picture;
use oddsight::random::Random;

pub const MINUTE: u64 = 60_000;
pub const HOUR: u64 = 60 * MINUTE;
pub const DAY: u64 = 24 * HOUR;
pub const DAYS: u64 = 14;

/// Width and height of a frame, in pixels.
pub const SIZE: (u32, u32) = (32, 24);

/// A stretch of time, in milliseconds since the simulation began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from: u64,
    pub to: u64,
}

impl Span {
    pub fn holds(self, ms: u64) -> bool {
        (self.from..self.to).contains(&ms)
    }
}

/// What happens in the fortnight; all of it drawn from one seed.
pub struct World {
    scene: Rgb,
    /// Something stands in view that was never taught.
    pub strangers: Vec<Span>,
    /// The camera is unplugged.
    pub unplugged: Vec<Span>,
    /// Somebody has covered the lens, or the sun shines into it.
    pub covered: Vec<Span>,
    pub dazzled: Vec<Span>,
    /// The broker, and the disk, do not work.
    pub broker_down: Vec<Span>,
    pub disk_full: Vec<Span>,
    pub disk_read_only: Vec<Span>,
    /// The program is started anew.
    pub restarts: Vec<u64>,
    /// The wall clock steps by so many milliseconds.
    pub clock_steps: Vec<(u64, i64)>,
}

const YEAR: i64 = 365 * DAY as i64;

impl World {
    pub fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        // Three strangers a day, an hour and a half apart at least.
        let mut strangers = Vec::new();
        for part in 0..DAYS * 3 {
            let from = part * DAY / 3 + random.below(6 * HOUR);
            strangers.push(Span { from, to: from + 3 * MINUTE + random.below(20 * MINUTE) });
        }
        let mut spread = |count: u64, least: u64, more: u64| -> Vec<Span> {
            (0..count)
                .map(|i| {
                    let part = DAYS * DAY / count;
                    let from = i * part + random.below(part / 2);
                    Span { from, to: from + least + random.below(more) }
                })
                .collect()
        };
        World {
            scene: picture(7, [SIZE.0, SIZE.1]),
            strangers,
            unplugged: spread(50, MINUTE, 20 * MINUTE),
            covered: spread(4, 10 * MINUTE, HOUR),
            dazzled: spread(3, 5 * MINUTE, 20 * MINUTE),
            broker_down: spread(9, 10 * MINUTE, 8 * HOUR),
            disk_full: vec![Span { from: 4 * DAY, to: 4 * DAY + 12 * HOUR }],
            disk_read_only: vec![Span { from: 9 * DAY + 2 * HOUR, to: 9 * DAY + 5 * HOUR }],
            restarts: vec![5 * DAY + 7 * HOUR, 11 * DAY + HOUR],
            clock_steps: vec![(3 * DAY, YEAR), (6 * DAY, -2 * YEAR), (8 * DAY, YEAR)],
        }
    }

    /// The same scene, in which nothing happens.
    pub fn quiet() -> World {
        World { strangers: Vec::new(), covered: Vec::new(), dazzled: Vec::new(), ..World::new(0) }
    }

    /// The picture at a moment; `frame` seeds its noise.
    pub fn picture(&self, ms: u64, frame: u64) -> Rgb {
        let mut random = Random::new(0x5eed ^ frame.wrapping_mul(0x9e37_79b9));
        if any(&self.covered, ms) {
            return self.noise(&mut random, |_, noise| noise % 9);
        }
        if any(&self.dazzled, ms) {
            return self.noise(&mut random, |_, noise| 255 - noise % 4);
        }
        let light = light(ms);
        let mut seen = self.noise(&mut random, |pixel, noise| {
            let noisy = f64::from(pixel) * light + f64::from(noise % 17) - 8.0;
            noisy.clamp(0.0, 255.0) as u8
        });
        if let Some(index) = self.strangers.iter().position(|span| span.holds(ms)) {
            stranger(&mut seen, &mut Random::new(index as u64));
        }
        seen
    }

    fn noise(&self, random: &mut Random, mut mix: impl FnMut(u8, u8) -> u8) -> Rgb {
        let mut left = 0u64;
        let pixels = self.scene.pixels.iter().enumerate().map(|(i, &pixel)| {
            if i % 8 == 0 {
                left = random.next_u64();
            }
            let noise = left as u8;
            left >>= 8;
            mix(pixel, noise)
        });
        Rgb { pixels: pixels.collect(), ..self.scene }
    }
}

pub fn any(spans: &[Span], ms: u64) -> bool {
    spans.iter().any(|span| span.holds(ms))
}

/// Day and night, and from 19 to 23 o'clock a lamp.
fn light(ms: u64) -> f64 {
    let hour = (ms % DAY) as f64 / HOUR as f64;
    let sun = 1.0 - ((hour - 12.0).abs() - 5.0).clamp(0.0, 4.0) / 8.0;
    if (19.0..23.0).contains(&hour) { sun * 1.3 } else { sun }
}

/// Paints stripes of a colour that is nowhere in the scene over a part of it: what is tried is whether the device tells of
/// what its model sees, not what a network of a few weights can see.
fn stranger(seen: &mut Rgb, random: &mut Random) {
    let (width, height) = (18 + random.below(10) as u32, 14 + random.below(8) as u32);
    let left = random.below(u64::from(SIZE.0 - width)) as u32;
    let top = random.below(u64::from(SIZE.1 - height)) as u32;
    let colour =
        [[250, 20, 30], [10, 240, 30], [20, 20, 250], [250, 240, 10]][random.below(4) as usize];
    for y in top..top + height {
        for x in left..left + width {
            let at = (y * SIZE.0 + x) as usize * 3;
            seen.pixels[at..at + 3].copy_from_slice(if (x + y) % 4 < 2 {
                &colour
            } else {
                &[255; 3]
            });
        }
    }
}
