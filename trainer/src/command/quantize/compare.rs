//! The heads before and after, on sources of pictures.

use std::num::NonZeroU32;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use oddsight::backbone::Backbone;
use oddsight::energy::{HeadId, Rule};
use oddsight_train::compare::{Comparison, Seen, Top1, compare};
use oddsight_train::extract::Options;
use oddsight_train::features::{FeatureFile, Input};
use oddsight_train::metrics;
use oddsight_train::recipe::REFINED;
use oddsight_train::source::Pictures;
use tempfile::NamedTempFile;

use super::is_same_file;
use crate::command::features::spool;
use crate::command::heads::{HeadArgs, check_heads};
use crate::command::parse_named;

/// What the heads are measured on.
#[derive(Args)]
pub struct CompareArgs {
    /// Normal pictures that nothing was fitted to, in class folders if top-1 is wanted: measures
    /// every head before and after.
    #[arg(long, value_name = "SRC", requires = "unusual")]
    pub normal: Option<String>,
    /// Unusual pictures, under a name for the table. Repeatable.
    #[arg(long, value_name = "NAME=SRC", requires = "normal", num_args = 1.., value_parser = parse_named)]
    unusual: Vec<(String, String)>,
    /// Normal pictures to fit the heads to; by default --data.
    #[arg(long, value_name = "SRC", requires = "normal")]
    fit: Option<String>,
    /// Heads to measure; they are composed by their sum.
    #[arg(
        long,
        value_name = "IDS",
        value_delimiter = ',',
        default_value = "msp,mls,el,gmm,gmm-std,knn"
    )]
    heads: Vec<HeadId>,
    /// Bootstrap resamples behind the intervals in the JSON.
    #[arg(long, value_name = "N", default_value_t = metrics::Options::default().resamples)]
    resamples: NonZeroU32,
    #[command(flatten)]
    fitting: HeadArgs,
}

/// The network before and after, and how pictures reach it.
pub struct Backbones<'a> {
    pub float: &'a Backbone,
    pub int8: &'a Backbone,
    pub input: &'a Input,
    pub options: Options,
}

/// Features of one source, and the temporary files that hold them.
struct Spooled {
    seen: Seen,
    _files: [NamedTempFile; 2],
}

impl CompareArgs {
    /// Refuses, before the work, what cannot be measured.
    pub fn check(&self, data: &str, backbone: &Backbone) -> Result<()> {
        let Some(normal) = &self.normal else { return Ok(()) };
        check_heads(&self.heads, backbone)?;
        if let Some(id) = self.heads.iter().find(|id| REFINED.contains(id)) {
            bail!(
                "--heads {id}: backbones are compared by heads that need no training; leave it out"
            );
        }
        metrics::check_sets(self.unusual.iter().map(|(name, _)| name.as_str()))?;
        let fit = ("--fit", self.fit.as_deref().unwrap_or(data));
        let unseen = [("--normal", normal.as_str())].into_iter();
        let unseen =
            unseen.chain(self.unusual.iter().map(|(_, text)| ("--unusual", text.as_str())));
        for (flag, text) in [fit].into_iter().chain(unseen.clone()) {
            ensure!(
                !FeatureFile::is_named_by(text),
                "{flag} {text}: a feature file holds what one backbone says; pictures are wanted, \
                 for both backbones"
            );
            Pictures::open(text).with_context(|| flag.to_string())?;
        }
        for (flag, text) in unseen {
            for (other, seen) in [fit, ("--data", data)] {
                if seen == text || is_same_file(Path::new(seen), Path::new(text)) {
                    bail!(
                        "{flag} {text}: the same pictures as {other}; give others, which neither the \
                         levels nor the heads were fitted to"
                    );
                }
            }
        }
        Ok(())
    }

    /// Extracts everything by both backbones, with temporary files in `folder`, and compares.
    pub fn run(
        &self,
        normal: &str,
        data: &str,
        backbones: &Backbones,
        folder: &Path,
    ) -> Result<(Option<Top1>, Comparison)> {
        let spooled = |text: &str| backbones.spooled(text, folder);
        let fit = spooled(self.fit.as_deref().unwrap_or(data))?;
        let normal = spooled(normal)?;
        let sets = self
            .unusual
            .iter()
            .map(|(name, text)| spooled(text).with_context(|| format!("set {name}")))
            .collect::<Result<Vec<_>>>()?;
        let names = self.unusual.iter().map(|(name, _)| name.as_str());
        let unusual: Vec<(&str, &Seen)> = names.zip(sets.iter().map(|set| &set.seen)).collect();
        let heads = self.fitting.options(&self.heads, Rule::Sum, self.heads.clone());
        let bootstrap = metrics::Options { resamples: self.resamples, seed: self.fitting.seed };
        let threads = backbones.options.threads.get();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        let comparison =
            pool.install(|| compare(&fit.seen, &normal.seen, &unusual, &heads, &bootstrap))?;
        Ok((Top1::seen(&normal.seen)?, comparison))
    }
}

impl Backbones<'_> {
    fn spooled(&self, text: &str, folder: &Path) -> Result<Spooled> {
        let extract = |backbone| -> Result<(FeatureFile, NamedTempFile)> {
            let (file, _) = spool(text, backbone, self.input, self.options, folder)?;
            Ok((FeatureFile::open(file.path())?, file))
        };
        let (float, float_file) = extract(self.float)?;
        let (int8, int8_file) = extract(self.int8)?;
        Ok(Spooled { seen: Seen { float, int8 }, _files: [float_file, int8_file] })
    }
}
