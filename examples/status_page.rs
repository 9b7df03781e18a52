//! Serves the status page of a box that is not there: the simulated conveyor as camera, the shipped demo model, and
//! receivers, storage and troubles that are made up, so that everything on the page lives.
//!
//!     cargo run --release --example status_page -- --past 24
//!
//! Then open the address that it prints. `scripts/page-check` drives it with a real browser.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use oddsight::camera::synth::Show;
use oddsight::camera::{Content, Frame};
use oddsight::clock::{Clock, Stamp, System, boot_id};
use oddsight::event::{Cause, EventId, Fault, FaultKind, Machine, Message, Phase, Unusual};
use oddsight::http::{HttpSettings, Server};
use oddsight::image::Rgb;
use oddsight::model::{Model, Scorer};
use oddsight::random::Random;
use oddsight::status::{Board, DriftStatus, Identity, ModelCard, Place, SinkStatus, StorageStatus};
use oddsight::verdict::Verdict;

use alarm::Debounce;

#[allow(dead_code)]
#[path = "../src/cli/demo/alarm.rs"]
mod alarm;

#[derive(Parser)]
struct Args {
    /// Address and port; port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// File with the token, needed beyond loopback.
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// Hours that are made up before the start, so that the long ranges show something.
    #[arg(long, default_value_t = 0.0)]
    past: f64,
    /// Regions of interest. All get the verdict of the whole picture: this is for their looks.
    #[arg(long, default_value_t = 1)]
    regions: usize,
    /// Seconds between the troubles of the camera; 0 for none.
    #[arg(long, default_value_t = 90)]
    trouble_s: u64,
    /// Seconds between two things that go wrong on the belt, about.
    #[arg(long, default_value_t = 25)]
    calm_s: u64,
    /// Seed of the first show.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Stop after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
}

const FPS: u64 = 10;
/// A machine that has been up for long enough to have a past.
const UP_MS: u64 = 1000 * 3600 * 50;

struct UpForLong;

impl Clock for UpForLong {
    fn now(&self) -> Stamp {
        let now = System.now();
        Stamp { mono_ms: now.mono_ms + UP_MS, clock_synced: true, ..now }
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    let model = Model::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo-conveyor"))?;
    let scorer = model.scorer()?;
    let now = UpForLong.now();
    let past_ms = (args.past.clamp(0.0, 48.0) * 3_600_000.0) as u64;
    let started = Stamp { mono_ms: now.mono_ms - past_ms, ..now };
    let identity = Identity {
        device: "conveyor-3".into(),
        source: format!("synth:{}", args.seed),
        live: true,
        model: ModelCard::new("demo-conveyor", &model, &scorer),
        regions: places(args.regions),
    };
    let mut plant = Plant {
        board: Arc::new(Board::new(identity, started)),
        scorer,
        debounce: Debounce::default(),
        event: None,
        events: 0,
        messages: 0,
    };
    plant.board.metrics().opened();
    if past_ms > 0 {
        plant.make_up_past(started)?;
    }
    let settings =
        HttpSettings { listen: args.listen, token_file: args.token_file.clone(), stale_s: 30 };
    let server = Server::start(&settings, plant.board.clone(), Arc::new(UpForLong))?;
    println!("http://{}/", server.address());
    plant.run(&args)
}

fn places(count: usize) -> Vec<Place> {
    if count <= 1 {
        return vec![Place { name: "belt".into(), at: [0.0, 0.0, 1.0, 1.0] }];
    }
    let place = |i: usize| {
        let shift = i as f64 * 0.4 / count as f64;
        Place { name: format!("zone {}", i + 1), at: [shift, shift * 0.8, 0.6, 0.6] }
    };
    (0..count).map(place).collect()
}

/// A conveyor that runs normally for most of the time, and the troubles of one show after the other.
struct Film {
    seed: u64,
    show: Show,
    /// Normal frames between two troubles, about.
    calm: u64,
    random: Random,
    /// Frames that come next.
    next: std::ops::Range<u64>,
    /// How far the belt has run after the show's end, where nothing goes wrong any more.
    ran: u64,
    episode: usize,
    in_trouble: bool,
}

impl Film {
    fn new(seed: u64, calm_s: u64) -> Film {
        let (show, random) = (Show::new(seed), Random::new(seed));
        let calm = calm_s * FPS;
        Film { seed, show, calm, random, next: 0..0, ran: 0, episode: 0, in_trouble: true }
    }

    fn next(&mut self) -> (String, Rgb) {
        if self.next.is_empty() {
            self.in_trouble = !self.in_trouble;
            if self.in_trouble {
                if self.episode == self.show.episodes().len() {
                    self.seed += 1;
                    (self.show, self.episode) = (Show::new(self.seed), 0);
                }
                let episode = &self.show.episodes()[self.episode];
                self.next = episode.start.saturating_sub(3)..episode.end + 3;
                self.episode += 1;
            } else {
                let start = self.show.frames() + self.ran;
                let length = self.calm / 2 + self.random.below(self.calm.max(1)) + 1;
                self.next = start..start + length;
                self.ran += length;
            }
        }
        let index = self.next.next().unwrap_or(0);
        (format!("synth:{}/{index:04}", self.seed), self.show.draw(index))
    }
}

/// Everything between the camera and the board.
struct Plant {
    board: Arc<Board>,
    scorer: Scorer,
    debounce: Debounce,
    event: Option<(EventId, u64, Unusual)>,
    events: u64,
    messages: u64,
}

impl Plant {
    fn run(&mut self, args: &Args) -> Result<()> {
        let begin = Instant::now();
        let mut film = Film::new(args.seed, args.calm_s);
        for tick in 0u64.. {
            if args.seconds.is_some_and(|seconds| tick >= seconds * FPS) {
                break;
            }
            let due = Duration::from_millis(tick * 1000 / FPS);
            std::thread::sleep(due.saturating_sub(begin.elapsed()));
            if tick % FPS == 0 {
                self.report(tick / FPS);
            }
            if self.trouble(tick, args.trouble_s * FPS) {
                continue;
            }
            let (name, picture) = film.next();
            let start = Instant::now();
            let verdict = self.scorer.score(&picture)?;
            let took = start.elapsed();
            let verdicts = vec![verdict; self.board.identity().regions.len()];
            let frame = Frame { seq: tick, name, content: Content::Picture(picture) };
            self.tell(UpForLong.now(), &Arc::new(frame), &verdicts, took);
        }
        Ok(())
    }

    /// Puts a scored frame on the board, and the event that it makes.
    fn tell(&mut self, at: Stamp, frame: &Arc<Frame>, verdicts: &[Verdict], took: Duration) {
        self.board.scored(at, frame, verdicts, took);
        let verdict = &verdicts[0];
        let alarm = self.debounce.step(verdict.unusual, verdict.p_value);
        if alarm.raised {
            self.events += 1;
            let unusual = Unusual {
                region: self.board.identity().regions[0].name.clone(),
                frames: 3,
                unusual_frames: 3,
                energy: verdict.energy,
                p_value: verdict.p_value,
                peak_energy: verdict.energy,
                peak_p_value: verdict.p_value,
                suppressed: false,
                nearest: verdict.nearest.clone(),
            };
            self.event = Some((EventId::new(self.events), at.mono_ms.saturating_sub(300), unusual));
        }
        let Some((id, started_ms, mut unusual)) = self.event.take() else { return };
        unusual.frames += 1;
        unusual.unusual_frames += u64::from(verdict.unusual);
        if verdict.energy >= unusual.peak_energy {
            unusual.peak_energy = verdict.energy;
            unusual.peak_p_value = verdict.p_value;
            unusual.nearest = verdict.nearest.clone();
        }
        let phase = match (alarm.raised, alarm.on) {
            (true, _) => Some(Phase::Start),
            (_, false) => Some(Phase::End),
            _ if unusual.frames % 10 == 0 => Some(Phase::Update),
            _ => None,
        };
        if let Some(phase) = phase {
            self.say(at, &id, phase, started_ms, Cause::Unusual(unusual.clone()));
        }
        if alarm.on {
            self.event = Some((id, started_ms, unusual));
        }
    }

    fn say(&mut self, at: Stamp, event: &EventId, phase: Phase, started_ms: u64, cause: Cause) {
        let message = Message {
            event: event.clone(),
            phase,
            seq: self.messages,
            boot_id: boot_id().into(),
            at,
            started_ms,
            device: "conveyor-3".into(),
            cause,
            machine: Machine::default(),
        };
        self.messages += 1;
        self.board.event(&message);
    }

    /// Whether the camera is in trouble at this tick, of which it is each `every` ticks, in turns.
    fn trouble(&mut self, tick: u64, every: u64) -> bool {
        const TROUBLES: [(FaultKind, u64, &str); 3] = [
            (FaultKind::Lost, 80, "/dev/video0: no such device"),
            (FaultKind::Frozen, 50, "50 equal frames"),
            (FaultKind::Black, 30, "99 of 100 pixels are darker than 16"),
        ];
        let Some((turn, since)) = tick.checked_div(every).zip(tick.checked_rem(every)) else {
            return false;
        };
        if turn == 0 {
            return false;
        }
        let (fault, length, why) = TROUBLES[(turn % 3) as usize];
        if since > length {
            return false;
        }
        let at = UpForLong.now();
        let count = since + 1;
        let cause = |why: &str| Cause::CameraFault(Fault { fault, why: why.into(), count });
        let id = EventId::new(900_000 + turn);
        let started_ms = at.mono_ms - since * 1000 / FPS;
        if since == length {
            self.say(at, &id, Phase::End, started_ms, cause(why));
            return false;
        }
        self.board.fault(at, fault, why);
        if since == 0 {
            // What was on when the camera failed is over.
            if let Some((event, started_ms, unusual)) = self.event.take() {
                self.say(at, &event, Phase::End, started_ms, Cause::Unusual(unusual));
                self.debounce = Debounce::default();
            }
            self.say(at, &id, Phase::Start, started_ms, cause(why));
        }
        true
    }

    /// What is made up each second: receivers, storage, the machine.
    fn report(&mut self, second: u64) {
        let down = second % 180 >= 150;
        let sink = |name: &str, delivered: u64| SinkStatus {
            name: name.into(),
            delivered,
            ..SinkStatus::default()
        };
        let mqtt = SinkStatus {
            name: "mqtt".into(),
            delivered: self.messages.saturating_sub(if down { second % 30 } else { 0 }),
            failed: second / 180 * 4,
            dropped: second / 180,
            queued: if down { second % 30 } else { 0 },
            trouble: down.then(|| "broker.local:8883: connection refused".into()),
        };
        self.board.sinks(vec![
            sink("journal", self.messages),
            sink("evidence", self.messages * 4),
            sink("gpio 17", self.events * 2),
            mqtt,
        ]);
        let store = |name: &str, used: u64, quota: u64| StorageStatus {
            name: name.into(),
            used_bytes: used,
            quota_bytes: quota,
            free_bytes: Some(21_400_000_000),
            trouble: None,
        };
        self.board.storage(vec![
            store(
                "evidence",
                (312_000_000 + self.messages * 180_000).min(1_020_000_000),
                1_024_000_000,
            ),
            store("journal", 41_000_000 + second * 900, 256_000_000),
        ]);
        let wave = (second as f32 / 60.0).sin();
        let machine = Machine { temperature_c: Some(58.0 + 4.0 * wave), throttled: Some(0) };
        self.board.machine(machine, rss_bytes());
        let evidence = 1.0 + f64::from(wave.max(0.0));
        let region = self.board.identity().regions[0].name.clone();
        self.board.drift(vec![DriftStatus { region, evidence, mean_p_value: 0.49 }]);
    }

    /// Fills the time since `from` with the energies of one show, over and over: mostly its normal frames, and now
    /// and then one of its troubles.
    fn make_up_past(&mut self, from: Stamp) -> Result<()> {
        let show = Show::new(100);
        let (mut normal, mut troubles) = (Vec::new(), VecDeque::<Vec<_>>::new());
        for index in 0..show.frames() {
            let picture = show.draw(index);
            let verdict = self.scorer.score(&picture)?;
            let content = Content::Picture(picture);
            let frame = Arc::new(Frame { seq: index, name: "made up".into(), content });
            match show.episodes().iter().position(|e| (e.start..e.end).contains(&index)) {
                Some(episode) => {
                    troubles.resize_with(troubles.len().max(episode + 1), Vec::new);
                    troubles[episode].push((frame, verdict));
                }
                None if !verdict.unusual || normal.len() % 30 == 0 => normal.push((frame, verdict)),
                None => {}
            }
        }
        let regions = self.board.identity().regions.len();
        let mut random = Random::new(5);
        let mut playing: VecDeque<(Arc<Frame>, Verdict)> = VecDeque::new();
        let mut at = from;
        while at.mono_ms < UpForLong.now().mono_ms {
            if playing.is_empty() {
                let chosen = match random.below(600) {
                    0 => troubles[random.below(troubles.len() as u64) as usize].clone(),
                    _ => {
                        let start = random.below(normal.len() as u64 - 20) as usize;
                        normal[start..start + 20].to_vec()
                    }
                };
                playing.extend(chosen);
            }
            if let Some((frame, verdict)) = playing.pop_front() {
                let verdicts = vec![verdict; regions];
                self.tell(at, &frame, &verdicts, Duration::from_millis(4));
            }
            at.mono_ms += 1000 / FPS;
        }
        Ok(())
    }
}

/// Memory of this process.
fn rss_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(text.split_whitespace().nth(1)?.parse::<u64>().ok()? * 4096)
}
