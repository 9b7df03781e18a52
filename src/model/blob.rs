//! `heads.postcard`: everything that the device must know beside the network.
//!
//! The frame is `magic (8) · version (u16) · payload length (u32) · payload · CRC-32 (u32)`, all
//! little-endian; the CRC-32 covers everything before it. The payload is postcard.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::format_1::HeadsBlob1;
use super::{ModelError, ModelErrorKind, SelfTest};
use crate::backbone::{Backbone, Normalise, Taps};
use crate::energy::Heads;
use crate::image::Preprocess;

const MAGIC: &[u8; 8] = b"ODDSIGHT";
const HEADER_BYTES: usize = MAGIC.len() + 2 + 4;
const CRC_BYTES: usize = 4;
/// The newest format that this program writes; it reads every older one.
pub const VERSION: u16 = 3;

/// The content of `heads.postcard`, format version 3. Version 2 is the same without refined heads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeadsBlob {
    /// Program and version that wrote it.
    pub made_by: String,
    /// SHA-256 of the backbone that the heads were fitted for.
    pub backbone_sha256: [u8; 32],
    pub preprocess: Preprocess,
    pub normalise: Normalise,
    pub taps: Taps,
    pub heads: Heads,
    /// Composed energies of held-out normal frames, ascending, as signed Q47.16.
    pub calibration_q16: Vec<i64>,
    /// Per-frame false-alarm rate.
    pub alpha: f64,
    /// Names of the classes that the heads' components stand for; empty without class folders.
    pub class_names: Vec<String>,
    pub self_test: SelfTest,
}

impl HeadsBlob {
    /// Reads and unframes a heads file.
    pub fn read(path: &Path) -> Result<HeadsBlob, ModelError> {
        let bytes = std::fs::read(path).map_err(|e| {
            let kind = match e.kind() {
                std::io::ErrorKind::NotFound => ModelErrorKind::Missing,
                _ => ModelErrorKind::Read,
            };
            ModelError::new(kind, path, e)
        })?;
        HeadsBlob::from_bytes(&bytes).map_err(|(kind, why)| ModelError::new(kind, path, why))
    }

    /// Unframes the bytes of a heads file; the error is a kind and a reason.
    pub fn from_bytes(bytes: &[u8]) -> Result<HeadsBlob, (ModelErrorKind, String)> {
        match unframe(bytes)? {
            (1, payload) => decode::<HeadsBlob1>(payload)?.into_blob(),
            (_, payload) => decode(payload),
        }
    }

    /// The framed bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let payload = postcard::to_allocvec(self).expect("every field has a postcard form");
        let length = u32::try_from(payload.len()).expect("heads stay far below 4 GiB");
        let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len() + CRC_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&payload);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// Whether the content makes sense for this backbone; the error says what does not.
    pub(super) fn check(&self, backbone: &Backbone) -> Result<(), String> {
        if self.preprocess.crop != backbone.crop() {
            return Err("its input size is not the backbone's".into());
        }
        if self.taps != *backbone.taps() {
            return Err("its taps are not the backbone's".into());
        }
        if !self.normalise.is_valid() {
            return Err("its normalisation holds NaN, infinity or a deviation of zero".into());
        }
        if !self.calibration_q16.is_sorted() {
            return Err("its calibration energies are not sorted".into());
        }
        self.heads.check(backbone.width(), backbone.classes()).map_err(|e| e.to_string())
    }
}

fn decode<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, (ModelErrorKind, String)> {
    let malformed = |why: String| (ModelErrorKind::Malformed, why);
    let (content, rest) = postcard::take_from_bytes(payload)
        .map_err(|e| malformed(format!("the payload cannot be decoded: {e}")))?;
    if !rest.is_empty() {
        return Err(malformed(format!("{} bytes follow the payload's end", rest.len())));
    }
    Ok(content)
}

/// The format version and the payload.
fn unframe(bytes: &[u8]) -> Result<(u16, &[u8]), (ModelErrorKind, String)> {
    if !bytes.starts_with(&MAGIC[..bytes.len().min(MAGIC.len())]) || bytes.is_empty() {
        let why = "not a heads file: it does not start with ODDSIGHT".into();
        return Err((ModelErrorKind::NotHeads, why));
    }
    let truncated = |length: usize| {
        let why = format!("{} bytes long, but {length} are wanted; copy it again", bytes.len());
        (ModelErrorKind::Truncated, why)
    };
    if bytes.len() < HEADER_BYTES {
        return Err(truncated(HEADER_BYTES + CRC_BYTES));
    }
    let version = u16::from_le_bytes([bytes[8], bytes[9]]);
    if version == 0 || version > VERSION {
        let why = format!(
            "heads format version {version} is unknown; this oddsight reads 1 to {VERSION}: \
             the file is damaged, or a newer oddsight made it"
        );
        return Err((ModelErrorKind::Version, why));
    }
    let length = u32::from_le_bytes([bytes[10], bytes[11], bytes[12], bytes[13]]) as usize;
    let wanted = HEADER_BYTES.saturating_add(length).saturating_add(CRC_BYTES);
    if bytes.len() != wanted {
        return Err(truncated(wanted));
    }
    let (covered, crc) = bytes.split_at(bytes.len() - CRC_BYTES);
    if crc32fast::hash(covered).to_le_bytes() != crc {
        let why = "its checksum does not fit: a byte was changed; copy it again".into();
        return Err((ModelErrorKind::Altered, why));
    }
    Ok((version, &covered[HEADER_BYTES..]))
}
