//! Energies over time in bounded memory: every frame of the last ten minutes, and a day in buckets.

use std::collections::VecDeque;

use serde::Serialize;

/// How long every frame is kept, in milliseconds.
pub const FULL_MS: u64 = 10 * 60 * 1000;
/// Most frames that are kept one by one: ten minutes at 40 frames per second, 384 kB.
const MOST_POINTS: usize = 24_000;

/// What the history keeps of one frame: its most unusual region.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub mono_ms: u64,
    /// Rounded to `f32`: for eyes, not for decisions.
    pub energy: f32,
    pub p_value: f32,
    /// Index of the region.
    pub region: u16,
    pub unusual: bool,
}

/// What is left of the frames of a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Start of the stretch, a multiple of its width.
    pub mono_ms: u64,
    /// Smallest, mean and largest energy.
    pub low: f32,
    pub mean: f32,
    pub high: f32,
    /// Smallest p-value.
    pub p_value: f32,
    pub frames: u32,
    pub unusual: u32,
}

/// How finely a stretch of the past is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grain {
    /// Every frame, for ten minutes.
    Frames,
    /// Buckets of five seconds, for an hour.
    FiveSeconds,
    /// Buckets of a minute, for a day.
    Minutes,
}

impl Grain {
    /// Width of a bucket in milliseconds; 0 for single frames.
    pub fn width_ms(self) -> u64 {
        match self {
            Grain::Frames => 0,
            Grain::FiveSeconds => 5_000,
            Grain::Minutes => 60_000,
        }
    }

    /// How far back it reaches, in milliseconds.
    pub fn reach_ms(self) -> u64 {
        match self {
            Grain::Frames => FULL_MS,
            Grain::FiveSeconds => 3_600_000,
            Grain::Minutes => 86_400_000,
        }
    }
}

/// The ring of frames and the buckets.
#[derive(Debug)]
pub struct History {
    points: VecDeque<Packed>,
    /// Frames ever pushed: the newest has number `pushed - 1`.
    pushed: u64,
    newest_ms: u64,
    five_seconds: Level,
    minutes: Level,
}

/// A [`Point`] in 16 bytes: ten minutes of it are kept, so the low 32 bits of the time tell all of it.
#[derive(Clone, Copy, Debug)]
struct Packed {
    low_ms: u32,
    energy: f32,
    p_value: f32,
    region: u16,
    unusual: bool,
}

/// Part of the past, and the number to ask on with.
#[derive(Clone, Debug, PartialEq)]
pub struct Part<T> {
    pub items: Vec<T>,
    /// Everything from this number on is new next time. An open bucket comes again.
    pub next: u64,
}

impl History {
    /// Nothing yet.
    pub fn new() -> History {
        History {
            points: written_once(MOST_POINTS + 1),
            pushed: 0,
            newest_ms: 0,
            five_seconds: Level::new(Grain::FiveSeconds),
            minutes: Level::new(Grain::Minutes),
        }
    }

    /// Adds a frame; one that claims to be older than the newest counts as of the same moment.
    pub fn push(&mut self, point: Point) {
        let mono_ms = self.newest_ms.max(point.mono_ms);
        // After it a packed time would no longer tell which turn of its 32 bits is meant.
        if mono_ms - self.newest_ms > FULL_MS {
            self.points.clear();
        }
        self.newest_ms = mono_ms;
        let point = Point { mono_ms, ..point };
        self.points.push_back(Packed {
            low_ms: point.mono_ms as u32,
            energy: point.energy,
            p_value: point.p_value,
            region: point.region,
            unusual: point.unusual,
        });
        self.pushed += 1;
        while self.points.len() > MOST_POINTS
            || self.points.front().is_some_and(|p| self.age(p) > FULL_MS)
        {
            self.points.pop_front();
        }
        self.five_seconds.push(&point);
        self.minutes.push(&point);
    }

    fn age(&self, point: &Packed) -> u64 {
        u64::from((self.newest_ms as u32).wrapping_sub(point.low_ms))
    }

    /// The frames with numbers from `after` on that are at most `reach_ms` older than the newest, in
    /// order of time.
    pub fn frames(&self, after: u64, reach_ms: u64) -> Part<Point> {
        let first = self.pushed - self.points.len() as u64;
        let skip = after.saturating_sub(first).min(self.points.len() as u64) as usize;
        let skip = skip.max(self.points.partition_point(|p| self.age(p) > reach_ms));
        let items = self.points.range(skip..).map(|p| Point {
            mono_ms: self.newest_ms - self.age(p),
            energy: p.energy,
            p_value: p.p_value,
            region: p.region,
            unusual: p.unusual,
        });
        Part { items: items.collect(), next: self.pushed }
    }

    /// The buckets with numbers from `after` on, in order of time. The number of a bucket is its time
    /// divided by its width. `Grain::Frames` has none.
    pub fn buckets(&self, grain: Grain, after: u64) -> Part<Bucket> {
        match grain {
            Grain::Frames => Part { items: Vec::new(), next: 0 },
            Grain::FiveSeconds => self.five_seconds.after(after),
            Grain::Minutes => self.minutes.after(after),
        }
    }

    /// Scored and unusual frames of the last hour, to within five seconds.
    pub fn last_hour(&self) -> (u64, u64) {
        let buckets = &self.five_seconds.buckets;
        buckets.iter().fold((0, 0), |(frames, unusual), bucket| {
            (frames + u64::from(bucket.frames), unusual + u64::from(bucket.unusual))
        })
    }
}

/// An empty ring whose memory is in use from now on, so that a program that runs out of it does so at its start.
fn written_once(length: usize) -> VecDeque<Packed> {
    let blank =
        Packed { low_ms: 0, energy: f32::NAN, p_value: f32::NAN, region: 0, unusual: false };
    let mut ring = VecDeque::from(vec![blank; length]);
    ring.clear();
    ring
}

impl Default for History {
    fn default() -> History {
        History::new()
    }
}

/// Buckets of one width.
#[derive(Debug)]
struct Level {
    width_ms: u64,
    reach_ms: u64,
    buckets: VecDeque<Bucket>,
    /// Sum of the energies of the open bucket.
    sum: f64,
}

impl Level {
    fn new(grain: Grain) -> Level {
        let (width_ms, reach_ms) = (grain.width_ms(), grain.reach_ms());
        let most = reach_ms / width_ms + 2;
        Level { width_ms, reach_ms, buckets: VecDeque::with_capacity(most as usize), sum: 0.0 }
    }

    fn push(&mut self, point: &Point) {
        let start = point.mono_ms / self.width_ms * self.width_ms;
        match self.buckets.back_mut() {
            Some(open) if open.mono_ms == start => {
                self.sum += f64::from(point.energy);
                open.frames += 1;
                open.unusual += u32::from(point.unusual);
                open.low = open.low.min(point.energy);
                open.high = open.high.max(point.energy);
                open.p_value = open.p_value.min(point.p_value);
                open.mean = (self.sum / f64::from(open.frames)) as f32;
            }
            _ => {
                self.sum = f64::from(point.energy);
                self.buckets.push_back(Bucket {
                    mono_ms: start,
                    low: point.energy,
                    mean: point.energy,
                    high: point.energy,
                    p_value: point.p_value,
                    frames: 1,
                    unusual: point.unusual.into(),
                });
            }
        }
        let oldest = start.saturating_sub(self.reach_ms);
        while self.buckets.front().is_some_and(|bucket| bucket.mono_ms < oldest) {
            self.buckets.pop_front();
        }
    }

    fn after(&self, after: u64) -> Part<Bucket> {
        let skip = self.buckets.partition_point(|bucket| bucket.mono_ms / self.width_ms < after);
        let next = self.buckets.back().map_or(0, |open| open.mono_ms / self.width_ms);
        Part { items: self.buckets.range(skip..).copied().collect(), next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn point(mono_ms: u64, energy: f32) -> Point {
        let unusual = energy > 4.0;
        Point { mono_ms, energy, p_value: if unusual { 0.01 } else { 0.5 }, region: 0, unusual }
    }

    #[test]
    fn a_day_at_ten_frames_a_second_stays_small() {
        let mut history = History::new();
        // Beyond 32 bits of milliseconds, and across their wrap.
        let start = u64::from(u32::MAX) - 40_000_000;
        for i in 0..864_000 {
            history.push(point(start + i * 100, (i % 50) as f32 / 10.0));
        }
        assert_eq!(history.points.len(), 6001);
        assert_eq!(history.five_seconds.buckets.len(), 721);
        assert_eq!(history.minutes.buckets.len(), 1441);
        let frames = history.frames(0, u64::MAX);
        assert_eq!(frames.next, 864_000);
        assert_eq!(frames.items.last().unwrap().mono_ms, start + 86_399_900);
        assert_eq!(frames.items[0].mono_ms, start + 86_399_900 - FULL_MS);
        assert_eq!(history.frames(0, 1_000).items.len(), 11);
        let bucket = history.buckets(Grain::Minutes, 0).items[700];
        assert_eq!((bucket.low, bucket.high, bucket.frames, bucket.unusual), (0.0, 4.9, 600, 108));
        assert!((bucket.mean - 2.45).abs() < 1e-5);
        let (frames, unusual) = history.last_hour();
        assert!((36_000..=36_050).contains(&frames), "{frames}");
        assert_eq!((unusual as f64 / frames as f64 * 100.0).round(), 18.0);
    }

    #[test]
    fn asking_on_gives_what_is_new_and_the_open_bucket_again() {
        let mut history = History::new();
        for i in 0..70 {
            history.push(point(i * 100, 1.0));
        }
        let frames = history.frames(65, u64::MAX);
        assert_eq!((frames.items.len(), frames.next), (5, 70));
        assert!(history.frames(frames.next, u64::MAX).items.is_empty());
        assert!(history.frames(u64::MAX, u64::MAX).items.is_empty());
        let buckets = history.buckets(Grain::FiveSeconds, 0);
        assert_eq!((buckets.items.len(), buckets.next), (2, 1));
        let open = history.buckets(Grain::FiveSeconds, buckets.next).items;
        assert_eq!((open.len(), open[0].mono_ms, open[0].frames), (1, 5000, 20));
        assert!(history.buckets(Grain::Frames, 0).items.is_empty());
    }

    #[test]
    fn a_long_pause_leaves_no_frames_from_before_it() {
        let mut history = History::new();
        history.push(point(1000, 1.0));
        // To the millisecond one turn of 32 bits later.
        history.push(point(1000 + (1 << 32), 2.0));
        let frames = history.frames(0, u64::MAX).items;
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].mono_ms, 1000 + (1 << 32));
    }

    proptest! {
        #[test]
        fn any_times_and_energies_are_taken(
            steps in prop::collection::vec((any::<u64>(), any::<f32>()), 1..200),
            after in any::<u64>(),
            reach in any::<u64>(),
        ) {
            let mut history = History::new();
            for (mono_ms, energy) in steps {
                history.push(point(mono_ms, energy));
            }
            let frames = history.frames(after, reach).items;
            prop_assert!(frames.is_sorted_by_key(|point| point.mono_ms));
            for grain in [Grain::Frames, Grain::FiveSeconds, Grain::Minutes] {
                let buckets = history.buckets(grain, after).items;
                prop_assert!(buckets.is_sorted_by_key(|bucket| bucket.mono_ms));
            }
        }
    }
}
