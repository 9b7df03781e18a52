//! What tests of drift know, kept over a restart: they gather evidence for weeks.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::clock::Stamp;
use crate::event::{Decisions, DriftState};
use crate::storage;

/// Kept this often, and at the end: a power cut costs at most an hour of evidence.
const KEEP_MS: u64 = 3_600_000;

/// No memo of ours is longer.
const MOST_BYTES: u64 = 1 << 20;

/// A file beside the journal.
#[derive(Debug)]
pub struct Memo {
    path: PathBuf,
    kept_ms: Option<u64>,
}

impl Memo {
    /// The memo of the journal in `dir`.
    pub fn in_folder(dir: &Path) -> Memo {
        Memo { path: dir.join("drift.json"), kept_ms: None }
    }

    /// Goes on where the last run ended; without a memo, or with one of another model, the tests begin anew.
    pub fn recall(&self, decisions: &mut Decisions, now: Stamp) {
        let bytes = match self.read() {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return,
            Err(e) => {
                return log::warn!("{}: {e}; drift is tested from the start", self.path.display());
            }
        };
        match serde_json::from_slice::<BTreeMap<String, DriftState>>(&bytes) {
            Ok(states) => {
                let count = decisions.resume_drift(&states, now.mono_ms);
                log::debug!("drift: {count} of {} tests go on", states.len());
            }
            Err(e) => log::warn!("{}: {e}; drift is tested from the start", self.path.display()),
        }
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        io::Read::read_to_end(
            &mut io::Read::take(fs::File::open(&self.path)?, MOST_BYTES),
            &mut bytes,
        )?;
        Ok(bytes)
    }

    /// Keeps what is known, if that is due.
    pub fn keep(&mut self, decisions: &Decisions, now: Stamp) {
        let since = *self.kept_ms.get_or_insert(now.mono_ms);
        if now.mono_ms.saturating_sub(since) >= KEEP_MS {
            self.keep_now(decisions, now);
        }
    }

    /// Keeps what is known.
    pub fn keep_now(&mut self, decisions: &Decisions, now: Stamp) {
        self.kept_ms = Some(now.mono_ms);
        let states = decisions.drift_states(now.mono_ms);
        if states.is_empty() {
            return;
        }
        let kept = serde_json::to_vec(&states).map_err(io::Error::from);
        if let Err(e) = kept.and_then(|bytes| storage::replace(&self.path, &bytes)) {
            log::warn!("{}: {e}; a restart would test drift from the start", self.path.display());
        }
    }
}
