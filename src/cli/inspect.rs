//! `oddsight inspect`: what a model directory, a heads file or a backbone holds, in words.

use std::fmt::Write as _;
use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use oddsight::backbone::Backbone;
use oddsight::energy::{Gmm, GmmScore, Head, Heat, Rule};
use oddsight::image::Resize;
use oddsight::model::{BACKBONE_FILE, CARD_FILE, HEADS_FILE, HeadsBlob, Model, hex};
use oddsight::verdict::{Alpha, Calibration};
use serde_json::Value;

/// Arguments of `oddsight inspect`.
#[derive(Args)]
pub struct InspectArgs {
    /// A model directory, a heads.postcard or a backbone.onnx.
    #[arg(value_name = "DIR|FILE")]
    path: PathBuf,
}

/// Prints what the path holds.
pub fn run(args: &InspectArgs) -> Result<()> {
    let path = &args.path;
    let mut text = String::new();
    if path.is_dir() {
        let model = Model::open(path)?;
        let heads_bytes = size(&path.join(HEADS_FILE))?;
        let backbone_bytes = size(&path.join(BACKBONE_FILE))?;
        line(
            &mut text,
            "model",
            &format!("{} (all checks and the self-test passed)", path.display()),
        );
        backbone(&mut text, model.backbone(), backbone_bytes);
        heads(&mut text, model.blob(), heads_bytes);
        card(&mut text, &path.join(CARD_FILE))?;
    } else if path.extension().is_some_and(|e| e == "onnx") {
        backbone(&mut text, &Backbone::load(path, None)?, size(path)?);
    } else {
        heads(&mut text, &HeadsBlob::read(path)?, size(path)?);
    }
    stdout().write_all(text.as_bytes())?;
    Ok(())
}

fn size(path: &Path) -> Result<u64> {
    Ok(path.metadata().with_context(|| path.display().to_string())?.len())
}

fn kib(bytes: u64) -> String {
    format!("{:.1} KiB", bytes as f64 / 1024.0)
}

fn line(text: &mut String, key: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{key:<13} {value}");
}

fn backbone(text: &mut String, backbone: &Backbone, bytes: u64) {
    let [width, height] = backbone.crop();
    let (map, taps) = (backbone.map(), backbone.taps());
    line(text, "backbone", &format!("{}, SHA-256 {}…", kib(bytes), hex(&backbone.digest()[..8])));
    line(text, "  input", &format!("{width}×{height} RGB"));
    line(
        text,
        "  map",
        &format!("{} channels of {}×{}, tensor {}", map.channels, map.height, map.width, taps.map),
    );
    line(text, "  pool", &taps.pool_node);
    line(
        text,
        "  final layer",
        &format!(
            "{}: {} features to {} classes",
            taps.final_node,
            backbone.width(),
            backbone.classes()
        ),
    );
}

fn heads(text: &mut String, blob: &HeadsBlob, bytes: u64) {
    line(text, "heads", &format!("{}, made by {}", kib(bytes), blob.made_by));
    line(
        text,
        "  fitted for",
        &format!("backbone with SHA-256 {}…", hex(&blob.backbone_sha256[..8])),
    );
    let resize = match blob.preprocess.resize {
        Resize::Shorter(side) => format!("shorter side to {side}"),
        Resize::Stretch(width, height) => format!("stretch to {width}×{height}"),
    };
    let [width, height] = blob.preprocess.crop;
    let (mean, std) = (blob.normalise.mean, blob.normalise.std);
    line(text, "  pictures", &format!("{resize}, centre crop {width}×{height}"));
    line(text, "  normalised", &format!("mean {mean:?}, standard deviation {std:?} of 0…1"));
    for head in &blob.heads.heads {
        line(text, &format!("  {}", head.id()), &describe(head));
    }
    let composition = &blob.heads.composition;
    let rule = match composition.rule() {
        Rule::Sum => "sum of the standardised energies".to_string(),
        Rule::LogSumExp(beta) => format!("log-sum-exp of the standardised energies, beta {beta}"),
        Rule::Max => "largest standardised energy".into(),
        Rule::Min => "smallest standardised energy".into(),
    };
    line(text, "  composed", &rule);
    for term in composition.terms() {
        let id = blob.heads.heads.get(term.head()).map_or("?".into(), |h| h.id().to_string());
        line(
            text,
            "",
            &format!("{id}: energy less {:.4}, times {:.4}", term.mean(), term.factor()),
        );
    }
    calibration(text, blob);
    let names = match blob.class_names.len() {
        0 => "none: fitted without class folders".into(),
        n => format!("{n}: {}", blob.class_names.join(", ")),
    };
    line(text, "  classes", &names);
    line(text, "  self-test", &format!("{} frames", blob.self_test.frames.len()));
}

fn describe(head: &Head) -> String {
    match head {
        Head::Msp => "maximum softmax probability".into(),
        Head::Mls => "maximum logit".into(),
        Head::El => "energy of the logits".into(),
        Head::Gmm(gmm) => format!("{} over the map's means", describe_gmm(gmm)),
        Head::GmmStd(gmm) => format!("{} over the map's deviations", describe_gmm(gmm)),
        Head::Knn(knn) => format!(
            "squared distance to neighbour {} of {} stored rows of {}{}",
            knn.k(),
            knn.rows(),
            knn.width(),
            if knn.normalises() { ", L2-normalised" } else { "" }
        ),
        Head::HeatGmm(heat) => {
            format!("{} over the map's means{}", describe_gmm(heat.prior()), describe_heat(heat))
        }
        Head::HeatGmmStd(heat) => {
            let prior = describe_gmm(heat.prior());
            format!("{prior} over the map's deviations{}", describe_heat(heat))
        }
        Head::HeatEl(heat) => format!("energy of the logits{}", describe_heat(heat)),
    }
}

fn describe_heat<P>(heat: &Heat<P>) -> String {
    let widths: Vec<_> = heat.residual().widths().iter().map(usize::to_string).collect();
    // A stored temperature is exact to nine digits.
    let six = |x: f64| (x * 1e6).round() / 1e6;
    format!(
        ", temperature {}; refined by a residual {}-1 of {} parameters, temperature {}",
        six(heat.prior_temperature()),
        widths.join("-"),
        heat.residual().parameters(),
        six(heat.temperature())
    )
}

fn describe_gmm(gmm: &Gmm) -> String {
    format!(
        "{} of {} Gaussians with one covariance of width {}{}{}",
        match gmm.score() {
            GmmScore::Mixture => "mixture",
            GmmScore::MinMahalanobis => "smallest Mahalanobis distance",
        },
        gmm.components(),
        gmm.width(),
        if gmm.normalises() { ", L2-normalised" } else { "" },
        if gmm.ridge() > 0.0 { format!(", ridge {:.1e}", gmm.ridge()) } else { String::new() }
    )
}

fn calibration(text: &mut String, blob: &HeadsBlob) {
    let Ok(calibration) = Calibration::new(blob.calibration_q16.clone()) else { return };
    line(
        text,
        "  calibration",
        &format!(
            "{} held-out normal frames; the smallest alpha they can honour is {:.2e}",
            calibration.len(),
            calibration.smallest_alpha()
        ),
    );
    let mut rates = vec![0.01, 0.05, 0.1, blob.alpha];
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    for rate in rates {
        let Ok(alpha) = Alpha::new(rate) else { continue };
        let mark = if rate == blob.alpha { "  (packed)" } else { "" };
        match calibration.threshold_q16(alpha) {
            i64::MAX => line(text, "", &format!("alpha {rate}: too few frames{mark}")),
            q16 => {
                let energy = q16 as f64 / 65536.0;
                line(text, "", &format!("alpha {rate}: unusual above energy {energy:.3}{mark}"));
            }
        }
    }
}

fn card(text: &mut String, path: &Path) -> Result<()> {
    let Ok(json) = std::fs::read_to_string(path) else {
        line(text, "card", "none");
        return Ok(());
    };
    let card: Value = serde_json::from_str(&json).with_context(|| path.display().to_string())?;
    line(text, "card", "");
    let Some(entries) = card.as_object() else { return Ok(()) };
    for (key, value) in entries {
        match value {
            // The table says the same to a person.
            _ if key == "evaluation" => {}
            // Nothing that a person could read.
            _ if key == "digests" => {}
            Value::Array(rows) if key == "table" => {
                line(text, "  measured", "");
                rows.iter().for_each(|row| line(text, "", &plain(row)));
            }
            Value::Object(inner) => {
                line(text, &format!("  {key}"), "");
                for (key, value) in inner {
                    line(text, "", &format!("{key}: {}", plain(value)));
                }
            }
            value => line(text, &format!("  {key}"), &plain(value)),
        }
    }
    Ok(())
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_kept_apart_from_what_is_said_of_it() {
        let mut text = String::new();
        line(&mut text, "  heat-gmm-std", "mixture");
        line(&mut text, "heads", "two");
        assert_eq!(text, "  heat-gmm-std mixture\nheads         two\n");
    }
}
