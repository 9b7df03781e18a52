//! `oddsight-train fit`: from normal pictures to a model directory.

use std::path::PathBuf;

use anyhow::{Context as _, Error, Result, ensure};
use clap::Args;
use oddsight::backbone::Backbone;
use oddsight::energy::Heads;
use oddsight::fit::{KnnOptions, MixtureOptions};
use oddsight::model::{HeadsBlob, Model, SelfTest, check_output, write_model};
use oddsight::verdict::{Alpha, Calibration};
use oddsight_train::checkpoint::Checkpoints;
use oddsight_train::features::Input;
use oddsight_train::heads::{HeadOptions, HeatOptions, fit_heads};
use oddsight_train::recipe::Recipe;
use oddsight_train::score::visit_scores;
use rayon::ThreadPool;

use super::heads::check_heads;
use super::recipe::RecipeArgs;
use super::{BackboneArgs, WorkArgs};

mod card;
mod sources;
mod training;

use card::{card, summary};
use sources::Sources;
use training::Training;

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
    /// Unusual pictures of the kind to be found: they weigh the composed heads, by logistic
    /// regression. `eval` refuses to measure with them. Repeatable.
    #[arg(long, value_name = "SRC")]
    known_unusual: Vec<String>,
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Folder that keeps the training of refined heads after every epoch [default: OUT.checkpoints].
    #[arg(long, value_name = "DIR")]
    checkpoints: Option<PathBuf>,
    /// Go on from the checkpoints of a run that was stopped, if there are any: the result is the same to
    /// the bit. Features come first, and only then is seen whether the checkpoints are theirs: a feature
    /// file as --data saves that time.
    #[arg(long)]
    resume: bool,
    /// Leave the checkpoints when the model is written; else they are removed.
    #[arg(long)]
    keep_checkpoints: bool,
    /// Also write a page with the curves of the training, the energies of all heads and the
    /// composition.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Model directory to write.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    work: WorkArgs,
}

/// Fits, calibrates, self-tests and packs.
pub fn run(args: &FitArgs) -> Result<()> {
    check_output(&args.out).map_err(Error::msg)?;
    let recipe = args.recipe.recipe()?;
    let checkpoints = args.checkpoints(&recipe)?;
    let threads = args.work.options()?.threads.get();
    let given = sources::given(&args.data)?;
    let (backbone, input) = args.backbone.load(given.as_ref())?;
    check_heads(&recipe.heads, &backbone)?;
    let sources = Sources::load(args, &recipe, given, &backbone, &input)?;
    check_alpha(&sources, recipe.alpha)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let options = head_options(&recipe, &backbone, checkpoints.clone(), args.resume);
    let mut training = Training::new(&recipe);
    let file = &sources.data.file;
    let made = pool
        .install(|| {
            fit_heads(file, &sources.keep, &options, &sources.known, &mut |id, event| {
                training.hear(id, event);
                Ok(())
            })
        })
        .with_context(|| args.data.clone())
        .and_then(|heads| blob(args, &recipe, &sources, backbone, input, heads, &pool));
    let blob = match made {
        Ok(blob) => blob,
        Err(why) => {
            training.stop();
            // The curves of a training that failed are the ones most wanted.
            if let Some(path) = &args.report {
                training.write_stopped(path, args, &recipe, &sources, &why)?;
            }
            return Err(why);
        }
    };
    let card = card(args, &recipe, &blob, &sources);
    // `eval` writes what it measures into the card, so the manifest comes later: `oddsight model manifest`.
    write_model(&args.out, &args.backbone.backbone, &blob, &card, None)
        .with_context(|| args.out.display().to_string())?;
    // What was written is what will be opened.
    let model = Model::open(&args.out)?;
    if let Some(path) = &args.report {
        pool.install(|| training.write(path, args, &recipe, &sources, &model))?;
    }
    if let Some(checkpoints) = checkpoints.filter(|_| !args.keep_checkpoints) {
        checkpoints.remove()?;
    }
    summary(args, &recipe, &model, &sources);
    Ok(())
}

impl FitArgs {
    /// Where refined heads are kept while they are trained; `None` without such heads.
    fn checkpoints(&self, recipe: &Recipe) -> Result<Option<Checkpoints>> {
        if recipe.refined().is_empty() {
            ensure!(
                !self.resume && !self.keep_checkpoints && self.checkpoints.is_none(),
                "--resume, --checkpoints and --keep-checkpoints are for heads that are trained, and \
                 the recipe has none; add heat to --heads, or leave them out"
            );
            return Ok(None);
        }
        let folder = self.checkpoints.clone().unwrap_or_else(|| {
            // Beside the model, also where its name ends in a slash.
            let mut name = self.out.file_name().unwrap_or_default().to_os_string();
            name.push(".checkpoints");
            self.out.with_file_name(name)
        });
        let checkpoints = Checkpoints::new(folder);
        if !self.resume {
            checkpoints.check_unused()?;
        }
        Ok(Some(checkpoints))
    }
}

fn head_options(
    recipe: &Recipe,
    backbone: &Backbone,
    checkpoints: Option<Checkpoints>,
    resume: bool,
) -> HeadOptions {
    HeadOptions {
        heads: recipe.heads.clone(),
        rule: recipe.compose.rule,
        composed: recipe.compose.heads.clone(),
        mixture: MixtureOptions {
            components: recipe.components,
            seed: recipe.seed,
            ..MixtureOptions::default()
        },
        knn: KnnOptions {
            coreset: recipe.coreset,
            k: recipe.neighbour,
            seed: recipe.seed,
            ..KnnOptions::default()
        },
        standardise: recipe.standardise,
        seed: recipe.seed,
        heat: Some(HeatOptions {
            constants: recipe.heat.clone(),
            seed: recipe.seed,
            final_layer: backbone.final_layer().clone(),
            checkpoints,
            resume,
        }),
    }
}

/// Refuses an alpha that needs more calibration pictures than there are, before hours of training.
fn check_alpha(sources: &Sources, alpha: Alpha) -> Result<()> {
    let pictures = sources.calibration().1.iter().filter(|held_out| **held_out).count();
    // Their number is all that counts.
    Ok(Calibration::new(vec![0; pictures])?.check(alpha)?)
}

/// Calibrates and self-tests the heads.
fn blob(
    args: &FitArgs,
    recipe: &Recipe,
    sources: &Sources,
    backbone: Backbone,
    input: Input,
    heads: Heads,
    pool: &ThreadPool,
) -> Result<HeadsBlob> {
    let (file, held_out) = sources.calibration();
    let mut energies_q16 = Vec::new();
    pool.install(|| {
        visit_scores(file, &heads, &held_out, |_, scores| energies_q16.push(scores.energy_q16))
    })
    .with_context(|| args.calibration.as_ref().unwrap_or(&args.data).clone())?;
    let calibration = Calibration::new(energies_q16)?;
    calibration.check(recipe.alpha)?;
    warn_of_ties(calibration.energies_q16(), recipe.alpha);
    let labels = sources.data.file.labels();
    let blob = HeadsBlob {
        made_by: MADE_BY.into(),
        backbone_sha256: backbone.digest(),
        preprocess: input.preprocess,
        normalise: input.normalise,
        taps: backbone.taps().clone(),
        heads,
        calibration_q16: calibration.energies_q16().to_vec(),
        alpha: recipe.alpha.get(),
        class_names: labels.map_or(Vec::new(), |labels| labels.classes.clone()),
        self_test: SelfTest::default(),
    };
    let model = Model::assemble(backbone, blob, &args.backbone.backbone)?;
    let self_test = SelfTest::record(&mut model.scorer()?)?;
    Ok(HeadsBlob { self_test, ..model.blob().clone() })
}

/// Energies saturate where a covariance has next to no width: then none is above them.
fn warn_of_ties(energies_q16: &[i64], alpha: Alpha) {
    if let Some(ties) = ties(energies_q16, alpha) {
        log::warn!(
            "{ties} of {} calibration pictures have the same energy, and none a larger one: it is out of \
             range, and no picture will be called unusual; fit mixtures to more pictures than \
             features, or leave them out",
            energies_q16.len()
        );
    }
}

/// How many energies are the largest one, if that is a larger share of them than alpha.
fn ties(energies_q16: &[i64], alpha: Alpha) -> Option<usize> {
    let most = energies_q16.iter().max()?;
    let ties = energies_q16.iter().filter(|energy| *energy == most).count();
    (ties as f64 > alpha.get() * energies_q16.len() as f64).then_some(ties)
}

const MADE_BY: &str = concat!("oddsight-train ", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn energies_that_share_the_largest_are_counted() {
        let alpha = Alpha::new(0.1).unwrap();
        let energies = |ties| [vec![0; 100 - ties], vec![9; ties]].concat();
        assert_eq!(ties(&energies(10), alpha), None);
        assert_eq!(ties(&energies(11), alpha), Some(11));
        assert_eq!(ties(&[], alpha), None);
    }
}
