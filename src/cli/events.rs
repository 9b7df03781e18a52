//! `oddsight events`: what a journal says happened.

use std::collections::HashMap;
use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use clap::{Args, ValueEnum};
use oddsight::clock::{Clock as _, System, utc};
use oddsight::event::{Cause, EventId, Message, Phase};
use oddsight::logger::harmless;
use oddsight::sink::journal::{Reader, Record, Skipped};

/// How often `--follow` looks for new messages.
const FOLLOW: Duration = Duration::from_millis(500);

/// Arguments of `oddsight events`.
#[derive(Args)]
pub struct EventsArgs {
    /// Folder of a journal, or one of its segments.
    #[arg(value_name = "JOURNAL")]
    journal: PathBuf,
    /// One JSON object for each message, as sinks get it.
    #[arg(long)]
    json: bool,
    /// Go on with what is written from now on; a line for each message.
    #[arg(long)]
    follow: bool,
    /// Only events of this kind; may be given several times.
    #[arg(long, value_name = "KIND")]
    kind: Vec<Kind>,
    /// Only what was said since: `90s`, `30m`, `24h`, `7d`, a date or a time such as `2026-11-26T09:00:00Z`, by the
    /// device's clock.
    #[arg(long, value_name = "WHEN")]
    since: Option<Since>,
}

/// The kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Unusual,
    #[value(name = "camera_fault", alias = "camera-fault")]
    CameraFault,
    Drift,
}

impl Kind {
    fn of(cause: &Cause) -> Kind {
        match cause {
            Cause::Unusual(_) => Kind::Unusual,
            Cause::CameraFault(_) => Kind::CameraFault,
            Cause::Drift(_) => Kind::Drift,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Unusual => "unusual",
            Kind::CameraFault => "camera_fault",
            Kind::Drift => "drift",
        }
    }
}

/// A moment of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    Ago { ms: i64 },
    Utc { ms: i64 },
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Since, String> {
        let unit_ms = |unit| match unit {
            "s" => Some(1_000),
            "m" => Some(60_000),
            "h" => Some(3_600_000),
            "d" => Some(86_400_000),
            _ => None,
        };
        if let Some(at) = text.find(|c: char| !c.is_ascii_digit())
            && let (Ok(count), Some(unit_ms)) = (text[..at].parse::<i64>(), unit_ms(&text[at..]))
        {
            return Ok(Since::Ago { ms: count.saturating_mul(unit_ms) });
        }
        let date = || Some(text.parse::<jiff::civil::Date>().ok()?.at(0, 0, 0, 0));
        let midnight = || date()?.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|day| day.timestamp());
        let timestamp = text.parse::<jiff::Timestamp>().ok().or_else(midnight);
        timestamp.map(|t| Since::Utc { ms: t.as_millisecond() }).ok_or_else(|| {
            format!("`{text}` is no time; try 30m, 24h, 7d, 2026-11-26 or 2026-11-26T09:00:00Z")
        })
    }
}

/// Prints the events, and with `--follow` those to come.
pub fn run(args: &EventsArgs) -> Result<()> {
    let mut reader = Reader::open(&args.journal)?.only_messages();
    let since_ms = args.since.map(|since| match since {
        Since::Utc { ms } => ms,
        Since::Ago { ms } => System.now().utc_ms.saturating_sub(ms),
    });
    let is_wanted = |message: &Message| {
        since_ms.is_none_or(|since| message.at.utc_ms >= since)
            && (args.kind.is_empty() || args.kind.contains(&Kind::of(&message.cause)))
    };
    let mut table = Table::default();
    let mut reported = Skipped::default();
    loop {
        for record in reader.by_ref() {
            let Record::Message(message) = record else { continue };
            if !is_wanted(&message) {
                continue;
            }
            if args.json {
                writeln!(stdout(), "{}", serde_json::to_string(&message)?)?;
            } else if args.follow {
                writeln!(stdout(), "{}", line(&message))?;
            } else {
                table.take(message);
            }
        }
        ensure!(
            args.follow || !reader.is_foreign(),
            "{}: no journal there; give its folder or a .jsonl file of it",
            args.journal.display()
        );
        warn_of(reader.skipped(), &mut reported);
        if !args.follow {
            break;
        }
        stdout().flush().map_err(|e| anyhow!(e))?;
        std::thread::sleep(FOLLOW);
    }
    if args.json { Ok(()) } else { table.print() }
}

/// Says what could not be read, once.
pub(super) fn warn_of(skipped: Skipped, reported: &mut Skipped) {
    if skipped == *reported {
        return;
    }
    *reported = skipped;
    let Skipped { damaged, unknown, unreadable } = skipped;
    for (count, what) in [
        (damaged, "torn or altered lines were passed over"),
        (unknown, "lines of a newer version were passed over"),
        (unreadable, "segments could not be read to their end: check the disk"),
    ] {
        if count > 0 {
            log::warn!("{count} {what}");
        }
    }
}

/// The events so far, in the order in which they began.
#[derive(Default)]
struct Table {
    events: Vec<Event>,
    places: HashMap<EventId, usize>,
}

struct Event {
    first: Message,
    last: Message,
}

impl Table {
    fn take(&mut self, message: Message) {
        let place = self.places.get(&message.event).copied();
        match place.and_then(|place| self.events.get_mut(place)) {
            Some(event) => event.last = message,
            None => {
                self.places.insert(message.event.clone(), self.events.len());
                self.events.push(Event { first: message.clone(), last: message });
            }
        }
    }

    fn print(&self) -> Result<()> {
        let mut out = stdout().lock();
        let heading = ["start", "event", "kind", "state", "length"];
        if !self.events.is_empty() {
            writeln!(out, "{}  what", cells(&heading.map(str::to_string)))?;
        }
        let clocks = self.events.iter().filter(|event| !event.first.at.clock_synced).count();
        for Event { first, last } in &self.events {
            let state = match last.phase {
                Phase::Start | Phase::Update => "open",
                Phase::End => "ended",
            };
            let length = last.at.mono_ms.saturating_sub(last.started_ms);
            let row = [
                time(first),
                first.event.to_string(),
                Kind::of(&first.cause).name().to_string(),
                state.to_string(),
                seconds(length),
            ];
            writeln!(out, "{}  {}", cells(&row), what(last))?;
        }
        let count = self.events.len();
        writeln!(out, "{count} event{}", if count == 1 { "" } else { "s" })?;
        if clocks > 0 {
            writeln!(out, "?: the device's clock was not synchronised")?;
        }
        Ok(())
    }
}

/// A message as one line.
fn line(message: &Message) -> String {
    let phase = match message.phase {
        Phase::Start => "start",
        Phase::Update => "update",
        Phase::End => "end",
    };
    let row = [
        time(message),
        message.event.to_string(),
        Kind::of(&message.cause).name().to_string(),
        phase.to_string(),
        seconds(message.at.mono_ms.saturating_sub(message.started_ms)),
    ];
    format!("{}  {}", cells(&row), what(message))
}

fn cells(row: &[String; 5]) -> String {
    let [time, event, kind, state, length] = row;
    format!("{time:<25}  {event:<15}  {kind:<12}  {state:<6}  {length:>9}")
}

fn time(message: &Message) -> String {
    let mark = if message.at.clock_synced { "" } else { "?" };
    format!("{}{mark}", utc(message.at.utc_ms))
}

fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

/// What it was about, in a few words.
fn what(message: &Message) -> String {
    harmless(&in_words(message))
}

fn in_words(message: &Message) -> String {
    match &message.cause {
        Cause::Unusual(unusual) => format!(
            "{}: {} of {} frames unusual, peak energy {:.3}, p {:.4}{}",
            unusual.region,
            unusual.unusual_frames,
            unusual.frames,
            unusual.peak_energy,
            unusual.peak_p_value,
            unusual
                .nearest
                .as_ref()
                .map_or(String::new(), |nearest| format!(", nearest {nearest}")),
        ),
        Cause::CameraFault(fault) => {
            let kind = serde_json::to_value(fault.fault).unwrap_or_default();
            format!("{}: {} times; {}", kind.as_str().unwrap_or("fault"), fault.count, fault.why)
        }
        Cause::Drift(drift) => format!(
            "{}: evidence {:.0} to 1, mean p {:.3} over {} frames",
            drift.region, drift.evidence, drift.mean_p_value, drift.frames
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_or_explained() {
        assert_eq!("24h".parse(), Ok(Since::Ago { ms: 86_400_000 }));
        assert_eq!("2026-11-26".parse(), Ok(Since::Utc { ms: 1_795_651_200_000 }));
        assert_eq!("2026-11-26T00:00:01Z".parse(), Ok(Since::Utc { ms: 1_795_651_201_000 }));
        for wrong in ["", "yesterday", "5", "h", "5 h", "99999999999999999999h"] {
            assert!(wrong.parse::<Since>().unwrap_err().contains("try 30m"), "{wrong}");
        }
    }

    #[test]
    fn lengths_are_seconds() {
        assert_eq!([seconds(0), seconds(999), seconds(61_250)], ["0.0 s", "0.9 s", "61.2 s"]);
    }
}
