//! The status page and what programs read: a small HTTP server that changes nothing.
//!
//! It answers `GET` and `HEAD`, one request per connection. It listens on loopback unless told otherwise, and then it
//! wants a token (docs/http.md).

// Elsewhere nothing serves.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports))]

mod connection;
mod energy;
mod guard;
mod page;
mod picture;
pub mod request;
mod response;
#[cfg(target_os = "linux")]
mod server;
mod site;

use std::fmt;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::status::Board;

/// The section `[http]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSettings {
    /// Address and port.
    pub listen: SocketAddr,
    /// File with the token, one word of 16 characters or more. Needed beyond loopback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// `/healthz` fails when no frame was scored for so many seconds.
    pub stale_s: u64,
}

impl Default for HttpSettings {
    fn default() -> HttpSettings {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
        HttpSettings { listen, token_file: None, stale_s: 30 }
    }
}

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    /// Closed to stop it.
    #[cfg(target_os = "linux")]
    stop: Option<std::os::unix::net::UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens, and serves what is on the board from a thread of its own.
    ///
    /// # Errors
    ///
    /// An address beyond loopback without a token, a token file that cannot be used, an address that cannot be
    /// listened on; another system than Linux.
    #[cfg(target_os = "linux")]
    pub fn start(
        settings: &HttpSettings,
        board: Arc<Board>,
        clock: Arc<dyn Clock>,
    ) -> Result<Server, HttpError> {
        let HttpSettings { listen, token_file, stale_s } = settings;
        let guard = guard::Guard::new(listen.ip(), token_file.as_deref())?;
        let wrong = |e: std::io::Error| {
            let remedy = match e.kind() {
                ErrorKind::AddrInUse => "; is another program listening there?",
                ErrorKind::AddrNotAvailable => {
                    "; this machine has no such address: write one that it has, or 0.0.0.0 for all"
                }
                ErrorKind::PermissionDenied => "; choose a port from 1024",
                _ => "",
            };
            let why = format!("http.listen: {listen}: {e}{remedy}");
            HttpError::new(HttpErrorKind::Listen, why)
        };
        let listener = TcpListener::bind(listen).map_err(wrong)?;
        listener.set_nonblocking(true).map_err(wrong)?;
        let address = listener.local_addr().map_err(wrong)?;
        let (stop, stopped) = std::os::unix::net::UnixStream::pair().map_err(wrong)?;
        let site = site::Site::new(board, clock, guard, Duration::from_secs(*stale_s));
        let thread = std::thread::Builder::new().name("http".into());
        let thread = thread.spawn(move || {
            give_way();
            server::serve(&listener, &stopped, site);
        });
        let thread = Some(thread.map_err(wrong)?);
        Ok(Server { address, stop: Some(stop), thread })
    }

    /// There is no server on this system.
    #[cfg(not(target_os = "linux"))]
    pub fn start(_: &HttpSettings, _: Arc<Board>, _: Arc<dyn Clock>) -> Result<Server, HttpError> {
        let why = "http: only Linux is supported; leave the section [http] out".into();
        Err(HttpError::new(HttpErrorKind::Listen, why))
    }

    /// Where it listens: the port is the real one if the settings said 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it was reported by its own thread.
            let _ = thread.join();
        }
    }
}

/// Lets scoring go first: on Linux a priority belongs to the calling thread.
#[cfg(target_os = "linux")]
fn give_way() {
    if let Err(e) = rustix::process::setpriority_process(None, 10) {
        log::debug!("http: the thread keeps its priority: {e}");
    }
}

/// Why there is no server.
#[derive(Debug)]
pub struct HttpError {
    kind: HttpErrorKind,
    why: String,
}

/// The kinds of [`HttpError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpErrorKind {
    /// A token is needed there, and none is configured.
    NoToken,
    /// The token file cannot be used.
    Token,
    /// The address cannot be listened on.
    Listen,
}

impl HttpError {
    fn new(kind: HttpErrorKind, why: String) -> HttpError {
        HttpError { kind, why }
    }

    /// What went wrong.
    pub fn kind(&self) -> HttpErrorKind {
        self.kind
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for HttpError {}
