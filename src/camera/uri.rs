//! The text that names a source.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::raw::RawFormat;
use super::stored::{Stored, StoredCamera};
use super::synth::{SynthCamera, SynthSpec};
use super::{CameraError, CameraErrorKind, FrameSource};

/// Where frames come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceUri {
    /// `v4l2:DEVICE?size=WxH&format=FORMAT&fps=N`: a camera of the kernel.
    V4l2(V4l2Spec),
    /// `dir:PATH`
    Dir(PathBuf),
    /// `tar:FILE`
    Tar(PathBuf),
    /// `synth:SEED`
    Synth(u64),
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

impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PixelFormat::Mjpeg => f.write_str("mjpeg"),
            PixelFormat::Raw(format) => format.fmt(f),
        }
    }
}

fn v4l2(text: &str) -> Option<V4l2Spec> {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let mut spec = V4l2Spec { path: path.into(), size: None, format: None, fps: None };
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        match (key, value) {
            ("size", size) => {
                let (width, height) = size.split_once('x')?;
                spec.size = Some((width.parse().ok()?, height.parse().ok()?));
            }
            ("format", "auto") => {}
            ("format", "mjpeg") => spec.format = Some(PixelFormat::Mjpeg),
            ("format", raw) => spec.format = Some(PixelFormat::Raw(raw.parse().ok()?)),
            ("fps", fps) => spec.fps = Some(fps.parse().ok()?),
            _ => return None,
        }
    }
    Some(spec)
}

impl SourceUri {
    /// Opens the source.
    pub fn open(&self) -> Result<Box<dyn FrameSource>, CameraError> {
        Ok(match self {
            #[cfg(target_os = "linux")]
            SourceUri::V4l2(spec) => Box::new(super::v4l2::V4l2Camera::open(spec)?),
            #[cfg(not(target_os = "linux"))]
            SourceUri::V4l2(_) => {
                let why = "v4l2 sources are Linux only";
                return Err(CameraError::new(CameraErrorKind::Missing, why));
            }
            SourceUri::Dir(path) => Box::new(StoredCamera::new(Stored::folder(path)?)),
            SourceUri::Tar(path) => Box::new(StoredCamera::new(Stored::tar(path)?)),
            SourceUri::Synth(seed) => Box::new(SynthCamera::once(*seed)),
        })
    }
}

impl FromStr for SourceUri {
    type Err = CameraError;

    fn from_str(text: &str) -> Result<SourceUri, CameraError> {
        match text.split_once(':') {
            Some(("v4l2", rest)) if v4l2(rest).is_some() => Ok(v4l2(rest)
                .map(SourceUri::V4l2)
                .ok_or(CameraError::new(CameraErrorKind::Spec, ""))?),
            Some(("dir", path)) if !path.is_empty() => Ok(SourceUri::Dir(path.into())),
            Some(("tar", path)) if !path.is_empty() => Ok(SourceUri::Tar(path.into())),
            Some(("synth", _)) => Ok(SourceUri::Synth(text.parse::<SynthSpec>()?.seed)),
            _ => Err(CameraError::new(
                CameraErrorKind::Spec,
                format!("source `{text}` is none of dir:PATH, tar:FILE, synth:SEED"),
            )),
        }
    }
}

impl fmt::Display for SourceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceUri::V4l2(spec) => write!(f, "v4l2:{}", spec.path.display()),
            SourceUri::Dir(path) => write!(f, "dir:{}", path.display()),
            SourceUri::Tar(path) => write!(f, "tar:{}", path.display()),
            SourceUri::Synth(seed) => write!(f, "synth:{seed}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_parsed_or_explained() {
        assert_eq!("dir:a:b".parse::<SourceUri>().unwrap(), SourceUri::Dir("a:b".into()));
        assert_eq!("synth:7".parse::<SourceUri>().unwrap(), SourceUri::Synth(7));
        for wrong in ["", "dir:", "camera0", "synth:x"] {
            let why = wrong.parse::<SourceUri>().unwrap_err().to_string();
            assert!(why.contains("synth:SEED"), "{why}");
        }
    }
}
