//! Troubles of cameras, made on purpose: seeded faults around any source, for tests and for trying a device out.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::redact::quoted;
use super::{CameraError, CameraErrorKind, Content, Frame, FrameSource, Next, Opener};
use crate::random::Random;

/// Longest freeze, in frames.
const MAX_FREEZE: u64 = 200;
/// Longest stall, in calls of [`FrameSource::next_frame`].
const MAX_STALL: u64 = 100;
/// After a disconnection, most attempts to open the source that fail.
const MAX_REFUSALS: u64 = 4;
/// A caller that would wait for ever is told that the source is late after this.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Most bytes of a frame that are corrupted at once.
const MAX_CORRUPTED: u64 = 16;

/// How often what goes wrong: each a probability per frame of the source.
///
/// As text: `drop=0.01,corrupt=0.01,truncate=0.01,freeze=0.001,stall=0.001,disconnect=0.0005,seed=7`, in any order; what is
/// left out is 0, the seed 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Faults {
    /// The frame is lost.
    pub drop: f64,
    /// Some of its bytes are others.
    pub corrupt: f64,
    /// It ends early.
    pub truncate: f64,
    /// It is given again and again, in place of 1 to 200 that follow.
    pub freeze: f64,
    /// It is lost, and the source is silent for 1 to 100 calls.
    pub stall: f64,
    /// It is lost, the source is gone, and up to 4 attempts to open it fail.
    pub disconnect: f64,
    /// Decides all of it.
    pub seed: u64,
}

impl Default for Faults {
    fn default() -> Faults {
        Faults {
            drop: 0.0,
            corrupt: 0.0,
            truncate: 0.0,
            freeze: 0.0,
            stall: 0.0,
            disconnect: 0.0,
            seed: 1,
        }
    }
}

/// The probabilities by name, in the order in which they are drawn.
const NAMES: [&str; 6] = ["drop", "corrupt", "truncate", "freeze", "stall", "disconnect"];

impl Faults {
    fn rates(&self) -> [f64; 6] {
        [self.drop, self.corrupt, self.truncate, self.freeze, self.stall, self.disconnect]
    }

    fn rate_mut(&mut self, name: &str) -> Option<&mut f64> {
        Some(match name {
            "drop" => &mut self.drop,
            "corrupt" => &mut self.corrupt,
            "truncate" => &mut self.truncate,
            "freeze" => &mut self.freeze,
            "stall" => &mut self.stall,
            "disconnect" => &mut self.disconnect,
            _ => return None,
        })
    }

    /// The same source with these faults. A stalled source takes the time that it is given.
    pub fn around(&self, open: Opener) -> Opener {
        self.wrap(open, true)
    }

    /// The same source with these faults, for a virtual clock: a stalled source is late at once.
    pub fn around_without_waiting(&self, open: Opener) -> Opener {
        self.wrap(open, false)
    }

    fn wrap(&self, mut open: Opener, waits: bool) -> Opener {
        let luck = Arc::new(Mutex::new(Luck::new(*self)));
        Box::new(move || {
            {
                let mut luck = luck.lock().unwrap_or_else(PoisonError::into_inner);
                if luck.refusals > 0 {
                    luck.refusals -= 1;
                    return Err(injected("the camera is not there"));
                }
            }
            let luck = Arc::clone(&luck);
            Ok(Box::new(Faulty { source: open()?, luck, waits, stalled: 0, frozen: None }))
        })
    }
}

fn injected(what: &str) -> CameraError {
    CameraError::new(CameraErrorKind::Lost, format!("injected fault: {what}"))
}

/// The course of chance, which goes on when the source is opened again.
struct Luck {
    faults: Faults,
    /// One draw for each kind of fault and frame, so that one rate does not change when another fault strikes.
    strikes: Random,
    /// Lengths and places.
    details: Random,
    /// Attempts to open the source that still fail.
    refusals: u64,
}

/// What strikes one frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Strikes {
    drop: bool,
    corrupt: bool,
    truncate: bool,
    freeze: bool,
    stall: bool,
    disconnect: bool,
}

impl Luck {
    fn new(faults: Faults) -> Luck {
        let mut seeds = Random::new(faults.seed);
        let [strikes, details] = [(); 2].map(|()| Random::new(seeds.next_u64()));
        Luck { faults, strikes, details, refusals: 0 }
    }

    fn strike(&mut self) -> Strikes {
        let [drop, corrupt, truncate, freeze, stall, disconnect] =
            self.faults.rates().map(|rate| self.strikes.unit() < rate);
        Strikes { drop, corrupt, truncate, freeze, stall, disconnect }
    }

    /// From 1 to `most`.
    fn length(&mut self, most: u64) -> u64 {
        1 + self.details.below(most)
    }

    fn corrupt(&mut self, bytes: &mut [u8]) {
        if bytes.is_empty() {
            return;
        }
        for _ in 0..self.length(MAX_CORRUPTED) {
            let at = self.details.below(bytes.len() as u64) as usize;
            // Never 0: the byte does change, unless the same place is hit again.
            bytes[at] ^= self.length(255) as u8;
        }
    }
}

/// A source in which frames, and sometimes all of it, go wrong.
struct Faulty {
    source: Box<dyn FrameSource>,
    luck: Arc<Mutex<Luck>>,
    /// Whether a stall takes time.
    waits: bool,
    /// Calls that are still late.
    stalled: u64,
    /// The content that is repeated, and how often still.
    frozen: Option<(Content, u64)>,
}

impl FrameSource for Faulty {
    fn next_frame(&mut self, wait: Duration) -> Result<Next, CameraError> {
        if self.stalled > 0 {
            self.stalled -= 1;
            return Ok(self.late(wait));
        }
        match self.source.next_frame(wait)? {
            Next::Frame(frame) => self.strike(frame, wait),
            other => Ok(other),
        }
    }
}

impl Faulty {
    fn strike(&mut self, mut frame: Frame, wait: Duration) -> Result<Next, CameraError> {
        let luck = Arc::clone(&self.luck);
        let mut luck = luck.lock().unwrap_or_else(PoisonError::into_inner);
        let strikes = luck.strike();
        if strikes.disconnect {
            luck.refusals = luck.details.below(MAX_REFUSALS + 1);
            return Err(injected("the camera is disconnected"));
        }
        if strikes.stall {
            self.stalled = luck.length(MAX_STALL) - 1;
            drop(luck);
            return Ok(self.late(wait));
        }
        if strikes.drop {
            return Ok(Next::Late);
        }
        if strikes.freeze && self.frozen.is_none() {
            self.frozen = Some((frame.content.clone(), luck.length(MAX_FREEZE)));
        } else if let Some((content, rest)) = &mut self.frozen {
            frame.content = content.clone();
            *rest -= 1;
            if *rest == 0 {
                self.frozen = None;
            }
        }
        if strikes.truncate {
            truncate(&mut frame, &mut luck)?;
        }
        if strikes.corrupt {
            luck.corrupt(match &mut frame.content {
                Content::File(bytes) => bytes,
                Content::Raw(raw) => &mut raw.bytes,
                Content::Picture(picture) => &mut picture.pixels,
            });
        }
        Ok(Next::Frame(frame))
    }

    fn late(&self, wait: Duration) -> Next {
        if self.waits {
            std::thread::sleep(wait.min(LONGEST_WAIT));
        }
        Next::Late
    }
}

/// A picture without a file cannot be half there: it is an error, as a cut file in a stream is.
fn truncate(frame: &mut Frame, luck: &mut Luck) -> Result<(), CameraError> {
    let bytes = match &mut frame.content {
        Content::File(bytes) => bytes,
        Content::Raw(raw) => &mut raw.bytes,
        Content::Picture(_) => {
            let why = format!("{}: injected fault: the picture is cut", frame.name);
            return Err(CameraError::new(CameraErrorKind::Cut, why));
        }
    };
    let length = luck.details.below(bytes.len().max(1) as u64);
    bytes.truncate(length as usize);
    Ok(())
}

impl FromStr for Faults {
    type Err = CameraError;

    fn from_str(text: &str) -> Result<Faults, CameraError> {
        let wrong = |what: String| {
            let why = format!("faults `{}`: {what}", quoted(text, 200));
            CameraError::new(CameraErrorKind::Spec, why)
        };
        let mut faults = Faults::default();
        let mut seen = Vec::new();
        for pair in text.split(',').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if seen.contains(&name) {
                return Err(wrong(format!("`{name}` is given twice")));
            }
            seen.push(name);
            if name == "seed" {
                faults.seed = value.parse().map_err(|_| {
                    wrong(format!("seed `{}` is no whole number below 2^64", quoted(value, 60)))
                })?;
                continue;
            }
            let rate = faults.rate_mut(name).ok_or_else(|| {
                wrong(format!(
                    "`{}` is no fault; write {} or seed",
                    quoted(name, 60),
                    NAMES.join(", ")
                ))
            })?;
            *rate =
                value.parse().ok().filter(|rate| (0.0..=1.0).contains(rate)).ok_or_else(|| {
                    wrong(format!("`{}` is no probability from 0 to 1", quoted(value, 60)))
                })?;
        }
        Ok(faults)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, rate) in NAMES.into_iter().zip(self.rates()) {
            if rate != 0.0 {
                write!(f, "{name}={rate},")?;
            }
        }
        write!(f, "seed={}", self.seed)
    }
}

#[cfg(test)]
mod tests;
