//! What a person sees while the show runs: a live picture on a terminal, else a line per event.

use std::env;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _, stdout};

use anyhow::Result;
use oddsight::image::{Preprocess, Resize, Rgb, prepare};

use super::Setting;
use super::scorecard::{Said, Truth};
use super::seconds;

/// Where the show is shown.
pub enum View {
    /// A picture that is drawn over the one before.
    Live { drawn: bool },
    /// A line whenever something begins or ends.
    Lines,
}

/// Side of the drawn picture in half-block pixels: with it the view fits 80 by 24 characters.
const SIDE: u32 = 44;
const ROWS: usize = SIDE as usize / 2;
/// Columns of the panel beside the picture.
const PANEL: usize = 34;
/// Rows of the energy chart.
const CHART: usize = 6;

const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const MAGENTA: &str = "\x1b[35m";
const DIM: &str = "\x1b[2m";
const BOLD: &str = "\x1b[1m";
/// Bright white on red.
const ALARM: &str = "\x1b[1;97;41m";
const PLAIN: &str = "\x1b[0m";

impl View {
    /// Live on a terminal that shows colours and whose user has not refused them (no-color.org).
    pub fn for_stdout(setting: &Setting) -> Result<View> {
        let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        if stdout().is_terminal() && !set("NO_COLOR") && !dumb {
            return Ok(View::Live { drawn: false });
        }
        writeln!(
            stdout(),
            "A simulated conveyor, seed {}: {} frames, {:.1} s. Alpha {}.\n",
            setting.seed,
            setting.frames,
            seconds(setting.frames),
            setting.alpha
        )?;
        Ok(View::Lines)
    }

    /// Shows the newest frame of the tape.
    pub fn show(
        &mut self,
        setting: &Setting,
        truths: &[Truth],
        tape: &[Said],
        picture: &Rgb,
    ) -> Result<()> {
        let text = match self {
            View::Lines => lines(truths, tape),
            View::Live { drawn } => {
                let up = if *drawn { format!("\x1b[{ROWS}A") } else { String::new() };
                *drawn = true;
                // Lines do not wrap while they are drawn; every write leaves the terminal as it
                // was, so that nothing is left to restore whenever the program is stopped.
                let mut text = format!("{up}\x1b[?7l");
                for (left, right) in half_blocks(picture)?.iter().zip(panel(setting, truths, tape))
                {
                    let _ = writeln!(text, "\r{left}  {right}{PLAIN}\x1b[K");
                }
                text + "\x1b[?7h"
            }
        };
        let mut out = stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()?;
        Ok(())
    }
}

/// One line for whatever began or ended with the newest frame.
fn lines(truths: &[Truth], tape: &[Said]) -> String {
    let mut text = String::new();
    let Some((said, before)) = tape.split_last() else { return text };
    let frame = before.len() as u64;
    let truth = Truth::at(truths, frame);
    let truth_before = frame.checked_sub(1).and_then(|frame| Truth::at(truths, frame));
    let mut line = |what: String| {
        let _ = writeln!(text, "{:>6.1} s  {what}", seconds(frame));
    };
    if truth != truth_before {
        if let Some(gone) = truth_before {
            line(format!("really: {} is gone", gone.kind));
        }
        if let Some(truth) = truth {
            line(format!("really: {} appears (severity {:.2})", truth.kind, truth.severity));
        }
    }
    if said.alarm.raised {
        line(format!("ALARM    energy {:.1}, p = {:.4}", said.energy, said.p_value));
    }
    if !said.alarm.on && before.last().is_some_and(|said| said.alarm.on) {
        line("alarm over".into());
    }
    text
}

/// The picture as rows of `▀`: the upper pixel is the ink, the lower one the paper.
fn half_blocks(picture: &Rgb) -> Result<Vec<String>> {
    let how = Preprocess { resize: Resize::Stretch(SIDE, SIDE), crop: [SIDE, SIDE] };
    let small = prepare(picture, &how)?;
    let row_bytes = SIDE as usize * 3;
    let rows = small.pixels.chunks_exact(row_bytes * 2).map(|pair| {
        let (upper, lower) = pair.split_at(row_bytes);
        let mut row = String::new();
        for (up, low) in upper.chunks_exact(3).zip(lower.chunks_exact(3)) {
            let _ = write!(
                row,
                "\x1b[38;2;{};{};{};48;2;{};{};{}m▀",
                up[0], up[1], up[2], low[0], low[1], low[2]
            );
        }
        row + PLAIN
    });
    Ok(rows.collect())
}

/// The rows beside the picture.
fn panel(setting: &Setting, truths: &[Truth], tape: &[Said]) -> Vec<String> {
    let Some((said, _)) = tape.split_last() else { return vec![String::new(); ROWS] };
    let frame = tape.len() as u64 - 1;
    let verdict = match (said.alarm.on, said.unusual) {
        (true, true) => format!("{ALARM} ALARM {PLAIN} {RED}unusual{PLAIN}"),
        (true, false) => format!("{ALARM} ALARM {PLAIN} {GREEN}normal again{PLAIN}"),
        (false, true) => format!("{YELLOW}{BOLD}unusual{PLAIN} {DIM}(no alarm yet){PLAIN}"),
        (false, false) => format!("{GREEN}{BOLD}normal{PLAIN}"),
    };
    let really = match Truth::at(truths, frame) {
        Some(truth) => format!("{MAGENTA}{BOLD}{}{PLAIN}", truth.kind),
        None => format!("{DIM}nothing unusual{PLAIN}"),
    };
    let mut rows = vec![
        format!("{BOLD}oddsight demo{PLAIN} {DIM}seed {}{PLAIN}", setting.seed),
        progress(frame + 1, setting.frames),
        String::new(),
        format!("verdict   {verdict}"),
        format!("really    {really}"),
        String::new(),
        format!(
            "energy    {:<8.1}{DIM}threshold {:.1}{PLAIN}",
            said.energy, setting.scale.threshold
        ),
        format!("p-value   {:<8.4}{DIM}alpha {}{PLAIN}", said.p_value, setting.alpha),
        String::new(),
    ];
    rows.extend(chart(setting, tape));
    rows.push(strip(tape, MAGENTA, |frame| Truth::at(truths, frame).is_some()) + " really");
    rows.push(strip(tape, RED, |frame| tape[frame as usize].alarm.on) + " alarm");
    rows.push(String::new());
    rows.push(tally(truths, tape));
    rows.resize(ROWS, String::new());
    rows
}

fn progress(done: u64, all: u64) -> String {
    let width = PANEL - 10;
    let full = (done as usize * width) / all.max(1) as usize;
    format!("{}{DIM}{}{PLAIN} {:>5.1} s", "━".repeat(full), "─".repeat(width - full), seconds(done))
}

/// Columns of the chart: the frames that it shows.
fn window(tape: &[Said]) -> std::ops::Range<usize> {
    tape.len().saturating_sub(PANEL - 8)..tape.len()
}

/// The last energies as bars; what is above the threshold is red.
fn chart(setting: &Setting, tape: &[Said]) -> Vec<String> {
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let eighths = |height: f64| (height * (CHART * 8) as f64).round() as usize;
    let threshold_row = eighths(setting.scale.height(setting.scale.threshold)) / 8;
    let row = |row: usize| {
        let mut text = String::new();
        for said in &tape[window(tape)] {
            let level = eighths(setting.scale.height(said.energy)).saturating_sub(row * 8).min(8);
            let color = if said.unusual { RED } else { GREEN };
            match level {
                0 if row == threshold_row => {
                    let _ = write!(text, "{DIM}╌{PLAIN}");
                }
                _ => {
                    let _ = write!(text, "{color}{}{PLAIN}", BARS[level]);
                }
            }
        }
        text
    };
    (0..CHART).rev().map(row).collect()
}

/// One mark per frame of the chart for which `holds`.
fn strip(tape: &[Said], color: &str, holds: impl Fn(u64) -> bool) -> String {
    let frames = window(tape);
    let blank = PANEL - 8 - frames.len();
    let mut text = String::new();
    for frame in frames {
        let mark = if holds(frame as u64) { format!("{color}▀") } else { format!("{DIM}·") };
        let _ = write!(text, "{mark}{PLAIN}");
    }
    text + &" ".repeat(blank)
}

/// The score so far; an episode counts from its alarm, or from its end.
fn tally(truths: &[Truth], tape: &[Said]) -> String {
    let frames = tape.len() as u64;
    let caught = |truth: &&Truth| truth.alarm_after(tape).is_some();
    let missed = truths.iter().filter(|truth| truth.end <= frames && !caught(truth)).count();
    let caught = truths.iter().filter(caught).count();
    let false_alarms = (0..frames)
        .filter(|&f| tape[f as usize].alarm.raised && Truth::at(truths, f).is_none())
        .count();
    format!(
        "{GREEN}caught {caught}{PLAIN}  missed {missed}  {YELLOW}false alarms {false_alarms}{PLAIN}"
    )
}

#[cfg(test)]
mod tests {
    use oddsight::camera::synth::{Kind, Show};

    use super::super::alarm::Debounce;
    use super::super::scale::EnergyScale;
    use super::*;

    fn setting() -> Setting {
        let scale = EnergyScale { median: 1.0, threshold: 2.0 };
        Setting { seed: 1, alpha: 0.05, scale, frames: 60 }
    }

    fn tape(frames: usize) -> Vec<Said> {
        let mut debounce = Debounce::default();
        (0..frames)
            .map(|i| {
                let unusual = (20..30).contains(&i);
                Said {
                    energy: if unusual { 5.0 } else { 1.0 },
                    p_value: 0.5,
                    unusual,
                    alarm: debounce.step(unusual, 0.5),
                }
            })
            .collect()
    }

    /// Characters that a terminal shows of a row.
    fn visible(row: &str) -> usize {
        let mut shown = 0;
        let mut escaped = false;
        for c in row.chars() {
            match c {
                '\x1b' => escaped = true,
                'a'..='z' | 'A'..='Z' if escaped => escaped = false,
                _ if !escaped => shown += 1,
                _ => {}
            }
        }
        shown
    }

    #[test]
    fn the_live_view_fits_80_by_24() {
        let truths = [Truth { kind: Kind::MissingTeeth, start: 18, end: 31, severity: 0.5 }];
        let picture = half_blocks(&Show::new(1).draw(0)).unwrap();
        assert_eq!(picture.len(), ROWS);
        assert!(picture.iter().all(|row| visible(row) == SIDE as usize));
        for frames in 1..60 {
            let rows = panel(&setting(), &truths, &tape(frames));
            assert_eq!(rows.len(), ROWS);
            for row in rows {
                assert!(visible(&row) <= PANEL, "{} columns: {row}", visible(&row));
            }
        }
    }

    #[test]
    fn lines_tell_what_begins_and_ends() {
        let truths = [Truth { kind: Kind::Coin, start: 18, end: 31, severity: 0.5 }];
        let all: String = (1..60).map(|frames| lines(&truths, &tape(frames))).collect();
        let told: Vec<&str> = all.lines().map(|line| line.trim_start()).collect();
        assert_eq!(
            told,
            [
                "1.8 s  really: coin appears (severity 0.50)",
                "2.2 s  ALARM    energy 5.0, p = 0.5000",
                "3.1 s  really: coin is gone",
                "3.4 s  alarm over",
            ]
        );
    }
}
