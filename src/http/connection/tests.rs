//! Connections without sockets and without waiting.

use std::collections::VecDeque;
use std::io;

use super::*;

/// What the other side does, in order; then nothing more comes or goes.
#[derive(Default)]
struct Peer {
    sends: VecDeque<Vec<u8>>,
    hangs_up: bool,
    /// Bytes that it takes at each write.
    takes: VecDeque<usize>,
    got: Vec<u8>,
    ended: bool,
}

impl Read for Peer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(bytes) = self.sends.pop_front() else {
            return if self.hangs_up { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        };
        let length = bytes.len().min(buffer.len());
        buffer[..length].copy_from_slice(&bytes[..length]);
        if length < bytes.len() {
            self.sends.push_front(bytes[length..].to_vec());
        }
        Ok(length)
    }
}

impl Write for Peer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.takes.pop_front().ok_or(ErrorKind::WouldBlock)?.min(bytes.len());
        self.got.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Peer {
    fn end(&mut self) {
        self.ended = true;
    }
}

const ASK: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn connection(peer: Peer) -> Connection<Peer> {
    Connection::new(peer, 1_000)
}

/// Advances at `now_ms`; gives what was asked.
fn advance(connection: &mut Connection<Peer>, now_ms: u64) -> Vec<Result<String, u16>> {
    let mut asked = Vec::new();
    connection.advance(now_ms, &mut |request| {
        let head = request.as_ref().is_ok_and(|request| request.head);
        let status = request.as_ref().map_or_else(|refusal| refusal.status, |_| 200);
        asked.push(request.map(|request| request.path).map_err(|refusal| refusal.status));
        (Response::text(status, "answer"), head)
    });
    asked
}

fn text(connection: &Connection<Peer>) -> String {
    String::from_utf8(connection.stream.got.clone()).unwrap()
}

#[test]
fn a_request_in_pieces_gets_its_answer_in_pieces() {
    let sends = ASK.chunks(7).map(<[u8]>::to_vec).collect();
    let mut it = connection(Peer { sends, takes: [10, 30].into(), ..Peer::default() });
    assert_eq!(advance(&mut it, 1_500), [Ok("/healthz".to_string())]);
    assert!(it.is_writing() && it.stream.got.len() == 40);
    it.stream.takes.extend([usize::MAX, usize::MAX]);
    assert!(advance(&mut it, 3_000).is_empty());
    assert!(text(&it).ends_with("\r\n\r\nanswer\n") && it.stream.ended && !it.is_over());
    it.stream.hangs_up = true;
    advance(&mut it, 3_100);
    assert!(it.is_over());
}

#[test]
fn whoever_half_closes_after_asking_is_answered() {
    let sends = [ASK.to_vec()].into();
    let peer = Peer { sends, hangs_up: true, takes: [usize::MAX; 2].into(), ..Peer::default() };
    let mut it = connection(peer);
    assert_eq!(advance(&mut it, 1_000).len(), 1);
    assert!(it.is_over() && text(&it).contains("answer"));
}

#[test]
fn a_slow_request_is_let_go_after_two_seconds() {
    let mut it = connection(Peer { takes: [usize::MAX; 2].into(), ..Peer::default() });
    for (i, &byte) in ASK[..19].iter().enumerate() {
        it.stream.sends.push_back(vec![byte]);
        assert!(advance(&mut it, 1_000 + i as u64 * 100).is_empty());
        assert!(!it.is_over());
    }
    assert_eq!(it.deadline_ms(), 3_000);
    assert_eq!(advance(&mut it, 3_000), [Err(408)]);
    assert!(it.is_over() && text(&it).starts_with("HTTP/1.1 408 "));
    // Who said nothing is told nothing.
    let mut silent = connection(Peer::default());
    assert!(advance(&mut silent, 3_000).is_empty());
    assert!(silent.is_over() && silent.stream.got.is_empty());
}

#[test]
fn a_slow_reader_is_let_go() {
    let mut it = connection(Peer { sends: [ASK.to_vec()].into(), ..Peer::default() });
    advance(&mut it, 1_000);
    assert_eq!(it.deadline_ms(), 3_000);
    let mut now = 1_000;
    // A byte a second is progress, but not for ever.
    while !it.is_over() {
        now += 1_000;
        it.stream.takes.push_back(1);
        advance(&mut it, now);
    }
    assert_eq!((now, it.stream.got.len()), (16_000, 15));
}

#[test]
fn what_is_sent_too_much_is_ignored_up_to_a_limit() {
    let sends = [ASK.to_vec(), vec![b'x'; 50_000]].into();
    let mut it = connection(Peer { sends, takes: [usize::MAX; 2].into(), ..Peer::default() });
    assert_eq!(advance(&mut it, 1_000).len(), 1);
    assert!(!it.is_over(), "it waits for the other side to hang up");
    it.stream.sends.push_back(vec![b'x'; 50_000]);
    advance(&mut it, 1_100);
    assert!(it.is_over());
    let endless = vec![b'x'; 10_000];
    let peer = Peer { sends: [endless].into(), takes: [usize::MAX; 2].into(), ..Peer::default() };
    let mut it = connection(peer);
    assert_eq!(advance(&mut it, 1_000), [Err(431)], "no end, no request");
}
