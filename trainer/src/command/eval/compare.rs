//! Detectors of the field beside a model's heads.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use oddsight::backbone::{Features, from_feature};
use oddsight::model::Model;
use oddsight_train::detectors::{DetectorId, Detectors, LinearHead};
use oddsight_train::extract::Options;
use oddsight_train::features::{FeatureFile, Input, Tap, TapRows};
use rayon::prelude::*;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::command::{check_features, features};

/// Rows that are scored together; memory is bounded by them.
const CHUNK: usize = 1024;

/// Detectors to measure beside the heads.
#[derive(Args)]
pub struct CompareArgs {
    /// Also measure detectors of the field on the same pictures: names of them, or `all` for those that
    /// --data is enough for.
    #[arg(long, value_name = "NAMES|all", value_delimiter = ',', requires = "data", value_parser = parse)]
    compare: Vec<Choice>,
    /// Normal pictures, or features, to fit these detectors to: those that the model was fitted to.
    #[arg(long, value_name = "SRC", requires = "compare")]
    data: Option<String>,
}

#[derive(Clone, Copy)]
enum Choice {
    All,
    One(DetectorId),
}

fn parse(text: &str) -> Result<Choice, String> {
    match text {
        "all" => Ok(Choice::All),
        _ => text.parse().map(Choice::One).map_err(|e| format!("{e}; or all of them: all")),
    }
}

/// Detectors, and what they were fitted to.
pub struct Compared {
    pub detectors: Detectors,
    /// Number of pictures.
    pub fitted_to: u64,
    source: String,
    sha256: Option<String>,
}

impl CompareArgs {
    /// Fits them; `None` when none are wanted. `card` is the model's.
    pub fn fit(&self, model: &Model, card: &Path, options: Options) -> Result<Option<Compared>> {
        let Some(text) = &self.data else { return Ok(None) };
        // Kept until the rows have been read.
        let (file, _spool) = load(text, model, options)?;
        let classes = file.labels().map_or(&[][..], |labels| &labels.classes);
        let ids = self.detectors(!classes.is_empty())?;
        let sha256 = file.origin().map(|origin| origin.data_sha256.clone());
        warn_of_others(card, text, sha256.as_deref());
        let head = LinearHead::try_from(model.backbone().final_layer())?;
        let keep = vec![true; file.len()];
        let rows = TapRows { file: &file, tap: Tap::Avg, keep: &keep };
        let detectors = Detectors::fit(&ids, &rows, classes, head).with_context(|| text.clone())?;
        let fitted_to = file.len() as u64;
        Ok(Some(Compared { detectors, fitted_to, source: text.clone(), sha256 }))
    }

    fn detectors(&self, has_classes: bool) -> Result<Vec<DetectorId>> {
        let mut ids: Vec<DetectorId> = Vec::new();
        for choice in &self.compare {
            let chosen = match choice {
                Choice::All => &DetectorId::ALL[..],
                Choice::One(id) => std::slice::from_ref(id),
            };
            for id in chosen {
                ensure!(!ids.contains(id), "--compare names {id} twice");
                ids.push(*id);
            }
        }
        if !has_classes && self.compare.iter().any(|choice| matches!(choice, Choice::All)) {
            let names = ids.iter().filter(|id| id.needs_classes()).map(|id| id.name());
            let names: Vec<&str> = names.collect();
            log::warn!("--data has no class folders: {} are left out", names.join(", "));
            ids.retain(|id| !id.needs_classes());
        }
        Ok(ids)
    }
}

impl Compared {
    /// Refuses to measure with the pictures that these detectors were fitted to.
    pub fn check_unseen(&self, what: &str, sha256: Option<&str>) -> Result<()> {
        ensure!(
            sha256.is_none() || sha256 != self.sha256.as_deref(),
            "{what}: the same pictures as --data {}, which the compared detectors are fitted to; give \
             pictures that they have not seen",
            self.source
        );
        Ok(())
    }
}

/// The features of a source, and the temporary file that holds them where one was needed.
fn load(
    text: &str,
    model: &Model,
    options: Options,
) -> Result<(FeatureFile, Option<NamedTempFile>)> {
    let blob = model.blob();
    let input = Input { preprocess: blob.preprocess, normalise: blob.normalise };
    if FeatureFile::is_named_by(text) {
        let file = FeatureFile::open(Path::new(text))?;
        check_features(&file, text, model.backbone(), &input)?;
        return Ok((file, None));
    }
    let folder = std::env::temp_dir();
    let (spool, _) = features::spool(text, model.backbone(), &input, options, &folder)?;
    Ok((FeatureFile::open(spool.path())?, Some(spool)))
}

/// A comparison is fair when both sides were fitted to the same pictures.
fn warn_of_others(card: &Path, text: &str, sha256: Option<&str>) {
    let json = std::fs::read_to_string(card).ok();
    let card: Option<Value> = json.and_then(|json| serde_json::from_str(&json).ok());
    let of_model = card.as_ref().and_then(|card| card["data"]["sha256"].as_str());
    if let (Some(of_model), Some(sha256)) = (of_model, sha256)
        && of_model != sha256
    {
        log::warn!("--data {text}: not the pictures that the model's own heads were fitted to");
    }
}

/// Energies of detectors, one column each.
pub struct Columns<'a> {
    detectors: &'a Detectors,
    /// Rows that are still to be scored.
    rows: Vec<Vec<f64>>,
    columns: Vec<Vec<f64>>,
}

impl Columns<'_> {
    /// None yet.
    pub fn new(detectors: &Detectors) -> Columns<'_> {
        let columns = vec![Vec::new(); detectors.names().len()];
        Columns { detectors, rows: Vec::with_capacity(CHUNK), columns }
    }

    /// The next picture. Works on the threads of the current rayon pool.
    pub fn push(&mut self, features: &Features) {
        self.rows.push(features.avg.iter().map(|&x| from_feature(x)).collect());
        if self.rows.len() == CHUNK {
            self.flush();
        }
    }

    /// All columns, in the order of the detectors.
    pub fn finish(mut self) -> Vec<Vec<f64>> {
        self.flush();
        self.columns
    }

    fn flush(&mut self) {
        let energies: Vec<Vec<f64>> =
            self.rows.par_iter().map(|row| self.detectors.energies(row)).collect();
        for energies in energies {
            self.columns.iter_mut().zip(energies).for_each(|(column, energy)| column.push(energy));
        }
        self.rows.clear();
    }
}
