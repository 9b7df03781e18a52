//! The program, its configuration and everything by which it is seen.

use std::fs;
use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use oddsight::event::{Cause, FaultKind, Message, Phase};
use oddsight::sink::journal::{Reader, Record, ScoreLine};
use rustix::process::{Pid, Signal, kill_process};

use crate::camera::Camera;
use crate::scenes::{Taste, write_model};

/// Only a test that fails waits for so long.
pub const GUARD: Duration = Duration::from_secs(120);

const LOOK: Duration = Duration::from_millis(20);

/// Waits until `look` finds something.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(since.elapsed() < GUARD, "waited in vain for {what}");
        thread::sleep(LOOK);
    }
}

/// A folder with a model, and a configuration.
pub struct Bench {
    pub dir: tempfile::TempDir,
    /// Where the model is: a model directory, or a store.
    pub model: PathBuf,
}

impl Bench {
    /// With a good model of version 1.
    pub fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("model");
        write_model(&model, 1, Taste::Good);
        Bench { dir, model }
    }

    /// With a store, into which a good model was installed.
    pub fn with_store() -> Bench {
        let bench = Bench::new();
        let store = bench.path("store");
        let installed = bench.command(&["model", "install", "model", "--store", "store"]);
        assert!(installed.status.success(), "{installed:?}");
        Bench { model: store, ..bench }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file of this folder.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub fn camera(&self) -> Camera {
        Camera::new(self.dir.path())
    }

    /// Writes `device.toml`: alarms come and go within some frames, and nothing waits for long.
    pub fn config(&self, source: &str, more: &str) -> PathBuf {
        let here = self.dir.path().display();
        let model = self.model.display();
        let text = format!(
            r#"
device = "box"
[model]
dir = "{model}"
[camera]
source = '{source}'
stall_ms = 1000
reopen_ms = 100
reopen_most_ms = 200
[quality]
frozen_frames = 12
[gate]
floor_s = 1
[pace]
max_fps = 0
[alarm]
raise = 2
window = 3
clear_p = 0.1
clear_frames = 2
cooldown_s = 0
update_s = 1
light_change = 0
[journal]
dir = "{here}/journal"
{more}
"#
        );
        self.write("device.toml", text)
    }

    /// Runs another command of the program to its end.
    pub fn command(&self, args: &[&str]) -> Output {
        let program = env!("CARGO_BIN_EXE_oddsight");
        Command::new(program).current_dir(self.dir.path()).args(args).output().unwrap()
    }

    /// Starts `run --config device.toml`.
    pub fn start(&self) -> Device {
        Device::start(self, |_| {})
    }

    /// The journal's messages.
    pub fn messages(&self) -> Vec<Message> {
        messages(&self.path("journal"))
    }

    /// The journal's scores.
    pub fn scores(&self) -> Vec<ScoreLine> {
        let scores = records(&self.path("journal")).filter_map(|record| match record {
            Record::Score(line) => Some(line),
            _ => None,
        });
        scores.collect()
    }

    /// What a `sim:` line shows.
    pub fn lamp(&self) -> String {
        fs::read_to_string(self.path("lamp")).unwrap_or_default().trim().to_string()
    }

    /// The section of a lamp.
    pub fn lamp_section(&self) -> String {
        format!("[[gpio]]\nline = 1\nbackend = \"sim:{}\"\n", self.path("lamp").display())
    }
}

fn records(journal: &Path) -> impl Iterator<Item = Record> + use<> {
    // There is none before the first run.
    Reader::open(journal).into_iter().flatten()
}

fn messages(journal: &Path) -> Vec<Message> {
    let messages = records(journal).filter_map(|record| match record {
        Record::Message(message) => Some(message),
        _ => None,
    });
    messages.collect()
}

/// Whether a message is about an unusual scene.
pub fn is_unusual(message: &Message) -> bool {
    matches!(message.cause, Cause::Unusual(_))
}

/// The kind of fault that a message is about.
pub fn fault(message: &Message) -> Option<FaultKind> {
    match &message.cause {
        Cause::CameraFault(fault) => Some(fault.fault),
        _ => None,
    }
}

/// Every event has one start, before everything else, and one end, after everything else.
pub fn assert_whole(messages: &[Message]) {
    let mut open = std::collections::BTreeMap::new();
    for message in messages {
        let state = open.get(&message.event).copied();
        match (message.phase, state) {
            (Phase::Start, None) => drop(open.insert(message.event.clone(), true)),
            (Phase::Update, Some(true)) => {}
            (Phase::End, Some(true)) => drop(open.insert(message.event.clone(), false)),
            _ => panic!("{message:?} after {state:?}"),
        }
    }
    let left: Vec<_> = open.iter().filter(|(_, open)| **open).collect();
    assert!(left.is_empty(), "no end: {left:?}");
}

/// The running program.
pub struct Device {
    child: Child,
    dir: PathBuf,
    said: Arc<Mutex<String>>,
    notes: Arc<Mutex<Vec<(Instant, String)>>>,
    /// Messages with smaller numbers are not looked at.
    from_seq: u64,
}

/// How it came to its end.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    /// All of its standard error.
    pub said: String,
}

impl Device {
    /// Starts the program on the bench's configuration; `change` may add to the command. It is told of a service manager
    /// that listens.
    pub fn start(bench: &Bench, change: impl FnOnce(&mut Command)) -> Device {
        let dir = bench.dir.path().to_path_buf();
        let socket = dir.join("notify");
        let _ = fs::remove_file(&socket);
        let notes = listen(UnixDatagram::bind(&socket).unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_oddsight"));
        command
            .current_dir(&dir)
            .args(["run", "--config", "device.toml"])
            .env("NOTIFY_SOCKET", &socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let said = gather(BufReader::new(child.stderr.take().unwrap()));
        Device { child, dir, said, notes, from_seq: 0 }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// What it said on standard error so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// What the service manager was told so far, datagram by datagram.
    pub fn notes(&self) -> Vec<(Instant, String)> {
        self.notes.lock().unwrap().clone()
    }

    /// How often it was told this.
    pub fn count(&self, note: &str) -> usize {
        self.notes().iter().filter(|(_, said)| said.lines().any(|line| line == note)).count()
    }

    /// Waits for something that the running program does.
    pub fn wait_for<T>(&mut self, what: &str, mut look: impl FnMut(&Device) -> Option<T>) -> T {
        let since = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && since.elapsed() < GUARD,
                "waited in vain for {what} ({ended:?}): {}\n{:?}",
                self.said(),
                self.notes()
            );
            thread::sleep(LOOK);
        }
    }

    /// Waits until it has said this on standard error.
    pub fn wait_until_said(&mut self, text: &str) {
        self.wait_for(text, |device| device.said().contains(text).then_some(()));
    }

    /// Waits until it is ready.
    pub fn ready(mut self) -> Device {
        self.wait_for("READY=1", |device| (device.count("READY=1") > 0).then_some(()));
        self
    }

    /// From now on only messages are looked at that come now: a busy machine may have made a camera stall before.
    pub fn mark(&mut self) {
        let last = messages(&self.dir.join("journal")).last().map(|message| message.seq);
        self.from_seq = last.map_or(0, |seq| seq + 1);
    }

    /// Waits for a message of the journal.
    pub fn message(&mut self, what: &str, mut is: impl FnMut(&Message) -> bool) -> Message {
        let (dir, from) = (self.dir.join("journal"), self.from_seq);
        self.wait_for(what, |_| messages(&dir).into_iter().find(|m| m.seq >= from && is(m)))
    }

    /// Waits for an unusual event to begin.
    pub fn alarm(&mut self) -> Message {
        self.message("an alarm", |m| is_unusual(m) && m.phase == Phase::Start)
    }

    /// Waits for a fault of this kind to begin.
    pub fn fault(&mut self, kind: FaultKind) -> Message {
        let what = format!("a fault {kind:?}");
        self.message(&what, |m| fault(m) == Some(kind) && m.phase == Phase::Start)
    }

    /// Waits for the end of an event.
    pub fn end_of(&mut self, start: &Message) -> Message {
        self.message("the end", |m| m.event == start.event && m.phase == Phase::End)
    }

    /// Asks the page that it says it has.
    pub fn get(&mut self, path: &str) -> (u16, String) {
        let address = self.wait_for("the page's address", |device| {
            let said = device.said();
            let from = said.find("http://")? + "http://".len();
            Some(said[from..].split('/').next()?.to_string())
        });
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(GUARD)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_string())
    }

    /// `/status.json`.
    pub fn status(&mut self) -> serde_json::Value {
        serde_json::from_str(&self.get("/status.json").1).unwrap()
    }

    /// Waits until it has ended by itself.
    pub fn ended(mut self) -> Ended {
        let code = self.wait().code();
        // The pipe is closed: what is left of it comes at once.
        wait_for("the last words", || Arc::strong_count(&self.said).eq(&1).then_some(()));
        Ended { code, said: self.said() }
    }

    fn wait(&mut self) -> std::process::ExitStatus {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(since.elapsed() < GUARD, "it does not end: {}", self.said());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Asks it to stop, and waits for that.
    pub fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// Stops it as a power cut does.
    pub fn kill(mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Gathers the lines of a stream. The thread lets go of them at its end.
fn gather(mut lines: impl std::io::BufRead + Send + 'static) -> Arc<Mutex<String>> {
    let said = Arc::new(Mutex::new(String::new()));
    let gathered = said.clone();
    thread::spawn(move || {
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            gathered.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    said
}

/// Plays the service manager.
fn listen(socket: UnixDatagram) -> Arc<Mutex<Vec<(Instant, String)>>> {
    let notes = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::downgrade(&notes);
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            let received = socket.recv(&mut buffer);
            let Some(heard) = heard.upgrade() else { return };
            if let Ok(length) = received {
                let note = String::from_utf8_lossy(&buffer[..length]).into_owned();
                heard.lock().unwrap().push((Instant::now(), note));
            }
        }
    });
    notes
}

/// What a command that failed said, and with which code.
pub fn failure(output: &Output) -> (Option<i32>, String) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{output:?}");
    assert!(!said.contains("panicked"), "{said}");
    (output.status.code(), said)
}

/// What a command that did well printed.
pub fn success(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// How much slower this machine is than an idle one, at least 1.
pub fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(1.0);
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
    (load / cores as f64).max(1.0)
}

/// Prints a line that says what a test skips, past the harness, which hides what a passing test prints.
pub fn skip(why: &str) {
    let test = thread::current().name().unwrap_or("a test").to_string();
    let _ = std::io::stderr().write_all(format!("\nSKIP: {test}: {why}\n").as_bytes());
}

/// A program of the system, if it is there.
pub fn find(program: &str) -> Option<PathBuf> {
    let folders = ["/usr/local/bin", "/usr/bin", "/bin"];
    folders.iter().map(|folder| Path::new(folder).join(program)).find(|path| path.exists())
}
