//! What other settings would have made of frames that were scored before.

use std::collections::BTreeSet;
use std::fmt;

use super::{
    AlarmSettings, Cause, DAY_MS, Decisions, DriftSettings, Machine, Message, Phase, Rules, Unusual,
};
use crate::clock::{Stamp, utc};
use crate::verdict::{Alpha, Verdict};

/// A verdict as a journal keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredFrame {
    pub at: Stamp,
    pub region: String,
    pub energy: f64,
    /// Of the whole region, if it has tiles.
    pub p_value: f64,
    pub nearest: Option<String>,
    /// The light jumped with this frame.
    pub light_jumped: bool,
}

/// Time without frames counts up to this: a camera that is away gives no alarms, and should not lower their rate.
const LONGEST_GAP_MS: u64 = 60_000;

/// What came of the frames.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    pub alpha: f64,
    /// Verdicts, of all regions.
    pub frames: u64,
    /// Of those, flagged ones.
    pub flagged: u64,
    pub regions: BTreeSet<String>,
    /// Time that was watched.
    pub watched_ms: u64,
    /// The unusual events, in the order of their ends.
    pub events: Vec<Replayed>,
}

/// An event that would have been.
#[derive(Clone, Debug, PartialEq)]
pub struct Replayed {
    /// When it would have been told.
    pub at: Stamp,
    /// From its first frame to its end.
    pub length_ms: u64,
    pub unusual: Unusual,
}

/// Plays the frames, the oldest first, through the decisions of a device. A monotonic time that goes back is another
/// boot: what was open then ends with its last frame, and all begins anew.
pub fn replay(
    frames: impl IntoIterator<Item = ScoredFrame>,
    alpha: Alpha,
    settings: &AlarmSettings,
) -> Summary {
    let drift = DriftSettings { enabled: false, ..DriftSettings::default() };
    let rules = Rules { alarm: settings.clone(), drift, ..Rules::default() };
    let fresh = || Decisions::new("replay".into(), [], &rules, alpha);
    let mut decisions = fresh();
    let mut tape = Tape { last: None, starts: Vec::new(), summary: Summary::new(alpha) };
    for frame in frames {
        if let Some(last) = tape.last
            && frame.at.mono_ms < last.mono_ms
        {
            tape.take(decisions.close(last, Machine::default()));
            decisions = fresh();
        }
        if frame.light_jumped {
            decisions.light_jumped(frame.at);
        }
        let verdict = frame.verdict(alpha);
        tape.count(&frame, verdict.unusual);
        let region = decisions.region(&frame.region);
        tape.take(decisions.scored(region, &[verdict], frame.at, Machine::default()));
    }
    if let Some(last) = tape.last {
        tape.take(decisions.close(last, Machine::default()));
    }
    tape.summary
}

struct Tape {
    last: Option<Stamp>,
    /// Starts of events that are open.
    starts: Vec<Message>,
    summary: Summary,
}

impl Tape {
    fn count(&mut self, frame: &ScoredFrame, unusual: bool) {
        let gap_ms = self.last.map_or(0, |last| frame.at.mono_ms.saturating_sub(last.mono_ms));
        self.last = Some(frame.at);
        let summary = &mut self.summary;
        summary.watched_ms += gap_ms.min(LONGEST_GAP_MS);
        summary.frames += 1;
        summary.flagged += u64::from(unusual);
        if !summary.regions.contains(&frame.region) {
            summary.regions.insert(frame.region.clone());
        }
    }

    fn take(&mut self, said: Vec<Message>) {
        for message in said {
            match (message.phase, message.cause) {
                (Phase::End, Cause::Unusual(unusual)) => {
                    let start = self.starts.iter().position(|start| start.event == message.event);
                    let at = start.map_or(message.at, |i| self.starts.swap_remove(i).at);
                    let length_ms = message.at.mono_ms.saturating_sub(message.started_ms);
                    self.summary.events.push(Replayed { at, length_ms, unusual });
                }
                (Phase::Start, cause) => self.starts.push(Message { cause, ..message }),
                _ => {}
            }
        }
    }
}

impl ScoredFrame {
    fn verdict(&self, alpha: Alpha) -> Verdict {
        Verdict {
            energy: self.energy,
            // Saturates; nothing that is replayed compares it.
            energy_q16: (self.energy * 65536.0) as i64,
            p_value: self.p_value,
            unusual: self.p_value <= alpha.get(),
            nearest: self.nearest.clone(),
            heads: Vec::new(),
        }
    }
}

impl Summary {
    fn new(alpha: Alpha) -> Summary {
        Summary {
            alpha: alpha.get(),
            frames: 0,
            flagged: 0,
            regions: BTreeSet::new(),
            watched_ms: 0,
            events: Vec::new(),
        }
    }

    /// Events that people would have been told of.
    pub fn alarms(&self) -> usize {
        self.events.len() - self.suppressed()
    }

    /// Events beyond the budget.
    pub fn suppressed(&self) -> usize {
        self.events.iter().filter(|event| event.unusual.suppressed).count()
    }

    /// Days that were watched.
    pub fn days(&self) -> f64 {
        self.watched_ms as f64 / DAY_MS as f64
    }

    /// Alarms in a day of watching; `None` where no time was watched.
    pub fn alarms_per_day(&self) -> Option<f64> {
        (self.watched_ms > 0).then(|| self.alarms() as f64 / self.days())
    }
}

/// Two lines and a table, for a terminal.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let share = self.flagged as f64 / self.frames.max(1) as f64 * 100.0;
        writeln!(
            f,
            "{} of {} in {}: {} flagged at alpha {} ({share:.2} %)",
            plural(self.frames as usize, "frame"),
            plural(self.regions.len(), "region"),
            duration(self.watched_ms),
            self.flagged,
            self.alpha,
        )?;
        write!(f, "{}", plural(self.alarms(), "alarm"))?;
        if let Some(per_day) = self.alarms_per_day() {
            write!(f, ", {per_day:.2} a day")?;
        }
        match self.suppressed() {
            0 => writeln!(f)?,
            n => writeln!(f, "; {} beyond the budget", plural(n, "event"))?,
        }
        if self.events.is_empty() {
            return Ok(());
        }
        let wide = self.regions.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(6);
        writeln!(
            f,
            "\n{:<24}  {:<wide$}  {:>9}  {:>6}  {:>7}  {:>9}  {:>7}  nearest",
            "told", "region", "length", "frames", "flagged", "peak", "p"
        )?;
        for Replayed { at, length_ms, unusual } in &self.events {
            let note = if unusual.suppressed { "  (beyond the budget)" } else { "" };
            writeln!(
                f,
                "{}  {:<wide$}  {:>9}  {:>6}  {:>7}  {:>9.2}  {:>7.5}  {}{note}",
                utc(at.utc_ms),
                unusual.region,
                duration(*length_ms),
                unusual.frames,
                unusual.unusual_frames,
                unusual.peak_energy,
                unusual.peak_p_value,
                unusual.nearest.as_deref().unwrap_or("-"),
            )?;
        }
        Ok(())
    }
}

fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn duration(ms: u64) -> String {
    match ms as f64 / 1000.0 {
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7200.0 => format!("{:.1} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}

#[cfg(test)]
mod tests;
