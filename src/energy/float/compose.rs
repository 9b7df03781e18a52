//! From the energies of several heads to one.

use serde::{Deserialize, Serialize};

use super::super::Rule;
use super::{EnergyError, EnergyErrorKind};

/// One term of a composition: the energy of a head, standardised by its values on training rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Term {
    /// Index into [`Heads::heads`](super::Heads::heads).
    pub head: u32,
    /// Mean of the head's energy on training rows.
    pub mean: f64,
    /// Unbiased standard deviation of the same; positive.
    pub std: f64,
    /// What the standardised energy is multiplied by: 1, or learnt from known unusual examples;
    /// positive.
    pub weight: f64,
}

/// A rule and the terms that it joins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Composition {
    /// The joining function.
    pub rule: Rule,
    /// What it joins; heads that no term names are reported and have no influence.
    pub terms: Vec<Term>,
}

impl Composition {
    /// The composed energy of head energies, and the share of each term in it.
    ///
    /// `energies` holds one energy per head. With `v_k = weight_k (s_k − mean_k) / std_k`, the shares are
    /// `v_k` for a sum, `softmax(βv)_k · energy` for `lse`, and all on the (first) extremal term for `max`
    /// and `min`; they add up to the energy. When a term is not finite, or the result is not, the
    /// energy is `+∞`, and so are the shares of the terms that are not finite (of the first term when
    /// all are); the other shares are 0.
    pub fn compose(&self, energies: &[f64]) -> (f64, Vec<f64>) {
        let mut shares: Vec<f64> =
            self.terms.iter().map(|term| term.standardised(energies)).collect();
        if shares.iter().all(|v| v.is_finite()) {
            let energy = self.rule.join(&mut shares);
            if energy.is_finite() {
                return (energy, shares);
            }
        }
        blame(&mut shares);
        (f64::INFINITY, shares)
    }

    pub(in crate::energy) fn check(&self, heads: usize) -> Result<(), EnergyError> {
        let refuse = |why: String| {
            let message = format!("composition: {why}: fit the heads again");
            Err(EnergyError::new(EnergyErrorKind::Composition, message))
        };
        if self.terms.is_empty() {
            return refuse("no terms".to_string());
        }
        if let Rule::LogSumExp(beta) = self.rule
            && (!beta.is_finite() || beta == 0.0)
        {
            return refuse(format!("beta is {beta}"));
        }
        for (i, term) in self.terms.iter().enumerate() {
            if term.head as usize >= heads {
                return refuse(format!("term {i} refers to head {} of {heads}", term.head));
            }
            if self.terms[..i].iter().any(|earlier| earlier.head == term.head) {
                return refuse(format!("head {} is counted twice", term.head));
            }
            let Term { mean, std, weight, .. } = term;
            let is_positive = |x: f64| x.is_finite() && x > 0.0;
            if !mean.is_finite() || !is_positive(*std) || !is_positive(*weight) {
                return refuse(format!(
                    "term {i} has mean {mean}, standard deviation {std} and weight {weight}"
                ));
            }
        }
        Ok(())
    }
}

impl Term {
    fn standardised(&self, energies: &[f64]) -> f64 {
        match energies.get(self.head as usize) {
            Some(energy) => (energy - self.mean) / self.std * self.weight,
            None => f64::NAN,
        }
    }
}

impl Rule {
    /// The energy of finite terms, which become the shares; not finite when it overflows or when
    /// there are no terms.
    fn join(self, terms: &mut [f64]) -> f64 {
        match self {
            Rule::Sum if terms.is_empty() => f64::INFINITY,
            Rule::Sum => terms.iter().fold(0.0, |sum, v| sum + v),
            Rule::LogSumExp(beta) => soft_extremum(beta, terms),
            Rule::Max => extremum(terms, |v, best| v > best),
            Rule::Min => extremum(terms, |v, best| v < best),
        }
    }
}

/// Index of the first term that no other one beats; `None` of no terms.
fn extremal(terms: &[f64], beats: impl Fn(f64, f64) -> bool) -> Option<usize> {
    (0..terms.len()).reduce(|best, i| if beats(terms[i], terms[best]) { i } else { best })
}

fn extremum(terms: &mut [f64], beats: impl Fn(f64, f64) -> bool) -> f64 {
    let Some(best) = extremal(terms, beats) else { return f64::INFINITY };
    for (i, v) in terms.iter_mut().enumerate() {
        if i != best {
            *v = 0.0;
        }
    }
    terms[best]
}

fn soft_extremum(beta: f64, terms: &mut [f64]) -> f64 {
    // With the term that beta favours taken out, every exponent is at most 0: nothing overflows.
    let favoured = extremal(terms, |v, best| if beta > 0.0 { v > best } else { v < best });
    let Some(favoured) = favoured.map(|i| terms[i]) else { return f64::INFINITY };
    terms.iter_mut().for_each(|v| *v = libm::exp(beta * (*v - favoured)));
    let sum = terms.iter().fold(0.0, |sum, weight| sum + weight);
    let energy = favoured + libm::log(sum) / beta;
    terms.iter_mut().for_each(|weight| *weight = *weight / sum * energy);
    energy
}

/// The shares of an energy of `+∞`.
fn blame(shares: &mut [f64]) {
    let overflow = shares.iter().all(|v| v.is_finite());
    for (i, v) in shares.iter_mut().enumerate() {
        let guilty = if overflow { i == 0 } else { !v.is_finite() };
        *v = if guilty { f64::INFINITY } else { 0.0 };
    }
}
