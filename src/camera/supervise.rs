//! Keeps a source going: opens it, sees that it lives, and opens it again after trouble, ever more rarely.

use std::time::Duration;

use super::{CameraError, Faults, Frame, FrameSource, Next, Opener, SourceUri};
use crate::clock::Stamp;
use crate::event::FaultKind;
use crate::random::Random;

/// Longest wait for a frame in one call, so that a thread that is told to end does so soon.
const WAIT: Duration = Duration::from_millis(200);

/// The first frame may take so many times longer than the next ones: cameras start, streams are negotiated.
const FIRST_FRAME: u64 = 3;

/// When a source is opened again, and when its silence is trouble. Milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackOff {
    /// Pause after the first trouble.
    pub first_ms: u64,
    /// The pause doubles with each trouble until it is this long.
    pub most_ms: u64,
    /// So long without a frame means that the source is closed and opened again; three times as long for the first
    /// frame. 0: silence is no trouble.
    pub stall_ms: u64,
}

impl Default for BackOff {
    fn default() -> BackOff {
        BackOff { first_ms: 500, most_ms: 60_000, stall_ms: 5000 }
    }
}

/// What a supervised source gives.
#[derive(Debug)]
pub enum Seen {
    /// A frame; `seq` goes on counting when the source is opened again.
    Frame(Frame),
    /// A frame is lost, or the source is, or it cannot be opened; the text is for people.
    Fault(FaultKind, String),
    /// Nothing yet. [`Supervised::pause`] says how long nothing will come.
    Nothing,
    /// There will be no more frames.
    Ended,
}

/// A source that is opened again after trouble.
///
/// All decisions depend on the stamps that are handed in, the source's answers and the seed. The only wait is the source's
/// own, for at most 200 ms in a call.
///
/// ```no_run
/// # use oddsight::camera::{BackOff, Seen, Supervised};
/// # use oddsight::clock::{Clock, System};
/// # fn main() -> Result<(), oddsight::camera::CameraError> {
/// let source = "pipe:rpicam-vid -t 0 -n --codec mjpeg -o -".parse()?;
/// let mut camera = Supervised::over(&source, None, BackOff::default(), 1);
/// loop {
///     match camera.next(System.now()) {
///         Seen::Frame(frame) => println!("{}", frame.name),
///         Seen::Fault(kind, why) => println!("{kind:?}: {why}"),
///         Seen::Nothing => std::thread::sleep(camera.pause(System.now())),
///         Seen::Ended => break Ok(()),
///     }
/// }
/// # }
/// ```
pub struct Supervised {
    open: Opener,
    back_off: BackOff,
    random: Random,
    state: State,
    /// What the last pause was before chance shortened it; 0 when the source is well.
    pause_ms: u64,
    /// The `seq` of the next frame.
    next_seq: u64,
    openings: u64,
    /// The source is a fixed number of frames, which opening it again would repeat.
    finite: bool,
}

enum State {
    /// The next attempt to open it is due at this time.
    Closed {
        due_ms: u64,
    },
    Open(Open),
    Ended,
}

struct Open {
    source: Box<dyn FrameSource>,
    since_ms: u64,
    /// When the last frame came.
    frame_ms: Option<u64>,
    /// What its frames' numbers start from.
    base_seq: u64,
    /// What was wrong with the last frame that was none.
    trouble: Option<String>,
}

impl Supervised {
    /// Watches over what `open` opens; `seed` decides how far pauses are shortened, so that many devices do not come back
    /// in step.
    pub fn new(open: Opener, back_off: BackOff, seed: u64) -> Supervised {
        Supervised {
            open,
            back_off,
            random: Random::new(seed),
            state: State::Closed { due_ms: 0 },
            pause_ms: 0,
            next_seq: 0,
            openings: 0,
            finite: false,
        }
    }

    /// Watches over `source`, with faults injected if there are any. Silence is trouble only for live sources, and a
    /// stored source ends when it cannot be read further.
    pub fn over(
        source: &SourceUri,
        faults: Option<&Faults>,
        back_off: BackOff,
        seed: u64,
    ) -> Supervised {
        let open = source.opener();
        let open = match faults {
            Some(faults) => faults.around(open),
            None => open,
        };
        let stall_ms = if source.is_live() { back_off.stall_ms } else { 0 };
        let mut camera = Supervised::new(open, BackOff { stall_ms, ..back_off }, seed);
        camera.finite = source.is_finite();
        camera
    }

    /// The next thing that the source gives, waited for up to 200 ms.
    pub fn next(&mut self, now: Stamp) -> Seen {
        if let State::Closed { due_ms } = self.state {
            if now.mono_ms < due_ms {
                return Seen::Nothing;
            }
            self.openings += 1;
            match (self.open)() {
                Ok(source) => {
                    self.state = State::Open(Open {
                        source,
                        since_ms: now.mono_ms,
                        frame_ms: None,
                        base_seq: self.next_seq,
                        trouble: None,
                    });
                }
                Err(e) => return self.lose(now, e.fault(), &e.to_string()),
            }
        }
        let State::Open(open) = &mut self.state else { return Seen::Ended };
        match open.source.next_frame(WAIT) {
            Ok(Next::Frame(frame)) => self.frame(now, frame),
            Ok(Next::Late) => self.stall(now).unwrap_or(Seen::Nothing),
            Ok(Next::Ended) => {
                self.state = State::Ended;
                Seen::Ended
            }
            Err(e) => self.error(now, &e),
        }
    }

    /// Closes the source, whose frames are of no use, and opens it again after the first pause. One that would begin anew
    /// is left alone.
    pub fn reopen(&mut self, now: Stamp) {
        if !self.finite && matches!(self.state, State::Open(_)) {
            let due_ms = now.mono_ms.saturating_add(self.back_off.first_ms);
            self.state = State::Closed { due_ms };
        }
    }

    /// How long nothing will come, because the source is closed; zero when it is worth calling again at once.
    pub fn pause(&self, now: Stamp) -> Duration {
        match self.state {
            State::Closed { due_ms } => Duration::from_millis(due_ms.saturating_sub(now.mono_ms)),
            State::Open(_) | State::Ended => Duration::ZERO,
        }
    }

    /// How often the source was opened, or could not be.
    pub fn openings(&self) -> u64 {
        self.openings
    }

    fn frame(&mut self, now: Stamp, mut frame: Frame) -> Seen {
        let State::Open(open) = &mut self.state else { return Seen::Ended };
        // Who has lived for longer than it was waited for is well; a camera that dies after each frame is not.
        if now.mono_ms.saturating_sub(open.since_ms) >= self.pause_ms {
            self.pause_ms = 0;
        }
        open.frame_ms = Some(now.mono_ms);
        open.trouble = None;
        frame.seq = open.base_seq.saturating_add(frame.seq);
        self.next_seq = frame.seq.saturating_add(1);
        Seen::Frame(frame)
    }

    fn error(&mut self, now: Stamp, e: &CameraError) -> Seen {
        let why = e.to_string();
        if !e.is_passing() {
            return self.lose(now, e.fault(), &why);
        }
        if let State::Open(open) = &mut self.state {
            open.trouble = Some(why.clone());
        }
        self.stall(now).unwrap_or(Seen::Fault(e.fault(), why))
    }

    /// Closes the source if it has given no frame for too long.
    fn stall(&mut self, now: Stamp) -> Option<Seen> {
        let State::Open(open) = &self.state else { return None };
        let (from_ms, limit_ms) = match open.frame_ms {
            Some(frame_ms) => (frame_ms, self.back_off.stall_ms),
            None => (open.since_ms, self.back_off.stall_ms.saturating_mul(FIRST_FRAME)),
        };
        let silent_ms = now.mono_ms.saturating_sub(from_ms);
        if limit_ms == 0 || silent_ms < limit_ms {
            return None;
        }
        let seconds = silent_ms as f64 / 1000.0;
        let why = match &open.trouble {
            Some(trouble) => {
                format!("no whole frame for {seconds:.1} s; the last trouble: {trouble}")
            }
            None => format!("no frame for {seconds:.1} s"),
        };
        Some(self.lose(now, FaultKind::Stalled, &why))
    }

    /// Closes the source until the pause is over.
    fn lose(&mut self, now: Stamp, fault: FaultKind, why: &str) -> Seen {
        if self.finite {
            // The next call says so.
            self.state = State::Ended;
            return Seen::Fault(fault, why.to_owned());
        }
        let BackOff { first_ms, most_ms, .. } = self.back_off;
        // A pause of 0 would be a hot loop.
        let longest = most_ms.max(1);
        self.pause_ms = self.pause_ms.saturating_mul(2).clamp(first_ms.clamp(1, longest), longest);
        let shortest = self.pause_ms.div_ceil(2);
        let pause_ms = shortest + self.random.below(self.pause_ms - shortest + 1);
        self.state = State::Closed { due_ms: now.mono_ms.saturating_add(pause_ms) };
        let seconds = pause_ms as f64 / 1000.0;
        Seen::Fault(fault, format!("{why}; opening it again in {seconds:.1} s"))
    }
}

#[cfg(test)]
mod tests;
