//! What a fit says of itself: in the model's card, and on standard output.

use oddsight::energy::HeadId;
use oddsight::model::{BACKBONE_FILE, HeadsBlob, Model, hex};
use oddsight_train::features::FeatureFile;
use oddsight_train::recipe::Recipe;
use serde_json::{Value, json};

use super::FitArgs;
use super::sources::{Loaded, Sources, source_name};
use super::training::today;
use crate::command::{CALIBRATION, DATA, DIGESTS, KNOWN_UNUSUAL};

/// The content of `card.json`.
pub fn card(args: &FitArgs, recipe: &Recipe, blob: &HeadsBlob, sources: &Sources) -> Value {
    let source = |text: &str, file: &FeatureFile, unreadable: usize| {
        json!({
            "source": source_name(text),
            "pictures": file.len(),
            "unreadable": unreadable,
            "sha256": file.origin().map(|origin| origin.data_sha256.clone()),
        })
    };
    let calibration = match (&args.calibration, &sources.other) {
        (Some(text), Some(other)) => source(text, &other.file, other.unreadable),
        _ => {
            let pictures = sources.keep.len() - sources.fitted_to();
            json!({ "source": "held out of the data", "pictures": pictures })
        }
    };
    let known = sources.known.iter().zip(&sources.known_unreadable);
    let known: Vec<Value> =
        known.map(|(set, unreadable)| source(&set.name, &set.rows, *unreadable)).collect();
    let sketch = |loaded: &Loaded| loaded.pictures.to_hex();
    let known_digests: Vec<String> =
        sources.known.iter().map(|set| set.pictures.to_hex()).collect();
    json!({
        "made_by": blob.made_by,
        "date": today(),
        "backbone": {
            "file": BACKBONE_FILE,
            "from": source_name(&args.backbone.backbone.display().to_string()),
            "sha256": hex(&blob.backbone_sha256),
        },
        DATA: source(&args.data, &sources.data.file, sources.data.unreadable),
        "fitted_to": sources.fitted_to(),
        CALIBRATION: calibration,
        "recipe": recipe.to_json(),
        KNOWN_UNUSUAL: known,
        DIGESTS: {
            DATA: sketch(&sources.data),
            CALIBRATION: sources.other.as_ref().map(sketch),
            KNOWN_UNUSUAL: known_digests,
        },
    })
}

/// Tells what was made and how to go on.
pub fn summary(args: &FitArgs, recipe: &Recipe, model: &Model, sources: &Sources) {
    let blob = model.blob();
    println!("{}", args.out.display());
    println!(
        "  fitted to       {} pictures, {} classes",
        sources.fitted_to(),
        blob.class_names.len()
    );
    let heads: Vec<&str> = recipe.heads.iter().map(|id: &HeadId| id.name()).collect();
    println!("  heads           {} ({})", heads.join(", "), recipe.compose_text());
    println!(
        "  calibrated with {} pictures; alpha {} means: unusual above energy {:.3}",
        model.calibration().len(),
        blob.alpha,
        model.calibration().threshold_q16(recipe.alpha) as f64 / 65536.0
    );
    println!("  heads.postcard  {} bytes", blob.to_bytes().len());
    if let Some(path) = &args.report {
        println!("  report          {}", path.display());
    }
    if args.calibration.is_none() {
        println!(
            "  The promise of alpha holds for pictures like the held-out ones. If the backbone was\n  \
             trained on these pictures, new ones look less normal to it: give --calibration."
        );
    }
    println!("try it: oddsight score --model {} PICTURE…", args.out.display());
}
