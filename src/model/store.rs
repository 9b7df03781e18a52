//! Where a device keeps its models: the one in use, the one before it, and how it goes from one to the next.
//!
//! ```text
//! STORE/current  ─▶ versions/000012     symbolic links, flipped by a rename
//!       previous ─▶ versions/000011
//!       versions/NNNNNN/                  model directories, numbered in the order of their installation
//!       state.json                        starts that failed, the highest version ever installed
//! ```
//!
//! A new model is copied to a candidate, checked (digests, signature, version, self-test), and then `previous` and `current`
//! are flipped, in that order: a power cut leaves the old model in use or the new one. A model that fails to start several
//! times in a row gives way to the previous one.
//!
//! Several programs may use a store at once: one installs at a time (a lock on `versions`), and links and state are changed
//! under a lock on the store, which is held for moments.

mod error;
mod manifest;
mod stage;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{HEADS_FILE, Model};
use crate::storage;

pub use error::{StoreError, StoreErrorKind};
pub use manifest::{MANIFEST_FILE, Manifest, PublicKey, SIGNATURE_FILE, check, version_of};

const CURRENT: &str = "current";
const PREVIOUS: &str = "previous";
const VERSIONS: &str = "versions";
const STATE_FILE: &str = "state.json";
/// Folder of a model that is not checked yet. One that a crash left is removed by the next installation.
const CANDIDATE: &str = "candidate";

/// A model a second for some thousand years.
const MOST_MODELS: u64 = 1 << 37;

/// Says why a model is of no use on this device.
pub type Fits<'a> = &'a dyn Fn(&Model) -> Result<(), String>;

/// The models of a device.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// A model in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// In the order of installation, from 1.
    pub number: u64,
    /// What the manifest says; 0 without one.
    pub version: u64,
    /// Its model directory.
    pub dir: PathBuf,
}

/// What is found when the program starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// The current model is to be tried.
    Current(Installed),
    /// The current model failed to start too often; the previous one is in use again.
    Returned { from: Installed, to: Installed },
}

/// How strictly a new model is looked at.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Whose signature it must bear; without a key none is asked for.
    pub public_key: Option<PublicKey>,
    /// Let a version go back.
    pub force: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    /// Starts of the current model since the last one that came to score.
    failed_starts: u32,
    /// The highest version that was ever installed.
    highest_version: u64,
}

impl Store {
    /// The store in this folder, which an installation makes if it is not there.
    pub fn at(root: impl Into<PathBuf>) -> Store {
        Store { root: root.into() }
    }

    /// Whether this folder is a store rather than a model directory.
    pub fn is_at(root: &Path) -> bool {
        root.join(VERSIONS).is_dir()
    }

    /// The model in use.
    ///
    /// # Errors
    ///
    /// None is installed, or the link leads nowhere.
    pub fn current(&self) -> Result<Installed, StoreError> {
        self.follow(CURRENT)?.ok_or_else(|| {
            let why =
                "no model is installed; `oddsight model install DIR --store STORE` installs one";
            StoreError::new(StoreErrorKind::Empty, &self.root, why)
        })
    }

    /// The model that was in use before, if there is another one than the current.
    pub fn previous(&self) -> Result<Option<Installed>, StoreError> {
        let current = self.follow(CURRENT)?;
        let is_other =
            |previous: &Installed| Some(previous.number) != current.as_ref().map(|c| c.number);
        Ok(self.follow(PREVIOUS)?.filter(is_other))
    }

    /// Copies a model (a directory, or a tar of one), checks it, and puts it into use.
    ///
    /// # Errors
    ///
    /// What is missing, altered, unsigned, of an older version, or does not pass its self-test; the model in use stays.
    pub fn install(&self, source: &Path, trust: &Trust) -> Result<Installed, StoreError> {
        self.install_if(source, trust, &|_| Ok(()))
    }

    /// As [`Store::install`], for a model that `fits` as well; it says why one does not.
    ///
    /// # Errors
    ///
    /// As [`Store::install`].
    pub fn install_if(
        &self,
        source: &Path,
        trust: &Trust,
        fits: Fits,
    ) -> Result<Installed, StoreError> {
        let candidate = self.root.join(CANDIDATE);
        let here = |e: io::Error| StoreError::io(&self.root, e);
        if self.root.join(HEADS_FILE).is_file() {
            let why = "is a model directory, and models are installed into a folder of their own; choose another one";
            return Err(StoreError::new(StoreErrorKind::NotAStore, &self.root, why));
        }
        let versions = self.root.join(VERSIONS);
        fs::create_dir_all(&versions).map_err(here)?;
        let Some(_alone) = Lock::try_take(&versions).map_err(here)? else {
            let why = "another model is being installed here; try again when that is done";
            return Err(StoreError::new(StoreErrorKind::Busy, &self.root, why));
        };
        remove_if_there(&candidate).map_err(here)?;
        let installed =
            stage::copy(source, &candidate).and_then(|()| self.admit(&candidate, trust, fits));
        if installed.is_err() {
            // The error that is reported is the first one; the next installation tries to remove this again.
            let _ = remove_if_there(&candidate);
        }
        installed
    }

    /// Checks the candidate and flips the links.
    fn admit(&self, candidate: &Path, trust: &Trust, fits: Fits) -> Result<Installed, StoreError> {
        let here = |e: io::Error| StoreError::io(&self.root, e);
        let version = manifest::check(candidate, trust.public_key.as_ref())?;
        let highest_version = self.highest_version();
        if version < highest_version && !trust.force {
            let why = format!(
                "its version {version} is older than {highest_version}, which was installed here before; pack it with \
                 a higher version, or use --force"
            );
            return Err(StoreError::new(StoreErrorKind::Older, candidate, why));
        }
        let refuse = |why: String| StoreError::new(StoreErrorKind::Model, candidate, why);
        let model = Model::open(candidate).map_err(|e| refuse(e.to_string()))?;
        fits(&model)
            .map_err(|why| refuse(format!("the model is fine, but not for this device: {why}")))?;
        drop(model);
        let number = self.numbers().map_err(here)?.into_iter().max().unwrap_or(0) + 1;
        let dir = self.root.join(version_path(number));
        fs::rename(candidate, &dir).map_err(here)?;
        sync(&self.root.join(VERSIONS)).map_err(here)?;
        let _lock = Lock::take(&self.root).map_err(here)?;
        let highest_version = highest_version.max(version);
        self.write(&State { failed_starts: 0, highest_version }).map_err(here)?;
        // A link that leads nowhere is replaced.
        if let Ok(Some(current)) = self.follow(CURRENT) {
            self.link(PREVIOUS, current.number).map_err(here)?;
        }
        self.link(CURRENT, number).map_err(here)?;
        if let Err(e) = self.remove_others() {
            log::warn!(
                "{}: {e}; models that are not used any more stay there",
                self.root.display()
            );
        }
        Ok(Installed { number, version, dir })
    }

    /// Puts the previous model into use again, and keeps the current one as the previous.
    ///
    /// # Errors
    ///
    /// There is no previous model.
    pub fn back(&self) -> Result<Installed, StoreError> {
        let here = |e: io::Error| StoreError::io(&self.root, e);
        self.current()?;
        let _lock = Lock::take(&self.root).map_err(here)?;
        let (current, previous) = (self.current()?, self.previous()?);
        let Some(previous) = previous else {
            let why = "there is no previous model to go back to";
            return Err(StoreError::new(StoreErrorKind::Empty, &self.root, why));
        };
        self.write(&State { failed_starts: 0, ..self.state() }).map_err(here)?;
        // A crash between the two leaves the previous model in use and no way back, which is the state that was asked for.
        self.link(CURRENT, previous.number).map_err(here)?;
        self.link(PREVIOUS, current.number).map_err(here)?;
        Ok(previous)
    }

    /// Counts a start, and returns to the previous model after `most` of them that came to nothing.
    ///
    /// # Errors
    ///
    /// There is no model. A store that cannot be written to counts nothing, which is logged.
    pub fn starting(&self, most: u32) -> Result<Start, StoreError> {
        let here = |e: io::Error| StoreError::io(&self.root, e);
        let _lock = Lock::take(&self.root).map_err(here)?;
        let (current, state) = (self.current()?, self.state());
        let previous = self.previous()?.filter(|_| state.failed_starts >= most.max(1));
        let counted = match &previous {
            None => {
                let failed_starts = state.failed_starts.saturating_add(1).min(most.max(1));
                self.write(&State { failed_starts, ..state })
            }
            // The count starts again; and `previous` stays, so that there is no going to and fro.
            Some(to) => self
                .write(&State { failed_starts: 1, ..state })
                .and_then(|()| self.link(CURRENT, to.number)),
        };
        match (counted, previous) {
            (Ok(()), Some(to)) => Ok(Start::Returned { from: current, to }),
            (Ok(()), None) => Ok(Start::Current(current)),
            (Err(e), _) => {
                log::warn!("{}: {e}; failed starts are not counted", self.root.display());
                Ok(Start::Current(current))
            }
        }
    }

    /// The current model scored frames: earlier failures are forgotten.
    ///
    /// # Errors
    ///
    /// The state cannot be written.
    pub fn started(&self) -> Result<(), StoreError> {
        self.failed_starts(|_| 0)
    }

    /// The start came to nothing, and that says nothing about the model: it is not counted.
    ///
    /// # Errors
    ///
    /// The state cannot be written.
    pub fn excused(&self) -> Result<(), StoreError> {
        self.failed_starts(|count| count.saturating_sub(1))
    }

    fn failed_starts(&self, new: impl Fn(u32) -> u32) -> Result<(), StoreError> {
        let here = |e: io::Error| StoreError::io(&self.root, e);
        let _lock = Lock::take(&self.root).map_err(here)?;
        let state = self.state();
        let failed_starts = new(state.failed_starts);
        if failed_starts == state.failed_starts {
            return Ok(());
        }
        self.write(&State { failed_starts, ..state }).map_err(here)
    }

    /// The highest version that was ever installed: of the state, and of the models that are there, should it be lost.
    fn highest_version(&self) -> u64 {
        let links = [CURRENT, PREVIOUS].into_iter();
        let models = links.filter_map(|link| self.follow(link).ok().flatten());
        models.map(|model| model.version).fold(self.state().highest_version, u64::max)
    }

    /// The file of the state; without one, or with one that cannot be read, there were no failures and no versions.
    fn state(&self) -> State {
        let path = self.root.join(STATE_FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return State::default(),
            Err(e) => {
                log::warn!("{}: {e}; taken as if nothing had failed", path.display());
                return State::default();
            }
        };
        serde_json::from_str(&text).unwrap_or_else(|e| {
            log::warn!("{}: {e}; taken as if nothing had failed", path.display());
            State::default()
        })
    }

    fn write(&self, state: &State) -> io::Result<()> {
        let text = serde_json::to_string(state)?;
        storage::replace(&self.root.join(STATE_FILE), format!("{text}\n").as_bytes())
            .map_err(io::Error::other)
    }

    /// The model that a link leads to; `None` without the link.
    fn follow(&self, link: &str) -> Result<Option<Installed>, StoreError> {
        let path = self.root.join(link);
        let target = match fs::read_link(&path) {
            Ok(target) => target,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(StoreError::io(&path, e)),
        };
        let number = target.file_name().and_then(|name| name.to_str()?.parse().ok());
        let dir = self.root.join(&target);
        match number {
            Some(number) if dir.is_dir() && target == version_path(number) => {
                Ok(Some(Installed { number, version: version_of(&dir), dir }))
            }
            _ => {
                let why = format!(
                    "leads to {}, which is no model of this store; install one again",
                    target.display()
                );
                Err(StoreError::new(StoreErrorKind::Link, &path, why))
            }
        }
    }

    /// Makes a link lead to a model, in one step.
    #[cfg(unix)]
    fn link(&self, link: &str, number: u64) -> io::Result<()> {
        let temporary = self.root.join(format!(".{link}.tmp"));
        match fs::remove_file(&temporary) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        std::os::unix::fs::symlink(version_path(number), &temporary)?;
        fs::rename(&temporary, self.root.join(link))?;
        sync(&self.root)
    }

    #[cfg(not(unix))]
    fn link(&self, _: &str, _: u64) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "a model store needs symbolic links"))
    }

    /// Numbers of the models in the folder of versions.
    fn numbers(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(self.root.join(VERSIONS))? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.parse::<u64>().ok());
            // Other names than ours are nobody's.
            let is_ours = |&number: &u64| {
                number < MOST_MODELS && version_path(number).file_name() == Some(&name)
            };
            numbers.extend(number.filter(is_ours));
        }
        Ok(numbers)
    }

    /// Removes the models that no link leads to.
    fn remove_others(&self) -> io::Result<()> {
        let kept = [CURRENT, PREVIOUS].map(|link| fs::read_link(self.root.join(link)).ok());
        for number in self.numbers()? {
            let path = version_path(number);
            if !kept.iter().flatten().any(|kept| *kept == path) {
                fs::remove_dir_all(self.root.join(path))?;
            }
        }
        Ok(())
    }
}

/// Place of a model, relative to its store.
fn version_path(number: u64) -> PathBuf {
    Path::new(VERSIONS).join(format!("{number:06}"))
}

fn remove_if_there(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// A lock on a folder that lasts as long as this value, at most as long as the process.
struct Lock {
    _folder: Option<File>,
}

impl Lock {
    /// Waits for the lock. File systems without locks need none: nobody shares them.
    fn take(folder: &Path) -> io::Result<Lock> {
        let file = File::open(folder)?;
        loop {
            match file.lock() {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                locked => return Ok(Lock { _folder: locked.is_ok().then_some(file) }),
            }
        }
    }

    /// `None` if somebody else has it.
    fn try_take(folder: &Path) -> io::Result<Option<Lock>> {
        let file = File::open(folder)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Ok(None),
            locked => Ok(Some(Lock { _folder: locked.is_ok().then_some(file) })),
        }
    }
}

/// Makes what happened in a folder last.
fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests;
