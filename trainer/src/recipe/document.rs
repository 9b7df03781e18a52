//! A recipe as it stands in a file.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{FORMAT, Preset, REFINED, Standardise, defaults};
use crate::heat::Constants;
use oddsight::fit::Components;

/// Keys of [`Constants`] that say how a mixture is sampled or scored: `heat-el` has no mixture.
pub const OF_MIXTURES: [&str; 3] = ["prior", "batch-classes", "labelled-prior"];

/// All keys. Single values come before tables, as TOML wants them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Document {
    pub format: i64,
    pub preset: Preset,
    pub heads: Vec<String>,
    pub compose: String,
    pub alpha: f64,
    pub seed: u64,
    components: Count,
    pub coreset: usize,
    pub neighbour: usize,
    pub standardise: Standardise,
    heat_gmm: Constants,
    heat_gmm_std: Constants,
    heat_el: Constants,
}

/// A number of components, or the way to choose it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Count {
    Exactly(usize),
    Named(String),
}

impl Document {
    pub fn of(preset: Preset) -> Document {
        let (heads, knn) = defaults();
        let [heat_gmm, heat_gmm_std, heat_el] = preset.constants();
        Document {
            format: FORMAT,
            preset,
            heads,
            compose: "sum".into(),
            alpha: 0.05,
            seed: 0,
            components: Count::Named("bic".into()),
            coreset: knn.coreset,
            neighbour: knn.k,
            standardise: Standardise::default(),
            heat_gmm,
            heat_gmm_std,
            heat_el,
        }
    }

    /// In the order of [`REFINED`].
    pub fn heat(&self) -> [&Constants; 3] {
        [&self.heat_gmm, &self.heat_gmm_std, &self.heat_el]
    }

    pub fn components(&self) -> Result<Components, String> {
        match &self.components {
            Count::Exactly(0) => Err("must be at least 1, or \"bic\" to choose it".into()),
            Count::Exactly(components) => Ok(Components::Exactly(*components)),
            Count::Named(name) if name == "bic" => Ok(Components::Bic),
            Count::Named(name) => {
                Err(format!("`{name}` is neither a number nor \"bic\", which chooses it"))
            }
        }
    }

    /// All keys that can be given.
    pub fn table(&self) -> toml::Table {
        let mut table = toml::Table::try_from(self).expect("every value has a TOML form");
        if let Some(el) = table.get_mut(REFINED[2].name()).and_then(|value| value.as_table_mut()) {
            OF_MIXTURES.iter().for_each(|key| drop(el.remove(*key)));
        }
        table
    }

    pub fn to_toml(&self) -> String {
        toml::to_string(&self.table()).expect("a table has a TOML form")
    }

    pub fn to_json(&self) -> serde_json::Value {
        json!(self.table())
    }
}
