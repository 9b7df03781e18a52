//! What an evaluation says to programs (JSON) and to people (a terminal table, a model card).

mod table;

use crate::metrics::{AVERAGE, COMPOSED, Estimate};
use crate::metrics::{Confidence, Evaluation, HeadEvaluation, MetricsError, Separation, Share};
use serde::{Serialize, Serializer};

/// The evaluation of one model; serialised, it is the JSON of `oddsight-train eval`.
///
/// Shares are in `0..=1`; intervals are `[low, high]` of 95 % confidence unless named otherwise.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The network under the heads.
    pub backbone: Backbone,
    /// The false-alarm rate per frame that the model promises.
    pub alpha: f64,
    /// Share of the normal frames that the model flags at `alpha`.
    pub false_alarm_rate: f64,
    /// Exact (Clopper-Pearson) interval of that rate. It tells what the evaluated frames leave
    /// open; the luck of the calibration frames comes on top.
    pub false_alarm_rate_interval: [f64; 2],
    /// The same with 99 % confidence.
    pub false_alarm_rate_interval_99: [f64; 2],
    /// What makes the figures doubtful.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The normal frames.
    pub normal: Normal,
    /// Bootstrap replicates behind the intervals in `scores`.
    pub resamples: u32,
    /// Seed of the bootstrap.
    pub seed: u64,
    /// Per head, the composition last: per unusual set, the average last, the figures.
    pub scores: Named<Named<SetScores>>,
    /// The same of other detectors, which the model does not hold.
    #[serde(skip_serializing_if = "Named::is_empty")]
    pub compared: Named<Named<SetScores>>,
    /// Pictures that the other detectors were fitted to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared_fitted_to: Option<u64>,
    /// Per head, composition and other detector: the 95th percentile of the normal energies.
    pub thresholds: Named<Measured>,
    /// Per head and other detector: AUROC of the average minus that of the composition, on the same
    /// resamples.
    pub auroc_over_composed: Named<Measured>,
}

/// A number and its bootstrap interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Measured {
    pub value: f64,
    pub interval: [f64; 2],
}

impl From<Estimate> for Measured {
    fn from(Estimate { value, interval }: Estimate) -> Measured {
        Measured { value, interval }
    }
}

/// How well the network names the class of normal frames.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Backbone {
    /// Share of the labelled normal frames whose class is named right; `None` without labels.
    pub top1: Option<f64>,
    /// Exact interval of that share.
    pub top1_interval: Option<[f64; 2]>,
    /// Normal frames that carry a class label.
    pub labelled: u64,
}

/// The normal frames.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Normal {
    /// How many there are.
    pub count: u64,
    /// How many of them the model flags.
    pub flagged: u64,
}

/// The figures of one head on one set, as [`Separation`] defines them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SetScores {
    /// Unusual frames in the set; `None` for the average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// [`Separation::auroc`].
    pub auroc: f64,
    /// Bootstrap interval of the field above.
    pub auroc_interval: [f64; 2],
    /// [`Separation::fpr_ood_at_95tpr_id`].
    pub fpr_ood_at_95tpr_id: f64,
    /// Bootstrap interval of the field above.
    pub fpr_ood_at_95tpr_id_interval: [f64; 2],
    /// [`Separation::fpr_id_at_95tpr_ood`].
    pub fpr_id_at_95tpr_ood: f64,
    /// Bootstrap interval of the field above.
    pub fpr_id_at_95tpr_ood_interval: [f64; 2],
    /// [`Separation::aupr_in`].
    pub aupr_in: f64,
    /// Bootstrap interval of the field above.
    pub aupr_in_interval: [f64; 2],
    /// [`Separation::aupr_out`].
    pub aupr_out: f64,
    /// Bootstrap interval of the field above.
    pub aupr_out_interval: [f64; 2],
    /// [`Separation::detection_accuracy`].
    pub detection_accuracy: f64,
    /// Bootstrap interval of the field above.
    pub detection_accuracy_interval: [f64; 2],
}

/// Values by name, in a fixed order; serialises as a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Named<T>(pub Vec<(String, T)>);

impl<T> Named<T> {
    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl Report {
    /// Joins the evaluation with what the model did at its shipped `alpha`: `flagged` of the normal
    /// frames were called unusual. `top1` counts the labelled normal frames named right, if any
    /// carry labels.
    ///
    /// # Errors
    ///
    /// More frames flagged than there are.
    pub fn new(
        evaluation: &Evaluation,
        alpha: f64,
        flagged: u64,
        top1: Option<Share>,
    ) -> Result<Report, MetricsError> {
        let all = || evaluation.heads.iter().chain(&evaluation.compared);
        let false_alarms = Share::new("flagged normal frames", flagged, evaluation.normal_frames)?;
        Ok(Report {
            backbone: Backbone {
                top1: top1.map(|share| share.rate()),
                top1_interval: top1.map(|share| share.interval(Confidence::P95)),
                labelled: top1.map_or(0, |share| share.total()),
            },
            alpha,
            false_alarm_rate: false_alarms.rate(),
            false_alarm_rate_interval: false_alarms.interval(Confidence::P95),
            false_alarm_rate_interval_99: false_alarms.interval(Confidence::P99),
            warnings: Vec::new(),
            normal: Normal { count: evaluation.normal_frames, flagged },
            resamples: evaluation.resamples,
            seed: evaluation.seed,
            scores: scores(evaluation),
            compared: named(&evaluation.compared, head_scores),
            compared_fitted_to: None,
            thresholds: named(all(), |head| head.threshold.into()),
            auroc_over_composed: named(all().filter(|head| head.name != COMPOSED), |head| {
                head.over_composed.into()
            }),
        })
    }
}

/// Per head, the composition last: per unusual set, the average last, the figures.
pub fn scores(evaluation: &Evaluation) -> Named<Named<SetScores>> {
    named(&evaluation.heads, head_scores)
}

fn named<'a, T>(
    heads: impl IntoIterator<Item = &'a HeadEvaluation>,
    value: impl Fn(&HeadEvaluation) -> T,
) -> Named<T> {
    Named(heads.into_iter().map(|head| (head.name.clone(), value(head))).collect())
}

fn head_scores(head: &HeadEvaluation) -> Named<SetScores> {
    let sets = head
        .sets
        .iter()
        .map(|set| (set.name.clone(), SetScores::new(Some(set.frames), &set.separation)));
    let average = (AVERAGE.to_string(), SetScores::new(None, &head.average));
    Named(sets.chain([average]).collect())
}

impl SetScores {
    fn new(count: Option<u64>, separation: &Separation<Estimate>) -> SetScores {
        let Separation {
            auroc,
            fpr_ood_at_95tpr_id,
            fpr_id_at_95tpr_ood,
            aupr_in,
            aupr_out,
            detection_accuracy,
        } = *separation;
        SetScores {
            count,
            auroc: auroc.value,
            auroc_interval: auroc.interval,
            fpr_ood_at_95tpr_id: fpr_ood_at_95tpr_id.value,
            fpr_ood_at_95tpr_id_interval: fpr_ood_at_95tpr_id.interval,
            fpr_id_at_95tpr_ood: fpr_id_at_95tpr_ood.value,
            fpr_id_at_95tpr_ood_interval: fpr_id_at_95tpr_ood.interval,
            aupr_in: aupr_in.value,
            aupr_in_interval: aupr_in.interval,
            aupr_out: aupr_out.value,
            aupr_out_interval: aupr_out.interval,
            detection_accuracy: detection_accuracy.value,
            detection_accuracy_interval: detection_accuracy.interval,
        }
    }
}

#[cfg(test)]
mod tests;
