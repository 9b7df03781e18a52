//! The text that names a source.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::stored::{Stored, StoredCamera};
use super::synth::{SynthCamera, SynthSpec};
use super::{CameraError, CameraErrorKind, FrameSource};

/// Where frames come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceUri {
    /// `dir:PATH`
    Dir(PathBuf),
    /// `tar:FILE`
    Tar(PathBuf),
    /// `synth:SEED`
    Synth(u64),
    /// `v4l2:DEVICE?…`
    V4l2(String),
    /// `pipe:COMMAND…`
    Pipe(String),
}

impl SourceUri {
    /// Opens the source.
    pub fn open(&self) -> Result<Box<dyn FrameSource>, CameraError> {
        Ok(match self {
            SourceUri::Dir(path) => Box::new(StoredCamera::new(Stored::folder(path)?)),
            SourceUri::Tar(path) => Box::new(StoredCamera::new(Stored::tar(path)?)),
            SourceUri::Synth(seed) => Box::new(SynthCamera::once(*seed)),
            SourceUri::V4l2(_) | SourceUri::Pipe(_) => {
                let why = format!("{self}: not in this build");
                return Err(CameraError::new(CameraErrorKind::Missing, why));
            }
        })
    }
}

impl FromStr for SourceUri {
    type Err = CameraError;

    fn from_str(text: &str) -> Result<SourceUri, CameraError> {
        match text.split_once(':') {
            Some(("dir", path)) if !path.is_empty() => Ok(SourceUri::Dir(path.into())),
            Some(("tar", path)) if !path.is_empty() => Ok(SourceUri::Tar(path.into())),
            Some(("synth", _)) => Ok(SourceUri::Synth(text.parse::<SynthSpec>()?.seed)),
            Some(("v4l2", rest)) if !rest.is_empty() => Ok(SourceUri::V4l2(rest.into())),
            Some(("pipe", rest)) if !rest.is_empty() => Ok(SourceUri::Pipe(rest.into())),
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
            SourceUri::Dir(path) => write!(f, "dir:{}", path.display()),
            SourceUri::Tar(path) => write!(f, "tar:{}", path.display()),
            SourceUri::Synth(seed) => write!(f, "synth:{seed}"),
            SourceUri::V4l2(rest) => write!(f, "v4l2:{rest}"),
            SourceUri::Pipe(rest) => write!(f, "pipe:{rest}"),
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
