use std::sync::mpsc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clock::{Stamp, System};
use crate::event::{Message, Phase};
use crate::sink::messages::message;
use crate::sink::{SinkError, Wants};

fn at(mono_ms: u64) -> Stamp {
    Stamp { mono_ms, ..Stamp::default() }
}

fn item(event: u64, phase: &str, seq: u64) -> Item {
    Item::Message(Arc::new(message(event, phase, seq)))
}

fn seq(item: &Item) -> u64 {
    match item {
        Item::Message(message) => message.seq,
        Item::Shot { .. } => panic!("no shot was offered"),
    }
}

/// Takes items while `plan` says so: one letter each, the last one for ever. `o` takes, `p` is a passing trouble, `r`
/// refuses.
struct Scripted {
    plan: &'static str,
    took: Vec<u64>,
    closed: bool,
}

impl Scripted {
    fn new(plan: &'static str) -> Scripted {
        Scripted { plan, took: Vec::new(), closed: false }
    }
}

impl Sink for Scripted {
    fn name(&self) -> &str {
        "scripted"
    }

    fn deliver(&mut self, item: &Item) -> Result<(), SinkError> {
        let (now, rest) = self.plan.split_at(1);
        if !rest.is_empty() {
            self.plan = rest;
        }
        match now {
            "o" => self.took.push(seq(item)),
            "p" => return Err(SinkError::passing("the broker is away")),
            _ => return Err(SinkError::refused("too large")),
        }
        Ok(())
    }

    fn close(&mut self) {
        self.closed = true;
    }
}

fn settings(queue: usize, per_minute: u32) -> OutboxSettings {
    OutboxSettings { queue, per_minute, retry_ms: 1000, retry_most_ms: 60_000 }
}

fn queue(length: usize, per_minute: u32) -> Queue {
    Queue::new(settings(length, per_minute), Wants::ALL, 7)
}

#[test]
fn items_come_out_as_they_went_in() {
    let mut queue = queue(10, 0);
    (0..10).for_each(|i| queue.offer(item(i, "start", i)));
    let mut sink = Scripted::new("o");
    queue.pump(&mut sink, at(0));
    assert_eq!(sink.took, (0..10).collect::<Vec<_>>());
    assert_eq!(queue.counts(), OutboxCounts { delivered: 10, ..OutboxCounts::default() });
    assert_eq!(queue.wait(at(0)), None);
}

#[test]
fn what_a_sink_does_not_want_takes_no_place() {
    let wants = Wants::messages(&[Phase::Start, Phase::End]);
    let mut queue = Queue::new(settings(10, 0), wants, 7);
    for (i, phase) in ["start", "update", "update", "end"].into_iter().enumerate() {
        queue.offer(item(1, phase, i as u64));
    }
    let mut sink = Scripted::new("o");
    queue.pump(&mut sink, at(0));
    assert_eq!(sink.took, [0, 3]);
}

#[test]
fn a_full_queue_drops_what_matters_least() {
    let left = |offered: &[(u64, &str)], length| {
        let mut queue = queue(length, 0);
        offered
            .iter()
            .enumerate()
            .for_each(|(i, (event, phase))| queue.offer(item(*event, phase, i as u64)));
        let mut sink = Scripted::new("o");
        let dropped = queue.counts().dropped;
        queue.pump(&mut sink, at(0));
        assert_eq!(dropped as usize, offered.len() - sink.took.len());
        sink.took
    };
    // The oldest update, wherever it is; the new one, if it is the only one.
    assert_eq!(left(&[(1, "start"), (1, "update"), (1, "update"), (1, "end")], 3), [0, 2, 3]);
    assert_eq!(left(&[(1, "start"), (2, "start"), (1, "update")], 2), [0, 1]);
    // Without updates: an event as a whole, though an older start stands before it.
    let whole = [(1, "start"), (2, "start"), (2, "end"), (3, "start")];
    assert_eq!(left(&whole, 3), [0, 3]);
    // Also if its end is what made the queue too long.
    assert_eq!(left(&[(1, "start"), (2, "start"), (2, "end")], 2), [0]);
    // Starts before ends: an end alone still switches a lamp off.
    assert_eq!(left(&[(1, "end"), (2, "start"), (3, "start")], 2), [0, 2]);
    assert_eq!(left(&[(1, "end"), (2, "end"), (3, "end")], 2), [1, 2]);
    // A queue of 0 is one of 1.
    assert_eq!(left(&[(1, "start")], 0), [0]);
}

#[test]
fn the_item_on_its_way_is_not_dropped() {
    let mut queue = queue(1, 0);
    queue.offer(item(1, "update", 0));
    let taken = queue.take(at(0)).unwrap();
    assert!(queue.take(at(0)).is_none());
    queue.offer(item(1, "end", 1));
    queue.offer(item(1, "update", 2));
    assert_eq!((seq(&taken), queue.counts().queued, queue.counts().dropped), (0, 2, 1));
    queue.settle(Ok(()), at(0));
    assert_eq!(seq(&queue.take(at(0)).unwrap()), 1);
}

#[test]
fn failures_are_followed_by_longer_pauses() {
    let mut queue = queue(10, 0);
    let mut sink = Scripted::new("ppppppppo");
    queue.offer(item(1, "start", 0));
    queue.offer(item(1, "end", 1));
    let mut now_ms = 5_000_000;
    for span in [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000] {
        let wait = queue.pump(&mut sink, at(now_ms)).as_millis() as u64;
        assert!((span / 2..=span).contains(&wait), "{wait} of {span}");
        assert_eq!(queue.trouble(), Some("the broker is away"));
        // A moment too early nothing is tried.
        let retried = queue.counts().retried;
        queue.pump(&mut sink, at(now_ms + wait - 1));
        assert_eq!(queue.counts().retried, retried);
        now_ms += wait;
    }
    queue.pump(&mut sink, at(now_ms));
    assert_eq!(sink.took, [0, 1]);
    assert_eq!(queue.trouble(), None);
    assert_eq!(
        queue.counts(),
        OutboxCounts { delivered: 2, retried: 8, ..OutboxCounts::default() }
    );
    // The next failure starts with a short pause.
    queue.offer(item(2, "start", 2));
    sink.plan = "po";
    assert!(queue.pump(&mut sink, at(now_ms)).as_millis() <= 1000);
}

#[test]
fn what_is_refused_makes_room_for_the_next() {
    let mut queue = queue(10, 0);
    (0..3).for_each(|i| queue.offer(item(i, "start", i)));
    let mut sink = Scripted::new("oro");
    queue.pump(&mut sink, at(0));
    assert_eq!(sink.took, [0, 2]);
    let counts = OutboxCounts { delivered: 2, failed: 1, ..OutboxCounts::default() };
    assert_eq!(queue.counts(), counts);
}

#[test]
fn an_item_that_always_fails_gives_way_when_the_queue_is_full() {
    let mut queue = queue(2, 0);
    let mut sink = Scripted::new("p");
    queue.offer(item(1, "start", 0));
    queue.pump(&mut sink, at(0));
    for (i, phase) in [(1, "end"), (2, "start"), (2, "end")] {
        queue.offer(item(i, phase, 9));
        assert!(queue.counts().queued <= 2);
    }
    assert_ne!(seq(&queue.items()[0]), 0);
}

#[test]
fn a_minute_has_so_many_tries_and_no_more() {
    let mut queue = queue(100, 3);
    let mut sink = Scripted::new("o");
    (0..7).for_each(|i| queue.offer(item(i, "start", i)));
    assert_eq!(queue.pump(&mut sink, at(1000)), Duration::from_secs(60));
    assert_eq!(sink.took.len(), 3);
    queue.pump(&mut sink, at(60_999));
    assert_eq!(sink.took.len(), 3);
    queue.pump(&mut sink, at(61_000));
    assert_eq!(sink.took.len(), 6);
    queue.hurry();
    queue.pump(&mut sink, at(61_001));
    assert_eq!(sink.took.len(), 7);
}

/// A broker that is away until a tick finds it again.
struct Away(u32);

impl Sink for Away {
    fn name(&self) -> &str {
        "away"
    }

    fn deliver(&mut self, _: &Item) -> Result<(), SinkError> {
        if self.0 > 0 { Err(SinkError::passing("away")) } else { Ok(()) }
    }

    fn tick(&mut self, _: Stamp) -> Duration {
        self.0 = self.0.saturating_sub(1);
        Duration::from_secs(1)
    }

    fn trouble(&self) -> Option<&str> {
        (self.0 > 0).then_some("away")
    }
}

#[test]
fn a_sink_that_recovers_is_not_kept_waiting() {
    let slow = OutboxSettings { retry_ms: 3_600_000, retry_most_ms: 3_600_000, ..settings(10, 0) };
    let mut queue = Queue::new(slow, Wants::ALL, 7);
    queue.offer(item(1, "start", 0));
    // One tick before the try that fails, one after it, and one in each later call.
    let mut sink = Away(5);
    for second in 0..3 {
        queue.pump(&mut sink, at(second * 1000));
        assert_eq!(
            queue.counts(),
            OutboxCounts { queued: 1, retried: 1, ..OutboxCounts::default() }
        );
    }
    queue.pump(&mut sink, at(3000));
    assert_eq!(queue.counts().delivered, 1);
    // The same on a thread.
    let outbox = Outbox::start(Box::new(Away(2)), slow, Arc::new(System)).unwrap();
    outbox.offer(item(1, "start", 0));
    while outbox.counts().delivered == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(outbox.close(LONG));
}

/// A lamp that is on for half a second after each item.
struct Lamp {
    off_at_ms: Option<u64>,
    now_ms: u64,
    said: Option<mpsc::Sender<&'static str>>,
}

impl Lamp {
    fn new(said: Option<mpsc::Sender<&'static str>>) -> Lamp {
        Lamp { off_at_ms: None, now_ms: 0, said }
    }

    fn say(&self, what: &'static str) {
        if let Some(said) = &self.said {
            let _ = said.send(what);
        }
    }
}

impl Sink for Lamp {
    fn name(&self) -> &str {
        "lamp"
    }

    fn deliver(&mut self, _: &Item) -> Result<(), SinkError> {
        self.off_at_ms = Some(self.now_ms + 500);
        self.say("on");
        Ok(())
    }

    fn tick(&mut self, now: Stamp) -> Duration {
        self.now_ms = now.mono_ms;
        match self.off_at_ms {
            Some(ms) if now.mono_ms < ms => return Duration::from_millis(ms - now.mono_ms),
            Some(_) => {
                self.off_at_ms = None;
                self.say("off");
            }
            None => {}
        }
        Duration::from_secs(3600)
    }
}

#[test]
fn what_an_item_starts_a_tick_ends_in_time() {
    let mut queue = queue(10, 0);
    let mut lamp = Lamp::new(None);
    assert_eq!(queue.pump(&mut lamp, at(1000)), Duration::from_secs(3600));
    queue.offer(item(1, "start", 0));
    assert_eq!(queue.pump(&mut lamp, at(2000)), Duration::from_millis(500));
    assert_eq!(queue.pump(&mut lamp, at(2500)), Duration::from_secs(3600));
    // The same on a thread, whose first tick said "in an hour".
    let (said, words) = mpsc::channel();
    let lamp = Box::new(Lamp::new(Some(said)));
    let outbox = Outbox::start(lamp, settings(10, 0), Arc::new(System)).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    outbox.offer(item(1, "start", 0));
    assert_eq!(words.recv_timeout(LONG).unwrap(), "on");
    assert_eq!(words.recv_timeout(LONG).unwrap(), "off");
}

/// What a test does to a queue.
#[derive(Clone, Debug)]
enum Step {
    Offer(u64, &'static str),
    /// Time passes, then the sink takes, fails or refuses.
    Pump(u64, &'static str),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let phase = prop::sample::select(vec!["start", "update", "end"]);
    let plan = prop::sample::select(vec!["o", "p", "r", "op", "oorp", "po"]);
    let step = prop_oneof![
        3 => (0u64..6, phase).prop_map(|(event, phase)| Step::Offer(event, phase)),
        1 => (0u64..40_000, plan).prop_map(|(ms, plan)| Step::Pump(ms, plan)),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn a_queue_keeps_its_promises(steps in steps(), length in 1usize..8, per_minute in 0u32..4) {
        let mut queue = queue(length, per_minute);
        let (mut now_ms, mut offered) = (0, 0);
        let mut took = Vec::new();
        let mut tries: Vec<u64> = Vec::new();
        for step in steps {
            let before = queue.counts();
            match step {
                Step::Offer(event, phase) => {
                    let minor = queue.items().iter().any(|item| phase_of(item) == Phase::Update);
                    queue.offer(item(event, phase, offered));
                    offered += 1;
                    // With an update to drop, or as one, nothing else went.
                    if minor || phase == "update" {
                        prop_assert!(queue.counts().dropped <= before.dropped + 1);
                    }
                }
                Step::Pump(ms, plan) => {
                    now_ms += ms;
                    let mut sink = Scripted::new(plan);
                    let wait = queue.pump(&mut sink, at(now_ms));
                    prop_assert!(queue.counts().queued == 0 || wait > Duration::ZERO);
                    took.extend(sink.took);
                    let after = queue.counts();
                    let tried = |c: OutboxCounts| c.delivered + c.failed + c.retried;
                    tries.extend((tried(before)..tried(after)).map(|_| now_ms));
                }
            }
            let c = queue.counts();
            prop_assert!(c.queued <= length as u64);
            prop_assert_eq!(c.delivered + c.failed + c.dropped + c.queued, offered);
        }
        prop_assert!(took.is_sorted_by(|a, b| a < b), "{took:?}");
        if per_minute > 0 {
            let crowded = tries.windows(per_minute as usize + 1).any(|w| w[per_minute as usize] < w[0] + 60_000);
            prop_assert!(!crowded, "{tries:?}");
        }
    }

    #[test]
    fn starts_and_ends_outlive_updates(events in prop::collection::vec(0usize..3, 1..100), length in 1usize..20) {
        let mut queue = queue(length, 0);
        let phases = ["start", "update", "end"];
        events.iter().enumerate().for_each(|(i, &p)| queue.offer(item(i as u64, phases[p], i as u64)));
        let major = events.iter().filter(|&&p| p != 1).count();
        let kept = queue.items().iter().filter(|item| phase_of(item) != Phase::Update).count();
        // Each event is its own here, so nothing is dropped as a whole.
        prop_assert_eq!(kept, major.min(length));
    }
}

fn phase_of(item: &Item) -> Phase {
    match item {
        Item::Message(message) => message.phase,
        Item::Shot { .. } => panic!("no shot was offered"),
    }
}

/// Hands what it gets to a channel, and waits for a word before it goes on.
struct Slow {
    took: mpsc::Sender<Arc<Message>>,
    go: mpsc::Receiver<Result<(), SinkError>>,
    closed: mpsc::Sender<()>,
}

impl Sink for Slow {
    fn name(&self) -> &str {
        "slow"
    }

    fn deliver(&mut self, item: &Item) -> Result<(), SinkError> {
        let Item::Message(message) = item else { panic!("no shot was offered") };
        self.took.send(message.clone()).unwrap();
        self.go.recv().unwrap_or(Err(SinkError::passing("the test is over")))
    }

    fn trouble(&self) -> Option<&str> {
        Some("slow by nature")
    }

    fn close(&mut self) {
        let _ = self.closed.send(());
    }
}

/// Long enough for any machine; only a test that fails waits for it.
const LONG: Duration = Duration::from_secs(60);

type Bench =
    (Outbox, mpsc::Receiver<Arc<Message>>, mpsc::Sender<Result<(), SinkError>>, mpsc::Receiver<()>);

fn slow(settings: OutboxSettings) -> Bench {
    let (took_in, took) = mpsc::channel();
    let (go, go_out) = mpsc::channel();
    let (closed_in, closed) = mpsc::channel();
    let sink = Slow { took: took_in, go: go_out, closed: closed_in };
    (Outbox::start(Box::new(sink), settings, Arc::new(System)).unwrap(), took, go, closed)
}

#[test]
fn offers_do_not_wait_for_a_sink_that_hangs() {
    let (outbox, took, go, closed) = slow(settings(4, 0));
    outbox.offer(item(0, "start", 0));
    assert_eq!(took.recv_timeout(LONG).unwrap().seq, 0);
    // Nobody lets the sink go on, and all of these return.
    (1..1000).for_each(|i| outbox.offer(item(i, "update", i)));
    let counts = outbox.counts();
    assert_eq!((counts.delivered, counts.dropped, counts.queued), (0, 995, 5));
    assert_eq!((outbox.name(), outbox.trouble().as_deref()), ("slow", Some("slow by nature")));
    assert!(!outbox.close(Duration::from_millis(50)));
    // The thread ends when the sink comes back, and closes it.
    (0..5).for_each(|_| go.send(Ok(())).unwrap());
    closed.recv_timeout(LONG).unwrap();
    assert_eq!(took.iter().count(), 4);
}

#[test]
fn losses_are_told_once_a_minute() {
    let mut losses = Losses::default();
    let told: Vec<u64> =
        [(0, 0), (1, 1), (2, 2), (5, 60_000), (5, 60_001), (7, 60_002), (7, 120_001)]
            .map(|(lost, ms)| losses.more(lost, ms))
            .into();
    assert_eq!(told, [0, 1, 0, 0, 4, 0, 2]);
}

#[test]
fn closing_delivers_what_is_left_without_pauses() {
    let patient =
        OutboxSettings { retry_ms: 3_600_000, retry_most_ms: 3_600_000, ..settings(10, 1) };
    let (outbox, took, go, closed) = slow(patient);
    (0..3).for_each(|i| outbox.offer(item(i, "start", i)));
    took.recv_timeout(LONG).unwrap();
    go.send(Err(SinkError::passing("not yet"))).unwrap();
    while outbox.trouble().as_deref() != Some("not yet") {
        std::thread::yield_now();
    }
    (0..3).for_each(|_| go.send(Ok(())).unwrap());
    assert!(outbox.close(LONG));
    closed.recv_timeout(LONG).unwrap();
    assert_eq!(took.try_iter().map(|message| message.seq).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn closing_stops_at_the_first_failure() {
    let (outbox, took, go, closed) = slow(settings(10, 0));
    (0..3).for_each(|i| outbox.offer(item(i, "start", i)));
    took.recv_timeout(LONG).unwrap();
    let closing = std::thread::spawn(move || outbox.close(LONG));
    go.send(Err(SinkError::passing("gone"))).unwrap();
    // The failure came before or after the call: at most one more is tried.
    go.send(Err(SinkError::passing("still gone"))).unwrap();
    assert!(!closing.join().unwrap());
    closed.recv_timeout(LONG).unwrap();
    assert!(took.try_iter().count() <= 1);
}

#[test]
fn an_outbox_that_is_dropped_closes_its_sink() {
    let (outbox, took, go, closed) = slow(settings(10, 0));
    outbox.offer(item(0, "start", 0));
    go.send(Ok(())).unwrap();
    took.recv_timeout(LONG).unwrap();
    drop(outbox);
    closed.recv_timeout(LONG).unwrap();
}
