//! The exchange of packets with a broker: one question, one answer.

use std::time::{Duration, Instant};

use super::packet::{self, Connect, Inbox, Packet, Publish, Refusal};
use super::wire::Wire;
use super::{MqttError, MqttErrorKind};

/// A session that the broker has accepted. After any error it is of no more use.
pub(super) struct Client {
    wire: Wire,
    inbox: Inbox,
    /// How long an answer is waited for.
    patience: Duration,
    /// When the session began.
    accepted: Option<Instant>,
    /// The end of the last exchange.
    heard: Instant,
}

impl Client {
    /// Sends CONNECT and waits until the broker accepts it.
    pub fn open(
        mut wire: Wire,
        hello: &Connect,
        patience: Duration,
        until: Instant,
    ) -> Result<Client, MqttError> {
        let bytes =
            packet::connect(hello).map_err(|e| MqttError::new(MqttErrorKind::Settings, e))?;
        wire.write(&bytes, until)?;
        let heard = Instant::now();
        let mut client = Client { wire, inbox: Inbox::new(), patience, accepted: None, heard };
        match client.answer("CONNACK", until)? {
            Packet::ConnAck(Ok(())) => {}
            Packet::ConnAck(Err(refusal)) => return Err(refused(refusal)),
            other => return Err(unasked(other)),
        }
        client.accepted = Some(client.heard);
        Ok(client)
    }

    /// Sends a message and waits until the broker has it.
    pub fn publish(&mut self, message: &Publish) -> Result<(), MqttError> {
        let bytes =
            packet::publish(message).map_err(|e| MqttError::new(MqttErrorKind::Settings, e))?;
        let until = Instant::now() + self.patience;
        self.wire.write(&bytes, until)?;
        match self.answer("PUBACK", until)? {
            Packet::PubAck(id) if id == message.id => Ok(()),
            other => Err(unasked(other)),
        }
    }

    /// Asks whether the broker is there, and waits until it says so.
    pub fn ping(&mut self) -> Result<(), MqttError> {
        let until = Instant::now() + self.patience;
        self.wire.write(&packet::PINGREQ, until)?;
        match self.answer("PINGRESP", until)? {
            Packet::PingResp => Ok(()),
            other => Err(unasked(other)),
        }
    }

    /// Looks whether the connection still stands, without a wait. Between two exchanges a broker has nothing to say.
    pub fn check(&mut self) -> Result<(), MqttError> {
        match self.wire.read(self.inbox.space(), Instant::now() + Duration::from_millis(1)) {
            Ok(None) => Ok(()),
            Ok(Some(count)) => {
                self.inbox.filled(count);
                let packet =
                    self.inbox.take().map_err(|e| MqttError::new(MqttErrorKind::Protocol, e))?;
                // Part of a packet is as unasked for as a whole one; what it is shows in the next check.
                packet.map_or(Ok(()), |packet| Err(unasked(packet)))
            }
            Err(e) => Err(self.reason(e)),
        }
    }

    /// Sends DISCONNECT, so that the broker forgets the will.
    pub fn farewell(mut self) -> Result<(), MqttError> {
        self.wire.write(&packet::DISCONNECT, Instant::now() + self.patience)
    }

    /// For how long nothing was exchanged.
    pub fn silence(&self) -> Duration {
        self.heard.elapsed()
    }

    /// Answers are waited for no longer than this from now on.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    fn answer(&mut self, what: &str, until: Instant) -> Result<Packet, MqttError> {
        loop {
            let packet =
                self.inbox.take().map_err(|e| MqttError::new(MqttErrorKind::Protocol, e))?;
            if let Some(packet) = packet {
                self.heard = Instant::now();
                return Ok(packet);
            }
            match self.wire.read(self.inbox.space(), until) {
                Ok(Some(count)) => self.inbox.filled(count),
                Ok(None) => {
                    let why = format!("the broker took the connection and sent no {what} in time");
                    return Err(MqttError::new(MqttErrorKind::Late, why));
                }
                Err(e) => return Err(self.reason(e)),
            }
        }
    }

    /// A connection that is closed without a word has a usual reason.
    fn reason(&self, error: MqttError) -> MqttError {
        let why = match self.accepted {
            _ if error.kind() != MqttErrorKind::Closed => return error,
            None => "the broker closed the connection instead of an answer: does its port speak MQTT, and without TLS \
                     if the URL begins with mqtt://?"
                .into(),
            Some(accepted) if accepted.elapsed() < Duration::from_secs(2) => {
                format!("{error} just after it began: does another client use the same client id?")
            }
            Some(_) => return error,
        };
        MqttError::new(MqttErrorKind::Closed, why)
    }
}

fn refused(refusal: Refusal) -> MqttError {
    MqttError::new(MqttErrorKind::Refused, refusal)
}

fn unasked(packet: Packet) -> MqttError {
    let why = match packet {
        Packet::ConnAck(_) => "the broker sent a second CONNACK".into(),
        Packet::PubAck(id) => {
            format!("the broker acknowledged packet {id}, which was not the one sent")
        }
        Packet::PingResp => "the broker answered a ping that was not sent".into(),
    };
    MqttError::new(MqttErrorKind::Protocol, why)
}
