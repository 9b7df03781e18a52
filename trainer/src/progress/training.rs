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
    /// Batches that were done when the first step was told: those of a run that was resumed.
    before: Option<u64>,
    bar: Option<ProgressBar>,
}

impl TrainingProgress {
    /// Starts the clock.
    pub fn new(head: impl Into<String>) -> TrainingProgress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{prefix} {wide_bar} {msg}")
                .expect("the template is valid");
            ProgressBar::new(0).with_style(style)
        });
        let now = Instant::now();
        TrainingProgress { head: head.into(), started: now, said: now, before: None, bar }
    }

    /// Shows where training stands.
    pub fn step(&mut self, step: &Step) {
        let done = (step.epoch * step.batches + step.batch) as u64;
        let all = (step.epochs * step.batches) as u64;
        let before = *self.before.get_or_insert(done.saturating_sub(1));
        let left = time_left(self.started.elapsed(), done - before, all.saturating_sub(done));
        match &self.bar {
            Some(bar) => {
                bar.set_length(all);
                bar.set_prefix(self.head.clone());
                bar.set_message(line(step, left));
                bar.set_position(done);
            }
            None if self.said.elapsed() >= PLAIN_EVERY => {
                self.said = Instant::now();
                eprintln!("{}: {}", self.head, line(step, left));
            }
            None => {}
        }
    }

    /// Ends with one line that stays.
    pub fn finish(self, epochs: usize) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let seconds = self.started.elapsed().as_secs_f64();
        eprintln!("{}: {epochs} epochs in {seconds:.1} s", self.head);
    }
}

fn time_left(elapsed: Duration, done: u64, left: u64) -> Duration {
    elapsed.div_f64(done.max(1) as f64).saturating_mul(left.min(u64::from(u32::MAX)) as u32)
}

fn line(step: &Step, left: Duration) -> String {
    let Step { batch, batches, loss, data_energy, sample_energy, moved, .. } = *step;
    format!(
        "epoch {}/{}, batch {batch}/{batches}, loss {loss:.4}, energy {data_energy:.4} data \
         {sample_energy:.4} samples, moved {moved:.4}, {} left",
        step.epoch + 1,
        step.epochs,
        short(left)
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
        assert_eq!(
            line(&step, Duration::from_secs(125)),
            "epoch 3/20, batch 12/48, loss -0.0123, energy -0.0500 data 0.0410 samples, moved \
             0.3512, 2 min 5 s left"
        );
    }

    #[test]
    fn time_left_counts_the_batches_of_this_process_only() {
        assert_eq!(time_left(Duration::from_secs(10), 5, 50), Duration::from_secs(100));
        assert_eq!(time_left(Duration::from_secs(3), 0, 2), Duration::from_secs(6));
        assert_eq!(short(Duration::from_secs(59)), "59 s");
        assert_eq!(short(Duration::from_secs(7500)), "2 h 5 min");
    }
}
