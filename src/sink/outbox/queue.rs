//! The queue of an outbox, without threads and without a clock.

use std::collections::VecDeque;
use std::time::Duration;

use super::{OutboxCounts, OutboxSettings};
use crate::clock::Stamp;
use crate::event::Phase;
use crate::sink::pause::Pause;
use crate::sink::{Item, Sink, SinkError, Wants};

const MINUTE_MS: u64 = 60_000;

/// Items on their way to one sink, and when the next may be tried. Pure: time is handed in, and two queues that were
/// given the same calls are in the same state.
#[derive(Debug)]
pub struct Queue {
    settings: OutboxSettings,
    wants: Wants,
    /// Oldest first.
    items: VecDeque<Item>,
    /// The first item is with the sink: it stays until [`Queue::settle`] says what became of it.
    lent: bool,
    /// No try before this moment, which is set by failures.
    not_before_ms: u64,
    /// Tries of the last minute; kept only where there is a limit.
    tried_ms: VecDeque<u64>,
    pause: Pause,
    trouble: Option<String>,
    counts: OutboxCounts,
    closing: bool,
}

impl Queue {
    /// An empty queue for a sink that wants `wants`; `seed` spreads the pauses after failures.
    pub fn new(settings: OutboxSettings, wants: Wants, seed: u64) -> Queue {
        Queue {
            settings,
            wants,
            items: VecDeque::new(),
            lent: false,
            not_before_ms: 0,
            tried_ms: VecDeque::new(),
            pause: Pause::new(settings.retry_ms, settings.retry_most_ms, seed),
            trouble: None,
            counts: OutboxCounts::default(),
            closing: false,
        }
    }

    /// Puts an item at the end, if the sink wants such. A full queue drops what matters least, which may be this one.
    pub fn offer(&mut self, item: Item) {
        if !self.wants.covers(&item) {
            return;
        }
        self.items.push_back(item);
        let before = self.items.len();
        if before - usize::from(self.lent) > self.settings.queue.max(1) {
            self.drop_least();
            self.counts.dropped += (before - self.items.len()) as u64;
        }
    }

    /// The oldest update or frame; else an event with both its start and its end, of which the receiver then never
    /// hears; else the oldest start, for an end without a start still switches a lamp off; else the oldest end.
    fn drop_least(&mut self) {
        let free = usize::from(self.lent)..self.items.len();
        let oldest = |phase| free.clone().find(|&i| phase_of(&self.items[i]) == Some(phase));
        let minor = |&i: &usize| matches!(phase_of(&self.items[i]), None | Some(Phase::Update));
        if let Some(i) = free.clone().find(minor) {
            self.items.remove(i);
        } else if let Some((start, end)) = free.clone().find_map(|i| Some((i, self.end_of(i)?))) {
            self.items.remove(end);
            self.items.remove(start);
        } else if let Some(i) = oldest(Phase::Start).or_else(|| oldest(Phase::End)) {
            self.items.remove(i);
        }
    }

    /// Where the end is of the event that starts at `start`.
    fn end_of(&self, start: usize) -> Option<usize> {
        let Item::Message(first) = &self.items[start] else { return None };
        let is_end = |item: &Item| match item {
            Item::Message(message) => message.phase == Phase::End && message.event == first.event,
            Item::Shot { .. } => false,
        };
        let after = self.items.iter().skip(start + 1);
        (first.phase == Phase::Start)
            .then(|| after.clone().position(is_end))?
            .map(|i| start + 1 + i)
    }

    /// The item to deliver now, if there is one and its time has come; [`Queue::settle`] must follow.
    pub fn take(&mut self, now: Stamp) -> Option<Item> {
        if self.lent || self.wait(now)? > Duration::ZERO {
            return None;
        }
        if self.settings.per_minute > 0 {
            self.tried_ms.push_back(now.mono_ms);
        }
        self.lent = true;
        self.items.front().cloned()
    }

    /// How long until the first item may be tried; `None` without an item.
    pub fn wait(&mut self, now: Stamp) -> Option<Duration> {
        self.items.front()?;
        if self.closing {
            return Some(Duration::ZERO);
        }
        while self.tried_ms.front().is_some_and(|&ms| ms + MINUTE_MS <= now.mono_ms) {
            self.tried_ms.pop_front();
        }
        let mut due_ms = self.not_before_ms;
        if self.settings.per_minute > 0 {
            let limit = self.settings.per_minute as usize;
            // The try that must leave the minute before another one fits.
            if let Some(i) = self.tried_ms.len().checked_sub(limit) {
                due_ms = due_ms.max(self.tried_ms[i] + MINUTE_MS);
            }
        }
        Some(Duration::from_millis(due_ms.saturating_sub(now.mono_ms)))
    }

    /// Says what became of the item that [`Queue::take`] gave: after a passing error it stays the first one.
    pub fn settle(&mut self, result: Result<(), SinkError>, now: Stamp) {
        self.lent = false;
        match result {
            Err(e) if e.is_passing() => {
                self.counts.retried += 1;
                self.not_before_ms = now.mono_ms.saturating_add(self.pause.next_ms());
                self.trouble = Some(e.to_string());
                return;
            }
            Err(_) => self.counts.failed += 1,
            Ok(()) => self.counts.delivered += 1,
        }
        self.items.pop_front();
        self.pause.reset();
        self.trouble = None;
    }

    /// The sink says that its trouble is over: the next try need not wait.
    pub fn recovered(&mut self) {
        self.not_before_ms = 0;
    }

    /// From now on items are taken without pauses and limits: there is no later.
    pub fn hurry(&mut self) {
        self.closing = true;
    }

    /// Does all that is due, and says how long until something is: the outbox for a simulation.
    pub fn pump(&mut self, sink: &mut dyn Sink, now: Stamp) -> Duration {
        let in_trouble = sink.trouble().is_some();
        let mut tick = sink.tick(now);
        if in_trouble && sink.trouble().is_none() {
            self.recovered();
        }
        while let Some(item) = self.take(now) {
            let result = sink.deliver(&item);
            self.settle(result, now);
            // An item may have started what a tick must end.
            tick = sink.tick(now);
        }
        self.wait(now).map_or(tick, |wait| wait.min(tick))
    }

    /// What became of the items so far.
    pub fn counts(&self) -> OutboxCounts {
        OutboxCounts { queued: self.items.len() as u64, ..self.counts }
    }

    /// What waits, oldest first.
    #[cfg(test)]
    pub(super) fn items(&self) -> &VecDeque<Item> {
        &self.items
    }

    /// Why the last try failed, until one succeeds.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}

/// Which message of its event the item is; `None` is a frame.
fn phase_of(item: &Item) -> Option<Phase> {
    match item {
        Item::Message(message) => Some(message.phase),
        Item::Shot { .. } => None,
    }
}
