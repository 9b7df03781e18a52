//! Numbers for Prometheus: counters that any thread may raise, and the text that they are read as.
//!
//! Counters are atomics, so that no reader can hold up a writer; gauges come from the
//! [`Status`](crate::status::Status) of the same moment.

mod text;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::event::FaultKind;

pub use text::text;

/// What became of a frame of the camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameResult {
    /// It was scored.
    Scored,
    /// It looked like the one before, and the change gate kept it back.
    Unchanged,
    /// Left out to keep the pace, or because the machine is hot.
    Shed,
    /// It showed nothing that could be judged.
    Faulty,
    /// A newer one came before it was taken.
    Overwritten,
}

impl FrameResult {
    /// Every result.
    pub const ALL: [FrameResult; 5] = [
        FrameResult::Scored,
        FrameResult::Unchanged,
        FrameResult::Shed,
        FrameResult::Faulty,
        FrameResult::Overwritten,
    ];

    /// Its label.
    pub fn name(self) -> &'static str {
        match self {
            FrameResult::Scored => "scored",
            FrameResult::Unchanged => "unchanged",
            FrameResult::Shed => "shed",
            FrameResult::Faulty => "faulty",
            FrameResult::Overwritten => "overwritten",
        }
    }
}

/// Every kind of camera fault, in the order of the counters.
const FAULTS: [FaultKind; 8] = [
    FaultKind::Lost,
    FaultKind::Stalled,
    FaultKind::Truncated,
    FaultKind::Undecodable,
    FaultKind::Frozen,
    FaultKind::Black,
    FaultKind::Saturated,
    FaultKind::WrongSize,
];

/// How a fault is spelt in labels and files.
pub fn fault_name(fault: FaultKind) -> &'static str {
    match fault {
        FaultKind::Lost => "lost",
        FaultKind::Stalled => "stalled",
        FaultKind::Truncated => "truncated",
        FaultKind::Undecodable => "undecodable",
        FaultKind::Frozen => "frozen",
        FaultKind::Black => "black",
        FaultKind::Saturated => "saturated",
        FaultKind::WrongSize => "wrong_size",
    }
}

/// Everything that only rises. A new one starts at 0.
#[derive(Debug, Default)]
pub struct Metrics {
    frames: [AtomicU64; FrameResult::ALL.len()],
    unusual_frames: AtomicU64,
    faults: [AtomicU64; FAULTS.len()],
    opens: AtomicU64,
    alarms: AtomicU64,
    events: AtomicU64,
    inference: Histogram,
    waits: Histogram,
    /// Answers by the first digit of their status.
    answers: [AtomicU64; 6],
}

impl Metrics {
    /// Counts one frame.
    pub fn frame(&self, result: FrameResult) {
        self.frames[result as usize].fetch_add(1, Relaxed);
    }

    /// Frames with this result so far.
    pub fn frames(&self, result: FrameResult) -> u64 {
        self.frames[result as usize].load(Relaxed)
    }

    /// Frames that a newer one replaced, counted by the slot itself since the start.
    pub fn overwritten(&self, total: u64) {
        self.frames[FrameResult::Overwritten as usize].fetch_max(total, Relaxed);
    }

    /// Counts a scored frame with an unusual region.
    pub fn unusual_frame(&self) {
        self.unusual_frames.fetch_add(1, Relaxed);
    }

    /// Counts a faulty frame, or an attempt to open the camera that failed.
    pub fn fault(&self, kind: FaultKind) {
        if let Some(counter) = FAULTS.iter().position(|&fault| fault == kind) {
            self.faults[counter].fetch_add(1, Relaxed);
        }
    }

    /// Counts an opened camera.
    pub fn opened(&self) {
        self.opens.fetch_add(1, Relaxed);
    }

    /// Counts the start of an event of any cause.
    pub fn event(&self) {
        self.events.fetch_add(1, Relaxed);
    }

    /// Counts an alarm: the start of an unusual event.
    pub fn alarm(&self) {
        self.alarms.fetch_add(1, Relaxed);
    }

    /// Alarms so far.
    pub fn alarms(&self) -> u64 {
        self.alarms.load(Relaxed)
    }

    /// Counts an answer of the HTTP server.
    pub fn answer(&self, status: u16) {
        let digit = usize::from(status / 100).min(self.answers.len() - 1);
        self.answers[digit].fetch_add(1, Relaxed);
    }

    /// Counts the time that a frame took from picture to verdict.
    pub fn inference(&self, took: Duration) {
        self.inference.add(took);
    }

    /// What [`Metrics::inference`] was given so far.
    pub fn inference_times(&self) -> Times {
        self.inference.times()
    }

    /// Counts how old a scored frame was when it was taken up.
    pub fn waited(&self, age: Duration) {
        self.waits.add(age);
    }

    /// What [`Metrics::waited`] was given so far.
    pub fn wait_times(&self) -> Times {
        self.waits.times()
    }
}

/// Upper bounds of the buckets, in milliseconds.
const BOUNDS_MS: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];

#[derive(Debug, Default)]
struct Histogram {
    /// One more than there are bounds: the last takes what is above all of them.
    buckets: [AtomicU64; BOUNDS_MS.len() + 1],
    sum_ns: AtomicU64,
}

impl Histogram {
    fn add(&self, took: Duration) {
        let bucket = BOUNDS_MS.partition_point(|&bound| Duration::from_millis(bound) < took);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum_ns.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Each bucket is read once, so the count is never smaller than a bucket, whoever adds meanwhile.
    fn times(&self) -> Times {
        let mut count = 0;
        let buckets = BOUNDS_MS.iter().zip(&self.buckets).map(|(&bound_ms, bucket)| {
            count += bucket.load(Relaxed);
            (bound_ms, count)
        });
        let buckets = buckets.collect();
        count += self.buckets[BOUNDS_MS.len()].load(Relaxed);
        Times { buckets, count, sum_s: self.sum_ns.load(Relaxed) as f64 / 1e9 }
    }
}

/// A cumulative histogram of durations.
#[derive(Clone, Debug, PartialEq)]
pub struct Times {
    /// Upper bound in milliseconds, and how many were not longer.
    pub buckets: Vec<(u64, u64)>,
    pub count: u64,
    pub sum_s: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_has_a_place_of_its_own() {
        let metrics = Metrics::default();
        for (i, result) in FrameResult::ALL.into_iter().enumerate() {
            assert_eq!(result as usize, i);
            (0..=i).for_each(|_| metrics.frame(result));
        }
        let counts = FrameResult::ALL.map(|result| metrics.frames(result));
        assert_eq!(counts, [1, 2, 3, 4, 5]);
        metrics.overwritten(9);
        metrics.overwritten(7);
        assert_eq!(metrics.frames(FrameResult::Overwritten), 9);
        for kind in FAULTS {
            metrics.fault(kind);
        }
        assert!(metrics.faults.iter().all(|counter| counter.load(Relaxed) == 1));
        metrics.answer(200);
        metrics.answer(u16::MAX);
    }

    #[test]
    fn fault_names_are_those_of_the_files() {
        for kind in FAULTS {
            let spelt = serde_json::to_string(&kind).unwrap();
            assert_eq!(spelt, format!("\"{}\"", fault_name(kind)));
        }
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let histogram = Histogram::default();
        for ms in [0, 1, 2, 3, 5000, 5001] {
            histogram.add(Duration::from_millis(ms));
        }
        let times = histogram.times();
        assert_eq!(times.buckets[..3], [(1, 2), (2, 3), (5, 4)]);
        assert_eq!((times.buckets[11], times.count), ((5000, 5), 6));
        assert!((times.sum_s - 10.007).abs() < 1e-9);
    }
}
