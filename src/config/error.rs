//! What is wrong with a configuration: all of it at once.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::mask;

/// Everything that is wrong with a configuration. `Display` gives a line for each problem, as logs want them;
/// [`ConfigError::explain`] shows the lines of the file too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    path: PathBuf,
    problems: Vec<Problem>,
    /// Problems beyond the most that are kept.
    more: usize,
}

/// The sort of a [`ConfigError`] or of one [`Problem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ConfigErrorKind {
    /// The file could not be read, or is no text.
    Read,
    /// It is not TOML.
    Syntax,
    /// No such key or section, or one that must be there and is not.
    Key,
    /// A value of another type.
    Type,
    /// A value that makes no sense, alone or beside another.
    Value,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    kind: ConfigErrorKind,
    place: Place,
    key: String,
    why: String,
    excerpt: Option<Excerpt>,
}

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the file; both count from 1, columns in characters.
    File { line: usize, column: usize },
    /// In a variable of the environment.
    Env(String),
    /// In none: it is missing, or the default.
    Default,
}

/// The line that a problem is about, without secrets and control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Excerpt {
    line: String,
    /// Characters of it before and within the mark.
    before: usize,
    marked: usize,
}

impl ConfigError {
    pub(super) fn new(path: &Path, mut problems: Vec<Problem>, more: usize) -> ConfigError {
        problems.sort_by(|a, b| a.place.cmp(&b.place));
        ConfigError { path: path.to_path_buf(), problems, more }
    }

    /// A file that could not be read.
    pub(super) fn unreadable(path: &Path, why: String) -> ConfigError {
        let kind = ConfigErrorKind::Read;
        ConfigError::new(path, vec![Problem::new(kind, Place::Default, String::new(), why)], 0)
    }

    /// The sort of the gravest problem: what keeps the rest from being looked at comes first.
    pub fn kind(&self) -> ConfigErrorKind {
        self.problems.iter().map(|p| p.kind).min().unwrap_or(ConfigErrorKind::Value)
    }

    /// All problems, in the order of the file; those of the environment come last.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// For a person at a terminal: each problem with the line of the file that it is about, and how many there are.
    pub fn explain(&self) -> String {
        let mut text = String::new();
        for problem in &self.problems {
            text += &problem.explain("error", &self.path);
        }
        let count = self.problems.len() + self.more;
        if count > 1 {
            let cut = if self.more == 0 {
                String::new()
            } else {
                format!("; {} of them are shown", self.problems.len())
            };
            text += &format!("error: {}: {count} problems{cut}\n", self.path.display());
        }
        text
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{}", problem.line(&self.path))?;
        }
        if self.more > 0 {
            write!(f, "\n{}: {} more problems", self.path.display(), self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl Problem {
    /// What the file and the environment say may be repeated in `key` and `why`: it is made harmless here.
    pub(super) fn new(kind: ConfigErrorKind, place: Place, key: String, why: String) -> Problem {
        const LONGEST: usize = 600;
        let harmless = |text: &str| text.chars().take(LONGEST).map(mask::visible).collect();
        Problem { kind, place, key: harmless(&key), why: harmless(&why), excerpt: None }
    }

    /// The same, with the part of `text` that it is about.
    pub(super) fn at(self, text: &str, span: Range<usize>) -> Problem {
        Problem { excerpt: Excerpt::of(text, span), ..self }
    }

    /// The sort of problem, for programs.
    pub fn kind(&self) -> ConfigErrorKind {
        self.kind
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The key that it is about, as `section.key`; empty where there is none.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What is wrong and what to do.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// `file:line:column: key: what; remedy`
    pub(super) fn line(&self, path: &Path) -> String {
        let place = match &self.place {
            Place::File { line, column } => format!("{}:{line}:{column}", path.display()),
            Place::Env(name) => format!("environment: {name}"),
            Place::Default => path.display().to_string(),
        };
        let key = if self.key.is_empty() { String::new() } else { format!("{}: ", self.key) };
        format!("{place}: {key}{}", self.why)
    }

    /// The same for a person at a terminal, with the line of the file; `what` is `error` or `warning`.
    pub(super) fn explain(&self, what: &str, path: &Path) -> String {
        format!("{what}: {}\n{}", self.line(path), self.excerpt_lines())
    }

    fn excerpt_lines(&self) -> String {
        let (Some(excerpt), Place::File { line, .. }) = (&self.excerpt, &self.place) else {
            return String::new();
        };
        let blank = " ".repeat(excerpt.before);
        let mark = "^".repeat(excerpt.marked);
        format!("{line:>6} | {}\n       | {blank}{mark}\n", excerpt.line)
    }
}

impl Excerpt {
    /// Characters of a line that are shown, and of those before the mark when the line is longer.
    const LONGEST: usize = 96;
    const BEFORE: usize = 40;

    /// The first line of the span; `None` outside of the text.
    fn of(text: &str, span: Range<usize>) -> Option<Excerpt> {
        let start = text.get(..span.start)?.rfind('\n').map_or(0, |newline| newline + 1);
        let rest = &text[start..];
        let whole = rest[..rest.find('\n').unwrap_or(rest.len())].trim_end();
        let count = |to: usize| {
            let to = to.saturating_sub(start).min(whole.len());
            whole.get(..to).map(|part| part.chars().count())
        };
        let (before, end) = (count(span.start)?, count(span.end)?);
        let skipped = if whole.chars().count() > Self::LONGEST {
            before.saturating_sub(Self::BEFORE)
        } else {
            0
        };
        let shown = mask::secrets(whole);
        let line: String =
            shown.chars().skip(skipped).take(Self::LONGEST).map(mask::visible).collect();
        let before = before - skipped;
        let most = line.chars().count().saturating_sub(before).max(1);
        Some(Excerpt {
            before,
            marked: (end.saturating_sub(skipped + before)).clamp(1, most),
            line,
        })
    }
}

/// Line and column of a byte of the text, from 1.
pub(super) fn position(text: &str, at: usize) -> Place {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place::File {
        line: before.matches('\n').count() + 1,
        column: before[start..].chars().count() + 1,
    }
}
