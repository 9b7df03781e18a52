//! Pictures that a model, or another set of the same evaluation, has seen already.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use oddsight_train::pictures::Pictures;
use serde_json::Value;

use crate::command::{CALIBRATION, DATA, DIGESTS, KNOWN_UNUSUAL};

/// What was seen.
pub struct Seen {
    /// Weighed the composition.
    known: Vec<Source>,
    /// Fitted or calibrated something, or are a set of this evaluation.
    others: Vec<Source>,
    /// What was said of the sets.
    pub warnings: Vec<String>,
}

struct Source {
    /// What a message calls it.
    name: String,
    /// What its pictures in an evaluation mean.
    consequence: &'static str,
    pictures: Pictures,
    sha256: Option<String>,
}

impl Source {
    fn new(source: &Value, digests: &Value, name: &str, consequence: &'static str) -> Source {
        let text = |value: &Value| value.as_str().map(String::from);
        // A card of an older version has no digests.
        let pictures = text(digests).and_then(|text| Pictures::from_hex(&text)).unwrap_or_default();
        Source { name: name.into(), consequence, pictures, sha256: text(&source["sha256"]) }
    }

    /// How many of the pictures it is known to hold. The name of a whole source is the same on every processor.
    fn shared(&self, pictures: &Pictures, sha256: Option<&str>) -> usize {
        match sha256.is_some() && self.sha256.as_deref() == sha256 {
            true => pictures.len(),
            false => pictures.shared(&self.pictures),
        }
    }
}

const FITTED: &str = "its figures are better than those of new pictures";
const CALIBRATED: &str = "their false alarms are not those of new pictures";
const TWICE: &str = "they count twice";

impl Seen {
    /// What a model's card says.
    pub fn read(card: &Path) -> Result<Seen> {
        let named = || card.display().to_string();
        let json = match std::fs::read_to_string(card) {
            Ok(json) => json,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => "{}".into(),
            Err(e) => return Err(e).with_context(named),
        };
        let card: Value = serde_json::from_str(&json).with_context(named)?;
        let digests = &card[DIGESTS];
        let source =
            |key, name, consequence| Source::new(&card[key], &digests[key], name, consequence);
        let sources = card[KNOWN_UNUSUAL].as_array();
        let known = sources.into_iter().flatten().enumerate().map(|(i, source)| {
            let name = source["source"].as_str().unwrap_or("unnamed");
            Source::new(source, &digests[KNOWN_UNUSUAL][i], name, "")
        });
        let known: Vec<Source> = known.collect();
        let is_whole = sources.is_some_and(|sources| {
            let mut pairs = sources.iter().zip(&known);
            pairs.all(|(source, known)| source["pictures"] == known.pictures.len())
        });
        let mut seen = Seen {
            known,
            others: vec![
                source(DATA, "the model's --data", FITTED),
                source(CALIBRATION, "the model's --calibration", CALIBRATED),
            ],
            warnings: Vec::new(),
        };
        if !is_whole {
            seen.warn(format!(
                "{}: missing, older or altered: it does not name all known unusual pictures that weighed the \
                 heads, if any did, so nothing keeps these out of an evaluation; fit the model again, or be \
                 sure of the sets",
                named()
            ));
        }
        Ok(seen)
    }

    /// Looks at a set, which `what` names as the user gave it, and remembers it. Refuses pictures that weighed
    /// the composition, which would be measured by its own examples; warns of others that were seen.
    pub fn check(&mut self, what: String, pictures: &Pictures, sha256: Option<&str>) -> Result<()> {
        let all = pictures.len();
        for known in &self.known {
            let shared = known.shared(pictures, sha256);
            ensure!(
                shared == 0,
                "{what}: the model was fitted with {shared} of these {all} pictures as --known-unusual ({}), so \
                 they say nothing about others; give pictures that it has not seen",
                known.name
            );
        }
        let shared = self.others.iter().map(|other| (other, other.shared(pictures, sha256)));
        let shared: Vec<String> = shared
            .filter(|(_, shared)| *shared > 0)
            .map(|(other, shared)| {
                let Source { name, consequence, .. } = other;
                format!("{what}: at least {shared} of its {all} pictures are also in {name}: {consequence}")
            })
            .collect();
        shared.into_iter().for_each(|warning| self.warn(warning));
        let (pictures, sha256) = (pictures.clone(), sha256.map(String::from));
        self.others.push(Source { name: what, consequence: TWICE, pictures, sha256 });
        Ok(())
    }

    fn warn(&mut self, warning: String) {
        log::warn!("{warning}");
        self.warnings.push(warning);
    }
}
