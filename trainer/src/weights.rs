//! How much each head counts in a composition, learnt from pictures that are known to be unusual.
//!
//! With `v_k` the standardised energy of head k, the weights are those of a logistic regression (Cox 1958)
//! of "unusual" on `v`, held at 0 or above: a larger energy is more unusual, whatever a few examples say.
//! `logistic` has the function that is minimised.

mod error;
mod logistic;
#[cfg(test)]
mod tests;

use anyhow::Result;
use oddsight::energy::float::Term;
use oddsight::energy::{HeadId, Heads, from_q32};

pub use error::{WeightsError, WeightsErrorKind};

use crate::features::FeatureFile;
use crate::pictures::Pictures;
use crate::score::visit_scores;
use logistic::Problem;

/// Examples of each sort that weights are learnt from at least: fewer say nothing about a rate.
pub const FEWEST_EXAMPLES: usize = 10;

/// Default weight λ of the penalty `λ/2 · |w|²` beside the mean log-loss, which is `log 2` at `w = 0`.
///
/// A small one favours the head that knows the examples best, at the cost of unusual pictures of other kinds; a
/// large one moves the weights towards the differences of mean energies. docs/evaluation.md has the
/// measurement: 0.1 keeps seven tenths of what weights gain on their own kind and loses half of what
/// 0.01 loses on others. Relative to the mean, it means the same whatever the number of examples, and it bounds
/// `|w|` by `√(2 log 2 / λ)` where the examples can be told apart without error.
pub const PENALTY: f64 = 0.1;

/// Pictures that a user knows to be unusual. They shape the composition, so no evaluation may count
/// them: the type keeps them from being taken for an evaluation's set, and a model's card holds their digests.
#[derive(Debug)]
pub struct KnownUnusual {
    /// What the user called them.
    pub name: String,
    /// Which pictures they are.
    pub pictures: Pictures,
    /// Their features.
    pub rows: FeatureFile,
}

impl KnownUnusual {
    /// The energies of `terms`, standardised. Errors when an energy is not finite.
    pub fn energies(&self, heads: &Heads, terms: &[Term]) -> Result<Energies> {
        let keep = vec![true; self.rows.len()];
        Energies::of(&self.rows, &keep, heads, terms)
    }
}

/// Standardised energies `v_k` of some pictures: larger is more unusual.
#[derive(Clone, Debug, PartialEq)]
pub struct Energies {
    /// Row by row, one value per head.
    values: Vec<f64>,
    heads: usize,
}

impl Energies {
    /// Takes values row by row. Errors: `Shape` when they are not whole rows of `heads` values.
    pub fn new(values: Vec<f64>, heads: usize) -> Result<Energies, WeightsError> {
        if heads == 0 || !values.len().is_multiple_of(heads) {
            let message = format!("{} energies are not rows of {heads} heads", values.len());
            return Err(WeightsError::new(WeightsErrorKind::Shape, message));
        }
        Ok(Energies { values, heads })
    }

    /// Those of the kept rows of a file. Errors when an energy is not finite.
    pub fn of(
        file: &FeatureFile,
        keep: &[bool],
        heads: &Heads,
        terms: &[Term],
    ) -> Result<Energies> {
        let mut values = Vec::new();
        visit_scores(file, heads, keep, |_, scores| {
            values.extend(terms.iter().map(|term| {
                (from_q32(scores.heads_q32[term.head as usize]) - term.mean) / term.std
            }));
        })?;
        Ok(Energies::new(values, terms.len())?)
    }

    /// Adds the pictures of `other`, which has the same heads.
    pub fn append(&mut self, mut other: Energies) {
        self.values.append(&mut other.values);
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.values.len() / self.heads
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks_exact(self.heads)
    }

    /// Refuses too few rows, and values that are no numbers.
    fn check(&self, what: &str, names: &[HeadId]) -> Result<(), WeightsError> {
        let refuse = |kind, message| Err(WeightsError::new(kind, message));
        if self.heads != names.len() {
            let message = format!("{what}: energies of {} heads, not {}", self.heads, names.len());
            return refuse(WeightsErrorKind::Shape, message);
        }
        if self.len() < FEWEST_EXAMPLES {
            let message = format!(
                "{what}: {} pictures, weights need {FEWEST_EXAMPLES}; add pictures or leave \
                 --known-unusual out",
                self.len()
            );
            return refuse(WeightsErrorKind::TooFew, message);
        }
        if let Some(at) = self.values.iter().position(|v| !v.is_finite()) {
            let (row, head) = (at / self.heads, names[at % self.heads]);
            let message = format!(
                "{what}: the energy of head {head} is not finite in row {row}; remove that picture"
            );
            return refuse(WeightsErrorKind::NonFinite, message);
        }
        Ok(())
    }
}

/// What each head of a composition counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// One per head, not negative; their sum is the number of heads, so that equal ones give the plain sum.
    pub weights: Vec<f64>,
    /// Mean log-loss of the regression on its own examples, both sorts counting half: `log 2` is worthless.
    pub log_loss: f64,
}

impl Weights {
    /// Learns them. Columns are the heads `names`; `penalty` is λ, by default [`PENALTY`].
    ///
    /// `normal` are rows that heads were fitted to and not those that verdicts are calibrated with: these must
    /// stay exchangeable with new pictures. Both sorts count the same, however many rows they have.
    ///
    /// Errors: `Shape`, `TooFew`, `NonFinite`; `Penalty` when it is not positive and finite; `Identical` when
    /// all normal energies of a head are the same; `NoHead` when no head finds the examples more unusual;
    /// `NotConverged`.
    pub fn learn(
        names: &[HeadId],
        normal: &Energies,
        unusual: &Energies,
        penalty: f64,
    ) -> Result<Weights, WeightsError> {
        if !(penalty.is_finite() && penalty > 0.0) {
            let message = format!("penalty {penalty} is not a positive number");
            return Err(WeightsError::new(WeightsErrorKind::Penalty, message));
        }
        normal.check("normal pictures", names)?;
        unusual.check("known unusual pictures", names)?;
        for (k, name) in names.iter().enumerate() {
            if normal.rows().all(|row| row[k] == normal.values[k]) {
                let message = format!(
                    "head {name}: all energies of normal pictures are the same; leave this head out"
                );
                return Err(WeightsError::new(WeightsErrorKind::Identical, message));
            }
        }
        let problem = Problem { normal, unusual, penalty };
        let solution = problem.minimise()?;
        let weights = solution.point.rows(0, names.len());
        let sum = weights.sum();
        if sum == 0.0 {
            let message = "no head has larger energies for the known unusual pictures than for normal \
                           ones: look whether they are unusual, add heads, or leave --known-unusual \
                           out, then all heads count the same";
            return Err(WeightsError::new(WeightsErrorKind::NoHead, message.into()));
        }
        let scale = names.len() as f64 / sum;
        let weights = weights.iter().map(|w| w * scale).collect();
        Ok(Weights { weights, log_loss: solution.log_loss })
    }

    /// The terms with their weights, without those that count nothing.
    pub fn weigh(&self, terms: &[Term]) -> Vec<Term> {
        let weighted = terms.iter().zip(&self.weights).filter(|(_, weight)| **weight > 0.0);
        weighted.map(|(term, &weight)| Term { weight, ..*term }).collect()
    }
}
