//! The model directory: `backbone.onnx`, `heads.postcard` and `card.json`.
//!
//! [`Model::open`] checks all of it before the first frame: the frame and checksum of
//! `heads.postcard` ([`blob`]), the backbone's digest, the shapes of the heads, and the self-test
//! ([`self_test`]).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::backbone::{Backbone, BackboneError, Features, State, Threads};
use crate::energy::{Scores, Scratch, from_q16, from_q32};
use crate::image::{self, ImageError, Rgb};
use crate::kernel::Kernel;
use crate::verdict::{Alpha, Calibration, HeadVerdict, Verdict, VerdictError};

pub mod blob;
mod format_1;
pub mod self_test;

pub use blob::HeadsBlob;
pub use self_test::SelfTest;

/// File name of the network in a model directory.
pub const BACKBONE_FILE: &str = "backbone.onnx";
/// File name of everything else that the device must know.
pub const HEADS_FILE: &str = "heads.postcard";
/// File name of how the model was made and how well it does.
pub const CARD_FILE: &str = "card.json";

/// A checked model directory, ready to score frames.
#[derive(Clone, Debug)]
pub struct Model {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    backbone: Arc<Backbone>,
    blob: HeadsBlob,
    calibration: Calibration,
    alpha: Alpha,
}

impl Model {
    /// Opens and checks a model directory, self-test included, for the fastest kernel of this machine.
    pub fn open(dir: &Path) -> Result<Model, ModelError> {
        Model::open_for(dir, Kernel::detect())
    }

    /// As [`Model::open`], for a given kernel.
    pub fn open_for(dir: &Path, kernel: Kernel) -> Result<Model, ModelError> {
        if !dir.is_dir() {
            let why = "no such model directory; `oddsight-train fit` makes one, `models/` has some";
            return Err(ModelError::new(ModelErrorKind::Missing, dir, why));
        }
        let path = dir.join(HEADS_FILE);
        let blob = HeadsBlob::read(&path)?;
        let backbone =
            Backbone::load_for(&dir.join(BACKBONE_FILE), Some(blob.preprocess.crop), kernel)
                .map_err(|e| ModelError::new(ModelErrorKind::Backbone, &path, e))?;
        let model = Model::assemble(backbone, blob, &path)?;
        model.self_test().map_err(|why| ModelError::new(ModelErrorKind::SelfTest, &path, why))?;
        Ok(model)
    }

    /// Puts the parts together and checks that they belong together; `path` stands for the heads in
    /// errors. The self-test is not run.
    pub fn assemble(
        backbone: impl Into<Arc<Backbone>>,
        mut blob: HeadsBlob,
        path: &Path,
    ) -> Result<Model, ModelError> {
        let backbone = backbone.into();
        let refuse = |kind, why: String| ModelError::new(kind, path, why);
        if blob.backbone_sha256 != backbone.digest() {
            let why = format!(
                "fitted for a backbone with SHA-256 {}…, but {BACKBONE_FILE} has {}…; put the \
                 backbone back that it was fitted with, or fit again",
                hex(&blob.backbone_sha256[..6]),
                hex(&backbone.digest()[..6])
            );
            return Err(refuse(ModelErrorKind::WrongBackbone, why));
        }
        blob.check(&backbone).map_err(|why| refuse(ModelErrorKind::Malformed, why))?;
        let malformed =
            |e: VerdictError| refuse(ModelErrorKind::Malformed, format!("calibration: {e}"));
        let alpha = Alpha::new(blob.alpha).map_err(malformed)?;
        let calibration = Calibration::new(blob.calibration_q16.clone()).map_err(malformed)?;
        calibration.check(alpha).map_err(malformed)?;
        blob.heads.pack(backbone.kernel());
        Ok(Model { parts: Arc::new(Parts { backbone, blob, calibration, alpha }) })
    }

    /// The same backbone under other heads, checked as by [`Model::assemble`]. The self-test is not run.
    pub fn with_heads(&self, blob: HeadsBlob) -> Result<Model, ModelError> {
        Model::assemble(self.parts.backbone.clone(), blob, Path::new(HEADS_FILE))
    }

    /// Runs the stored self-test; the error says which frame differs and by how much.
    fn self_test(&self) -> Result<(), String> {
        let backbone = self.backbone();
        self.blob().self_test.check(backbone.width(), backbone.classes())?;
        let mut scorer = self.scorer().map_err(|e| e.to_string())?;
        self.blob().self_test.run(&mut scorer)
    }

    /// A scorer with a state of its own; keep one per thread.
    pub fn scorer(&self) -> Result<Scorer, ModelError> {
        self.scorer_on(Threads::ONE)
    }

    /// A scorer whose frames are each computed by `threads`.
    pub fn scorer_on(&self, threads: Threads) -> Result<Scorer, ModelError> {
        let state =
            self.parts.backbone.state_on(&self.blob().normalise, threads).map_err(|e| {
                ModelError::new(ModelErrorKind::Backbone, Path::new(BACKBONE_FILE), e)
            })?;
        let alpha = self.parts.alpha;
        let (scratch, scores) = (Scratch::default(), Scores::default());
        Ok(Scorer { parts: self.parts.clone(), state, scratch, scores, alpha })
    }

    /// The false-alarm rate that the model was packed with.
    pub fn alpha(&self) -> f64 {
        self.parts.alpha.get()
    }

    /// What `heads.postcard` holds.
    pub fn blob(&self) -> &HeadsBlob {
        &self.parts.blob
    }

    /// The network.
    pub fn backbone(&self) -> &Backbone {
        &self.parts.backbone
    }

    /// The calibration energies.
    pub fn calibration(&self) -> &Calibration {
        &self.parts.calibration
    }
}

/// Scores pictures with one thread's state.
pub struct Scorer {
    parts: Arc<Parts>,
    state: State,
    scratch: Scratch,
    scores: Scores,
    alpha: Alpha,
}

impl Scorer {
    /// Replaces the packed alpha; refuses one that the calibration cannot honour.
    pub fn set_alpha(&mut self, alpha: Alpha) -> Result<(), VerdictError> {
        self.parts.calibration.check(alpha)?;
        self.alpha = alpha;
        Ok(())
    }

    /// The alpha in use.
    pub fn alpha(&self) -> Alpha {
        self.alpha
    }

    /// The energy that a frame must exceed to be unusual.
    pub fn threshold_q16(&self) -> i64 {
        self.parts.calibration.threshold_q16(self.alpha)
    }

    /// From a decoded picture of any size to a verdict.
    pub fn score(&mut self, picture: &Rgb) -> Result<Verdict, ModelError> {
        let features = self.features(picture)?;
        let mut scores = std::mem::take(&mut self.scores);
        self.energies(&features, &mut scores);
        let verdict = self.verdict(&scores);
        self.scores = scores;
        Ok(verdict)
    }

    /// From a decoded picture to the backbone's features.
    pub fn features(&mut self, picture: &Rgb) -> Result<Features, ModelError> {
        let frame = |why: String| ModelError::new(ModelErrorKind::Frame, Path::new("frame"), why);
        let prepared = image::prepare(picture, &self.parts.blob.preprocess)
            .map_err(|e: ImageError| frame(e.to_string()))?;
        self.state.run(&prepared).map_err(|e: BackboneError| frame(e.to_string()))
    }

    /// From features to energies, written into `scores`.
    pub fn energies(&mut self, features: &Features, scores: &mut Scores) {
        self.parts.blob.heads.score(features, &mut self.scratch, scores);
    }

    /// From energies to a verdict.
    pub fn verdict(&self, scores: &Scores) -> Verdict {
        let Parts { blob, calibration, .. } = &*self.parts;
        let p_value = calibration.p_value(scores.energy_q16);
        let share = |head: usize| {
            let term = blob.heads.composition.terms().iter().position(|t| t.head() == head)?;
            scores.shares_q16.get(term).copied().map(from_q16)
        };
        let heads = blob.heads.heads.iter().zip(&scores.heads_q32).enumerate();
        let heads = heads.map(|(i, (head, &energy_q32))| HeadVerdict {
            id: head.id(),
            energy: from_q32(energy_q32),
            share: share(i),
        });
        let nearest = scores.nearest.map(|c| match blob.class_names.get(c as usize) {
            Some(name) => name.clone(),
            None => format!("component {c}"),
        });
        Verdict {
            energy: from_q16(scores.energy_q16),
            energy_q16: scores.energy_q16,
            p_value,
            unusual: p_value <= self.alpha.get(),
            nearest,
            heads: heads.collect(),
        }
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Why a model directory was refused, or a frame could not be scored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelError {
    kind: ModelErrorKind,
    path: PathBuf,
    why: String,
}

/// The kinds of [`ModelError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelErrorKind {
    /// The directory or a file of it is not there.
    Missing,
    /// A file could not be read.
    Read,
    /// `heads.postcard` is not a heads file.
    NotHeads,
    /// Written by a newer oddsight.
    Version,
    /// Shorter or longer than it says.
    Truncated,
    /// The checksum does not fit: a byte was changed.
    Altered,
    /// Intact, but its content makes no sense.
    Malformed,
    /// The backbone is not the one that the heads were fitted for.
    WrongBackbone,
    /// The backbone was refused.
    Backbone,
    /// The self-test gave another energy.
    SelfTest,
    /// A frame could not be scored.
    Frame,
}

impl ModelError {
    pub(crate) fn new(kind: ModelErrorKind, path: &Path, why: impl fmt::Display) -> ModelError {
        ModelError { kind, path: path.to_path_buf(), why: why.to_string() }
    }

    /// What went wrong, for programs.
    pub fn kind(&self) -> ModelErrorKind {
        self.kind
    }
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.kind {
            // These already name the file.
            ModelErrorKind::Backbone | ModelErrorKind::Frame => f.write_str(&self.why),
            _ => write!(f, "{}: {}", self.path.display(), self.why),
        }
    }
}

impl std::error::Error for ModelError {}
