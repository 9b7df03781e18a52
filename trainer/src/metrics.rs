//! How well energies tell unusual frames from normal ones, and how sure that is.
//!
//! Energy is larger for more unusual frames, and unusual is the positive class unless a name says
//! otherwise. Tied energies are one block everywhere: no threshold can part them.

mod binomial;
mod bootstrap;
mod error;
#[cfg(test)]
mod golden;
mod ranking;

pub use binomial::{Confidence, Share};
pub use error::{MetricsError, MetricsErrorKind};

pub(crate) use ranking::{between, percentile, position};

use bootstrap::{Bootstrap, Replicate};
use oddsight::energy::{Scores, from_q16, from_q32};
use std::collections::HashSet;
use std::num::NonZeroU32;

/// Name of the composition among the heads of an [`Evaluation`].
pub const COMPOSED: &str = "composed";

/// Name of the plain mean over the unusual sets; no set may bear it.
pub const AVERAGE: &str = "average";

/// The energies of one set of frames.
#[derive(Clone, Debug)]
pub struct Scored {
    /// Name of the set.
    pub name: String,
    /// One vector per head, then one for the composition, then one per other detector; in each, one energy
    /// per frame, the frames in the same order.
    pub energies: Vec<Vec<f64>>,
}

impl Scored {
    /// A set without frames, for this many heads and their composition.
    pub fn new(name: &str, heads: usize) -> Scored {
        Scored { name: name.into(), energies: vec![Vec::new(); heads + 1] }
    }

    /// Appends the next frame.
    pub fn push(&mut self, scores: &Scores) {
        let heads = scores.heads_q32.iter().map(|&energy| from_q32(energy));
        let all = heads.chain([from_q16(scores.energy_q16)]);
        self.energies.iter_mut().zip(all).for_each(|(column, energy)| column.push(energy));
    }
}

/// How [`evaluate`] resamples.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bootstrap replicates.
    pub resamples: NonZeroU32,
    /// Seed of all resampling; the result depends on nothing else that is random.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { resamples: NonZeroU32::new(1000).expect("1000 is not zero"), seed: 0 }
    }
}

/// How well one head parts one unusual set from the normal set; all in `0..=1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Separation<T = f64> {
    /// Chance that an unusual frame has a larger energy than a normal one, ties counting half.
    pub auroc: T,
    /// Share of unusual frames accepted when 95 % of the normal ones are: energies strictly below
    /// the 95th percentile of the normal energies, linearly interpolated as in numpy. The FPR95 of
    /// HEAT and of most papers.
    pub fpr_ood_at_95tpr_id: T,
    /// Share of normal frames flagged at the first vertex of the ROC curve at which at least 95 %
    /// of the unusual ones are found. The FPR@95 of OpenOOD; its `roc_curve` may drop collinear
    /// vertices, here every block of ties is one.
    pub fpr_id_at_95tpr_ood: T,
    /// Average precision with the normal frames as positives, lowest energy first.
    pub aupr_in: T,
    /// Average precision with the unusual frames as positives, highest energy first.
    pub aupr_out: T,
    /// Largest mean of the share of unusual frames found and the share of normal ones accepted, over all
    /// thresholds. That threshold has seen the unusual frames: a bound, not a promise.
    pub detection_accuracy: T,
}

/// A measured value with its uncertainty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The value on the frames as given.
    pub value: f64,
    /// 2.5th and 97.5th percentile of the value over the bootstrap replicates.
    pub interval: [f64; 2],
}

/// What [`evaluate`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Number of normal frames.
    pub normal_frames: u64,
    /// Number of bootstrap replicates behind every interval.
    pub resamples: u32,
    /// Seed of the replicates.
    pub seed: u64,
    /// The heads in the order given, then [`COMPOSED`].
    pub heads: Vec<HeadEvaluation>,
    /// The other detectors in the order given.
    pub compared: Vec<HeadEvaluation>,
}

/// One head's, or other detector's, part of an [`Evaluation`].
#[derive(Clone, Debug, PartialEq)]
pub struct HeadEvaluation {
    /// Name of the head.
    pub name: String,
    /// The 95th percentile of the normal energies, which [`Separation::fpr_ood_at_95tpr_id`] looks at.
    pub threshold: Estimate,
    /// The unusual sets in the order given.
    pub sets: Vec<SetEvaluation>,
    /// Plain mean over the sets; its interval is that of the mean taken within each replicate,
    /// where all sets face the same resample of the normal frames.
    pub average: Separation<Estimate>,
    /// AUROC of the average minus that of the composition, whose replicates have the same frames: an
    /// interval without 0 is a difference that other frames of this kind would show, too.
    pub over_composed: Estimate,
}

/// One unusual set under one head.
#[derive(Clone, Debug, PartialEq)]
pub struct SetEvaluation {
    /// Name of the set.
    pub name: String,
    /// Number of unusual frames.
    pub frames: u64,
    /// The figures.
    pub separation: Separation<Estimate>,
}

/// Measures how well every head, the composition and other detectors part each unusual set from the normal
/// one.
///
/// `head_names` names the heads without the composition and `others` the detectors behind it; every
/// [`Scored`] holds one vector more than both. Intervals come from a stratified bootstrap: each replicate
/// draws the normal frames and each unusual set with replacement, and all heads see the same draw. Runs on
/// the current rayon pool; the result does not depend on its size.
///
/// # Errors
///
/// No unusual set, a set without frames, heads of different length, an energy that is not finite,
/// or a name that is reserved or given twice.
pub fn evaluate(
    head_names: &[String],
    others: &[String],
    normal: &Scored,
    unusual: &[Scored],
    options: &Options,
) -> Result<Evaluation, MetricsError> {
    let heads = head_names.iter().map(String::as_str).chain([COMPOSED]);
    let names: Vec<&str> = heads.chain(others.iter().map(String::as_str)).collect();
    check_names("head", &names)?;
    check_sets(unusual.iter().map(|set| set.name.as_str()))?;
    for set in [normal].into_iter().chain(unusual) {
        check_energies(&names, set)?;
    }
    let bootstrap = Bootstrap::new(normal, unusual);
    let found = Found {
        point: bootstrap.point(),
        replicates: bootstrap.replicates(options),
        composed: head_names.len(),
    };
    let evaluations = names.iter().enumerate().map(|(h, name)| found.head(h, name, unusual));
    let mut heads: Vec<HeadEvaluation> = evaluations.collect();
    Ok(Evaluation {
        normal_frames: normal.energies[0].len() as u64,
        resamples: options.resamples.get(),
        seed: options.seed,
        compared: heads.split_off(head_names.len() + 1),
        heads,
    })
}

/// The figures of all frames, and those of each replicate.
struct Found {
    point: Replicate,
    replicates: Vec<Replicate>,
    /// Place of the composition among the heads.
    composed: usize,
}

impl Found {
    fn head(&self, h: usize, name: &str, unusual: &[Scored]) -> HeadEvaluation {
        let set = |(s, set): (usize, &Scored)| SetEvaluation {
            name: set.name.clone(),
            frames: set.energies[h].len() as u64,
            separation: self.separation(h, s),
        };
        let average = unusual.len();
        HeadEvaluation {
            name: name.to_string(),
            threshold: self.estimate(|r| r.thresholds[h]),
            sets: unusual.iter().enumerate().map(set).collect(),
            average: self.separation(h, average),
            over_composed: self.estimate(|r| {
                r.separations[h][average].auroc - r.separations[self.composed][average].auroc
            }),
        }
    }

    fn separation(&self, head: usize, set: usize) -> Separation<Estimate> {
        Separation::from_each(|pick| self.estimate(|r| pick(&r.separations[head][set])))
    }

    /// A figure with its percentiles over the replicates.
    fn estimate(&self, figure: impl Fn(&Replicate) -> f64) -> Estimate {
        let mut values: Vec<f64> = self.replicates.iter().map(&figure).collect();
        values.sort_unstable_by(f64::total_cmp);
        let interval = [0.025, 0.975].map(|share| percentile(&values, share));
        Estimate { value: figure(&self.point), interval }
    }
}

/// Refuses names of unusual sets that [`evaluate`] would refuse, before there is anything to evaluate.
pub fn check_sets<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), MetricsError> {
    let names: Vec<&str> = names.chain([AVERAGE]).collect();
    if names.len() == 1 {
        return Err(MetricsError::new(
            MetricsErrorKind::Empty,
            "no unusual set",
            "give at least one set of frames that should be flagged",
        ));
    }
    check_names("unusual set", &names)
}

fn check_names(what: &str, names: &[&str]) -> Result<(), MetricsError> {
    let mut seen = HashSet::new();
    match names.iter().find(|name| !seen.insert(**name)) {
        None => Ok(()),
        Some(name) => Err(MetricsError::new(
            MetricsErrorKind::Name,
            format_args!("{what} `{name}`"),
            "the name is reserved or given twice; rename one",
        )),
    }
}

fn check_energies(heads: &[&str], set: &Scored) -> Result<(), MetricsError> {
    let fail = |kind, head: Option<&str>, why: String| {
        let head = head.map(|head| format!(", head `{head}`")).unwrap_or_default();
        Err(MetricsError::new(kind, format_args!("set `{}`{head}", set.name), why))
    };
    if set.energies.len() != heads.len() {
        let why = format!("holds {} heads, expected {}", set.energies.len(), heads.len());
        return fail(MetricsErrorKind::Shape, None, why);
    }
    let frames = set.energies[0].len();
    if frames == 0 {
        return fail(MetricsErrorKind::Empty, None, "holds no frame; add some".into());
    }
    for (&head, energies) in heads.iter().zip(&set.energies) {
        if energies.len() != frames {
            let why = format!("holds {} energies for {frames} frames", energies.len());
            return fail(MetricsErrorKind::Shape, Some(head), why);
        }
        if let Some(frame) = energies.iter().position(|energy| !energy.is_finite()) {
            let why = format!("energy of frame {frame} is {}; refit the head", energies[frame]);
            return fail(MetricsErrorKind::NotFinite, Some(head), why);
        }
    }
    Ok(())
}

impl<T> Separation<T> {
    /// Builds each figure from the accessor of the same figure.
    fn from_each(mut build: impl FnMut(fn(&Separation) -> f64) -> T) -> Separation<T> {
        Separation {
            auroc: build(|s| s.auroc),
            fpr_ood_at_95tpr_id: build(|s| s.fpr_ood_at_95tpr_id),
            fpr_id_at_95tpr_ood: build(|s| s.fpr_id_at_95tpr_ood),
            aupr_in: build(|s| s.aupr_in),
            aupr_out: build(|s| s.aupr_out),
            detection_accuracy: build(|s| s.detection_accuracy),
        }
    }
}

impl Separation {
    /// The plain mean, figure by figure, of at least one separation.
    fn mean(of: &[Separation]) -> Separation {
        Separation::from_each(|pick| of.iter().map(pick).sum::<f64>() / of.len() as f64)
    }
}
