//! The text that names a broker.

use std::fmt;
use std::str::FromStr;

use super::{MqttError, MqttErrorKind};

/// Where a broker is: `mqtt://HOST[:PORT]`, or `mqtts://…` with TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerUrl {
    tls: bool,
    /// A name or an address, an IPv6 address without brackets.
    host: String,
    port: u16,
}

impl BrokerUrl {
    /// `mqtt://localhost:1883`
    pub fn local() -> BrokerUrl {
        BrokerUrl { tls: false, host: "localhost".into(), port: 1883 }
    }

    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// A name or an address; an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// 1883, or 8883 with TLS, unless the text says otherwise.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for BrokerUrl {
    type Err = MqttError;

    fn from_str(text: &str) -> Result<BrokerUrl, MqttError> {
        // The text may hold a password, so it is not repeated.
        let wrong = |why: &str| Err(MqttError::new(MqttErrorKind::Settings, why));
        let (tls, rest) = match text.split_once("://") {
            Some(("mqtt", rest)) => (false, rest),
            Some(("mqtts", rest)) => (true, rest),
            _ => return wrong("a broker is mqtt://HOST[:PORT] or, with TLS, mqtts://HOST[:PORT]"),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('@') {
            return wrong(
                "user and password have keys of their own: mqtt.user and mqtt.password_file",
            );
        }
        if rest.contains('/') {
            return wrong("a broker's URL has no path: topics begin with mqtt.prefix");
        }
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) if host.parse::<std::net::Ipv6Addr>().is_ok() => (host, port),
            Some(_) => return wrong("between brackets stands an IPv6 address: mqtt://[::1]:1883"),
            None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:%".contains(c);
        if host.is_empty() || host.len() > 253 || !host.chars().all(plain) {
            return wrong(
                "between :// and the port stands the broker's name or address, an IPv6 address in brackets, and no path",
            );
        }
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => Ok(if tls { 8883 } else { 1883 }),
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse(),
            _ => return wrong("after the broker's name come : and a port, or nothing"),
        };
        match port {
            Ok(port) if port > 0 => Ok(BrokerUrl { tls, host: host.to_string(), port }),
            _ => wrong("a port is a number from 1 to 65535"),
        }
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_parsed_or_explained() {
        for (text, host, port, whole) in [
            ("mqtt://broker", "broker", 1883, "mqtt://broker:1883"),
            ("mqtts://a.b-c.example/", "a.b-c.example", 8883, "mqtts://a.b-c.example:8883"),
            ("mqtt://10.0.0.7:1884", "10.0.0.7", 1884, "mqtt://10.0.0.7:1884"),
            ("mqtts://[::1]:9", "::1", 9, "mqtts://[::1]:9"),
        ] {
            let url: BrokerUrl = text.parse().unwrap();
            assert_eq!(
                (url.host(), url.port(), url.is_tls()),
                (host, port, text.contains("mqtts"))
            );
            assert_eq!(url.to_string(), whole);
            assert_eq!(whole.parse::<BrokerUrl>().unwrap(), url);
        }
        for (text, why) in [
            ("", "mqtt://HOST"),
            ("broker:1883", "mqtt://HOST"),
            ("http://broker", "mqtt://HOST"),
            ("mqtt://", "name or address"),
            ("mqtt://a/b", "no path"),
            ("mqtt://a b", "name or address"),
            ("mqtt://me:secret@broker", "password_file"),
            ("mqtt://a:", "1 to 65535"),
            ("mqtt://a:0", "1 to 65535"),
            ("mqtt://a:65536", "1 to 65535"),
            ("mqtt://a:+1", "and a port"),
            ("mqtt://[::1]1883", "and a port"),
            ("mqtt://[::1", "between"),
            ("mqtt://[broker]", "IPv6"),
            ("mqtt://::1", "in brackets"),
        ] {
            let error = text.parse::<BrokerUrl>().unwrap_err();
            assert_eq!(error.kind(), MqttErrorKind::Settings);
            assert!(error.to_string().contains(why), "{text}: {error}");
            assert!(!error.to_string().contains("secret"));
        }
    }
}
