//! Rows in memory, and uniform samples of rows that are not.

use crate::random::Random;

use super::{EachRow, FitError, FitErrorKind, Projected, Rows};

/// Feature rows in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    width: usize,
    values: Vec<f64>,
    labels: Vec<Option<u32>>,
}

impl Table {
    /// No rows yet, each to have `width` features.
    pub fn new(width: usize) -> Table {
        Table { width, values: Vec::new(), labels: Vec::new() }
    }

    /// Appends a row. Refuses one of another width (kind [`Width`](FitErrorKind::Width)).
    pub fn push(&mut self, row: &[f64], label: Option<u32>) -> Result<(), FitError> {
        if row.len() != self.width {
            let message = format!("a row of {} features in a table of {}", row.len(), self.width);
            return Err(FitError::new(FitErrorKind::Width, message));
        }
        self.values.extend_from_slice(row);
        self.labels.push(label);
        Ok(())
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Row `index`. Panics beyond the last one.
    pub fn row(&self, index: usize) -> &[f64] {
        &self.values[index * self.width..(index + 1) * self.width]
    }

    /// All rows, one after the other.
    pub fn into_values(self) -> Vec<f64> {
        self.values
    }
}

impl Rows for Table {
    fn width(&self) -> usize {
        self.width
    }

    fn visit(&self, each: EachRow) -> Result<(), FitError> {
        (0..self.len()).try_for_each(|i| each(self.row(i), self.labels[i]))
    }
}

/// A uniform sample of at most `capacity` rows without replacement, projected, and the
/// number of all rows (Vitter's algorithm R).
pub(super) fn reservoir(
    rows: &Projected,
    capacity: usize,
    seed: u64,
) -> Result<(Table, u64), FitError> {
    let mut random = Random::new(seed);
    let width = rows.width();
    let mut sample = Table::new(width);
    let mut total = 0;
    rows.visit(&mut |index, row, label| {
        total = index + 1;
        if sample.len() < capacity {
            sample.values.extend_from_slice(row);
            sample.labels.push(label);
            return Ok(());
        }
        let slot = usize::try_from(random.below(total)).unwrap_or(usize::MAX);
        if slot < capacity {
            let kept = &mut sample.values[slot * width..(slot + 1) * width];
            kept.copy_from_slice(row);
            sample.labels[slot] = label;
        }
        Ok(())
    })?;
    Ok((sample, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(n: u32, capacity: usize, seed: u64) -> (Table, u64) {
        let mut table = Table::new(1);
        (0..n).for_each(|i| table.push(&[f64::from(i)], Some(i)).unwrap());
        let rows = Projected::new(&table, false, &[]).unwrap();
        reservoir(&rows, capacity, seed).unwrap()
    }

    #[test]
    fn small_input_is_kept_whole() {
        let (all, total) = sample(5, 8, 1);
        assert_eq!((all.values, total), (vec![0.0, 1.0, 2.0, 3.0, 4.0], 5));
    }

    #[test]
    fn every_row_is_equally_likely() {
        let mut counts = [0; 20];
        for seed in 0..4000 {
            let (kept, total) = sample(20, 5, seed);
            assert_eq!((kept.len(), total), (5, 20));
            for (value, label) in kept.values.iter().zip(&kept.labels) {
                assert_eq!(Some(*value as u32), *label);
                counts[*value as usize] += 1;
            }
        }
        // Expected 1000 with a standard deviation of 27.
        assert!(counts.iter().all(|c| (880..1120).contains(c)), "{counts:?}");
    }
}
