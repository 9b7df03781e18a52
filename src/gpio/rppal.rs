//! The pins of a Raspberry Pi by its registers.
//!
//! The registers know nothing of who else uses a pin: the kernel's own drivers and other programs are not asked. A pin
//! keeps its level when the program ends, however it ends.

use rppal::gpio::{self, Gpio, OutputPin};
use rppal::system::DeviceInfo;

use super::{GpioError, GpioErrorKind, Level, OutputLine};

/// Whether this machine is a Raspberry Pi that `rppal` has the registers of.
pub fn is_known_pi() -> bool {
    DeviceInfo::new().is_ok()
}

/// A pin that is driven.
pub struct RppalLine {
    pin: OutputPin,
}

impl RppalLine {
    /// Takes BCM pin `line`.
    pub fn open(line: u32, first: Level) -> Result<RppalLine, GpioError> {
        let pin = u8::try_from(line).map_err(|_| gpio::Error::PinNotAvailable(u8::MAX));
        let pin = pin.and_then(|pin| Gpio::new()?.get(pin)).map_err(|e| explain(line, &e))?;
        // The level is set before the pin becomes an output, so the line never shows the other one.
        let mut pin = match first {
            Level::High => pin.into_output_high(),
            Level::Low => pin.into_output_low(),
        };
        // The safe level must outlive the program; as an input the line would float.
        pin.set_reset_on_drop(false);
        Ok(RppalLine { pin })
    }
}

impl OutputLine for RppalLine {
    fn set(&mut self, level: Level) -> Result<(), GpioError> {
        match level {
            Level::High => self.pin.set_high(),
            Level::Low => self.pin.set_low(),
        }
        Ok(())
    }

    fn level(&self) -> Result<Level, GpioError> {
        Ok(if self.pin.is_set_high() { Level::High } else { Level::Low })
    }
}

fn explain(line: u32, e: &gpio::Error) -> GpioError {
    use GpioErrorKind::{Busy, Denied, Io, Missing};
    let (kind, why) = match e {
        gpio::Error::UnknownModel => {
            (Missing, "this is no Raspberry Pi that rppal knows; use backend gpiocdev".to_string())
        }
        gpio::Error::PinUsed(_) => (Busy, "this program uses the pin already".to_string()),
        gpio::Error::PinNotAvailable(_) => (Missing, "there is no such pin".to_string()),
        gpio::Error::PermissionDenied(path) => {
            (Denied, format!("no permission for {path}; add the user to the group `gpio`"))
        }
        e => (Io, e.to_string()),
    };
    GpioError::new(kind, format!("rppal line {line}: {why}"))
}
