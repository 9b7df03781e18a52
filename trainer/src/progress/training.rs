//! Progress of training.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::PLAIN_EVERY;
use crate::heat::Step;

/// Progress of training one head, on standard error: a bar on a terminal, a plain line every few seconds
/// otherwise.
pub struct TrainingProgress {
    head: String,
    started: Instant,
    said: Instant,
    /// When the first step was told, and the batches that were done by then.
    first: Option<(Instant, u64)>,
    bar: Option<ProgressBar>,
}

impl TrainingProgress {
    /// Starts the clock.
    pub fn new(head: impl Into<String>) -> TrainingProgress {
        let bar = std::io::stderr().is_terminal().then(|| {
            // All figures fit in 80 columns; a narrower terminal cuts them off.
            let style = ProgressStyle::with_template("{prefix}\n{bar:12} {wide_msg}")
                .expect("the template is valid");
            ProgressBar::new(0).with_style(style)
        });
        let now = Instant::now();
        TrainingProgress { head: head.into(), started: now, said: now, first: None, bar }
    }

    /// Shows where training stands.
    pub fn step(&mut self, step: &Step) {
        let done = (step.epoch * step.batches + step.batch) as u64;
        let all = (step.epochs * step.batches) as u64;
        let (since, before) = *self.first.get_or_insert_with(|| (Instant::now(), done));
        let left = time_left(since.elapsed(), done - before, all.saturating_sub(done));
        match &self.bar {
            Some(bar) => {
                bar.set_length(all);
                bar.set_prefix(format!("{}: {}", self.head, place(step, left)));
                bar.set_message(figures(step));
                bar.set_position(done);
            }
            None if self.said.elapsed() >= PLAIN_EVERY => {
                self.said = Instant::now();
                eprintln!("{}: {}, {}", self.head, place(step, left), figures(step));
            }
            None => {}
        }
    }

    /// Ends without a word.
    pub fn stop(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Ends with one line that stays; `epochs` were done after those of the checkpoint, if there was
    /// one.
    pub fn finish(self, epochs: usize, checkpoint: Option<usize>) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let seconds = self.started.elapsed().as_secs_f64();
        let after = checkpoint.map_or(String::new(), |n| format!(" after the {n} of a checkpoint"));
        eprintln!("{}: {epochs} epochs{after} in {seconds:.1} s", self.head);
    }
}

/// `None` before anything is known of the pace.
fn time_left(elapsed: Duration, done: u64, left: u64) -> Option<Duration> {
    let each = elapsed.as_secs_f64() / done as f64;
    Duration::try_from_secs_f64(each * left as f64).ok()
}

fn place(step: &Step, left: Option<Duration>) -> String {
    let Step { epoch, epochs, batch, batches, .. } = *step;
    let left = left.map_or(String::new(), |left| format!(", {} left", short(left)));
    format!("epoch {}/{epochs}, batch {batch}/{batches}{left}", epoch + 1)
}

fn figures(step: &Step) -> String {
    let Step { loss, data_energy, sample_energy, moved, .. } = *step;
    format!(
        "loss {loss:.4}, energy {data_energy:.4} data {sample_energy:.4} samples, moved {moved:.4}"
    )
}

/// `8 s`, `3 min 20 s` or `2 h 5 min`.
fn short(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_epochs_from_one_and_all_figures() {
        let step = Step {
            epoch: 2,
            epochs: 20,
            batch: 12,
            batches: 48,
            loss: -0.012345,
            data_energy: -0.05,
            sample_energy: 0.041,
            moved: 0.3512,
        };
        let place = place(&step, Some(Duration::from_secs(125)));
        assert_eq!(place, "epoch 3/20, batch 12/48, 2 min 5 s left");
        assert_eq!(
            figures(&step),
            "loss -0.0123, energy -0.0500 data 0.0410 samples, moved 0.3512"
        );
    }

    /// Beside a bar of 12 columns and a space.
    #[test]
    fn all_figures_fit_in_80_columns() {
        let step = Step {
            epoch: 998,
            epochs: 999,
            batch: 9999,
            batches: 9999,
            loss: -0.5,
            data_energy: -99.5,
            sample_energy: -99.5,
            moved: 10.5,
        };
        let place = place(&step, Some(Duration::from_secs(100 * 3600 - 1)));
        assert!("heat-gmm-std: ".len() + place.len() <= 80, "{place}");
        assert!(13 + figures(&step).len() <= 80, "{}", figures(&step));
    }

    #[test]
    fn time_left_counts_the_batches_of_this_process_only() {
        assert_eq!(time_left(Duration::from_secs(10), 5, 50), Some(Duration::from_secs(100)));
        assert_eq!(time_left(Duration::from_secs(3), 0, 2), None);
        assert_eq!(short(Duration::from_secs(59)), "59 s");
        assert_eq!(short(Duration::from_secs(7500)), "2 h 5 min");
    }
}
