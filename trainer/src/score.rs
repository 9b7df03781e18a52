//! Energies of the rows of a feature file.

use anyhow::{Result, ensure};
use oddsight::backbone::Features;
use oddsight::energy::{Heads, Scores, Scratch};
use rayon::prelude::*;

use crate::features::FeatureFile;

/// Rows that are scored together; memory is bounded by them.
const CHUNK: usize = 1024;

/// Scores the kept rows in their order, on the threads of the current pool.
///
/// Errors when an energy is not finite: such a row cannot be fitted or calibrated with.
pub fn energies(file: &FeatureFile, heads: &Heads, keep: &[bool]) -> Result<Vec<Scores>> {
    let mut scores = Vec::new();
    let mut chunk: Vec<(usize, Features)> = Vec::new();
    file.visit(|index, features| {
        if keep[index] {
            chunk.push((index, features.clone()));
        }
        if chunk.len() == CHUNK {
            score(&mut chunk, heads, &mut scores)?;
        }
        Ok(())
    })?;
    score(&mut chunk, heads, &mut scores)?;
    Ok(scores)
}

fn score(
    chunk: &mut Vec<(usize, Features)>,
    heads: &Heads,
    scores: &mut Vec<Scores>,
) -> Result<()> {
    let scored: Vec<Scores> = chunk
        .par_iter()
        .map_init(Scratch::default, |scratch, (_, f)| heads.score(f, scratch))
        .collect();
    for ((index, _), scores) in chunk.iter().zip(&scored) {
        ensure!(
            scores.heads.iter().all(|energy| energy.is_finite()),
            "row {index}: an energy is not finite; its features hold NaN or infinity"
        );
    }
    chunk.clear();
    scores.extend(scored);
    Ok(())
}
