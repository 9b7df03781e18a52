//! Log lines on standard error, as `warning: …`.
//!
//! A library would add more crates than this file has lines; nothing here needs targets, colours or
//! filters beyond a level.

use std::io::Write as _;
use std::sync::OnceLock;

use log::{Level, LevelFilter, Log, Metadata, Record};

struct Stderr {
    /// Standard error is read by the journal of systemd.
    for_journal: bool,
}

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata) -> bool {
        // tract warns of operator sets that work well; its own lines are for its developers.
        metadata.target().starts_with("oddsight") || metadata.level() <= Level::Error
    }

    fn log(&self, record: &Record) {
        if self.enabled(record.metadata()) {
            let prefix = match (record.level(), self.for_journal) {
                (Level::Error, false) => "error: ",
                (Level::Warn, false) => "warning: ",
                (Level::Info, false) => "",
                (Level::Debug | Level::Trace, false) => "debug: ",
                // What the journal of systemd takes for the priority of a line (sd-daemon(3)).
                (Level::Error, true) => "<3>",
                (Level::Warn, true) => "<4>",
                (Level::Info, true) => "<6>",
                (Level::Debug | Level::Trace, true) => "<7>",
            };
            // A closed standard error is no reason to stop.
            let _ = writeln!(std::io::stderr(), "{prefix}{}", record.args());
        }
    }

    fn flush(&self) {}
}

/// What the command line asked for: a configuration may say more, not less.
static LEAST: OnceLock<LevelFilter> = OnceLock::new();

/// Starts logging: warnings, and with each `verbose` one level more. A second call does nothing.
pub fn start(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        _ => LevelFilter::Debug,
    };
    let for_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    if log::set_boxed_logger(Box::new(Stderr { for_journal })).is_ok() {
        log::set_max_level(level);
        LEAST.get_or_init(|| level);
    }
}

/// Logs so much from now on, and never less than the program was started with.
pub fn set_level(level: LevelFilter) {
    log::set_max_level(LEAST.get().map_or(level, |least| level.max(*least)));
}
