//! All heads of a model, fitted to the rows of one feature file.

use anyhow::{Context as _, Result};
use oddsight::backbone::FinalLayer;
use oddsight::energy::float::{Composition, Gmm, Head, Heads, Term};
use oddsight::energy::{HeadId, Rule, from_q32};
use oddsight::random::Random;

use crate::checkpoint::Checkpoints;
use crate::features::{FeatureFile, Tap, TapRows};
use crate::heat::{Constants, Event};
use crate::recipe::Standardise;
use crate::score::visit_scores;
use crate::weights::{Energies, KnownUnusual, PENALTY, Weights};
use oddsight::fit::{
    GmmOptions, KnnOptions, MixtureOptions, Moments, fit_gmm, fit_knn, fit_mixture,
};

mod refined;

/// Rows of the batch that [`Standardise::Batch`] takes.
pub const BATCH_ROWS: usize = 256;

/// Which heads are fitted, and how.
#[derive(Clone, Debug)]
pub struct HeadOptions {
    /// Heads to fit, each once.
    pub heads: Vec<HeadId>,
    /// How their standardised energies become one.
    pub rule: Rule,
    /// The heads that the rule composes, all of them among `heads`.
    pub composed: Vec<HeadId>,
    /// Mixtures of rows without labels. What they normalise and score is the head's matter.
    pub mixture: MixtureOptions,
    pub knn: KnnOptions,
    /// Rows whose energies standardise the composition.
    pub standardise: Standardise,
    /// Seed of that choice of rows.
    pub seed: u64,
    /// The refined heads; without it there are none among `heads`.
    pub heat: Option<HeatOptions>,
}

/// How refined heads are trained.
#[derive(Clone, Debug)]
pub struct HeatOptions {
    /// Of the heads of [`REFINED`](crate::recipe::REFINED), in their order.
    pub constants: [Constants; 3],
    /// Seed of every random choice of the training.
    pub seed: u64,
    /// The layer whose logits are the prior of `heat-el`.
    pub final_layer: FinalLayer,
    /// Where training is saved after every epoch.
    pub checkpoints: Option<Checkpoints>,
    /// Go on from the checkpoints that are there.
    pub resume: bool,
}

/// Hears how the training of a refined head goes on; an error ends it.
pub type EachEvent<'a> = &'a mut dyn FnMut(HeadId, Event) -> Result<()>;

/// Fits the heads to the kept rows of a file, by class where it has labels, and composes them, with
/// weights learnt from `known` pictures if there are any. `each` hears of the refined heads.
///
/// What takes long comes last: all other heads, all priors and all checkpoints are looked at before the first
/// residual is trained. Scores rows on the threads of the current rayon pool; the result does not depend on them.
pub fn fit_heads(
    file: &FeatureFile,
    keep: &[bool],
    options: &HeadOptions,
    known: &[KnownUnusual],
    each: EachEvent,
) -> Result<oddsight::energy::Heads> {
    let begun = options.heads.iter().map(|id| begin(*id, file, keep, options));
    let begun = begun.collect::<Result<Vec<Begun>>>()?;
    let heads = begun.into_iter().map(|begun| match begun {
        Begun::Fitted(head) => Ok(*head),
        Begun::Untrained(head) => {
            let id = head.id();
            head.train(file, keep, each).with_context(|| format!("training head {id}"))
        }
    });
    compose(heads.collect::<Result<_>>()?, file, keep, options, known)
}

/// A head before anything is trained.
enum Begun<'a> {
    Fitted(Box<Head>),
    Untrained(Box<refined::Prepared<'a>>),
}

fn begin<'a>(
    id: HeadId,
    file: &FeatureFile,
    keep: &[bool],
    options: &'a HeadOptions,
) -> Result<Begun<'a>> {
    let rows = |tap| TapRows { file, tap, keep };
    Ok(Begun::Fitted(Box::new(match id {
        HeadId::Msp => Head::Msp,
        HeadId::Mls => Head::Mls,
        HeadId::El => Head::El,
        HeadId::Gmm => Head::Gmm(mixture(&rows(Tap::Avg), GmmOptions::default(), options)?),
        HeadId::GmmStd => Head::GmmStd(mixture(&rows(Tap::Std), GmmOptions::default(), options)?),
        HeadId::Knn => Head::Knn(fit_knn(&rows(Tap::Avg), &options.knn)?),
        HeadId::HeatGmm | HeadId::HeatGmmStd | HeadId::HeatEl => {
            let prepared = refined::prepare(id, file, keep, options)
                .with_context(|| format!("training head {id}"))?;
            return Ok(Begun::Untrained(Box::new(prepared)));
        }
    })))
}

/// A component per class where the file has labels.
fn mixture(rows: &TapRows, how: GmmOptions, options: &HeadOptions) -> Result<Gmm> {
    if let Some(labels) = rows.file.labels() {
        return Ok(fit_gmm(rows, &labels.classes, &how)?);
    }
    let GmmOptions { normalize, score } = how;
    let options = MixtureOptions { normalize, score, ..options.mixture.clone() };
    Ok(fit_mixture(rows, &options)?.gmm)
}

/// A random batch of the kept rows (selection sampling, Knuth volume 2, algorithm 3.4.2 S).
fn batch(keep: &[bool], seed: u64) -> Vec<bool> {
    let mut left = keep.iter().filter(|keep| **keep).count();
    let mut wanted = BATCH_ROWS.min(left);
    let mut random = Random::new(seed);
    let chosen = keep.iter().map(|keep| {
        let chosen = *keep && random.below(left as u64) < wanted as u64;
        left -= usize::from(*keep);
        wanted -= usize::from(chosen);
        chosen
    });
    chosen.collect()
}

/// Standardises each composed head by its energies on training rows, which are those of its integer
/// form.
fn compose(
    heads: Vec<Head>,
    file: &FeatureFile,
    keep: &[bool],
    options: &HeadOptions,
    known: &[KnownUnusual],
) -> Result<oddsight::energy::Heads> {
    let composition = Composition { rule: options.rule, terms: Vec::new() };
    let mut fitted = Heads { heads, composition };
    let unit = fitted.fix()?;
    let mut moments = vec![Moments::default(); unit.heads.len()];
    let rows = match options.standardise {
        Standardise::All => keep.to_vec(),
        Standardise::Batch => batch(keep, options.seed),
    };
    visit_scores(file, &unit, &rows, |_, scores| {
        for (moments, &energy_q32) in moments.iter_mut().zip(&scores.heads_q32) {
            moments.push(from_q32(energy_q32));
        }
    })?;
    let terms = options
        .composed
        .iter()
        .map(|id| {
            let index = unit.heads.iter().position(|head| head.id() == *id);
            let index = index.context("a composed head is fitted")?;
            moments[index].term(index as u32).with_context(|| format!("head {id}"))
        })
        .collect::<Result<Vec<Term>>>()?;
    fitted.composition.terms = match known {
        [] => terms,
        known => weigh(&terms, &unit, file, keep, options, known)?,
    };
    Ok(fitted.fix()?)
}

/// Terms with weights that tell the known pictures from the training rows.
fn weigh(
    terms: &[Term],
    unit: &oddsight::energy::Heads,
    file: &FeatureFile,
    keep: &[bool],
    options: &HeadOptions,
    known: &[KnownUnusual],
) -> Result<Vec<Term>> {
    let normal = Energies::of(file, keep, unit, terms)?;
    let mut unusual = Energies::new(Vec::new(), terms.len())?;
    for set in known {
        unusual.append(set.energies(unit, terms).with_context(|| set.name.clone())?);
    }
    Ok(Weights::learn(&options.composed, &normal, &unusual, PENALTY)?.weigh(terms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_a_sample_of_the_kept_rows() {
        let keep: Vec<bool> = (0..2000).map(|row| row % 2 == 0).collect();
        let chosen = batch(&keep, 1);
        assert_eq!(chosen.iter().filter(|chosen| **chosen).count(), BATCH_ROWS);
        assert!(chosen.iter().zip(&keep).all(|(chosen, keep)| *keep || !chosen));
        let early = chosen[..1000].iter().filter(|chosen| **chosen).count();
        assert!((96..=160).contains(&early), "uniform over the rows: {early}");
        assert_ne!(batch(&keep, 2), chosen);
        assert_eq!(batch(&keep[..20], 1), keep[..20], "fewer rows than a batch are all taken");
    }
}
