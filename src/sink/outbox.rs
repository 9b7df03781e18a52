//! Between the frame loop and a sink: a bounded queue, a thread, pauses after failures.
//!
//! The loop offers and goes on; whatever the sink does, hang included, costs the loop nothing. What matters least is
//! dropped first, and all of it is counted.

mod queue;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::pause;
use super::{Item, Sink, SinkError};
use crate::clock::Clock;

pub use queue::Queue;

/// How the queue of a sink behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxSettings {
    /// Items that wait at most, beside the one on its way; at least 1.
    pub queue: usize,
    /// Tries within any 60 seconds at most; 0 is no limit.
    pub per_minute: u32,
    /// Pause after a failure, in milliseconds; it doubles with each further one.
    pub retry_ms: u64,
    /// The longest pause after a failure.
    pub retry_most_ms: u64,
}

impl Default for OutboxSettings {
    fn default() -> OutboxSettings {
        OutboxSettings { queue: 64, per_minute: 30, retry_ms: 1000, retry_most_ms: 60_000 }
    }
}

/// What became of the items that a sink wanted. `delivered + failed + dropped + queued` is their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxCounts {
    pub delivered: u64,
    /// Dropped because the queue was full.
    pub dropped: u64,
    /// Refused by the receiver.
    pub failed: u64,
    /// Waiting now, the one on its way included.
    pub queued: u64,
    /// Tries that failed and were, or will be, followed by another.
    pub retried: u64,
}

/// A sink on a thread of its own, behind a queue.
pub struct Outbox {
    name: String,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// There is an item, or the end has come.
    wake: Condvar,
    /// The thread is done.
    done: Condvar,
}

struct State {
    queue: Queue,
    /// What the sink says of itself.
    trouble: Option<String>,
    closing: bool,
    /// The sink was closed.
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outbox {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the system has no thread to give.
    pub fn start(
        sink: Box<dyn Sink>,
        settings: OutboxSettings,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Outbox> {
        let name = sink.name().to_string();
        let queue = Queue::new(settings, sink.wants(), pause::seed(&name));
        let state = State { queue, trouble: None, closing: false, closed: false };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            wake: Condvar::new(),
            done: Condvar::new(),
        });
        let worker = Worker { sink, shared: shared.clone(), clock, log: Log::new(&name) };
        thread::Builder::new().name(format!("sink-{name}")).spawn(move || worker.run())?;
        Ok(Outbox { name, shared })
    }

    /// The sink's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Puts an item into the queue, if the sink wants such, and returns at once. A full queue drops an update or a
    /// frame before a start or an end.
    pub fn offer(&self, item: Item) {
        self.shared.lock().queue.offer(item);
        self.shared.wake.notify_all();
    }

    /// What became of the items so far.
    pub fn counts(&self) -> OutboxCounts {
        self.shared.lock().queue.counts()
    }

    /// What is wrong now, in words.
    pub fn trouble(&self) -> Option<String> {
        let state = self.shared.lock();
        state.queue.trouble().map(str::to_string).or_else(|| state.trouble.clone())
    }

    /// Begins what [`Outbox::close`] waits for, so that several outboxes can end side by side.
    pub fn end(&self) {
        let mut state = self.shared.lock();
        state.closing = true;
        state.queue.hurry();
        self.shared.wake.notify_all();
    }

    /// The sink is closed: its thread is done.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    /// The sink is closed, and nothing was left.
    pub fn is_done(&self) -> bool {
        let state = self.shared.lock();
        state.closed && state.queue.counts().queued == 0
    }

    /// Delivers what is left, without pauses and up to the first failure, closes the sink, and says whether nothing was
    /// left. Returns after `within` at the latest: a sink that still hangs then is left to the end of the process.
    pub fn close(self, within: Duration) -> bool {
        let until = Instant::now() + within;
        self.end();
        let mut state = self.shared.lock();
        while !state.closed {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.shared.done.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.queue.counts().queued == 0
    }
}

/// Without [`Outbox::close`] the thread is told to end, and nobody waits for it.
impl Drop for Outbox {
    fn drop(&mut self) {
        self.end();
    }
}

/// What the thread owns.
struct Worker {
    sink: Box<dyn Sink>,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    log: Log,
}

impl Worker {
    fn run(mut self) {
        let mut tick_due_ms = 0;
        while let Some(turn) = self.turn(tick_due_ms) {
            match turn {
                Turn::Tick => {
                    let wait = self.sink.tick(self.clock.now());
                    // A sink that is never content must not keep a core busy.
                    let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
                    tick_due_ms = self.clock.now().mono_ms.saturating_add(ms);
                }
                Turn::Item(item) => {
                    let result = self.sink.deliver(&item);
                    // An item may have started what a tick must end.
                    tick_due_ms = 0;
                    let failed = result.as_ref().is_err_and(SinkError::is_passing);
                    if let Err(e) = &result
                        && !failed
                    {
                        self.log.refused = e.to_string();
                    }
                    let mut state = self.shared.lock();
                    state.queue.settle(result, self.clock.now());
                    if failed && state.closing {
                        break;
                    }
                }
                Turn::Waited => continue,
            }
            self.say();
        }
        self.sink.close();
        self.shared.lock().closed = true;
        self.shared.done.notify_all();
    }

    /// What is to be done next, waited for; `None` when the end has come and nothing is left.
    fn turn(&self, tick_due_ms: u64) -> Option<Turn> {
        let now = self.clock.now();
        let mut state = self.shared.lock();
        if !state.closing && now.mono_ms >= tick_due_ms {
            return Some(Turn::Tick);
        }
        if let Some(item) = state.queue.take(now) {
            return Some(Turn::Item(item));
        }
        if state.closing {
            return None;
        }
        let tick = Duration::from_millis(tick_due_ms - now.mono_ms);
        let wait = state.queue.wait(now).map_or(tick, |wait| wait.min(tick));
        drop(self.shared.wake.wait_timeout(state, wait));
        Some(Turn::Waited)
    }

    /// Publishes the sink's own trouble, and logs what changed.
    fn say(&mut self) {
        let own = self.sink.trouble().map(str::to_string);
        let mut state = self.shared.lock();
        let trouble = state.queue.trouble().map(str::to_string).or_else(|| own.clone());
        if state.trouble.is_some() && own.is_none() {
            state.queue.recovered();
        }
        state.trouble = own;
        let counts = state.queue.counts();
        drop(state);
        self.log.update(trouble, counts, self.clock.now().mono_ms);
    }
}

/// What the thread does in one round.
enum Turn {
    /// Lets the sink do what is due.
    Tick,
    Item(Item),
    /// Nothing, or another state of things: look again.
    Waited,
}

/// Log lines about one outbox: when trouble begins and ends, and at most one a minute about losses of a kind.
#[derive(Default)]
struct Log {
    name: String,
    trouble_since_ms: Option<u64>,
    /// Why the last item was refused.
    refused: String,
    failed: Losses,
    dropped: Losses,
}

impl Log {
    fn new(name: &str) -> Log {
        Log { name: name.to_string(), ..Log::default() }
    }

    fn update(&mut self, trouble: Option<String>, counts: OutboxCounts, now_ms: u64) {
        let name = &self.name;
        match (trouble, self.trouble_since_ms) {
            (Some(why), None) => {
                log::warn!("{name}: {why}");
                self.trouble_since_ms = Some(now_ms);
            }
            (None, Some(since_ms)) => {
                let seconds = now_ms.saturating_sub(since_ms) / 1000;
                log::info!("{name}: works again after {seconds} s; {} items wait", counts.queued);
                self.trouble_since_ms = None;
            }
            _ => {}
        }
        match (self.failed.more(counts.failed, now_ms), &self.refused) {
            (0, _) => {}
            (1, why) => log::warn!("{name}: an item is refused for good: {why}"),
            (more, why) => {
                log::warn!("{name}: {more} items are refused for good, the last one: {why}")
            }
        }
        let more = self.dropped.more(counts.dropped, now_ms);
        if more > 0 {
            log::warn!(
                "{name}: the queue is full: {more} items dropped, the least important first"
            );
        }
    }
}

/// Items that were lost, as far as the log has told them.
#[derive(Default)]
struct Losses {
    told: u64,
    told_ms: Option<u64>,
}

impl Losses {
    /// How many are to be told now.
    fn more(&mut self, lost: u64, now_ms: u64) -> u64 {
        let more = lost - self.told;
        if more == 0 || self.told_ms.is_some_and(|ms| now_ms.saturating_sub(ms) < 60_000) {
            return 0;
        }
        *self = Losses { told: lost, told_ms: Some(now_ms) };
        more
    }
}
