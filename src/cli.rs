//! The commands of the device program.

use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Args;
use clap::error::ErrorKind;
use oddsight::backbone::Threads;
use oddsight::kernel::Kernel;
use oddsight::model::Model;
use oddsight::model::store::Store;
use oddsight::verdict::Verdict;
use serde_json::{Map, Value, json};

pub mod bench;
#[cfg(target_os = "linux")]
pub mod camera;
mod clock;
pub mod completions;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod events;
#[cfg(target_os = "linux")]
pub mod gpio;
pub mod inspect;
pub mod learn;
pub mod model;
pub mod replay;
pub mod run;
pub mod score;
mod setup;
mod timing;

/// What computes a frame; results do not depend on it.
#[derive(Args)]
pub struct EngineArgs {
    /// Threads that compute one frame.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Int8 kernel; by default the fastest of this machine.
    #[arg(long, value_name = "NAME")]
    kernel: Option<Kernel>,
}

impl EngineArgs {
    fn kernel(&self) -> Kernel {
        self.kernel.unwrap_or_else(Kernel::detect)
    }

    /// Opens a model directory, or the current model of a store.
    fn open(&self, dir: &Path) -> Result<Model> {
        let current = if Store::is_at(dir) { Some(Store::at(dir).current()?.dir) } else { None };
        let dir = current.as_deref().unwrap_or(dir);
        let model =
            oddsight::runtime::memory::returned_while(|| Model::open_for(dir, self.kernel()));
        Ok(model?)
    }

    fn threads(&self) -> Result<Threads> {
        let count = self.threads;
        Threads::new(count.into()).with_context(|| format!("{count} threads cannot be started"))
    }
}

/// Ends the program as clap does where an argument is missing; clap knows no "one of these, or both of those".
fn missing(what: &str) -> ! {
    clap::Error::raw(ErrorKind::MissingRequiredArgument, format!("{what}\n")).exit()
}

/// A verdict as one JSON object; `name` is the picture's.
fn verdict_json(name: &str, verdict: &Verdict) -> Map<String, Value> {
    let heads: Map<String, Value> = verdict
        .heads
        .iter()
        .map(|head| (head.id.to_string(), json!({ "energy": head.energy, "share": head.share })))
        .collect();
    let Value::Object(object) = json!({
        "name": name,
        "energy": verdict.energy,
        "energy_q16": verdict.energy_q16,
        "p_value": verdict.p_value,
        "unusual": verdict.unusual,
        "nearest": verdict.nearest,
        "heads": heads,
    }) else {
        unreachable!("an object literal is an object")
    };
    object
}
