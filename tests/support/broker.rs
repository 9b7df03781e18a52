//! A real MQTT broker and its listeners: mosquitto, from the distribution's packages.
//!
//! Each test program uses a part of it.
#![allow(dead_code)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Long enough for any machine; only a test that fails waits for it.
pub const LONG: Duration = Duration::from_secs(60);

/// Whether the programs are there; prints a line that says what is skipped otherwise.
pub fn present(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|name| find(name).is_none()).collect();
    if !missing.is_empty() {
        let test = thread::current().name().unwrap_or("a test").to_string();
        let line = format!(
            "\nSKIP: {test}: {missing:?} not installed (Debian: mosquitto mosquitto-clients openssl)\n"
        );
        // Straight to the file, for the harness hides what a passing test prints; at once, for others print as well.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
    missing.is_empty()
}

fn find(program: &str) -> Option<String> {
    let folders = ["/usr/local/sbin", "/usr/sbin", "/usr/local/bin", "/usr/bin"];
    folders.iter().map(|folder| format!("{folder}/{program}")).find(|path| Path::new(path).exists())
}

/// A command of a program that is present.
pub fn command(program: &str) -> Command {
    Command::new(find(program).expect("present() was asked"))
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A broker on two ports of this machine, the second with what its configuration says (TLS).
pub struct Broker {
    pub dir: tempfile::TempDir,
    pub port: u16,
    pub second_port: u16,
    process: Option<Child>,
}

impl Broker {
    /// Starts one. `extra` is its configuration beyond the two ports, where `DIR` stands for its folder; `prepare` puts
    /// files there.
    pub fn start(extra: &str, prepare: impl FnOnce(&Path)) -> Broker {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path());
        let (port, second_port) = (free_port(), free_port());
        let text = format!(
            "user root\nallow_anonymous true\nlistener {port} 127.0.0.1\nlistener {second_port} 127.0.0.1\n{extra}\n"
        );
        let text = text.replace("DIR", dir.path().to_str().unwrap());
        std::fs::write(dir.path().join("mosquitto.conf"), text).unwrap();
        let mut broker = Broker { dir, port, second_port, process: None };
        broker.restart();
        broker
    }

    /// Ends it as a power cut does.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts it again on the same ports, and waits until they are open.
    pub fn restart(&mut self) {
        self.kill();
        let config = self.dir.path().join("mosquitto.conf");
        let mut command = command("mosquitto");
        command.arg("-c").arg(config).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(command.spawn().unwrap());
        for port in [self.port, self.second_port] {
            let since = Instant::now();
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                assert!(since.elapsed() < LONG, "mosquitto does not start");
                thread::sleep(Duration::from_millis(10));
            }
        }
    }

    /// Listens to all topics, and waits until it does.
    pub fn listen(&self) -> Listener {
        let port = self.port.to_string();
        let mut process = command("mosquitto_sub")
            .args(["-p", &port, "-q", "1", "-t", "#", "-F", "%r %t %p"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (send, heard) = mpsc::channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut parts = line.splitn(3, ' ').map(str::to_string);
                let mut part = || parts.next().unwrap_or_default();
                let line = Heard { retained: part() == "1", topic: part(), payload: part() };
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let mut listener = Listener { process, heard, before: Vec::new() };
        listener.wait_for_broker(self);
        listener
    }

    fn probe(&self) {
        let port = self.port.to_string();
        let mut command = command("mosquitto_pub");
        command.args(["-p", &port, "-t", "probe", "-m", "x"]).stderr(Stdio::null());
        let _ = command.status();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A message as a subscriber got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The broker had kept it: it was sent before the subscriber came.
    pub retained: bool,
    pub topic: String,
    pub payload: String,
}

/// A subscriber to everything.
pub struct Listener {
    process: Child,
    heard: mpsc::Receiver<Heard>,
    /// What came while something else was waited for.
    before: Vec<Heard>,
}

impl Listener {
    /// Waits until it gets what is sent: at its start, and after the broker was away.
    pub fn wait_for_broker(&mut self, broker: &Broker) {
        let since = Instant::now();
        loop {
            broker.probe();
            match self.heard.recv_timeout(Duration::from_millis(100)) {
                Ok(heard) if heard.topic == "probe" => return,
                Ok(heard) => self.before.push(heard),
                Err(_) => assert!(since.elapsed() < LONG, "mosquitto_sub hears nothing"),
            }
        }
    }

    /// The next message.
    pub fn next(&mut self) -> Heard {
        if !self.before.is_empty() {
            return self.before.remove(0);
        }
        loop {
            let heard = self.heard.recv_timeout(LONG).expect("nothing was published");
            if heard.topic != "probe" {
                return heard;
            }
        }
    }

    /// What has come and nobody asked for.
    pub fn rest(&mut self) -> Vec<Heard> {
        let mut rest = std::mem::take(&mut self.before);
        rest.extend(self.heard.try_iter().filter(|heard| heard.topic != "probe"));
        rest
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
