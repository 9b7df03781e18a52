//! What a V4L2 device says of itself: name, formats, sizes, rates.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::sys;
use crate::camera::{CameraError, CameraErrorKind};

/// No driver lists more formats, sizes, rates or menu items than this; one that never stops is cut off.
const MOST_ENTRIES: u32 = 512;

/// An open V4L2 device. Opening one changes nothing: not its format, not its controls.
pub struct Device {
    file: File,
    path: PathBuf,
}

/// Who a device says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Name of the kernel's driver: `uvcvideo`, `unicam`, `vivid`.
    pub driver: String,
    /// Name of the camera.
    pub card: String,
    /// Where it is plugged in.
    pub bus: String,
    /// It gives pictures in a way that this program can take.
    pub captures: bool,
    /// Why it does not, for people; empty if it does.
    pub unusable: &'static str,
}

/// A pixel format's four letters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FourCc(pub u32);

/// A format that a device offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub fourcc: FourCc,
    /// The driver's words.
    pub description: String,
    pub sizes: Sizes,
}

/// Sizes that a format comes in, width and height in pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// The driver does not say.
    Unknown,
    Listed(Vec<(u32, u32)>),
    /// All between `least` and `most` that are `step` apart.
    Steps {
        least: (u32, u32),
        most: (u32, u32),
        step: (u32, u32),
    },
}

/// Frame rates that a size comes in, frames per second, fastest first.
#[derive(Clone, Debug, PartialEq)]
pub enum Rates {
    /// The driver does not say.
    Unknown,
    Listed(Vec<f64>),
    Between {
        least: f64,
        most: f64,
    },
}

impl Device {
    /// Opens the device at `path`; no call on it ever waits for a frame.
    ///
    /// # Errors
    ///
    /// [`CameraErrorKind::Missing`] if nothing is there, [`CameraErrorKind::Read`] if it cannot be opened or is no
    /// video device.
    pub fn open(path: &Path) -> Result<Device, CameraError> {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
            .and_then(|file| file.metadata().map(|data| (file, data.file_type().is_char_device())));
        match opened {
            Ok((file, true)) => Ok(Device { file, path: path.to_path_buf() }),
            Ok((_, false)) => Err(CameraError::new(
                CameraErrorKind::Read,
                format!("{}: a file, not a video device", path.display()),
            )),
            Err(e) => Err(open_error(path, &e)),
        }
    }

    /// Where the device was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Who the device says it is.
    pub fn identity(&self) -> Result<Identity, CameraError> {
        let mut told = sys::Capability::default();
        sys::call(self.fd(), &sys::QUERYCAP, &mut told).map_err(|e| {
            let why = format!("{}: not a video device: {e}", self.path.display());
            CameraError::new(CameraErrorKind::Read, why)
        })?;
        // The node's own abilities, where the driver tells them apart from those of the whole device.
        let own = told.capabilities & sys::CAP_DEVICE_CAPS != 0;
        let able = if own { told.device_caps } else { told.capabilities };
        let unusable = if able & sys::CAP_VIDEO_CAPTURE == 0 {
            match able & sys::CAP_VIDEO_CAPTURE_MPLANE {
                0 => "it gives no pictures; a camera often has several nodes, and another one does",
                _ => {
                    "it gives multi-planar buffers only; take its frames by a program with `pipe:`"
                }
            }
        } else if able & sys::CAP_STREAMING == 0 {
            "it cannot stream into mapped buffers"
        } else {
            ""
        };
        Ok(Identity {
            driver: text(&told.driver),
            card: text(&told.card),
            bus: text(&told.bus_info),
            captures: unusable.is_empty(),
            unusable,
        })
    }

    /// The formats that it offers, in the driver's order.
    pub fn offers(&self) -> Vec<Offer> {
        let mut offers = Vec::new();
        for index in 0..MOST_ENTRIES {
            let mut told = sys::FmtDesc { index, kind: sys::CAPTURE, ..Default::default() };
            if sys::call(self.fd(), &sys::ENUM_FMT, &mut told).is_err() {
                break;
            }
            let fourcc = FourCc(told.pixelformat);
            let sizes = self.sizes(fourcc);
            offers.push(Offer { fourcc, description: text(&told.description), sizes });
        }
        offers
    }

    fn sizes(&self, fourcc: FourCc) -> Sizes {
        let mut listed = Vec::new();
        for index in 0..MOST_ENTRIES {
            let mut told = sys::FrameSize { index, pixel_format: fourcc.0, ..Default::default() };
            if sys::call(self.fd(), &sys::ENUM_FRAMESIZES, &mut told).is_err() {
                break;
            }
            let [a, b, c, d, e, f] = told.values;
            if told.kind != 1 {
                return Sizes::Steps { least: (a, d), most: (b, e), step: (c.max(1), f.max(1)) };
            }
            listed.push((a, b));
        }
        if listed.is_empty() { Sizes::Unknown } else { Sizes::Listed(listed) }
    }

    /// The frame rates of a format and size.
    pub fn rates(&self, fourcc: FourCc, (width, height): (u32, u32)) -> Rates {
        let mut listed = Vec::new();
        for index in 0..MOST_ENTRIES {
            let mut told = sys::FrameInterval {
                index,
                pixel_format: fourcc.0,
                width,
                height,
                ..Default::default()
            };
            if sys::call(self.fd(), &sys::ENUM_FRAMEINTERVALS, &mut told).is_err() {
                break;
            }
            let [first, last, _] = told.values;
            if told.kind != 1 {
                return Rates::Between { least: per_second(last), most: per_second(first) };
            }
            listed.push(per_second(first));
        }
        listed.sort_by(|a, b| b.total_cmp(a));
        if listed.is_empty() { Rates::Unknown } else { Rates::Listed(listed) }
    }
}

impl Sizes {
    /// Whether the driver's list has it; `true` where there is no list.
    pub fn hold(&self, (width, height): (u32, u32)) -> bool {
        match self {
            Sizes::Unknown => true,
            Sizes::Listed(sizes) => sizes.contains(&(width, height)),
            Sizes::Steps { least, most, step } => {
                let fits = |value: u32, least: u32, most: u32, step: u32| {
                    (least..=most).contains(&value) && (value - least).is_multiple_of(step)
                };
                fits(width, least.0, most.0, step.0) && fits(height, least.1, most.1, step.1)
            }
        }
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sizes::Unknown => f.write_str("sizes that the driver does not list"),
            Sizes::Listed(sizes) => {
                let sizes: Vec<String> = sizes.iter().map(|(w, h)| format!("{w}x{h}")).collect();
                f.write_str(&sizes.join(", "))
            }
            Sizes::Steps { least, most, step } => write!(
                f,
                "{}x{} to {}x{} in steps of {}x{}",
                least.0, least.1, most.0, most.1, step.0, step.1
            ),
        }
    }
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rates::Unknown => f.write_str("rates that the driver does not list"),
            Rates::Listed(rates) => {
                let rates: Vec<String> = rates.iter().map(|rate| rate_text(*rate)).collect();
                f.write_str(&rates.join(", "))
            }
            Rates::Between { least, most } => {
                write!(f, "{} to {}", rate_text(*least), rate_text(*most))
            }
        }
    }
}

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Bit 31 marks a format of big-endian words; the letters are in the other bits.
        for byte in (self.0 & 0x7fff_ffff).to_le_bytes() {
            let letter = if byte.is_ascii_graphic() { byte as char } else { ' ' };
            write!(f, "{letter}")?;
        }
        if self.0 >> 31 == 1 { f.write_str("-BE") } else { Ok(()) }
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// All video nodes of this machine, in the order of their numbers.
pub fn nodes() -> Vec<PathBuf> {
    let mut nodes: Vec<(u32, PathBuf)> = fs::read_dir("/dev")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let number = name.strip_prefix("video")?.parse().ok()?;
            Some((number, Path::new("/dev").join(name)))
        })
        .collect();
    nodes.sort();
    nodes.into_iter().map(|(_, path)| path).collect()
}

/// Names under `/dev/v4l/` that lead to `node` and stay the same when cameras are found in another order: by the port
/// first, then by the camera's serial number.
pub fn stable_names(node: &Path) -> Vec<PathBuf> {
    let mut names = Vec::new();
    for folder in ["/dev/v4l/by-path", "/dev/v4l/by-id"] {
        let links = fs::read_dir(folder).into_iter().flatten().flatten().map(|link| link.path());
        let mut ours: Vec<PathBuf> =
            links.filter(|link| fs::canonicalize(link).is_ok_and(|to| to == node)).collect();
        ours.sort();
        names.append(&mut ours);
    }
    names
}

/// `30`, `29.97`
pub fn rate_text(rate: f64) -> String {
    let text = format!("{rate:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// Frames per second of an interval; 0 for one that makes no sense.
pub(super) fn per_second(interval: sys::Fract) -> f64 {
    match interval.numerator {
        0 => 0.0,
        numerator => f64::from(interval.denominator) / f64::from(numerator),
    }
}

/// The bytes up to the first 0.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim().to_string()
}

fn open_error(path: &Path, e: &io::Error) -> CameraError {
    let path = path.display();
    match e.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => {
            CameraError::new(CameraErrorKind::Missing, format!("{path}: no camera is there: {e}"))
        }
        Some(libc::EACCES | libc::EPERM) => {
            let remedy = "add the user to the group `video`";
            CameraError::new(CameraErrorKind::Read, format!("{path}: {e}; {remedy}"))
        }
        _ => CameraError::new(CameraErrorKind::Read, format!("{path}: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_know_what_they_hold() {
        let steps = Sizes::Steps { least: (2, 1), most: (64, 64), step: (2, 1) };
        for (size, held) in [((2, 1), true), ((3, 1), false), ((64, 64), true), ((66, 64), false)] {
            assert_eq!(steps.hold(size), held, "{size:?}");
        }
        let listed = Sizes::Listed(vec![(640, 480), (320, 240)]);
        assert!(listed.hold((320, 240)) && !listed.hold((320, 480)));
        assert_eq!(listed.to_string(), "640x480, 320x240");
        // What a broken driver may say.
        let odd = Sizes::Steps { least: (9, 9), most: (1, 1), step: (1, 1) };
        assert!(!odd.hold((5, 5)));
    }

    #[test]
    fn letters_of_any_number() {
        assert_eq!(FourCc(u32::from_le_bytes(*b"YUYV")).to_string(), "YUYV");
        assert_eq!(FourCc(u32::from_le_bytes(*b"Y16 ") | 1 << 31).to_string(), "Y16 -BE");
        assert_eq!(FourCc(0).to_string(), "    ");
    }

    #[test]
    fn rates_as_people_write_them() {
        assert_eq!(
            rate_text(per_second(sys::Fract { numerator: 1001, denominator: 30000 })),
            "29.97"
        );
        assert_eq!(rate_text(per_second(sys::Fract { numerator: 1, denominator: 10 })), "10");
        assert_eq!(per_second(sys::Fract::default()), 0.0);
    }

    #[test]
    fn what_is_no_camera_is_named() {
        let missing = Device::open(Path::new("/dev/video-none")).err().unwrap();
        assert_eq!(missing.kind(), CameraErrorKind::Missing);
        let file = tempfile::NamedTempFile::new().unwrap();
        let why = Device::open(file.path()).err().unwrap().to_string();
        assert!(why.contains("not a video device"), "{why}");
        let null = Device::open(Path::new("/dev/null")).unwrap();
        let why = null.identity().unwrap_err().to_string();
        assert!(why.contains("/dev/null: not a video device"), "{why}");
    }
}
