//! A simulated camera over a conveyor belt: drawn, seeded, and the same bits on every machine.
//!
//! It serves two purposes. [`SynthSpec`] names any number of independent *normal* pictures to learn
//! from; a [`Show`] is a timeline in which foreign objects, damage, dirt on the lens and failing
//! light appear at known times, and [`SynthCamera`] plays a show as a frame source.
//!
//! Everything is computed with `+ - * /`, square roots, integers and the `libm` crate, so that a seed
//! means the same pictures, and so the same energies, on every instruction set.

mod belt;
mod canvas;
mod damage;
mod foreign;
mod lens;
mod noise;
mod part;
mod plane;
mod shape;
mod show;
mod solid;
mod world;

use std::str::FromStr;
use std::time::{Duration, Instant};

use super::{CameraError, CameraErrorKind, Content, Frame, FrameSource, Next};
use crate::image::Rgb;

pub use show::{Episode, Group, Kind, Show};

/// Width and height of every picture, in pixels.
pub const SIDE: u32 = 160;

/// Pictures of a [`SynthSpec`] that names no count.
pub const DEFAULT_COUNT: u64 = 2000;

/// Normal pictures to learn from: `synth:SEED` or `synth:SEED:COUNT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SynthSpec {
    pub seed: u64,
    /// Number of pictures, at least 1.
    pub count: u64,
}

impl SynthSpec {
    /// Draws picture `index`; it depends on the seed and the index only.
    pub fn draw(&self, index: u64) -> Rgb {
        let mut random = noise::stream(self.seed, PURPOSE_TRAINING, index);
        let frame = random.below(4096);
        world::World::new(random.next_u64()).render(frame, None)
    }
}

const PURPOSE_TRAINING: u64 = 201;

/// Reads `synth:SEED` or `synth:SEED:COUNT`; the error tells what was expected where.
impl FromStr for SynthSpec {
    type Err = CameraError;

    fn from_str(text: &str) -> Result<SynthSpec, CameraError> {
        let wrong = |what: String| {
            let expected = "write synth:SEED or synth:SEED:COUNT with whole numbers, for example \
                            synth:1 or synth:1:500";
            CameraError::new(CameraErrorKind::Spec, format!("source `{text}`: {what}; {expected}"))
        };
        let rest = text.strip_prefix("synth:").ok_or_else(|| wrong("no `synth:` prefix".into()))?;
        let (seed, count) = match rest.split_once(':') {
            Some((seed, count)) => (seed, Some(count)),
            None => (rest, None),
        };
        let number = |what: &str, digits: &str| {
            digits
                .parse::<u64>()
                .map_err(|_| wrong(format!("{what} `{digits}` is no whole number below 2^64")))
        };
        let seed = number("seed", seed)?;
        let count = count.map_or(Ok(DEFAULT_COUNT), |count| number("count", count))?;
        if count == 0 {
            return Err(wrong("a count of 0 leaves no pictures".into()));
        }
        Ok(SynthSpec { seed, count })
    }
}

/// Plays a [`Show`] as a camera.
#[derive(Clone, Debug)]
pub struct SynthCamera {
    seed: u64,
    show: Show,
    /// The show's next frame.
    next: u64,
    seq: u64,
    pace: Option<Pace>,
}

/// Frames at the pace of a camera.
#[derive(Clone, Copy, Debug)]
struct Pace {
    interval: Duration,
    /// When the next frame is due; the first one is due at once.
    due: Option<Instant>,
}

impl SynthCamera {
    /// Plays the show of `seed` from its start and ends with it; frames come as fast as they are asked for.
    pub fn once(seed: u64) -> SynthCamera {
        SynthCamera { seed, show: Show::new(seed), next: 0, seq: 0, pace: None }
    }

    /// Plays the shows of `seed`, `seed + 1` and so on, `fps` frames a second (at least one).
    pub fn live(seed: u64, fps: u32) -> SynthCamera {
        let interval = Duration::from_secs(1) / fps.max(1);
        SynthCamera { pace: Some(Pace { interval, due: None }), ..SynthCamera::once(seed) }
    }
}

impl Pace {
    /// Waits for the next frame up to `wait`; false when it is not due then.
    fn wait(&mut self, wait: Duration) -> bool {
        let now = Instant::now();
        let due = *self.due.get_or_insert(now);
        let early = due.saturating_duration_since(now);
        std::thread::sleep(early.min(wait));
        if early > wait {
            return false;
        }
        // Who comes late gets the frame of now, not all those that were missed.
        self.due = Some(due.max(now.checked_sub(self.interval).unwrap_or(due)) + self.interval);
        true
    }
}

impl FrameSource for SynthCamera {
    fn next_frame(&mut self, wait: Duration) -> Result<Next, CameraError> {
        if let Some(pace) = &mut self.pace
            && !pace.wait(wait)
        {
            return Ok(Next::Late);
        }
        if self.next == self.show.frames() {
            if self.pace.is_none() {
                return Ok(Next::Ended);
            }
            self.seed = self.seed.wrapping_add(1);
            (self.show, self.next) = (Show::new(self.seed), 0);
        }
        let name = format!("synth:{}/{:04}", self.seed, self.next);
        let frame =
            Frame { seq: self.seq, name, content: Content::Picture(self.show.draw(self.next)) };
        (self.next, self.seq) = (self.next + 1, self.seq + 1);
        Ok(Next::Frame(frame))
    }
}

#[cfg(test)]
mod tests;
