//! What a fit reads.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use oddsight::backbone::Backbone;
use oddsight::energy::HeadId;
use oddsight::random::Random;
use oddsight_train::extract::Options;
use oddsight_train::features::{FeatureFile, Input};
use oddsight_train::files;
use oddsight_train::pictures::Pictures;
use oddsight_train::recipe::Recipe;
use oddsight_train::weights::{FEWEST_EXAMPLES, KnownUnusual};

use super::super::{check_features, features};
use super::FitArgs;

/// Digests of the pictures of a source that a card holds, if they are not known to be unusual. They say whether an
/// evaluation shares many pictures with a model, not which: 16 KiB are enough for that.
const SKETCH: usize = 1024;

/// Features of one source, and the temporary file that holds them where one was needed.
pub struct Loaded {
    pub file: FeatureFile,
    /// Of the pictures of `data` and `other`, [`SKETCH`] at most.
    pub pictures: Pictures,
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
    /// Reads all of them; `data` where it was opened already. Whatever about them makes a fit of this recipe
    /// impossible is said here, before the work.
    pub fn load(
        args: &FitArgs,
        recipe: &Recipe,
        data: Option<FeatureFile>,
        backbone: &Backbone,
        input: &Input,
    ) -> Result<Sources> {
        let options = args.work.options()?;
        let load = |text: &str, file| {
            let folder = files::parent(&args.out)?;
            let heads = &recipe.heads;
            load(text, file, backbone, input, options, &folder, heads)
                .with_context(|| text.to_string())
        };
        let mut data = load(&args.data, data)?;
        let mut other = match &args.calibration {
            Some(text) => Some(load(text, given(text)?)?),
            None => None,
        };
        let keep = match &other {
            Some(_) => vec![true; data.file.len()],
            None => split(data.file.len(), args.holdout, recipe.seed)?,
        };
        let (mut known, mut known_unreadable, mut spools) = (Vec::new(), Vec::new(), Vec::new());
        for text in &args.known_unusual {
            let loaded = load(text, given(text)?)?;
            known_unreadable.push(loaded.unreadable);
            spools.extend(loaded.spool);
            let (rows, pictures) = (loaded.file, loaded.pictures);
            known.push(known_set(text, (rows, pictures), &data, other.as_ref(), &known)?);
        }
        check_known(&known, &recipe.compose.heads, &keep)?;
        for loaded in [&mut data].into_iter().chain(&mut other) {
            loaded.pictures = loaded.pictures.smallest(SKETCH);
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

/// Known unusual pictures, none of which is among those that are given for anything else.
fn known_set(
    text: &str,
    loaded: (FeatureFile, Pictures),
    data: &Loaded,
    other: Option<&Loaded>,
    known: &[KnownUnusual],
) -> Result<KnownUnusual> {
    let (rows, pictures) = loaded;
    let others = [("--data".to_string(), &data.pictures)]
        .into_iter()
        .chain(other.map(|other| ("--calibration".to_string(), &other.pictures)))
        .chain(known.iter().map(|set| (format!("--known-unusual {}", set.name), &set.pictures)));
    for (what, others) in others {
        let shared = pictures.shared(others);
        ensure!(
            shared == 0,
            "--known-unusual {text}: {shared} of its {} pictures are the same pictures as some of {what}; \
             leave them out of one of the two",
            pictures.len()
        );
    }
    Ok(KnownUnusual { name: source_name(text), pictures, rows })
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
    folder: &Path,
    heads: &[HeadId],
) -> Result<Loaded> {
    let (file, spool, unreadable) = match given {
        Some(file) => {
            check_features(&file, text, backbone, input)?;
            (file, None, 0)
        }
        None => {
            let (spool, unreadable) = features::spool(text, backbone, input, options, folder)?;
            (FeatureFile::open(spool.path())?, Some(spool), unreadable)
        }
    };
    let pictures = Pictures::of(&file, heads)?;
    Ok(Loaded { file, pictures, spool, unreadable })
}

/// Refuses known unusual pictures that no weights can be learnt from.
fn check_known(known: &[KnownUnusual], composed: &[HeadId], keep: &[bool]) -> Result<()> {
    if known.is_empty() {
        return Ok(());
    }
    ensure!(
        composed.len() > 1,
        "--known-unusual weighs composed heads against each other, and {} is the only one: compose more \
         heads, or leave --known-unusual out",
        composed.first().map_or("none", |id| id.name())
    );
    let kept = keep.iter().filter(|keep| **keep).count();
    let unusual = known.iter().map(|set| set.rows.len()).sum();
    for (what, pictures) in [("--data", kept), ("--known-unusual", unusual)] {
        ensure!(
            pictures >= FEWEST_EXAMPLES,
            "{what}: {pictures} pictures, weights need {FEWEST_EXAMPLES}; add pictures, or leave \
             --known-unusual out"
        );
    }
    Ok(())
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
