//! The plot as the server draws it: for the first view, and for browsers without scripts.
//!
//! `page.js` draws the same picture afterwards, with the same classes and scales.

use std::fmt::Write as _;

use super::words::{energy, escape, length_ago, p_value};
use crate::clock::Stamp;
use crate::http::energy::Range;
use crate::status::{Band, BandKind, Board, Grain, ModelCard};

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 992.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 270.0;
/// Columns that the frames of a stretch of time are gathered in.
const COLUMNS: usize = 310;

/// Which of the two is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    #[default]
    Energy,
    PValue,
}

impl View {
    /// As it stands in a query: `energy`, `p`.
    pub fn name(self) -> &'static str {
        match self {
            View::Energy => "energy",
            View::PValue => "p",
        }
    }

    /// The view of a query; energy for anything unknown.
    pub fn of(name: Option<&str>) -> View {
        if name == Some("p") { View::PValue } else { View::Energy }
    }
}

/// What is drawn of one stretch of time: the smallest, mean and largest energy, and the smallest p-value.
#[derive(Clone, Copy, Debug)]
struct Column {
    mono_ms: u64,
    low: f64,
    mean: f64,
    high: f64,
    p: f64,
    frames: f64,
}

/// Draws the plot.
pub fn svg(board: &Board, range: Range, view: View, now: Stamp) -> String {
    let identity = board.identity();
    let columns = columns(board, range, now);
    let since_ms = now.mono_ms.saturating_sub(range.length_ms());
    let plot = Plot { view, range, now, scale: Scale::new(view, &identity.model, &columns) };
    let title = match view {
        View::Energy => "Energy over time, with the threshold",
        View::PValue => "p-values over time, with alpha",
    };
    let mut svg = format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n\
         <defs><pattern id=\"hatch\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><rect class=\"hatch\" width=\"3\" height=\"7\"/></pattern>\
         <clipPath id=\"above\"><rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\"/></clipPath>\
         </defs>\n",
        RIGHT - LEFT,
        plot.limit().unwrap_or(TOP) - TOP,
    );
    for band in board.bands(since_ms) {
        plot.band(&mut svg, &band);
    }
    plot.axes(&mut svg);
    plot.curve(&mut svg, &columns);
    svg.push_str("</svg>\n");
    svg
}

/// The history in few enough columns, in order of time.
fn columns(board: &Board, range: Range, now: Stamp) -> Vec<Column> {
    if range.grain() != Grain::Frames {
        let buckets = board.buckets(range.grain(), 0).items.into_iter();
        let columns = buckets.map(|bucket| Column {
            mono_ms: bucket.mono_ms,
            low: bucket.low.into(),
            mean: bucket.mean.into(),
            high: bucket.high.into(),
            p: bucket.p_value.into(),
            frames: bucket.frames.into(),
        });
        return columns.collect();
    }
    let since_ms = now.mono_ms.saturating_sub(range.length_ms());
    let width_ms = range.length_ms() / COLUMNS as u64;
    let mut columns: Vec<Column> = Vec::with_capacity(COLUMNS + 1);
    let points = board.frames(0, range.length_ms()).items;
    for point in points.iter().filter(|point| point.mono_ms >= since_ms) {
        let (value, p) = (f64::from(point.energy), f64::from(point.p_value));
        match columns.last_mut() {
            Some(last) if last.mono_ms / width_ms == point.mono_ms / width_ms => {
                last.low = last.low.min(value);
                last.high = last.high.max(value);
                last.p = last.p.min(p);
                last.frames += 1.0;
                last.mean += (value - last.mean) / last.frames;
            }
            _ => {
                let (mono_ms, frames) = (point.mono_ms, 1.0);
                columns.push(Column { mono_ms, low: value, mean: value, high: value, p, frames });
            }
        }
    }
    columns
}

/// From values to heights between 0 and 1.
#[derive(Clone, Copy, Debug)]
enum Scale {
    /// Linear up to the threshold and logarithmic above it, in distances from the median to the threshold.
    Energy { median: f64, unit: f64, floor: f64, top: f64, threshold: Option<f64> },
    /// The logarithm, with small p-values at the top.
    PValue { smallest: f64, alpha: f64 },
}

/// Linear up to 1, logarithmic above, with one slope where they meet.
fn bent(x: f64) -> f64 {
    if x <= 1.0 { x } else { 1.0 + x.ln() }
}

impl Scale {
    fn new(view: View, model: &ModelCard, columns: &[Column]) -> Scale {
        if view == View::PValue {
            return Scale::PValue { smallest: model.smallest_p(), alpha: model.alpha };
        }
        let unit = (model.threshold.unwrap_or(model.median + 1.0) - model.median).max(1e-9);
        let distance = |energy: f64| (energy - model.median) / unit;
        let highest = columns.iter().map(|c| distance(c.high)).fold(3.0, f64::max);
        let lowest = columns.iter().map(|c| distance(c.low)).fold(-1.2, f64::min);
        Scale::Energy {
            median: model.median,
            unit,
            floor: lowest.max(-20.0),
            top: bent((highest * 1.2).min(1e12)),
            threshold: model.threshold,
        }
    }

    fn height(&self, energy: f64, p: f64) -> f64 {
        match *self {
            Scale::Energy { median, unit, floor, top, .. } => {
                ((bent((energy - median) / unit) - floor) / (top - floor)).clamp(0.0, 1.0)
            }
            Scale::PValue { smallest, .. } => (p.ln() / smallest.ln() * 0.94).clamp(0.0, 1.0),
        }
    }

    /// Labels at the left: height, text, what it is.
    fn ticks(&self) -> Vec<(f64, String, &'static str)> {
        match *self {
            Scale::Energy { median, threshold, .. } => {
                let mut ticks = vec![(self.height(median, 1.0), energy(median), "median")];
                if let Some(threshold) = threshold {
                    ticks.push((self.height(threshold, 1.0), energy(threshold), "threshold"));
                }
                ticks
            }
            Scale::PValue { smallest, alpha } => {
                let powers = (0..).map(|n| 10f64.powi(-n)).take_while(|&p| p >= smallest);
                let clear = |p: &f64| (p / alpha).log10().abs() > 0.4;
                let mut ticks: Vec<_> = powers
                    .filter(clear)
                    .map(|p| (self.height(0.0, p), format!("{p}"), ""))
                    .collect();
                ticks.push((self.height(0.0, alpha), p_value(alpha), "alpha"));
                ticks
            }
        }
    }
}

struct Plot {
    view: View,
    range: Range,
    now: Stamp,
    scale: Scale,
}

impl Plot {
    fn x(&self, mono_ms: u64) -> f64 {
        let age = self.now.mono_ms.saturating_sub(mono_ms) as f64 / self.range.length_ms() as f64;
        (RIGHT - age * (RIGHT - LEFT)).clamp(LEFT, RIGHT)
    }

    fn y(&self, height: f64) -> f64 {
        BOTTOM - height * (BOTTOM - TOP)
    }

    /// Where the line is that an unusual frame is above.
    fn limit(&self) -> Option<f64> {
        match self.scale {
            Scale::Energy { threshold, .. } => Some(self.y(self.scale.height(threshold?, 1.0))),
            Scale::PValue { alpha, .. } => Some(self.y(self.scale.height(0.0, alpha))),
        }
    }

    fn band(&self, svg: &mut String, band: &Band) {
        let from = self.x(band.from_ms);
        let to = self.x(band.to_ms.unwrap_or(self.now.mono_ms)).max(from + 1.5);
        let (class, kind) = match band.kind {
            BandKind::Unusual => ("unusual", "unusual"),
            BandKind::CameraFault => ("fault", "camera fault"),
            BandKind::Drift => ("drift", "drift"),
        };
        let _ = writeln!(
            svg,
            "<g class=\"band {class}\"><title>{kind}: {}</title><rect x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" \
             height=\"{}\"/></g>",
            escape(&band.label),
            to - from,
            BOTTOM - TOP,
        );
    }

    fn axes(&self, svg: &mut String) {
        let _ = writeln!(
            svg,
            "<line class=\"axis\" x1=\"{LEFT}\" y1=\"{BOTTOM}\" x2=\"{RIGHT}\" y2=\"{BOTTOM}\"/>"
        );
        for (height, text, name) in self.scale.ticks() {
            let y = self.y(height);
            let class = if name.is_empty() { "grid" } else { name };
            let _ = writeln!(
                svg,
                "<line class=\"{class}\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\"/>\
                 <text class=\"{class}\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>\
                 <text class=\"faint\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>",
                LEFT - 7.0,
                y + 2.0,
                LEFT - 7.0,
                y + 14.0,
            );
        }
        for fifth in 0..=5u64 {
            let age_ms = self.range.length_ms() / 5 * (5 - fifth);
            let x = LEFT + (RIGHT - LEFT) * fifth as f64 / 5.0;
            let anchor = if fifth == 5 { "end" } else { "middle" };
            let text =
                if fifth == 5 { "now".into() } else { format!("\u{2212}{}", length_ago(age_ms)) };
            let _ = writeln!(
                svg,
                "<text class=\"faint\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{text}</text>",
                HEIGHT - 10.0,
            );
        }
    }

    /// The spread of each column and a line through it; what is above the limit in another colour.
    fn curve(&self, svg: &mut String, columns: &[Column]) {
        let pause_ms = (self.range.length_ms() / COLUMNS as u64 * 3).max(12_000);
        let joined = |before: &Column, after: &Column| after.mono_ms - before.mono_ms <= pause_ms;
        let (mut line, mut ridge, mut spread) = (String::new(), String::new(), String::new());
        for run in columns.chunk_by(joined) {
            let at = |column: &Column, energy: f64| {
                let height = self.scale.height(energy, column.p);
                format!("{:.1} {:.1}", self.x(column.mono_ms), self.y(height))
            };
            let path = |energy: fn(&Column) -> f64| {
                let points: Vec<String> = run.iter().map(|c| at(c, energy(c))).collect();
                points.join("L")
            };
            let mut back: Vec<String> = run.iter().map(|c| at(c, c.low)).collect();
            back.reverse();
            let high = path(|column| column.high);
            let _ = write!(line, "M{}", path(|column| column.mean));
            let _ = write!(ridge, "M{high}");
            if self.view == View::Energy {
                let _ = write!(spread, "M{high}L{}Z", back.join("L"));
            }
        }
        for (class, path) in [("spread", &spread), ("curve", &line)] {
            let _ = writeln!(svg, "<path class=\"{class}\" d=\"{path}\"/>");
        }
        for (class, path) in [("spread over", &spread), ("curve over", &ridge)] {
            let _ =
                writeln!(svg, "<path class=\"{class}\" clip-path=\"url(#above)\" d=\"{path}\"/>");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::sample::{identity, lively};

    #[test]
    fn heights_rise_with_what_is_unusual_and_stay_in_the_picture() {
        let model = identity().model;
        let column =
            Column { mono_ms: 0, low: -3.0, mean: 1.0, high: 900.0, p: 0.005, frames: 9.0 };
        let scale = Scale::new(View::Energy, &model, &[column]);
        let heights = [-1e9, -2.0, 0.5, 4.5, 20.0, 900.0, 1e9].map(|e| scale.height(e, 1.0));
        assert!(heights.is_sorted() && heights[1] < heights[5], "{heights:?}");
        assert_eq!((heights[0], heights[6]), (0.0, 1.0));
        let scale = Scale::new(View::PValue, &model, &[]);
        let heights = [1.0, 0.5, 0.05, 0.005].map(|p| scale.height(0.0, p));
        assert!(heights.is_sorted() && heights[0] == 0.0 && heights[3] < 1.0, "{heights:?}");
    }

    #[test]
    fn both_views_draw_curve_limit_and_bands() {
        let (board, now) = lively();
        for range in Range::ALL {
            for view in [View::Energy, View::PValue] {
                let svg = svg(&board, range, view, now);
                assert_eq!(svg.matches("class=\"band unusual\"").count(), 1);
                assert_eq!(svg.matches("class=\"band fault\"").count(), 1);
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
                let limit = if view == View::Energy { "threshold" } else { "alpha" };
                assert!(svg.contains(&format!("<line class=\"{limit}\"")), "{svg}");
                assert!(svg.contains(">now</text>"));
            }
        }
    }

    #[test]
    fn an_empty_history_is_an_empty_plot() {
        let board = crate::status::Board::new(identity(), Stamp::default());
        let svg = svg(&board, Range::Day, View::Energy, Stamp::default());
        assert!(svg.contains("<path class=\"curve\" d=\"\"/>"), "{svg}");
    }
}
