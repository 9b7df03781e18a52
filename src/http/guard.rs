//! Who may ask.
//!
//! On loopback anybody on the machine may, but no web page in a browser on the machine: a page can make its own name
//! point to 127.0.0.1 (DNS rebinding), and then the `Host` header gives it away. Everywhere else a token is needed,
//! which no page has.

use std::fs;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::request::Request;
use super::{HttpError, HttpErrorKind};
use crate::model::hex;

/// Fewest bytes of a token: 16 random letters and digits are beyond guessing.
const FEWEST: usize = 16;
/// Most bytes of a file that may hold one.
const MOST: u64 = 4096;
/// Name of the cookie that stands for the token in a browser.
const COOKIE: &str = "oddsight";

/// Decides who may ask.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    /// Only names of this machine are answered to.
    loopback: bool,
    token: Option<Token>,
}

/// A token, as far as it must be known to recognise it.
#[derive(Clone)]
struct Token {
    digest: [u8; 32],
    /// Value of the cookie: made from the token, but the token cannot be made from it.
    cookie: String,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What the guard says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// Go on.
    Yes,
    /// Go on, and take this `Set-Cookie`.
    Remember(String),
    /// A name that is not ours.
    Host,
    /// No token, or a wrong one.
    Token,
}

impl Guard {
    /// A guard for a listener at `ip`.
    ///
    /// # Errors
    ///
    /// A token file that cannot be read or whose token is too short, and a listener beyond loopback without a token.
    pub fn new(ip: IpAddr, token_file: Option<&Path>) -> Result<Guard, HttpError> {
        let loopback = ip.to_canonical().is_loopback();
        let token = token_file.map(Token::read).transpose()?;
        if !loopback && token.is_none() {
            let why = format!(
                "http.listen: {ip} can be reached from other machines, so http.token_file is needed: name a file \
                 with a secret of {FEWEST} characters or more, or listen on 127.0.0.1"
            );
            return Err(HttpError::new(HttpErrorKind::NoToken, why));
        }
        Ok(Guard { loopback, token })
    }

    /// Whether a request is answered.
    pub fn pass(&self, request: &Request) -> Pass {
        if self.loopback && !request.host.as_deref().is_none_or(is_this_machine) {
            return Pass::Host;
        }
        let Some(token) = &self.token else { return Pass::Yes };
        if request.cookie(COOKIE).is_some_and(|cookie| token.is_cookie(cookie)) {
            return Pass::Yes;
        }
        if request.bearer.as_deref().is_some_and(|bearer| token.is(bearer)) {
            return Pass::Yes;
        }
        match request.query("token") {
            Some(given) if token.is(given) => Pass::Remember(format!(
                "{COOKIE}={}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Strict",
                token.cookie
            )),
            _ => Pass::Token,
        }
    }
}

impl Token {
    fn read(path: &Path) -> Result<Token, HttpError> {
        let wrong = |why: String| {
            let why = format!("http.token_file: {}: {why}", path.display());
            HttpError::new(HttpErrorKind::Token, why)
        };
        let file = fs::File::open(path).map_err(|e| wrong(e.to_string()))?;
        let mut text = String::new();
        file.take(MOST).read_to_string(&mut text).map_err(|e| wrong(e.to_string()))?;
        let token = text.trim();
        if token.len() < FEWEST || token.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(wrong(format!(
                "must hold one word of {FEWEST} characters or more, for example from `openssl rand -hex 16`"
            )));
        }
        Ok(Token::new(token))
    }

    fn new(token: &str) -> Token {
        let cookie = Sha256::digest(format!("cookie of the status page\0{token}"));
        Token { digest: Sha256::digest(token).into(), cookie: hex(&cookie) }
    }

    /// Takes the same time for any wrong token: only digests are compared, and those as a whole.
    fn is(&self, given: &str) -> bool {
        same(&self.digest, &Sha256::digest(given))
    }

    fn is_cookie(&self, given: &str) -> bool {
        same(&Sha256::digest(&self.cookie), &Sha256::digest(given))
    }
}

fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

/// Whether a `Host` header names this machine by itself: `localhost` or a loopback address, with any port.
fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(address, _)| address),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let loopback = |address: IpAddr| address.to_canonical().is_loopback();
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(host: &str) -> Request {
        Request { host: Some(host.into()), ..Request::default() }
    }

    #[test]
    fn only_names_of_this_machine_reach_loopback() {
        let guard = Guard::new("127.0.0.1".parse().unwrap(), None).unwrap();
        for host in
            ["localhost", "LOCALHOST:9000", "127.0.0.1:8080", "127.8.8.8", "[::1]:80", "[::1]"]
        {
            assert_eq!(guard.pass(&from(host)), Pass::Yes, "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.nip.io:8080",
            "10.0.0.1",
            "",
            "[::2]",
        ] {
            assert_eq!(guard.pass(&from(host)), Pass::Host, "{host}");
        }
        assert_eq!(
            guard.pass(&Request::default()),
            Pass::Yes,
            "HTTP/1.0 has no host, browsers have"
        );
    }

    #[test]
    fn beyond_loopback_a_token_is_needed() {
        let everywhere: IpAddr = "0.0.0.0".parse().unwrap();
        assert_eq!(Guard::new(everywhere, None).unwrap_err().kind(), HttpErrorKind::NoToken);
        let mapped: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        assert!(Guard::new(mapped, None).is_ok());
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        assert_eq!(Guard::new(everywhere, Some(&file)).unwrap_err().kind(), HttpErrorKind::Token);
        for short in ["", "short\n", "two words that are long"] {
            std::fs::write(&file, short).unwrap();
            let why = Guard::new(everywhere, Some(&file)).unwrap_err().to_string();
            assert!(why.contains("16 characters"), "{why}");
        }
        std::fs::write(&file, "  correct-horse-battery\n").unwrap();
        let guard = Guard::new(everywhere, Some(&file)).unwrap();
        assert!(!format!("{guard:?}").contains("horse"));
        assert_eq!(guard.pass(&from("box.example")), Pass::Token);
        let bearer = |token: &str| Request { bearer: Some(token.into()), ..from("box.example") };
        assert_eq!(guard.pass(&bearer("correct-horse-battery")), Pass::Yes);
        for wrong in ["", "correct-horse-batterY", "correct-horse-battery "] {
            assert_eq!(guard.pass(&bearer(wrong)), Pass::Token, "{wrong:?}");
        }
        let asked = Request {
            query: vec![("token".into(), "correct-horse-battery".into())],
            ..from("box.example")
        };
        let Pass::Remember(cookie) = guard.pass(&asked) else { panic!("no cookie") };
        assert!(!cookie.contains("horse") && cookie.contains("; HttpOnly; SameSite=Strict"));
        let cookies = cookie.split_once(';').unwrap().0.to_string();
        assert_eq!(guard.pass(&Request { cookies, ..from("box.example") }), Pass::Yes);
    }
}
