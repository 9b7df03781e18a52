//! A device's controls: exposure, gain, white balance, mains frequency.
//!
//! A camera that sets its own exposure changes what normal looks like; a person who teaches one wants to hold it still.

use std::fmt;

use super::device::{Device, text};
use super::sys;
use crate::camera::{CameraError, CameraErrorKind};

/// No driver has more controls than this; one whose list never ends is cut off.
const MOST_CONTROLS: usize = 512;

/// A setting of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    id: u32,
    /// As `v4l2-ctl` spells it: `exposure_time_absolute`.
    pub name: String,
    pub kind: ControlKind,
    pub default: i64,
    /// `None` for what cannot be read: buttons.
    pub value: Option<i64>,
    /// Why it cannot be set now, for people.
    pub locked: Option<&'static str>,
}

/// What values a control takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlKind {
    Integer {
        least: i64,
        most: i64,
        step: u64,
    },
    Switch,
    /// Values with their names; drivers leave some out.
    Menu(Vec<(i64, String)>),
    /// Does something when it is set.
    Button,
    /// A set of bits.
    Bits {
        most: i64,
    },
}

impl Device {
    /// The controls that can be read or set here: those with a 32-bit value.
    pub fn controls(&self) -> Vec<Control> {
        let mut controls = Vec::new();
        let mut id = 0;
        while controls.len() < MOST_CONTROLS {
            let mut told =
                sys::QueryControl { id: id | sys::CTRL_FLAG_NEXT_CTRL, ..Default::default() };
            // A driver that does not move on would be asked for ever.
            if sys::call(self.fd(), &sys::QUERY_EXT_CTRL, &mut told).is_err() || told.id <= id {
                break;
            }
            id = told.id;
            controls.extend(self.control(&told));
        }
        controls
    }

    /// Sets the control `name` to `value`.
    ///
    /// # Errors
    ///
    /// [`CameraErrorKind::Refused`] if the device has no such control, or not with that value.
    pub fn set_control(&self, name: &str, value: i64) -> Result<(), CameraError> {
        let refused = |why: String| {
            let why = format!("{}: control {name}: {why}", self.path().display());
            CameraError::new(CameraErrorKind::Refused, why)
        };
        let controls = self.controls();
        let Some(control) = controls.iter().find(|control| control.name == name) else {
            let names: Vec<&str> = controls.iter().map(|control| control.name.as_str()).collect();
            return Err(refused(format!("there is none; there are {}", names.join(", "))));
        };
        if !control.takes(value) {
            return Err(refused(format!("no {value}; it takes {}", control.kind)));
        }
        // `takes` leaves only what fits.
        let mut set = sys::Control { id: control.id, value: value as i32 };
        sys::call(self.fd(), &sys::S_CTRL, &mut set)
            .map_err(|e| refused(control.locked.map_or(e.to_string(), |why| format!("{e}: {why}"))))
    }

    fn control(&self, told: &sys::QueryControl) -> Option<Control> {
        if told.flags & sys::CTRL_FLAG_DISABLED != 0 || told.elems > 1 {
            return None;
        }
        let kind = match told.kind {
            1 => ControlKind::Integer { least: told.minimum, most: told.maximum, step: told.step },
            2 => ControlKind::Switch,
            3 | 9 => ControlKind::Menu(self.menu(told)),
            4 => ControlKind::Button,
            8 => ControlKind::Bits { most: told.maximum },
            // Headings, texts, 64-bit and compound values.
            _ => return None,
        };
        let mut value = sys::Control { id: told.id, value: 0 };
        let readable = told.flags & sys::CTRL_FLAG_WRITE_ONLY == 0
            && sys::call(self.fd(), &sys::G_CTRL, &mut value).is_ok();
        let locked = if told.flags & sys::CTRL_FLAG_READ_ONLY != 0 {
            Some("it can only be read")
        } else if told.flags & sys::CTRL_FLAG_INACTIVE != 0 {
            Some("another control overrides it, such as an automatic one")
        } else {
            None
        };
        Some(Control {
            id: told.id,
            name: plain_name(&text(&told.name)),
            kind,
            default: told.default,
            value: readable.then_some(value.value.into()),
            locked,
        })
    }

    fn menu(&self, told: &sys::QueryControl) -> Vec<(i64, String)> {
        let last = told.maximum.min(told.minimum.saturating_add(MOST_CONTROLS as i64));
        let items = (told.minimum.max(0)..=last).filter_map(|index| {
            let index = u32::try_from(index).ok()?;
            let mut item = sys::QueryMenu { id: told.id, index, ..Default::default() };
            sys::call(self.fd(), &sys::QUERYMENU, &mut item).ok()?;
            // Type 9 lists numbers in place of names.
            let name = match (told.kind, item.name.first_chunk::<8>()) {
                (9, Some(number)) => i64::from_ne_bytes(*number).to_string(),
                _ => text(&item.name),
            };
            Some((index.into(), name))
        });
        items.collect()
    }
}

impl Control {
    fn takes(&self, value: i64) -> bool {
        let range = match &self.kind {
            ControlKind::Integer { least, most, .. } => *least..=*most,
            ControlKind::Switch => 0..=1,
            ControlKind::Menu(items) => return items.iter().any(|(index, _)| *index == value),
            ControlKind::Button => i32::MIN.into()..=i32::MAX.into(),
            // The highest bit counts too, though it is a sign here.
            ControlKind::Bits { most } => 0..=*most & i64::from(u32::MAX),
        };
        range.contains(&value)
    }
}

impl fmt::Display for ControlKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ControlKind::Integer { least, most, step: 0 | 1 } => write!(f, "{least} to {most}"),
            ControlKind::Integer { least, most, step } => {
                write!(f, "{least} to {most} in steps of {step}")
            }
            ControlKind::Switch => f.write_str("0 or 1"),
            ControlKind::Menu(items) => {
                let items: Vec<String> =
                    items.iter().map(|(i, name)| format!("{i} {name}")).collect();
                f.write_str(&items.join(", "))
            }
            ControlKind::Button => f.write_str("any number: it is a button"),
            ControlKind::Bits { most } => write!(f, "bits of {most:#x}"),
        }
    }
}

/// `Exposure Time, Absolute` is `exposure_time_absolute`.
fn plain_name(name: &str) -> String {
    let words = name.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join("_").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_v4l2_ctl() {
        assert_eq!(plain_name("Exposure Time, Absolute"), "exposure_time_absolute");
        assert_eq!(plain_name("White Balance, Auto & Preset"), "white_balance_auto_preset");
        assert_eq!(plain_name("  "), "");
    }

    #[test]
    fn only_values_of_its_kind_are_taken() {
        let kinds = [
            (ControlKind::Integer { least: -3, most: 5, step: 1 }, vec![-3, 5], vec![-4, 6]),
            (ControlKind::Switch, vec![0, 1], vec![-1, 2]),
            (ControlKind::Menu(vec![(1, "a".into()), (3, "b".into())]), vec![1, 3], vec![0, 2]),
            (ControlKind::Bits { most: 0xffff_ffff }, vec![0, 0x8000_0000], vec![-1, 1 << 32]),
            (ControlKind::Button, vec![0, -1], vec![i64::MAX, i64::MIN]),
        ];
        for (kind, good, bad) in kinds {
            let name = String::new();
            let control = Control { id: 0, name, kind, default: 0, value: None, locked: None };
            assert!(good.iter().all(|value| control.takes(*value)), "{control:?}");
            assert!(!bad.iter().any(|value| control.takes(*value)), "{control:?}");
        }
    }
}
