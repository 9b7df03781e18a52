//! The host side of oddsight: what `oddsight-train` does, as a library.

pub mod metrics;
pub mod report;
