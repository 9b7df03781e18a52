//! `/energy.json`: energies over time, in columns.

use std::fmt::Write as _;

use serde_json::json;

use crate::clock::Stamp;
use crate::status::{Board, Bucket, Grain, Point};

/// Stretches of time that the plot shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Range {
    Minute,
    #[default]
    TenMinutes,
    Hour,
    Day,
}

impl Range {
    /// Every range, the shortest first.
    pub const ALL: [Range; 4] = [Range::Minute, Range::TenMinutes, Range::Hour, Range::Day];

    /// As it stands in a query: `1m`, `10m`, `1h`, `24h`.
    pub fn name(self) -> &'static str {
        match self {
            Range::Minute => "1m",
            Range::TenMinutes => "10m",
            Range::Hour => "1h",
            Range::Day => "24h",
        }
    }

    /// In words.
    pub fn title(self) -> &'static str {
        match self {
            Range::Minute => "1 min",
            Range::TenMinutes => "10 min",
            Range::Hour => "1 h",
            Range::Day => "24 h",
        }
    }

    /// The range of this name.
    pub fn named(name: &str) -> Option<Range> {
        Range::ALL.into_iter().find(|range| range.name() == name)
    }

    /// Its length in milliseconds.
    pub fn length_ms(self) -> u64 {
        match self {
            Range::Minute => 60_000,
            Range::TenMinutes => Grain::Frames.reach_ms(),
            Range::Hour => Grain::FiveSeconds.reach_ms(),
            Range::Day => Grain::Minutes.reach_ms(),
        }
    }

    /// How finely it is told.
    pub fn grain(self) -> Grain {
        match self {
            Range::Minute | Range::TenMinutes => Grain::Frames,
            Range::Hour => Grain::FiveSeconds,
            Range::Day => Grain::Minutes,
        }
    }
}

/// The answer: what is new in `range` since the answer whose `next` was `after`.
pub(super) fn json(board: &Board, range: Range, after: u64, now: Stamp) -> String {
    let since_ms = now.mono_ms.saturating_sub(range.length_ms());
    let identity = board.identity();
    let mut text = String::new();
    let (next, columns) = match range.grain() {
        Grain::Frames => {
            let part = board.frames(after, range.length_ms());
            points(&mut text, &part.items);
            (part.next, "points")
        }
        grain => {
            let part = board.buckets(grain, after);
            buckets(&mut text, &part.items);
            (part.next, "buckets")
        }
    };
    let head = json!({
        "run": board.run(),
        "range": range.name(),
        "now_ms": now.mono_ms,
        "width_ms": range.grain().width_ms(),
        "next": next,
        "alpha": identity.model.alpha,
        "threshold": identity.model.threshold,
        "median": identity.model.median,
        "smallest_p": identity.model.smallest_p(),
        "bands": board.bands(since_ms),
    });
    let head = head.to_string();
    // The columns are the last member of the object.
    format!("{},\"{columns}\":{{{text}}}}}", head.strip_suffix('}').unwrap_or(&head))
}

fn points(text: &mut String, points: &[Point]) {
    column(text, "ms", times(points.iter().map(|p| p.mono_ms)));
    column(text, "energy", points.iter().map(|p| number(p.energy)));
    column(text, "p_value", points.iter().map(|p| number(p.p_value)));
    column(text, "region", points.iter().map(|p| p.region.to_string()));
    column(text, "unusual", points.iter().map(|p| u8::from(p.unusual).to_string()));
}

fn buckets(text: &mut String, buckets: &[Bucket]) {
    column(text, "ms", times(buckets.iter().map(|b| b.mono_ms)));
    column(text, "low", buckets.iter().map(|b| number(b.low)));
    column(text, "mean", buckets.iter().map(|b| number(b.mean)));
    column(text, "high", buckets.iter().map(|b| number(b.high)));
    column(text, "p_value", buckets.iter().map(|b| number(b.p_value)));
    column(text, "frames", buckets.iter().map(|b| b.frames.to_string()));
    column(text, "unusual", buckets.iter().map(|b| b.unusual.to_string()));
}

/// The first time, and then the steps from one to the next.
fn times(times: impl Iterator<Item = u64>) -> impl Iterator<Item = String> {
    let mut before = 0;
    times.map(move |time| {
        let step = time - before;
        before = time;
        step.to_string()
    })
}

/// Four digits: the plot shows no more.
fn number(value: f32) -> String {
    if value.is_finite() { format!("{value:.3e}") } else { "null".into() }
}

fn column(text: &mut String, name: &str, values: impl Iterator<Item = String>) {
    let comma = if text.is_empty() { "" } else { "," };
    let _ = write!(text, "{comma}\"{name}\":[");
    for (i, value) in values.enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let _ = write!(text, "{comma}{value}");
    }
    text.push(']');
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::status::sample::lively;

    #[test]
    fn columns_tell_all_frames_and_then_the_new_ones() {
        let (board, now) = lively();
        let value: Value = serde_json::from_str(&json(&board, Range::TenMinutes, 0, now)).unwrap();
        let points = &value["points"];
        for column in ["ms", "energy", "p_value", "region", "unusual"] {
            assert_eq!(points[column].as_array().unwrap().len(), 40, "{column}");
        }
        assert_eq!((&points["ms"][0], &points["ms"][1]), (&100_000.into(), &100.into()));
        assert_eq!((&points["energy"][39], &points["unusual"][39]), (&6.5.into(), &1.into()));
        assert_eq!((&value["next"], &value["now_ms"]), (&40.into(), &104_200.into()));
        assert_eq!(value["bands"][0]["kind"], "unusual");
        assert_eq!(value["bands"][1]["to_ms"], Value::Null);
        let more: Value = serde_json::from_str(&json(&board, Range::TenMinutes, 38, now)).unwrap();
        assert_eq!(more["points"]["ms"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn an_hour_comes_in_buckets() {
        let (board, now) = lively();
        let value: Value = serde_json::from_str(&json(&board, Range::Hour, 0, now)).unwrap();
        assert_eq!(value["width_ms"], 5_000);
        assert_eq!(value["buckets"]["frames"][0], 40);
        assert_eq!(value["buckets"]["high"][0], 8.8);
        assert_eq!(Range::named("24h"), Some(Range::Day));
        assert_eq!(Range::named("x"), None);
    }

    #[test]
    fn what_is_no_number_is_null() {
        assert_eq!(number(f32::INFINITY), "null");
        assert_eq!(number(-0.012_345_6), "-1.235e-2");
    }
}
