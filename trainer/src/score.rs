//! Energies of the rows of a feature file.

use anyhow::{Result, ensure};
use oddsight::backbone::Features;
use oddsight::energy::{BROKEN, Heads, Scores, Scratch};
use rayon::prelude::*;

use crate::features::FeatureFile;

/// Rows that are scored together; memory is bounded by them.
const CHUNK: usize = 1024;

/// The class that logits name: the position of the largest one, the first of equals.
pub fn named_class(logits: &[i32]) -> u32 {
    let best = |best: usize, i: usize| if logits[i] > logits[best] { i } else { best };
    (0..logits.len()).fold(0, best) as u32
}

/// The heads' names in their order, without the composition.
pub fn head_names(heads: &Heads) -> Vec<String> {
    heads.heads.iter().map(|head| head.id().to_string()).collect()
}

/// Scores the kept rows on the threads of the current pool and hands them to `each` in their order.
///
/// Errors when an energy is not finite: such a row cannot be fitted or calibrated with.
pub fn visit_scores(
    file: &FeatureFile,
    heads: &Heads,
    keep: &[bool],
    mut each: impl FnMut(&Features, &Scores),
) -> Result<()> {
    let mut chunk: Vec<(usize, Features)> = Vec::new();
    file.visit(|index, features| {
        if keep[index] {
            chunk.push((index, features.clone()));
        }
        if chunk.len() == CHUNK {
            score(file, &mut chunk, heads, &mut each)?;
        }
        Ok(())
    })?;
    score(file, &mut chunk, heads, &mut each)
}

fn score(
    file: &FeatureFile,
    chunk: &mut Vec<(usize, Features)>,
    heads: &Heads,
    each: &mut impl FnMut(&Features, &Scores),
) -> Result<()> {
    let scored: Vec<Scores> = chunk
        .par_iter()
        .map_init(Scratch::default, |scratch, (_, features)| {
            let mut scores = Scores::default();
            heads.score(features, scratch, &mut scores);
            scores
        })
        .collect();
    for ((index, features), scores) in chunk.iter().zip(&scored) {
        // An energy is broken where a feature is, and nowhere else.
        ensure!(!scores.heads_q32.contains(&BROKEN), file.not_finite(*index));
        each(features, scores);
    }
    chunk.clear();
    Ok(())
}
