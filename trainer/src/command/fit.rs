//! `oddsight-train fit`: from normal pictures to a model directory.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use oddsight::backbone::Backbone;
use oddsight::energy::{HeadId, Rule};
use oddsight::model::{BACKBONE_FILE, HeadsBlob, Model, SelfTest, hex};
use oddsight::random::Random;
use oddsight::verdict::{Alpha, Calibration};
use oddsight_train::extract::Options;
use oddsight_train::features::{FeatureFile, Input};
use oddsight_train::heads::fit_heads;
use oddsight_train::pack;
use oddsight_train::score::visit_scores;
use serde_json::{Value, json};

use super::heads::{HeadArgs, check_heads};
use super::{BackboneArgs, WorkArgs, check_features, features};

/// Arguments of `oddsight-train fit`.
#[derive(Args)]
pub struct FitArgs {
    #[command(flatten)]
    backbone: BackboneArgs,
    /// Normal pictures: a folder, class folders, a .tar of either, a CIFAR binary folder,
    /// synth:SEED, or a feature file.
    #[arg(long, value_name = "SRC")]
    data: String,
    /// Other normal pictures to calibrate verdicts with.
    #[arg(long, value_name = "SRC", conflicts_with = "holdout")]
    calibration: Option<String>,
    /// Share of --data to calibrate with instead of fitting to it.
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    holdout: f64,
    /// Heads to fit: msp, mls, el, gmm, gmm-std, knn.
    #[arg(long, value_name = "IDS", value_delimiter = ',', default_value = "gmm,gmm-std,el")]
    heads: Vec<HeadId>,
    /// How standardised energies become one: sum, lse:BETA, max or min; `RULE=IDS` leaves the other
    /// heads out of it.
    #[arg(long, value_name = "RULE[=IDS]", default_value = "sum")]
    compose: String,
    /// Per-frame false-alarm rate.
    #[arg(long, value_name = "RATE", default_value = "0.05")]
    alpha: Alpha,
    #[command(flatten)]
    fitting: HeadArgs,
    /// Model directory to write.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    work: WorkArgs,
}

/// Features of one source, and the temporary file that holds them where one was needed.
struct Loaded {
    file: FeatureFile,
    _spool: Option<tempfile::NamedTempFile>,
    unreadable: usize,
}

/// Fits, calibrates, self-tests and packs.
pub fn run(args: &FitArgs) -> Result<()> {
    pack::check_output(&args.out)?;
    let (rule, composed) = parse_compose(&args.compose, &args.heads)?;
    let options = args.work.options()?;
    let given = match FeatureFile::is_named_by(&args.data) {
        true => Some(FeatureFile::open(Path::new(&args.data))?),
        false => None,
    };
    let (backbone, input) = args.backbone.load(given.as_ref())?;
    check_heads(&args.heads, &backbone)?;
    let data = load(&args.data, given, &backbone, &input, options, &args.out)?;
    let other = match &args.calibration {
        Some(text) => Some(load(text, None, &backbone, &input, options, &args.out)?),
        None => None,
    };
    let keep = match &other {
        Some(_) => vec![true; data.file.len()],
        None => split(data.file.len(), args.holdout, args.fitting.seed)?,
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads.get()).build()?;
    let fitting = args.fitting.options(&args.heads, rule, composed);
    let heads = pool
        .install(|| fit_heads(&data.file, &keep, &fitting))
        .with_context(|| args.data.clone())?;
    let held_out: Vec<bool> = match &other {
        Some(other) => vec![true; other.file.len()],
        None => keep.iter().map(|keep| !keep).collect(),
    };
    let mut energies_q16 = Vec::new();
    let calibration_file = &other.as_ref().unwrap_or(&data).file;
    pool.install(|| {
        visit_scores(calibration_file, &heads, &held_out, |_, scores| {
            energies_q16.push(scores.energy_q16);
        })
    })?;
    let calibration = Calibration::new(energies_q16)?;
    calibration.check(args.alpha)?;
    let blob = HeadsBlob {
        made_by: concat!("oddsight-train ", env!("CARGO_PKG_VERSION")).into(),
        backbone_sha256: backbone.digest(),
        preprocess: input.preprocess,
        normalise: input.normalise,
        taps: backbone.taps().clone(),
        heads,
        calibration_q16: calibration.energies_q16().to_vec(),
        alpha: args.alpha.get(),
        class_names: data.file.labels().map_or(Vec::new(), |labels| labels.classes.clone()),
        self_test: SelfTest::default(),
    };
    let blob = with_self_test(&args.backbone.backbone, backbone, blob)?;
    let card = card(args, &blob, &data, other.as_ref(), &keep);
    pack::write_model(&args.out, &args.backbone.backbone, &blob, &card)?;
    // What was written is what will be opened.
    let model = Model::open(&args.out)?;
    summary(args, &model, &keep);
    Ok(())
}

fn parse_compose(text: &str, heads: &[HeadId]) -> Result<(Rule, Vec<HeadId>)> {
    let (rule, ids) = match text.split_once('=') {
        Some((rule, ids)) => (rule, ids.split(',').map(str::parse).collect::<Result<_, _>>()?),
        None => (text, heads.to_vec()),
    };
    for (i, id) in ids.iter().enumerate() {
        ensure!(heads.contains(id), "--compose names head {id}, which --heads does not fit");
        ensure!(!ids[..i].contains(id), "--compose names head {id} twice");
    }
    ensure!(!ids.is_empty(), "--compose names no head");
    Ok((rule.parse()?, ids))
}

fn load(
    text: &str,
    given: Option<FeatureFile>,
    backbone: &Backbone,
    input: &Input,
    options: Options,
    out: &Path,
) -> Result<Loaded> {
    if FeatureFile::is_named_by(text) {
        let file = match given {
            Some(file) => file,
            None => FeatureFile::open(Path::new(text))?,
        };
        check_features(&file, text, backbone, input)?;
        return Ok(Loaded { file, _spool: None, unreadable: 0 });
    }
    let (spool, unreadable) = features::spool(text, backbone, input, options, &pack::parent(out)?)?;
    let file = FeatureFile::open(spool.path())?;
    Ok(Loaded { file, _spool: Some(spool), unreadable })
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

fn with_self_test(path: &Path, backbone: Backbone, blob: HeadsBlob) -> Result<HeadsBlob> {
    let model = Model::assemble(backbone, blob, path)?;
    let self_test = SelfTest::record(&mut model.scorer()?)?;
    Ok(HeadsBlob { self_test, ..model.blob().clone() })
}

fn source_name(text: &str) -> String {
    match text.starts_with("synth:") {
        true => text.to_string(),
        // A card travels: the folders of the machine that made it are nobody's business.
        false => Path::new(text).file_name().unwrap_or_default().to_string_lossy().into_owned(),
    }
}

fn card(
    args: &FitArgs,
    blob: &HeadsBlob,
    data: &Loaded,
    other: Option<&Loaded>,
    keep: &[bool],
) -> Value {
    let source = |text: &str, loaded: &Loaded| {
        json!({
            "source": source_name(text),
            "pictures": loaded.file.len(),
            "unreadable": loaded.unreadable,
            "sha256": loaded.file.origin().map(|origin| origin.data_sha256.clone()),
        })
    };
    let calibration = match (&args.calibration, other) {
        (Some(text), Some(other)) => source(text, other),
        _ => {
            json!({ "source": "held out of the data", "pictures": keep.iter().filter(|k| !**k).count() })
        }
    };
    json!({
        "made_by": blob.made_by,
        "date": jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
        "backbone": {
            "file": BACKBONE_FILE,
            "from": source_name(&args.backbone.backbone.display().to_string()),
            "sha256": hex(&blob.backbone_sha256),
        },
        "data": source(&args.data, data),
        "fitted_to": keep.iter().filter(|keep| **keep).count(),
        "calibration": calibration,
        "heads": args.heads.iter().map(HeadId::to_string).collect::<Vec<_>>(),
        "compose": args.compose,
        "alpha": blob.alpha,
        "seed": args.fitting.seed,
    })
}

fn summary(args: &FitArgs, model: &Model, keep: &[bool]) {
    let blob = model.blob();
    let fitted = keep.iter().filter(|keep| **keep).count();
    println!("{}", args.out.display());
    println!("  fitted to       {fitted} pictures, {} classes", blob.class_names.len());
    let heads: Vec<&str> = args.heads.iter().map(|id| id.name()).collect();
    println!("  heads           {} ({})", heads.join(", "), args.compose);
    println!(
        "  calibrated with {} pictures; alpha {} means: unusual above energy {:.3}",
        model.calibration().len(),
        blob.alpha,
        model.calibration().threshold_q16(args.alpha) as f64 / 65536.0
    );
    println!("  heads.postcard  {} bytes", blob.to_bytes().len());
    if args.calibration.is_none() {
        println!(
            "  The promise of alpha holds for pictures like the held-out ones. If the backbone was\n  \
             trained on these pictures, new ones look less normal to it: give --calibration."
        );
    }
    println!("try it: oddsight score --model {} PICTURE…", args.out.display());
}
