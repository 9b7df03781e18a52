//! Waiting for bytes, but not for ever.

use std::io;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, Timespec, poll};
use rustix::io::Errno;

/// A moment until which something is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    /// So long from now; a time that no clock can say is never over.
    pub(super) fn after(wait: Duration) -> Deadline {
        Deadline(Instant::now().checked_add(wait))
    }

    pub(super) fn is_over(self) -> bool {
        self.0.is_some_and(|end| Instant::now() >= end)
    }

    /// Waits until one of `fds` has something; false when the time is over before.
    pub(super) fn poll(self, fds: &mut [PollFd<'_>]) -> io::Result<bool> {
        loop {
            let left = self.0.map(|end| end.saturating_duration_since(Instant::now()));
            // What does not fit is centuries away.
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(fds, timeout.as_ref()) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}
