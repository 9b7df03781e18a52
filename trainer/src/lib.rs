//! The host side of oddsight: extracts features with the device's own code, fits the heads,
//! evaluates them and packs a model directory.

pub mod autodiff;
pub mod checkpoint;
pub mod compare;
pub mod detectors;
pub mod extract;
pub mod features;

pub mod files;
pub mod heads;
pub mod heat;
pub mod labels;
pub mod metrics;
pub mod pictures;
pub mod progress;
pub mod quantize;
pub mod recipe;
pub mod report;
pub mod score;
pub mod source;
pub mod training_page;
pub mod weights;
