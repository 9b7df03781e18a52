use std::fmt;

/// Why energies could not be evaluated; the message names the set and the head.
#[derive(Clone, Debug)]
pub struct MetricsError {
    kind: MetricsErrorKind,
    subject: String,
    why: String,
}

/// The kinds of [`MetricsError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricsErrorKind {
    /// Nothing to measure: no unusual set, or a set without frames.
    Empty,
    /// Counts that do not fit each other.
    Shape,
    /// An energy that is infinite or not a number.
    NotFinite,
    /// A name that is reserved or given twice.
    Name,
}

impl MetricsError {
    pub(crate) fn new(
        kind: MetricsErrorKind,
        subject: impl fmt::Display,
        why: impl fmt::Display,
    ) -> MetricsError {
        MetricsError { kind, subject: subject.to_string(), why: why.to_string() }
    }

    /// What went wrong, for programs.
    pub fn kind(&self) -> MetricsErrorKind {
        self.kind
    }
}

impl fmt::Display for MetricsError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.why)
    }
}

impl std::error::Error for MetricsError {}
