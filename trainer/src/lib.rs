//! The host side of oddsight: what learns the heads that a device runs.

pub mod fit;
