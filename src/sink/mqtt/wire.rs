//! The connection to a broker: bytes, with or without TLS, and never longer than until a given moment.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::{BrokerUrl, MqttError, MqttErrorKind};
use crate::tls;

/// A socket whose reads and writes all end at one moment.
struct Timed {
    socket: TcpStream,
    until: Instant,
}

impl Timed {
    /// Runs one call with what is left of the time; a signal does not end it.
    fn call<T>(&mut self, mut call: impl FnMut(&mut TcpStream) -> io::Result<T>) -> io::Result<T> {
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            // The system's clock for this has no finer steps; 0 would mean for ever.
            let left = Some(left.max(Duration::from_millis(1)));
            self.socket.set_read_timeout(left)?;
            self.socket.set_write_timeout(left)?;
            match call(&mut self.socket) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    return Err(ErrorKind::TimedOut.into());
                }
                other => return other,
            }
        }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.call(|socket| socket.read(buffer))
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.call(|socket| socket.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A connection.
pub(super) struct Wire {
    stream: Stream,
    ca_file: Option<std::path::PathBuf>,
}

enum Stream {
    Plain(Timed),
    Tls(Box<StreamOwned<ClientConnection, Timed>>),
}

impl Wire {
    /// Connects, TLS handshake included. The lookup of the name is the system's and takes what the system lets it.
    pub fn open(
        url: &BrokerUrl,
        ca_file: Option<&Path>,
        until: Instant,
    ) -> Result<Wire, MqttError> {
        let unreachable = |why: String| MqttError::new(MqttErrorKind::Unreachable, why);
        // Certificates first: a file that is missing is the better message while the network is down, too.
        let tls = match url.is_tls() {
            true => Some(tls::client(ca_file).map_err(|e| MqttError::new(MqttErrorKind::File, e))?),
            false => None,
        };
        let addresses: Vec<SocketAddr> = (url.host(), url.port())
            .to_socket_addrs()
            .map_err(|e| unreachable(format!("{url}: the name cannot be looked up: {e}")))?
            .collect();
        let socket = connect(&addresses, until).map_err(|e| unreachable(format!("{url}: {e}")))?;
        // One packet is one thought: nothing gains from waiting for more.
        let _ = socket.set_nodelay(true);
        let socket = Timed { socket, until };
        let ca_file = ca_file.map(Path::to_path_buf);
        let Some(config) = tls else { return Ok(Wire { stream: Stream::Plain(socket), ca_file }) };
        let name = ServerName::try_from(url.host().to_string()).map_err(|_| {
            MqttError::new(MqttErrorKind::Settings, format!("{url}: the host is no name for TLS"))
        })?;
        let session = ClientConnection::new(config, name).map_err(|e| {
            MqttError::new(MqttErrorKind::Tls, tls::explain(&e, ca_file.as_deref()))
        })?;
        let mut stream = Box::new(StreamOwned::new(session, socket));
        let shaken = stream.conn.complete_io(&mut stream.sock);
        let wire = Wire { stream: Stream::Tls(stream), ca_file };
        match shaken.map_err(|e| wire.explain(e, "during the TLS handshake")) {
            Ok(_) => Ok(wire),
            Err(e) if e.kind() == MqttErrorKind::Closed => {
                Err(MqttError::new(MqttErrorKind::Closed, format!("{e}: does its port speak TLS?")))
            }
            Err(e) => Err(e),
        }
    }

    /// Sends all of the bytes.
    pub fn write(&mut self, bytes: &[u8], until: Instant) -> Result<(), MqttError> {
        let done = match &mut self.stream {
            Stream::Plain(socket) => {
                socket.until = until;
                socket.write_all(bytes)
            }
            Stream::Tls(stream) => {
                stream.sock.until = until;
                stream.write_all(bytes).and_then(|()| stream.flush())
            }
        };
        done.map_err(|e| self.explain(e, "while sending"))
    }

    /// Some bytes; `None` when none came in time.
    pub fn read(&mut self, buffer: &mut [u8], until: Instant) -> Result<Option<usize>, MqttError> {
        let count = match &mut self.stream {
            Stream::Plain(socket) => {
                socket.until = until;
                socket.read(buffer)
            }
            Stream::Tls(stream) => {
                stream.sock.until = until;
                stream.read(buffer)
            }
        };
        match count {
            Ok(0) => Err(self.explain(ErrorKind::UnexpectedEof.into(), "while waiting")),
            Ok(count) => Ok(Some(count)),
            Err(e) if e.kind() == ErrorKind::TimedOut => Ok(None),
            Err(e) => Err(self.explain(e, "while waiting")),
        }
    }

    fn explain(&self, error: io::Error, when: &str) -> MqttError {
        if let Some(cause) = tls::cause(&error) {
            return MqttError::new(
                MqttErrorKind::Tls,
                tls::explain(cause, self.ca_file.as_deref()),
            );
        }
        match error.kind() {
            ErrorKind::TimedOut => {
                MqttError::new(MqttErrorKind::Late, format!("no answer in time {when}"))
            }
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                MqttError::new(
                    MqttErrorKind::Closed,
                    format!("the broker closed the connection {when}"),
                )
            }
            _ => MqttError::new(
                MqttErrorKind::Unreachable,
                format!("connection lost {when}: {error}"),
            ),
        }
    }
}

/// The first address that answers; each gets an equal share of the time that is left.
fn connect(addresses: &[SocketAddr], until: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::other("the name has no address");
    for (i, address) in addresses.iter().enumerate() {
        let left = until.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - i).unwrap_or(u32::MAX);
        if share.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(address, share) {
            Ok(socket) => return Ok(socket),
            Err(e) => last = e,
        }
    }
    Err(last)
}
