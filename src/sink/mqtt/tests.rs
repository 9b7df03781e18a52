//! Against brokers of a few lines each, which do what no good one does. Good ones are in `tests/mqtt.rs`.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::*;
use crate::random::Random;
use crate::sink::messages::message;

const CONNACK: &[u8] = b"\x20\x02\0\0";

/// A broker that treats its first connections as `play` says, which is given their numbers.
struct Stub {
    url: BrokerUrl,
    thread: JoinHandle<()>,
}

impl Stub {
    fn new(connections: usize, play: impl Fn(usize, TcpStream) + Send + 'static) -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = thread::spawn(move || {
            for number in 0..connections {
                let (stream, _) = listener.accept().unwrap();
                // A guard: a test that hangs is worse than one that fails.
                stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
                play(number, stream);
            }
        });
        Stub { url: format!("mqtt://127.0.0.1:{port}").parse().unwrap(), thread }
    }

    /// Sends the bytes as the answer to CONNECT, then waits for the end.
    fn answering(bytes: &'static [u8]) -> Stub {
        Stub::new(1, move |_, mut stream| {
            packet(&mut stream);
            stream.write_all(bytes).unwrap();
            let _ = stream.read(&mut [0; 64]);
        })
    }
}

/// The next packet of the client: its first byte and its body.
fn packet(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();
    let (first, mut length) = (byte[0], 0);
    for shift in (0..28).step_by(7) {
        stream.read_exact(&mut byte).unwrap();
        length |= usize::from(byte[0] & 0x7f) << shift;
        if byte[0] < 0x80 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (first, body)
}

/// Topic, packet number and payload of a PUBLISH at QoS 1.
fn published(body: &[u8]) -> (String, u16, Vec<u8>) {
    let length = usize::from(body[0]) << 8 | usize::from(body[1]);
    let (topic, rest) = body[2..].split_at(length);
    let id = u16::from_be_bytes([rest[0], rest[1]]);
    (String::from_utf8(topic.to_vec()).unwrap(), id, rest[2..].to_vec())
}

fn puback(id: u16) -> Vec<u8> {
    [&[0x40, 2][..], &id.to_be_bytes()].concat()
}

/// Takes the connection and the `online`.
fn welcome(stream: &mut TcpStream) {
    assert_eq!(packet(stream).0, 0x10);
    stream.write_all(CONNACK).unwrap();
    let (first, body) = packet(stream);
    let (topic, id, payload) = published(&body);
    assert_eq!((first, &topic[..], &payload[..]), (0x33, "oddsight/door/status", ONLINE));
    stream.write_all(&puback(id)).unwrap();
}

fn sink(url: &BrokerUrl) -> MqttSink {
    MqttSink::new(MqttSettings::new(url.clone(), "door")).unwrap()
}

/// One that gives a broker a second to answer.
fn impatient(url: &BrokerUrl) -> MqttSink {
    let settings = MqttSettings { timeout_ms: 1000, ..MqttSettings::new(url.clone(), "door") };
    MqttSink::new(settings).unwrap()
}

fn start(seq: u64) -> Item {
    Item::Message(Arc::new(message(1, "start", seq)))
}

/// Why the message did not arrive; it must be one that is worth another try.
fn trouble(mut sink: MqttSink) -> String {
    let error = sink.deliver(&start(0)).unwrap_err();
    assert!(error.is_passing(), "{error}");
    assert_eq!(sink.trouble(), Some(&error.to_string()[..]));
    error.to_string()
}

#[test]
fn a_broker_that_never_answers() {
    let stub = Stub::new(1, |_, mut stream| {
        packet(&mut stream);
        let _ = stream.read(&mut [0; 64]);
    });
    let why = trouble(impatient(&stub.url));
    assert!(why.contains("no CONNACK in time"), "{why}");
    stub.thread.join().unwrap();
}

#[test]
fn a_broker_that_never_acknowledges() {
    let stub = Stub::new(1, |_, mut stream| {
        welcome(&mut stream);
        packet(&mut stream);
        let _ = stream.read(&mut [0; 64]);
    });
    let why = trouble(impatient(&stub.url));
    assert!(why.contains("no PUBACK in time"), "{why}");
    stub.thread.join().unwrap();
}

#[test]
fn a_server_that_drips_tls_for_ever_is_left_in_time() {
    let stub = Stub::new(1, |_, mut stream| {
        // A record of 16 KiB, one byte at a time: each read succeeds, and nothing comes of it.
        let mut drip = stream.write_all(&[0x16, 3, 3, 0x40, 0]);
        while drip.is_ok() {
            thread::sleep(Duration::from_millis(20));
            drip = stream.write_all(&[2]);
        }
    });
    let url = stub.url.to_string().replace("mqtt://", "mqtts://").parse().unwrap();
    let mut sink = impatient(&url);
    let authority = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/authority.pem");
    sink.settings.ca_file = Some(authority.into());
    let why = sink.deliver(&start(0)).unwrap_err().to_string();
    assert!(why.contains("no answer in time during the TLS handshake"), "{why}");
    stub.thread.join().unwrap();
}

#[test]
fn brokers_that_say_something_else() {
    for (bytes, why) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "web server"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "mqtts://"),
        (b"\xff\xff\xff\xff", "0xff"),
        (b"\x20\xff\xff\xff\x7f", "length"),
        (b"\x40\x02\0\x01", "acknowledged packet 1"),
        (b"\xd0\0", "ping that was not sent"),
        (b"\x20\x02\0\0\x20\x02\0\0", "second CONNACK"),
        (b"\x20\x02\0\x01", "does not speak MQTT 3.1.1"),
        (b"\x20\x02\0\x02", "mqtt.client_id"),
        (b"\x20\x02\0\x03", "unavailable"),
        (b"\x20\x02\0\x04", "mqtt.password_file"),
        (b"\x20\x02\0\x05", "who may do what"),
        (b"\x20\x02\0\x77", "return code 119"),
    ] {
        let stub = Stub::answering(bytes);
        let told = trouble(sink(&stub.url));
        assert!(told.contains(why), "{bytes:?}: {told}");
        stub.thread.join().unwrap();
    }
}

#[test]
fn hostile_brokers_are_left_at_once() {
    const BROKERS: usize = 300;
    let stub = Stub::new(BROKERS, |number, mut stream| {
        packet(&mut stream);
        let mut random = Random::new(number as u64);
        // The client may have heard enough before all is said.
        let _ = stream.write_all(if number % 2 == 0 { CONNACK } else { b"" });
        let _ = stream.write_all(&packet::tests::hostile(&mut random));
    });
    let mut sink = sink(&stub.url);
    for number in 0..BROKERS {
        let error = sink.deliver(&start(number as u64)).unwrap_err();
        assert!(error.is_passing() && error.to_string().len() < 300, "{number}: {error}");
    }
    stub.thread.join().unwrap();
}

#[test]
fn brokers_that_close() {
    let stub = Stub::new(2, |number, mut stream| {
        packet(&mut stream);
        if number == 1 {
            stream.write_all(CONNACK).unwrap();
            packet(&mut stream);
        }
    });
    let why = trouble(sink(&stub.url));
    assert!(why.contains("does its port speak MQTT"), "{why}");
    let why = trouble(sink(&stub.url));
    assert!(why.contains("same client id"), "{why}");
    let url = stub.url.clone();
    stub.thread.join().unwrap();
    let why = trouble(sink(&url));
    assert!(why.contains("mqtt://127.0.0.1:") && why.contains("refused"), "{why}");
}

#[test]
fn names_and_files_that_are_not_there() {
    let why = trouble(sink(&"mqtt://oddsight.invalid".parse().unwrap()));
    assert!(why.contains("oddsight.invalid") && why.contains("looked up"), "{why}");
    let mut sink = sink(&"mqtts://127.0.0.1:9".parse().unwrap());
    sink.settings.ca_file = Some("/nowhere/ca.pem".into());
    let why = sink.deliver(&start(0)).unwrap_err().to_string();
    assert!(why.contains("/nowhere/ca.pem"), "{why}");
    sink.settings.password_file = Some("/nowhere/password".into());
    let why = sink.deliver(&start(0)).unwrap_err().to_string();
    assert!(why.contains("mqtt.password_file: /nowhere/password"), "{why}");
}

#[test]
fn a_message_without_acknowledgement_is_sent_again_under_its_number() {
    let stub = Stub::new(3, |number, mut stream| {
        welcome(&mut stream);
        let (first, body) = packet(&mut stream);
        let (topic, id, payload) = published(&body);
        assert_eq!(topic, "oddsight/door/event");
        let json: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!((&json["seq"], &json["phase"]), (&7.into(), &"start".into()));
        // The number of the first try stays, the flag says that there was one.
        assert_eq!((first, id), (if number == 0 { 0x32 } else { 0x3a }, 2));
        if number == 2 {
            stream.write_all(&puback(id)).unwrap();
            let (first, body) = packet(&mut stream);
            assert_eq!((first, published(&body).1), (0x32, 5));
            stream.write_all(&puback(5)).unwrap();
        }
    });
    let mut sink = sink(&stub.url);
    for _ in 0..2 {
        assert!(sink.deliver(&start(7)).unwrap_err().is_passing());
    }
    sink.deliver(&start(7)).unwrap();
    // Numbers 3 and 4 were those of `online` on the later connections.
    sink.deliver(&start(8)).unwrap();
    assert_eq!(sink.trouble(), None);
    drop(sink);
    stub.thread.join().unwrap();
}

#[test]
fn a_connection_that_died_in_between_is_made_anew_for_the_next_message() {
    let stub = Stub::new(2, |_, mut stream| {
        welcome(&mut stream);
        let (first, body) = packet(&mut stream);
        assert_eq!(first, 0x32);
        stream.write_all(&puback(published(&body).1)).unwrap();
    });
    let mut sink = sink(&stub.url);
    sink.deliver(&start(1)).unwrap();
    sink.deliver(&start(2)).unwrap();
    stub.thread.join().unwrap();
}

#[test]
fn silence_is_broken_by_pings_and_the_end_by_a_farewell() {
    let stub = Stub::new(1, |_, mut stream| {
        welcome(&mut stream);
        for _ in 0..3 {
            assert_eq!(packet(&mut stream), (0xc0, vec![]));
            stream.write_all(b"\xd0\0").unwrap();
        }
        let (first, body) = packet(&mut stream);
        let (topic, id, payload) = published(&body);
        assert_eq!((first, &topic[..], &payload[..]), (0x33, "oddsight/door/status", OFFLINE));
        stream.write_all(&puback(id)).unwrap();
        assert_eq!(packet(&mut stream), (0xe0, vec![]));
    });
    let mut sink = sink(&stub.url);
    // Below what settings may say: no test has the time.
    sink.settings.keep_alive_s = 1;
    let mut pings = 0;
    sink.tick(Stamp::default());
    while pings < 3 {
        let before = sink.client.as_ref().unwrap().silence();
        assert_eq!(sink.tick(Stamp::default()), LOOK);
        pings += u32::from(sink.client.as_ref().unwrap().silence() < before);
        thread::sleep(Duration::from_millis(20));
    }
    sink.close();
    stub.thread.join().unwrap();
}

#[test]
fn ticks_connect_at_a_growing_distance() {
    let stub = Stub::new(8, |_, mut stream| {
        packet(&mut stream);
    });
    let mut sink = sink(&stub.url);
    let mut tries = vec![];
    let mut now_ms = 0;
    while tries.len() < 8 {
        let before = sink.connect_at_ms;
        sink.tick(Stamp { mono_ms: now_ms, ..Stamp::default() });
        if sink.connect_at_ms != before {
            tries.push(now_ms);
            assert!(sink.trouble().is_some());
        }
        now_ms += LOOK.as_millis() as u64;
    }
    stub.thread.join().unwrap();
    let gaps: Vec<u64> = tries.windows(2).map(|pair| (pair[1] - pair[0]) / 1000).collect();
    for (gap, span) in gaps.iter().zip([1, 2, 4, 8, 16, 32, 60]) {
        assert!((span / 2..=span + 1).contains(gap), "{gaps:?}");
    }
}

#[test]
fn settings_that_can_never_work_name_their_key() {
    let good = || MqttSettings::new("mqtts://broker".parse().unwrap(), "door");
    assert_eq!(good().problems(), []);
    let some = |text: &str| Some(text.to_string());
    for (settings, key) in [
        (MqttSettings { prefix: "a/+".into(), ..good() }, "mqtt.prefix"),
        (MqttSettings { prefix: "".into(), ..good() }, "mqtt.prefix"),
        (MqttSettings { prefix: "a/".into(), ..good() }, "mqtt.prefix"),
        (MqttSettings { prefix: "$SYS".into(), ..good() }, "mqtt.prefix"),
        (MqttSettings { client_id: some(""), ..good() }, "mqtt.client_id"),
        (MqttSettings { user: some("a\0"), ..good() }, "mqtt.user"),
        (MqttSettings { password_file: Some("p".into()), ..good() }, "mqtt.password_file"),
        (MqttSettings { keep_alive_s: 4, ..good() }, "mqtt.keep_alive_s"),
        (MqttSettings { timeout_ms: 0, ..good() }, "mqtt.timeout_ms"),
        (
            MqttSettings { url: "mqtt://a".parse().unwrap(), ca_file: Some("c".into()), ..good() },
            "mqtt.ca_file",
        ),
    ] {
        let error = MqttSink::new(settings).err().expect(key);
        assert_eq!(error.kind(), MqttErrorKind::Settings);
        assert!(error.to_string().starts_with(key), "{error}");
    }
    let all = MqttSettings { prefix: "#".into(), keep_alive_s: 0, timeout_ms: 0, ..good() };
    assert_eq!(all.problems().len(), 3);
}

#[test]
fn names_are_ones_that_any_broker_takes() {
    let (one, other) = (client_id("oddsight/a"), client_id("oddsight/b"));
    assert_ne!(one, other);
    assert_eq!(one, client_id("oddsight/a"));
    assert_eq!(one.len(), 22);
    assert!(one.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let odd = MqttSettings::new("mqtt://broker".parse().unwrap(), "hall/2+#");
    assert_eq!(odd.prefix, "oddsight/hall-2--");
    assert_eq!(odd.problems(), []);
}
