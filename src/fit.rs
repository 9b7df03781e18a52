//! Fitting heads to feature rows.
//!
//! Rows are visited, never held: they may be streamed from disk any number of times, and memory grows
//! with the width and the number of components, not with the number of rows. All sums run in `f64` in
//! the order of the rows on one thread, so a fit can be repeated bit for bit on one machine.

mod class;
mod covariance;
mod error;
mod lloyd;
mod mixture;
mod moments;
mod nearest;
mod table;

use crate::energy::float::project;

pub use class::{GmmOptions, fit_gmm, fit_gmm_diagonal};
pub use error::{FitError, FitErrorKind};
pub use mixture::{Candidate, Components, Mixture, MixtureOptions, fit_mixture};
pub use moments::Moments;
pub use nearest::{KnnOptions, fit_knn};
pub use table::Table;

/// Rows held at once by the steps that cannot stream: starts of a mixture and its choice of
/// components see a uniform sample of at most this many rows.
pub const SAMPLE_ROWS: usize = 8192;

/// What is done with one row and its label.
pub type EachRow<'a> = &'a mut dyn FnMut(&[f64], Option<u32>) -> Result<(), FitError>;

/// Feature rows, each with an optional class label.
pub trait Rows {
    /// Length of every row.
    fn width(&self) -> usize;

    /// Calls `each` with every row and its label, in the same order every time. The first error ends
    /// the visit and is returned, whether it is the source's (kind
    /// [`Source`](FitErrorKind::Source)) or `each`'s.
    fn visit(&self, each: EachRow) -> Result<(), FitError>;
}

/// What is done with one projected row: its index, its numbers, its label.
type EachProjected<'a> = &'a mut dyn FnMut(u64, &[f64], Option<u32>) -> Result<(), FitError>;

/// Rows as a head sees them: of the right width, finite, in `f64`, L2-normalised if wanted.
#[derive(Clone, Copy)]
struct Projected<'a> {
    rows: &'a dyn Rows,
    normalize: bool,
    /// Class names, for messages only.
    classes: &'a [String],
}

impl<'a> Projected<'a> {
    fn new(
        rows: &'a dyn Rows,
        normalize: bool,
        classes: &'a [String],
    ) -> Result<Projected<'a>, FitError> {
        if rows.width() == 0 {
            let message = "rows have no features: this backbone has no such tap".to_string();
            return Err(FitError::new(FitErrorKind::Width, message));
        }
        Ok(Projected { rows, normalize, classes })
    }

    fn width(&self) -> usize {
        self.rows.width()
    }

    fn visit(&self, each: EachProjected) -> Result<(), FitError> {
        let mut projected = Vec::with_capacity(self.width());
        let mut index = 0;
        self.rows.visit(&mut |row, label| {
            if row.len() != self.width() {
                return Err(FitError::new(
                    FitErrorKind::Width,
                    format!(
                        "row {index} has {} features, the others {}: extract the features again",
                        row.len(),
                        self.width()
                    ),
                ));
            }
            if !row.iter().all(|x| x.is_finite()) {
                let class = label.and_then(|label| self.classes.get(label as usize));
                let class = class.map(|name| format!(" (class {name})")).unwrap_or_default();
                return Err(FitError::new(
                    FitErrorKind::NonFinite,
                    format!(
                        "row {index}{class} holds a feature that is not finite: \
                         remove its picture, or check the backbone if many rows do"
                    ),
                ));
            }
            project(row, self.normalize, &mut projected);
            each(index, &projected, label)?;
            index += 1;
            Ok(())
        })
    }
}

/// Visits rows and refuses those that no fit takes: of another width than the first, or not finite. Class
/// names are for messages only.
pub fn visit_checked(rows: &dyn Rows, classes: &[String], each: EachRow) -> Result<(), FitError> {
    Projected::new(rows, false, classes)?.visit(&mut |_, row, label| each(row, label))
}

/// Whether two rows are equal to the precision of a feature: projection rounds multiples of one row
/// differently.
fn same<T: Copy + Into<f64>>(a: &[T], b: &[T]) -> bool {
    a.iter().zip(b).all(|(&a, &b)| {
        let (a, b): (f64, f64) = (a.into(), b.into());
        (a - b).abs() <= f64::from(f32::EPSILON) * a.abs()
    })
}
