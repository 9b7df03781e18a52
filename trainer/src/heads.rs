//! All heads of a model, fitted to the rows of one feature file.

use anyhow::{Context as _, Result, bail};
use oddsight::energy::float::{Composition, Gmm, Head, Heads};
use oddsight::energy::{HeadId, Rule, from_q32};

use crate::features::{FeatureFile, Tap, TapRows};
use crate::fit::{GmmOptions, KnnOptions, MixtureOptions, Moments, fit_gmm, fit_knn, fit_mixture};
use crate::score::visit_scores;

/// Which heads are fitted, and how.
#[derive(Clone, Debug)]
pub struct HeadOptions {
    /// Heads to fit, each once.
    pub heads: Vec<HeadId>,
    /// How their standardised energies become one.
    pub rule: Rule,
    /// The heads that the rule composes, all of them among `heads`.
    pub composed: Vec<HeadId>,
    /// The gmm heads, where the rows have no labels.
    pub mixture: MixtureOptions,
    pub knn: KnnOptions,
}

/// Fits the heads to the kept rows of a file, by class where it has labels, and composes them.
///
/// Scores rows on the threads of the current rayon pool; the result does not depend on them.
pub fn fit_heads(
    file: &FeatureFile,
    keep: &[bool],
    options: &HeadOptions,
) -> Result<oddsight::energy::Heads> {
    let heads = options.heads.iter().map(|id| fit_head(*id, file, keep, options));
    compose(heads.collect::<Result<_>>()?, file, keep, options)
}

fn fit_head(id: HeadId, file: &FeatureFile, keep: &[bool], options: &HeadOptions) -> Result<Head> {
    let rows = |tap| TapRows { file, tap, keep };
    Ok(match id {
        HeadId::Msp => Head::Msp,
        HeadId::Mls => Head::Mls,
        HeadId::El => Head::El,
        HeadId::Gmm => Head::Gmm(mixture(&rows(Tap::Avg), file, options)?),
        HeadId::GmmStd => Head::GmmStd(mixture(&rows(Tap::Std), file, options)?),
        HeadId::Knn => Head::Knn(fit_knn(&rows(Tap::Avg), &options.knn)?),
        HeadId::HeatGmm | HeadId::HeatGmmStd | HeadId::HeatEl => {
            bail!("head {id} cannot be fitted by this command: leave it out of --heads")
        }
    })
}

fn mixture(rows: &TapRows, file: &FeatureFile, options: &HeadOptions) -> Result<Gmm> {
    match file.labels() {
        Some(labels) => Ok(fit_gmm(rows, &labels.classes, &GmmOptions::default())?),
        None => Ok(fit_mixture(rows, &options.mixture)?.gmm),
    }
}

/// Standardises each composed head by its energies on the training rows, which are those of its
/// integer form.
fn compose(
    heads: Vec<Head>,
    file: &FeatureFile,
    keep: &[bool],
    options: &HeadOptions,
) -> Result<oddsight::energy::Heads> {
    let composition = Composition { rule: options.rule, terms: Vec::new() };
    let mut fitted = Heads { heads, composition };
    let unit = fitted.fix()?;
    let mut moments = vec![Moments::default(); unit.heads.len()];
    visit_scores(file, &unit, keep, |_, scores| {
        for (moments, &energy_q32) in moments.iter_mut().zip(&scores.heads_q32) {
            moments.push(from_q32(energy_q32));
        }
    })?;
    fitted.composition.terms = options
        .composed
        .iter()
        .map(|id| {
            let index = unit.heads.iter().position(|head| head.id() == *id);
            let index = index.context("a composed head is fitted")?;
            moments[index].term(index as u32).with_context(|| format!("head {id}"))
        })
        .collect::<Result<_>>()?;
    Ok(fitted.fix()?)
}
