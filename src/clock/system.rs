//! The machine's clocks.

use std::sync::OnceLock;
use std::time::SystemTime;

use super::{Clock, Stamp};

/// The machine's own clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Clock for System {
    fn now(&self) -> Stamp {
        let utc_ms = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        };
        Stamp { mono_ms: mono_ms(), utc_ms, clock_synced: synchronised() }
    }
}

/// Names this boot of the machine: what the kernel says, or else a name for this run of the program.
pub fn boot_id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| match std::fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(id) if !id.trim().is_empty() => id.trim().to_string(),
        _ => format!("run-{}-{}", std::process::id(), System.now().utc_ms),
    })
}

#[cfg(target_os = "linux")]
fn mono_ms() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}

/// Without a clock that goes on while the machine sleeps: since the first call.
#[cfg(not(target_os = "linux"))]
fn mono_ms() -> u64 {
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed().as_millis() as u64
}

/// Whether the kernel's clock is disciplined (`STA_UNSYNC` is clear).
#[cfg(target_os = "linux")]
fn synchronised() -> bool {
    // SAFETY: all fields are integers, for which zero is a value; `modes` 0 asks and changes nothing.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes within the one struct that it is given.
    let code = unsafe { libc::adjtimex(&mut state) };
    code >= 0 && state.status & libc::STA_UNSYNC == 0
}

#[cfg(not(target_os = "linux"))]
fn synchronised() -> bool {
    false
}
