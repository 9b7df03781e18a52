//! Opens everything that the configuration names for events to go to.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::RuntimeError;
use super::outputs::{Kept, Outputs};
use crate::clock::Clock;
use crate::config::Config;
use crate::event::Message;
use crate::sink::Sink;
use crate::sink::evidence::{Evidence, Shots};
use crate::sink::gpio::GpioSink;
use crate::sink::hook::HookSink;
use crate::sink::journal::{Journal, Reader, Record, ScoreLog};
use crate::sink::mqtt::MqttSink;
use crate::sink::outbox::{Outbox, OutboxSettings};
use crate::sink::webhook::WebhookSink;
use crate::status::Board;

/// The queue of what is on the device itself: deep, unlimited, and tried again soon.
pub const LOCAL: OutboxSettings =
    OutboxSettings { queue: 1024, per_minute: 0, retry_ms: 1000, retry_most_ms: 30_000 };

/// So many segments of the journal are read at the start: what is older is in the memo.
const SEGMENTS: u64 = 2;

/// Opened outlets that are given nothing yet. Lines are at their safe level, and stay so if these are dropped.
pub struct Outlets {
    sinks: Vec<(Box<dyn Sink>, OutboxSettings)>,
    shots: Option<Shots>,
    scores: Option<ScoreLog>,
    kept: Vec<Kept>,
    past: Option<Vec<Message>>,
}

/// Opens lines first, so that they are at their safe level whatever comes after.
///
/// # Errors
///
/// A line that cannot be opened, an outlet whose settings cannot be. A broker that is away or a disk that is full is none:
/// the sink tries again.
pub fn open(config: &Config) -> Result<Outlets, RuntimeError> {
    let mut outlets =
        Outlets { sinks: Vec::new(), shots: None, scores: None, kept: Vec::new(), past: None };
    for settings in &config.gpio {
        safe_on_panic(settings.clone());
        let sink = GpioSink::open(settings.clone())?;
        outlets.sinks.push((Box::new(sink), LOCAL));
    }
    if let Some(dir) = &config.journal.dir {
        outlets.past = past(dir);
        let mut journal = Journal::new(dir, &config.journal);
        if let Err(e) = journal.open() {
            log::warn!("journal: {e}; it is tried again");
        }
        outlets.scores = Some(journal.scores());
        let quota_bytes = config.journal.most_mb << 20;
        outlets.kept.push(Kept::new("journal", dir, journal.usage(), quota_bytes));
        outlets.sinks.push((Box::new(journal), LOCAL));
    }
    if let Some(dir) = &config.evidence.dir {
        let mut evidence = Evidence::new(dir, &config.evidence);
        if let Err(e) = evidence.open() {
            log::warn!("evidence: {e}; it is tried again");
        }
        outlets.shots = Some(Shots::new(&config.evidence));
        let quota_bytes = config.evidence.quota_mb << 20;
        outlets.kept.push(Kept::new("evidence", dir, evidence.usage(), quota_bytes));
        outlets.sinks.push((Box::new(evidence), LOCAL));
    }
    if let Some(settings) = &config.mqtt {
        let sink = MqttSink::new(settings.clone()).map_err(RuntimeError::config)?;
        outlets.sinks.push((Box::new(sink), settings.outbox));
    }
    for (index, settings) in config.webhooks.iter().enumerate() {
        let name = numbered("webhook", index, config.webhooks.len());
        let sink = WebhookSink::new(&name, settings.clone()).map_err(RuntimeError::config)?;
        outlets.sinks.push((Box::new(sink), settings.outbox));
    }
    for (index, settings) in config.hooks.iter().enumerate() {
        let name = numbered("hook", index, config.hooks.len());
        let sink = HookSink::new(&name, settings.clone()).map_err(RuntimeError::config)?;
        outlets.sinks.push((Box::new(sink), settings.outbox));
    }
    Ok(outlets)
}

impl Outlets {
    /// Messages of earlier runs, the oldest first; `None` where nobody can know them.
    pub fn past(&mut self) -> Option<Vec<Message>> {
        self.past.take()
    }

    /// Starts a thread for each: from now on lines show what is going on, and connections are made.
    ///
    /// # Errors
    ///
    /// When the system has no thread to give.
    pub fn start(self, board: Arc<Board>, clock: &Arc<dyn Clock>) -> io::Result<Outputs> {
        let Outlets { sinks, shots, scores, kept, .. } = self;
        let mut outputs = Outputs { board, outboxes: Vec::new(), shots, scores, kept };
        for (sink, settings) in sinks {
            outputs.outboxes.push(Outbox::start(sink, settings, clock.clone())?);
        }
        Ok(outputs)
    }
}

/// `webhook`, or `webhook-0` and so on where there are several.
fn numbered(name: &str, index: usize, count: usize) -> String {
    if count == 1 { name.into() } else { format!("{name}-{index}") }
}

/// Messages that the journal kept. Whatever is wrong with it is no reason not to watch.
fn past(dir: &Path) -> Option<Vec<Message>> {
    let reader = match Reader::newest(dir, SEGMENTS) {
        Ok(reader) => reader.only_messages(),
        Err(e) => {
            if dir.exists() {
                log::warn!("journal: {e}; events that were open before are not ended");
            }
            return None;
        }
    };
    let messages = reader.filter_map(|record| match record {
        Record::Message(message) => Some(message),
        _ => None,
    });
    Some(messages.collect())
}

/// A thread that panics may leave the program half alive; a line may not stay on because of that.
fn safe_on_panic(settings: crate::sink::gpio::GpioSettings) {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        before(panic);
        if let Err(e) = settings.make_safe() {
            log::error!("a line could not be brought to its safe level: {e}");
        }
    }));
}
