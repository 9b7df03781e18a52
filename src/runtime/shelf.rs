//! Where the running program takes its model from: a model directory, or a store that models are installed into.

use std::fmt;
use std::path::{Path, PathBuf};

use super::memory;
use super::watch::Eye;
use super::{RuntimeError, RuntimeErrorKind};
use crate::backbone::Threads;
use crate::config::ModelSettings;
use crate::gate::Region;
use crate::kernel::Kernel;
use crate::model::Model;
use crate::model::store::{Installed, PublicKey, Start, Store, StoreError, check};
use crate::verdict::Alpha;

/// Opens models as the configuration wants them.
#[derive(Clone)]
pub struct Shelf {
    dir: PathBuf,
    store: Option<Store>,
    /// Shared by the models that follow one another.
    threads: Threads,
    kernel: Kernel,
    alpha: Option<Alpha>,
    failed_starts: u32,
    /// Whose signature a model must bear.
    public_key: Option<PublicKey>,
}

/// A model ready to watch, and where it came from.
#[derive(Debug)]
pub struct Taken {
    pub eye: Eye,
    /// For people.
    pub name: String,
    /// Its directory.
    pub dir: PathBuf,
    /// Its number in the store, if there is one.
    pub number: Option<u64>,
    /// The number of the model in whose place it is, and what is wrong with that.
    pub refused: Option<(u64, String)>,
}

impl Shelf {
    /// The models of `[model]`.
    ///
    /// # Errors
    ///
    /// When the system has not so many threads to give.
    pub fn new(settings: &ModelSettings) -> Result<Shelf, RuntimeError> {
        let dir = settings.dir.clone();
        let count = settings.threads;
        let threads = Threads::new(count.into());
        Ok(Shelf {
            store: Store::is_at(&dir).then(|| Store::at(&dir)),
            dir,
            threads: threads.map_err(|e| {
                RuntimeError::start(format!("{count} threads cannot be started: {e}"))
            })?,
            kernel: settings.kernel.unwrap_or_else(Kernel::detect),
            alpha: settings.alpha,
            failed_starts: settings.failed_starts,
            public_key: settings.public_key.clone(),
        })
    }

    /// Another alpha for the next model.
    pub fn set_alpha(&mut self, alpha: Option<Alpha>) {
        self.alpha = alpha;
    }

    /// The alpha for the next model; `None` is its own.
    pub fn alpha(&self) -> Option<Alpha> {
        self.alpha
    }

    /// Takes the model at the start of the program: counts the start, and takes the previous model when the current one
    /// failed too often.
    ///
    /// A model that is fine but does not go with the configuration is not given up: the previous one watches in its place,
    /// if that does.
    ///
    /// # Errors
    ///
    /// There is no model, or it does not pass its checks.
    pub fn first(&self, regions: &[Region]) -> Result<Taken, RuntimeError> {
        let Some(store) = &self.store else {
            if self.public_key.is_some() {
                // Into a store nothing else comes.
                check(&self.dir, self.public_key.as_ref())?;
            }
            return self.open(&self.dir, None, regions);
        };
        let installed = match store.starting(self.failed_starts)? {
            Start::Current(current) => current,
            Start::Returned { from, to } => {
                log::error!(
                    "model {} failed to start {} times: back to model {}",
                    from.number,
                    self.failed_starts,
                    to.number
                );
                to
            }
        };
        let open = |model: &Installed| self.open(&model.dir, Some(model.number), regions);
        let refused = match open(&installed) {
            Err(e) if e.kind() == RuntimeErrorKind::Config => e,
            taken => return taken,
        };
        self.excused();
        let previous = store.previous().ok().flatten();
        match previous.and_then(|previous| open(&previous).ok()) {
            Some(taken) => {
                log::error!("model {} is not used: {refused}", installed.number);
                Ok(Taken { refused: Some((installed.number, refused.to_string())), ..taken })
            }
            None => Err(refused),
        }
    }

    /// The model that is to be in use in place of `number`, if it is another one.
    pub fn newer(&self, number: Option<u64>) -> Option<Installed> {
        // A link that cannot be read now was read at the start; it will be told then.
        let current = self.store.as_ref()?.current().ok()?;
        (Some(current.number) != number).then_some(current)
    }

    /// Opens a model, its self-test included, and sets it up for these regions.
    ///
    /// # Errors
    ///
    /// What is wrong with the model, or with alpha.
    pub fn open(
        &self,
        dir: &Path,
        number: Option<u64>,
        regions: &[Region],
    ) -> Result<Taken, RuntimeError> {
        let model = memory::returned_while(|| Model::open_for(dir, self.kernel))?;
        let scorer = model.scorer_on(self.threads.clone())?;
        let eye = Eye::new(model, scorer, self.alpha, regions)?;
        let name = match number {
            None => dir.display().to_string(),
            Some(number) => format!("{}, model {number}", self.dir.display()),
        };
        Ok(Taken { eye, name, dir: dir.to_path_buf(), number, refused: None })
    }

    /// The directory of the model that is to be in use.
    ///
    /// # Errors
    ///
    /// The store has none.
    pub fn model_dir(&self) -> Result<PathBuf, RuntimeError> {
        Ok(match &self.store {
            Some(store) => store.current()?.dir,
            None => self.dir.clone(),
        })
    }

    /// The model that was taken first has scored frames. May wait for the disk.
    pub fn proven(&self) {
        self.note(Store::started);
    }

    /// The model that was taken first could not show what it can do, and that was not its fault. May wait for the disk.
    pub fn excused(&self) {
        self.note(Store::excused);
    }

    fn note(&self, what: impl Fn(&Store) -> Result<(), StoreError>) {
        if let Some(Err(e)) = self.store.as_ref().map(what) {
            log::warn!("{e}");
        }
    }

    /// Whether a model directory must bear a signature.
    pub fn wants_signature(&self) -> bool {
        self.public_key.is_some()
    }

    /// The store, if there is one.
    pub fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf")
            .field("dir", &self.dir)
            .field("alpha", &self.alpha)
            .finish_non_exhaustive()
    }
}
