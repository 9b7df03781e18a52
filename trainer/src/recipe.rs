//! Recipes: everything that decides what a fit gives, beside the pictures, as one TOML document.
//!
//! A recipe is laid down in layers: a [`Preset`], then a recipe file, then single keys (`--set`), then the
//! command line's own flags. A later layer wins, key by key. Every key of every layer is held against the
//! preset's document, which has them all, so that a wrong name or type is found where it was written.

use std::fmt;
use std::str::FromStr;

use oddsight::energy::{HeadId, Rule};
use oddsight::verdict::Alpha;
use serde::{Deserialize, Serialize};

use crate::heat::Constants;
use oddsight::fit::{Components, KnnOptions};

mod check;
mod document;
mod error;
mod layer;
mod merge;
mod preset;

pub use error::{RecipeError, RecipeErrorKind};
pub use layer::Layer;
pub use preset::Preset;

use document::Document;
pub(crate) use document::OF_MIXTURES;
use merge::Merged;

/// The newest format that this program reads; key `format`.
pub const FORMAT: i64 = 1;

/// The refined heads, in the order of [`Recipe::heat`].
pub const REFINED: [HeadId; 3] = [HeadId::HeatGmm, HeadId::HeatGmmStd, HeadId::HeatEl];

/// Rows whose energies standardise the composition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standardise {
    /// All training rows.
    #[default]
    All,
    /// One random batch of [`BATCH_ROWS`](crate::heads::BATCH_ROWS) of them, the way of HEAT's authors.
    Batch,
}

impl Standardise {
    /// `all` or `batch`.
    pub fn name(self) -> &'static str {
        match self {
            Standardise::All => "all",
            Standardise::Batch => "batch",
        }
    }
}

/// How standardised energies become one.
#[derive(Clone, Debug, PartialEq)]
pub struct Compose {
    /// The rule.
    pub rule: Rule,
    /// The heads that it composes, each once.
    pub heads: Vec<HeadId>,
}

/// A complete recipe whose values make sense together.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// The lowest layer.
    pub preset: Preset,
    /// Heads to fit, each once.
    pub heads: Vec<HeadId>,
    /// Which of them are composed, and how.
    pub compose: Compose,
    /// Per-frame false-alarm rate.
    pub alpha: Alpha,
    /// Seed of every random choice, at most `i64::MAX`.
    pub seed: u64,
    /// Components of mixtures over rows without labels.
    pub components: Components,
    /// Rows that the knn head stores at most.
    pub coreset: usize,
    /// Neighbour that the knn head would look at if it stored all rows.
    pub neighbour: usize,
    /// Rows whose energies standardise the composition.
    pub standardise: Standardise,
    /// Constants of the heads of [`REFINED`].
    pub heat: [Constants; 3],
    document: Document,
}

impl Recipe {
    /// Lays `layers` over the preset that the last of them names, `field` if none does; a later layer
    /// wins.
    ///
    /// # Errors
    ///
    /// A newer format, an unknown key, a value of another type or out of range; the message starts with
    /// the name of the layer and names the key.
    pub fn of(layers: &[Layer]) -> Result<Recipe, RecipeError> {
        let merged = Merged::of(layers)?;
        let refuse = |key: &str, why: String| merged.refuse(key, why);
        let document = merged.document()?;
        for (id, constants) in REFINED.iter().zip(document.heat()) {
            check::constants(*id, constants)
                .map_err(|(key, why)| refuse(&format!("{id}.{key}"), why))?;
        }
        let heads = expand(&document.heads).map_err(|why| refuse("heads", why))?;
        let compose =
            parse_compose(&document.compose, &heads).map_err(|why| refuse("compose", why))?;
        let alpha = Alpha::new(document.alpha).map_err(|e| refuse("alpha", e.to_string()))?;
        let components = document.components().map_err(|why| refuse("components", why))?;
        for (key, value) in [("coreset", document.coreset), ("neighbour", document.neighbour)] {
            if value == 0 {
                return Err(refuse(key, "must be at least 1".into()));
            }
        }
        Ok(Recipe {
            preset: document.preset,
            heads,
            compose,
            alpha,
            seed: document.seed,
            components,
            coreset: document.coreset,
            neighbour: document.neighbour,
            standardise: document.standardise,
            heat: document.heat().map(Constants::clone),
            document,
        })
    }

    /// The constants of a refined head; `None` for any other.
    pub fn constants(&self, id: HeadId) -> Option<&Constants> {
        let index = REFINED.iter().position(|refined| *refined == id)?;
        Some(&self.heat[index])
    }

    /// The recipe's own heads that are refined.
    pub fn refined(&self) -> Vec<HeadId> {
        self.heads.iter().copied().filter(|id| REFINED.contains(id)).collect()
    }

    /// The rule as the recipe spells it.
    pub fn compose_text(&self) -> &str {
        &self.document.compose
    }

    /// The complete document; as a recipe file it gives this recipe again.
    pub fn to_toml(&self) -> String {
        self.document.to_toml()
    }

    /// The same document for cards.
    pub fn to_json(&self) -> serde_json::Value {
        self.document.to_json()
    }
}

/// Names of heads, `heat` standing for the three refined ones.
fn expand(names: &[String]) -> Result<Vec<HeadId>, String> {
    let mut heads = Vec::new();
    for name in names {
        let named = match name.as_str() {
            HEAT => REFINED.to_vec(),
            name => vec![name.parse::<HeadId>().map_err(|e| e.to_string())?],
        };
        for id in named {
            if heads.contains(&id) {
                return Err(format!("names head {id} twice"));
            }
            heads.push(id);
        }
    }
    if heads.is_empty() {
        return Err("names no head".into());
    }
    Ok(heads)
}

/// Stands for all refined heads where heads are named.
pub const HEAT: &str = "heat";

/// `RULE`, which composes all `heads`, or `RULE=IDS`.
fn parse_compose(text: &str, heads: &[HeadId]) -> Result<Compose, String> {
    let (rule, composed) = match text.split_once('=') {
        Some((rule, ids)) => (rule, expand(&split_list(ids))?),
        None => (text, heads.to_vec()),
    };
    if let Some(id) = composed.iter().find(|id| !heads.contains(id)) {
        return Err(format!("names head {id}, which `heads` does not fit"));
    }
    let rule = rule.parse().map_err(|e: oddsight::energy::EnergyError| e.to_string())?;
    Ok(Compose { rule, heads: composed })
}

fn split_list(text: &str) -> Vec<String> {
    text.split(',').map(|name| name.trim().to_string()).collect()
}

/// One name of a list of heads: a head's, or `heat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadName(String);

impl FromStr for HeadName {
    type Err = String;

    fn from_str(text: &str) -> Result<HeadName, String> {
        match expand(&[text.to_string()]) {
            Ok(_) => Ok(HeadName(text.to_string())),
            Err(why) => Err(format!("{why}, or {HEAT} for the three refined ones")),
        }
    }
}

impl fmt::Display for HeadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a recipe says where nobody else does.
fn defaults() -> (Vec<String>, KnnOptions) {
    (split_list("gmm,gmm-std,el"), KnnOptions::default())
}

#[cfg(test)]
mod tests;
