//! Events to an MQTT 3.1.1 broker.
//!
//! `<prefix>/event` gets each message as JSON at QoS 1, not retained; `<prefix>/status` is retained and says `online`,
//! or `offline` once the connection is lost for whatever reason (the last will). A message counts as delivered when
//! the broker has acknowledged it; until then it stays in the outbox and is sent again, so a broker may get one twice
//! and none never. One message is on its way at a time: the order is kept, and what is lost with a connection is known.
//!
//! The client is ours because those on crates.io bring an async runtime or are no longer kept; what a publisher needs
//! of the protocol are four packets out and three in.

mod client;
mod error;
pub mod packet;
#[cfg(test)]
mod tests;
mod url;
mod wire;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use self::client::Client;
use self::packet::{Connect, Publish};
use self::wire::Wire;
use super::outbox::OutboxSettings;
use super::pause::{self, Pause};
use super::{Item, Sink, SinkError, Wants, secret};
use crate::clock::Stamp;

pub use error::{MqttError, MqttErrorKind};
pub use url::BrokerUrl;

/// How messages get to a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttSettings {
    pub url: BrokerUrl,
    /// What topics begin with.
    pub prefix: String,
    /// What the broker calls this device. Two clients of one name throw each other out; without one it is made from
    /// the machine's id.
    pub client_id: Option<String>,
    pub user: Option<String>,
    /// Holds the user's password; read at each connection.
    pub password_file: Option<PathBuf>,
    /// Authorities to trust, as PEM, in place of the system's; read at each connection.
    pub ca_file: Option<PathBuf>,
    /// The connection is proved alive at least twice in so many seconds; the broker gives it up after one and a half
    /// times as many.
    pub keep_alive_s: u16,
    /// How long a connection may take to be made, and an answer to come, in milliseconds.
    pub timeout_ms: u64,
    pub outbox: OutboxSettings,
}

impl MqttSettings {
    /// The defaults for a broker and a device.
    pub fn new(url: BrokerUrl, device: &str) -> MqttSettings {
        // A level of a topic that no subscription takes for a pattern.
        let level = device.replace(['/', '+', '#', '\0'], "-");
        MqttSettings {
            url,
            prefix: format!("oddsight/{level}"),
            client_id: None,
            user: None,
            password_file: None,
            ca_file: None,
            keep_alive_s: 30,
            timeout_ms: 10_000,
            outbox: OutboxSettings { queue: 256, per_minute: 120, ..OutboxSettings::default() },
        }
    }

    /// What can never work, found without a broker: keys, and what they must be.
    pub fn problems(&self) -> Vec<(&'static str, &'static str)> {
        let is_text =
            |text: &str| (1..=1000).contains(&text.len()) && !text.contains(char::is_control);
        let is_topic = |text: &str| {
            is_text(text)
                && !text.starts_with(['$', '/'])
                && !text.ends_with('/')
                && !text.contains(['+', '#'])
        };
        let is_name = |name: &Option<String>| name.as_deref().is_none_or(is_text);
        let mut problems = Vec::new();
        let mut must = |holds: bool, key, why| (!holds).then(|| problems.push((key, why)));
        must(
            is_topic(&self.prefix),
            "prefix",
            "must be levels of a topic, as in oddsight/door: neither + nor # nor a leading $ or /",
        );
        must(is_name(&self.client_id), "client_id", "must be 1 to 1000 bytes of plain text");
        must(is_name(&self.user), "user", "must be 1 to 1000 bytes of plain text");
        let known = self.user.is_some() || self.password_file.is_none();
        must(known, "password_file", "a password needs a user: set user, too");
        let secret = self.url.is_tls() || self.ca_file.is_none();
        must(secret, "ca_file", "is of use with TLS only: let url begin with mqtts://");
        must(self.keep_alive_s >= 5, "keep_alive_s", "must be at least 5");
        let patient = (100..=120_000).contains(&self.timeout_ms);
        must(patient, "timeout_ms", "must be from 100 to 120000");
        problems
    }
}

/// What the retained status says.
const ONLINE: &[u8] = b"online";
const OFFLINE: &[u8] = b"offline";

/// Between two looks at a connection on which nothing happens, or for which it is too early.
const LOOK: Duration = Duration::from_secs(1);

/// Farewells are short: the process is being stopped.
const FAREWELL: Duration = Duration::from_secs(1);

/// A publisher. It connects when it is first ticked or given a message, and again whenever the connection is lost.
pub struct MqttSink {
    settings: MqttSettings,
    client_id: String,
    event_topic: String,
    status_topic: String,
    client: Option<Client>,
    last_id: u16,
    /// The message that was sent and not acknowledged: which one, and the packet number it had.
    unanswered: Option<(u64, u16)>,
    trouble: Option<String>,
    /// Starts anew once a connection has been of use. That it was made is not enough: one that another client of the
    /// same name ends at once is made again ever more rarely.
    pause: Pause,
    /// When the next connection is made unless a message asks for it earlier; `None` after a failure that no tick has
    /// seen yet.
    connect_at_ms: Option<u64>,
}

impl MqttSink {
    /// A publisher that is not connected yet.
    ///
    /// # Errors
    ///
    /// Of kind [`MqttErrorKind::Settings`], about the first of [`MqttSettings::problems`].
    pub fn new(settings: MqttSettings) -> Result<MqttSink, MqttError> {
        if let Some((key, why)) = settings.problems().first() {
            return Err(MqttError::new(MqttErrorKind::Settings, format!("mqtt.{key}: {why}")));
        }
        let outbox = settings.outbox;
        Ok(MqttSink {
            client_id: settings.client_id.clone().unwrap_or_else(|| client_id(&settings.prefix)),
            event_topic: format!("{}/event", settings.prefix),
            status_topic: format!("{}/status", settings.prefix),
            client: None,
            last_id: 0,
            unanswered: None,
            trouble: None,
            pause: Pause::new(
                outbox.retry_ms,
                outbox.retry_most_ms,
                pause::seed("mqtt connection"),
            ),
            connect_at_ms: Some(0),
            settings,
        })
    }

    /// Connects and says `online`.
    fn connect(&mut self) -> Result<Client, MqttError> {
        let patience = Duration::from_millis(self.settings.timeout_ms);
        let until = Instant::now() + patience;
        let password = match &self.settings.password_file {
            Some(path) => Some(secret::read(path).map_err(|e| {
                MqttError::new(MqttErrorKind::File, format!("mqtt.password_file: {e}"))
            })?),
            None => None,
        };
        let wire = Wire::open(&self.settings.url, self.settings.ca_file.as_deref(), until)?;
        let hello = Connect {
            client_id: &self.client_id,
            keep_alive_s: self.settings.keep_alive_s,
            will: (&self.status_topic, OFFLINE),
            user: self.settings.user.as_deref(),
            password: password.as_deref(),
        };
        let mut client = Client::open(wire, &hello, patience, until)?;
        let id = self.next_id();
        client.publish(&Publish {
            topic: &self.status_topic,
            payload: ONLINE,
            id,
            retain: true,
            again: false,
        })?;
        log::info!("mqtt: connected to {} as {}", self.settings.url, self.client_id);
        Ok(client)
    }

    /// Numbers of packets run from 1 to 65535 and start over; the one that waits for an answer is not given twice.
    fn next_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.unanswered.is_none_or(|(_, id)| id != self.last_id) {
                return self.last_id;
            }
        }
    }

    fn publish(&mut self, seq: u64, payload: &[u8]) -> Result<(), MqttError> {
        // A connection that died since the last message is no failure of this one.
        let alive =
            self.client.take().and_then(|mut client| client.check().is_ok().then_some(client));
        let mut client = match alive {
            Some(client) => client,
            None => self.connect()?,
        };
        let (id, again) = match self.unanswered {
            Some((unanswered, id)) if unanswered == seq => (id, true),
            _ => (self.next_id(), false),
        };
        self.unanswered = Some((seq, id));
        client.publish(&Publish { topic: &self.event_topic, payload, id, retain: false, again })?;
        self.unanswered = None;
        self.client = Some(client);
        Ok(())
    }

    /// Keeps in mind how a use of the connection went.
    fn note<T>(&mut self, result: Result<T, MqttError>) -> Result<T, MqttError> {
        match &result {
            Ok(_) => self.trouble = None,
            Err(e) => {
                self.client = None;
                self.trouble = Some(e.to_string());
                self.connect_at_ms = None;
            }
        }
        result
    }

    /// Keeps a connection, or makes one when its time has come.
    fn keep(&mut self, now: Stamp) -> Result<(), MqttError> {
        if let Some(client) = &mut self.client {
            client.check()?;
            let half = Duration::from_secs(self.settings.keep_alive_s.into()) / 2;
            if client.silence() >= half {
                client.ping()?;
                self.pause.reset();
            }
            return Ok(());
        }
        if self.connect_at_ms.is_some_and(|at_ms| now.mono_ms >= at_ms) {
            self.client = Some(self.connect()?);
        }
        Ok(())
    }
}

impl Sink for MqttSink {
    fn name(&self) -> &str {
        "mqtt"
    }

    fn wants(&self) -> Wants {
        Wants { suppressed: false, shots: false, ..Wants::ALL }
    }

    fn deliver(&mut self, item: &Item) -> Result<(), SinkError> {
        let Item::Message(message) = item else { return Ok(()) };
        let payload = serde_json::to_vec(&**message).map_err(SinkError::refused)?;
        if payload.len() > packet::LARGEST_PAYLOAD {
            return Err(SinkError::refused(format!(
                "a message of {} bytes is too large",
                payload.len()
            )));
        }
        let result = self.publish(message.seq, &payload);
        self.note(result).map_err(SinkError::passing)?;
        self.pause.reset();
        Ok(())
    }

    fn tick(&mut self, now: Stamp) -> Duration {
        let result = self.keep(now);
        if result.is_err() || self.client.is_some() {
            // An error is told by `trouble`: there is no item to blame.
            let _ = self.note(result);
        }
        if self.client.is_none() && self.connect_at_ms.is_none() {
            self.connect_at_ms = Some(now.mono_ms.saturating_add(self.pause.next_ms()));
        }
        LOOK
    }

    fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    fn close(&mut self) {
        let Some(mut client) = self.client.take() else { return };
        client.set_patience(FAREWELL);
        let id = self.next_id();
        let offline =
            Publish { topic: &self.status_topic, payload: OFFLINE, id, retain: true, again: false };
        // Where this fails, the will says the same.
        let _ = client.publish(&offline).and_then(|()| client.farewell());
    }
}

/// A name of 22 letters and digits, which every broker must take: the same at each start, other on each machine, and
/// nothing by which the machine could be known elsewhere. Two publishers of one machine differ by their topics.
fn client_id(prefix: &str) -> String {
    let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let machine = match machine.trim() {
        "" => crate::clock::boot_id(),
        id => id,
    };
    let digest = Sha256::digest(format!("oddsight mqtt client\n{machine}\n{prefix}"));
    let hex: String = digest.iter().take(7).map(|byte| format!("{byte:02x}")).collect();
    format!("oddsight{hex}")
}
