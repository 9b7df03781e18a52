//! What a fit reads.

use std::path::Path;

use anyhow::{Result, bail, ensure};
use oddsight::backbone::Backbone;
use oddsight::random::Random;
use oddsight_train::extract::Options;
use oddsight_train::features::{FeatureFile, Input};
use oddsight_train::files;
use oddsight_train::weights::KnownUnusual;

use super::super::{check_features, features};
use super::FitArgs;

/// Features of one source, and the temporary file that holds them where one was needed.
pub struct Loaded {
    pub file: FeatureFile,
    spool: Option<tempfile::NamedTempFile>,
    pub unreadable: usize,
}

/// Features of all sources of a fit.
pub struct Sources {
    pub data: Loaded,
    /// Pictures of their own that verdicts are calibrated with.
    pub other: Option<Loaded>,
    /// One entry per row of `data`: whether heads are fitted to it; the others calibrate.
    pub keep: Vec<bool>,
    pub known: Vec<KnownUnusual>,
    /// Unreadable pictures of each of `known`.
    pub known_unreadable: Vec<usize>,
    /// Removed with the last of the features.
    _spools: Vec<tempfile::NamedTempFile>,
}

/// The feature file that a source's text names, if it does.
pub fn given(text: &str) -> Result<Option<FeatureFile>> {
    match FeatureFile::is_named_by(text) {
        true => Ok(Some(FeatureFile::open(Path::new(text))?)),
        false => Ok(None),
    }
}

impl Sources {
    /// Reads all of them; `data` where it was opened already.
    pub fn load(
        args: &FitArgs,
        seed: u64,
        data: Option<FeatureFile>,
        backbone: &Backbone,
        input: &Input,
    ) -> Result<Sources> {
        let options = args.work.options()?;
        let load = |text: &str, file| load(text, file, backbone, input, options, &args.out);
        let data = load(&args.data, data)?;
        let other = match &args.calibration {
            Some(text) => Some(load(text, given(text)?)?),
            None => None,
        };
        let keep = match &other {
            Some(_) => vec![true; data.file.len()],
            None => split(data.file.len(), args.holdout, seed)?,
        };
        let (mut known, mut known_unreadable, mut spools) = (Vec::new(), Vec::new(), Vec::new());
        for text in &args.known_unusual {
            let loaded = load(text, given(text)?)?;
            known_unreadable.push(loaded.unreadable);
            spools.extend(loaded.spool);
            known.push(known_set(text, loaded.file, &data.file, other.as_ref(), &known)?);
        }
        Ok(Sources { data, other, keep, known, known_unreadable, _spools: spools })
    }

    /// The rows that verdicts are calibrated with.
    pub fn calibration(&self) -> (&FeatureFile, Vec<bool>) {
        match &self.other {
            Some(other) => (&other.file, vec![true; other.file.len()]),
            None => (&self.data.file, self.keep.iter().map(|keep| !keep).collect()),
        }
    }

    /// Number of rows that heads are fitted to.
    pub fn fitted_to(&self) -> usize {
        self.keep.iter().filter(|keep| **keep).count()
    }
}

/// Known unusual pictures, which are told from all others by their digest.
fn known_set(
    text: &str,
    rows: FeatureFile,
    data: &FeatureFile,
    other: Option<&Loaded>,
    known: &[KnownUnusual],
) -> Result<KnownUnusual> {
    let Some(sha256) = digest(&rows) else {
        bail!(
            "--known-unusual {text}: does not say which pictures it holds, so no evaluation could \
             keep clear of them; extract it again with `oddsight-train features`"
        )
    };
    let same = |what: &str| {
        format!("--known-unusual {text}: the same pictures as {what}; leave one of them out")
    };
    ensure!(digest(data).as_ref() != Some(&sha256), same("--data"));
    let calibration = other.and_then(|other| digest(&other.file));
    ensure!(calibration.as_ref() != Some(&sha256), same("--calibration"));
    if let Some(twin) = known.iter().find(|set| set.sha256.as_ref() == Some(&sha256)) {
        bail!(same(&format!("--known-unusual {}", twin.name)));
    }
    Ok(KnownUnusual { name: source_name(text), sha256: Some(sha256), rows })
}

fn digest(file: &FeatureFile) -> Option<String> {
    file.origin().map(|origin| origin.data_sha256.clone())
}

/// What a card calls a source.
pub fn source_name(text: &str) -> String {
    match text.starts_with("synth:") {
        true => text.to_string(),
        // A card travels: the folders of the machine that made it are nobody's business.
        false => Path::new(text).file_name().unwrap_or_default().to_string_lossy().into_owned(),
    }
}

fn load(
    text: &str,
    given: Option<FeatureFile>,
    backbone: &Backbone,
    input: &Input,
    options: Options,
    out: &Path,
) -> Result<Loaded> {
    if let Some(file) = given {
        check_features(&file, text, backbone, input)?;
        return Ok(Loaded { file, spool: None, unreadable: 0 });
    }
    let (spool, unreadable) =
        features::spool(text, backbone, input, options, &files::parent(out)?)?;
    let file = FeatureFile::open(spool.path())?;
    Ok(Loaded { file, spool: Some(spool), unreadable })
}

/// Which rows are fitted to; the others calibrate. A uniform draw of exactly `round(share · n)`
/// held-out rows (selection sampling, Knuth volume 2, algorithm 3.4.2 S).
fn split(rows: usize, share: f64, seed: u64) -> Result<Vec<bool>> {
    ensure!(share > 0.0 && share < 1.0, "--holdout {share} is not between 0 and 1");
    let mut wanted = (rows as f64 * share).round() as u64;
    if wanted == 0 || wanted as usize >= rows {
        bail!(
            "--holdout {share} of {rows} pictures leaves none to fit to or none to calibrate with; \
             give more pictures, or --calibration"
        );
    }
    let mut random = Random::new(seed);
    let keep = (0..rows as u64).map(|i| {
        let held_out = random.below(rows as u64 - i) < wanted;
        wanted -= u64::from(held_out);
        !held_out
    });
    Ok(keep.collect())
}
