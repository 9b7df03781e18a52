//! Log lines on standard error, as `warning: …`.
//!
//! A library would add more crates than this file has lines; nothing here needs targets, colours or
//! filters beyond a level.

use std::io::Write as _;

use log::{Level, LevelFilter, Log, Metadata, Record};

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata) -> bool {
        // tract warns of operator sets that work well; its own lines are for its developers.
        metadata.target().starts_with("oddsight") || metadata.level() <= Level::Error
    }

    fn log(&self, record: &Record) {
        if self.enabled(record.metadata()) {
            let prefix = match record.level() {
                Level::Error => "error: ",
                Level::Warn => "warning: ",
                Level::Info => "",
                Level::Debug | Level::Trace => "debug: ",
            };
            // A closed standard error is no reason to stop.
            let _ = writeln!(std::io::stderr(), "{prefix}{}", record.args());
        }
    }

    fn flush(&self) {}
}

/// Starts logging: warnings, and with each `verbose` one level more. A second call does nothing.
pub fn start(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        _ => LevelFilter::Debug,
    };
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(level);
    }
}
