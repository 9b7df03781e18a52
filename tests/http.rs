//! The HTTP server over real sockets, with clients that mean no good.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use oddsight::camera::{Content, Frame};
use oddsight::clock::{Clock, Stamp, System, boot_id};
use oddsight::event::{Cause, EventId, Machine, Message, Phase, Unusual};
use oddsight::http::{HttpErrorKind, HttpSettings, Server};
use oddsight::image::Rgb;
use oddsight::metrics::FrameResult;
use oddsight::random::Random;
use oddsight::status::{Board, DriftStatus, Identity, ModelCard, Place, SinkStatus, StorageStatus};
use oddsight::verdict::Verdict;
use serde_json::Value;

/// Nothing here takes that long; a test that hangs fails after it.
const GUARD: Duration = Duration::from_secs(60);

fn verdict(energy: f64) -> Verdict {
    Verdict {
        energy,
        energy_q16: (energy * 65_536.0) as i64,
        p_value: if energy > 4.0 { 0.01 } else { 0.5 },
        unusual: energy > 4.0,
        nearest: Some("gear".into()),
        heads: Vec::new(),
    }
}

fn board() -> Arc<Board> {
    let identity = Identity {
        device: "rig".into(),
        source: "synth:1".into(),
        live: true,
        model: ModelCard {
            name: "demo".into(),
            alpha: 0.05,
            threshold: Some(4.0),
            median: 0.5,
            calibration: 199,
            heads: vec!["gmm"],
            kernel: "scalar".into(),
        },
        regions: vec![Place { name: "belt".into(), at: [0.0, 0.0, 1.0, 1.0] }],
    };
    Arc::new(Board::new(identity, System.now()))
}

fn score(board: &Board, content: Content, energy: f64) {
    let frame = Frame { seq: 0, name: "test".into(), content };
    let took = Duration::from_millis(3);
    board.scored(System.now(), &Arc::new(frame), &[verdict(energy)], took);
}

fn grey() -> Content {
    Content::Picture(Rgb { width: 8, height: 4, pixels: vec![90; 96] })
}

fn start(board: &Arc<Board>) -> Server {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = HttpSettings { listen, ..HttpSettings::default() };
    Server::start(&settings, board.clone(), Arc::new(System)).unwrap()
}

fn connect(server: &Server) -> TcpStream {
    let mut address = server.address();
    if address.ip().is_unspecified() {
        address.set_ip([127, 0, 0, 1].into());
    }
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(GUARD)).unwrap();
    stream.set_write_timeout(Some(GUARD)).unwrap();
    stream
}

/// Everything that the other side still sends. A reset is an end as well.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            panic!("nobody hung up within {GUARD:?}")
        }
        _ => bytes,
    }
}

/// Status, headers and body of an answer.
fn parts(answer: &[u8]) -> (u16, String, Vec<u8>) {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("no answer");
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, answer[end + 4..].to_vec())
}

fn ask(server: &Server, request: &str) -> (u16, String, Vec<u8>) {
    let mut stream = connect(server);
    stream.write_all(request.as_bytes()).unwrap();
    parts(&rest(&mut stream))
}

fn get(server: &Server, target: &str) -> (u16, String, Vec<u8>) {
    ask(server, &format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
}

#[test]
fn every_page_is_there() {
    let board = board();
    let server = start(&board);
    assert_eq!(get(&server, "/snapshot.jpg").0, 404);
    score(&board, grey(), 0.5);
    for target in
        ["/", "/live", "/status.json", "/energy.json", "/snapshot.jpg", "/metrics", "/healthz"]
    {
        let (status, head, body) = get(&server, target);
        assert_eq!(status, 200, "{target}");
        assert!(
            head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())),
            "{target}: {head}"
        );
        for header in
            ["Connection: close", "Cache-Control: no-store", "X-Content-Type-Options: nosniff"]
        {
            assert!(head.contains(header), "{target}: {head}");
        }
        let request = format!("HEAD {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let (status, head, body) = ask(&server, &request);
        assert_eq!((status, body.len()), (200, 0), "{target}");
        assert!(head.contains("Content-Length: ") && !head.contains("Content-Length: 0"), "{head}");
    }
    let status: Value = serde_json::from_slice(&get(&server, "/status.json").2).unwrap();
    assert_eq!(
        (&status["device"], &status["scoring"]["last_hour_frames"]),
        (&"rig".into(), &1.into())
    );
}

#[test]
fn strangers_and_their_names_are_refused() {
    let board = board();
    let server = start(&board);
    for (request, expected) in [
        ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        ("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", 413),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", 400),
    ] {
        assert_eq!(ask(&server, request).0, expected, "{request}");
    }
}

#[test]
fn beyond_loopback_nothing_is_said_without_the_token() {
    let board = board();
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let settings = HttpSettings { listen: everywhere, ..HttpSettings::default() };
    let refused = Server::start(&settings, board.clone(), Arc::new(System)).unwrap_err();
    assert_eq!(refused.kind(), HttpErrorKind::NoToken);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "0123456789abcdef0123\n").unwrap();
    let settings = HttpSettings { token_file: Some(file), ..settings };
    let server = Server::start(&settings, board.clone(), Arc::new(System)).unwrap();
    for target in ["/", "/live", "/status.json", "/metrics", "/healthz", "/snapshot.jpg?token=0123"]
    {
        assert_eq!(get(&server, target).0, 401, "{target}");
    }
    let bearer =
        "GET /healthz HTTP/1.1\r\nHost: rig\r\nAuthorization: Bearer 0123456789abcdef0123\r\n\r\n";
    assert_eq!(ask(&server, bearer).0, 200);
    let (status, head, _) = get(&server, "/?token=0123456789abcdef0123");
    assert_eq!(status, 200);
    let cookie = head.split("Set-Cookie: ").nth(1).unwrap().split(';').next().unwrap();
    let with_cookie = format!("GET /status.json HTTP/1.1\r\nHost: rig\r\nCookie: {cookie}\r\n\r\n");
    assert_eq!(ask(&server, &with_cookie).0, 200);
}

#[test]
fn a_taken_address_is_an_error_that_names_it() {
    let board = board();
    let server = start(&board);
    let settings = HttpSettings { listen: server.address(), ..HttpSettings::default() };
    let error = Server::start(&settings, board.clone(), Arc::new(System)).unwrap_err();
    assert_eq!(error.kind(), HttpErrorKind::Listen);
    assert!(error.to_string().contains(&server.address().to_string()), "{error}");
}

#[test]
fn a_flood_of_silent_and_slow_clients_shuts_nobody_out() {
    let board = board();
    let server = start(&board);
    score(&board, grey(), 0.5);
    let mut flood = Vec::new();
    for i in 0..200 {
        let mut stream = connect(&server);
        if i % 2 == 0 {
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: loc").unwrap();
        }
        flood.push(stream);
        if i % 20 == 19 {
            assert_eq!(get(&server, "/healthz").0, 200, "after {i} slow clients");
        }
    }
    // The last ones are told, or dropped, when their time is up.
    for stream in &mut flood[190..] {
        let bytes = rest(stream);
        assert!(bytes.is_empty() || parts(&bytes).0 == 408);
    }
}

#[test]
fn whoever_does_not_read_holds_up_nobody() {
    const LARGE: usize = 80 << 20;
    let board = board();
    let server = start(&board);
    // A file that the buffers of no socket take as a whole.
    let mut file = b"\xff\xd8\xff\xc4\x00\x03\x00".to_vec();
    file.resize(LARGE, 0);
    score(&board, Content::File(file), 0.5);
    let mut lazy = Vec::new();
    for _ in 0..24 {
        let mut stream = connect(&server);
        stream.write_all(b"GET /snapshot.jpg HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        lazy.push(stream);
        assert_eq!(get(&server, "/healthz").0, 200);
    }
    let whole = get(&server, "/snapshot.jpg").2;
    assert_eq!(whole.len(), LARGE);
    // The first ones had to go for those who came later.
    for stream in &mut lazy[..8] {
        assert!(rest(stream).len() < LARGE);
    }
}

#[test]
fn half_closed_and_broken_connections_end() {
    let board = board();
    let server = start(&board);
    let mut asked = connect(&server);
    asked.write_all(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    asked.shutdown(Shutdown::Write).unwrap();
    assert_eq!(parts(&rest(&mut asked)).0, 200);
    let mut began = connect(&server);
    began.write_all(b"GET /live HT").unwrap();
    began.shutdown(Shutdown::Write).unwrap();
    assert!(rest(&mut began).is_empty());
    // Gone before the answer, with and without anything said.
    for _ in 0..50 {
        let mut gone = connect(&server);
        gone.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        drop(gone);
        drop(connect(&server));
    }
    assert_eq!(get(&server, "/live").0, 200);
}

#[test]
fn oversized_and_hostile_bytes_get_an_answer_or_an_end() {
    let board = board();
    let server = start(&board);
    let long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "y".repeat(20_000));
    assert_eq!(ask(&server, &long).0, 431);
    // More than anybody reads: the server hangs up, and writing fails or the answer comes.
    let mut endless = connect(&server);
    let sent = (0..2_000).take_while(|_| endless.write_all(&[b'z'; 65_536]).is_ok()).count();
    assert!(sent < 2_000, "128 MiB were taken");
    let mut random = Random::new(3);
    for _ in 0..300 {
        let mut stream = connect(&server);
        let length = random.below(3_000) as usize;
        let mut bytes: Vec<u8> = (0..length).map(|_| random.next_u64() as u8).collect();
        if random.below(2) == 0 {
            bytes.splice(0..0, *b"GET /status.json?");
        }
        bytes.extend_from_slice(b"\r\n\r\n");
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let answer = rest(&mut stream);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 "));
    }
    assert_eq!(get(&server, "/healthz").0, 200);
}

#[test]
fn a_dropped_server_is_gone() {
    let board = board();
    let server = start(&board);
    let address = server.address();
    let mut idle = connect(&server);
    assert_eq!(get(&server, "/healthz").0, 200);
    drop(server);
    assert!(TcpStream::connect(address).is_err());
    assert!(rest(&mut idle).is_empty());
    assert_eq!(Arc::strong_count(&board), 1, "its thread has ended");
}

/// What a frame costs the main loop while clients ask for everything that there is. Prints figures; asserts none.
#[test]
fn writers_do_not_wait_for_readers() {
    let board = board();
    let server = start(&board);
    let frame = Frame { seq: 0, name: "test".into(), content: grey() };
    let frame = Arc::new(frame);
    let score = |board: &Board| {
        let begin = Instant::now();
        board.scored(System.now(), &frame, &[verdict(0.5)], Duration::ZERO);
        begin.elapsed().as_nanos() as u64
    };
    // Ten minutes' worth, so that readers have the most to copy.
    let mut alone: Vec<u64> = (0..24_000).map(|_| score(&board)).collect();
    let done = AtomicBool::new(false);
    let answered = AtomicU64::new(0);
    let mut busy = Vec::new();
    std::thread::scope(|scope| {
        for target in ["/", "/live", "/energy.json", "/status.json", "/snapshot.jpg", "/metrics"] {
            let (server, done, answered) = (&server, &done, &answered);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    assert_eq!(get(server, target).0, 200);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while answered.load(Ordering::Relaxed) < 600 {
            busy.push(score(&board));
            std::thread::sleep(Duration::from_micros(200));
        }
        done.store(true, Ordering::Relaxed);
    });
    for (name, times) in [("alone", &mut alone), ("beside six clients", &mut busy)] {
        times.sort_unstable();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
        println!(
            "{name}: {} frames told, median {:.1} us, 99 % {:.1} us, 99.9 % {:.1} us, most {:.1} us",
            times.len(),
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        );
    }
    let status = board.status(System.now(), Duration::from_secs(30));
    assert_eq!(status.scoring.last_hour_frames, (alone.len() + busy.len()) as u64);
}

/// `/metrics` with something in every family, as Prometheus' own tool sees it.
#[test]
fn promtool_accepts_the_metrics() {
    let board = board();
    let server = start(&board);
    score(&board, grey(), 0.5);
    score(&board, grey(), 9.0);
    board.passed(System.now(), FrameResult::Shed);
    let at: Stamp = System.now();
    let unusual = Unusual {
        region: "belt".into(),
        frames: 3,
        unusual_frames: 3,
        energy: 9.0,
        p_value: 0.01,
        peak_energy: 9.0,
        peak_p_value: 0.01,
        suppressed: false,
        nearest: None,
    };
    board.event(&Message {
        event: EventId::new(1),
        phase: Phase::Start,
        seq: 0,
        boot_id: boot_id().into(),
        at,
        started_ms: at.mono_ms,
        device: "rig".into(),
        cause: Cause::Unusual(unusual),
        machine: Machine::default(),
    });
    board.machine(Machine { temperature_c: Some(50.0), throttled: Some(0) }, Some(1 << 25));
    board.sinks(vec![SinkStatus { name: "mqtt \"a\"\\b".into(), ..SinkStatus::default() }]);
    let name = "evidence".into();
    board.storage(vec![StorageStatus { name, free_bytes: Some(9), ..StorageStatus::default() }]);
    let region = "belt".into();
    board.drift(vec![DriftStatus { region, evidence: 1.0, mean_p_value: 0.5 }]);
    let metrics = get(&server, "/metrics").2;
    let tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut tool) = tool else {
        // Not through `println!`: this line is to be seen.
        let _ = writeln!(
            io::stderr(),
            "SKIP: no promtool (Debian: prometheus); /metrics is not checked"
        );
        return;
    };
    tool.stdin.take().unwrap().write_all(&metrics).unwrap();
    let output = tool.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
