//! What the program is asked to do while it runs.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Some programs (`timeout`, terminals) send a signal to a process and to its group: what comes within so long is one wish.
const ONE_WISH: Duration = Duration::from_millis(500);

/// Requests by signal; each is seen once.
#[derive(Debug, Default)]
pub struct Signals {
    stop: Arc<AtomicBool>,
    /// When the wish to stop was seen.
    stop_seen: OnceLock<Instant>,
    /// The next wish to stop ends the program at once.
    impatient: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
    learn: Arc<AtomicBool>,
}

impl Signals {
    /// Listens for SIGTERM and SIGINT (stop), SIGHUP (reload) and SIGUSR1 (learn). A SIGTERM or SIGINT after
    /// another one ends the program at once.
    ///
    /// # Errors
    ///
    /// When the system refuses a handler.
    #[cfg(target_os = "linux")]
    pub fn listen() -> io::Result<Signals> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
        use signal_hook::flag;
        let signals = Signals::default();
        for signal in [SIGTERM, SIGINT] {
            flag::register_conditional_shutdown(signal, 1, signals.impatient.clone())?;
            flag::register(signal, signals.stop.clone())?;
        }
        flag::register(SIGHUP, signals.reload.clone())?;
        flag::register(SIGUSR1, signals.learn.clone())?;
        Ok(signals)
    }

    /// Nothing is listened for on this system: the program ends as the system ends it.
    #[cfg(not(target_os = "linux"))]
    pub fn listen() -> io::Result<Signals> {
        Ok(Signals::default())
    }

    /// The program is asked to stop, now or before.
    pub fn stop(&self) -> bool {
        let stop = self.stop.load(Relaxed);
        if stop && self.stop_seen.get_or_init(Instant::now).elapsed() >= ONE_WISH {
            self.impatient.store(true, Relaxed);
        }
        stop
    }

    /// The configuration is to be read again.
    pub fn reload(&self) -> bool {
        self.reload.swap(false, Relaxed)
    }

    /// What the camera shows now is to be learnt.
    pub fn learn(&self) -> bool {
        self.learn.swap(false, Relaxed)
    }
}
