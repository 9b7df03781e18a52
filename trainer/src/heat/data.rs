//! Rows to train on, read from a feature file in any order.

use anyhow::{Result, ensure};
use oddsight::backbone::{NOT_A_NUMBER, from_feature};

use super::draws::{Purpose, Seed};
use crate::autodiff::unit;
use crate::features::{FeatureFile, RandomRows, Tap};

/// The kept rows of one tensor of a file. Memory per row is its index, not its features.
pub struct Data<'a> {
    file: &'a FeatureFile,
    rows: RandomRows,
    /// Kept rows, in the order of the epoch.
    order: Vec<u32>,
    normalize: bool,
}

/// The rows of one batch and, where the file has them, their labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Row by row.
    pub rows: Vec<f32>,
    /// One per row, or none at all.
    pub labels: Vec<u32>,
}

impl<'a> Data<'a> {
    /// The rows of `file` that are kept; L2-normalised if wanted.
    pub fn new(
        file: &'a FeatureFile,
        tap: Tap,
        keep: &[bool],
        normalize: bool,
    ) -> Result<Data<'a>> {
        let order: Vec<u32> = (0..).zip(keep).filter_map(|(i, &keep)| keep.then_some(i)).collect();
        ensure!(!order.is_empty(), "there are no rows to train on: add pictures");
        Ok(Data { file, rows: file.random_rows(tap)?, order, normalize })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Never: data without rows are refused.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Puts the rows into the order of an epoch: a shuffle that depends on seed and epoch alone.
    pub fn shuffle(&mut self, seed: Seed, epoch: usize) {
        self.order.sort_unstable();
        let mut draws = seed.stream(Purpose::Order, epoch, 0, 0);
        for i in (1..self.order.len()).rev() {
            self.order.swap(i, draws.below(i + 1));
        }
    }

    /// Reads `count` rows from position `start` of the epoch's order.
    pub fn read(&mut self, start: usize, count: usize, batch: &mut Batch) -> Result<()> {
        let Batch { rows, labels } = batch;
        let all_labels = self.file.labels().map(|labels| &labels.labels);
        rows.clear();
        labels.clear();
        let mut features = Vec::new();
        for &index in &self.order[start..start + count] {
            let index = index as usize;
            self.rows.read(index, &mut features)?;
            ensure!(!features.contains(&NOT_A_NUMBER), self.file.not_finite(index));
            let at = rows.len();
            rows.extend(features.iter().map(|&x| from_feature(x) as f32));
            if self.normalize {
                unit(&mut rows[at..]);
            }
            labels.extend(all_labels.map(|labels| labels[index]));
        }
        Ok(())
    }
}
