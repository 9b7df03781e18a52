//! The webhook against web servers of a few lines each.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use oddsight::sink::webhook::{WebUrl, WebhookSettings, WebhookSink};
use oddsight::sink::{Sink as _, SinkError};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::broker::present;
use crate::{certificates, item, messages};

/// A request: its head and its body.
struct Request {
    head: String,
    body: Vec<u8>,
}

fn read_request(stream: &mut impl Read) -> Request {
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse().unwrap())
    });
    let mut body = vec![0; length.unwrap()];
    stream.read_exact(&mut body).unwrap();
    Request { head, body }
}

/// A server that treats each of its connections as `play` says, until the test's process ends.
fn server(play: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(play));
    port
}

/// A server that answers each request with these bytes.
fn answering(answer: impl Into<Vec<u8>>) -> u16 {
    let answer = answer.into();
    server(move |mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(&answer);
    })
}

fn settings(url: &str) -> WebhookSettings {
    WebhookSettings { timeout_ms: 5000, ..WebhookSettings::new(url.parse().unwrap()) }
}

fn local(port: u16) -> WebhookSettings {
    settings(&format!("http://127.0.0.1:{port}/hook?token=s3cret"))
}

/// No error tells more of an address than its host.
fn post(settings: WebhookSettings) -> Result<(), SinkError> {
    let result = WebhookSink::new("webhook", settings).unwrap().deliver(&item(1, "start", 0));
    if let Err(e) = &result {
        let why = e.to_string();
        assert!(!why.contains("/hook") && !why.contains("s3cret"), "{why}");
    }
    result
}

/// Why the message did not arrive; it must be one that is worth another try.
fn trouble(settings: WebhookSettings) -> String {
    let error = post(settings).unwrap_err();
    assert!(error.is_passing(), "{error}");
    error.to_string()
}

#[test]
fn a_message_is_one_post_of_json() {
    let dir = tempfile::tempdir().unwrap();
    let token_file = dir.path().join("token");
    std::fs::write(&token_file, "t0k.en\n").unwrap();
    let (send, requests) = mpsc::channel();
    let port = server(move |mut stream| {
        send.send(read_request(&mut stream)).unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    });
    let settings = WebhookSettings { token_file: Some(token_file.clone()), ..local(port) };
    let mut sink = WebhookSink::new("webhook", settings).unwrap();
    for seq in 0..3 {
        sink.deliver(&item(4, "end", seq)).unwrap();
        let Request { head, body } = requests.recv().unwrap();
        assert!(head.starts_with("POST /hook?token=s3cret HTTP/1.1\r\n"), "{head}");
        let head = head.to_ascii_lowercase();
        for line in [
            &format!("host: 127.0.0.1:{port}")[..],
            "content-type: application/json",
            "authorization: bearer t0k.en",
            concat!("user-agent: oddsight/", env!("CARGO_PKG_VERSION")),
        ] {
            assert!(head.lines().any(|has| has == line), "no {line} in {head}");
        }
        let read: oddsight::event::Message = serde_json::from_slice(&body).unwrap();
        assert_eq!(read, messages::message(4, "end", seq));
    }
    // The token is read each time.
    std::fs::write(&token_file, "two words\n").unwrap();
    let why = sink.deliver(&item(4, "end", 3)).unwrap_err().to_string();
    assert!(why.contains("token_file") && !why.contains("two words"), "{why}");
}

#[test]
fn the_status_decides_what_becomes_of_the_message() {
    for status in [200, 201, 202, 204, 299] {
        post(local(answering(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"))))
            .unwrap();
    }
    for (status, passing, why) in [
        (400, false, "400"),
        (413, false, "413"),
        (415, false, "415"),
        (422, false, "422"),
        (401, true, "webhook.token_file"),
        (403, true, "webhook.token_file"),
        (404, true, "webhook.url"),
        (408, true, "408"),
        (429, true, "429"),
        (500, true, "500"),
        (503, true, "503"),
    ] {
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\n{{}}");
        let error = post(local(answering(answer))).unwrap_err();
        assert_eq!(error.is_passing(), passing, "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn redirects_are_told_and_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
        elsewhere.set_nonblocking(true).unwrap();
        let to = elsewhere.local_addr().unwrap();
        let why = trouble(local(answering(format!(
            "HTTP/1.1 {status} X\r\nLocation: http://{to}/login\r\nContent-Length: 0\r\n\r\n"
        ))));
        assert!(why.contains("not followed") && why.contains("/login"), "{why}");
        assert_eq!(elsewhere.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
    let same = "HTTP/1.1 301 X\r\nLocation: https://a.example/hook?token=s3cret\r\n\r\n";
    let why = trouble(local(answering(same)));
    assert!(why.ends_with("https://a.example/…"), "{why}");
}

#[test]
fn slow_servers_are_left_in_time() {
    let silent = server(|mut stream| {
        read_request(&mut stream);
        let _ = stream.read(&mut [0]);
    });
    // A header that never ends, a byte at a time.
    let dripping = server(|mut stream| {
        read_request(&mut stream);
        let mut drip = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ");
        while drip.is_ok() {
            thread::sleep(Duration::from_millis(20));
            drip = stream.write_all(b"x");
        }
    });
    // Takes the connection, and not one byte of the request.
    let deaf = server(|stream| {
        thread::sleep(Duration::from_secs(if stream.peer_addr().is_ok() { 2 } else { 0 }))
    });
    for port in [silent, dripping, deaf] {
        let why = trouble(WebhookSettings { timeout_ms: 300, ..local(port) });
        assert!(why.contains("no answer within 300 ms"), "{why}");
    }
}

#[test]
fn huge_answers_are_not_read() {
    let (send, ended) = mpsc::channel();
    let body = server(move |mut stream| {
        read_request(&mut stream);
        let mut flow = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n");
        while flow.is_ok() {
            flow = stream.write_all(&[b'x'; 65_536]);
        }
        send.send(()).unwrap();
    });
    post(local(body)).unwrap();
    ended.recv_timeout(crate::broker::LONG).unwrap();
    let head = server(|mut stream| {
        read_request(&mut stream);
        let mut flow = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while flow.is_ok() {
            flow = stream.write_all(format!("X: {}\r\n", "x".repeat(1000)).as_bytes());
        }
    });
    let why = trouble(local(head));
    assert!(why.contains("header"), "{why}");
}

#[test]
fn servers_that_say_something_else() {
    for answer in [
        &b""[..],
        b"\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"\x15\x03\x03\0\x02\x02\x46",
        b"HTTP/1.1 999999\r\n\r\n",
        b"HTTP/1.1 200",
    ] {
        let why = trouble(local(answering(answer)));
        assert!(why.starts_with("http://127.0.0.1:"), "{answer:?}: {why}");
    }
    let closed = crate::broker::free_port();
    let why = trouble(local(closed));
    assert!(why.contains("refused"), "{why}");
    let why = trouble(settings("http://oddsight.invalid/"));
    assert!(why.contains("oddsight.invalid"), "{why}");
}

/// A server that speaks TLS with the folder's `server.pem`, and answers 200.
fn tls_server(dir: &Path) -> u16 {
    let chain = vec![CertificateDer::from_pem_file(dir.join("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(dir.join("server.key")).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(oddsight::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    server(move |socket| {
        let session = rustls::ServerConnection::new(config.clone()).unwrap();
        let mut stream = rustls::StreamOwned::new(session, socket);
        // Clients that trust nobody end the handshake.
        if stream.conn.complete_io(&mut stream.sock).is_ok() {
            read_request(&mut stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        }
    })
}

#[test]
fn tls_with_an_authority_of_ones_own() {
    if !present(&["openssl"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    certificates::authority(dir.path(), "authority");
    certificates::authority(dir.path(), "stranger");
    certificates::server(dir.path(), "server", "authority", Some("DNS:localhost"));
    let port = tls_server(dir.path());
    let at = |host: &str, ca: Option<&str>| {
        let ca_file = ca.map(|name| dir.path().join(name));
        WebhookSettings { ca_file, ..settings(&format!("https://{host}:{port}/")) }
    };
    post(at("localhost", Some("authority.pem"))).unwrap();
    let why = trouble(at("localhost", Some("stranger.pem")));
    assert!(why.contains("set ca_file") && why.contains("stranger.pem"), "{why}");
    let why = trouble(at("localhost", None));
    assert!(why.contains("ca_file"), "{why}");
    let why = trouble(at("127.0.0.1", Some("authority.pem")));
    assert!(why.contains("another name"), "{why}");
    let why = trouble(at("localhost", Some("missing.pem")));
    assert!(why.contains("missing.pem"), "{why}");
    let plain = server(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let _ = stream.read(&mut [0; 1000]);
    });
    let why = trouble(WebhookSettings {
        ca_file: Some(dir.path().join("authority.pem")),
        ..settings(&format!("https://localhost:{plain}/"))
    });
    assert!(why.contains("does not speak TLS"), "{why}");
    // A file that is replaced counts from the next message on.
    let mut sink = WebhookSink::new("webhook", at("localhost", Some("stranger.pem"))).unwrap();
    sink.deliver(&item(1, "start", 0)).unwrap_err();
    std::fs::copy(dir.path().join("authority.pem"), dir.path().join("stranger.pem")).unwrap();
    sink.deliver(&item(1, "start", 0)).unwrap();
}

#[test]
fn addresses_are_parsed_or_explained() {
    for text in
        ["http://a", "https://a.example:8443/b/c?d=e", "http://[::1]:80/", "http://10.0.0.1/x"]
    {
        let url: WebUrl = text.parse().unwrap();
        assert_eq!(url.is_tls(), text.starts_with("https"));
        assert_eq!(url.to_string().parse::<WebUrl>().unwrap(), url);
    }
    for (text, why) in [
        ("", "http://HOST"),
        ("/path", "http://"),
        ("ftp://a/", "http://"),
        ("http:///x", "http://HOST"),
        ("http://me:secret@a/", "token_file"),
        ("http://a:99999/", "port"),
        ("http://a:/", "port"),
        ("http://a b/", "http://HOST"),
    ] {
        let error = text.parse::<WebUrl>().unwrap_err().to_string();
        assert!(error.contains(why) && !error.contains("secret"), "{text}: {error}");
    }
    let good = || settings("http://a/");
    for (settings, key) in [
        (WebhookSettings { phases: vec![], ..good() }, "webhook.phases"),
        (WebhookSettings { ca_file: Some("c".into()), ..good() }, "webhook.ca_file"),
        (WebhookSettings { timeout_ms: 1, ..good() }, "webhook.timeout_ms"),
    ] {
        let why = WebhookSink::new("x", settings).err().expect(key).to_string();
        assert!(why.starts_with(key), "{why}");
    }
}
