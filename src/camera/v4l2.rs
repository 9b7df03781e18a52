//! Cameras of Linux: USB webcams, capture cards, and whatever else has a `/dev/video` node.
//!
//! No call waits: the device is opened non-blocking and [`V4l2Camera::next_frame`] waits in `poll` with a deadline, so a
//! camera that is unplugged or hangs costs its deadline and no more. What the driver cannot give exactly is refused when
//! the camera is opened, with what it offers instead, so that a frame has the same meaning on every day.

mod controls;
mod device;
mod sys;

use std::fs::File;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    CameraError, CameraErrorKind, Content, Frame, FrameSource, Next, PixelFormat, Raw, RawFormat,
    V4l2Spec,
};
pub use controls::{Control, ControlKind};
pub use device::{Device, FourCc, Identity, Offer, Rates, Sizes, nodes, rate_text, stable_names};
use sys::Mapping;

/// Buffers that are asked for. The driver fills them in turn: one is being filled, one or two lie ready, and there is
/// one to spare while a frame is copied.
const BUFFERS: u32 = 4;

/// Without a size in the spec: what nearly every camera has, at its full frame rate.
const USUAL_SIZE: (u32, u32) = (640, 480);

/// No side of a picture is longer.
const MAX_SIDE: u32 = 1 << 14;

/// In the order in which `format=auto` likes them: compressed first, because it leaves room on the bus and its frames
/// are kept as evidence without loss.
const FORMATS: [PixelFormat; 6] = [
    PixelFormat::Mjpeg,
    PixelFormat::Raw(RawFormat::Yuyv),
    PixelFormat::Raw(RawFormat::Nv12),
    PixelFormat::Raw(RawFormat::Rgb3),
    PixelFormat::Raw(RawFormat::Bgr3),
    PixelFormat::Raw(RawFormat::Grey),
];

/// What a camera and this program agreed on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreed {
    pub format: PixelFormat,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Bytes from one line to the next; 0 for compressed formats.
    pub stride: u32,
    /// Frames per second, where the driver says.
    pub fps: Option<f64>,
}

/// A streaming camera.
pub struct V4l2Camera {
    // Unmapped before the device is closed.
    buffers: Vec<Mapping>,
    device: Device,
    agreed: Agreed,
    seq: u64,
    dropped: u64,
    last_sequence: Option<u32>,
    /// The last frames were too old to be given: the next ones are taken as they are.
    starved: bool,
}

/// A buffer that the driver has filled.
struct Filled {
    index: u32,
    used: usize,
    sequence: u32,
    faulty: bool,
}

impl V4l2Camera {
    /// Opens the camera, agrees on a format and starts the stream.
    ///
    /// # Errors
    ///
    /// [`CameraErrorKind::Missing`] if no device is there; [`CameraErrorKind::Refused`] if it does not give what the
    /// spec asks for, with what it offers; [`CameraErrorKind::Read`] for the rest: no permission, in use by another
    /// program, a driver that fails.
    pub fn open(spec: &V4l2Spec) -> Result<V4l2Camera, CameraError> {
        let device = Device::open(&spec.path)?;
        let identity = device.identity()?;
        if !identity.captures {
            let why = format!("{} ({}): {}", spec.path.display(), identity.card, identity.unusable);
            return Err(CameraError::new(CameraErrorKind::Refused, why));
        }
        let mut agreed = agree(&device, spec)?;
        agreed.fps = set_rate(&device, spec.fps, &agreed)?;
        let buffers = map(&device)?;
        log::info!(
            "{} ({}): {} {}x{}{}",
            spec.path.display(),
            identity.card,
            agreed.format,
            agreed.width,
            agreed.height,
            agreed.fps.map_or(String::new(), |fps| format!(" at {} fps", rate_text(fps)))
        );
        let last_sequence = None;
        let starved = false;
        let (seq, dropped) = (0, 0);
        let camera = V4l2Camera { buffers, device, agreed, seq, dropped, last_sequence, starved };
        for index in 0..camera.buffers.len() as u32 {
            camera.give_back(index)?;
        }
        let mut kind = sys::CAPTURE as i32;
        camera.call(&sys::STREAMON, &mut kind, "starting the stream")?;
        Ok(camera)
    }

    /// What the camera and this program agreed on.
    pub fn agreed(&self) -> Agreed {
        self.agreed
    }

    /// Frames so far that the camera took and nobody got: the driver had no buffer for them, or newer ones were there
    /// when somebody asked.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn call<T>(
        &self,
        request: &sys::Request<T>,
        argument: &mut T,
        doing: &str,
    ) -> Result<(), CameraError> {
        let lost = CameraErrorKind::Lost;
        sys::call(self.device.fd(), request, argument)
            .map_err(|e| io_error(&self.device, lost, doing, &e))
    }

    fn give_back(&self, index: u32) -> Result<(), CameraError> {
        self.call(&sys::QBUF, &mut sys::Buffer::mapped(index), "queueing a buffer")
    }

    /// Takes a filled buffer, if there is one.
    fn take(&self) -> Result<Option<Filled>, CameraError> {
        let mut buffer = sys::Buffer::mapped(0);
        match sys::call(self.device.fd(), &sys::DQBUF, &mut buffer) {
            Ok(()) if (buffer.index as usize) < self.buffers.len() => Ok(Some(Filled {
                index: buffer.index,
                used: buffer.bytesused as usize,
                sequence: buffer.sequence,
                faulty: buffer.flags & sys::BUF_FLAG_ERROR != 0,
            })),
            Ok(()) => {
                let why = format!("the driver gave buffer {}, which does not exist", buffer.index);
                Err(lost(&self.device, &why))
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(io_error(&self.device, CameraErrorKind::Lost, "taking a frame", &e)),
        }
    }

    /// The newest frame that is there; older ones go back to the driver unseen.
    fn newest(&mut self) -> Result<Option<Filled>, CameraError> {
        let mut newest: Option<Filled> = None;
        let mut taken = 0;
        // A driver fills a buffer that was just given back in a frame's time, so this ends.
        while taken < self.buffers.len() {
            let Some(filled) = self.take()? else { break };
            taken += 1;
            self.count_gap(filled.sequence);
            if let Some(older) = newest.replace(filled) {
                self.dropped += 1;
                self.give_back(older.index)?;
            }
        }
        // With every buffer full the driver had to stop: even the newest is from when nobody had asked for long. Once
        // only, so that a caller who is always late gets frames all the same.
        if taken == self.buffers.len() && !self.starved {
            if let Some(stale) = newest.take() {
                self.dropped += 1;
                self.give_back(stale.index)?;
            }
            self.starved = true;
        }
        Ok(newest)
    }

    /// The driver counts its frames; those that it had no buffer for are missing in its numbers.
    fn count_gap(&mut self, sequence: u32) {
        if let Some(last) = self.last_sequence {
            let gap = sequence.wrapping_sub(last).wrapping_sub(1);
            // A driver that starts over, or counts badly, lost nothing that can be told.
            if gap < 1 << 16 {
                self.dropped += u64::from(gap);
            }
        }
        self.last_sequence = Some(sequence);
    }

    /// The frame in a buffer, which goes back to the driver whatever comes of it.
    fn frame(&mut self, filled: &Filled) -> Result<Frame, CameraError> {
        let bytes = self.buffers[filled.index as usize].copy(filled.used);
        self.give_back(filled.index)?;
        let Agreed { format, width, height, stride, .. } = self.agreed;
        let name = format!("{}#{}", self.device.path().display(), filled.sequence);
        if filled.faulty {
            let why = format!("{name}: the driver marks the frame as damaged");
            return Err(CameraError::new(CameraErrorKind::Picture, why));
        }
        if bytes.is_empty() {
            return Err(CameraError::new(CameraErrorKind::Cut, format!("{name}: an empty frame")));
        }
        let content = match format {
            PixelFormat::Mjpeg => Content::File(bytes),
            PixelFormat::Raw(format) => Content::Raw(Raw { format, width, height, stride, bytes }),
        };
        let seq = self.seq;
        self.seq += 1;
        Ok(Frame { seq, name, content })
    }

    /// Waits until there is a frame, an error to ask for, or `deadline`; says whether it is worth asking.
    fn wait(&self, deadline: Option<Instant>) -> Result<bool, CameraError> {
        let rest = deadline.map(|end| end.saturating_duration_since(Instant::now()));
        let timeout = rest.and_then(|rest| Timespec::try_from(rest).ok());
        let mut polled = [PollFd::new(self.device.file(), PollFlags::IN)];
        match poll(&mut polled, timeout.as_ref()) {
            Ok(0) => Ok(false),
            Ok(_) => {
                let told = polled[0].revents();
                if told.contains(PollFlags::IN) {
                    return Ok(true);
                }
                // Asking for a frame tells why: gone, or a stream that failed.
                self.take()?;
                Err(lost(&self.device, "the stream has failed"))
            }
            Err(rustix::io::Errno::INTR) => Ok(true),
            Err(e) => Err(io_error(&self.device, CameraErrorKind::Lost, "waiting", &e.into())),
        }
    }
}

impl FrameSource for V4l2Camera {
    /// The newest frame. Frames that piled up while nobody asked are dropped. A damaged or empty frame is an error that
    /// passes; when the camera is gone, or the driver gives up, the error is of kind [`CameraErrorKind::Lost`].
    fn next_frame(&mut self, wait: Duration) -> Result<Next, CameraError> {
        let deadline = Instant::now().checked_add(wait);
        let (mut called, mut last_look) = (false, false);
        loop {
            if let Some(filled) = self.newest()? {
                self.starved = false;
                return self.frame(&filled).map(Next::Frame);
            }
            if last_look {
                return Ok(Next::Late);
            }
            if called {
                // A driver that calls and then has nothing must not keep a core busy.
                thread::sleep(Duration::from_millis(1));
            }
            called = self.wait(deadline)?;
            last_look = !called || deadline.is_some_and(|end| end <= Instant::now());
        }
    }
}

/// Chooses a format and sets it.
fn agree(device: &Device, spec: &V4l2Spec) -> Result<Agreed, CameraError> {
    let offers = device.offers();
    let size = spec.size.unwrap_or(USUAL_SIZE);
    let (format, fourcc) = choose(&offers, spec, size).ok_or_else(|| {
        let wanted = match (spec.format, spec.size) {
            (Some(format), Some((w, h))) => format!("{format} pictures of {w}x{h}"),
            (Some(format), None) => format!("{format} pictures"),
            (None, Some((w, h))) => format!("pictures of {w}x{h} in a format known here"),
            (None, None) => "pictures in a format known here".to_string(),
        };
        refused(device, &wanted, &offers)
    })?;
    let mut set = sys::Format { kind: sys::CAPTURE, ..Default::default() };
    set.pix.width = size.0;
    set.pix.height = size.1;
    set.pix.pixelformat = fourcc.0;
    set.pix.field = sys::FIELD_NONE;
    sys::call(device.fd(), &sys::S_FMT, &mut set)
        .map_err(|e| io_error(device, CameraErrorKind::Read, "setting the format", &e))?;
    let got = set.pix;
    let same_size = spec.size.is_none_or(|size| size == (got.width, got.height));
    if got.pixelformat != fourcc.0 || !same_size {
        let wanted = format!("{fourcc} pictures of {}x{}", size.0, size.1);
        return Err(refused(device, &wanted, &offers));
    }
    if got.field > sys::FIELD_NONE && !sys::FIELDS_INTERLACED.contains(&got.field) {
        let wanted = "whole frames (it gives half pictures of every other line)";
        return Err(refused(device, wanted, &offers));
    }
    sensible(&got, format).map_err(|why| {
        let why = format!("{}: the driver set {why}", device.path().display());
        CameraError::new(CameraErrorKind::Refused, why)
    })
}

/// The format to ask for: the spec's, or the best one that comes in the size.
fn choose(offers: &[Offer], spec: &V4l2Spec, size: (u32, u32)) -> Option<(PixelFormat, FourCc)> {
    let candidates = || {
        FORMATS
            .into_iter()
            .filter(|format| spec.format.is_none_or(|wanted| wanted == *format))
            .flat_map(|format| offers.iter().map(move |offer| (format, offer)))
            .filter(|(format, offer)| format_of(offer.fourcc) == Some(*format))
    };
    let fitting = candidates().find(|(_, offer)| offer.sizes.hold(size));
    // Without a size in the spec the driver takes the nearest that it has.
    let any = || if spec.size.is_none() { candidates().next() } else { None };
    fitting.or_else(any).map(|(format, offer)| (format, offer.fourcc))
}

/// This program's name for a format.
pub fn format_of(fourcc: FourCc) -> Option<PixelFormat> {
    Some(match &fourcc.0.to_le_bytes() {
        b"MJPG" | b"JPEG" => PixelFormat::Mjpeg,
        b"YUYV" => PixelFormat::Raw(RawFormat::Yuyv),
        b"NV12" => PixelFormat::Raw(RawFormat::Nv12),
        b"RGB3" => PixelFormat::Raw(RawFormat::Rgb3),
        b"BGR3" => PixelFormat::Raw(RawFormat::Bgr3),
        b"GREY" => PixelFormat::Raw(RawFormat::Grey),
        _ => return None,
    })
}

/// Checks the driver's arithmetic, so that nothing after it needs to.
fn sensible(got: &sys::PixFormat, format: PixelFormat) -> Result<Agreed, String> {
    let (width, height) = (got.width, got.height);
    if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE {
        return Err(format!("pictures of {width}x{height}, which make no sense"));
    }
    let agreed = Agreed { format, width, height, stride: 0, fps: None };
    let PixelFormat::Raw(raw) = format else { return Ok(agreed) };
    raw.check(width, height).map_err(|e| e.to_string())?;
    // Some drivers leave lines without padding at 0.
    let stride = match got.bytesperline {
        0 => raw.line_bytes(width) as u32,
        stride => stride,
    };
    if u64::from(stride) < raw.line_bytes(width) {
        return Err(format!("{stride} bytes for a line of {width} {format} pixels"));
    }
    Ok(Agreed { stride, ..agreed })
}

/// Sets the frame rate, if one is asked for, and says which it is.
fn set_rate(
    device: &Device,
    wanted: Option<u32>,
    agreed: &Agreed,
) -> Result<Option<f64>, CameraError> {
    let mut parm = sys::StreamParm { kind: sys::CAPTURE, ..Default::default() };
    let able = sys::call(device.fd(), &sys::G_PARM, &mut parm).is_ok()
        && parm.capture.capability & sys::CAP_TIMEPERFRAME != 0;
    let told = |parm: &sys::StreamParm| {
        let rate = device::per_second(parm.capture.timeperframe);
        (able && rate > 0.0).then_some(rate)
    };
    let Some(fps) = wanted else { return Ok(told(&parm)) };
    let wanted = format!("{fps} frames per second at {}x{}", agreed.width, agreed.height);
    let offered = || {
        let fourcc =
            device.offers().into_iter().find(|o| format_of(o.fourcc) == Some(agreed.format));
        let rates = fourcc.map(|o| device.rates(o.fourcc, (agreed.width, agreed.height)));
        format!("it offers {}", rates.unwrap_or(Rates::Unknown))
    };
    let refuse = |offered: String| {
        let why =
            format!("{}: the camera does not give {wanted}: {offered}", device.path().display());
        CameraError::new(CameraErrorKind::Refused, why)
    };
    if !able {
        return Err(refuse("its rate cannot be set; leave `fps` out".to_string()));
    }
    parm.capture.timeperframe = sys::Fract { numerator: 1, denominator: fps };
    sys::call(device.fd(), &sys::S_PARM, &mut parm)
        .map_err(|e| io_error(device, CameraErrorKind::Read, "setting the frame rate", &e))?;
    let got = told(&parm).ok_or_else(|| refuse(offered()))?;
    // 29.97 is what a television calls 30.
    if (got / f64::from(fps) - 1.0).abs() > 0.01 {
        return Err(refuse(offered()));
    }
    Ok(Some(got))
}

fn map(device: &Device) -> Result<Vec<Mapping>, CameraError> {
    let mut request = sys::RequestBuffers {
        count: BUFFERS,
        kind: sys::CAPTURE,
        memory: sys::MMAP,
        ..Default::default()
    };
    sys::call(device.fd(), &sys::REQBUFS, &mut request)
        .map_err(|e| io_error(device, CameraErrorKind::Read, "asking for buffers", &e))?;
    if request.count < 2 {
        let why = format!("{}: the driver has no memory for buffers", device.path().display());
        return Err(CameraError::new(CameraErrorKind::Read, why));
    }
    let file: &File = device.file();
    (0..request.count.min(32))
        .map(|index| {
            Mapping::new(file, index)
                .map_err(|e| io_error(device, CameraErrorKind::Read, "mapping a buffer", &e))
        })
        .collect()
}

fn refused(device: &Device, wanted: &str, offers: &[Offer]) -> CameraError {
    let mut why =
        format!("{}: the camera does not give {wanted}; it offers", device.path().display());
    let known: Vec<String> = offers
        .iter()
        .filter_map(|offer| format_of(offer.fourcc).map(|format| (format, offer)))
        .map(|(format, offer)| format!(" {format} in {}", offer.sizes))
        .collect();
    match known.is_empty() {
        true => {
            let all: Vec<String> = offers.iter().map(|offer| offer.fourcc.to_string()).collect();
            why += &format!(" only {}, which are not known here; use `pipe:`", all.join(", "));
        }
        false => why += &known.join(";"),
    }
    CameraError::new(CameraErrorKind::Refused, why)
}

fn lost(device: &Device, why: &str) -> CameraError {
    CameraError::new(CameraErrorKind::Lost, format!("{}: {why}", device.path().display()))
}

/// `otherwise` is the kind of an error that says nothing particular.
fn io_error(
    device: &Device,
    otherwise: CameraErrorKind,
    doing: &str,
    e: &io::Error,
) -> CameraError {
    let path = device.path().display();
    let (kind, why) = match e.raw_os_error() {
        Some(libc::ENODEV) => (CameraErrorKind::Lost, "the camera is gone".to_string()),
        Some(libc::EBUSY) => {
            let why = format!("another program uses the camera (`fuser -v {path}` names it)");
            (CameraErrorKind::Read, why)
        }
        Some(libc::ENOSPC) => {
            let why = "not enough room on the USB bus; ask for a smaller size or rate, or for \
                       format=mjpeg, or plug other cameras into another bus";
            (CameraErrorKind::Read, why.to_string())
        }
        _ => (otherwise, e.to_string()),
    };
    CameraError::new(kind, format!("{path}: {doing}: {why}"))
}

#[cfg(test)]
mod tests;
