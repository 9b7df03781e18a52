//! What is wrong with a file as TOML, in words that name the remedy.
//!
//! The parser says what it expected; people made a handful of slips. Those are recognised by the line.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use toml::de::Error;

use super::error::{ConfigErrorKind, Place, Problem, position};

mod line;

/// Broken lines that are told; a file with more is no configuration.
const MOST_LINES: usize = 40;

/// What is wrong with a file as TOML.
#[derive(Clone, Debug, Default)]
pub(super) struct Broken {
    pub problems: Vec<Problem>,
    /// Lines that say something else than what was meant.
    lines: Vec<RangeInclusive<usize>>,
}

impl Broken {
    /// One problem for each line: what follows on the same line is a consequence.
    pub fn new(text: &str, errors: &[Error]) -> Broken {
        let mut broken = Broken::default();
        if let Some(at) = text.find('\0') {
            let why =
                "a NUL character: the file is damaged, or not UTF-8; write it anew".to_string();
            broken.push(text, at..at + 1, why);
            return broken;
        }
        // There may be as many errors as characters.
        let newlines: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
        let mut seen = BTreeSet::new();
        for e in errors {
            let span = e.span().unwrap_or(0..0);
            let message = e.message();
            let in_list = message.contains("array") && !message.contains("array table");
            if in_list && line::begins_something(line::of(text, span.start)) {
                broken.unclosed(text, span.start);
                break;
            }
            let line = newlines.partition_point(|at| *at < span.start);
            if seen.len() < MOST_LINES && seen.insert(line) {
                let why = line::diagnosis(text, &span, message).unwrap_or_else(|| plain(message));
                broken.push(text, span, why);
            }
        }
        broken
    }

    /// Whether the line of a place is one that says something else than what was meant.
    pub fn covers(&self, place: &Place) -> bool {
        matches!(place, Place::File { line, .. } if self.lines.iter().any(|lines| lines.contains(line)))
    }

    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    fn push(&mut self, text: &str, span: std::ops::Range<usize>, why: String) {
        let place = position(text, span.start);
        if let Place::File { line, .. } = place {
            self.lines.push(line..=last_line(text, line));
        }
        let problem = Problem::new(ConfigErrorKind::Syntax, place, String::new(), why);
        self.problems.push(problem.at(text, span));
    }

    /// A list that a line above `at` opened, and that swallows the rest of the file.
    fn unclosed(&mut self, text: &str, at: usize) {
        let end = line::content_before(text, at);
        self.push(text, end..end, "the list is not closed: `]` is missing here".into());
        if let Some(Place::File { line, .. }) = self.problems.last().map(Problem::place) {
            self.lines.push(*line..=usize::MAX);
        }
    }
}

/// The last line that a broken `line` takes the meaning from: a header, all that stands under it.
fn last_line(text: &str, line: usize) -> usize {
    let mut lines = text.lines().skip(line - 1);
    if !lines.next().is_some_and(|text| text.trim_start().starts_with('[')) {
        return line;
    }
    line + lines.take_while(|text| !text.trim_start().starts_with('[')).count()
}

/// The parser's own words on one line.
fn plain(message: &str) -> String {
    message.lines().collect::<Vec<_>>().join(", ")
}
