//! The thread that reads the camera.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::errands::finished_before;
use crate::camera::{Frame, Latest, Seen, Supervised};
use crate::clock::{Clock, Stamp};
use crate::event::FaultKind;

/// Faults that wait to be told; of more the newest are lost, for they say the same.
const FAULTS: usize = 64;

/// Longest sleep of the thread, so that it ends soon when it is told to.
const NAP: Duration = Duration::from_millis(100);

/// A source that gives one broken frame after the other, as fast as it can, is not read faster than this.
const FAULT_NAP: Duration = Duration::from_millis(5);

/// How long the thread has for closing the camera; a driver may hold it for ever.
const CLOSING: Duration = Duration::from_millis(1200);

/// A frame and when it came.
#[derive(Clone, Debug)]
pub struct Captured {
    pub frame: Arc<Frame>,
    pub at: Stamp,
}

/// What was wrong, and when.
pub type CameraFault = (FaultKind, String, Stamp);

/// What happens to frames that come faster than they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Haste {
    /// The newest one is taken: a camera does not wait.
    Newest,
    /// The source waits: stored pictures are all looked at.
    Every,
}

/// A camera that is read by a thread of its own.
pub struct Capture {
    shared: Arc<Shared>,
    /// The other end of the thread's frames with [`Haste::Every`]. Dropped to let it go.
    frames: Option<Receiver<Captured>>,
    faults: Receiver<CameraFault>,
    thread: JoinHandle<()>,
    /// Set when the thread was told to end: then it should be over.
    closed_by: Option<Instant>,
}

struct Shared {
    /// The newest frame with [`Haste::Newest`].
    slot: Latest<Captured>,
    /// When the thread last came round.
    beat_ms: AtomicU64,
    openings: AtomicU64,
    ended: AtomicBool,
    reopen: AtomicBool,
    stop: AtomicBool,
}

impl Capture {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the system has no thread to give.
    pub fn start(camera: Supervised, haste: Haste, clock: Arc<dyn Clock>) -> io::Result<Capture> {
        let shared = Arc::new(Shared {
            slot: Latest::new(),
            beat_ms: AtomicU64::new(clock.now().mono_ms),
            openings: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            reopen: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let (tell_fault, faults) = sync_channel(FAULTS);
        let (hand, frames) = match haste {
            Haste::Newest => (None, None),
            Haste::Every => {
                let (hand, frames) = sync_channel(0);
                (Some(hand), Some(frames))
            }
        };
        let reader = Reader { camera, clock, shared: shared.clone(), hand, tell_fault };
        let thread = thread::Builder::new().name("camera".into()).spawn(move || reader.read())?;
        Ok(Capture { shared, frames, faults, thread, closed_by: None })
    }

    /// The next frame, or the newest one, waited for up to `wait`.
    pub fn frame(&self, wait: Duration) -> Option<Captured> {
        match &self.frames {
            None => self.shared.slot.take(wait),
            Some(frames) => frames.recv_timeout(wait).ok(),
        }
    }

    /// The faults that were not told yet, the oldest first.
    pub fn faults(&self) -> Vec<CameraFault> {
        self.faults.try_iter().take(FAULTS).collect()
    }

    /// Has the camera closed and opened again.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Relaxed);
    }

    /// The source has no more frames; one may be left to be taken.
    pub fn has_ended(&self) -> bool {
        self.shared.ended.load(Acquire)
    }

    /// The thread is gone without having said that the source has ended.
    pub fn has_died(&self) -> bool {
        self.thread.is_finished() && !self.has_ended()
    }

    /// When the thread last came round, in monotonic milliseconds: it hangs if that is long ago.
    pub fn beat_ms(&self) -> u64 {
        self.shared.beat_ms.load(Relaxed)
    }

    /// How often the camera was opened, or could not be.
    pub fn openings(&self) -> u64 {
        self.shared.openings.load(Relaxed)
    }

    /// Frames that a newer one overwrote.
    pub fn overwritten(&self) -> u64 {
        self.shared.slot.overwritten()
    }
}

impl Capture {
    /// Tells the thread to close the camera and to end, and does not wait for it.
    pub fn end(&mut self) {
        self.shared.stop.store(true, Relaxed);
        drop(self.frames.take());
        self.closed_by.get_or_insert_with(|| Instant::now() + CLOSING);
    }
}

/// Waits for the end of the thread, unless it hangs.
impl Drop for Capture {
    fn drop(&mut self) {
        self.end();
        if !self.closed_by.is_some_and(|by| finished_before(&self.thread, by)) {
            log::warn!("the camera does not close; it is left to the system");
        }
    }
}

/// The thread's own.
struct Reader {
    camera: Supervised,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    /// Where frames go with [`Haste::Every`].
    hand: Option<SyncSender<Captured>>,
    tell_fault: SyncSender<CameraFault>,
}

impl Reader {
    fn read(mut self) {
        let shared = self.shared.clone();
        while !shared.stop.load(Relaxed) {
            if shared.reopen.swap(false, Relaxed) {
                self.camera.reopen(self.clock.now());
            }
            let seen = self.camera.next(self.clock.now());
            let at = self.clock.now();
            shared.beat_ms.store(at.mono_ms, Relaxed);
            shared.openings.store(self.camera.openings(), Relaxed);
            match seen {
                Seen::Frame(frame) => self.give(Captured { frame: Arc::new(frame), at }),
                Seen::Fault(kind, why) => {
                    log::debug!("camera: {why}");
                    // A full channel holds faults enough.
                    let _ = self.tell_fault.try_send((kind, why, at));
                    thread::sleep(FAULT_NAP);
                }
                Seen::Nothing => thread::sleep(self.camera.pause(at).min(NAP)),
                Seen::Ended => break,
            }
        }
        shared.ended.store(true, Release);
    }

    fn give(&self, captured: Captured) {
        match &self.hand {
            None => self.shared.slot.put(captured),
            Some(hand) => {
                // Nobody takes frames any more when the program stops.
                let _ = hand.send(captured);
            }
        }
    }
}
