//! Events to a web server: each message is one POST of JSON.
//!
//! A message is delivered when the server answers with a status from 200 to 299; what else it says is not read. The
//! message itself is at fault only if the server says so (400, 413, 415, 422); after anything else it is sent again.
//! No redirect is followed and no proxy of the environment used: data goes where the configuration says, or nowhere.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::outbox::OutboxSettings;
use super::{Item, Sink, SinkError, Wants, secret};
use crate::event::{Message, Phase};
use crate::tls;

/// The head of an answer may take so many bytes.
const LONGEST_HEAD: usize = 16 << 10;

/// More than the longest head, for a full buffer reads like the end of a connection.
const BUFFER: usize = 2 * LONGEST_HEAD;

/// Where messages are posted to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    pub url: WebUrl,
    /// Holds a token, sent as `Authorization: Bearer …`; read at each message.
    pub token_file: Option<PathBuf>,
    /// Authorities to trust, as PEM, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// How long all of one POST may take, in milliseconds.
    pub timeout_ms: u64,
    /// Which messages of an event are posted.
    pub phases: Vec<Phase>,
    pub outbox: OutboxSettings,
}

impl WebhookSettings {
    /// The defaults for an address.
    pub fn new(url: WebUrl) -> WebhookSettings {
        WebhookSettings {
            url,
            token_file: None,
            ca_file: None,
            timeout_ms: 5000,
            phases: vec![Phase::Start, Phase::Update, Phase::End],
            outbox: OutboxSettings::default(),
        }
    }

    /// What can never work, found without a server: keys, and what they must be.
    pub fn problems(&self) -> Vec<(&'static str, &'static str)> {
        let mut problems = Vec::new();
        let mut must = |holds: bool, key, why| (!holds).then(|| problems.push((key, why)));
        must(!self.phases.is_empty(), "phases", "must name at least one of start, update and end");
        let secret = self.url.is_tls() || self.ca_file.is_none();
        must(secret, "ca_file", "is of use with TLS only: let url begin with https://");
        let patient = (100..=120_000).contains(&self.timeout_ms);
        must(patient, "timeout_ms", "must be from 100 to 120000");
        problems
    }
}

/// A web address: `http://` or `https://`, without user and password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebUrl(Uri);

impl WebUrl {
    /// `http://localhost:8000/`
    pub fn local() -> WebUrl {
        WebUrl(Uri::from_static("http://localhost:8000/"))
    }

    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// What messages show of it: paths and queries of webhooks are often secrets.
    fn host(&self) -> String {
        let authority = self.0.authority().map_or("", |authority| authority.as_str());
        format!("{}://{authority}", self.0.scheme_str().unwrap_or_default())
    }

    /// What messages show of an address that a server sends elsewhere to; a good many repeat what they were asked for.
    fn without_secrets(&self, to: &str) -> String {
        let to = to.split(['?', '#']).next().unwrap_or_default();
        let to = match self.0.path() {
            "/" => to.to_string(),
            path => to.replace(path, "/…"),
        };
        to.chars().take(200).collect()
    }
}

impl FromStr for WebUrl {
    type Err = WebhookError;

    fn from_str(text: &str) -> Result<WebUrl, WebhookError> {
        // The text may hold a password, so it is not repeated.
        let wrong = |why: &str| Err(WebhookError(why.into()));
        let Ok(uri) = text.parse::<Uri>() else {
            return wrong("is no web address: it must be http://HOST/… or https://HOST/…");
        };
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return wrong("must begin with http:// or https://");
        }
        let Some(authority) = uri.authority().filter(|authority| !authority.host().is_empty())
        else {
            return wrong("names no host");
        };
        if authority.as_str().contains('@') {
            return wrong("a password must not stand in an address: put a token into token_file");
        }
        if authority.port().is_none() && authority.as_str().len() != authority.host().len() {
            return wrong("a port is a number from 1 to 65535");
        }
        Ok(WebUrl(uri))
    }
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A setting of a webhook that can never work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookError(String);

impl fmt::Display for WebhookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WebhookError {}

/// Posts messages.
pub struct WebhookSink {
    settings: WebhookSettings,
    name: String,
    /// Made anew after each failure, so that a certificate that was replaced is read again.
    agent: Option<ureq::Agent>,
}

impl WebhookSink {
    /// A sink; `name` is what logs and metrics call it.
    ///
    /// # Errors
    ///
    /// About the first of [`WebhookSettings::problems`].
    pub fn new(name: &str, settings: WebhookSettings) -> Result<WebhookSink, WebhookError> {
        if let Some((key, why)) = settings.problems().first() {
            return Err(WebhookError(format!("webhook.{key}: {why}")));
        }
        Ok(WebhookSink { settings, name: name.to_string(), agent: None })
    }

    fn post(&mut self, message: &Message) -> Result<(), SinkError> {
        let body = serde_json::to_vec(message).map_err(SinkError::refused)?;
        let agent = match self.agent.take() {
            Some(agent) => agent,
            None => agent(&self.settings)?,
        };
        let url = &self.settings.url;
        let mut request = agent.post(&url.0).header("Content-Type", "application/json");
        if let Some(path) = &self.settings.token_file {
            let token = secret::read(path)
                .map_err(|e| SinkError::passing(format!("webhook.token_file: {e}")))?;
            if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                let why = format!("webhook.token_file: {}: holds no token", path.display());
                return Err(SinkError::passing(why));
            }
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let answer = request.send(&body[..]).map_err(|e| SinkError::passing(self.explain(e)))?;
        let status = answer.status();
        if status.is_redirection() {
            let to = answer.headers().get("location").and_then(|to| to.to_str().ok());
            let to = to.map_or("nowhere".into(), |to| url.without_secrets(to));
            let host = url.host();
            let why = format!("{host} sends elsewhere ({status}), which is not followed: {to}");
            return Err(SinkError::passing(why));
        }
        if status.is_success() {
            self.agent = Some(agent);
            return Ok(());
        }
        let why = format!("{} answered {status}", url.host());
        match status.as_u16() {
            400 | 413 | 415 | 422 => Err(SinkError::refused(why)),
            401 | 403 => Err(SinkError::passing(format!("{why}: check webhook.token_file"))),
            404 | 405 | 410 => Err(SinkError::passing(format!("{why}: check webhook.url"))),
            _ => Err(SinkError::passing(why)),
        }
    }

    fn explain(&self, error: ureq::Error) -> String {
        let host = self.settings.url.host();
        let ca_file = self.settings.ca_file.as_deref();
        match &error {
            ureq::Error::Rustls(cause) => format!("{host}: {}", tls::explain(cause, ca_file)),
            ureq::Error::Io(e) => match tls::cause(e) {
                Some(cause) => format!("{host}: {}", tls::explain(cause, ca_file)),
                None => format!("{host}: {e}"),
            },
            ureq::Error::Timeout(_) => {
                format!("{host}: no answer within {} ms", self.settings.timeout_ms)
            }
            other => format!("{host}: {other}"),
        }
    }
}

/// What posts to one address, and nowhere else.
fn agent(settings: &WebhookSettings) -> Result<ureq::Agent, SinkError> {
    let mut config = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_millis(settings.timeout_ms)))
        .max_redirects(0)
        .http_status_as_error(false)
        .proxy(None)
        .max_response_header_size(LONGEST_HEAD)
        .input_buffer_size(BUFFER)
        .output_buffer_size(BUFFER)
        .max_idle_connections(0)
        .user_agent(concat!("oddsight/", env!("CARGO_PKG_VERSION")));
    if settings.url.is_tls() {
        let roots = tls::roots(settings.ca_file.as_deref())
            .map_err(|e| SinkError::passing(format!("webhook.ca_file: {e}")))?;
        let roots = roots.iter().map(|root| Certificate::from_der(root).to_owned());
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(tls::provider())
            .root_certs(RootCerts::from(roots))
            .build();
        config = config.https_only(true).tls_config(tls);
    }
    Ok(config.build().new_agent())
}

impl Sink for WebhookSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn wants(&self) -> Wants {
        Wants::messages(&self.settings.phases)
    }

    fn deliver(&mut self, item: &Item) -> Result<(), SinkError> {
        match item {
            Item::Message(message) => self.post(message),
            Item::Shot { .. } => Ok(()),
        }
    }
}
