//! Arguments of the commands that fit heads.

use anyhow::{Result, ensure};
use clap::Args;
use oddsight::backbone::Backbone;
use oddsight::energy::{HeadId, Rule};
use oddsight::fit::{Components, KnnOptions, MixtureOptions};
use oddsight_train::heads::HeadOptions;
use oddsight_train::recipe::Standardise;

/// How heads are fitted.
#[derive(Args)]
pub struct HeadArgs {
    /// Components of the gmm heads without class folders, or `bic` to choose them.
    #[arg(long, value_name = "N|bic", default_value = "bic", value_parser = parse_components)]
    components: Components,
    /// Rows that the knn head stores at most.
    #[arg(long, value_name = "ROWS", default_value_t = KnnOptions::default().coreset)]
    coreset: usize,
    /// Neighbour that the knn head would look at if it stored all rows.
    #[arg(long, value_name = "K", default_value_t = KnnOptions::default().k)]
    neighbour: usize,
    /// Seed of every random choice.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

impl HeadArgs {
    /// Joins them with the heads to fit and those that `rule` composes.
    pub fn options(&self, heads: &[HeadId], rule: Rule, composed: Vec<HeadId>) -> HeadOptions {
        HeadOptions {
            heads: heads.to_vec(),
            rule,
            composed,
            mixture: MixtureOptions {
                components: self.components,
                seed: self.seed,
                ..MixtureOptions::default()
            },
            knn: KnnOptions {
                coreset: self.coreset,
                k: self.neighbour,
                seed: self.seed,
                ..KnnOptions::default()
            },
            standardise: Standardise::All,
            seed: self.seed,
            heat: None,
        }
    }
}

/// A number of components, or `bic`.
pub fn parse_components(text: &str) -> Result<Components, String> {
    match text.parse() {
        _ if text == "bic" => Ok(Components::Bic),
        Ok(components) if components > 0 => Ok(Components::Exactly(components)),
        _ => Err("write a number of components, or bic to choose it".into()),
    }
}

/// Refuses heads that are named twice or that the backbone cannot feed.
pub fn check_heads(heads: &[HeadId], backbone: &Backbone) -> Result<()> {
    for (i, id) in heads.iter().enumerate() {
        ensure!(!heads[..i].contains(id), "--heads names {id} twice");
    }
    let map = backbone.map();
    let of_std = heads.iter().find(|id| matches!(id, HeadId::GmmStd | HeadId::HeatGmmStd));
    ensure!(
        of_std.is_none() || map.height * map.width > 1,
        "head {} needs a map of more than 1×1, of which there is a standard deviation, but this \
         backbone's is 1×1 at this input size; use a larger --input-size or leave the head out",
        of_std.map_or("", |id| id.name())
    );
    Ok(())
}
