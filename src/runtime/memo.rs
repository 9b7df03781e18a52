//! What decisions know, kept in a file beside the journal: numbers, budgets and tests of drift go on over a restart.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::errands::Errands;
use crate::clock::Stamp;
use crate::event::{Decisions, Machine, Memory, Message, Phase};
use crate::sink::journal::{Fsync, JournalSettings};
use crate::storage;

/// Kept at least this often: tests of drift gather evidence for weeks, and a power cut costs an hour of it.
const KEEP_MS: u64 = 3_600_000;

/// No memo of ours is longer.
const MOST_BYTES: u64 = 4 << 20;

/// A file beside the journal.
#[derive(Debug)]
pub struct Memo {
    path: PathBuf,
    /// The journal's.
    require_mount: Option<PathBuf>,
    /// Each start and end of an event is kept at once.
    at_once: bool,
    due: bool,
    kept_ms: u64,
    /// It could not be written the last time, which is told once.
    in_trouble: Arc<AtomicBool>,
}

impl Memo {
    /// The memo of the journal in `dir`: as often as that, starts and ends of events are kept at once.
    pub fn in_folder(dir: &Path, settings: &JournalSettings, now: Stamp) -> Memo {
        let path = dir.join("memo.json");
        let at_once = settings.fsync == Fsync::Message;
        let require_mount = settings.require_mount.clone();
        Memo {
            path,
            require_mount,
            at_once,
            due: false,
            kept_ms: now.mono_ms,
            in_trouble: Arc::default(),
        }
    }

    /// Goes on where the last run ended, and gives the messages of events that were open; `None` if nothing is known of it.
    pub fn recall(&self, decisions: &mut Decisions, now: Stamp) -> Option<Vec<Message>> {
        let read = self.read().and_then(|bytes| Ok(serde_json::from_slice::<Memory>(&bytes)?));
        match read {
            Ok(memory) => Some(decisions.remember(&memory, now.mono_ms)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => {
                log::warn!(
                    "{}: {e}; budget, cool-downs and tests of drift begin anew",
                    self.path.display()
                );
                None
            }
        }
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(&self.path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Takes note of what was said.
    pub fn heard(&mut self, messages: &[Message]) {
        self.due |= self.at_once && messages.iter().any(|message| message.phase != Phase::Update);
    }

    /// Keeps what is known, if that is due.
    pub fn keep(&mut self, decisions: &Decisions, now: Stamp, machine: Machine, errands: &Errands) {
        if self.due || now.mono_ms.saturating_sub(self.kept_ms) >= KEEP_MS {
            self.keep_now(decisions, now, machine, errands);
        }
    }

    /// Keeps what is known.
    pub fn keep_now(
        &mut self,
        decisions: &Decisions,
        now: Stamp,
        machine: Machine,
        errands: &Errands,
    ) {
        let (memory, path) = (decisions.memory(now, machine), self.path.clone());
        let (mount, in_trouble) = (self.require_mount.clone(), self.in_trouble.clone());
        let taken = errands.run(move || {
            let kept = storage::require_mount(mount.as_deref(), "journal.require_mount")
                .map_err(|e| e.to_string())
                .and_then(|()| serde_json::to_vec(&memory).map_err(|e| e.to_string()))
                .and_then(|bytes| storage::replace(&path, &bytes).map_err(|e| e.to_string()));
            let was_in_trouble = in_trouble.swap(kept.is_err(), Relaxed);
            match kept {
                Err(why) if !was_in_trouble => {
                    log::warn!("{why}; a restart would begin with what was kept before");
                }
                Ok(()) if was_in_trouble => log::info!("{} is written again", path.display()),
                _ => {}
            }
        });
        if taken {
            (self.due, self.kept_ms) = (false, now.mono_ms);
        }
    }
}
