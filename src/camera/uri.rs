//! The text that names a source.

mod words;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::raw::RawFormat;
use super::redact::{quoted, without_passwords};
use super::stored::{Stored, StoredCamera};
use super::synth::SynthCamera;
use super::{CameraError, CameraErrorKind, FrameSource, Opener};
use crate::image::{MAX_PIXELS, MAX_SIDE};

/// Where frames come from. Reading what [`Display`](fmt::Display) writes gives the same source again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceUri {
    /// `v4l2:DEVICE?size=WxH&format=FORMAT&fps=N`: a camera of the kernel.
    V4l2(V4l2Spec),
    /// `pipe:COMMAND…` or `pipe+raw:FORMAT:WxH:COMMAND…`: what a program writes to its standard output.
    Pipe {
        framing: Framing,
        /// The program and its arguments; never empty, and nothing in it holds a zero byte.
        command: Vec<String>,
    },
    /// `stdin:` or `stdin+raw:FORMAT:WxH`: our own standard input.
    Stdin(Framing),
    /// `dir:PATH`: the pictures of a folder, then those that come into it. `dir:PATH?once` ends instead.
    Dir { path: PathBuf, once: bool },
    /// `tar:FILE`: the pictures of an archive.
    Tar(PathBuf),
    /// `synth:SEED`: one show of the simulated camera, as fast as it is wanted; `synth:SEED?fps=N`: show after show, at
    /// the pace of a camera.
    Synth { seed: u64, fps: Option<u32> },
}

/// A camera of the kernel, and what it is asked for; what is not named is left to the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct V4l2Spec {
    /// The device, best by a name that stays: `/dev/v4l/by-path/…` or `/dev/v4l/by-id/…`.
    pub path: PathBuf,
    /// Width and height in pixels.
    pub size: Option<(u32, u32)>,
    /// `None` is `auto`.
    pub format: Option<PixelFormat>,
    /// Frames per second.
    pub fps: Option<u32>,
}

/// How a camera of the kernel can give its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// JPEG files.
    Mjpeg,
    Raw(RawFormat),
}

/// How frames lie in a stream of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// JPEG files one after the other, with anything between them.
    Mjpeg,
    /// Raw pictures of one size, without padding or anything between them.
    Raw { format: RawFormat, width: u32, height: u32 },
}

const FORMS: &str = "v4l2:DEVICE, pipe:COMMAND, stdin:, dir:PATH, tar:FILE, synth:SEED";
const RAW_FORM: &str = "FORMAT:WIDTHxHEIGHT, for example rgb3:640x480";
const MAX_FPS: u32 = 1000;

impl SourceUri {
    /// Opens the source.
    ///
    /// # Errors
    ///
    /// What keeps it from giving any frame: there is no such device, folder, file or program.
    pub fn open(&self) -> Result<Box<dyn FrameSource>, CameraError> {
        self.opener()()
    }

    /// Opens the source again and again. A watched folder that was lost goes on behind the last picture that it gave;
    /// every other source starts anew.
    pub fn opener(&self) -> Opener {
        match self.clone() {
            SourceUri::Dir { path, once: true } => {
                Box::new(move || Ok(Box::new(StoredCamera::new(Stored::folder(&path)?))))
            }
            SourceUri::Tar(path) => {
                Box::new(move || Ok(Box::new(StoredCamera::new(Stored::tar(&path)?))))
            }
            SourceUri::Synth { seed, fps: None } => {
                Box::new(move || Ok(Box::new(SynthCamera::once(seed))))
            }
            SourceUri::Synth { seed, fps: Some(fps) } => {
                Box::new(move || Ok(Box::new(SynthCamera::live(seed, fps))))
            }
            SourceUri::V4l2(spec) => Box::new(move || open_v4l2(&spec)),
            SourceUri::Pipe { framing, command } => live::pipe(framing, command),
            SourceUri::Stdin(framing) => live::stdin(framing),
            SourceUri::Dir { path, once: false } => live::folder(path),
        }
    }

    /// The same source, ending where a folder would be watched for more, or another show would follow.
    pub fn once(self) -> SourceUri {
        match self {
            SourceUri::Dir { path, .. } => SourceUri::Dir { path, once: true },
            SourceUri::Synth { seed, .. } => SourceUri::Synth { seed, fps: None },
            other => other,
        }
    }

    /// Whether frames come at the pace of a camera, so that silence is trouble. A folder may be silent for days.
    pub fn is_live(&self) -> bool {
        matches!(
            self,
            SourceUri::V4l2(_)
                | SourceUri::Pipe { .. }
                | SourceUri::Stdin(_)
                | SourceUri::Synth { fps: Some(_), .. }
        )
    }

    /// Whether the source is a fixed number of stored or drawn frames, so that opening it again repeats them.
    pub fn is_finite(&self) -> bool {
        matches!(
            self,
            SourceUri::Dir { once: true, .. }
                | SourceUri::Tar(_)
                | SourceUri::Synth { fps: None, .. }
        )
    }

    /// The text for logs and pages: passwords in the URLs of a command are left out.
    pub fn for_log(&self) -> String {
        without_passwords(&self.to_string())
    }
}

/// Cameras of the kernel.
#[cfg(target_os = "linux")]
fn open_v4l2(spec: &V4l2Spec) -> Result<Box<dyn FrameSource>, CameraError> {
    Ok(Box::new(super::v4l2::V4l2Camera::open(spec)?))
}

#[cfg(not(target_os = "linux"))]
fn open_v4l2(spec: &V4l2Spec) -> Result<Box<dyn FrameSource>, CameraError> {
    let why = format!("{}: V4L2 is there on Linux only; use pipe:COMMAND", spec.path.display());
    Err(CameraError::new(CameraErrorKind::Missing, why))
}

impl FromStr for SourceUri {
    type Err = CameraError;

    fn from_str(text: &str) -> Result<SourceUri, CameraError> {
        let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
        let parsed = match scheme {
            "v4l2" => v4l2(rest).map(SourceUri::V4l2),
            "pipe" => {
                command(rest).map(|command| SourceUri::Pipe { framing: Framing::Mjpeg, command })
            }
            "pipe+raw" => raw_pipe(rest),
            "stdin" if rest.is_empty() => Ok(SourceUri::Stdin(Framing::Mjpeg)),
            "stdin" => Err("nothing follows `stdin:`; raw frames are stdin+raw:FORMAT:WxH".into()),
            "stdin+raw" => raw(rest).map(SourceUri::Stdin),
            "dir" => dir(rest),
            "tar" => path(rest).map(SourceUri::Tar),
            "synth" => return synth(text),
            _ => Err(format!("none of {FORMS}")),
        };
        parsed.map_err(|why| wrong(text, &why))
    }
}

fn wrong(text: &str, why: &str) -> CameraError {
    let text = quoted(text, 200);
    CameraError::new(CameraErrorKind::Spec, format!("source `{text}`: {why}"))
}

/// A part of the text, as a message names it.
fn part(text: &str) -> String {
    quoted(text, 60)
}

fn path(text: &str) -> Result<PathBuf, String> {
    match text {
        "" => Err("the path is missing".into()),
        text if text.contains('\0') => Err("a path cannot hold a zero byte".into()),
        text => Ok(PathBuf::from(text)),
    }
}

/// A path, and what follows its last `?`.
fn path_and_query(text: &str) -> Result<(PathBuf, &str), String> {
    let (before, query) = text.rsplit_once('?').unwrap_or((text, ""));
    Ok((path(before)?, query))
}

fn dir(text: &str) -> Result<SourceUri, String> {
    let (path, query) = path_and_query(text)?;
    match query {
        "" => Ok(SourceUri::Dir { path, once: false }),
        "once" => Ok(SourceUri::Dir { path, once: true }),
        other => Err(format!(
            "`{}` is no option of dir:, which has `once`; a path that holds a `?` ends with another one",
            part(other)
        )),
    }
}

fn synth(text: &str) -> Result<SourceUri, CameraError> {
    let (name, query) = text.split_once('?').unwrap_or((text, ""));
    let digits = name.strip_prefix("synth:").unwrap_or_default();
    let (digits, has_count) = match digits.split_once(':') {
        Some((digits, _)) => (digits, true),
        None => (digits, false),
    };
    let Ok(seed) = digits.parse::<u64>() else {
        let why = "the seed is no whole number below 2^64; write for example synth:1";
        return Err(wrong(text, why));
    };
    if has_count {
        let why = format!("a camera plays its whole show; write synth:{seed}");
        return Err(wrong(text, &why));
    }
    let fps = match query.split_once('=') {
        None if query.is_empty() => None,
        Some(("fps", value)) => Some(fps(value).map_err(|why| wrong(text, &why))?),
        _ => {
            let why = format!("`{}` is no option of synth:, which has fps=N", part(query));
            return Err(wrong(text, &why));
        }
    };
    Ok(SourceUri::Synth { seed, fps })
}

fn v4l2(text: &str) -> Result<V4l2Spec, String> {
    let (path, query) = path_and_query(text)?;
    let mut spec = V4l2Spec { path, size: None, format: None, fps: None };
    let mut seen = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if seen.contains(&key) {
            return Err(format!("`{key}` is given twice"));
        }
        match key {
            "size" => spec.size = Some(size(value)?),
            "format" => spec.format = pixel_format(value)?,
            "fps" => spec.fps = Some(fps(value)?),
            _ => {
                return Err(format!(
                    "`{}` is no option of v4l2:, which has size=WxH, format=NAME and fps=N",
                    part(key)
                ));
            }
        }
        seen.push(key);
    }
    if let (Some((width, height)), Some(PixelFormat::Raw(format))) = (spec.size, spec.format) {
        format.check(width, height).map_err(|e| e.to_string())?;
    }
    Ok(spec)
}

fn fps(text: &str) -> Result<u32, String> {
    number(text)
        .filter(|fps| (1..=MAX_FPS).contains(fps))
        .ok_or_else(|| format!("fps `{}` is no whole number from 1 to {MAX_FPS}", part(text)))
}

fn pixel_format(text: &str) -> Result<Option<PixelFormat>, String> {
    match text {
        "auto" => Ok(None),
        "mjpeg" => Ok(Some(PixelFormat::Mjpeg)),
        raw => match raw.parse() {
            Ok(format) => Ok(Some(PixelFormat::Raw(format))),
            Err(_) => {
                let names = RawFormat::ALL.map(RawFormat::name).join(", ");
                Err(format!(
                    "`{}` is no pixel format: write one of auto, mjpeg, {names}",
                    part(text)
                ))
            }
        },
    }
}

/// `640x480`, within what a picture may have.
fn size(text: &str) -> Result<(u32, u32), String> {
    let (width, height) = text
        .split_once('x')
        .and_then(|(width, height)| Some((number(width)?, number(height)?)))
        .ok_or_else(|| format!("size `{}` is not WIDTHxHEIGHT, for example 640x480", part(text)))?;
    if crate::image::check_size(width, height).is_err() {
        return Err(format!(
            "size `{width}x{height}` is beyond 1 to {MAX_SIDE} pixels a side, or more than {MAX_PIXELS} in all"
        ));
    }
    Ok((width, height))
}

/// Digits only: no sign, no space.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn raw(text: &str) -> Result<Framing, String> {
    let (format, measure) =
        text.split_once(':').ok_or_else(|| format!("raw frames need their {RAW_FORM}"))?;
    let format: RawFormat = format.parse().map_err(|e: CameraError| e.to_string())?;
    let (width, height) = size(measure)?;
    format.check(width, height).map_err(|e| e.to_string())?;
    Ok(Framing::Raw { format, width, height })
}

fn raw_pipe(text: &str) -> Result<SourceUri, String> {
    let second = text.match_indices(':').nth(1);
    let (at, _) =
        second.ok_or_else(|| format!("raw frames need their {RAW_FORM}, and a command"))?;
    let framing = raw(&text[..at])?;
    Ok(SourceUri::Pipe { framing, command: command(&text[at + 1..])? })
}

fn command(text: &str) -> Result<Vec<String>, String> {
    let command = words::split(text)?;
    match command.first() {
        None => Err("the command is missing".into()),
        Some(program) if program.is_empty() => Err("the name of the program is empty".into()),
        Some(_) => Ok(command),
    }
}

impl fmt::Display for SourceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceUri::V4l2(spec) => spec.fmt(f),
            SourceUri::Pipe { framing: Framing::Mjpeg, command } => {
                write!(f, "pipe:{}", words::join(command))
            }
            SourceUri::Pipe { framing, command } => {
                write!(f, "pipe+{framing}:{}", words::join(command))
            }
            SourceUri::Stdin(Framing::Mjpeg) => f.write_str("stdin:"),
            SourceUri::Stdin(framing) => write!(f, "stdin+{framing}"),
            SourceUri::Dir { path, once: true } => write!(f, "dir:{}?once", path.display()),
            SourceUri::Dir { path, once: false } => {
                write!(f, "dir:{}{}", path.display(), closing(path))
            }
            SourceUri::Tar(path) => write!(f, "tar:{}", path.display()),
            SourceUri::Synth { seed, fps: None } => write!(f, "synth:{seed}"),
            SourceUri::Synth { seed, fps: Some(fps) } => write!(f, "synth:{seed}?fps={fps}"),
        }
    }
}

impl fmt::Display for V4l2Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v4l2:{}", self.path.display())?;
        let options = [
            self.size.map(|(width, height)| format!("size={width}x{height}")),
            self.format.map(|format| format!("format={format}")),
            self.fps.map(|fps| format!("fps={fps}")),
        ];
        let options: Vec<String> = options.into_iter().flatten().collect();
        if options.is_empty() {
            f.write_str(closing(&self.path))
        } else {
            write!(f, "?{}", options.join("&"))
        }
    }
}

/// What keeps a `?` of the path from being read as the start of options.
fn closing(path: &Path) -> &'static str {
    if path.to_string_lossy().contains('?') { "?" } else { "" }
}

impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PixelFormat::Mjpeg => f.write_str("mjpeg"),
            PixelFormat::Raw(format) => format.fmt(f),
        }
    }
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Framing::Mjpeg => f.write_str("mjpeg"),
            Framing::Raw { format, width, height } => write!(f, "raw:{format}:{width}x{height}"),
        }
    }
}

#[cfg(target_os = "linux")]
mod live {
    use super::{Framing, Opener, PathBuf};
    use crate::camera::pipe::PipeCamera;
    use crate::camera::stdin::StdinCamera;
    use crate::camera::watch::{Place, WatchedFolder};

    pub(super) fn pipe(framing: Framing, command: Vec<String>) -> Opener {
        Box::new(move || Ok(Box::new(PipeCamera::open(&command, framing)?)))
    }

    pub(super) fn stdin(framing: Framing) -> Opener {
        Box::new(move || Ok(Box::new(StdinCamera::new(framing))))
    }

    pub(super) fn folder(path: PathBuf) -> Opener {
        let place = Place::default();
        Box::new(move || Ok(Box::new(WatchedFolder::open(&path, place.clone())?)))
    }
}

/// Reading with a deadline, process groups and watching are Linux's here.
#[cfg(not(target_os = "linux"))]
mod live {
    use super::{CameraError, CameraErrorKind, Framing, Opener, PathBuf};

    pub(super) fn pipe(_: Framing, _: Vec<String>) -> Opener {
        refused("pipe:")
    }

    pub(super) fn stdin(_: Framing) -> Opener {
        refused("stdin:")
    }

    pub(super) fn folder(_: PathBuf) -> Opener {
        refused("dir: without ?once")
    }

    fn refused(what: &'static str) -> Opener {
        Box::new(move || {
            Err(CameraError::new(CameraErrorKind::Missing, format!("{what} needs Linux")))
        })
    }
}

#[cfg(test)]
mod tests;
