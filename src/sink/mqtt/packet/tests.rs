use super::*;
use crate::random::Random;

fn hello() -> Connect<'static> {
    Connect {
        client_id: "cam",
        keep_alive_s: 30,
        will: ("d/status", b"offline"),
        user: Some("me"),
        password: Some("pw"),
    }
}

#[test]
fn connect_is_what_the_standard_draws() {
    let mut expected =
        b"\x10\x2a\0\x04MQTT\x04\xee\0\x1e\0\x03cam\0\x08d/status\0\x07offline".to_vec();
    expected.extend(b"\0\x02me\0\x02pw");
    assert_eq!(connect(&hello()).unwrap(), expected);
    let anonymous = connect(&Connect { user: None, ..hello() }).unwrap();
    assert_eq!(anonymous, [b"\x10\x22", &expected[2..9], b"\x2e", &expected[10..36]].concat());
    let user_alone = connect(&Connect { password: None, ..hello() }).unwrap();
    assert_eq!(user_alone[9], 0xae);
    assert_eq!(user_alone.len(), expected.len() - 4);
    let long = "x".repeat(65_536);
    assert!(connect(&Connect { client_id: &long, ..hello() }).is_err());
}

#[test]
fn publish_is_what_the_standard_draws() {
    let mut message = Publish { topic: "a/b", payload: b"{}", id: 10, retain: false, again: false };
    assert_eq!(publish(&message).unwrap(), b"\x32\x09\0\x03a/b\0\x0a{}");
    (message.retain, message.again) = (true, true);
    assert_eq!(publish(&message).unwrap()[0], 0x3b);
    let (large, long) = (vec![0; LARGEST_PAYLOAD + 1], "x".repeat(65_536));
    assert!(publish(&Publish { payload: &large, ..message }).is_err());
    assert!(publish(&Publish { topic: &long, ..message }).is_err());
    assert!(publish(&Publish { payload: &large[1..], ..message }).is_ok());
}

#[test]
fn lengths_take_one_to_three_bytes() {
    for (length, bytes) in [
        (0, &[0][..]),
        (127, &[0x7f]),
        (128, &[0x80, 0x01]),
        (16_383, &[0xff, 0x7f]),
        (16_384, &[0x80, 0x80, 0x01]),
    ] {
        let framed = frame(0x30, &vec![7; length]);
        assert_eq!(&framed[1..framed.len() - length], bytes, "{length}");
    }
}

#[test]
fn answers_are_read() {
    for (bytes, packet) in [
        (&b"\x20\x02\0\0"[..], Packet::ConnAck(Ok(()))),
        (b"\x20\x02\0\x04", Packet::ConnAck(Err(Refusal::Password))),
        (b"\x40\x02\x12\x34", Packet::PubAck(0x1234)),
        (b"\xd0\0", Packet::PingResp),
    ] {
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]), Ok(None), "{bytes:?} cut to {cut}");
        }
        assert_eq!(decode(bytes), Ok(Some((packet, bytes.len()))));
        assert_eq!(decode(&[bytes, b"\xff"].concat()), Ok(Some((packet, bytes.len()))));
    }
}

#[test]
fn what_no_broker_sends_is_refused_at_the_first_byte_that_shows_it() {
    for (bytes, why) in [
        (&b"HTTP/1.1 400"[..], "web server"),
        (b"\x15\x03\x03", "mqtts://"),
        (b"\x30", "subscri"),
        (b"\x00", "0x00"),
        (b"\x10", "0x10"),
        (b"\x21", "0x21"),
        (b"\x20\x03", "length"),
        (b"\x20\x82\x00", "length"),
        (b"\xd0\x02", "length"),
        (b"\x20\x02\x01\x00", "clean session"),
        (b"\x20\x02\x00\x06", "return code 6"),
        (b"\x40\x02\0\0", "packet 0"),
    ] {
        let error = decode(bytes).unwrap_err();
        assert!(error.to_string().contains(why), "{bytes:?}: {error}");
    }
}

/// Bytes as a broken or hostile broker might send them: noise, or answers with flipped bits, cut and glued.
pub(in crate::sink::mqtt) fn hostile(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..1 + random.below(6) {
        match random.below(8) {
            0 => bytes.extend((0..random.below(40)).map(|_| random.next_u64() as u8)),
            1 => bytes.extend(b"\x20\x02\0\0"),
            2 => bytes.extend([0x40, 2, random.next_u64() as u8, random.next_u64() as u8]),
            3 => bytes.extend(b"\xd0\0"),
            // A length of up to 256 MiB, or one without an end.
            4 => bytes.extend([
                0x40 | random.below(16) as u8,
                0xff,
                0xff,
                0xff,
                0x7f + random.below(2) as u8,
            ]),
            5 => bytes.extend(b"\x30\x05\0\x01a{}"),
            6 => bytes.truncate(random.below(bytes.len() as u64 + 1) as usize),
            _ => {
                let i = random.below(bytes.len().max(1) as u64) as usize;
                if let Some(byte) = bytes.get_mut(i) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
    bytes
}

/// All packets of the bytes, and whether an error ended them.
fn packets(mut bytes: &[u8]) -> (Vec<Packet>, bool) {
    let mut packets = Vec::new();
    loop {
        match decode(bytes) {
            Ok(Some((packet, length))) => {
                assert!((2..=4).contains(&length) && length <= bytes.len());
                // What follows a packet changes nothing of it.
                assert_eq!(decode(&bytes[..length]), Ok(Some((packet, length))));
                packets.push(packet);
                bytes = &bytes[length..];
            }
            Ok(None) => {
                assert!(bytes.len() < 4, "{bytes:?} is enough for any packet");
                return (packets, false);
            }
            Err(_) => return (packets, true),
        }
    }
}

#[test]
fn a_hundred_thousand_hostile_streams() {
    let mut random = Random::new(311);
    let (mut refused, mut read) = (0u32, 0usize);
    for case in 0..100_000 {
        let bytes = hostile(&mut random);
        let memory = allocation_counter::measure(|| drop(decode(&bytes)));
        assert!(memory.bytes_max < 512 && memory.bytes_current == 0, "case {case}: {memory:?}");
        let expected = packets(&bytes);
        refused += u32::from(expected.1);
        read += expected.0.len();
        // The same in pieces, as a connection gives them.
        let mut inbox = Inbox::new();
        let (mut got, mut failed, mut rest) = (Vec::new(), false, &bytes[..]);
        while !rest.is_empty() && !failed {
            let space = inbox.space();
            assert!(!space.is_empty(), "case {case}: no space is left");
            let count = (1 + random.below(9) as usize).min(rest.len()).min(space.len());
            space[..count].copy_from_slice(&rest[..count]);
            inbox.filled(count);
            rest = &rest[count..];
            loop {
                match inbox.take() {
                    Ok(Some(packet)) => got.push(packet),
                    Ok(None) => break,
                    Err(_) => {
                        failed = true;
                        break;
                    }
                }
            }
        }
        assert_eq!((got, failed), expected, "case {case}: {bytes:?}");
    }
    // The streams reach both ends of the parser.
    assert!(refused > 30_000 && read > 30_000, "{refused} refused, {read} packets");
}
