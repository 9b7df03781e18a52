//! A button between a line and ground.

use std::path::Path;
use std::time::{Duration, Instant};

use gpiocdev::Request;
use gpiocdev::line::{Bias, EdgeDetection, Value};

use super::cdev::request;
use super::{GpioError, GpioErrorKind};

/// Contacts bounce for a few milliseconds; a press holds for much longer.
const SETTLED: Duration = Duration::from_millis(20);

/// A button that connects its line to ground. The chip's own pull-up is used where it has one; otherwise the circuit
/// needs one.
pub struct Button {
    request: Request,
    /// It was down when last looked at.
    down: bool,
}

impl Button {
    /// Takes line `line` of `chip`, which is a path or a label.
    ///
    /// # Errors
    ///
    /// As [`super::LineSpec::open`].
    pub fn open(chip: &Path, line: u32) -> Result<Button, GpioError> {
        let edges = EdgeDetection::BothEdges;
        let pulled = request(chip, line, |builder| {
            builder.as_input().with_bias(Bias::PullUp).with_edge_detection(edges)
        });
        let request = match pulled {
            Ok(request) => request,
            // Chips without resistors of their own refuse; a chip or line that is missing is missing here too.
            Err(e) if e.kind() == GpioErrorKind::Io => {
                log::info!("{e}: no pull-up there, the circuit must have one");
                request(chip, line, |builder| builder.as_input().with_edge_detection(edges))?
            }
            Err(e) => return Err(e),
        };
        let mut button = Button { request, down: false };
        button.down = button.is_down()?;
        Ok(button)
    }

    /// Whether it is pressed within `wait`. One press, however long and however much the contacts bounce, is told once.
    ///
    /// # Errors
    ///
    /// When the chip is gone; open the button again.
    pub fn pressed(&mut self, wait: Duration) -> Result<bool, GpioError> {
        let deadline = Instant::now().checked_add(wait);
        loop {
            let left = deadline.map_or(wait, |end| end.saturating_duration_since(Instant::now()));
            if !self.wait_edge(left)? {
                match deadline {
                    Some(end) if end <= Instant::now() => return Ok(false),
                    _ => continue,
                }
            }
            // The edges of one bounce are one change.
            while self.wait_edge(SETTLED)? {}
            let down = self.is_down()?;
            let was_down = std::mem::replace(&mut self.down, down);
            if down && !was_down {
                return Ok(true);
            }
        }
    }

    /// Whether an edge came within `wait`; takes it.
    fn wait_edge(&self, wait: Duration) -> Result<bool, GpioError> {
        // The kernel's own limit of a wait is about 24 days.
        let wait = wait.min(Duration::from_secs(3600));
        let came = self.request.wait_edge_event(wait).map_err(|e| self.error(&e))?;
        if came {
            self.request.read_edge_event().map_err(|e| self.error(&e))?;
        }
        Ok(came)
    }

    fn is_down(&self) -> Result<bool, GpioError> {
        let value = self.request.lone_value().map_err(|e| self.error(&e))?;
        Ok(value == Value::Inactive)
    }

    fn error(&self, e: &gpiocdev::Error) -> GpioError {
        let chip = self.request.chip_path();
        GpioError::new(GpioErrorKind::Io, format!("{}: {e}", chip.display()))
    }
}
