//! The model directory.
