//! Curves over epochs as inline SVG.

use std::fmt::Write as _;

pub const WIDTH: f64 = 380.0;
pub const HEIGHT: f64 = 220.0;
pub const LEFT: f64 = 54.0;
pub const TOP: f64 = 10.0;
pub const BOTTOM: f64 = 178.0;
/// Room for the names of the curves.
const RIGHT: f64 = 300.0;
/// Between two names.
const LINE: f64 = 26.0;

/// One curve.
pub struct Series {
    pub name: &'static str,
    /// Style class: `one` or `two`.
    pub class: &'static str,
    /// One value per epoch.
    pub values: Vec<f64>,
}

/// Draws curves over the same epochs, with axes and their ends named. Values that are not finite are
/// left out.
pub fn curves(series: &[Series]) -> String {
    let names: Vec<&str> = series.iter().map(|series| series.name).collect();
    let mut svg = open(&format!("{} per epoch", names.join(" and ")));
    let finite = || series.iter().flat_map(|s| &s.values).copied().filter(|v| v.is_finite());
    let axis = Axis::of(finite());
    axis.draw(&mut svg, RIGHT);
    let epochs = series.iter().map(|series| series.values.len()).max().unwrap_or(0);
    let x = |epoch: usize| match epochs {
        0 | 1 => (LEFT + RIGHT) / 2.0,
        _ => LEFT + (epoch - 1) as f64 / (epochs - 1) as f64 * (RIGHT - LEFT),
    };
    for epoch in epoch_ticks(epochs) {
        tick(&mut svg, x(epoch), &epoch.to_string());
    }
    title(&mut svg, (LEFT + RIGHT) / 2.0, "epoch");
    let mut ends = Vec::new();
    for Series { name, class, values } in series {
        let points = values.iter().enumerate().filter(|(_, value)| value.is_finite());
        let points: Vec<_> = points.map(|(i, value)| (x(i + 1), axis.y(*value), *value)).collect();
        let text: Vec<String> = points.iter().map(|(x, y, _)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(svg, "<polyline class=\"{class}\" points=\"{}\"/>", text.join(" "));
        if let Some(&(x, y, value)) = points.last() {
            let _ =
                writeln!(svg, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>");
            ends.push((y, x, *name, *class, value));
        }
    }
    label_ends(&mut svg, ends);
    svg.push_str("</svg>");
    svg
}

/// Names and values at the right, moved apart where they would touch.
fn label_ends(svg: &mut String, mut ends: Vec<(f64, f64, &str, &str, f64)>) {
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    // The value stands under its name, and above the epochs.
    let highest = BOTTOM - 14.0 - LINE * (ends.len().max(1) - 1) as f64;
    let mut free = TOP;
    for (i, (y, x, name, class, value)) in ends.into_iter().enumerate() {
        let at = y.clamp(free, highest + LINE * i as f64);
        free = at + LINE;
        let _ = writeln!(
            svg,
            "<text class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\">{name}</text><text x=\"{:.1}\" \
             y=\"{:.1}\">{}</text>",
            x + 9.0,
            at + 2.0,
            x + 9.0,
            at + 14.0,
            number(value)
        );
    }
}

/// Up to six epochs, the first and the last among them.
fn epoch_ticks(epochs: usize) -> Vec<usize> {
    let step = epochs.div_ceil(5).max(1);
    let mut ticks: Vec<usize> = (1..=epochs).step_by(step).collect();
    if let Some(last) = ticks.last_mut()
        && *last != epochs
    {
        if epochs - *last <= step / 2 && *last != 1 {
            *last = epochs;
        } else {
            ticks.push(epochs);
        }
    }
    ticks
}

/// A drawing with a description; the caller closes it.
pub fn open(label: &str) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\">\n")
}

/// A number under the lower edge.
pub fn tick(svg: &mut String, x: f64, text: &str) {
    let _ = writeln!(
        svg,
        "<text class=\"faint\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
        BOTTOM + 16.0
    );
}

/// What the numbers under the lower edge mean.
pub fn title(svg: &mut String, x: f64, text: &str) {
    let _ = writeln!(
        svg,
        "<text class=\"faint\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
        BOTTOM + 34.0
    );
}

/// A linear scale with round ticks.
pub struct Axis {
    pub ticks: Vec<f64>,
}

impl Axis {
    /// Covers all values; 0 to 1 of none.
    pub fn of(values: impl Iterator<Item = f64>) -> Axis {
        let span = values.fold(None, |span, v| match span {
            None => Some((v, v)),
            Some((low, high)) => Some((v.min(low), v.max(high))),
        });
        let (low, high) = span.unwrap_or((0.0, 1.0));
        let (low, high) = match high > low {
            true => (low, high),
            false if low == 0.0 => (-1.0, 1.0),
            false => (low - low.abs() / 2.0, low + low.abs() / 2.0),
        };
        // 1, 2 or 5 times a power of ten, so that there are three to eight ticks.
        let rough = (high - low) / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|m| m * power >= rough).unwrap_or(10.0);
        let step = step * power;
        let first = (low / step).floor();
        let count = ((high / step).ceil() - first).max(1.0) as usize;
        Axis { ticks: (0..=count).map(|i| (first + i as f64) * step).collect() }
    }

    fn share(&self, value: f64) -> f64 {
        let (low, high) = (self.ticks[0], self.ticks[self.ticks.len() - 1]);
        (value - low) / (high - low)
    }

    /// The height of a value.
    pub fn y(&self, value: f64) -> f64 {
        BOTTOM - self.share(value) * (BOTTOM - TOP)
    }

    /// A tick's value, with the digits that tell it from the next one.
    pub fn text(&self, value: f64) -> String {
        let step = self.ticks[1] - self.ticks[0];
        let digits = -step.log10().floor();
        if !(1.0..=8.0).contains(&digits) || value.abs() < step / 2.0 {
            return number(value);
        }
        format!("{value:.*}", digits as usize)
    }

    /// Lines across, with their values at the left.
    pub fn draw(&self, svg: &mut String, right: f64) {
        for value in &self.ticks {
            let y = self.y(*value);
            let _ = writeln!(
                svg,
                "<line class=\"axis\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>\
                 <text class=\"faint\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                self.text(*value)
            );
        }
    }
}

/// Four significant digits, without zeros at the end.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e6).contains(&size) {
        return format!("{value:.1e}");
    }
    let before = if size >= 1.0 { size.log10() as usize + 1 } else { 1 };
    let text = format!("{value:.*}", 4usize.saturating_sub(before) + usize::from(size < 0.1) * 2);
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    if text == "-0" { "0".to_string() } else { text.to_string() }
}
