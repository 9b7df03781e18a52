//! From the energies of several heads to one, in integers.

use serde::{Deserialize, Serialize};

use super::exp_log::{exp, log};
use super::fixed::{BROKEN, HEAD_BITS, Scale, from_q32, q16_of_q32, saturate, to_fixed};
use super::{EnergyError, EnergyErrorKind, Rule, Scores, Scratch, float};

/// Bits of the largest mean.
const MEAN_LIMIT: u32 = 63;

/// One term of a composition: the energy of a head, standardised by its values on training rows and
/// weighted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Term {
    pub(super) head: u32,
    pub(super) mean_q32: i64,
    /// weight / standard deviation
    pub(super) factor: Scale,
}

impl Term {
    /// Index into [`Heads::heads`](super::Heads::heads).
    pub fn head(&self) -> usize {
        self.head as usize
    }

    /// Mean of the head's energy on training rows.
    pub fn mean(&self) -> f64 {
        from_q32(self.mean_q32)
    }

    /// What the distance to the mean is multiplied by: the term's weight over the standard deviation
    /// of the head's energy on training rows.
    pub fn factor(&self) -> f64 {
        self.factor.factor()
    }

    /// The standardised and weighted energy, Q31.32, saturated; `None` of a broken frame.
    fn standardised(&self, energies_q32: &[i64]) -> Option<i64> {
        let energy = *energies_q32.get(self.head())?;
        let above = i128::from(energy) - i128::from(self.mean_q32);
        (energy != BROKEN).then(|| self.factor.apply(above))
    }
}

/// A rule and the terms that it joins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Composition {
    pub(super) rule: Rule,
    pub(super) terms: Vec<Term>,
}

impl Composition {
    /// The joining function.
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// What it joins; heads that no term names are reported and have no influence.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// Fills in the composed energy of `scores.heads_q32`, and the share of each term in it.
    ///
    /// With `v_k = factor_k (s_k − mean_k)`, the shares are `v_k` for a sum, `softmax(βv)_k · energy`
    /// for `lse`, and all on the (first) extremal term for `max` and `min`; they add up to the energy
    /// unless it is saturated. When a term is of a broken head, the energy is `+∞` and so is its
    /// share; the other shares are 0. Without terms the energy is `+∞`.
    pub(super) fn compose(&self, scores: &mut Scores, scratch: &mut Scratch) {
        let Scores { heads_q32, shares_q16: shares, energy_q16, .. } = scores;
        shares.clear();
        let standardised = |term: &Term| term.standardised(heads_q32).unwrap_or(BROKEN);
        shares.extend(self.terms.iter().map(standardised));
        if shares.is_empty() || shares.contains(&BROKEN) {
            shares.iter_mut().filter(|share| **share != BROKEN).for_each(|share| *share = 0);
            *energy_q16 = BROKEN;
            return;
        }
        *energy_q16 = match self.rule {
            Rule::Sum => {
                shares.iter_mut().for_each(|share| *share = q16_of_q32(*share));
                saturate(shares.iter().map(|&share| i128::from(share)).sum())
            }
            Rule::LogSumExp(beta) => soft_extremum(beta, shares, &mut scratch.weights),
            Rule::Max => extremum(shares, |v, best| v > best),
            Rule::Min => extremum(shares, |v, best| v < best),
        };
    }

    /// The integer form of a composition. Errors: contents that [`float::Composition`] cannot have,
    /// or a mean out of range.
    pub(super) fn fix(
        composition: &float::Composition,
        heads: usize,
    ) -> Result<Composition, EnergyError> {
        // Terms come last when heads are fitted: until then there are none.
        if !composition.terms.is_empty() {
            composition.check(heads)?;
        }
        let fix = |term: &float::Term| {
            let mean_q32 = to_fixed(term.mean, HEAD_BITS, MEAN_LIMIT)?;
            Some(Term { head: term.head, mean_q32, factor: Scale::of(term.weight / term.std) })
        };
        let terms: Option<Vec<Term>> = composition.terms.iter().map(fix).collect();
        match terms {
            Some(terms) => Ok(Composition { rule: composition.rule, terms }),
            None => refuse("a mean is out of range"),
        }
    }

    /// Refuses contents that have no meaning for this number of heads.
    pub(super) fn check(&self, heads: usize) -> Result<(), EnergyError> {
        if self.terms.is_empty() {
            return refuse("no terms");
        }
        if let Rule::LogSumExp(beta) = self.rule
            && (!beta.is_finite() || beta == 0.0)
        {
            return refuse(&format!("beta is {beta}"));
        }
        for (i, term) in self.terms.iter().enumerate() {
            if term.head() >= heads {
                return refuse(&format!("term {i} refers to head {} of {heads}", term.head));
            }
            if self.terms[..i].iter().any(|earlier| earlier.head == term.head) {
                return refuse(&format!("head {} is counted twice", term.head));
            }
            if term.mean_q32 == BROKEN || !term.factor.is_valid() {
                return refuse(&format!("term {i} has a mean or factor out of range"));
            }
        }
        Ok(())
    }
}

fn refuse<T>(why: &str) -> Result<T, EnergyError> {
    let message = format!("composition: {why}: fit the heads again");
    Err(EnergyError::new(EnergyErrorKind::Composition, message))
}

/// Index of the first term that no other one beats. There is at least one term.
fn extremal(terms: &[i64], beats: impl Fn(i64, i64) -> bool) -> usize {
    (0..terms.len()).fold(0, |best, i| if beats(terms[i], terms[best]) { i } else { best })
}

/// Turns Q31.32 terms into Q47.16 shares of their extremum.
fn extremum(terms: &mut [i64], beats: impl Fn(i64, i64) -> bool) -> i64 {
    let best = extremal(terms, beats);
    let energy = q16_of_q32(terms[best]);
    terms.fill(0);
    terms[best] = energy;
    energy
}

/// Turns Q31.32 terms into Q47.16 shares of `(1/β) log Σ exp(β v)`. The error is that of the
/// logarithm over |β|, below `2⁻³¹/|β|`, and the rounding to 2⁻¹⁷.
fn soft_extremum(beta: f64, terms: &mut [i64], weights: &mut Vec<u64>) -> i64 {
    let favoured = extremal(terms, |v, best| if beta > 0.0 { v > best } else { v < best });
    // With the term that beta favours taken out, every exponent is at most 0.
    let (scale, inverse) = (Scale::of(beta.abs()), Scale::of(1.0 / beta.abs()));
    weights.clear();
    weights.extend(terms.iter().map(|&v| {
        let depth = scale.apply(terms[favoured].abs_diff(v).into());
        exp(depth.unsigned_abs())
    }));
    let sum: u128 = weights.iter().map(|&weight| u128::from(weight)).sum();
    let above = i128::from(inverse.apply(log(sum).into()));
    let above = if beta > 0.0 { above } else { -above };
    let energy = q16_of_q32(saturate(i128::from(terms[favoured]) + above));
    // A weight is below 2⁵⁷ and the energy below 2⁴⁸: their product is below 2¹⁰⁵.
    let share = |&weight: &u64| i128::from(weight) * i128::from(energy) / sum as i128;
    terms.iter_mut().zip(&*weights).for_each(|(term, weight)| *term = share(weight) as i64);
    // What the divisions leave goes to the largest share, so that the shares add up.
    let rest = energy - terms.iter().sum::<i64>();
    terms[favoured] += rest;
    energy
}
