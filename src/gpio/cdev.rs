//! Lines of any board by the kernel's GPIO character device.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use gpiocdev::line::{Direction, Value};
use gpiocdev::request::Builder;
use gpiocdev::{Chip, Request, chip};

use super::{GpioError, GpioErrorKind, Level, OutputLine};

/// What other users of the chip see as the line's user.
const CONSUMER: &str = "oddsight";

/// A chip of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChipInfo {
    pub path: PathBuf,
    pub label: String,
    pub lines: Vec<LineInfo>,
}

/// A line of a chip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineInfo {
    pub line: u32,
    /// What the board calls it; may be empty.
    pub name: String,
    /// Who uses it; empty if nobody does.
    pub user: String,
    pub is_output: bool,
}

/// A line that is driven.
pub struct CdevLine {
    request: Request,
}

impl CdevLine {
    /// Takes line `line` of the chip.
    pub fn open(chip: &Path, line: u32, first: Level) -> Result<CdevLine, GpioError> {
        let request = request(chip, line, |builder| builder.as_output(value(first)))?;
        Ok(CdevLine { request })
    }
}

impl OutputLine for CdevLine {
    fn set(&mut self, level: Level) -> Result<(), GpioError> {
        self.request.set_lone_value(value(level)).map_err(|e| self.error(&e))?;
        Ok(())
    }

    fn level(&self) -> Result<Level, GpioError> {
        self.request.lone_value().map(level).map_err(|e| self.error(&e))
    }
}

impl CdevLine {
    fn error(&self, e: &gpiocdev::Error) -> GpioError {
        let chip = self.request.chip_path();
        GpioError::new(GpioErrorKind::Io, format!("{}: {e}", chip.display()))
    }
}

/// The chips of this machine with their lines; a chip that cannot be opened is an error in its place.
pub fn chips() -> Vec<Result<ChipInfo, GpioError>> {
    let paths = chip::chips().unwrap_or_default();
    paths.into_iter().map(|path| chip_info(&path).map_err(|e| explain(&path, &e))).collect()
}

fn chip_info(path: &Path) -> gpiocdev::Result<ChipInfo> {
    let chip = Chip::from_path(path)?;
    let lines = chip.line_info_iter()?.filter_map(Result::ok).map(|line| LineInfo {
        line: line.offset,
        name: line.name,
        user: if line.used { or(line.consumer, "the kernel") } else { String::new() },
        is_output: line.direction == Direction::Output,
    });
    let lines = lines.collect();
    Ok(ChipInfo { path: path.to_path_buf(), label: chip.info()?.label, lines })
}

/// Takes a line as `configure` says.
pub(super) fn request(
    chip: &Path,
    line: u32,
    configure: impl Fn(&mut Builder) -> &mut Builder,
) -> Result<Request, GpioError> {
    let path = resolve(chip)?;
    let mut builder = Request::builder();
    builder.on_chip(&path).with_consumer(CONSUMER).with_line(line);
    configure(&mut builder).request().map_err(|e| explain_line(&path, line, &e))
}

/// The device of a chip that is given by its path or its label.
fn resolve(chip: &Path) -> Result<PathBuf, GpioError> {
    if chip.components().count() > 1 {
        return Ok(chip.to_path_buf());
    }
    let label = |path: &PathBuf| Chip::from_path(path).and_then(|chip| chip.info()).ok();
    let wanted = chip.to_string_lossy();
    let mut paths = chip::chips().unwrap_or_default().into_iter();
    paths.find(|path| label(path).is_some_and(|info| info.label == wanted)).ok_or_else(|| {
        let remedy = "`oddsight gpio list` names those that there are";
        let why = format!("{wanted}: no GPIO chip of this machine has this label; {remedy}");
        GpioError::new(GpioErrorKind::Missing, why)
    })
}

pub(super) fn level(value: Value) -> Level {
    match value {
        Value::Active => Level::High,
        Value::Inactive => Level::Low,
    }
}

fn value(level: Level) -> Value {
    match level {
        Level::High => Value::Active,
        Level::Low => Value::Inactive,
    }
}

/// Why a line could not be had, by looking at what is there: the kernel's own answer is a number that means several
/// things.
fn explain_line(path: &Path, line: u32, e: &gpiocdev::Error) -> GpioError {
    let place = format!("{} line {line}", path.display());
    let Ok(chip) = Chip::from_path(path) else { return explain(path, e) };
    if let Ok(info) = chip.info()
        && line >= info.num_lines
    {
        let why = format!("{place}: the chip has {} lines, counted from 0", info.num_lines);
        return GpioError::new(GpioErrorKind::Missing, why);
    }
    match chip.line_info(line) {
        Ok(info) if info.used => {
            let user = or(info.consumer, "the kernel");
            GpioError::new(GpioErrorKind::Busy, format!("{place}: `{user}` uses it"))
        }
        _ => GpioError::new(GpioErrorKind::Io, format!("{place}: {e}")),
    }
}

fn explain(path: &Path, e: &gpiocdev::Error) -> GpioError {
    let shown = path.display();
    match File::open(path).map_err(|e| e.kind()) {
        Err(io::ErrorKind::NotFound) => {
            let remedy = "`oddsight gpio list` names those that there are";
            let why = format!("{shown}: no GPIO chip is there; {remedy}");
            GpioError::new(GpioErrorKind::Missing, why)
        }
        Err(io::ErrorKind::PermissionDenied) => {
            let remedy = "add the user to the group `gpio`";
            GpioError::new(GpioErrorKind::Denied, format!("{shown}: no permission; {remedy}"))
        }
        _ => GpioError::new(GpioErrorKind::Io, format!("{shown}: {e}")),
    }
}

fn or(text: String, otherwise: &str) -> String {
    if text.is_empty() { otherwise.to_string() } else { text }
}
