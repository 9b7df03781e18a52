//! Output lines for lamps and relays, and buttons.
//!
//! Levels are electrical: [`Level::High`] is voltage on the pin. What a level *means* is the business of
//! [`crate::sink::gpio`].

mod button;
mod cdev;
mod rppal;
mod sim;

use std::fmt;
use std::ops::Not;
use std::path::PathBuf;

pub use button::Button;
pub use cdev::{ChipInfo, LineInfo, chips};

/// A level of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    High,
    Low,
}

/// A line that is driven: the seam where a pin, a chip of another board or a file is swapped.
pub trait OutputLine: Send {
    /// Drives the line to `level`.
    ///
    /// # Errors
    ///
    /// When the line cannot be driven any more; open it again.
    fn set(&mut self, level: Level) -> Result<(), GpioError>;

    /// The level that the hardware reports. A line that another driver pulls to the other side tells of it here.
    fn level(&self) -> Result<Level, GpioError>;
}

/// What drives a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// `Rppal` on a Raspberry Pi that it knows, `Gpiocdev` elsewhere.
    Auto,
    /// The Pi's registers. The level stays when the program ends.
    Rppal,
    /// The kernel's character device. What the line does when the program ends is up to the chip's driver.
    Gpiocdev,
    /// A file that holds the level.
    Sim(PathBuf),
}

/// Which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineSpec {
    pub backend: Backend,
    /// The chip for `Gpiocdev`: its device (`/dev/gpiochip0`), or its label (`pinctrl-rp1`), which stays the same when
    /// a new kernel numbers the chips in another order.
    pub chip: PathBuf,
    /// Line of the chip; on a Raspberry Pi the BCM number.
    pub line: u32,
}

impl LineSpec {
    /// Takes the line and drives it to `first` at once, with no other level between.
    ///
    /// # Errors
    ///
    /// When there is no such chip or line, when it is used by somebody else, or when it may not be used.
    pub fn open(&self, first: Level) -> Result<Box<dyn OutputLine>, GpioError> {
        match &self.backend {
            Backend::Sim(path) => Ok(Box::new(sim::SimLine::open(path, first)?)),
            Backend::Rppal => self.open_rppal(first),
            Backend::Gpiocdev => self.open_cdev(first),
            Backend::Auto => match self.open_known_pi(first) {
                Some(line) => Ok(line),
                None => self.open_cdev(first),
            },
        }
    }

    /// Drives the line to `level` and lets go of it; says whether the level is sure to stay. It is not with the
    /// character device: what a line does that nobody holds is up to the chip's driver, and the kernel does not tell.
    /// (The direction that it reports is the last user's, not the hardware's.)
    ///
    /// # Errors
    ///
    /// As [`LineSpec::open`].
    pub fn leave(&self, level: Level) -> Result<bool, GpioError> {
        let stays = match &self.backend {
            Backend::Sim(_) | Backend::Rppal => true,
            Backend::Gpiocdev => false,
            Backend::Auto if self.open_known_pi(level).is_some() => return Ok(true),
            Backend::Auto => return self.open_cdev(level).map(|_| false),
        };
        self.open(level).map(|_| stays)
    }

    /// By the registers, if this is a Pi whose registers can be reached.
    fn open_known_pi(&self, first: Level) -> Option<Box<dyn OutputLine>> {
        if !rppal::is_known_pi() {
            return None;
        }
        self.open_rppal(first).map_err(|e| log::warn!("{e}; trying gpiocdev")).ok()
    }

    fn open_rppal(&self, first: Level) -> Result<Box<dyn OutputLine>, GpioError> {
        Ok(Box::new(rppal::RppalLine::open(self.line, first)?))
    }

    fn open_cdev(&self, first: Level) -> Result<Box<dyn OutputLine>, GpioError> {
        Ok(Box::new(cdev::CdevLine::open(&self.chip, self.line, first)?))
    }
}

impl fmt::Display for LineSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.backend {
            Backend::Sim(path) => write!(f, "{}", path.display()),
            Backend::Rppal => write!(f, "rppal line {}", self.line),
            Backend::Auto if rppal::is_known_pi() => write!(f, "rppal line {}", self.line),
            _ => write!(f, "{} line {}", self.chip.display(), self.line),
        }
    }
}

/// `auto`, `rppal`, `gpiocdev` or `sim:PATH`.
impl std::str::FromStr for Backend {
    type Err = GpioError;

    fn from_str(text: &str) -> Result<Backend, GpioError> {
        match (text, text.strip_prefix("sim:")) {
            ("auto", _) => Ok(Backend::Auto),
            ("rppal", _) => Ok(Backend::Rppal),
            ("gpiocdev", _) => Ok(Backend::Gpiocdev),
            (_, Some(path)) if !path.is_empty() => Ok(Backend::Sim(path.into())),
            _ => {
                let why = format!("backend `{text}` is none of auto, rppal, gpiocdev, sim:PATH");
                Err(GpioError::new(GpioErrorKind::Spec, why))
            }
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Backend::Auto => f.write_str("auto"),
            Backend::Rppal => f.write_str("rppal"),
            Backend::Gpiocdev => f.write_str("gpiocdev"),
            Backend::Sim(path) => write!(f, "sim:{}", path.display()),
        }
    }
}

impl Not for Level {
    type Output = Level;

    fn not(self) -> Level {
        match self {
            Level::High => Level::Low,
            Level::Low => Level::High,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::High => "high",
            Level::Low => "low",
        })
    }
}

/// `high` or `low`.
impl std::str::FromStr for Level {
    type Err = GpioError;

    fn from_str(text: &str) -> Result<Level, GpioError> {
        match text {
            "high" => Ok(Level::High),
            "low" => Ok(Level::Low),
            _ => {
                let why = format!("level `{text}` is neither high nor low");
                Err(GpioError::new(GpioErrorKind::Spec, why))
            }
        }
    }
}

/// Why a line cannot be used.
#[derive(Debug)]
pub struct GpioError {
    kind: GpioErrorKind,
    message: String,
}

/// What went wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GpioErrorKind {
    /// The text that names a backend or a level cannot be read.
    Spec,
    /// There is no such chip or line, or this is no Raspberry Pi.
    Missing,
    /// This user may not use it.
    Denied,
    /// Somebody else uses it.
    Busy,
    /// Driving or reading it failed.
    Io,
}

impl GpioError {
    pub(crate) fn new(kind: GpioErrorKind, message: impl Into<String>) -> GpioError {
        GpioError { kind, message: message.into() }
    }

    /// What went wrong.
    pub fn kind(&self) -> GpioErrorKind {
        self.kind
    }
}

impl fmt::Display for GpioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for GpioError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_are_parsed_or_explained() {
        for text in ["auto", "rppal", "gpiocdev", "sim:/run/a:b"] {
            assert_eq!(text.parse::<Backend>().unwrap().to_string(), text);
        }
        for text in ["", "sim:", "sysfs", "Auto"] {
            let why = text.parse::<Backend>().unwrap_err();
            assert_eq!(why.kind(), GpioErrorKind::Spec);
            assert!(why.to_string().contains("sim:PATH"), "{why}");
        }
    }

    #[test]
    fn a_chip_that_is_not_there_is_named() {
        for (chip, line) in [("/dev/gpiochip-none", 3), ("no-such-label", 3)] {
            let spec = LineSpec { backend: Backend::Gpiocdev, chip: chip.into(), line };
            let why = spec.open(Level::Low).err().unwrap();
            assert_eq!(why.kind(), GpioErrorKind::Missing, "{why}");
            assert!(why.to_string().contains(chip), "{why}");
        }
    }
}
