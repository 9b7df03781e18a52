//! Checkpoints: what a training run needs to go on after it was stopped, as one file per head.
//!
//! The frame is `magic (8) · version (u16) · payload length (u64) · payload · CRC-32 (u32)`, all
//! little-endian; the CRC-32 covers everything before it. The payload is the postcard of an [`Origin`] and
//! a [`State`]. A file is replaced after every epoch, so that it is the old one or the new one at every
//! instant.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use oddsight::energy::HeadId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::heat::{Constants, State};
use crate::recipe::REFINED;

mod error;

pub use error::{CheckpointError, CheckpointErrorKind};

const MAGIC: &[u8; 8] = b"ODDTRAIN";
const HEADER_BYTES: usize = MAGIC.len() + 2 + 8;
const CRC_BYTES: usize = 4;
/// The only format so far.
const VERSION: u16 = 1;

/// What a run depends on: another origin would not go on as the run that stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    head: String,
    seed: u64,
    constants: [u8; 32],
    data: [u8; 32],
    prior: [u8; 32],
}

impl Origin {
    /// The origin of a run that trains `head` on the data that `data_sha256` names; `prior` is whatever
    /// tells one prior from another.
    pub fn new<P: Serialize>(
        head: HeadId,
        constants: &Constants,
        seed: u64,
        data_sha256: [u8; 32],
        prior: &P,
    ) -> Origin {
        Origin {
            head: head.to_string(),
            seed,
            constants: digest(constants),
            data: data_sha256,
            prior: digest(prior),
        }
    }

    /// In what another origin differs, said of a file that has it.
    fn difference(&self, other: &Origin) -> Option<String> {
        let parts = [
            (self.head != other.head, format!("of head {}, not {}", other.head, self.head)),
            (self.seed != other.seed, format!("of seed {}, not {}", other.seed, self.seed)),
            (self.constants != other.constants, "of other constants".to_string()),
            (self.data != other.data, "of other data, or another share of it".to_string()),
            (self.prior != other.prior, "of another prior".to_string()),
        ];
        parts.into_iter().find_map(|(differs, what)| differs.then_some(what))
    }
}

fn digest<T: Serialize>(value: &T) -> [u8; 32] {
    let bytes = postcard::to_allocvec(value).expect("the value has a postcard form");
    Sha256::digest(bytes).into()
}

/// The folder that holds the checkpoints of one fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// Checkpoints in `folder`, which is made when the first one is written.
    pub fn new(folder: impl Into<PathBuf>) -> Checkpoints {
        Checkpoints { folder: folder.into() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the checkpoint of a head is.
    pub fn path(&self, head: HeadId) -> PathBuf {
        self.folder.join(format!("{head}.checkpoint"))
    }

    /// Refuses a folder with the checkpoint of any head: a run that starts anew would overwrite what
    /// another one left.
    pub fn check_unused(&self) -> Result<(), CheckpointError> {
        match REFINED.iter().map(|id| self.path(*id)).find(|path| path.exists()) {
            None => Ok(()),
            Some(path) => {
                let why = format!(
                    "a run that was stopped left this; go on from it with --resume, or remove the \
                     folder {} to start anew",
                    self.folder.display()
                );
                Err(CheckpointError::new(CheckpointErrorKind::Unfinished, &path, why))
            }
        }
    }

    /// Replaces the checkpoint of the head of `origin`.
    pub fn write(
        &self,
        head: HeadId,
        origin: &Origin,
        state: &State,
    ) -> Result<(), CheckpointError> {
        let path = self.path(head);
        replace(&path, &to_bytes(origin, state))
            .map_err(|e| CheckpointError::new(CheckpointErrorKind::Write, &path, e))
    }

    /// Reads the checkpoint of a head; `None` where there is none.
    ///
    /// # Errors
    ///
    /// A file that is truncated, altered, of a newer version, or of a run with another origin.
    pub fn read(&self, head: HeadId, origin: &Origin) -> Result<Option<State>, CheckpointError> {
        let path = self.path(head);
        let refuse = |kind, why: String| {
            let remedy = format!("remove {} to start this head anew", path.display());
            CheckpointError::new(kind, &path, format!("{why}; {remedy}"))
        };
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => {
                return Err(refuse(CheckpointErrorKind::Read, format!("cannot be read ({e})")));
            }
        };
        let (of, state) = from_bytes(&bytes).map_err(|(kind, why)| refuse(kind, why))?;
        match origin.difference(&of) {
            None => Ok(Some(state)),
            Some(what) => {
                let why = format!(
                    "checkpoint {what}: give the recipe, the seed and the data of the run that was \
                     stopped"
                );
                Err(refuse(CheckpointErrorKind::Foreign, why))
            }
        }
    }

    /// Removes the checkpoints, and the folder if nothing else is in it.
    pub fn remove(&self) -> Result<(), CheckpointError> {
        for path in REFINED.iter().map(|id| self.path(*id)) {
            for path in [staged(&path), path] {
                match fs::remove_file(&path) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => {
                        return Err(CheckpointError::new(CheckpointErrorKind::Write, &path, e));
                    }
                    _ => {}
                }
            }
        }
        match fs::remove_dir(&self.folder) {
            Err(e)
                if !matches!(
                    e.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
                ) =>
            {
                Err(CheckpointError::new(CheckpointErrorKind::Write, &self.folder, e))
            }
            _ => Ok(()),
        }
    }
}

/// Where a file is written before it takes its place. A fixed name: what a power cut leaves is overwritten
/// by the next run, not joined by it.
fn staged(path: &Path) -> PathBuf {
    path.with_extension("checkpoint-new")
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let staged = staged(path);
    let mut file = File::create(&staged)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&staged, path)?;
    // The new name must not be lost either. Windows cannot open folders, and journals them itself.
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(())
}

fn to_bytes(origin: &Origin, state: &State) -> Vec<u8> {
    let payload = postcard::to_allocvec(&(origin, state)).expect("every field has a postcard form");
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len() + CRC_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&payload);
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

type Refusal = (CheckpointErrorKind, String);

fn from_bytes(bytes: &[u8]) -> Result<(Origin, State), Refusal> {
    if !bytes.starts_with(&MAGIC[..bytes.len().min(MAGIC.len())]) {
        let why = "not a checkpoint: it does not start with ODDTRAIN".to_string();
        return Err((CheckpointErrorKind::NotCheckpoint, why));
    }
    let truncated = |wanted: u64| {
        let why = format!("{} bytes long, but {wanted} are wanted", bytes.len());
        (CheckpointErrorKind::Truncated, why)
    };
    let (Some(version), Some(length)) = (bytes.get(8..10), bytes.get(10..HEADER_BYTES)) else {
        return Err(truncated((HEADER_BYTES + CRC_BYTES) as u64));
    };
    let version = u16::from_le_bytes([version[0], version[1]]);
    if version != VERSION {
        let why = format!(
            "checkpoint format {version} is unknown, this program reads {VERSION}: the file is \
             damaged, or of a newer oddsight-train, which could go on with it"
        );
        return Err((CheckpointErrorKind::Version, why));
    }
    let mut wide = [0; 8];
    wide.copy_from_slice(length);
    let wanted = u64::from_le_bytes(wide).saturating_add((HEADER_BYTES + CRC_BYTES) as u64);
    if bytes.len() as u64 != wanted {
        return Err(truncated(wanted));
    }
    let (covered, crc) = bytes.split_at(bytes.len() - CRC_BYTES);
    if crc32fast::hash(covered).to_le_bytes() != crc {
        let why = "its checksum does not fit: a byte was changed".to_string();
        return Err((CheckpointErrorKind::Altered, why));
    }
    postcard::from_bytes(&covered[HEADER_BYTES..])
        .map_err(|e| (CheckpointErrorKind::Altered, format!("its content cannot be decoded: {e}")))
}

#[cfg(test)]
mod tests;
