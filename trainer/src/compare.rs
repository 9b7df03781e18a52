//! What quantising a backbone costs its classes and its heads.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use oddsight::energy::Heads;
use serde::Serialize;

use crate::features::FeatureFile;
use crate::heads::{HeadOptions, fit_heads};
use crate::metrics::{self, AVERAGE, Scored};
use crate::progress::Progress;
use crate::report::{self, Named, SetScores};
use crate::score::{head_names, named_class, visit_scores};

/// One source of pictures as two backbones see it, the rows in the same order.
pub struct Seen {
    pub float: FeatureFile,
    pub int8: FeatureFile,
}

/// How often the backbones name the class that a picture is labelled with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Top1 {
    /// Labelled pictures.
    pub pictures: usize,
    /// Share named right by the float backbone.
    pub float: f64,
    /// Share named right by the int8 backbone.
    pub int8: f64,
    /// Share that both name alike, right or wrong.
    pub same_class: f64,
}

impl Top1 {
    /// Counts; `named` has the float and the int8 backbone's class of each labelled picture.
    pub fn of(labels: &[u32], named: &[[u32; 2]]) -> Top1 {
        let share = |is: fn(u32, [u32; 2]) -> bool| {
            let found = labels.iter().zip(named).filter(|(label, named)| is(**label, **named));
            found.count() as f64 / labels.len() as f64
        };
        Top1 {
            pictures: labels.len(),
            float: share(|label, [float, _]| float == label),
            int8: share(|label, [_, int8]| int8 == label),
            same_class: share(|_, [float, int8]| float == int8),
        }
    }

    /// Of pictures whose folders are the classes of the backbones; `None` where they are not.
    pub fn seen(normal: &Seen) -> Result<Option<Top1>> {
        let Some(labels) = normal.float.labels() else { return Ok(None) };
        if !has_classes(labels.classes.len(), normal.float.classes()) {
            return Ok(None);
        }
        let mut named = vec![[0; 2]; normal.float.len()];
        for (which, file) in [&normal.float, &normal.int8].into_iter().enumerate() {
            file.visit(|row, features| {
                named[row][which] = named_class(&features.logits);
                Ok(())
            })?;
        }
        Ok(Some(Top1::of(&labels.labels, &named)))
    }

    /// One line for a terminal; `what` says which pictures they are.
    pub fn line(&self, what: &str) -> String {
        format!(
            "top-1 on {} {what} pictures: float {:.2} %, int8 {:.2} %, same class {:.2} %",
            self.pictures,
            100.0 * self.float,
            100.0 * self.int8,
            100.0 * self.same_class
        )
    }
}

/// Whether pictures of so many classes can be measured by a backbone's logits; warns if not.
pub fn has_classes(pictures: usize, logits: usize) -> bool {
    if pictures != logits {
        log::warn!(
            "top-1 is left out: the pictures have {pictures} classes, the backbone {logits}"
        );
    }
    pictures == logits
}

/// The scores of all heads, and of their composition, before and after: per head and unusual set,
/// the average last.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The float backbone, and heads fitted to its features.
    pub float: Named<Named<SetScores>>,
    /// The int8 backbone, and heads fitted to its features.
    pub int8: Named<Named<SetScores>>,
    /// The int8 backbone, and heads fitted to the float backbone's features.
    pub float_heads_on_int8_features: Named<Named<SetScores>>,
    /// Pictures that the heads were fitted to.
    #[serde(skip)]
    pub fitted_to: usize,
}

/// Fits heads to what each backbone says of `fit`, and measures how well they part each unusual set
/// from the normal one. Nothing but `fit` reaches the heads.
///
/// Runs on the current rayon pool; the result does not depend on it.
pub fn compare(
    fit: &Seen,
    normal: &Seen,
    unusual: &[(&str, &Seen)],
    options: &HeadOptions,
    bootstrap: &metrics::Options,
) -> Result<Comparison> {
    let fitted = |file: &FeatureFile, which: &str| {
        fit_heads(file, &vec![true; file.len()], options, &[], &mut |_, _| Ok(()))
            .with_context(|| format!("fitting heads to the {which} backbone's features"))
    };
    let float = fitted(&fit.float, "float")?;
    let int8 = fitted(&fit.int8, "int8")?;
    let rows = unusual.iter().fold(normal.float.len(), |sum, (_, seen)| sum + seen.float.len());
    let mut progress = Progress::new("scoring three ways", Some(3 * rows as u64));
    let mut measure = |heads: &Heads, of: fn(&Seen) -> &FeatureFile| -> Result<_> {
        let mut score = |name: &str, seen: &Seen| {
            score(name, of(seen), heads, &mut progress).with_context(|| format!("set {name}"))
        };
        let normal = score("normal", normal)?;
        let unusual = unusual.iter().map(|(name, seen)| score(name, seen));
        let unusual = unusual.collect::<Result<Vec<_>>>()?;
        let evaluation = metrics::evaluate(&head_names(heads), &[], &normal, &unusual, bootstrap)?;
        Ok(report::scores(&evaluation))
    };
    let comparison = Comparison {
        float: measure(&float, |seen| &seen.float)?,
        int8: measure(&int8, |seen| &seen.int8)?,
        float_heads_on_int8_features: measure(&float, |seen| &seen.int8)?,
        fitted_to: fit.float.len(),
    };
    progress.finish();
    Ok(comparison)
}

fn score(name: &str, file: &FeatureFile, heads: &Heads, progress: &mut Progress) -> Result<Scored> {
    let mut scored = Scored::new(name, heads.heads.len());
    visit_scores(file, heads, &vec![true; file.len()], |_, scores| {
        scored.push(scores);
        progress.tick();
    })?;
    Ok(scored)
}

impl Comparison {
    /// For a terminal: each head's AUROC, the mean over the unusual sets, in percent.
    pub fn table(&self) -> String {
        let sets = self.float.0.first().map_or(0, |(_, sets)| sets.0.len() - 1);
        let mut text = format!(
            "AUROC in percent, mean over {sets} unusual sets; heads fitted to {} pictures:\n\
             head      float   int8            float heads on int8 features\n",
            self.fitted_to
        );
        let after = self.int8.0.iter().zip(&self.float_heads_on_int8_features.0);
        for ((head, float), ((_, int8), (_, mixed))) in self.float.0.iter().zip(after) {
            let [float, int8, mixed] = [float, int8, mixed].map(|sets| 100.0 * average(sets));
            let (of_int8, of_mixed) = (int8 - float, mixed - float);
            let _ = writeln!(
                text,
                "{head:8}  {float:5.2}   {int8:5.2} ({of_int8:+.2})   {mixed:5.2} ({of_mixed:+.2})"
            );
        }
        text
    }
}

fn average(sets: &Named<SetScores>) -> f64 {
    sets.0.iter().find(|(set, _)| set == AVERAGE).map_or(f64::NAN, |(_, scores)| scores.auroc)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top1_counts_each_backbone_and_their_agreement() {
        let named = [[0, 0], [1, 2], [2, 2], [3, 3]];
        let found = Top1::of(&[0, 1, 2, 0], &named);
        let wanted = Top1 { pictures: 4, float: 0.75, int8: 0.5, same_class: 0.75 };
        assert_eq!(found, wanted);
        assert!(found.line("other").starts_with("top-1 on 4 other pictures: float 75.00 %"));
    }
}
