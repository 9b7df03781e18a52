//! The parts of a URL that a configuration can get wrong.

/// A URL of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Url<'a> {
    pub scheme: &'a str,
    pub host: &'a str,
}

impl<'a> Url<'a> {
    /// Refuses what is no URL of one of `schemes`, and one that holds a password.
    pub fn parse(text: &'a str, schemes: &[&str]) -> Result<Url<'a>, String> {
        let form = format!("{}://HOST:PORT", schemes.join(" or "));
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(format!("has no scheme: write {}://{text}", schemes[0]));
        };
        if !schemes.contains(&scheme) {
            return Err(format!("has the scheme `{scheme}`; use {}", schemes.join(" or ")));
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(format!("holds a blank or control character: write {form}"));
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let authority = &rest[..end];
        if authority.contains('@') {
            return Err(
                "holds a user or password; give those by keys of their own, the password in a file"
                    .into(),
            );
        }
        let (host, port) = split(authority)?;
        if host.is_empty() {
            return Err(format!("names no host: write {form}"));
        }
        if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
            return Err("has a port that is no number from 1 to 65535".into());
        }
        Ok(Url { scheme, host })
    }

    /// Whether nobody on a network can read what is sent.
    pub fn is_private(&self) -> bool {
        let own = matches!(self.host, "localhost" | "::1") || self.host.starts_with("127.");
        own || matches!(self.scheme, "https" | "mqtts")
    }
}

/// `host`, `host:port`, `[::1]`, `[::1]:port`
fn split(authority: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(rest) = authority.strip_prefix('[') {
        let Some((host, rest)) = rest.split_once(']') else {
            return Err("opens an IPv6 address with `[` that no `]` closes".into());
        };
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err("goes on after the `]` of an IPv6 address; only `:PORT` may follow".into()),
        };
    }
    match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => {
            Err("has more than one `:`; an IPv6 address stands in brackets: [fe80::1]:1883".into())
        }
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((authority, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [&str; 2] = ["mqtt", "mqtts"];

    #[test]
    fn urls_are_taken_apart() {
        for (text, scheme, host) in [
            ("mqtt://broker", "mqtt", "broker"),
            ("mqtts://broker.local:8883/", "mqtts", "broker.local"),
            ("mqtt://[fe80::1]:1883", "mqtt", "fe80::1"),
            ("mqtt://[::1]", "mqtt", "::1"),
        ] {
            assert_eq!(Url::parse(text, &BOTH), Ok(Url { scheme, host }));
        }
    }

    #[test]
    fn what_is_no_url_is_explained() {
        for (text, part) in [
            ("broker", "write mqtt://broker"),
            ("tcp://broker", "use mqtt or mqtts"),
            ("mqtt://", "no host"),
            ("mqtt://:1883", "no host"),
            ("mqtt://anna:secret@broker", "password"),
            ("mqtt://broker:0", "1 to 65535"),
            ("mqtt://broker:70000", "1 to 65535"),
            ("mqtt://broker:", "1 to 65535"),
            ("mqtt://fe80::1", "brackets"),
            ("mqtt://[fe80::1", "`]`"),
            ("mqtt://[fe80::1]x", "PORT"),
            ("mqtt://my broker", "blank"),
        ] {
            let why = Url::parse(text, &BOTH).unwrap_err();
            assert!(why.contains(part) && !why.contains("secret"), "{text}: {why}");
        }
    }

    #[test]
    fn only_tls_and_the_machine_itself_are_private() {
        for (text, private) in [
            ("mqtt://localhost:1883", true),
            ("mqtt://127.0.0.1", true),
            ("mqtts://broker", true),
            ("mqtt://broker", false),
        ] {
            assert_eq!(Url::parse(text, &BOTH).unwrap().is_private(), private, "{text}");
        }
    }
}
