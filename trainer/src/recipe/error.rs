use std::fmt;

/// Why there is no recipe. The message starts with the layer (a file, `--set …`), names the key and
/// says what is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipeError {
    kind: RecipeErrorKind,
    layer: String,
    why: String,
}

/// The sort of a [`RecipeError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecipeErrorKind {
    /// The file could not be read.
    Read,
    /// It is not TOML.
    Syntax,
    /// A newer program wrote it.
    Format,
    /// No such key.
    Key,
    /// A value of another type, or a name that is none of the choices.
    Type,
    /// A value that makes no sense, alone or beside another.
    Value,
}

impl RecipeError {
    pub(super) fn new(kind: RecipeErrorKind, layer: &str, why: String) -> RecipeError {
        RecipeError { kind, layer: layer.to_string(), why }
    }

    /// The sort of error, for programs.
    pub fn kind(&self) -> RecipeErrorKind {
        self.kind
    }
}

impl fmt::Display for RecipeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.layer, self.why)
    }
}

impl std::error::Error for RecipeError {}
