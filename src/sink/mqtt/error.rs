//! Why a broker got no message.

use std::fmt;

/// What a caller can tell apart about an [`MqttError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MqttErrorKind {
    /// A setting that can never work.
    Settings,
    /// A password or a certificate cannot be read.
    File,
    /// No connection: the name, the network, the port.
    Unreachable,
    /// The broker is not whom the certificates say, or speaks no TLS.
    Tls,
    /// The broker answered and said no.
    Refused,
    /// The other side does not speak as a broker does.
    Protocol,
    /// No answer in time.
    Late,
    /// The other side closed the connection.
    Closed,
}

/// A broker got no message. The message says why and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttError {
    kind: MqttErrorKind,
    message: String,
}

impl MqttError {
    pub(super) fn new(kind: MqttErrorKind, message: impl fmt::Display) -> MqttError {
        MqttError { kind, message: message.to_string() }
    }

    /// What went wrong, for programs.
    pub fn kind(&self) -> MqttErrorKind {
        self.kind
    }
}

impl fmt::Display for MqttError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for MqttError {}
