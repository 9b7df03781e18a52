//! The MQTT publisher against a real broker.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use oddsight::clock::{Clock as _, System};
use oddsight::sink::Sink as _;
use oddsight::sink::mqtt::{MqttSettings, MqttSink};
use oddsight::sink::outbox::{Outbox, OutboxSettings};

use crate::broker::{self, Broker, Heard, LONG, present};
use crate::{certificates, item, messages};

const BROKER: [&str; 3] = ["mosquitto", "mosquitto_sub", "mosquitto_pub"];
const BROKER_AND_TLS: [&str; 4] = ["mosquitto", "mosquitto_sub", "mosquitto_pub", "openssl"];

fn settings(url: &str) -> MqttSettings {
    let outbox = OutboxSettings { queue: 1000, per_minute: 0, retry_ms: 50, retry_most_ms: 200 };
    MqttSettings { outbox, ..MqttSettings::new(url.parse().unwrap(), "door") }
}

fn plain(broker: &Broker) -> MqttSettings {
    settings(&format!("mqtt://127.0.0.1:{}", broker.port))
}

fn start(settings: &MqttSettings) -> Outbox {
    let sink = MqttSink::new(settings.clone()).unwrap();
    Outbox::start(Box::new(sink), settings.outbox, Arc::new(System)).unwrap()
}

fn seq(heard: &Heard) -> u64 {
    assert_eq!(heard.topic, "oddsight/door/event", "{heard:?}");
    let json: serde_json::Value = serde_json::from_str(&heard.payload).unwrap();
    json["seq"].as_u64().unwrap()
}

fn status(retained: bool, payload: &str) -> Heard {
    Heard { retained, topic: "oddsight/door/status".into(), payload: payload.into() }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < LONG, "{what}: not within {LONG:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn messages_arrive_whole_and_in_order_between_online_and_offline() {
    if !present(&BROKER) {
        return;
    }
    let broker = Broker::start("", |_| ());
    let mut listener = broker.listen();
    let outbox = start(&plain(&broker));
    assert_eq!(listener.next(), status(false, "online"));
    for (i, phase) in ["start", "update", "end"].into_iter().enumerate() {
        outbox.offer(item(1, phase, i as u64));
    }
    for (i, phase) in ["start", "update", "end"].into_iter().enumerate() {
        let heard = listener.next();
        assert!(!heard.retained);
        let read: oddsight::event::Message = serde_json::from_str(&heard.payload).unwrap();
        assert_eq!(read, messages::message(1, phase, i as u64));
    }
    // Who comes later learns the state, and none of the messages.
    let mut late = broker.listen();
    assert_eq!(late.next(), status(true, "online"));
    assert!(late.rest().is_empty());
    assert_eq!(outbox.trouble(), None);
    assert!(outbox.close(LONG));
    assert_eq!(listener.next(), status(false, "offline"));
    assert_eq!(broker.listen().next(), status(true, "offline"));
    // A farewell is not followed by the will.
    assert!(listener.rest().is_empty());
}

/// Between the publisher and the broker: can be closed, and can swallow what the broker answers.
struct Gate {
    port: u16,
    open: Arc<AtomicBool>,
    swallow: Arc<AtomicBool>,
    swallowed: Arc<AtomicBool>,
}

impl Gate {
    fn new(broker: &Broker) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let gate = Gate {
            port: listener.local_addr().unwrap().port(),
            open: Arc::new(AtomicBool::new(true)),
            swallow: Arc::default(),
            swallowed: Arc::default(),
        };
        let (open, to) = (gate.open.clone(), broker.port);
        let (swallow, swallowed) = (gate.swallow.clone(), gate.swallowed.clone());
        // Ends with the test's process.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if !open.load(SeqCst) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                let forth = (client.try_clone().unwrap(), server.try_clone().unwrap());
                copy(forth.0, forth.1, Arc::default(), Arc::default());
                copy(server, client, swallow.clone(), swallowed.clone());
            }
        });
        gate
    }
}

fn copy(
    mut from: TcpStream,
    mut to: TcpStream,
    swallow: Arc<AtomicBool>,
    swallowed: Arc<AtomicBool>,
) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if swallow.load(SeqCst) {
                swallowed.store(true, SeqCst);
            } else if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    });
}

#[test]
fn a_broker_that_is_killed_costs_no_message() {
    if !present(&BROKER) {
        return;
    }
    const MESSAGES: u64 = 400;
    let mut broker = Broker::start("max_queued_messages 0", |_| ());
    let mut listener = broker.listen();
    let gate = Gate::new(&broker);
    let outbox = start(&settings(&format!("mqtt://127.0.0.1:{}", gate.port)));
    let mut heard: BTreeMap<u64, u32> = BTreeMap::new();
    let mut hear = |listener: &mut broker::Listener| {
        let next = listener.next();
        if next.topic.ends_with("/event") {
            *heard.entry(seq(&next)).or_default() += 1;
        }
        heard.len() as u64
    };
    for round in 1..=4 {
        let offered = MESSAGES / 4;
        (0..offered).for_each(|i| outbox.offer(item(i, "start", (round - 1) * offered + i)));
        // In the middle of the stream; in every other round after an acknowledgement got lost.
        while hear(&mut listener) < round * offered - offered / 2 {}
        if round % 2 == 0 {
            gate.swallowed.store(false, SeqCst);
            gate.swallow.store(true, SeqCst);
            wait_until("an acknowledgement is lost", || gate.swallowed.load(SeqCst));
        }
        gate.open.store(false, SeqCst);
        broker.kill();
        gate.swallow.store(false, SeqCst);
        wait_until("the publisher sees it", || outbox.trouble().is_some());
        broker.restart();
        listener.wait_for_broker(&broker);
        gate.open.store(true, SeqCst);
        while hear(&mut listener) < round * offered {}
        wait_until("the queue is empty", || outbox.counts().queued == 0);
    }
    let counts = outbox.counts();
    assert_eq!((counts.delivered, counts.dropped, counts.failed), (MESSAGES, 0, 0));
    assert!(outbox.close(LONG));
    drop(listener);
    assert!(heard.keys().copied().eq(0..MESSAGES));
    let twice = heard.values().filter(|&&times| times > 1).count();
    assert!(twice >= 2, "the two lost acknowledgements are not among {twice}");
    eprintln!(
        "{MESSAGES} messages, broker killed 4 times: none lost, {twice} heard twice, {} tries failed",
        counts.retried
    );
}

#[test]
fn the_status_comes_back_with_the_broker() {
    if !present(&BROKER) {
        return;
    }
    let mut broker = Broker::start("", |_| ());
    let outbox = start(&plain(&broker));
    wait_until("connected", || broker.listen().rest().contains(&status(true, "online")));
    // Nothing was kept on a disk: the new broker knows nothing.
    broker.restart();
    let mut listener = broker.listen();
    // No message is offered: the publisher notices by itself.
    assert_eq!(listener.next().payload, "online");
    assert_eq!(outbox.counts(), Default::default());
    assert!(outbox.close(LONG));
}

#[test]
fn the_will_speaks_for_a_process_that_was_killed() {
    if !present(&BROKER) {
        return;
    }
    let broker = Broker::start("", |_| ());
    let mut listener = broker.listen();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "mqtt::a_process_that_is_killed", "--ignored"])
        .env("ODDSIGHT_TEST_BROKER", format!("mqtt://127.0.0.1:{}", broker.port))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(listener.next(), status(false, "online"));
    assert_eq!(seq(&listener.next()), 3);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(listener.next(), status(false, "offline"));
    assert_eq!(broker.listen().next(), status(true, "offline"));
}

#[test]
#[ignore = "no test of its own: the_will_speaks_for_a_process_that_was_killed starts it as a process to kill"]
fn a_process_that_is_killed() {
    let Ok(url) = std::env::var("ODDSIGHT_TEST_BROKER") else { return };
    let outbox = start(&settings(&url));
    outbox.offer(item(1, "start", 3));
    thread::sleep(LONG);
    drop(outbox);
}

/// What a sink says to a message; nothing if it delivers it.
fn attempt(sink: &mut MqttSink) -> String {
    match sink.deliver(&item(1, "start", 0)) {
        Ok(()) => String::new(),
        Err(e) => {
            assert!(e.is_passing());
            eprintln!("{e}");
            e.to_string()
        }
    }
}

#[test]
fn a_password_is_read_at_each_connection() {
    if !present(&BROKER) || !present(&["mosquitto_passwd"]) {
        return;
    }
    let broker = Broker::start("allow_anonymous false\npassword_file DIR/passwords", |dir| {
        let mut command = broker::command("mosquitto_passwd");
        let done =
            command.arg("-b").arg("-c").arg(dir.join("passwords")).args(["cam", "right"]).status();
        assert!(done.unwrap().success());
    });
    let file = broker.dir.path().join("password");
    std::fs::write(&file, "wrong\n").unwrap();
    let anonymous = plain(&broker);
    let known = MqttSettings {
        user: Some("cam".into()),
        password_file: Some(file.clone()),
        ..anonymous.clone()
    };
    let why = attempt(&mut MqttSink::new(anonymous).unwrap());
    assert!(why.contains("does not let this client in"), "{why}");
    let mut sink = MqttSink::new(known).unwrap();
    let why = attempt(&mut sink);
    assert!(why.contains("mqtt.password_file") && !why.contains("wrong"), "{why}");
    std::fs::write(&file, "right\n").unwrap();
    assert_eq!(attempt(&mut sink), "");
    sink.close();
}

#[test]
fn two_clients_of_one_name_are_told_so() {
    if !present(&BROKER) {
        return;
    }
    let broker = Broker::start("", |_| ());
    let twin = || MqttSink::new(plain(&broker)).unwrap();
    let (mut one, mut other) = (twin(), twin());
    one.tick(System.now());
    other.tick(System.now());
    wait_until("one is thrown out", || {
        one.tick(System.now());
        one.trouble().is_some()
    });
    let why = one.trouble().unwrap();
    assert!(why.contains("same client id"), "{why}");
}

/// A broker whose second port speaks TLS, with a certificate for these names.
fn tls_broker(names: Option<&str>) -> Broker {
    Broker::start("certfile DIR/server.pem\nkeyfile DIR/server.key", |dir| {
        certificates::authority(dir, "authority");
        certificates::authority(dir, "stranger");
        certificates::server(dir, "server", "authority", names);
    })
}

fn encrypted(broker: &Broker, host: &str, ca_file: Option<&Path>) -> MqttSink {
    let settings = settings(&format!("mqtts://{host}:{}", broker.second_port));
    MqttSink::new(MqttSettings { ca_file: ca_file.map(Path::to_path_buf), ..settings }).unwrap()
}

#[test]
fn tls_with_an_authority_of_ones_own() {
    if !present(&BROKER_AND_TLS) {
        return;
    }
    let broker = tls_broker(Some("DNS:localhost,IP:127.0.0.1"));
    let (ours, stranger) =
        (broker.dir.path().join("authority.pem"), broker.dir.path().join("stranger.pem"));
    let mut listener = broker.listen();
    for host in ["localhost", "127.0.0.1"] {
        let mut sink = encrypted(&broker, host, Some(&ours));
        for _ in 0..3 {
            assert_eq!(attempt(&mut sink), "", "{host}");
        }
        sink.tick(System.now());
        assert_eq!(sink.trouble(), None);
        sink.close();
        assert_eq!(listener.next(), status(false, "online"));
        (0..3).for_each(|_| assert_eq!(seq(&listener.next()), 0));
        assert_eq!(listener.next(), status(false, "offline"));
    }
    let why = attempt(&mut encrypted(&broker, "localhost", Some(&stranger)));
    assert!(why.contains("set ca_file") && why.contains("stranger.pem"), "{why}");
    let why = attempt(&mut encrypted(&broker, "localhost", None));
    assert!(why.contains("ca_file"), "{why}");
    // The file is read at each connection.
    let mut sink = encrypted(&broker, "localhost", Some(&stranger));
    attempt(&mut sink);
    std::fs::copy(&ours, &stranger).unwrap();
    assert_eq!(attempt(&mut sink), "");
}

#[test]
fn ports_that_are_mixed_up() {
    if !present(&BROKER_AND_TLS) {
        return;
    }
    let mut broker = tls_broker(Some("DNS:localhost"));
    let plain = |port| MqttSink::new(settings(&format!("mqtt://127.0.0.1:{port}"))).unwrap();
    let why = attempt(&mut plain(broker.second_port));
    assert!(why.contains("mqtts://") || why.contains("without TLS"), "{why}");
    let authority = broker.dir.path().join("authority.pem");
    broker.second_port = broker.port;
    let why = attempt(&mut encrypted(&broker, "localhost", Some(&authority)));
    assert!(why.contains("speak TLS"), "{why}");
}

#[test]
fn certificates_that_are_no_good_are_explained() {
    if !present(&BROKER_AND_TLS) {
        return;
    }
    for (names, remedy) in [
        (Some("DNS:elsewhere.example"), "elsewhere.example"),
        (None, "version 3 with a subjectAltName"),
    ] {
        let broker = tls_broker(names);
        let authority = broker.dir.path().join("authority.pem");
        let why = attempt(&mut encrypted(&broker, "localhost", Some(&authority)));
        assert!(why.contains(remedy), "{why}");
    }
    // The authority's own certificate as that of the server.
    let broker = Broker::start("certfile DIR/authority.pem\nkeyfile DIR/authority.key", |dir| {
        certificates::authority(dir, "authority");
    });
    let authority = broker.dir.path().join("authority.pem");
    let why = attempt(&mut encrypted(&broker, "localhost", Some(&authority)));
    assert!(why.contains("one of its own"), "{why}");
}

#[test]
fn an_outage_is_survived_with_what_matters_most() {
    if !present(&BROKER) {
        return;
    }
    let broker = Broker::start("", |_| ());
    let mut listener = broker.listen();
    let gate = Gate::new(&broker);
    gate.open.store(false, SeqCst);
    let mut small = settings(&format!("mqtt://127.0.0.1:{}", gate.port));
    small.outbox.queue = 10;
    let outbox = start(&small);
    wait_until("the broker is missed", || outbox.trouble().is_some());
    // Five events of 50 messages each, and room for ten messages beside the one that is tried.
    for event in 0..5 {
        outbox.offer(item(event, "start", event * 50));
        (1..49).for_each(|i| outbox.offer(item(event, "update", event * 50 + i)));
        outbox.offer(item(event, "end", event * 50 + 49));
    }
    gate.open.store(true, SeqCst);
    let wanted: Vec<u64> = (0..5).flat_map(|event| [event * 50, event * 50 + 49]).collect();
    let mut got = Vec::new();
    while got.last() != wanted.last() {
        let heard = listener.next();
        if heard.topic.ends_with("/event") {
            got.push(seq(&heard));
        }
    }
    assert!(wanted.iter().all(|seq| got.contains(seq)), "{got:?}");
    let counts = outbox.counts();
    assert_eq!(counts.dropped + got.len() as u64, 250);
    assert!(outbox.close(LONG));
}
