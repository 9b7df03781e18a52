//! `SRC`: what pictures are read from.
//!
//! | SRC | meaning |
//! |---|---|
//! | folder | pictures, or folders of pictures, one per class |
//! | `.tar` | the same, read as a stream |
//! | folder or `.bin` file of CIFAR | binary batches of CIFAR-10 or CIFAR-100 |
//! | `synth:SEED[:COUNT]` | the simulated camera's normal pictures |
//! | `.safetensors` | features that `oddsight-train features` made; see [`crate::features`] |

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use oddsight::camera::CameraErrorKind;
use oddsight::camera::stored::Stored;
use oddsight::camera::synth::SynthSpec;
use oddsight::image::{self, ImageError, Rgb};
use sha2::{Digest as _, Sha256};

mod cifar;

pub use cifar::Cifar;

/// One picture as a source gives it; decoding is left to the worker threads.
pub struct Raw {
    /// Path inside of the source, `/`-separated: its folder names its class.
    pub name: String,
    pub content: Content,
}

/// What [`Raw`] holds.
pub enum Content {
    Encoded(Vec<u8>),
    Picture(Rgb),
    Synth(SynthSpec, u64),
}

impl Content {
    /// SHA-256 of the encoded bytes, of the pixels, or of the drawing's seed and index.
    pub fn sha256(&self) -> [u8; 32] {
        match self {
            Content::Encoded(bytes) => Sha256::digest(bytes).into(),
            Content::Picture(picture) => Sha256::digest(&picture.pixels).into(),
            Content::Synth(spec, index) => Sha256::digest(format!("{}:{index}", spec.seed)).into(),
        }
    }

    /// The decoded picture.
    pub fn decode(self) -> Result<Rgb, ImageError> {
        match self {
            Content::Encoded(bytes) => image::decode(&bytes),
            Content::Picture(picture) => Ok(picture),
            Content::Synth(spec, index) => Ok(spec.draw(index)),
        }
    }
}

/// An open source of pictures.
pub enum Pictures {
    Stored(Stored),
    Cifar(Cifar),
    Synth(SynthSpec, std::ops::Range<u64>),
}

/// A picture that could not be read; the ones after it may be fine.
pub struct Unreadable {
    pub why: String,
}

impl Pictures {
    /// Opens a source by its text.
    pub fn open(text: &str) -> Result<Pictures> {
        if text.starts_with("synth:") {
            let spec: SynthSpec = text.parse()?;
            return Ok(Pictures::Synth(spec, 0..spec.count));
        }
        let path = Path::new(text);
        if !path.exists() {
            bail!(
                "{text}: no such file or folder; a source is a folder of pictures, a .tar, a CIFAR \
                 binary folder, a .safetensors feature file, or synth:SEED"
            );
        }
        if let Some(cifar) = Cifar::open(path)? {
            return Ok(Pictures::Cifar(cifar));
        }
        if path.is_file()
            && image::decode(&std::fs::read(path).with_context(|| text.to_string())?).is_ok()
        {
            bail!("{text}: a single picture; a source is a folder of pictures or a .tar of them");
        }
        Ok(Pictures::Stored(Stored::open(path)?))
    }

    /// How many pictures there are, where that is known before reading them.
    pub fn count(&self) -> Option<u64> {
        match self {
            Pictures::Stored(stored) => stored.count().map(|n| n as u64),
            Pictures::Cifar(cifar) => Some(cifar.count()),
            Pictures::Synth(_, rest) => Some(rest.end - rest.start),
        }
    }

    /// The next picture; `None` at the end. An `Err` is final, an [`Unreadable`] is not.
    pub fn next_raw(&mut self) -> Option<Result<Result<Raw, Unreadable>>> {
        match self {
            Pictures::Stored(stored) => Some(match stored.next_encoded()? {
                Ok(encoded) => {
                    Ok(Ok(Raw { name: encoded.name, content: Content::Encoded(encoded.bytes) }))
                }
                Err(e) if e.kind() == CameraErrorKind::Picture => {
                    Ok(Err(Unreadable { why: e.to_string() }))
                }
                Err(e) => Err(e.into()),
            }),
            Pictures::Cifar(cifar) => cifar.next_raw().map(|raw| raw.map(Ok)),
            Pictures::Synth(spec, rest) => rest.next().map(|index| {
                let name = format!("synth/{index:06}");
                Ok(Ok(Raw { name, content: Content::Synth(*spec, index) }))
            }),
        }
    }
}
