//! What the program is asked to do while it runs.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Requests by signal; each is seen once.
#[derive(Debug, Default)]
pub struct Signals {
    stop: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
    learn: Arc<AtomicBool>,
}

impl Signals {
    /// Listens for SIGTERM and SIGINT (stop), SIGHUP (reload) and SIGUSR1 (learn). A second SIGTERM or SIGINT ends the
    /// program at once.
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
            // In this order: the first one only sets the flag.
            flag::register_conditional_shutdown(signal, 1, signals.stop.clone())?;
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
        self.stop.load(Relaxed)
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
