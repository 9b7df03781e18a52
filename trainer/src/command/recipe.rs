//! `oddsight-train recipe`, and the flags that make a recipe.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use oddsight::fit::Components;
use oddsight::verdict::Alpha;
use oddsight_train::recipe::{HeadName, Layer, Preset, Recipe, Standardise};
use toml::Value;

use super::heads::parse_components;

/// Flags that are layers of a recipe: the preset, a file, single keys, and the keys that are used most.
#[derive(Args)]
pub struct RecipeArgs {
    /// Constants of the refined heads, field (ours), or cifar10, cifar100, imagenet as
    /// HEAT's authors published them for these data sets [default: field].
    #[arg(long, value_name = "NAME", value_parser = parse_preset)]
    preset: Option<Preset>,
    /// TOML recipe, whose keys win over the preset's; `oddsight-train recipe` prints one with all keys.
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// One key of the recipe, for example heat-gmm.steps=20; wins over --recipe. Repeatable.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Heads to fit: msp, mls, el, gmm, gmm-std, knn, heat-gmm, heat-gmm-std, heat-el; heat stands for
    /// the last three, which are trained [default: gmm,gmm-std,el].
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    heads: Option<Vec<HeadName>>,
    /// How standardised energies become one: sum, lse:BETA, max or min; `RULE=IDS` leaves the other
    /// heads out of it [default: sum].
    #[arg(long, value_name = "RULE[=IDS]")]
    compose: Option<String>,
    /// Rows that standardise energies: all training rows, or one random batch of 256 as HEAT's authors
    /// do [default: all].
    #[arg(long, value_name = "all|batch", value_parser = parse_standardise)]
    standardise: Option<Standardise>,
    /// Per-frame false-alarm rate [default: 0.05].
    #[arg(long, value_name = "RATE")]
    alpha: Option<Alpha>,
    /// Components of the gmm heads without class folders, or `bic` to choose them [default: bic].
    #[arg(long, value_name = "N|bic", value_parser = parse_components)]
    components: Option<Components>,
    /// Rows that the knn head stores at most [default: 16384].
    #[arg(long, value_name = "ROWS")]
    coreset: Option<u32>,
    /// Neighbour that the knn head would look at if it stored all rows [default: 50].
    #[arg(long, value_name = "K")]
    neighbour: Option<u32>,
    /// Seed of every random choice [default: 0].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    seed: Option<i64>,
}

impl RecipeArgs {
    /// Preset, file, `--set` and flags, each over the one before.
    pub fn recipe(&self) -> Result<Recipe> {
        let mut layers = Vec::new();
        if let Some(path) = &self.recipe {
            layers.push(Layer::read(path)?);
        }
        for text in &self.set {
            layers.push(Layer::set(text)?);
        }
        layers.extend(Layer::flags(self.flags()));
        Ok(Recipe::of(&layers)?)
    }

    fn flags(&self) -> Vec<(&'static str, Value)> {
        let heads = self
            .heads
            .as_ref()
            .map(|names| Value::Array(names.iter().map(|name| name.to_string().into()).collect()));
        let components = self.components.map(|components| match components {
            Components::Exactly(n) => i64::try_from(n).unwrap_or(i64::MAX).into(),
            Components::Bic => "bic".into(),
        });
        let flags = [
            ("preset", self.preset.map(|preset| preset.name().into())),
            ("heads", heads),
            ("compose", self.compose.as_deref().map(Value::from)),
            ("standardise", self.standardise.map(|rows| rows.name().into())),
            ("alpha", self.alpha.map(|alpha| alpha.get().into())),
            ("components", components),
            ("coreset", self.coreset.map(|rows| i64::from(rows).into())),
            ("neighbour", self.neighbour.map(|k| i64::from(k).into())),
            ("seed", self.seed.map(Value::from)),
        ];
        flags.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }
}

fn parse_preset(text: &str) -> Result<Preset, String> {
    let found = Preset::ALL.into_iter().find(|preset| preset.name() == text);
    found.ok_or_else(|| "the presets are field, cifar10, cifar100 and imagenet".into())
}

fn parse_standardise(text: &str) -> Result<Standardise, String> {
    let found = [Standardise::All, Standardise::Batch].into_iter().find(|s| s.name() == text);
    found.ok_or_else(|| "write all or batch".into())
}

/// Prints the recipe that these flags give to `fit`, with all keys; `fit --recipe` reads it again.
pub fn run(args: &RecipeArgs) -> Result<()> {
    print!("{}", args.recipe()?.to_toml());
    Ok(())
}
