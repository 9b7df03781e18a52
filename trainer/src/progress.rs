//! Progress of long work: a bar with pictures per second and time left on a terminal, a plain line
//! every few seconds otherwise.

use std::fmt::Write;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

mod training;

pub use training::TrainingProgress;

const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// Progress of one piece of work, on standard error.
pub struct Progress {
    what: String,
    total: Option<u64>,
    done: u64,
    started: Instant,
    said: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Starts counting pictures; `total` where it is known.
    pub fn new(what: impl Into<String>, total: Option<u64>) -> Progress {
        let what = what.into();
        let bar = std::io::stderr().is_terminal().then(|| {
            let (bar, template) = match total {
                Some(total) => {
                    (ProgressBar::new(total), "{msg} {wide_bar} {pos}/{len}  {rate}  {eta} left")
                }
                None => (ProgressBar::new_spinner(), "{msg} {spinner} {pos} pictures  {rate}"),
            };
            let rate = |state: &ProgressState, out: &mut dyn Write| {
                // Writing to the bar's own text cannot fail.
                let _ = write!(out, "{:.0} pictures/s", state.per_sec());
            };
            let style = ProgressStyle::with_template(template)
                .expect("the template is valid")
                .with_key("rate", rate);
            bar.with_style(style).with_message(what.clone())
        });
        let now = Instant::now();
        Progress { what, total, done: 0, started: now, said: now, bar }
    }

    /// One picture more.
    pub fn tick(&mut self) {
        self.done += 1;
        match &self.bar {
            Some(bar) => bar.inc(1),
            None if self.said.elapsed() >= PLAIN_EVERY => {
                self.said = Instant::now();
                let rate = self.rate();
                match self.total {
                    Some(total) => {
                        let left = total.saturating_sub(self.done) as f64 / rate;
                        let (what, done) = (&self.what, self.done);
                        eprintln!("{what}: {done}/{total}, {rate:.0} pictures/s, {left:.0} s left");
                    }
                    None => eprintln!("{}: {}, {rate:.0} pictures/s", self.what, self.done),
                }
            }
            None => {}
        }
    }

    fn rate(&self) -> f64 {
        self.done as f64 / self.started.elapsed().as_secs_f64().max(1e-9)
    }

    /// Ends with one line that stays.
    pub fn finish(self) {
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = self.rate();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        eprintln!("{}: {} pictures in {seconds:.1} s, {rate:.0} pictures/s", self.what, self.done);
    }
}
