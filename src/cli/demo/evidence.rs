//! The frames worth keeping, and how files get to disk.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use oddsight::camera::synth::Show;
use oddsight::image::encode_png;

use super::scorecard::Scorecard;

/// Why a frame is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Caught,
    Missed,
    FalseAlarm,
    Normal,
}

impl Reason {
    /// Part of the file name.
    fn slug(self) -> &'static str {
        match self {
            Reason::Caught => "caught",
            Reason::Missed => "missed",
            Reason::FalseAlarm => "false-alarm",
            Reason::Normal => "normal",
        }
    }
}

/// One kept frame.
pub struct Exhibit {
    pub frame: u64,
    pub reason: Reason,
    /// What was to be seen.
    pub title: String,
    pub png: Vec<u8>,
}

/// The frame of the highest energy of every episode, every false alarm, and some typical frames.
pub fn collect(show: &Show, scorecard: &Scorecard) -> Vec<Exhibit> {
    let exhibit = |frame: u64, reason: Reason, title: String| {
        let png = encode_png(&show.draw(frame));
        Exhibit { frame, reason, title, png }
    };
    let episodes = scorecard.outcomes.iter().map(|outcome| {
        let reason = if outcome.alarm_after.is_some() { Reason::Caught } else { Reason::Missed };
        exhibit(outcome.peak, reason, outcome.truth.kind.to_string())
    });
    let false_alarms = scorecard
        .false_alarms
        .iter()
        .map(|&frame| exhibit(frame, Reason::FalseAlarm, "false alarm".into()));
    let typical =
        scorecard.typical.iter().map(|&frame| exhibit(frame, Reason::Normal, "normal".into()));
    episodes.chain(false_alarms).chain(typical).collect()
}

/// Makes the folder for evidence, before anything is worth keeping.
pub fn make_folder(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)
        .with_context(|| format!("cannot make {}; name another folder with --out", dir.display()))
}

/// Writes the frames as PNG files into `dir`.
pub fn save(dir: &Path, seed: u64, exhibits: &[Exhibit]) -> Result<()> {
    for Exhibit { frame, reason, title, png } in exhibits {
        let name = match reason {
            Reason::Caught | Reason::Missed => {
                format!(
                    "seed{seed}-frame{frame:04}-{}-{}.png",
                    title.replace(' ', "-"),
                    reason.slug()
                )
            }
            _ => format!("seed{seed}-frame{frame:04}-{}.png", reason.slug()),
        };
        write(&dir.join(name), png)?;
    }
    Ok(())
}

/// Writes a file whole or not at all: under a temporary name, then renamed.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let temporary = Path::new(&name);
    fs::write(temporary, bytes)
        .and_then(|()| fs::rename(temporary, path))
        .inspect_err(|_| {
            // Best effort: the error that is reported is the first one.
            let _ = fs::remove_file(temporary);
        })
        .with_context(|| format!("cannot write {}; is the disk full?", path.display()))
}
