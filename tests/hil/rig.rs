//! What a rig has: its file, read.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A trial that can run, or why it cannot.
pub type Planned = (String, Result<Run, String>);

/// Runs a trial; the error is for people.
pub type Run = Box<dyn FnOnce() -> Result<(), String> + Send>;

/// The hardware that is there; trials without theirs are skipped.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rig {
    pub camera: Option<Camera>,
    #[serde(default)]
    pub output: Vec<Output>,
    pub button: Option<Button>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    pub device: PathBuf,
    /// Width and height.
    pub size: (u32, u32),
    /// All formats that are to be tried.
    pub formats: Vec<String>,
    /// A frame rate that it has.
    pub fps: u32,
    /// A rate that it has not.
    pub not_fps: u32,
    /// Name of the control that unplugs it.
    pub unplug: Option<String>,
    /// Name of the control that damages one frame.
    pub damage: Option<String>,
    /// Name of the control that drops frames, in percent.
    pub silence: Option<String>,
    /// Name of the control that makes the stream fail.
    pub fail: Option<String>,
    /// It shows coloured bars, the same in every format.
    #[serde(default)]
    pub bars: bool,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    pub backend: String,
    #[serde(default)]
    pub chip: PathBuf,
    pub line: u32,
    /// How to see the level without asking the line itself; without it the line is asked.
    pub seen_by: Option<Witness>,
}

/// Who sees a line's level from outside.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Witness {
    /// A file that holds 0 or 1.
    File(PathBuf),
    /// An input line that a wire joins to the output.
    Wire { chip: PathBuf, line: u32 },
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Button {
    pub chip: PathBuf,
    pub line: u32,
    /// A file that moves the contact.
    pub contact: PathBuf,
    /// What is written to it.
    pub down: String,
    pub up: String,
}

impl Rig {
    pub fn read(path: &Path) -> Rig {
        let text = std::fs::read_to_string(path)
            .unwrap_or_else(|e| panic!("HIL_RIG {}: {e}", path.display()));
        toml::from_str(&text).unwrap_or_else(|e| panic!("HIL_RIG {}: {e}", path.display()))
    }
}

/// A trial on `part` of the rig.
pub fn trial<T: Send + 'static>(
    name: &str,
    part: Result<T, String>,
    run: fn(&T) -> Result<(), String>,
) -> Planned {
    (name.to_string(), part.map(|part| Box::new(move || run(&part)) as Run))
}

/// The part, or the words that it is missing.
pub fn part<T: Clone>(
    rig: Option<&Rig>,
    what: &str,
    get: impl Fn(&Rig) -> Option<&T>,
) -> Result<T, String> {
    let rig = rig.ok_or("HIL_RIG names no rig file (firmware-config/rigs has some)")?;
    get(rig).cloned().ok_or_else(|| format!("the rig has no {what}"))
}
