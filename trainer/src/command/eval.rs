//! `oddsight-train eval`: how well a model tells unusual pictures from normal ones.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use oddsight::backbone::Features;
use oddsight::energy::{Scores, Scratch};
use oddsight::model::{CARD_FILE, Model};
use oddsight::verdict::Alpha;
use oddsight_train::extract::{Options, extract};
use oddsight_train::features::{FeatureFile, Input};
use oddsight_train::files;
use oddsight_train::labels::Labels;
use oddsight_train::metrics::{self, Scored, Share};
use oddsight_train::pictures::{Pictures, digest};
use oddsight_train::report::Report;
use oddsight_train::score::{head_names, named_class, visit_scores};
use serde_json::Value;

use super::{WorkArgs, check_features, parse_named};

mod compare;
mod seen;

use compare::{Columns, CompareArgs, Compared};
use seen::Seen;

/// Arguments of `oddsight-train eval`.
#[derive(Args)]
pub struct EvalArgs {
    /// Model directory.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Normal pictures that the model has not seen, in class folders if top-1 is wanted.
    #[arg(long, value_name = "SRC")]
    normal: String,
    /// Unusual pictures, under a name for the table. Repeatable.
    #[arg(long, value_name = "NAME=SRC", required = true, num_args = 1.., value_parser = parse_named)]
    unusual: Vec<(String, String)>,
    /// Also write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also write the figures into the model's card.
    #[arg(long)]
    card: bool,
    /// Bootstrap resamples behind the intervals.
    #[arg(long, value_name = "N", default_value_t = metrics::Options::default().resamples)]
    resamples: NonZeroU32,
    /// Seed of the bootstrap.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    compare: CompareArgs,
    #[command(flatten)]
    work: WorkArgs,
}

/// One scored source: what the metrics need, and what only the normal set is asked for.
struct Set {
    scored: Scored,
    flagged: u64,
    /// The class that the backbone names for each picture.
    named: Vec<u32>,
    labels: Option<Labels>,
    /// Names the pictures; a feature file of another program may not say.
    sha256: Option<String>,
    pictures: Pictures,
}

/// Evaluates and prints the table.
pub fn run(args: &EvalArgs) -> Result<()> {
    let model = Model::open(&args.model)?;
    let options = args.work.options()?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads.get()).build()?;
    let card = args.model.join(CARD_FILE);
    let compared = args.compare.fit(&model, &card, options)?;
    let mut seen = Seen::read(&card)?;
    let mut score = |name: &str, text: &str, flag: String| -> Result<Set> {
        let set = pool
            .install(|| score(&model, compared.as_ref(), name, text, options))
            .with_context(|| format!("set {name}"))?;
        if let Some(compared) = &compared {
            compared.check_unseen(&format!("set {name}={text}"), set.sha256.as_deref())?;
        }
        seen.check(flag, &set.pictures, set.sha256.as_deref())?;
        Ok(set)
    };
    let normal = score("normal", &args.normal, format!("--normal {}", args.normal))?;
    let unusual = args
        .unusual
        .iter()
        .map(|(name, text)| Ok(score(name, text, format!("--unusual {name}={text}"))?.scored))
        .collect::<Result<Vec<Scored>>>()?;
    let heads = head_names(&model.blob().heads);
    let others = compared.as_ref().map_or(Vec::new(), |compared| compared.detectors.names());
    let options = metrics::Options { resamples: args.resamples, seed: args.seed };
    let evaluation =
        pool.install(|| metrics::evaluate(&heads, &others, &normal.scored, &unusual, &options))?;
    let mut report =
        Report::new(&evaluation, model.alpha(), normal.flagged, top1(&model, &normal)?)?;
    report.warnings = seen.warnings;
    report.compared_fitted_to = compared.map(|compared| compared.fitted_to);
    print!("{}", report.table());
    if let Some(path) = &args.json {
        files::write_file(
            path,
            format!("{}\n", serde_json::to_string_pretty(&report)?).as_bytes(),
        )?;
    }
    if args.card {
        write_card(&card, &report)?;
    }
    Ok(())
}

fn score(
    model: &Model,
    compared: Option<&Compared>,
    name: &str,
    text: &str,
    options: Options,
) -> Result<Set> {
    let heads = &model.blob().heads;
    let alpha = Alpha::new(model.alpha())?;
    let threshold_q16 = model.calibration().threshold_q16(alpha);
    let mut set = Set {
        scored: Scored::new(name, heads.heads.len()),
        flagged: 0,
        named: Vec::new(),
        labels: None,
        sha256: None,
        pictures: Pictures::default(),
    };
    let mut digests = Vec::new();
    let mut others = compared.map(|compared| Columns::new(&compared.detectors));
    let mut push = |features: &Features, scores: &Scores| {
        others.iter_mut().for_each(|others| others.push(features));
        set.scored.push(scores);
        set.flagged += u64::from(scores.energy_q16 > threshold_q16);
        set.named.push(named_class(&features.logits));
        digests.push(digest(features));
    };
    let input = Input { preprocess: model.blob().preprocess, normalise: model.blob().normalise };
    if FeatureFile::is_named_by(text) {
        let file = FeatureFile::open(Path::new(text))?;
        check_features(&file, text, model.backbone(), &input)?;
        visit_scores(&file, heads, &vec![true; file.len()], push)?;
        set.labels = file.labels().cloned();
        set.sha256 = file.origin().map(|origin| origin.data_sha256.clone());
        set.scored.energies.extend(others.map_or(Vec::new(), Columns::finish));
        set.pictures = digests.into_iter().collect();
        return Ok(set);
    }
    let (mut scratch, mut scores) = (Scratch::default(), Scores::default());
    let summary = extract(text, model.backbone(), &input, options, |_, features| {
        heads.score(features, &mut scratch, &mut scores);
        push(features, &scores);
        Ok(())
    })?;
    set.labels = summary.labels.unwrap_or(None);
    set.sha256 = Some(summary.sha256);
    set.pictures = digests.into_iter().collect();
    set.scored.energies.extend(others.map_or(Vec::new(), Columns::finish));
    Ok(set)
}

/// Share of labelled normal pictures whose class the backbone names right; `None` when the pictures'
/// classes are not the backbone's.
fn top1(model: &Model, normal: &Set) -> Result<Option<Share>> {
    let Some(labels) = &normal.labels else { return Ok(None) };
    if labels.classes.len() != model.backbone().classes() {
        log::warn!(
            "top-1 is left out: the normal pictures have {} classes, the backbone {}",
            labels.classes.len(),
            model.backbone().classes()
        );
        return Ok(None);
    }
    let right = labels.labels.iter().zip(&normal.named).filter(|(label, named)| label == named);
    let (right, all) = (right.count() as u64, labels.labels.len() as u64);
    Ok(Some(Share::new("frames named right", right, all)?))
}

fn write_card(path: &Path, report: &Report) -> Result<()> {
    let named = || path.display().to_string();
    let json = std::fs::read_to_string(path).with_context(named)?;
    let mut card: Value = serde_json::from_str(&json).with_context(named)?;
    let object = card.as_object_mut().with_context(|| format!("{}: not a card", named()))?;
    object.insert("evaluation".into(), serde_json::to_value(report)?);
    object.insert("table".into(), report.markdown().lines().collect());
    ensure!(path.is_file(), "{}: not a file", named());
    files::write_file(path, format!("{card:#}\n").as_bytes())
}
