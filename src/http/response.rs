//! What is sent back.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::camera::{Content, Frame};

/// An answer: one per connection, then the connection is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub content_type: &'static str,
    /// Headers beside those of every answer.
    pub headers: Vec<(&'static str, String)>,
    pub body: Body,
}

/// What follows the headers. Pictures are shared: many may be on their way at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Own(Vec<u8>),
    Shared(Arc<Vec<u8>>),
    /// The file of a frame as the camera gave it; nothing if it is none.
    File(Arc<Frame>),
}

impl Body {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Body::Own(bytes) => bytes,
            Body::Shared(bytes) => bytes,
            Body::File(frame) => match &frame.content {
                Content::File(bytes) => bytes,
                _ => &[],
            },
        }
    }
}

impl<T: Into<Vec<u8>>> From<T> for Body {
    fn from(bytes: T) -> Body {
        Body::Own(bytes.into())
    }
}

/// Nothing is kept by anybody, guessed at, shown inside of another site, or told where it came from.
const EVERY: &str = "Connection: close\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
    Referrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\n";
/// What a page may do that says nothing else: nothing.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

impl Response {
    /// An answer with status 200.
    pub fn new(content_type: &'static str, body: impl Into<Body>) -> Response {
        Response { status: 200, content_type, headers: Vec::new(), body: body.into() }
    }

    /// One line of text, for people and programs.
    pub fn text(status: u16, text: &str) -> Response {
        let body = format!("{text}\n");
        Response { status, ..Response::new("text/plain; charset=utf-8", body) }
    }

    /// The same with one header more.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Response {
        self.headers.push((name, value.into()));
        self
    }

    /// The status line and the headers, as they go over the wire.
    pub fn head(&self) -> Vec<u8> {
        let reason = reason(self.status);
        let mut text = format!("HTTP/1.1 {} {reason}\r\n{EVERY}", self.status);
        let _ = write!(text, "Content-Type: {}\r\n", self.content_type);
        let _ = write!(text, "Content-Length: {}\r\n", self.body.bytes().len());
        for (name, value) in &self.headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        if !self.headers.iter().any(|(name, _)| *name == CSP) {
            let _ = write!(text, "{CSP}: {NOTHING}\r\n");
        }
        text.push_str("\r\n");
        text.into_bytes()
    }
}

/// The header that says what a page may load and run.
pub const CSP: &str = "Content-Security-Policy";

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_and_a_head_has_its_length() {
        let answer = Response::text(404, "no such page").with("X-A", "b");
        let text = String::from_utf8(answer.head()).unwrap();
        assert!(text.starts_with("HTTP/1.1 404 Not Found\r\nConnection: close\r\n"), "{text}");
        assert!(text.contains("\r\nContent-Length: 13\r\nX-A: b\r\n"), "{text}");
        assert!(text.contains("\r\nContent-Security-Policy: default-src 'none';"), "{text}");
        assert!(text.ends_with("\r\n\r\n"), "{text}");
        assert_eq!(answer.body.bytes(), b"no such page\n");
    }
}
