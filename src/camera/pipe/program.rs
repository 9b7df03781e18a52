//! A child process that is read with a deadline, and that does not outlive us.

use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::last_words::LastWords;
use crate::camera::deadline::Deadline;
use crate::camera::redact::without_passwords;
use crate::camera::{CameraError, CameraErrorKind};

/// How long a program that is told to end has for it: it may have to say good-bye to a camera in the network.
const GRACE: Duration = Duration::from_millis(250);
/// How long one that was killed has: the kernel gives back its memory and its devices first.
const LAST_GRACE: Duration = Duration::from_millis(500);
/// How long what a program said, and how it ended, is waited for when its output has ended.
const EPILOGUE: Duration = Duration::from_millis(200);
const STEP: Duration = Duration::from_millis(5);

/// Programs that did not end when they were killed: they are stuck inside of the kernel.
static STUCK: Mutex<Vec<Child>> = Mutex::new(Vec::new());
/// So many of them are the sign that no more will help.
const MOST_STUCK: usize = 4;

/// What came of reading.
pub(super) enum Read {
    /// So many bytes, at least one.
    Bytes(usize),
    /// Nothing within the time.
    Late,
    /// The output has ended.
    End,
}

/// A program in a process group of its own, with nothing on its standard input.
pub(super) struct Program {
    name: String,
    /// `None` once it was ended.
    child: Option<Child>,
    /// `None` once it has ended.
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    words: LastWords,
    /// How long it has for ending when it is told to.
    pub(super) grace: Duration,
}

impl Program {
    /// Starts the program `command[0]`, looked for in `PATH`.
    pub(super) fn start(command: &[String]) -> Result<Program, CameraError> {
        let [program, arguments @ ..] = command else {
            return Err(CameraError::new(CameraErrorKind::Spec, "pipe: the command is missing"));
        };
        refuse_if_stuck()?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|e| start_error(program, &e))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let name = program.rsplit('/').next().unwrap_or(program).to_owned();
        let child = Some(child);
        let words = LastWords::default();
        let program = Program { name, child, stdout, stderr, words, grace: GRACE };
        program.unblock().map_err(|e| start_error(&program.name, &e.into()))?;
        Ok(program)
    }

    /// A poll that reports bytes is no promise that reading does not wait.
    fn unblock(&self) -> rustix::io::Result<()> {
        if let Some(stdout) = &self.stdout {
            rustix::io::ioctl_fionbio(stdout, true)?;
        }
        if let Some(stderr) = &self.stderr {
            rustix::io::ioctl_fionbio(stderr, true)?;
        }
        Ok(())
    }

    /// The program's name, without its folder.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Reads what the program wrote, waiting for it until the deadline.
    pub(super) fn read(&mut self, buffer: &mut [u8], deadline: Deadline) -> Read {
        loop {
            let Some(stdout) = &self.stdout else { return Read::End };
            let error_fd = self.stderr.as_ref().map_or(stdout.as_fd(), AsFd::as_fd);
            let mut fds =
                [stdout.as_fd(), error_fd].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
            let open = 1 + usize::from(self.stderr.is_some());
            match deadline.poll(&mut fds[..open]) {
                Ok(true) => {}
                Ok(false) => return Read::Late,
                Err(_) => return Read::End,
            }
            let [output, error] = fds.map(|fd| !fd.revents().is_empty());
            if error {
                self.listen();
            }
            if output && let Some(stdout) = &mut self.stdout {
                match stdout.read(buffer) {
                    Ok(0) => self.stdout = None,
                    Ok(count) => return Read::Bytes(count),
                    Err(e) if passes(&e) => {}
                    Err(_) => self.stdout = None,
                }
            }
            // A flood of messages must not hold us here.
            if self.stdout.is_some() && deadline.is_over() {
                return Read::Late;
            }
        }
    }

    /// Reads some of the standard error.
    fn listen(&mut self) {
        let Some(stderr) = &mut self.stderr else { return };
        let mut buffer = [0; 4096];
        match stderr.read(&mut buffer) {
            Ok(0) => self.stderr = None,
            Ok(count) => {
                self.words.push(&buffer[..count], |line| log::debug!("{}: {line}", self.name));
            }
            Err(e) if passes(&e) => {}
            Err(_) => self.stderr = None,
        }
    }

    /// Sees to it that a program whose output has ended is over, and says how it came to that.
    pub(super) fn end(&mut self) -> String {
        let deadline = Deadline::after(EPILOGUE);
        while let Some(stderr) = &self.stderr
            && let Ok(true) = deadline.poll(&mut [PollFd::new(stderr, PollFlags::IN)])
            && !deadline.is_over()
        {
            self.listen();
        }
        let by_itself = self.child.as_ref().is_some_and(|child| has_ended_before(child, deadline));
        match self.stop() {
            Some(status) if by_itself => format!("ended ({status})"),
            _ => "closed its output".to_string(),
        }
    }

    /// The last lines of its standard error.
    pub(super) fn last_words(&mut self) -> Option<String> {
        self.words.text()
    }

    /// Ends the program, and all that it started in its group: asks, waits a moment, and kills.
    fn stop(&mut self) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        let group = Pid::from_child(&child);
        // Signals go to a group that has no process left without harm: until the child is waited for, its number is
        // not given to another.
        let _ = kill_process_group(group, Signal::TERM);
        self.discard_until_ended(&child, Deadline::after(self.grace));
        let _ = kill_process_group(group, Signal::KILL);
        self.stdout = None;
        self.stderr = None;
        if has_ended_before(&child, Deadline::after(LAST_GRACE)) {
            return child.wait().ok();
        }
        log::warn!(
            "{} (process {}) is stuck in the kernel and was left behind",
            self.name,
            child.id()
        );
        stuck().push(child);
        None
    }

    /// Who is about to end may have to write first; nobody to read it would be a reason to die on the spot, or to wait.
    fn discard_until_ended(&mut self, child: &Child, deadline: Deadline) {
        let mut buffer = [0; 4096];
        while !has_ended(child) && !deadline.is_over() {
            if let Read::End = self.read(&mut buffer, Deadline::after(STEP)) {
                thread::sleep(STEP);
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether a child is over, without taking note of it.
fn has_ended(child: &Child) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    // An error says that there is no such child.
    waitid(WaitId::Pid(Pid::from_child(child)), options).map_or(true, |status| status.is_some())
}

fn has_ended_before(child: &Child, deadline: Deadline) -> bool {
    while !has_ended(child) {
        if deadline.is_over() {
            return false;
        }
        thread::sleep(STEP);
    }
    true
}

fn stuck() -> MutexGuard<'static, Vec<Child>> {
    STUCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starting one program after the other that hangs in the kernel would fill the machine with them.
fn refuse_if_stuck() -> Result<(), CameraError> {
    let mut stuck = stuck();
    stuck.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    if stuck.len() < MOST_STUCK {
        return Ok(());
    }
    let processes: Vec<String> = stuck.iter().map(|child| child.id().to_string()).collect();
    let why = format!(
        "pipe: processes {} cannot be killed, a driver holds them: unplug the camera or restart the machine",
        processes.join(", ")
    );
    Err(CameraError::new(CameraErrorKind::Lost, why))
}

fn passes(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn start_error(program: &str, e: &io::Error) -> CameraError {
    let (kind, why) = match e.kind() {
        io::ErrorKind::NotFound => (
            CameraErrorKind::Missing,
            "there is no such program; install it, or write its whole path (no shell reads the command)".to_string(),
        ),
        io::ErrorKind::PermissionDenied => (
            CameraErrorKind::Missing,
            "it may not be run; make it executable, and an interpreter script start with `#!`".to_string(),
        ),
        _ => (CameraErrorKind::Read, format!("it cannot be started: {e}")),
    };
    CameraError::new(kind, format!("pipe: `{}`: {why}", without_passwords(program)))
}
