//! Follows the training of refined heads, and writes the report of a fit.

use std::path::Path;

use anyhow::{Error, Result};
use oddsight::energy::{HeadId, Heads, from_q16, from_q32};
use oddsight::model::Model;
use oddsight_train::features::FeatureFile;
use oddsight_train::files;
use oddsight_train::heat::Event;
use oddsight_train::progress::TrainingProgress;
use oddsight_train::recipe::Recipe;
use oddsight_train::score::{head_names, visit_scores};
use oddsight_train::training_page::{Facts, Fitted, Run, Spread, Term, render};

use super::sources::{Sources, source_name};
use super::{FitArgs, MADE_BY};

/// Rows of each sort whose energies the report shows; memory is bounded by them.
const SHOWN_ROWS: usize = 10_000;

/// What was heard of the training.
pub struct Training {
    runs: Vec<Run>,
    progress: Option<(HeadId, TrainingProgress)>,
}

impl Training {
    /// Of the refined heads of a recipe.
    pub fn new(recipe: &Recipe) -> Training {
        let runs = recipe.refined().into_iter().filter_map(|head| {
            let constants = recipe.constants(head)?.clone();
            Some(Run { head, constants, curves: Vec::new(), resumed_at: None })
        });
        Training { runs: runs.collect(), progress: None }
    }

    /// An event of the training of `head`. An epoch told before the first step is that of a checkpoint.
    pub fn hear(&mut self, head: HeadId, event: Event) {
        if self.progress.is_none() {
            self.progress = Some((head, TrainingProgress::new(head.to_string())));
            if let (Event::Epoch(state), Some(run)) = (&event, self.run(head)) {
                run.resumed_at = Some(state.epochs);
            }
        }
        match event {
            Event::Start => {}
            Event::Done => self.end(),
            Event::Step(step) => {
                if let Some((_, progress)) = &mut self.progress {
                    progress.step(step);
                }
            }
            Event::Epoch(state) => {
                if let Some(run) = self.run(head) {
                    run.curves.clone_from(&state.curves);
                }
            }
        }
    }

    fn run(&mut self, head: HeadId) -> Option<&mut Run> {
        self.runs.iter_mut().find(|run| run.head == head)
    }

    /// Training failed: its bar is in the way of what is said of that.
    pub fn stop(&mut self) {
        if let Some((_, progress)) = self.progress.take() {
            progress.stop();
        }
    }

    /// The head that is being trained is finished.
    fn end(&mut self) {
        if let Some((head, progress)) = self.progress.take()
            && let Some(run) = self.run(head)
        {
            let epochs = run.curves.len() - run.resumed_at.unwrap_or(0);
            progress.finish(epochs, run.resumed_at);
        }
    }

    /// The report of a fit that failed.
    pub fn write_stopped(
        &self,
        path: &Path,
        args: &FitArgs,
        recipe: &Recipe,
        sources: &Sources,
        why: &Error,
    ) -> Result<()> {
        let facts = self.facts(args, recipe, sources, Err(format!("{why:#}")));
        files::write_file(path, render(&facts).as_bytes())
    }

    /// The report of a fit whose model is written. Scores on the current pool.
    pub fn write(
        &self,
        path: &Path,
        args: &FitArgs,
        recipe: &Recipe,
        sources: &Sources,
        model: &Model,
    ) -> Result<()> {
        let heads = &model.blob().heads;
        let composition = &heads.composition;
        let names = head_names(heads);
        let term = |term: &oddsight::energy::Term| Term {
            head: names.get(term.head()).cloned().unwrap_or_default(),
            mean: term.mean(),
            factor: term.factor(),
        };
        let threshold = from_q16(model.calibration().threshold_q16(recipe.alpha));
        let fitted = Fitted {
            spreads: spreads(sources, heads, threshold)?,
            rule: composition.rule().to_string(),
            terms: composition.terms().iter().map(term).collect(),
            calibrated_with: model.calibration().len(),
            alpha: model.alpha(),
        };
        let facts = self.facts(args, recipe, sources, Ok(fitted));
        files::write_file(path, render(&facts).as_bytes())
    }

    fn facts(
        &self,
        args: &FitArgs,
        recipe: &Recipe,
        sources: &Sources,
        result: Result<Fitted, String>,
    ) -> Facts {
        Facts {
            made_by: MADE_BY.into(),
            date: today(),
            data: source_name(&args.data),
            fitted_to: sources.fitted_to(),
            preset: recipe.preset.to_string(),
            seed: recipe.seed,
            runs: self.runs.clone(),
            result,
        }
    }
}

/// YYYY-MM-DD
pub fn today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}

fn spreads(sources: &Sources, heads: &Heads, threshold: f64) -> Result<Vec<Spread>> {
    let (file, held_out) = sources.calibration();
    let fitted = columns(&sources.data.file, &sources.keep, heads)?;
    let held_out = columns(file, &held_out, heads)?;
    let names = head_names(heads).into_iter().map(|name| (name, None));
    let names = names.chain([("composed".to_string(), Some(threshold))]);
    let spreads = names.zip(fitted).zip(held_out);
    Ok(spreads
        .map(|(((name, threshold), fitted), held_out)| Spread { name, fitted, held_out, threshold })
        .collect())
}

/// Energies of each head, and the composed ones last, of evenly chosen rows among the kept ones.
fn columns(file: &FeatureFile, keep: &[bool], heads: &Heads) -> Result<Vec<Vec<f64>>> {
    let every = keep.iter().filter(|keep| **keep).count().div_ceil(SHOWN_ROWS).max(1);
    let mut kept = 0;
    let chosen = keep.iter().map(|keep| {
        kept += usize::from(*keep);
        *keep && (kept - 1).is_multiple_of(every)
    });
    let chosen: Vec<bool> = chosen.collect();
    let mut columns = vec![Vec::new(); heads.heads.len() + 1];
    visit_scores(file, heads, &chosen, |_, scores| {
        let energies = scores.heads_q32.iter().map(|energy_q32| from_q32(*energy_q32));
        let energies = energies.chain([from_q16(scores.energy_q16)]);
        columns.iter_mut().zip(energies).for_each(|(column, energy)| column.push(energy));
    })?;
    Ok(columns)
}
