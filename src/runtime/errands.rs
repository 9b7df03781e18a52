//! What takes its time and is not waited for: a disk that hangs must not hold up a frame.

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Errands that wait at most; of more the newest are dropped.
const MOST: usize = 8;

/// How often the end of the thread is looked for.
const LOOK: Duration = Duration::from_millis(5);

/// What a thread takes for its end.
const MOMENT: Duration = Duration::from_millis(100);

type Errand = Box<dyn FnOnce() + Send>;

/// A thread that does one errand after the other.
pub struct Errands {
    hand: Option<SyncSender<Errand>>,
    thread: JoinHandle<()>,
}

impl Errands {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the system has no thread to give.
    pub fn start() -> io::Result<Errands> {
        let (hand, errands) = sync_channel::<Errand>(MOST);
        let work = move || errands.into_iter().for_each(|errand| errand());
        let thread = thread::Builder::new().name("errands".into()).spawn(work)?;
        Ok(Errands { hand: Some(hand), thread })
    }

    /// Has it done when those before are; returns at once. False if too many wait, and it is dropped.
    pub fn run(&self, errand: impl FnOnce() + Send + 'static) -> bool {
        self.hand.as_ref().is_some_and(|hand| hand.try_send(Box::new(errand)).is_ok())
    }

    /// Waits until all are done, but not much longer than until `until`; says whether they are.
    pub fn finish(mut self, until: Instant) -> bool {
        drop(self.hand.take());
        // Who has nothing to do needs a moment to see that.
        finished_before(&self.thread, until.max(Instant::now() + MOMENT))
    }
}

/// Waits for the end of a thread, but no longer than until `until`.
pub fn finished_before<T>(thread: &JoinHandle<T>, until: Instant) -> bool {
    while !thread.is_finished() {
        if Instant::now() >= until {
            return false;
        }
        thread::sleep(LOOK);
    }
    true
}

/// Starts a thread for work that may be long: frames go first. On Linux a priority belongs to a thread.
///
/// # Errors
///
/// When the system has no thread to give.
pub fn in_background<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    thread::Builder::new().name(name.into()).spawn(move || {
        if let Err(e) = rustix::process::setpriority_process(None, 10) {
            log::debug!("the thread keeps its priority: {e}");
        }
        work()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
    use std::sync::{Arc, Mutex};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn errands_are_done_in_their_order() {
        let errands = Errands::start().unwrap();
        let done = Arc::new(Mutex::new(Vec::new()));
        for number in 0..5 {
            let done = done.clone();
            assert!(errands.run(move || done.lock().unwrap().push(number)));
        }
        assert!(errands.finish(Instant::now() + LONG));
        assert_eq!(*done.lock().unwrap(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn one_that_hangs_holds_up_nobody() {
        let errands = Errands::start().unwrap();
        let (hold, held) = sync_channel::<()>(0);
        assert!(errands.run(move || held.recv().unwrap_or_default()));
        let done = Arc::new(AtomicU32::new(0));
        let taken = (0..100).filter(|_| {
            let done = done.clone();
            errands.run(move || {
                done.fetch_add(1, SeqCst);
            })
        });
        // The first of them may or may not be with the thread already.
        let taken = taken.count();
        assert!((MOST - 1..=MOST).contains(&taken), "{taken}");
        assert!(!errands.finish(Instant::now() + Duration::from_millis(20)));
        drop(hold);
    }
}
