//! What was said against what was true.

use std::fmt::Write as _;

use oddsight::camera::synth::{Episode, Group, Kind};
use oddsight::event::{Alarm, AlarmSettings, Rule};

use super::alarm::Debounce;
use super::seconds;

/// What was said of one frame.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    pub energy: f64,
    pub p_value: f64,
    pub unusual: bool,
    pub alarm: Alarm,
}

/// What was true from frame `start` to before frame `end`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truth {
    pub kind: Kind,
    pub start: u64,
    pub end: u64,
    pub severity: f64,
}

impl From<&Episode> for Truth {
    fn from(episode: &Episode) -> Truth {
        let &Episode { kind, start, end, severity, .. } = episode;
        Truth { kind, start, end, severity }
    }
}

impl Truth {
    /// What is true of a frame, if anything is wrong.
    pub fn at(truths: &[Truth], frame: u64) -> Option<&Truth> {
        truths.iter().find(|truth| (truth.start..truth.end).contains(&frame))
    }

    /// Frames from its start until its own frames, without any before them, raise an alarm; `None` if
    /// they have not up to the end of the tape. A flagged frame before it helps nothing.
    pub fn alarm_after(&self, tape: &[Said]) -> Option<u64> {
        let mut debounce = Debounce::default();
        let own = tape.iter().take(self.end as usize).skip(self.start as usize);
        let mut alarms = own.map(|said| debounce.step(said.unusual, said.p_value));
        alarms.position(|alarm| alarm.raised).map(|n| n as u64)
    }
}

/// How one episode ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    pub truth: Truth,
    /// Frames from its first frame to the alarm; `None`: missed.
    pub alarm_after: Option<u64>,
    /// Frames of it that were flagged.
    pub flagged: u64,
    /// Its frame of the highest energy.
    pub peak: u64,
}

/// The judgement of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Scorecard {
    pub outcomes: Vec<Outcome>,
    pub normal_frames: u64,
    /// Normal frames that were flagged.
    pub normal_flagged: u64,
    /// Frames in which an alarm was raised while nothing was wrong.
    pub false_alarms: Vec<u64>,
    /// Normal frames of middling energy, to show what normal looks like.
    pub typical: Vec<u64>,
}

impl Scorecard {
    /// Judges a run of which every frame was scored.
    ///
    /// An episode counts as caught when its own frames raise an alarm; an alarm that is raised in a
    /// frame without an episode is a false one.
    pub fn new(tape: &[Said], truths: &[Truth]) -> Scorecard {
        let normal: Vec<u64> =
            (0..tape.len() as u64).filter(|&f| Truth::at(truths, f).is_none()).collect();
        let said = |frame: u64| &tape[frame as usize];
        Scorecard {
            outcomes: truths.iter().map(|truth| outcome(tape, truth)).collect(),
            normal_frames: normal.len() as u64,
            normal_flagged: normal.iter().filter(|&&f| said(f).unusual).count() as u64,
            false_alarms: normal.iter().copied().filter(|&f| said(f).alarm.raised).collect(),
            typical: typical(tape, &normal),
        }
    }

    pub fn caught(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.alarm_after.is_some()).count()
    }

    /// Share of normal frames that were flagged: what alpha promises to bound. `None` without any.
    pub fn measured_rate(&self) -> Option<f64> {
        (self.normal_frames > 0).then(|| self.normal_flagged as f64 / self.normal_frames as f64)
    }

    /// Median frames from an episode's start to its alarm, over the caught ones.
    pub fn median_delay(&self) -> Option<u64> {
        let mut delays: Vec<u64> = self.outcomes.iter().filter_map(|o| o.alarm_after).collect();
        delays.sort_unstable();
        delays.get(delays.len().saturating_sub(1) / 2).copied()
    }

    /// `(group, caught, shown)` of every group that was shown.
    pub fn by_group(&self) -> Vec<(Group, usize, usize)> {
        [Group::Foreign, Group::Damage, Group::Lens, Group::Light]
            .into_iter()
            .map(|group| {
                let of_group = || self.outcomes.iter().filter(|o| o.truth.kind.group() == group);
                let caught = of_group().filter(|o| o.alarm_after.is_some()).count();
                (group, caught, of_group().count())
            })
            .filter(|&(_, _, shown)| shown > 0)
            .collect()
    }

    /// The scorecard as a table for a terminal.
    pub fn report(&self, alpha: f64) -> String {
        let mut text = String::from("\nScorecard\n\n");
        for outcome in &self.outcomes {
            let Truth { kind, start, end, severity } = outcome.truth;
            let result = match outcome.alarm_after {
                Some(delay) => format!("caught after {:.1} s", seconds(delay)),
                None => "missed".to_string(),
            };
            let _ = writeln!(
                text,
                "  {:<24} {:<15} severity {severity:.2}  {:>2} of {:>2} frames flagged  {result}",
                kind.to_string(),
                kind.group().to_string(),
                outcome.flagged,
                end - start,
            );
        }
        let groups: Vec<String> = self
            .by_group()
            .iter()
            .map(|(group, caught, shown)| format!("{group} {caught}/{shown}"))
            .collect();
        let _ = writeln!(
            text,
            "\n  episodes      {} shown, {} caught, {} missed ({})",
            self.outcomes.len(),
            self.caught(),
            self.outcomes.len() - self.caught(),
            groups.join(", ")
        );
        let _ = writeln!(
            text,
            "  false alarms  {} in {:.1} s of normal running",
            self.false_alarms.len(),
            seconds(self.normal_frames)
        );
        let _ = writeln!(
            text,
            "  alpha         promised {}, measured {} ({} of {} normal frames flagged)",
            percent(alpha),
            self.measured_rate().map_or("nothing".into(), percent),
            self.normal_flagged,
            self.normal_frames
        );
        let Rule { raise, window, .. } = AlarmSettings::default().rule();
        let _ = writeln!(text, "  alarm rule    {raise} of the last {window} frames flagged");
        text
    }
}

/// A share with one digit after the point.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn outcome(tape: &[Said], truth: &Truth) -> Outcome {
    let frames = || (truth.start..truth.end).zip(&tape[truth.start as usize..truth.end as usize]);
    let peak = frames().max_by(|a, b| a.1.energy.total_cmp(&b.1.energy));
    Outcome {
        truth: *truth,
        alarm_after: truth.alarm_after(tape),
        flagged: frames().filter(|(_, said)| said.unusual).count() as u64,
        peak: peak.map_or(truth.start, |(frame, _)| frame),
    }
}

/// One normal frame of each fifth of the run: the one with the median energy.
fn typical(tape: &[Said], normal: &[u64]) -> Vec<u64> {
    normal
        .chunks(normal.len().div_ceil(5).max(1))
        .map(|fifth| {
            let mut by_energy = fifth.to_vec();
            let energy = |frame: &u64| tape[*frame as usize].energy;
            by_energy.sort_by(|a, b| energy(a).total_cmp(&energy(b)));
            by_energy[by_energy.len() / 2]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::alarm::Debounce;
    use super::*;

    /// One character per frame: `x` is flagged.
    fn tape(flags: &str) -> Vec<Said> {
        let mut debounce = Debounce::default();
        flags
            .chars()
            .enumerate()
            .map(|(i, flag)| {
                let unusual = flag == 'x';
                let p_value = if unusual { 0.01 } else { 0.5 };
                Said {
                    energy: i as f64 + if unusual { 100.0 } else { 0.0 },
                    p_value,
                    unusual,
                    alarm: debounce.step(unusual, p_value),
                }
            })
            .collect()
    }

    fn truth(kind: Kind, start: u64, end: u64) -> Truth {
        Truth { kind, start, end, severity: 0.5 }
    }

    #[test]
    fn a_caught_and_a_missed_episode_and_a_false_alarm() {
        //               0         1         2         3
        //               0123456789012345678901234567890123456789
        let tape = tape(".x....xxxx...........x..x.........xxx...");
        let truths = [truth(Kind::Coin, 5, 11), truth(Kind::Bent, 20, 28)];
        let card = Scorecard::new(&tape, &truths);
        assert_eq!(
            card.outcomes,
            [
                Outcome { truth: truths[0], alarm_after: Some(3), flagged: 4, peak: 9 },
                Outcome { truth: truths[1], alarm_after: None, flagged: 2, peak: 24 },
            ]
        );
        assert_eq!((card.normal_frames, card.normal_flagged), (26, 4));
        assert_eq!(card.false_alarms, [36]);
        assert_eq!((card.caught(), card.median_delay()), (1, Some(3)));
        assert_eq!(card.measured_rate(), Some(4.0 / 26.0));
        assert_eq!(card.by_group(), [(Group::Foreign, 1, 1), (Group::Damage, 0, 1)]);
        let report = card.report(0.05);
        for part in [
            "2 shown, 1 caught, 1 missed (foreign object 1/1, damage 0/1)",
            "1 in 2.6 s",
            "promised 5.0 %, measured 15.4 % (4 of 26 normal frames flagged)",
            "caught after 0.3 s",
        ] {
            assert!(report.contains(part), "{part} is not in:\n{report}");
        }
    }

    #[test]
    fn flagged_frames_from_before_catch_nothing() {
        let tape = tape("xxx..xxx.........");
        let card = Scorecard::new(&tape, &[truth(Kind::Leaf, 6, 10)]);
        assert!(tape[6].alarm.on);
        assert_eq!((card.caught(), card.outcomes[0].flagged), (0, 2));
        assert_eq!(card.false_alarms, [2]);
    }

    #[test]
    fn a_flawless_run() {
        let card = Scorecard::new(&tape("....xxxxxx"), &[truth(Kind::Dark, 4, 10)]);
        assert_eq!((card.caught(), card.normal_flagged), (1, 0));
        assert!(card.false_alarms.is_empty());
        assert_eq!(card.typical, [0, 1, 2, 3]);
    }

    #[test]
    fn nothing_normal_measures_nothing() {
        let card = Scorecard::new(&tape("....."), &[truth(Kind::Dark, 0, 5)]);
        assert_eq!((card.measured_rate(), card.median_delay()), (None, None));
        assert!(card.report(0.1).contains("measured nothing"));
    }
}
