//! A line without a board: a file that holds `high` or `low`.

use std::fs;
use std::path::{Path, PathBuf};

use super::{GpioError, GpioErrorKind, Level, OutputLine};

/// A file as a line.
pub struct SimLine {
    path: PathBuf,
}

impl SimLine {
    /// Writes `first` to the file.
    pub fn open(path: &Path, first: Level) -> Result<SimLine, GpioError> {
        let mut line = SimLine { path: path.to_path_buf() };
        line.set(first)?;
        Ok(line)
    }
}

impl OutputLine for SimLine {
    fn set(&mut self, level: Level) -> Result<(), GpioError> {
        // Renamed into place, so that a reader finds one level or the other.
        let mut new = self.path.clone().into_os_string();
        new.push(".new");
        fs::write(&new, format!("{level}\n"))
            .and_then(|()| fs::rename(&new, &self.path))
            .map_err(|e| self.error(&e))
    }

    fn level(&self) -> Result<Level, GpioError> {
        let text = fs::read_to_string(&self.path).map_err(|e| self.error(&e))?;
        text.trim().parse()
    }
}

impl SimLine {
    fn error(&self, e: &std::io::Error) -> GpioError {
        GpioError::new(GpioErrorKind::Io, format!("sim:{}: {e}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_shows_the_level() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lamp");
        let mut line = SimLine::open(&path, Level::High).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "high\n");
        line.set(Level::Low).unwrap();
        assert_eq!(line.level().unwrap(), Level::Low);
        fs::write(&path, "broken").unwrap();
        assert_eq!(line.level().unwrap_err().kind(), GpioErrorKind::Spec);
        drop(dir);
        assert_eq!(line.set(Level::High).unwrap_err().kind(), GpioErrorKind::Io);
    }
}
