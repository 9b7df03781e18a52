//! The energy over time as inline SVG.

use std::fmt::Write as _;

use super::Setting;
use super::scorecard::{Said, Scorecard, Truth};
use super::seconds;

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 990.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 250.0;
/// Where the alarm marks stand, under the curve.
const ALARM_TOP: f64 = 258.0;
const ALARM_HEIGHT: f64 = 12.0;
const HEIGHT: f64 = 306.0;

/// Draws the whole run: truth as shaded bands, the energy, the threshold, and alarms as bars below.
pub fn timeline(setting: &Setting, tape: &[Said], scorecard: &Scorecard) -> String {
    let plot = Plot { setting, frames: tape.len().max(1) as f64 };
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"Energy of every frame against the threshold\">\n"
    );
    for outcome in &scorecard.outcomes {
        plot.band(&mut svg, &outcome.truth, outcome.alarm_after.is_some());
    }
    plot.axes(&mut svg);
    plot.curve(&mut svg, tape);
    plot.alarms(&mut svg, tape, scorecard);
    svg.push_str("</svg>\n");
    svg
}

struct Plot<'a> {
    setting: &'a Setting,
    frames: f64,
}

impl Plot<'_> {
    /// The left edge of a frame.
    fn x(&self, frame: f64) -> f64 {
        LEFT + frame / self.frames * (RIGHT - LEFT)
    }

    fn y(&self, energy: f64) -> f64 {
        BOTTOM - self.setting.scale.height(energy) * (BOTTOM - TOP)
    }

    fn band(&self, svg: &mut String, truth: &Truth, caught: bool) {
        let (from, to) = (self.x(truth.start as f64), self.x(truth.end as f64));
        let (class, outcome) = if caught { ("caught", "caught") } else { ("missed", "missed") };
        let height = BOTTOM - TOP;
        let _ = writeln!(
            svg,
            "<g class=\"band {class}\"><title>{} ({}), {:.1} to {:.1} s: {outcome}</title>\
             <rect x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{height}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text></g>",
            truth.kind,
            truth.kind.group(),
            seconds(truth.start),
            seconds(truth.end),
            to - from,
            (from + to) / 2.0,
            TOP - 8.0,
            short(truth),
        );
    }

    fn axes(&self, svg: &mut String) {
        let scale = self.setting.scale;
        let threshold = self.y(scale.threshold);
        let median = self.y(scale.median);
        let _ = writeln!(
            svg,
            "<line class=\"axis\" x1=\"{LEFT}\" y1=\"{BOTTOM}\" x2=\"{RIGHT}\" y2=\"{BOTTOM}\"/>\
             <line class=\"median\" x1=\"{LEFT}\" y1=\"{median:.1}\" x2=\"{RIGHT}\" y2=\"{median:.1}\"/>\
             <line class=\"threshold\" x1=\"{LEFT}\" y1=\"{threshold:.1}\" x2=\"{RIGHT}\" y2=\"{threshold:.1}\"/>"
        );
        for (energy, y, name) in
            [(scale.threshold, threshold, "threshold"), (scale.median, median, "median")]
        {
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{energy:.1}</text>\
                 <text class=\"faint\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>",
                LEFT - 6.0,
                y + 1.0,
                LEFT - 6.0,
                y + 12.0,
            );
        }
        let mut second = 0;
        while second as f64 <= seconds(self.frames as u64) {
            let x = self.x(second as f64 * super::FPS as f64);
            let _ = writeln!(
                svg,
                "<text class=\"faint\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{second} s</text>",
                HEIGHT - 14.0
            );
            second += 2;
        }
    }

    fn curve(&self, svg: &mut String, tape: &[Said]) {
        let at = |frame: usize| (self.x(frame as f64 + 0.5), self.y(tape[frame].energy));
        let mut points = String::new();
        for frame in 0..tape.len() {
            let (x, y) = at(frame);
            let _ = write!(points, "{x:.1},{y:.1} ");
        }
        let _ = writeln!(svg, "<polyline class=\"curve\" points=\"{}\"/>", points.trim_end());
        for (frame, said) in tape.iter().enumerate().filter(|(_, said)| said.unusual) {
            let (x, y) = at(frame);
            let _ = writeln!(
                svg,
                "<circle class=\"flag\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.6\"><title>frame {frame}: \
                 energy {:.1}, p = {:.4}</title></circle>",
                said.energy, said.p_value
            );
        }
    }

    /// A bar while the alarm is on, and a tick where it was raised.
    fn alarms(&self, svg: &mut String, tape: &[Said], scorecard: &Scorecard) {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">alarm</text>",
            LEFT - 6.0,
            ALARM_TOP + 10.0
        );
        let mut frame = 0;
        while frame < tape.len() {
            let length = tape[frame..].iter().take_while(|said| said.alarm.on).count();
            if length > 0 {
                let wrong = scorecard.false_alarms.contains(&(frame as u64));
                let _ = writeln!(
                    svg,
                    "<rect class=\"{}\" x=\"{:.1}\" y=\"{ALARM_TOP}\" width=\"{:.1}\" \
                     height=\"{ALARM_HEIGHT}\" rx=\"2\"><title>{} at {:.1} s</title></rect>",
                    if wrong { "false-alarm" } else { "alarm" },
                    self.x(frame as f64),
                    length as f64 / self.frames * (RIGHT - LEFT),
                    if wrong { "false alarm raised" } else { "alarm raised" },
                    seconds(frame as u64),
                );
            }
            frame += length + 1;
        }
    }
}

/// A label that fits above a band.
fn short(truth: &Truth) -> String {
    let name = truth.kind.to_string();
    let fits = |name: &str| name.len() as f64 * 6.0 < (truth.end - truth.start) as f64 * 5.5;
    match name.split_whitespace().next() {
        _ if fits(&name) => name,
        Some(first) => first.to_string(),
        None => name,
    }
}
