//! A lamp or a relay that shows whether there is an alarm.
//!
//! The line has three levels of meaning: *alarm*, *no alarm*, and *safe*, which it has before this program is in charge
//! and after. A lamp is safe when it is dark; a relay that must fall when the watcher dies is safe when it alarms.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{Item, Sink, SinkError, Wants};
use crate::clock::Stamp;
use crate::event::{Cause, EventId, Message, Phase};
use crate::gpio::{Backend, GpioError, Level, LineSpec, OutputLine};

/// `[[gpio]]`: an output line that shows whether there is an alarm.
#[derive(Clone, Debug, PartialEq)]
pub struct GpioSettings {
    pub backend: Backend,
    /// The chip's device or label, for `gpiocdev`.
    pub chip: PathBuf,
    /// Line of the chip; on a Raspberry Pi the BCM number.
    pub line: u32,
    /// Level that means alarm; the other one means none.
    pub active: Level,
    pub mode: Mode,
    /// Length of a pulse.
    pub pulse_ms: u64,
    /// Level at start, at the end and when nobody is in charge.
    pub safe: Level,
    /// What the line shows.
    pub on: Vec<Trigger>,
}

/// How a line shows an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Active for as long as the event.
    Hold,
    /// Active for `pulse_ms` at its start.
    Pulse,
}

/// Events that a line shows. Drift is never an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trigger {
    Unusual,
    CameraFault,
}

impl Default for GpioSettings {
    fn default() -> GpioSettings {
        GpioSettings {
            backend: Backend::Auto,
            chip: "/dev/gpiochip0".into(),
            line: 17,
            active: Level::High,
            mode: Mode::Hold,
            pulse_ms: 500,
            safe: Level::Low,
            on: vec![Trigger::Unusual],
        }
    }
}

impl GpioSettings {
    /// The line that the settings name.
    pub fn line_spec(&self) -> LineSpec {
        LineSpec { backend: self.backend.clone(), chip: self.chip.clone(), line: self.line }
    }

    /// Sets the safe level and lets go of the line, for when the program that was in charge is gone; says whether the
    /// level is sure to stay.
    ///
    /// # Errors
    ///
    /// Those of [`LineSpec::leave`].
    pub fn make_safe(&self) -> Result<bool, GpioError> {
        self.line_spec().leave(self.safe)
    }
}

/// In pulse mode, how late the end of a pulse may be noticed where nothing else wakes the sink.
const LOOK_MS: u64 = 100;

/// What an event is told apart by: a region has one event of a kind at a time, so the next one ends the last.
type Place = (Trigger, String);

/// Shows events on a line.
pub struct GpioSink {
    name: String,
    settings: GpioSettings,
    /// `None` after a failure, until it can be opened again.
    line: Option<Box<dyn OutputLine>>,
    /// What the line was last driven to.
    shown: Option<Level>,
    open: BTreeMap<Place, EventId>,
    pulse: Pulse,
    closed: bool,
}

/// Where a pulse stands. Its end is reckoned from the first look at the clock after its start.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pulse {
    Off,
    Begun,
    Until { mono_ms: u64 },
}

impl GpioSink {
    /// Takes the line and makes it safe. The line shows "no alarm" from the first [`Sink::tick`] or message on: from
    /// when somebody is in charge.
    ///
    /// # Errors
    ///
    /// Those of [`LineSpec::open`].
    pub fn open(settings: GpioSettings) -> Result<GpioSink, GpioError> {
        let line = settings.line_spec().open(settings.safe)?;
        let name = match &settings.backend {
            Backend::Sim(_) => "gpio-sim".to_string(),
            _ => format!("gpio-{}", settings.line),
        };
        Ok(GpioSink {
            name,
            shown: Some(settings.safe),
            settings,
            line: Some(line),
            open: BTreeMap::new(),
            pulse: Pulse::Off,
            closed: false,
        })
    }

    /// The level that the events so far ask for.
    fn wanted(&self) -> Level {
        let active = match self.settings.mode {
            Mode::Hold => !self.open.is_empty(),
            Mode::Pulse => self.pulse != Pulse::Off,
        };
        if active { self.settings.active } else { !self.settings.active }
    }

    /// Drives the line to the wanted level, opening it anew after a failure.
    fn show(&mut self) -> Result<(), GpioError> {
        self.drive(self.wanted())
    }

    fn drive(&mut self, level: Level) -> Result<(), GpioError> {
        if self.shown == Some(level) {
            return Ok(());
        }
        let driven = match self.line.as_mut() {
            Some(line) => line.set(level),
            None => self.settings.line_spec().open(level).map(|line| self.line = Some(line)),
        };
        match driven {
            Ok(()) => self.shown = Some(level),
            Err(_) => (self.line, self.shown) = (None, None),
        }
        driven
    }

    fn take(&mut self, message: &Message) {
        let (trigger, region) = match &message.cause {
            Cause::Unusual(unusual) if unusual.suppressed => return,
            Cause::Unusual(unusual) => (Trigger::Unusual, unusual.region.to_string()),
            Cause::CameraFault(_) => (Trigger::CameraFault, String::new()),
            Cause::Drift(_) => return,
        };
        if !self.settings.on.contains(&trigger) {
            return;
        }
        let place = (trigger, region);
        if message.phase == Phase::End {
            self.open.remove(&place);
            return;
        }
        // An update whose start was dropped counts as one.
        let last = self.open.insert(place, message.event.clone());
        if last.as_ref() != Some(&message.event) {
            self.pulse = Pulse::Begun;
        }
    }
}

impl Sink for GpioSink {
    fn name(&self) -> &str {
        &self.name
    }

    /// A line that cannot be driven is opened again at the next try.
    fn wants(&self) -> Wants {
        Wants::messages(&[Phase::Start, Phase::Update, Phase::End])
    }

    fn deliver(&mut self, item: &Item) -> Result<(), SinkError> {
        if let Item::Message(message) = item {
            self.take(message);
        }
        self.show().map_err(SinkError::passing)
    }

    fn tick(&mut self, now: Stamp) -> Duration {
        match self.pulse {
            Pulse::Begun => {
                let mono_ms = now.mono_ms.saturating_add(self.settings.pulse_ms);
                self.pulse = Pulse::Until { mono_ms };
            }
            Pulse::Until { mono_ms } if now.mono_ms >= mono_ms => self.pulse = Pulse::Off,
            Pulse::Off | Pulse::Until { .. } => {}
        }
        if let Err(e) = self.show() {
            log::debug!("{}: {e}", self.name);
            return Duration::from_secs(1);
        }
        match (self.settings.mode, self.pulse) {
            (Mode::Hold, _) => Duration::from_secs(3600),
            (Mode::Pulse, Pulse::Until { mono_ms }) => {
                Duration::from_millis((mono_ms - now.mono_ms).clamp(1, LOOK_MS))
            }
            (Mode::Pulse, _) => Duration::from_millis(LOOK_MS),
        }
    }

    fn close(&mut self) {
        self.closed = true;
        if let Err(e) = self.drive(self.settings.safe) {
            log::warn!("{}: the line cannot be made safe: {e}", self.name);
        }
    }
}

/// A panic leaves the line safe too.
impl Drop for GpioSink {
    fn drop(&mut self) {
        if !self.closed {
            self.close();
        }
    }
}

#[cfg(test)]
mod tests;
