//! Distance to the k-th nearest row of a stored coreset.

use serde::{Deserialize, Serialize};

use super::row::{project, squared_distance};
use super::{EnergyError, EnergyErrorKind, HeadId, Scratch};

/// Nearest neighbours (Sun et al. 2022): the **squared** L2 distance to the k-th nearest row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Knn {
    /// Whether a query is L2-normalised first; `rows` are stored as they are compared.
    pub normalize: bool,
    /// Which neighbour counts: 1 is the nearest.
    pub k: u32,
    /// D, the length of a feature row.
    pub width: u32,
    /// The coreset, n × D, row by row.
    pub rows: Vec<f32>,
}

impl Knn {
    /// Energy of one feature row of D finite numbers; `+∞` for another width. O(n·D).
    pub fn energy(&self, features: &[f64], scratch: &mut Scratch) -> f64 {
        if features.is_empty() || features.len() != self.width as usize {
            return f64::INFINITY;
        }
        project(features, self.normalize, &mut scratch.row);
        scratch.distances.clear();
        let rows = self.rows.chunks_exact(features.len());
        scratch.distances.extend(rows.map(|row| squared_distance(&scratch.row, row)));
        match (self.k as usize).checked_sub(1) {
            Some(rank) if rank < scratch.distances.len() => {
                *scratch.distances.select_nth_unstable_by(rank, f64::total_cmp).1
            }
            _ => f64::INFINITY,
        }
    }

    pub(in crate::energy) fn check(&self, id: HeadId, width: usize) -> Result<(), EnergyError> {
        let wrong = |kind, what: String| {
            Err(EnergyError::new(kind, format!("head {id}: {what}: fit the heads again")))
        };
        let d = self.width as usize;
        if d == 0 || d != width {
            let what = format!("fitted for {d} features, the backbone has {width}");
            return wrong(EnergyErrorKind::Shape, what);
        }
        if !self.rows.len().is_multiple_of(d) {
            let what = format!("rows has {} numbers, no multiple of {d}", self.rows.len());
            return wrong(EnergyErrorKind::Shape, what);
        }
        let rows = self.rows.len() / d;
        if self.k == 0 || self.k as usize > rows {
            let what = format!("k is {} of {rows} rows", self.k);
            return wrong(EnergyErrorKind::Value, what);
        }
        if !self.rows.iter().all(|x| x.is_finite()) {
            return wrong(EnergyErrorKind::Value, "a row is not finite".to_string());
        }
        Ok(())
    }
}
