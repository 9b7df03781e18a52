//! Events to a command: it runs once for each message, with the message on its standard input.
//!
//! The command is a program and its arguments; no shell reads it. It gets the message as one line of JSON, and each of
//! its fields as a variable `ODDSIGHT_EVENT_…`. It runs in a process group of its own, which is killed when the time is up,
//! and whatever is left of it when the command has ended: nothing that a hook starts outlives it by accident.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, PipeReader, Read as _, Seek as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use serde_json::Value;

use super::outbox::OutboxSettings;
use super::{Item, Sink, SinkError, Wants};
use crate::clock::utc;
use crate::event::{Message, Phase};

/// What to run for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookSettings {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// It is killed after so long, in milliseconds.
    pub timeout_ms: u64,
    /// For which messages of an event it runs.
    pub phases: Vec<Phase>,
    pub outbox: OutboxSettings,
}

impl HookSettings {
    /// The defaults for a command.
    pub fn new(command: Vec<String>) -> HookSettings {
        HookSettings {
            command,
            timeout_ms: 10_000,
            phases: vec![Phase::Start, Phase::Update, Phase::End],
            outbox: OutboxSettings::default(),
        }
    }

    /// What can never work, found without running it: keys, and what they must be.
    pub fn problems(&self) -> Vec<(&'static str, &'static str)> {
        let mut problems = Vec::new();
        let mut must = |holds: bool, key, why| (!holds).then(|| problems.push((key, why)));
        must(
            self.command.first().is_some_and(|program| !program.is_empty()),
            "command",
            "must name a program, as in [\"/usr/bin/logger\", \"-t\", \"oddsight\"]",
        );
        let text = !self.command.iter().any(|word| word.contains('\0'));
        must(text, "command", "must not hold a zero byte");
        must(!self.phases.is_empty(), "phases", "must name at least one of start, update and end");
        let patient = (100..=600_000).contains(&self.timeout_ms);
        must(patient, "timeout_ms", "must be from 100 to 600000");
        problems
    }
}

/// A setting of a hook that can never work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookError(String);

impl fmt::Display for HookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for HookError {}

/// `EX_TEMPFAIL` of sysexits.h: run me again later.
const AGAIN: i32 = 75;

/// So much of what a command says is kept, from its end.
const TAIL: usize = 1000;

/// A command that does not die when it is killed hangs in the kernel; so many may, then no more are started.
const MOST_UNDEAD: usize = 4;

/// How often a command that says nothing is looked after.
const LOOK: Duration = Duration::from_millis(20);

/// What the variables of an event begin with. Those that the configuration can be overridden by do not begin so: a hook
/// may call this program.
pub const PREFIX: &str = "ODDSIGHT_EVENT";

/// What our service manager tells us is not for a hook.
const PRIVATE: [&str; 6] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
];

/// Commands that run now, by their process groups; `None` when no more may run.
static RUNNING: Mutex<Option<BTreeSet<i32>>> = Mutex::new(Some(BTreeSet::new()));

fn running() -> MutexGuard<'static, Option<BTreeSet<i32>>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills every command that still runs, with its group, and lets no more be started: for the end of the program, after
/// which nobody would look after them.
pub fn kill_all() {
    let mut running = running();
    // Who is in the list has not been reaped, so its number still names its group.
    for group in running.take().into_iter().flatten().filter_map(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Runs a command for each message.
pub struct HookSink {
    settings: HookSettings,
    name: String,
    /// Killed, and not dead yet.
    undead: Vec<Child>,
}

impl HookSink {
    /// A sink; `name` is what logs and metrics call it.
    ///
    /// # Errors
    ///
    /// About the first of [`HookSettings::problems`].
    pub fn new(name: &str, settings: HookSettings) -> Result<HookSink, HookError> {
        if let Some((key, why)) = settings.problems().first() {
            return Err(HookError(format!("hook.{key}: {why}")));
        }
        Ok(HookSink { settings, name: name.to_string(), undead: Vec::new() })
    }

    fn run(&mut self, message: &Message) -> Result<(), SinkError> {
        self.undead.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        if self.undead.len() >= MOST_UNDEAD {
            let why = format!("{MOST_UNDEAD} runs of it cannot be killed: it hangs in the kernel");
            return Err(SinkError::passing(why));
        }
        let program = &self.settings.command[0];
        let mut json = serde_json::to_vec(message).map_err(SinkError::refused)?;
        let variables = variables(&json, message.at.utc_ms).map_err(SinkError::refused)?;
        json.push(b'\n');
        let (child, output) = self
            .start(&json, variables)
            .map_err(|e| SinkError::passing(format!("{program} cannot be started: {e}")))?;
        let mut running = Running { child, output: Some(output), tail: Vec::new() };
        let exited = running.wait(Duration::from_millis(self.settings.timeout_ms));
        let status = running.end();
        let said = said(&running.tail);
        if status.is_none() {
            self.undead.push(running.child);
        }
        if !exited {
            let ms = self.settings.timeout_ms;
            return Err(SinkError::refused(format!("{program} was killed after {ms} ms{said}")));
        }
        match status {
            Some(status) if status.success() => {
                log::debug!("{}: {program} is done{said}", self.name);
                Ok(())
            }
            Some(status) if status.code() == Some(AGAIN) => {
                Err(SinkError::passing(format!("{program} asks for another try (status 75){said}")))
            }
            Some(status) => Err(SinkError::refused(format!("{program} failed ({status}){said}"))),
            None => Err(SinkError::refused(format!("{program} cannot be waited for{said}"))),
        }
    }

    /// Starts the command, both its outputs in one pipe.
    fn start(
        &self,
        json: &[u8],
        variables: Vec<(String, String)>,
    ) -> io::Result<(Child, PipeReader)> {
        // A file in memory: unlike a pipe it takes the whole message at once, whether it is ever read or not.
        let mut input = File::from(memfd_create("oddsight-message", MemfdFlags::CLOEXEC)?);
        input.write_all(json)?;
        input.rewind()?;
        let (output, writer) = io::pipe()?;
        rustix::io::ioctl_fionbio(&output, true)?;
        let mut command = Command::new(&self.settings.command[0]);
        command
            .args(&self.settings.command[1..])
            .stdin(input)
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0);
        for name in std::env::vars_os().map(|(name, _)| name).filter(is_private) {
            command.env_remove(name);
        }
        command.envs(variables);
        let mut running = running();
        let Some(running) = &mut *running else {
            return Err(io::Error::other("the program ends"));
        };
        let child = command.spawn()?;
        running.insert(group(&child));
        Ok((child, output))
    }
}

fn is_private(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    name.starts_with(PREFIX) || PRIVATE.contains(&&*name)
}

/// A command's process group.
fn group(child: &Child) -> i32 {
    Pid::from_child(child).as_raw_nonzero().get()
}

/// A command on its way.
struct Running {
    child: Child,
    /// Until its end.
    output: Option<PipeReader>,
    /// The last of what it said.
    tail: Vec<u8>,
}

impl Running {
    /// Waits until the command has exited, and says whether it did so in time. It is not reaped yet, so that its
    /// number still names its group and nothing else.
    fn wait(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let pid = Pid::from_child(&self.child);
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        loop {
            self.listen();
            // An error means that there is no such child any more.
            if !matches!(waitid(WaitId::Pid(pid), look), Ok(None)) {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            match &self.output {
                Some(output) => {
                    let pause = Timespec::try_from(LOOK).ok();
                    let _ = poll(&mut [PollFd::new(output, PollFlags::IN)], pause.as_ref());
                }
                None => thread::sleep(LOOK),
            }
        }
    }

    /// Reads what there is, for a bounded while, and keeps the last of it.
    fn listen(&mut self) {
        let mut buffer = [0; 4096];
        for _ in 0..64 {
            let Some(output) = &mut self.output else { return };
            match output.read(&mut buffer) {
                Ok(0) => self.output = None,
                Ok(count) => {
                    self.tail.extend(&buffer[..count]);
                    let surplus = self.tail.len().saturating_sub(TAIL);
                    self.tail.drain(..surplus);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.output = None,
            }
        }
    }

    /// Kills the group and reaps the command; `None` when it does not die.
    fn end(&mut self) -> Option<ExitStatus> {
        if let Some(running) = &mut *running() {
            running.remove(&group(&self.child));
        }
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        for _ in 0..50 {
            if let Ok(Some(status)) = self.child.try_wait() {
                self.listen();
                return Some(status);
            }
            thread::sleep(LOOK);
        }
        None
    }
}

/// The end of what a command said, on one line, for a message.
fn said(tail: &[u8]) -> String {
    let text = String::from_utf8_lossy(tail);
    let line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.is_empty() { String::new() } else { format!(": {line}") }
}

/// Each field of the message that is a text, a number or a truth, as `ODDSIGHT_EVENT_NAME`; one level of nesting becomes
/// `ODDSIGHT_EVENT_OUTER_NAME`. `ODDSIGHT_EVENT` is the event's id and `ODDSIGHT_EVENT_UTC` the time as people write it.
fn variables(json: &[u8], utc_ms: i64) -> serde_json::Result<Vec<(String, String)>> {
    let mut variables = vec![(format!("{PREFIX}_UTC"), utc(utc_ms))];
    // From the text, so that numbers read here as they do there.
    let fields: serde_json::Map<String, Value> = serde_json::from_slice(json)?;
    for (name, value) in &fields {
        match value {
            Value::Object(inner) => {
                for (inner_name, value) in inner {
                    variables.extend(variable(&format!("{name}_{inner_name}"), value));
                }
            }
            value => variables.extend(variable(name, value)),
        }
    }
    Ok(variables)
}

fn variable(name: &str, value: &Value) -> Option<(String, String)> {
    let text = match value {
        // What a system takes as a variable: no zero byte, and not too long.
        Value::String(text) => text.chars().filter(|c| !c.is_control()).take(1000).collect(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => return None,
    };
    let name = match name {
        "event" => PREFIX.to_string(),
        name => format!("{PREFIX}_{}", name.to_ascii_uppercase()),
    };
    Some((name, text))
}

impl Sink for HookSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn wants(&self) -> Wants {
        Wants::messages(&self.settings.phases)
    }

    fn deliver(&mut self, item: &Item) -> Result<(), SinkError> {
        match item {
            Item::Message(message) => self.run(message),
            Item::Shot { .. } => Ok(()),
        }
    }
}
