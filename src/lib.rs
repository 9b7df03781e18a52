//! oddsight teaches a camera on a small board what normal looks like and flags everything else.
//!
//! Data flows one way, and each module is one stage of it:
//!
//! ```text
//! camera ─▶ gate ─▶ image ─▶ backbone ─▶ energy ─▶ verdict ─▶ event ─▶ sink
//! ```
//!
//! The device program `oddsight` and the host program `oddsight-train` both run this code: there is
//! no second implementation of preprocessing, features or scores.

pub mod backbone;
pub mod base64;
pub mod camera;
pub mod clock;
#[cfg(target_os = "linux")]
pub mod config;
pub mod energy;
pub mod event;
pub mod fit;
pub mod gate;
#[cfg(target_os = "linux")]
pub mod gpio;
pub mod http;
pub mod image;
pub mod kernel;
pub mod learn;
pub mod logger;
pub mod machine;
pub mod metrics;
pub mod model;
pub mod random;
#[cfg(target_os = "linux")]
pub mod runtime;
pub mod sink;
pub mod status;
pub mod storage;
pub mod tls;
pub mod verdict;
