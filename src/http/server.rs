//! The thread that serves: one for all connections, woken by the kernel.
//!
//! No client can hold it up, because nothing in it waits for one client. When all places are taken, the oldest
//! connection goes, so that a flood of silent ones shuts nobody out.

use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::connection::Connection;
use super::site::Site;

/// Most connections at once. A browser opens six for one page.
const MOST: usize = 16;
/// Most that are accepted in one turn, so that those that are there get theirs.
const MOST_ACCEPTED: usize = 8;
/// How long no connection is accepted after one could not be, in milliseconds: out of file descriptors, mostly.
const DEAF_MS: u64 = 200;
/// Milliseconds that serving waits at most, so that a clock that jumps does no harm.
const LONGEST_WAIT_MS: u64 = 1_000;

/// Serves until the other end of `stop` is closed.
pub(super) fn serve(listener: &TcpListener, stop: &UnixStream, mut site: Site) {
    let mut connections: Vec<Connection<TcpStream>> = Vec::new();
    let mut deaf_until_ms = 0;
    loop {
        let now_ms = site.now_ms();
        let ready = wait(listener, stop, &connections, now_ms, deaf_until_ms);
        if ready.stop {
            return;
        }
        let now_ms = site.now_ms();
        for (connection, is_ready) in connections.iter_mut().zip(ready.connections) {
            if is_ready || now_ms >= connection.deadline_ms() {
                connection.advance(now_ms, &mut |asked| site.answer(asked));
            }
        }
        connections.retain(|connection| !connection.is_over());
        if ready.listener && now_ms >= deaf_until_ms && !accept(listener, &mut connections, now_ms)
        {
            deaf_until_ms = now_ms + DEAF_MS;
        }
    }
}

/// Accepts what waits, in place of the oldest if need be. False when that failed.
fn accept(
    listener: &TcpListener,
    connections: &mut Vec<Connection<TcpStream>>,
    now_ms: u64,
) -> bool {
    for _ in 0..MOST_ACCEPTED {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(e) => {
                use std::io::ErrorKind::{ConnectionAborted, Interrupted, WouldBlock};
                return matches!(e.kind(), WouldBlock | Interrupted | ConnectionAborted);
            }
        };
        if stream.set_nonblocking(true).is_err() {
            continue;
        }
        // Answers go out in one piece; not to wait for more only makes them faster.
        let _ = stream.set_nodelay(true);
        if connections.len() >= MOST
            && let Some(oldest) = (0..MOST).min_by_key(|&i| connections[i].rank())
        {
            connections.swap_remove(oldest);
        }
        connections.push(Connection::new(stream, now_ms));
    }
    true
}

struct Ready {
    stop: bool,
    listener: bool,
    connections: Vec<bool>,
}

/// Waits until something can go on, or a time is up.
fn wait(
    listener: &TcpListener,
    stop: &UnixStream,
    connections: &[Connection<TcpStream>],
    now_ms: u64,
    deaf_until_ms: u64,
) -> Ready {
    let deaf = now_ms < deaf_until_ms;
    let wanted = if deaf { PollFlags::empty() } else { PollFlags::IN };
    let mut fds = vec![PollFd::new(stop, PollFlags::IN), PollFd::new(listener, wanted)];
    for connection in connections {
        let wanted = if connection.is_writing() { PollFlags::OUT } else { PollFlags::IN };
        fds.push(PollFd::new(connection.stream(), wanted));
    }
    let deadlines = connections.iter().map(Connection::deadline_ms);
    let until_ms = deadlines.chain(deaf.then_some(deaf_until_ms)).min();
    let timeout = until_ms.map(|until| {
        let ms = until.saturating_sub(now_ms).min(LONGEST_WAIT_MS);
        Timespec { tv_sec: (ms / 1000) as i64, tv_nsec: (ms % 1000 * 1_000_000) as _ }
    });
    let waited = poll(&mut fds, timeout.as_ref());
    if waited.is_err_and(|e| e != Errno::INTR) {
        // The kernel is short of memory: no hot loop.
        std::thread::sleep(Duration::from_millis(50));
    }
    // A wait that failed is like one whose time is up: everything is looked at again.
    let is_ready = |fd: &PollFd| waited.is_ok() && !fd.revents().is_empty();
    Ready {
        stop: is_ready(&fds[0]),
        listener: is_ready(&fds[1]),
        connections: fds[2..].iter().map(is_ready).collect(),
    }
}
