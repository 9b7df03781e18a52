//! Packets of MQTT 3.1.1, as far as one needs them who only publishes.
//!
//! Written: CONNECT, PUBLISH, PINGREQ, DISCONNECT. Read: CONNACK, PUBACK, PINGRESP, of at most four bytes each, so the
//! reader needs no allocation and can tell from two bytes whether a stream is what it waits for. Numbers in brackets
//! are those of the OASIS standard of 29 October 2014.

#[cfg(test)]
pub(super) mod tests;

use std::fmt;

/// Larger payloads are refused: brokers of the cloud take 128 KiB, and no message of ours comes near.
pub const LARGEST_PAYLOAD: usize = 128 << 10;

/// Asks whether the broker is there.
pub const PINGREQ: [u8; 2] = [0xc0, 0];
/// Says farewell: the broker forgets the will.
pub const DISCONNECT: [u8; 2] = [0xe0, 0];

/// The first packet of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Connect<'a> {
    pub client_id: &'a str,
    /// The broker gives a silent client up after one and a half times as long.
    pub keep_alive_s: u16,
    /// Published and retained, at QoS 1, when the connection ends without a DISCONNECT: topic and payload.
    pub will: (&'a str, &'a [u8]),
    pub user: Option<&'a str>,
    /// Sent only with a user, as the standard wants it [3.1.2-22].
    pub password: Option<&'a str>,
}

/// A message at QoS 1.
#[derive(Clone, Copy, Debug)]
pub struct Publish<'a> {
    pub topic: &'a str,
    pub payload: &'a [u8],
    /// Not 0; the PUBACK names it.
    pub id: u16,
    /// The broker keeps it for later subscribers.
    pub retain: bool,
    /// It may have been sent before.
    pub again: bool,
}

/// What a broker sends to a client that only publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet {
    /// The answer to CONNECT.
    ConnAck(Result<(), Refusal>),
    /// The broker has taken over responsibility for the message of this number.
    PubAck(u16),
    PingResp,
}

/// Why a broker takes no connection: the return codes of CONNACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Protocol,
    ClientId,
    Unavailable,
    Password,
    NotAuthorised,
}

/// Why bytes are no packet, or a packet cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketError(String);

impl fmt::Display for PacketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PacketError {}

fn wrong<T>(why: impl Into<String>) -> Result<T, PacketError> {
    Err(PacketError(why.into()))
}

/// The bytes of CONNECT. The session is a clean one: a broker keeps nothing for a publisher at QoS 1 that would be
/// worth finding again (4.3.2), and a session that is kept stays at the broker when the device is long scrapped.
///
/// # Errors
///
/// When a text is longer than 65,535 bytes.
pub fn connect(connect: &Connect) -> Result<Vec<u8>, PacketError> {
    const CLEAN: u8 = 0x02;
    const WILL_RETAINED_QOS_1: u8 = 0x04 | 0x08 | 0x20;
    const PASSWORD: u8 = 0x40;
    const USER: u8 = 0x80;
    let password = connect.user.and(connect.password);
    let mut flags = CLEAN | WILL_RETAINED_QOS_1;
    flags |= if connect.user.is_some() { USER } else { 0 };
    flags |= if password.is_some() { PASSWORD } else { 0 };
    // Protocol name and level 4, which is 3.1.1.
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, flags];
    body.extend(connect.keep_alive_s.to_be_bytes());
    let (topic, payload) = connect.will;
    let texts = [Some(connect.client_id.as_bytes()), Some(topic.as_bytes()), Some(payload)];
    let secrets = [connect.user.map(str::as_bytes), password.map(str::as_bytes)];
    for text in texts.into_iter().chain(secrets).flatten() {
        put_text(&mut body, text)?;
    }
    Ok(frame(0x10, &body))
}

/// The bytes of PUBLISH.
///
/// # Errors
///
/// When the payload is larger than [`LARGEST_PAYLOAD`], or the topic longer than 65,535 bytes.
pub fn publish(publish: &Publish) -> Result<Vec<u8>, PacketError> {
    if publish.payload.len() > LARGEST_PAYLOAD {
        let bytes = publish.payload.len();
        return wrong(format!("a message of {bytes} bytes: at most {LARGEST_PAYLOAD} are sent"));
    }
    let mut body = Vec::with_capacity(publish.topic.len() + publish.payload.len() + 4);
    put_text(&mut body, publish.topic.as_bytes())?;
    body.extend(publish.id.to_be_bytes());
    body.extend(publish.payload);
    const QOS_1: u8 = 0x02;
    Ok(frame(0x30 | QOS_1 | u8::from(publish.again) << 3 | u8::from(publish.retain), &body))
}

/// A text or binary field: its length in two bytes, then it.
fn put_text(body: &mut Vec<u8>, text: &[u8]) -> Result<(), PacketError> {
    let Ok(length) = u16::try_from(text.len()) else {
        return wrong(format!("a text of {} bytes: MQTT takes at most 65535", text.len()));
    };
    body.extend(length.to_be_bytes());
    body.extend(text);
    Ok(())
}

/// The fixed header and the rest (2.2.3). All bodies are far below the limit of 256 MiB.
fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + 5);
    bytes.push(first);
    let mut length = body.len();
    loop {
        let low = (length % 128) as u8;
        length /= 128;
        bytes.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    bytes.extend(body);
    bytes
}

/// The packet at the start of `bytes`, and its length; `None` while it is incomplete. Reads any bytes without panic
/// and without allocation, but for the text of an error; never asks for more than four bytes.
///
/// # Errors
///
/// As soon as the bytes cannot become a packet that a broker may send us.
pub fn decode(bytes: &[u8]) -> Result<Option<(Packet, usize)>, PacketError> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    let body_length = match first {
        0x20 | 0x40 => 2,
        0xd0 => 0,
        other => return wrong(unexpected(other, bytes)),
    };
    let Some((&length, rest)) = rest.split_first() else { return Ok(None) };
    if length != body_length {
        return wrong(format!("a packet 0x{first:02x} with a length byte of {length}"));
    }
    let packet = match (first, rest) {
        (0xd0, _) => Packet::PingResp,
        (0x20, &[flags, code, ..]) => Packet::ConnAck(conn_ack(flags, code)?),
        (_, &[high, low, ..]) => match u16::from_be_bytes([high, low]) {
            0 => return wrong("a PUBACK for packet 0, which there never is"),
            id => Packet::PubAck(id),
        },
        _ => return Ok(None),
    };
    Ok(Some((packet, 2 + usize::from(length))))
}

fn conn_ack(flags: u8, code: u8) -> Result<Result<(), Refusal>, PacketError> {
    // "Session present" after a clean session is a fault of the broker [3.2.2-2].
    if flags != 0 {
        return wrong(format!(
            "a CONNACK with flags 0x{flags:02x}, where a clean session has none"
        ));
    }
    Ok(match code {
        0 => Ok(()),
        1 => Err(Refusal::Protocol),
        2 => Err(Refusal::ClientId),
        3 => Err(Refusal::Unavailable),
        4 => Err(Refusal::Password),
        5 => Err(Refusal::NotAuthorised),
        other => {
            return wrong(format!("a CONNACK with return code {other}, which MQTT 3.1.1 lacks"));
        }
    })
}

/// What a first byte that no broker should send gives away about the other side.
fn unexpected(first: u8, bytes: &[u8]) -> String {
    if bytes.starts_with(b"HTTP") {
        return "the answer is HTTP: the port of mqtt.url is that of a web server".into();
    }
    match first {
        0x15 | 0x16 => "the answer is TLS: use mqtts:// in mqtt.url".into(),
        0x30..=0x3f => {
            "the broker sent a message although nothing was subscribed to: switch off automatic \
                        subscriptions for this client"
                .into()
        }
        other => {
            format!("a packet that begins with 0x{other:02x}, which no broker sends to a publisher")
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Protocol => "the broker does not speak MQTT 3.1.1",
            Refusal::ClientId => "the broker refuses the client id: set mqtt.client_id to one that it takes",
            Refusal::Unavailable => "the broker says that it is unavailable",
            Refusal::Password => "the broker refuses user or password: check mqtt.user and mqtt.password_file",
            Refusal::NotAuthorised => {
                "the broker does not let this client in: check mqtt.user, mqtt.password_file and the broker's list of \
                 who may do what"
            }
        })
    }
}

/// Bytes as they come from a broker, until they are packets. Holds at most 64 of them.
#[derive(Debug)]
pub(super) struct Inbox {
    bytes: [u8; Inbox::SIZE],
    filled: usize,
}

impl Inbox {
    const SIZE: usize = 64;

    /// Without bytes.
    pub fn new() -> Inbox {
        Inbox { bytes: [0; Inbox::SIZE], filled: 0 }
    }

    /// Where the next bytes go; never empty after [`Inbox::take`] gave `None`.
    pub fn space(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled..]
    }

    /// So many bytes were put into the space.
    pub fn filled(&mut self, count: usize) {
        self.filled = (self.filled + count).min(Inbox::SIZE);
    }

    /// The next packet, `None` until more bytes have come.
    ///
    /// # Errors
    ///
    /// Those of [`decode`]; then the stream is of no more use.
    pub fn take(&mut self) -> Result<Option<Packet>, PacketError> {
        let Some((packet, length)) = decode(&self.bytes[..self.filled])? else { return Ok(None) };
        self.bytes.copy_within(length..self.filled, 0);
        self.filled -= length;
        Ok(Some(packet))
    }
}
