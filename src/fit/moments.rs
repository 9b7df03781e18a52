//! Mean and standard deviation of a stream of energies.

use crate::energy::float::Term;

use super::{FitError, FitErrorKind};

/// Streaming mean and unbiased standard deviation (Welford 1962).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    count: u64,
    mean: f64,
    /// Sum of squared deviations from the mean.
    squares: f64,
}

impl Moments {
    /// Adds one value.
    pub fn push(&mut self, value: f64) {
        self.count += 1;
        let before = value - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (value - self.mean);
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Mean; 0 of no values.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Unbiased standard deviation (divided by n − 1); `None` of fewer than two values.
    pub fn std(&self) -> Option<f64> {
        (self.count > 1).then(|| (self.squares / (self.count - 1) as f64).sqrt())
    }

    /// The composition term of head number `head`, whose energies on training rows these are.
    ///
    /// Refuses energies that cannot standardise anything: fewer than two, one that is not finite, or
    /// all the same.
    pub fn term(&self, head: u32) -> Result<Term, FitError> {
        let refuse = |kind, what: &str| {
            let message = format!("head number {head} of the composition: {what}");
            Err(FitError::new(kind, message))
        };
        match self.std() {
            None => refuse(FitErrorKind::TooFew, "fewer than two training energies: add pictures"),
            Some(std) if !std.is_finite() || !self.mean.is_finite() => refuse(
                FitErrorKind::NonFinite,
                "a training energy is not finite: remove the pictures with broken features",
            ),
            Some(0.0) => refuse(
                FitErrorKind::Identical,
                "all training energies are the same: leave this head out or add other pictures",
            ),
            Some(std) => Ok(Term { head, mean: self.mean, std, weight: 1.0 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Moments {
        let mut moments = Moments::default();
        values.iter().for_each(|&value| moments.push(value));
        moments
    }

    #[test]
    fn unbiased_and_immune_to_a_large_offset() {
        let moments = of(&[1e9 + 1.0, 1e9 + 2.0, 1e9 + 3.0, 1e9 + 6.0]);
        assert_eq!(moments.mean(), 1e9 + 3.0);
        assert!((moments.std().unwrap() - (14.0f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(of(&[4.0]).std(), None);
    }

    #[test]
    fn useless_energies_make_no_term() {
        let kinds = [
            (vec![1.0], FitErrorKind::TooFew),
            (vec![1.0, f64::INFINITY, 2.0], FitErrorKind::NonFinite),
            (vec![3.0, 3.0], FitErrorKind::Identical),
        ];
        for (values, kind) in kinds {
            assert_eq!(of(&values).term(0).unwrap_err().kind(), kind);
        }
        assert_eq!(
            of(&[1.0, 3.0]).term(2),
            Ok(Term { head: 2, mean: 2.0, std: 2f64.sqrt(), weight: 1.0 })
        );
    }
}
