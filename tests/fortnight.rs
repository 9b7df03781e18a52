//! A fortnight of a simulated device: the code of a device, a virtual clock, and everything that goes wrong in the field.
//!
//! `UPDATE_SNAPSHOTS=1` writes the table anew; it is part of a review.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oddsight::camera::{
    BackOff, CameraError, CameraErrorKind, Content, Faults, Frame, FrameSource, Next, Seen,
    Supervised,
};
use oddsight::clock::Stamp;
use oddsight::event::{AlarmSettings, Cause, DriftState, EventId, Machine, Message, Phase};
use oddsight::gate::{Region, RegionSettings};
use oddsight::image::encode_png;
use oddsight::learn::Learner;
use oddsight::model::Model;
use oddsight::runtime::{Eye, Outcome, Watch, WatchSettings};
use oddsight::sink::evidence::{Evidence, EvidenceSettings, Shots};
use oddsight::sink::gpio::{GpioSettings, GpioSink};
use oddsight::sink::journal::{Journal, JournalSettings, Reader, Record, ScoreLine, ScoreLog};
use oddsight::sink::outbox::{OutboxSettings, Queue};
use oddsight::sink::{Item, Shot, Sink, SinkError};
use oddsight::storage::{Answer, Disk, Op};
use oddsight::verdict::Alpha;

#[path = "support/directory.rs"]
mod directory;
#[path = "support/tiny.rs"]
mod tiny;
#[path = "fortnight/world.rs"]
mod world;

use world::{DAY, DAYS, HOUR, MINUTE, SIZE, World, any};

/// Between two frames. A real camera gives more; the rules that are tried here count frames and look at times.
const FRAME: u64 = 20_000;
/// The machine had been up for a while.
const BOOT: u64 = 777_000;
const UTC: i64 = 1_795_651_200_000;

/// Memory that frames before an event, queues and lists may take, whatever the day.
const HELD: i64 = 256 << 10;

const BUDGET: u32 = 8;
const JOURNAL_MB: u64 = 4;
const EVIDENCE_MB: u64 = 2;

/// The simulated time since the beginning, shared with the camera, the broker and the disk.
#[derive(Clone, Default)]
struct Time(Arc<AtomicU64>);

impl Time {
    fn ms(&self) -> u64 {
        self.0.load(Relaxed)
    }

    fn pass(&self, ms: u64) {
        self.0.fetch_add(ms, Relaxed);
    }
}

fn stamp(world: &World, ms: u64) -> Stamp {
    let steps: i64 =
        world.clock_steps.iter().filter(|(at, _)| *at <= ms).map(|(_, step)| step).sum();
    Stamp { mono_ms: BOOT + ms, utc_ms: UTC + ms as i64 + steps, clock_synced: steps == 0 }
}

/// Gives a frame whenever it is asked, unless it is unplugged.
struct Camera {
    world: Arc<World>,
    time: Time,
    seq: u64,
}

impl FrameSource for Camera {
    fn next_frame(&mut self, _: Duration) -> Result<Next, CameraError> {
        let ms = self.time.ms();
        if any(&self.world.unplugged, ms) {
            return Err(unplugged());
        }
        let seq = self.seq;
        self.seq += 1;
        let png = encode_png(&self.world.picture(ms, ms / FRAME));
        Ok(Next::Frame(Frame { seq, name: String::new(), content: Content::File(png) }))
    }
}

fn unplugged() -> CameraError {
    CameraError::new(CameraErrorKind::Lost, "/dev/video0: no such device")
}

fn camera(world: &Arc<World>, time: &Time) -> Supervised {
    let (world, time) = (world.clone(), time.clone());
    let open = Box::new(move || -> Result<Box<dyn FrameSource>, CameraError> {
        if any(&world.unplugged, time.ms()) {
            return Err(unplugged());
        }
        Ok(Box::new(Camera { world: world.clone(), time: time.clone(), seq: 0 }))
    });
    let faults: Faults =
        "drop=0.002,corrupt=0.002,truncate=0.002,freeze=0.0001,stall=0.0002,disconnect=0.0002,seed=3"
            .parse()
            .unwrap();
    let back_off = BackOff { stall_ms: 60_000, ..BackOff::default() };
    Supervised::new(faults.around_without_waiting(open), back_off, 1)
}

/// A broker that is away at times, and what it was told.
struct Broker {
    world: Arc<World>,
    time: Time,
    heard: Arc<Mutex<Tape>>,
}

/// Messages as lines of JSON, in memory that is there from the beginning: what the test keeps does not count as the
/// device's.
struct Tape(Vec<u8>);

impl Tape {
    fn new() -> Tape {
        Tape(Vec::with_capacity(16 << 20))
    }

    fn push(&mut self, message: &Message) {
        serde_json::to_writer(&mut self.0, message).unwrap();
        self.0.push(b'\n');
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    /// The messages from a former length on.
    fn since(&self, length: usize) -> Vec<Message> {
        let lines = self.0[length..].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }

    fn all(&self) -> Vec<Message> {
        self.since(0)
    }
}

impl Sink for Broker {
    fn name(&self) -> &str {
        "broker"
    }

    fn wants(&self) -> oddsight::sink::Wants {
        oddsight::sink::Wants { suppressed: false, shots: false, ..oddsight::sink::Wants::ALL }
    }

    fn deliver(&mut self, item: &Item) -> Result<(), SinkError> {
        if any(&self.world.broker_down, self.time.ms()) {
            return Err(SinkError::passing("connection refused"));
        }
        if let Item::Message(message) = item {
            self.heard.lock().unwrap().push(message);
        }
        Ok(())
    }
}

fn disk(world: &Arc<World>, time: &Time) -> Disk {
    let (world, time) = (world.clone(), time.clone());
    Disk::scripted(move |op| {
        let ms = time.ms();
        let is_change = !matches!(op, Op::Remove(_) | Op::RemoveDir(_) | Op::Free(_));
        if any(&world.disk_read_only, ms) && !matches!(op, Op::Free(_)) {
            return Answer::Fail(io::ErrorKind::ReadOnlyFilesystem);
        }
        if any(&world.disk_full, ms) && is_change {
            return match op {
                // The disk is full in the middle of a line.
                Op::Write { bytes, .. } => {
                    Answer::Short(bytes.len() / 2, io::ErrorKind::StorageFull)
                }
                _ => Answer::Fail(io::ErrorKind::StorageFull),
            };
        }
        Answer::Go
    })
}

struct Outlet {
    queue: Queue,
    sink: Box<dyn Sink>,
}

impl Outlet {
    fn new(sink: Box<dyn Sink>, settings: OutboxSettings) -> Outlet {
        Outlet { queue: Queue::new(settings, sink.wants(), 1), sink }
    }
}

/// Counts of one day, a row of the table.
#[derive(Clone, Debug, Default)]
struct Row {
    frames: u64,
    scored: u64,
    faulty: u64,
    lost: u64,
    seen: u64,
    alarms: u64,
    false_alarms: u64,
    suppressed: u64,
    faults: u64,
    drifts: u64,
    heard: u64,
    waiting: u64,
    journal_kb: u64,
    evidence_kb: u64,
}

const HEAD: &str = "day  frames  scored  faulty  lost | strangers  seen  alarms  false  suppressed  faults  drifts | \
                    heard  waiting | journal KB  evidence KB";

impl Row {
    fn line(&self, day: u64, strangers: u64) -> String {
        format!(
            "{day:>3}  {:>6}  {:>6}  {:>6}  {:>4} | {strangers:>9}  {:>4}  {:>6}  {:>5}  {:>10}  {:>6}  {:>6} | {:>5}  \
             {:>7} | {:>10}  {:>11}",
            self.frames,
            self.scored,
            self.faulty,
            self.lost,
            self.seen,
            self.alarms,
            self.false_alarms,
            self.suppressed,
            self.faults,
            self.drifts,
            self.heard,
            self.waiting,
            self.journal_kb,
            self.evidence_kb
        )
    }
}

struct Simulation {
    world: Arc<World>,
    time: Time,
    dir: PathBuf,
    model: Model,
    watch: Watch,
    camera: Supervised,
    outlets: Vec<Outlet>,
    scores: ScoreLog,
    shots: Shots,
    heard: Arc<Mutex<Tape>>,
    said: Tape,
    row: Row,
    /// Good frames of each stranger that were judged.
    shown: Vec<u32>,
}

fn alarm() -> AlarmSettings {
    AlarmSettings {
        cooldown_s: 600,
        budget_per_day: BUDGET,
        update_s: 300,
        ..AlarmSettings::default()
    }
}

fn settings() -> WatchSettings {
    let mut settings = WatchSettings { alarm: alarm(), ..WatchSettings::default() };
    settings.pace.max_fps = 0.0;
    // A frame each ten seconds shows any change of the light as a jump, the sunrise included.
    settings.alarm.light_change = 60;
    settings
}

fn regions() -> Vec<Region> {
    vec![Region::new(&RegionSettings::default()).unwrap()]
}

/// Two days without trouble, learnt in place.
fn taught() -> Model {
    let dir = tempfile::tempdir().unwrap();
    directory::write(dir.path());
    let blob =
        directory::blob(&tiny::onnx(tiny::Tail::Legacy), &directory::every_head(tiny::WIDTH));
    std::fs::write(dir.path().join("heads.postcard"), blob.to_bytes()).unwrap();
    let base = Model::open(dir.path()).unwrap();
    let quiet = World::quiet();
    let mut scorer = base.scorer().unwrap();
    let mut learner = Learner::new(base.clone(), 1);
    for frame in 0..2 * DAY / FRAME {
        // Other noise than that of the fortnight.
        let picture = quiet.picture(frame * FRAME, frame + 1_000_000);
        learner.add(&scorer.features(&picture).unwrap(), frame * FRAME);
    }
    base.with_heads(learner.finish().unwrap().blob).unwrap()
}

impl Simulation {
    fn new(dir: &Path) -> Simulation {
        let world = Arc::new(World::new(20));
        let time = Time::default();
        let model = taught();
        let camera = camera(&world, &time);
        let strangers = world.strangers.len();
        let heard = Arc::new(Mutex::new(Tape::new()));
        let (outlets, scores) = outlets(&world, &time, dir, &heard);
        let watch = watch(&model, stamp(&world, 0));
        Simulation {
            shots: Shots::new(&evidence_settings(dir)),
            dir: dir.to_path_buf(),
            world,
            time,
            model,
            watch,
            camera,
            outlets,
            scores,
            heard,
            said: Tape::new(),
            row: Row::default(),
            shown: vec![0; strangers],
        }
    }

    fn now(&self) -> Stamp {
        stamp(&self.world, self.time.ms())
    }

    /// One turn of the main loop.
    fn turn(&mut self) {
        let at = self.now();
        let machine = Machine { temperature_c: Some(55.0), throttled: None };
        match self.camera.next(at) {
            Seen::Frame(frame) => self.frame(Arc::new(frame), at, machine),
            Seen::Fault(kind, why) => {
                self.row.lost += u64::from(kind == oddsight::event::FaultKind::Lost);
                let step = self.watch.fault(kind, why, at, machine);
                self.say(step.messages);
            }
            Seen::Nothing => {}
            Seen::Ended => panic!("a camera has no end"),
        }
        let said = self.watch.tick(at, machine);
        self.say(said);
        for outlet in &mut self.outlets {
            outlet.queue.pump(&mut *outlet.sink, at);
        }
        self.time.pass(FRAME);
    }

    fn frame(&mut self, frame: Arc<Frame>, at: Stamp, machine: Machine) {
        self.row.frames += 1;
        let step = self.watch.frame(&frame, at, machine).unwrap();
        let mut score = None;
        match &step.outcome {
            Outcome::Scored { verdicts, .. } => {
                self.row.scored += 1;
                score = Some((verdicts[0].energy, verdicts[0].p_value));
                self.scores.push(ScoreLine {
                    seq: frame.seq,
                    at,
                    region: "frame".into(),
                    energy_q16: verdicts[0].energy_q16,
                    p_value: verdicts[0].p_value,
                    light_jumped: step.light_jumped,
                    name: String::new(),
                });
                let ms = self.time.ms();
                if let Some(index) = self.world.strangers.iter().position(|span| span.holds(ms)) {
                    self.shown[index] += 1;
                }
            }
            Outcome::Faulty { .. } => self.row.faulty += 1,
            Outcome::Unchanged | Outcome::Shed => {}
        }
        let shot = Arc::new(Shot { at, frame, score });
        for item in self.shots.frame(&shot) {
            self.offer(&item);
        }
        self.say(step.messages);
    }

    fn say(&mut self, messages: Vec<Message>) {
        for message in messages {
            self.said.push(&message);
            let frames = self.shots.message(&message);
            self.offer(&Item::Message(Arc::new(message)));
            frames.iter().for_each(|item| self.offer(item));
        }
    }

    fn offer(&mut self, item: &Item) {
        self.outlets.iter_mut().for_each(|outlet| outlet.queue.offer(item.clone()));
    }

    /// The program ends and starts again, as it does after an update; what waits in memory for a broker is lost.
    fn restart(&mut self) {
        let at = self.now();
        let drift: BTreeMap<String, DriftState> = self.watch.decisions().drift_states(at.mono_ms);
        let said = self.watch.close(at, Machine::default());
        self.say(said);
        for outlet in &mut self.outlets {
            outlet.queue.hurry();
            outlet.queue.pump(&mut *outlet.sink, at);
            outlet.sink.close();
        }
        (self.outlets, self.scores) = outlets(&self.world, &self.time, &self.dir, &self.heard);
        self.shots = Shots::new(&evidence_settings(&self.dir));
        self.camera = camera(&self.world, &self.time);
        self.watch = watch(&self.model, at);
        let past = messages(&self.dir);
        let said = self.watch.decisions_mut().resume(past, at, Machine::default());
        assert!(said.is_empty(), "an orderly end leaves nothing open: {said:?}");
        assert_eq!(self.watch.decisions_mut().resume_drift(&drift, at.mono_ms), 1);
    }
}

fn watch(model: &Model, at: Stamp) -> Watch {
    let alpha = Some(Alpha::new(0.001).unwrap());
    let eye = Eye::new(model.clone(), model.scorer().unwrap(), alpha, &regions()).unwrap();
    Watch::new("simulation", eye, regions(), Some(SIZE), &settings(), at)
}

fn evidence_settings(dir: &Path) -> EvidenceSettings {
    EvidenceSettings {
        dir: Some(dir.join("evidence")),
        quota_mb: EVIDENCE_MB,
        free_mb: 0,
        before_s: 60.0,
        after_s: 60.0,
        every_s: 30.0,
        ..EvidenceSettings::default()
    }
}

fn outlets(
    world: &Arc<World>,
    time: &Time,
    dir: &Path,
    heard: &Arc<Mutex<Tape>>,
) -> (Vec<Outlet>, ScoreLog) {
    let local = OutboxSettings { queue: 1024, per_minute: 0, ..OutboxSettings::default() };
    let settings =
        JournalSettings { segment_mb: 1, most_mb: JOURNAL_MB, ..JournalSettings::default() };
    let journal = Journal::on(disk(world, time), dir.join("journal"), &settings);
    let scores = journal.scores();
    let evidence = Evidence::on(disk(world, time), dir.join("evidence"), &evidence_settings(dir));
    let lamp = GpioSettings {
        backend: format!("sim:{}", dir.join("lamp").display()).parse().unwrap(),
        ..GpioSettings::default()
    };
    let broker = Broker { world: world.clone(), time: time.clone(), heard: heard.clone() };
    let outlets = vec![
        Outlet::new(Box::new(journal), local),
        Outlet::new(Box::new(evidence), local),
        Outlet::new(Box::new(GpioSink::open(lamp).unwrap()), local),
        Outlet::new(Box::new(broker), OutboxSettings { queue: 256, ..local }),
    ];
    (outlets, scores)
}

/// The messages of the journal.
fn messages(dir: &Path) -> Vec<Message> {
    let reader = Reader::open(&dir.join("journal")).unwrap();
    reader
        .filter_map(
            |record| if let Record::Message(message) = record { Some(message) } else { None },
        )
        .collect()
}

/// Bytes of all files below a folder.
fn size(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let sizes = entries.map(|entry| {
        let entry = entry.unwrap();
        let found = entry.metadata().unwrap();
        if found.is_dir() { size(&entry.path()) } else { found.len() }
    });
    sizes.sum()
}

/// Starts of unusual events that people were told of, and what they were told of.
fn of_strangers(world: &World, message: &Message) -> Option<usize> {
    let (from, to) = (message.started_ms - BOOT, message.at.mono_ms - BOOT);
    // Frames of a stranger may be the last of those that raise an alarm.
    world.strangers.iter().position(|span| from < span.to + MINUTE && to >= span.from)
}

#[test]
fn a_fortnight_of_trouble() {
    let dir = tempfile::tempdir().unwrap();
    let mut simulation = Simulation::new(dir.path());
    let mut table = format!("{HEAD}\n");
    let mut told = 0;
    let mut grown = Vec::new();
    let mut lamp_was_on = 0;
    for day in 0..DAYS {
        simulation.row = Row::default();
        let heard_before = simulation.heard.lock().unwrap().len();
        let said_before = simulation.said.len();
        let memory = allocation_counter::measure(|| {
            while simulation.time.ms() < (day + 1) * DAY {
                let ms = simulation.time.ms();
                if simulation.world.restarts.iter().any(|at| (ms..ms + FRAME).contains(at)) {
                    simulation.restart();
                }
                simulation.turn();
                let lamp = std::fs::read_to_string(dir.path().join("lamp")).unwrap();
                let alarm = simulation.watch.decisions().event(0).is_some();
                lamp_was_on += u64::from(lamp.trim() == "high");
                assert!(alarm || lamp.trim() == "low", "the lamp is on without an event");
            }
        });
        let said = simulation.said.since(said_before);
        let heard = simulation.heard.lock().unwrap().since(heard_before);
        grown.push(memory.bytes_current);
        let row = &mut simulation.row;
        let mut seen = BTreeSet::new();
        for message in said.iter().filter(|message| message.phase == Phase::Start) {
            match &message.cause {
                Cause::Unusual(unusual) if unusual.suppressed => row.suppressed += 1,
                Cause::Unusual(_) => {
                    row.alarms += 1;
                    match of_strangers(&simulation.world, message) {
                        Some(stranger) => drop(seen.insert(stranger)),
                        None => row.false_alarms += 1,
                    }
                }
                Cause::CameraFault(_) => row.faults += 1,
                Cause::Drift(_) => row.drifts += 1,
            }
        }
        row.seen = seen.len() as u64;
        row.heard = heard.len() as u64;
        row.waiting = simulation.outlets[3].queue.counts().queued;
        row.journal_kb = size(&dir.path().join("journal")) >> 10;
        row.evidence_kb = size(&dir.path().join("evidence")) >> 10;
        assert!(row.journal_kb <= JOURNAL_MB << 10, "journal over its quota on day {day}");
        assert!(row.evidence_kb <= EVIDENCE_MB << 10, "evidence over its quota on day {day}");
        let strangers =
            simulation.world.strangers.iter().filter(|span| span.from / DAY == day).count();
        writeln!(table, "{}", row.line(day + 1, strangers as u64)).unwrap();
        told += simulation.row.alarms;
    }
    println!("{table}\nnet bytes a day: {grown:?}");
    no_stranger_was_missed(&simulation);
    budget_was_kept(&simulation);
    every_loss_was_told(&simulation);
    nothing_was_lost_on_the_way(&mut simulation);
    assert!(told > 0 && lamp_was_on > 0);
    let mut held = 0;
    for (day, bytes) in grown.iter().enumerate() {
        held += bytes;
        assert!(held < HELD, "{held} bytes more than at the beginning after day {}", day + 1);
    }
    snapshot("fortnight.txt", &table);
}

/// Of each stranger that enough frames showed there is an event, told or (beyond the budget) written down.
fn no_stranger_was_missed(simulation: &Simulation) {
    let mut found = BTreeSet::new();
    for message in simulation.said.all().iter().filter(|message| message.phase == Phase::Start) {
        if let Cause::Unusual(_) = message.cause {
            found.extend(of_strangers(&simulation.world, message));
        }
    }
    let enough = alarm().window;
    let missed: Vec<_> = (0..simulation.world.strangers.len())
        .filter(|stranger| simulation.shown[*stranger] >= enough && !found.contains(stranger))
        .map(|stranger| {
            (stranger, simulation.world.strangers[stranger], simulation.shown[stranger])
        })
        .collect();
    assert!(missed.is_empty(), "missed: {missed:?}");
}

fn budget_was_kept(simulation: &Simulation) {
    let said = simulation.said.all();
    let starts = said.iter().filter(|message| message.phase == Phase::Start && message.is_alarm());
    let starts: Vec<u64> = starts.map(|message| message.at.mono_ms).collect();
    for (i, first) in starts.iter().enumerate() {
        let within = starts[i..].iter().filter(|at| **at - first < DAY).count();
        assert!(within <= BUDGET as usize, "{within} alarms in 24 hours");
    }
}

/// Each time the camera was unplugged there is a camera fault that begins then and ends when it is back.
fn every_loss_was_told(simulation: &Simulation) {
    let mut faults: BTreeMap<&EventId, [u64; 2]> = BTreeMap::new();
    let said = simulation.said.all();
    for message in &said {
        if let Cause::CameraFault(_) = message.cause {
            let at = message.at.mono_ms - BOOT;
            faults.entry(&message.event).or_insert([at, u64::MAX])[1] = at;
        }
    }
    assert_eq!(simulation.world.unplugged.len(), 50);
    for span in &simulation.world.unplugged {
        let told = faults
            .values()
            .any(|[from, to]| *from < span.to && *to >= span.to && *to < span.to + HOUR);
        assert!(told, "nobody was told of {span:?}");
    }
}

/// The journal and the broker have every start and end, in order, when all is well again.
fn nothing_was_lost_on_the_way(simulation: &mut Simulation) {
    for _ in 0..DAY / FRAME {
        let at = simulation.now();
        for outlet in &mut simulation.outlets {
            outlet.queue.pump(&mut *outlet.sink, at);
        }
        simulation.time.pass(FRAME);
    }
    for outlet in &mut simulation.outlets {
        outlet.sink.close();
        let counts = outlet.queue.counts();
        assert_eq!(
            (counts.dropped, counts.failed, counts.queued),
            (0, 0, 0),
            "{}",
            outlet.sink.name()
        );
    }
    let ends = |messages: &[Message], told_only: bool| -> Vec<(String, Phase)> {
        let wanted = |message: &&Message| {
            message.phase != Phase::Update && !(told_only && message.is_suppressed())
        };
        messages.iter().filter(wanted).map(|m| (m.event.to_string(), m.phase)).collect()
    };
    let (heard, said) = (simulation.heard.lock().unwrap().all(), simulation.said.all());
    assert_eq!(ends(&heard, true), ends(&said, true), "the broker");
    // The journal holds the last days; what it holds is what was said, and nothing is missing in it.
    let kept = messages(&simulation.dir);
    let (kept, said) = (ends(&kept, false), ends(&said, false));
    assert!(!kept.is_empty() && said.ends_with(&kept), "the journal");
}

fn snapshot(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        return std::fs::write(&path, found).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, stored, "{name} differs; look at it, then UPDATE_SNAPSHOTS=1 writes it anew");
}
