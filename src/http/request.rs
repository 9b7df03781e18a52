//! From bytes to a request, or to the reason why it is none.

use std::borrow::Cow;

/// Most bytes of a request line and its headers.
pub const MOST_BYTES: usize = 8192;
/// Most header lines.
const MOST_HEADERS: usize = 64;
/// Most `name=value` pairs that are looked at.
const MOST_PAIRS: usize = 16;

/// A request for something to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `HEAD`: the answer goes without its body.
    pub head: bool,
    /// As it was sent, without the query: `/status.json`.
    pub path: String,
    /// Decoded, in their order.
    pub query: Vec<(String, String)>,
    /// The server's name as the client knows it, with a port if it gave one.
    pub host: Option<String>,
    /// `Authorization: Bearer …`.
    pub bearer: Option<String>,
    /// The `Cookie` header.
    pub cookies: String,
}

impl Request {
    /// The first value of this name.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The value of a cookie.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let mut pairs = self.cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// What the bytes so far are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a request.
    More,
    Request(Request),
    Refused(Refusal),
}

/// Why something is no request for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status that says so.
    pub status: u16,
    /// In words.
    pub why: &'static str,
}

/// Reads a request from its first bytes; what follows its headers is not looked at. Takes any bytes, and memory in
/// proportion to at most [`MOST_BYTES`] of them.
pub fn parse(bytes: &[u8]) -> Parsed {
    let head = &bytes[..bytes.len().min(MOST_BYTES)];
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut raw = httparse::Request::new(&mut headers);
    match raw.parse(head) {
        Ok(httparse::Status::Partial) if bytes.len() >= MOST_BYTES => {
            refused(431, "the headers are too long")
        }
        Ok(httparse::Status::Partial) => Parsed::More,
        Ok(httparse::Status::Complete(_)) => match accept(&raw) {
            Ok(request) => Parsed::Request(request),
            Err(refusal) => Parsed::Refused(refusal),
        },
        Err(httparse::Error::TooManyHeaders) => refused(431, "there are too many headers"),
        Err(httparse::Error::Version) => refused(505, "this is not HTTP/1.1"),
        Err(_) => refused(400, "this is not a request"),
    }
}

fn refused(status: u16, why: &'static str) -> Parsed {
    Parsed::Refused(Refusal { status, why })
}

/// From a well-formed request to one that asks for something to read.
fn accept(raw: &httparse::Request) -> Result<Request, Refusal> {
    let bad = |why| Refusal { status: 400, why };
    let mut request = Request::default();
    match raw.method {
        Some("GET") => {}
        Some("HEAD") => request.head = true,
        _ => return Err(Refusal { status: 405, why: "there is nothing here but to read" }),
    }
    for header in raw.headers.iter() {
        let value = || std::str::from_utf8(header.value).map_err(|_| bad("a header is no text"));
        match header.name.to_ascii_lowercase().as_str() {
            "host" if request.host.is_some() => return Err(bad("there are two hosts")),
            "host" => request.host = Some(value()?.trim().to_string()),
            "authorization" => request.bearer = bearer(value()?),
            "cookie" => {
                request.cookies.push_str(value()?);
                request.cookies.push(';');
            }
            "content-length" if value()?.trim() != "0" => {
                return Err(Refusal { status: 413, why: "a request has no body here" });
            }
            "transfer-encoding" => {
                return Err(Refusal { status: 413, why: "a request has no body here" });
            }
            _ => {}
        }
    }
    if raw.version == Some(1) && request.host.is_none() {
        return Err(bad("there is no host"));
    }
    let target = raw.path.unwrap_or_default();
    // A proxy sends the whole address, whose host then counts (RFC 9112, section 3.2.2).
    let target = match target.strip_prefix("http://") {
        Some(rest) => {
            let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            request.host = Some(host.to_string());
            if path.starts_with('/') { Cow::Borrowed(path) } else { format!("/{path}").into() }
        }
        None => target.into(),
    };
    if !target.starts_with('/') {
        return Err(bad("the target is no path"));
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    request.path = path.to_string();
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).take(MOST_PAIRS);
    request.query = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect();
    Ok(request)
}

fn bearer(value: &str) -> Option<String> {
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_string())
}

/// Undoes `%xx` and `+`; what is no such code stays as it is, what is no UTF-8 becomes `�`.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|&b| char::from(b).to_digit(16));
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'%').then(|| Some(digit(at + 1)? * 16 + digit(at + 2)?));
        match code.flatten() {
            Some(code) => {
                plain.push(code as u8);
                at += 3;
            }
            None => {
                plain.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests;
