use super::*;
use crate::metrics::{Options, Scored, evaluate};
use serde_json::{Value, json};
use std::num::NonZeroU32;

fn scored(name: &str, energies: [f64; 4]) -> Scored {
    let halved = energies.map(|energy| energy / 2.0);
    Scored { name: name.into(), energies: vec![energies.into(), halved.into(), energies.into()] }
}

/// Two heads and the composition; separations of 1 and 0.5, whatever is drawn.
fn report(names: &[&str], alpha: f64, flagged: u64, top1: Option<Share>) -> Report {
    let normal = scored("normal", [1.0; 4]);
    let energies = [[2.0; 4], [1.0; 4]];
    let unusual: Vec<Scored> =
        names.iter().zip(energies).map(|(name, energies)| scored(name, energies)).collect();
    let options = Options { resamples: NonZeroU32::new(10).expect("ten"), seed: 7 };
    let evaluation = evaluate(&["gmm".into(), "el".into()], &[], &normal, &unusual, &options);
    Report::new(&evaluation.expect("an evaluation"), alpha, flagged, top1).expect("a report")
}

fn share(count: u64, total: u64) -> Option<Share> {
    Some(Share::new("frames named right", count, total).expect("a share"))
}

#[test]
fn json_has_its_shape() {
    let report = report(&["zebra", "apple"], 0.05, 1, share(3, 4));
    let text = serde_json::to_string(&report).expect("JSON");
    let json: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["backbone"]["top1"], json!(0.75));
    assert_eq!(json["alpha"], json!(0.05));
    assert_eq!(json["false_alarm_rate"], json!(0.25));
    assert_eq!(json["false_alarm_rate_interval"], json!(report.false_alarm_rate_interval));
    assert_eq!(json["normal"], json!({"count": 4, "flagged": 1}));
    let expected = json!({
        "auroc": 0.75, "auroc_interval": [0.75, 0.75],
        "fpr_ood_at_95tpr_id": 0.0, "fpr_ood_at_95tpr_id_interval": [0.0, 0.0],
        "fpr_id_at_95tpr_ood": 0.5, "fpr_id_at_95tpr_ood_interval": [0.5, 0.5],
        "aupr_in": 0.75, "aupr_in_interval": [0.75, 0.75],
        "aupr_out": 0.75, "aupr_out_interval": [0.75, 0.75],
        "detection_accuracy": 0.75, "detection_accuracy_interval": [0.75, 0.75],
    });
    assert_eq!(json["scores"]["composed"]["average"], expected);
    assert_eq!(json["scores"]["el"]["zebra"]["auroc"], json!(1.0));
    assert_eq!(json["scores"]["el"]["zebra"]["count"], json!(4));

    // Heads and sets in the order given, not sorted.
    let at = |name: &str| text.find(&format!("\"{name}\"")).expect(name);
    assert!(at("gmm") < at("el") && at("el") < at("composed"), "{text}");
    assert!(at("zebra") < at("apple") && at("apple") < at("average"), "{text}");
}

#[test]
fn without_labels_top1_is_null() {
    let report = report(&["zebra"], 0.05, 0, None);
    let json = serde_json::to_value(&report).expect("JSON");
    assert_eq!(json["backbone"], json!({"top1": null, "top1_interval": null, "labelled": 0}));
    assert!(report.table().contains("backbone top-1: not measured"));
}

#[test]
fn table_groups_heads_and_ends_with_the_composition() {
    let expected = "\
head      set      frames                 AUROC  FPR-ood  FPR-id  AUPR-in  AUPR-out    acc

gmm       zebra         4  100.0 [100.0, 100.0]      0.0     0.0    100.0     100.0  100.0
          apple         4     50.0 [50.0, 50.0]      0.0   100.0     50.0      50.0   50.0
          average             75.0 [75.0, 75.0]      0.0    50.0     75.0      75.0   75.0

el        zebra         4  100.0 [100.0, 100.0]      0.0     0.0    100.0     100.0  100.0
          apple         4     50.0 [50.0, 50.0]      0.0   100.0     50.0      50.0   50.0
          average             75.0 [75.0, 75.0]      0.0    50.0     75.0      75.0   75.0

composed  zebra         4  100.0 [100.0, 100.0]      0.0     0.0    100.0     100.0  100.0
          apple         4     50.0 [50.0, 50.0]      0.0   100.0     50.0      50.0   50.0
          average             75.0 [75.0, 75.0]      0.0    50.0     75.0      75.0   75.0

All in percent.
AUROC with its 95 % bootstrap interval, 10 resamples.
FPR-ood: unusual frames accepted when 95 % of the normal ones are.
FPR-id: normal frames flagged when 95 % of the unusual ones are.
AUPR: average precision, finding the normal (in) or the unusual (out) frames.
acc: normal frames accepted and unusual ones found, mean, at the best threshold.
backbone top-1: 75.0 % [19.4, 99.4] of 4 labelled normal frames
false alarms: 1 of 4 normal frames = 25.0 % [0.6, 80.6], promised 5 %
";
    assert_eq!(report(&["zebra", "apple"], 0.05, 1, share(3, 4)).table(), expected);
}

#[test]
fn markdown_is_the_same_table() {
    let expected = "\
| head | set | frames | AUROC | FPR-ood | FPR-id | AUPR-in | AUPR-out | acc |
|---|---|---:|---:|---:|---:|---:|---:|---:|
| gmm | a\\|b | 4 | 100.0 [100.0, 100.0] | 0.0 | 0.0 | 100.0 | 100.0 | 100.0 |
| el | a\\|b | 4 | 100.0 [100.0, 100.0] | 0.0 | 0.0 | 100.0 | 100.0 | 100.0 |
| composed | a\\|b | 4 | 100.0 [100.0, 100.0] | 0.0 | 0.0 | 100.0 | 100.0 | 100.0 |

All in percent. AUROC with its 95 % bootstrap interval, 10 resamples. \
FPR-ood: unusual frames accepted when 95 % of the normal ones are. \
FPR-id: normal frames flagged when 95 % of the unusual ones are. \
AUPR: average precision, finding the normal (in) or the unusual (out) frames. \
acc: normal frames accepted and unusual ones found, mean, at the best threshold.

- backbone top-1: 75.0 % [19.4, 99.4] of 4 labelled normal frames
- false alarms: 0 of 4 normal frames = 0.00 % [0.00, 60.24], promised 0.25 %
";
    assert_eq!(report(&["a|b"], 0.0025, 0, share(3, 4)).markdown(), expected);
}

/// A detector that does better than the composition on one set, and as well on the other.
#[test]
fn other_detectors_follow_the_composition_and_are_ranked() {
    let with = |name: &str, energies: [f64; 4], other: [f64; 4]| {
        let Scored { name, mut energies } = scored(name, energies);
        energies.push(other.into());
        Scored { name, energies }
    };
    let normal = with("normal", [1.0; 4], [1.0; 4]);
    let unusual = [with("zebra", [2.0; 4], [2.0; 4]), with("apple", [1.0; 4], [2.0; 4])];
    let options = Options { resamples: NonZeroU32::new(10).expect("ten"), seed: 7 };
    let heads = ["gmm".into(), "el".into()];
    let evaluation = evaluate(&heads, &["vim".into()], &normal, &unusual, &options);
    let mut report = Report::new(&evaluation.expect("an evaluation"), 0.05, 1, None).unwrap();
    report.compared_fitted_to = Some(9);
    let json = serde_json::to_value(&report).expect("JSON");
    assert_eq!(json["compared"]["vim"]["average"]["auroc"], json!(1.0));
    assert_eq!(json["auroc_over_composed"]["vim"]["interval"], json!([0.25, 0.25]));
    assert_eq!(json["thresholds"]["el"]["value"], json!(0.5));
    assert!(json["scores"].get("vim").is_none() && json["compared"].get("el").is_none());
    let table = report.table();
    assert!(table.find("composed  zebra") < table.find("vim       zebra"), "{table}");
    let expected = "
head      average AUROC            over composed
vim *            100.00  +25.00 [+25.00, +25.00]
gmm               75.00     +0.00 [+0.00, +0.00]
el                75.00     +0.00 [+0.00, +0.00]
composed          75.00
* not in the model, fitted to 9 pictures. Differences: 95 % interval of the same resamples.
";
    assert!(table.contains(expected), "{table}");
    assert!(report.markdown().contains("| vim * | 100.00 | +25.00 [+25.00, +25.00] |"));
}

#[test]
fn long_names_stay_within_a_hundred_columns() {
    let long = "photographs of the yard at night, in rain, with the lamp broken";
    let table = report(&[long, "apple"], 0.05, 1, share(3, 4)).table();
    let widest = table.lines().map(|line| line.chars().count()).max();
    assert_eq!(widest, Some(100));
    assert!(table.contains("photographs of t…"), "{table}");
}

#[test]
fn the_promised_rate_is_written_as_given() {
    for (alpha, expected) in [(0.05, "5 %"), (0.07, "7 %"), (0.001, "0.1 %"), (0.29, "29 %")] {
        let table = report(&["zebra"], alpha, 1, None).table();
        assert!(table.ends_with(&format!("promised {expected}\n")), "{table}");
    }
}

#[test]
fn more_flagged_than_evaluated_is_refused() {
    let normal = scored("normal", [1.0; 4]);
    let unusual = [scored("zebra", [2.0; 4])];
    let options = Options { resamples: NonZeroU32::MIN, seed: 0 };
    let evaluation = evaluate(&["gmm".into(), "el".into()], &[], &normal, &unusual, &options);
    let error = Report::new(&evaluation.expect("an evaluation"), 0.05, 5, None).unwrap_err();
    assert_eq!(error.to_string(), "flagged normal frames: 5 counted among 4 frames");
}
