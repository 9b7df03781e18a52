//! The process that is killed.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use oddsight::camera::{Content, Frame};
use oddsight::clock::{Clock as _, Stamp, System};
use oddsight::event::{Cause, EventId, Machine, Message, Phase, Unusual};
use oddsight::random::Random;
use oddsight::sink::evidence::{Evidence, EvidenceSettings};
use oddsight::sink::journal::{Fsync, Journal, JournalSettings, ScoreLine};
use oddsight::sink::{Item, Shot, Sink};
use oddsight::storage;

pub const MODEL_FILES: [&str; 3] = ["backbone.onnx", "heads.postcard", "card.json"];

/// Frames of an event, beside its start and end.
pub const FRAMES: u64 = 4;

/// Says a promise: the parent reads it even when the next instruction is the last one.
fn say(kind: char, number: u64) {
    let mut out = std::io::stdout();
    if writeln!(out, "{kind} {number}").and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}

/// Opens everything in `dir`, which mends what a kill left, and says `ready`.
pub fn open(dir: &Path) -> (Journal, Evidence) {
    let journal = JournalSettings { segment_mb: 1, most_mb: 1, ..JournalSettings::default() };
    let mut journal = Journal::new(dir.join("journal"), &journal);
    let evidence = EvidenceSettings { quota_mb: 1, free_mb: 1, ..EvidenceSettings::default() };
    let mut evidence = Evidence::new(dir.join("evidence"), &evidence);
    fs::create_dir_all(dir).expect("the folder can be made");
    journal.open().expect("the journal opens");
    evidence.open().expect("the evidence store opens");
    storage::recover_dir(&dir.join("candidate"), &dir.join("current"))
        .expect("an interrupted swap is finished or undone");
    println!("ready");
    (journal, evidence)
}

/// Opens everything and writes until it is killed, counting from `first`.
pub fn write(dir: &Path, first: u64, seed: u64) {
    let mut random = Random::new(seed);
    let (mut journal, mut evidence) = open(dir);
    let (new, at) = (dir.join("candidate"), dir.join("current"));
    for number in first.. {
        match random.below(3) {
            0 => {
                for seq in 0..random.below(20) {
                    journal.score(score(number, seq));
                }
                let phase = Phase::Update;
                deliver(&mut journal, Item::Message(Arc::new(message(number, phase))));
                say('j', number);
            }
            1 => {
                for phase in [Phase::Start, Phase::End] {
                    deliver(&mut evidence, Item::Message(Arc::new(message(number, phase))));
                    say(if phase == Phase::Start { 'b' } else { 'e' }, number);
                    for index in 0..if phase == Phase::Start { FRAMES } else { 0 } {
                        let event = EventId::new(number);
                        deliver(&mut evidence, Item::Shot { event, shot: shot(number, index) });
                    }
                }
            }
            _ => {
                if new.exists() {
                    fs::remove_dir_all(&new).expect("an old candidate is removed");
                }
                fs::create_dir(&new).expect("a candidate is made");
                for (index, name) in MODEL_FILES.iter().enumerate() {
                    fs::write(new.join(name), bytes(number, index as u64)).expect("its files, too");
                }
                storage::replace_dir(&new, &at).expect("the swap");
                say('s', number);
            }
        }
        let now = stamp(number, 500);
        journal.tick(now);
        evidence.tick(now);
    }
}

fn deliver(sink: &mut dyn Sink, item: Item) {
    if let Err(why) = sink.deliver(&item) {
        // The power was cut (scripts/power-cut), or there is something to mend.
        eprintln!("{}: {why}", sink.name());
        std::process::exit(3);
    }
}

fn stamp(number: u64, ms: u64) -> Stamp {
    Stamp { mono_ms: number * 1000 + ms, utc_ms: 0, clock_synced: false }
}

pub fn message(number: u64, phase: Phase) -> Message {
    let unusual = serde_json::json!({
        "region": "frame", "frames": number, "unusual_frames": 5, "energy": 12.625, "p_value": 0.001,
        "peak_energy": 17.5, "peak_p_value": 0.0005, "nearest": "bolt", "suppressed": false,
    });
    Message {
        event: EventId::new(number),
        phase,
        seq: number,
        boot_id: "b0071d00".into(),
        at: stamp(number, 0),
        started_ms: 0,
        device: "bench".into(),
        cause: Cause::Unusual(
            serde_json::from_value::<Unusual>(unusual).expect("an unusual event"),
        ),
        machine: Machine { temperature_c: Some(51.5), throttled: None },
    }
}

/// Long names fill segments, so that segments change and go while the writer is killed.
fn score(number: u64, seq: u64) -> ScoreLine {
    ScoreLine {
        seq,
        at: stamp(number, seq),
        region: "frame".into(),
        energy_q16: (number * 31 + seq) as i64,
        p_value: 0.25,
        light_jumped: false,
        name: "n".repeat(1 + (number * 7 + seq) as usize % 1500),
    }
}

/// A frame whose time says which one it is.
fn shot(number: u64, index: u64) -> Arc<Shot> {
    let content = Content::File(bytes(number, index));
    let frame = Frame { seq: index, name: format!("{number}/{index}"), content };
    Arc::new(Shot { at: stamp(number, index), frame: Arc::new(frame), score: None })
}

/// Bytes that nobody could mistake for others: `number` stands behind the first three.
pub fn bytes(number: u64, index: u64) -> Vec<u8> {
    let mut random = Random::new(number << 8 | index);
    let len = 1000 + random.below(40_000) as usize;
    let mut bytes = vec![0xff, 0xd8, 0xff];
    bytes.extend_from_slice(&number.to_le_bytes());
    while bytes.len() < len {
        bytes.extend_from_slice(&random.next_u64().to_le_bytes());
    }
    bytes
}

/// Writes as a device does that sees so many frames a second and an event of ten seconds each `event_s`, in real time,
/// with the default settings. Says how many bytes it gave to the disk.
pub fn pace(dir: &Path, fps: u64, seconds: u64, event_s: u64, fsync: &str) {
    let fsync = if fsync == "never" { Fsync::Never } else { Fsync::Message };
    let settings = JournalSettings { fsync, ..JournalSettings::default() };
    let mut journal = Journal::new(dir.join("journal"), &settings);
    let floor = EvidenceSettings { free_mb: 1, quota_mb: 64, ..EvidenceSettings::default() };
    let mut evidence = Evidence::new(dir.join("evidence"), &floor);
    let start = Instant::now();
    let mut seq = 0;
    for frame in 0..fps * seconds {
        let due = Duration::from_millis(frame * 1000 / fps);
        std::thread::sleep(due.saturating_sub(start.elapsed()));
        let now = System.now();
        journal.score(ScoreLine {
            seq: frame,
            at: now,
            region: "frame".into(),
            energy_q16: -77_123 + (frame * 7919 % 100_000) as i64,
            p_value: (1 + frame % 1000) as f64 / 1001.0,
            light_jumped: false,
            name: String::new(),
        });
        let second = frame / fps;
        let within = if event_s > 0 && frame % fps == 0 { second % event_s } else { u64::MAX };
        let phase = match within {
            5 => Some(Phase::Start),
            10 => Some(Phase::Update),
            15 => Some(Phase::End),
            _ => None,
        };
        let event = EventId::new(second / event_s.max(1));
        if let Some(phase) = phase {
            seq += 1;
            let message = Message { event: event.clone(), seq, at: now, ..message(0, phase) };
            let item = Item::Message(Arc::new(message));
            deliver(&mut journal, item.clone());
            deliver(&mut evidence, item);
        }
        // Three seconds of ten frames before, then one a second until five seconds after the end.
        let shots = if within == 5 { 30 } else { u64::from((6..=20).contains(&within)) };
        for index in 0..shots {
            let taken = Shot { at: now, ..(*shot(frame, index)).clone() };
            deliver(&mut evidence, Item::Shot { event: event.clone(), shot: Arc::new(taken) });
        }
        journal.tick(now);
        evidence.tick(now);
    }
    println!(
        "journal {} bytes, evidence {} bytes",
        journal.usage().bytes(),
        evidence.usage().bytes()
    );
    journal.close();
    evidence.close();
}
