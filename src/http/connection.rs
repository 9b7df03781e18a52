//! One connection: a request that is read, an answer that is written, and the end of it.
//!
//! Nothing here waits. Whoever sends nothing, sends for ever, or does not read his answer is let go when his time is up.

use std::io::{ErrorKind, Read, Write};

use super::request::{self, MOST_BYTES, Parsed, Refusal, Request};
use super::response::{Body, Response};

/// A request must have come this long after its connection, in milliseconds.
const REQUEST_MS: u64 = 2_000;
/// While an answer is written, something must be taken at least this often …
const PROGRESS_MS: u64 = 2_000;
/// … and all of it within this time.
const ANSWER_MS: u64 = 15_000;
/// How long the other side has to hang up.
const LINGER_MS: u64 = 500;
/// Most bytes behind a request that are read and thrown away, so that they do not reset the connection before the
/// answer was read.
const MOST_IGNORED: usize = 64 << 10;

/// A connection and how far it has come.
#[derive(Debug)]
pub(super) struct Connection<S> {
    stream: S,
    state: State,
    /// When it was accepted, and when its time is up.
    since_ms: u64,
    deadline_ms: u64,
}

#[derive(Debug)]
enum State {
    Reading(Vec<u8>),
    /// So many bytes are out of the headers and then the body.
    Writing {
        head: Vec<u8>,
        body: Body,
        sent: usize,
    },
    /// The answer is out; what still comes is ignored, this many bytes of it so far.
    Lingering(usize),
    Over,
}

/// A stream whose sending half can be closed.
pub(super) trait Stream: Read + Write {
    fn end(&mut self);
}

impl Stream for std::net::TcpStream {
    fn end(&mut self) {
        // A connection that is gone needs no end.
        let _ = self.shutdown(std::net::Shutdown::Write);
    }
}

impl<S: Stream> Connection<S> {
    /// A connection that was accepted at `now_ms`; the stream must not block.
    pub fn new(stream: S, now_ms: u64) -> Connection<S> {
        let state = State::Reading(Vec::with_capacity(1024));
        Connection { stream, state, since_ms: now_ms, deadline_ms: now_ms + REQUEST_MS }
    }

    /// The stream, to wait on.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// When its time is up, in milliseconds.
    pub fn deadline_ms(&self) -> u64 {
        self.deadline_ms
    }

    /// Whether it waits until it can write; else it waits until it can read.
    pub fn is_writing(&self) -> bool {
        matches!(self.state, State::Writing { .. })
    }

    /// Whether it can be dropped.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// What should go first when there is no room: answered ones, then the oldest.
    pub fn rank(&self) -> (bool, u64) {
        (!matches!(self.state, State::Lingering(_)), self.since_ms)
    }

    /// Goes on as far as it can without waiting. `answer` is asked at most once in a connection's life.
    pub fn advance(
        &mut self,
        now_ms: u64,
        answer: &mut dyn FnMut(Result<Request, Refusal>) -> (Response, bool),
    ) {
        loop {
            let went_on = match &mut self.state {
                State::Reading(_) => self.read(now_ms, answer),
                State::Writing { .. } => self.write(now_ms),
                State::Lingering(_) => self.linger(),
                State::Over => false,
            };
            if !went_on {
                break;
            }
        }
        if now_ms >= self.deadline_ms && !self.is_over() {
            let late = Refusal { status: 408, why: "the request took too long" };
            match &self.state {
                // Says so to whoever began a request; one try, then it is over.
                State::Reading(bytes) if !bytes.is_empty() => {
                    let (response, _) = answer(Err(late));
                    let _ = self.stream.write(&[&response.head(), response.body.bytes()].concat());
                    self.stream.end();
                }
                _ => {}
            }
            self.state = State::Over;
        }
    }

    fn read(
        &mut self,
        now_ms: u64,
        answer: &mut dyn FnMut(Result<Request, Refusal>) -> (Response, bool),
    ) -> bool {
        let State::Reading(bytes) = &mut self.state else { return false };
        let mut chunk = [0; 2048];
        let room = MOST_BYTES.saturating_sub(bytes.len()).min(chunk.len());
        let read = match self.stream.read(&mut chunk[..room]) {
            Ok(0) => {
                self.state = State::Over;
                return false;
            }
            Ok(read) => read,
            Err(e) => return self.failed(e.kind()),
        };
        bytes.extend_from_slice(&chunk[..read]);
        // A request ends with a line, so that bytes one by one are not read over and over again.
        if !chunk[..read].contains(&b'\n') && bytes.len() < MOST_BYTES {
            return true;
        }
        let asked = match request::parse(bytes) {
            Parsed::More => return true,
            Parsed::Request(request) => Ok(request),
            Parsed::Refused(refusal) => Err(refusal),
        };
        let (response, head_only) = answer(asked);
        let head = response.head();
        let body = if head_only { Body::from("") } else { response.body };
        self.state = State::Writing { head, body, sent: 0 };
        self.since_ms = now_ms;
        self.deadline_ms = now_ms + PROGRESS_MS;
        true
    }

    fn write(&mut self, now_ms: u64) -> bool {
        let State::Writing { head, body, sent } = &mut self.state else { return false };
        let length = head.len() + body.bytes().len();
        let rest = match sent.checked_sub(head.len()) {
            Some(of_body) => &body.bytes()[of_body..],
            None => &head[*sent..],
        };
        match self.stream.write(rest) {
            Ok(0) => {
                self.state = State::Over;
                return false;
            }
            Ok(written) => *sent += written,
            Err(e) => return self.failed(e.kind()),
        }
        self.deadline_ms = (now_ms + PROGRESS_MS).min(self.since_ms + ANSWER_MS);
        if *sent == length {
            self.stream.end();
            self.state = State::Lingering(0);
            self.deadline_ms = now_ms + LINGER_MS;
        }
        true
    }

    fn linger(&mut self) -> bool {
        let State::Lingering(ignored) = &mut self.state else { return false };
        match self.stream.read(&mut [0; 4096]) {
            Ok(read) if read > 0 && *ignored + read <= MOST_IGNORED => {
                *ignored += read;
                true
            }
            Ok(_) => {
                self.state = State::Over;
                false
            }
            Err(e) => self.failed(e.kind()),
        }
    }

    /// Whether to try again at once; over unless the stream only has nothing to give or take.
    fn failed(&mut self, kind: ErrorKind) -> bool {
        match kind {
            ErrorKind::WouldBlock => false,
            ErrorKind::Interrupted => true,
            _ => {
                self.state = State::Over;
                false
            }
        }
    }
}

#[cfg(test)]
mod tests;
