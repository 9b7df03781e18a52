//! oddsight teaches a camera on a small board what normal looks like and flags everything else.
//!
//! Data flows one way, and each module is one stage of it:
//!
//! ```text
//! camera ─▶ image ─▶ backbone ─▶ energy ─▶ verdict
//! ```
//!
//! The device program `oddsight` and the host program `oddsight-train` both run this code: there is
//! no second implementation of preprocessing, features or scores.

pub mod backbone;
pub mod camera;
pub mod clock;
pub mod energy;
pub mod event;
pub mod fit;
pub mod image;
pub mod kernel;
pub mod learn;
pub mod logger;
pub mod model;
pub mod random;
pub mod sink;
pub mod verdict;
