//! The field runtime from outside: the real program with a configuration, cameras that misbehave, signals, and what of all
//! that is seen by a service manager, in the journal, on a lamp, over HTTP and in exit codes.

#![cfg(target_os = "linux")]

#[path = "support/broker.rs"]
mod broker;
#[path = "support/directory.rs"]
mod directory;
#[path = "support/tiny.rs"]
mod tiny;

#[path = "device/camera.rs"]
mod camera;
#[path = "device/program.rs"]
mod program;
#[path = "device/scenes.rs"]
mod scenes;

#[path = "device/cameras.rs"]
mod cameras;
#[path = "device/killed.rs"]
mod killed;
#[path = "device/learning.rs"]
mod learning;
#[path = "device/models.rs"]
mod models;
#[path = "device/outlets.rs"]
mod outlets;
#[path = "device/starts.rs"]
mod starts;
#[path = "device/stored.rs"]
mod stored;
#[path = "device/supervised.rs"]
mod supervised;
