//! Requests that are fine, refused, cut, and hostile.

use super::*;
use crate::random::Random;

fn request(text: &str) -> Request {
    match parse(text.as_bytes()) {
        Parsed::Request(request) => request,
        other => panic!("{text:?}: {other:?}"),
    }
}

fn status(bytes: &[u8]) -> u16 {
    match parse(bytes) {
        Parsed::Refused(refusal) => refusal.status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_browser_and_a_prober_are_understood() {
    let asked = request(
        "GET /energy.json?range=1h&after=12&x=a%20b+c%zz%4&&token=%F0%9F%A6%80 HTTP/1.1\r\nHost: box:8080\r\n\
         authorization: bEARER  s3cret \r\nCookie: a=b; oddsight=abc\r\nCookie: c=d\r\n\r\nignored",
    );
    assert_eq!((asked.path.as_str(), asked.head), ("/energy.json", false));
    assert_eq!(asked.query("range"), Some("1h"));
    assert_eq!(asked.query("x"), Some("a b c%zz%4"));
    assert_eq!(asked.query("token"), Some("🦀"));
    assert_eq!(asked.query("none"), None);
    assert_eq!(asked.host.as_deref(), Some("box:8080"));
    assert_eq!(asked.bearer.as_deref(), Some("s3cret"));
    assert_eq!((asked.cookie("oddsight"), asked.cookie("c")), (Some("abc"), Some("d")));
    let old = request("HEAD / HTTP/1.0\n\n");
    assert_eq!((old.head, old.host), (true, None));
    let proxied = request("GET http://evil.example?q=1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(proxied.host.as_deref(), Some("evil.example"));
    assert_eq!((proxied.path.as_str(), proxied.query("q")), ("/", Some("1")));
}

#[test]
fn what_is_refused_says_why() {
    for (bytes, expected) in [
        ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 413),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 413),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("\u{16}\u{3}\u{1}", 400),
        ("GET / HTTP/1.1\r\nHo st: a\r\n\r\n", 400),
    ] {
        assert_eq!(status(bytes.as_bytes()), expected, "{bytes:?}");
    }
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(MOST_HEADERS));
    assert_eq!(status(many.as_bytes()), 431);
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(MOST_BYTES));
    assert_eq!(status(long.as_bytes()), 431);
    assert_eq!(status(&vec![b'\n'; MOST_BYTES]), 431);
}

#[test]
fn every_beginning_of_a_request_waits_for_more() {
    let whole = b"GET /status.json HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n";
    for end in 0..whole.len() {
        assert_eq!(parse(&whole[..end]), Parsed::More, "{end} bytes");
    }
    assert!(matches!(parse(whole), Parsed::Request(_)));
}

/// Words that a request is made of, and some that it is not.
const WORDS: [&[u8]; 28] = [
    b"GET",
    b"HEAD",
    b"POST",
    b" ",
    b"/",
    b"*",
    b"?",
    b"&",
    b"=",
    b"%",
    b"%41",
    b"%f",
    b"+",
    b"http://",
    b" HTTP/1.1",
    b" HTTP/1.0",
    b"\r\n",
    b"\n",
    b"\r",
    b"Host: localhost",
    b"Host:",
    b"Content-Length: 0",
    b"Authorization: Bearer ",
    b"Cookie: a=b;c",
    b": ",
    b"\0",
    b"\xff\xfe",
    b"token",
];

/// `N` hostile requests: words in any order, and good requests with bytes replaced, cut out or repeated.
#[test]
fn a_hundred_thousand_hostile_requests_are_answered() {
    let good: &[u8] = b"GET /snapshot.jpg?frame=7&region=a%20b HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\
        Authorization: Bearer abcdefghijklmnop\r\nCookie: oddsight=0123; other=4\r\nAccept: */*\r\n\r\n";
    let mut random = Random::new(20);
    let mut seen = [0u32; 3];
    for round in 0..100_000 {
        let mut bytes = Vec::new();
        if round % 2 == 0 {
            if round % 4 == 0 {
                bytes.extend_from_slice(b"GET /");
            }
            for _ in 0..random.below(40) {
                bytes.extend_from_slice(WORDS[random.below(WORDS.len() as u64) as usize]);
            }
            bytes.extend_from_slice(&b" HTTP/1.1\r\nHost: a\r\n\r\n"[..random.below(23) as usize]);
        } else {
            bytes.extend_from_slice(good);
            for _ in 0..=random.below(4) {
                let at = random.below(bytes.len() as u64) as usize;
                match random.below(4) {
                    0 => bytes[at] = random.next_u64() as u8,
                    1 if bytes.len() > 1 => drop(bytes.remove(at)),
                    2 => bytes.truncate(at.max(1)),
                    _ => {
                        let again = bytes[at..].to_vec();
                        let most = if random.below(100) == 0 { 90 } else { 2 };
                        let times = random.below(most);
                        (0..times).for_each(|_| bytes.extend_from_slice(&again));
                    }
                }
            }
        }
        match parse(&bytes) {
            Parsed::More => {
                assert!(bytes.len() < MOST_BYTES);
                seen[0] += 1;
            }
            Parsed::Request(request) => {
                assert!(request.path.starts_with('/') && request.query.len() <= MOST_PAIRS);
                let texts = request.query.iter().map(|(name, value)| name.len() + value.len());
                assert!(request.path.len() + texts.sum::<usize>() <= 3 * MOST_BYTES);
                seen[1] += 1;
            }
            Parsed::Refused(refusal) => {
                assert!([400, 405, 413, 431, 505].contains(&refusal.status));
                seen[2] += 1;
            }
        }
    }
    assert!(seen.iter().all(|&count| count > 5_000), "one-sided: {seen:?}");
}
