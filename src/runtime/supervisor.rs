//! What systemd is told: that the program is ready, that it lives, what it does.

use std::time::Duration;

/// Characters of a status at most.
#[cfg(target_os = "linux")]
const LONGEST: usize = 300;

/// The service manager that started this program, if one did.
#[derive(Debug)]
pub struct Supervisor {
    /// Longest time between two signs of life.
    watchdog: Option<Duration>,
    fed_ms: u64,
    said: String,
}

impl Supervisor {
    /// Looks into the environment.
    pub fn find() -> Supervisor {
        #[cfg(target_os = "linux")]
        let watchdog = sd_notify::watchdog_enabled();
        #[cfg(not(target_os = "linux"))]
        let watchdog = None;
        Supervisor { watchdog, fed_ms: 0, said: String::new() }
    }

    /// Longest time between two signs of life, if somebody waits for them.
    pub fn watchdog_ms(&self) -> Option<u64> {
        self.watchdog.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    /// The program is up, and systemd may start what waits for it.
    #[cfg(target_os = "linux")]
    pub fn ready(&self) {
        notify(&[sd_notify::NotifyState::Ready]);
    }

    /// A sign of life at `now_ms`, a quarter of the time before it is missed.
    #[cfg(target_os = "linux")]
    pub fn alive(&mut self, now_ms: u64) {
        let Some(watchdog) = self.watchdog else { return };
        if now_ms.saturating_sub(self.fed_ms) >= watchdog.as_millis() as u64 / 4 {
            self.fed_ms = now_ms;
            notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }

    /// What the program does, in one line, if it is another than before.
    #[cfg(target_os = "linux")]
    pub fn says(&mut self, status: String) {
        // Another line would be another variable, and a camera's program may say anything.
        let status: String =
            status.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
        if status != self.said {
            notify(&[sd_notify::NotifyState::Status(&status)]);
            self.said = status;
        }
    }

    /// The configuration is read again, until the next [`Supervisor::ready`].
    #[cfg(target_os = "linux")]
    pub fn reloading(&self) {
        match sd_notify::NotifyState::monotonic_usec_now() {
            Ok(now) => notify(&[sd_notify::NotifyState::Reloading, now]),
            Err(e) => log::debug!("systemd is not told of the reload: {e}"),
        }
    }

    /// The program ends.
    #[cfg(target_os = "linux")]
    pub fn stopping(&self) {
        notify(&[sd_notify::NotifyState::Stopping]);
    }
}

#[cfg(target_os = "linux")]
fn notify(state: &[sd_notify::NotifyState]) {
    if let Err(e) = sd_notify::notify(state) {
        log::debug!("systemd cannot be told anything: {e}");
    }
}

/// Other systems have no such manager.
#[cfg(not(target_os = "linux"))]
impl Supervisor {
    pub fn ready(&self) {}
    pub fn alive(&mut self, _: u64) {}
    pub fn says(&mut self, _: String) {}
    pub fn reloading(&self) {}
    pub fn stopping(&self) {}
}
