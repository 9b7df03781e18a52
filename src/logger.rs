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
            let text = harmless(&record.args().to_string());
            let _ = writeln!(std::io::stderr(), "{prefix}{text}");
        }
    }

    fn flush(&self) {}
}

/// The text for a terminal: messages repeat what files, programs and servers say, which may hold escape codes.
pub fn harmless(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { c } else { visible(c) }).collect()
}

/// The character, or a stand-in of the same width for one that would move the cursor, or change the order in which a
/// terminal shows what follows.
pub(crate) fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => {
            char::REPLACEMENT_CHARACTER
        }
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    }
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
