//! The parts of the page that change: made here, for the first view and for every refresh alike.

use std::fmt::Write as _;

use super::below;
use super::words::{bytes, count, energy, escape, milliseconds, p_value, percent, signed};
use crate::event::Cause;
use crate::metrics::fault_name;
use crate::status::{HOT_C, Level, Said, State, Status, class_name, length};

/// All of them. Each has an id, by which the page finds the old one.
pub fn parts(status: &Status) -> [String; 4] {
    [banner(status), camera(status), numbers(status), below::rest(status)]
}

/// One glance tells whether the box works and what it sees.
fn banner(status: &Status) -> String {
    let health = &status.health;
    let silent = length(health.silent_s);
    let headline = match health.state {
        State::Normal => "Everything looks normal".into(),
        State::Starting => "Starting: no frame scored yet".into(),
        State::Unusual => unusual_headline(status),
        State::CameraFault => match &status.camera.fault {
            Some(fault) => format!("Camera fault: {}", fault_name(fault.fault).replace('_', " ")),
            None => "Camera fault".into(),
        },
        State::Blind => format!("Nobody is watching: no frame scored for {silent}"),
    };
    let fps = status.scoring.fps;
    let watching = match health.state {
        State::Blind => "Look at the camera and at the problems below.".to_string(),
        State::CameraFault if status.frame.is_some() => {
            format!("The last frame was scored {silent} ago.")
        }
        _ if status.frame.is_none() => format!("Up {}.", length(status.uptime_s)),
        _ => format!("{fps:.1} frames a second are scored, the last one {silent} ago."),
    };
    let mut part = format!(
        "<section id=\"live-banner\" class=\"banner\" data-state=\"{}\" role=\"status\">\n\
         <svg class=\"lamp\" viewBox=\"0 0 24 24\" aria-hidden=\"true\">{}</svg>\n\
         <div class=\"words\"><p class=\"headline\">{}</p><p class=\"watching\">{watching}</p></div>\n",
        health.state.name(),
        icon(health.state),
        escape(&headline),
    );
    if !health.problems.is_empty() {
        part.push_str("<ul class=\"problems\">\n");
        for problem in &health.problems {
            let level = match problem.level {
                Level::Bad => "bad",
                Level::Warn => "warn",
                Level::Note => "note",
            };
            let _ = writeln!(part, "<li class=\"{level}\">{}</li>", escape(&problem.text));
        }
        part.push_str("</ul>\n");
    }
    part + "</section>\n"
}

fn unusual_headline(status: &Status) -> String {
    let running = status.events.iter().find_map(|event| match &event.cause {
        Cause::Unusual(unusual) if event.is_on() => Some((event, unusual)),
        _ => None,
    });
    let Some((event, unusual)) = running else { return "Something is unusual".into() };
    let whole = status.identity.regions.len() == 1;
    let place = if whole { String::new() } else { format!(" in {}", unusual.region) };
    format!("Something is unusual{place}, for {}", length(event.length_s))
}

/// Paths of a 24 by 24 picture, drawn with strokes.
pub fn icon(state: State) -> &'static str {
    match state {
        State::Normal => "<path d=\"M6 12.5l4 4 8-9\"/>",
        State::Starting => "<path d=\"M7 12h.01M12 12h.01M17 12h.01\"/>",
        State::Unusual => "<path d=\"M12 6v7M12 17.5h.01\"/>",
        State::CameraFault => {
            "<path d=\"M5 9h2.5l1.5-2h6l1.5 2H19v8.500H5z\"/><path d=\"M5 5l14 14\"/>"
        }
        State::Blind => {
            "<path d=\"M4 12s3-5 8-5 8 5 8 5-3 5-8 5-8-5-8-5z\"/><path d=\"M6 6l12 12\"/>"
        }
    }
}

/// The newest frame with its regions.
fn camera(status: &Status) -> String {
    let Some(frame) = &status.frame else {
        return "<figure id=\"live-camera\" class=\"camera empty\"><div class=\"screen\">\
                <p>No frame was scored yet.</p></div></figure>\n"
            .into();
    };
    let regions = &status.identity.regions;
    let mut overlay = String::new();
    for (place, said) in regions.iter().zip(&frame.regions) {
        let [x, y, width, height] = place.at.map(|share| share * 100.0);
        if regions.len() == 1 && place.at == [0.0, 0.0, 1.0, 1.0] {
            continue;
        }
        let class = if said.unusual { "unusual" } else { "normal" };
        let name = escape(&place.name);
        let _ = writeln!(
            overlay,
            "<g class=\"{class}\"><rect x=\"{x:.2}%\" y=\"{y:.2}%\" width=\"{width:.2}%\" height=\"{height:.2}%\"/>\
             <text x=\"{x:.2}%\" y=\"{y:.2}%\" dx=\"6\" dy=\"15\">{name}</text></g>"
        );
    }
    let unusual = frame.regions.iter().any(|said| said.unusual);
    let class = if unusual { "unusual" } else { "normal" };
    let old = if status.health.silent_s > 5.0 { " old" } else { "" };
    format!(
        "<figure id=\"live-camera\" class=\"camera {class}{old}\" data-frame=\"{}\">\n<div class=\"screen\">\
         <img src=\"snapshot.jpg?frame={}\" alt=\"The last scored frame\"/>\
         <svg class=\"overlay\" aria-hidden=\"true\">{overlay}</svg>\
         <span class=\"stamp\">{} ago</span></div>\n</figure>\n",
        frame.number,
        frame.number,
        length(frame.age_s),
    )
}

/// Verdicts and figures beside the picture.
fn numbers(status: &Status) -> String {
    let mut part = String::from("<div id=\"live-numbers\" class=\"numbers\">\n");
    if let Some(frame) = &status.frame {
        let many = if status.identity.regions.len() > 2 { " many" } else { "" };
        let _ = writeln!(part, "<div class=\"verdicts{many}\">");
        for (place, said) in status.identity.regions.iter().zip(&frame.regions) {
            verdict(&mut part, status, &place.name, said);
        }
        part.push_str("</div>\n");
    }
    part.push_str("<div class=\"tiles\">\n");
    for (name, value, note) in tiles(status) {
        let hot = name == "temperature" && status.machine.temperature_c.is_some_and(|c| c >= HOT_C);
        let class = if hot { " warn" } else { "" };
        let _ = writeln!(
            part,
            "<div class=\"tile{class}\"><div class=\"name\">{name}</div><div class=\"value\">{value}</div>\
             <div class=\"note\">{}</div></div>",
            escape(&note)
        );
    }
    part + "</div>\n</div>\n"
}

fn verdict(part: &mut String, status: &Status, region: &str, said: &Said) {
    let model = &status.identity.model;
    // Both ends of the meter: p = 1 and the smallest p that there can be.
    let along = |p: f64| (p.ln() / model.smallest_p().ln() * 100.0).clamp(0.0, 100.0);
    let (at, alpha) = (along(said.p_value), along(model.alpha));
    let (class, word) = if said.unusual { ("unusual", "unusual") } else { ("normal", "normal") };
    let near = class_name(said.nearest.as_deref()).map_or(String::new(), |nearest| {
        format!("<span class=\"nearest\">nearest <b>{}</b></span>", escape(nearest))
    });
    let mut heads = String::new();
    for (head, share) in &said.heads {
        let _ = write!(heads, "<span>{head} {}</span>", signed(*share));
    }
    let _ = writeln!(
        part,
        "<div class=\"verdict {class}\"><div class=\"line\"><span class=\"region\">{}</span>\
         <span class=\"word\">{word}</span></div>\
         <div class=\"line\"><span class=\"big\">{}</span><span class=\"unit\">energy</span>\
         <span class=\"p\">p = {}</span>{near}<span class=\"heads\">{heads}</span></div>\
         <svg class=\"meter\" role=\"img\" aria-label=\"p on a log scale, from 1 at the left\">\
         <rect class=\"rail\" y=\"4\" width=\"100%\" height=\"6\" rx=\"3\"/>\
         <rect class=\"fill\" y=\"4\" width=\"{at:.1}%\" height=\"6\" rx=\"3\"/>\
         <rect class=\"alpha\" x=\"{alpha:.1}%\" y=\"0\" width=\"2\" height=\"14\" rx=\"1\"/>\
         <text y=\"26\">p = 1</text>\
         <text x=\"{alpha:.1}%\" y=\"26\" text-anchor=\"middle\">alpha {}</text>\
         <text x=\"100%\" y=\"26\" text-anchor=\"end\">{}</text></svg></div>",
        escape(region),
        energy(said.energy),
        p_value(said.p_value),
        p_value(model.alpha),
        p_value(model.smallest_p()),
    );
}

/// Name, value and note of each tile. Names and values are markup already.
fn tiles(status: &Status) -> Vec<(&'static str, String, String)> {
    let scoring = &status.scoring;
    let alpha = percent(status.identity.model.alpha);
    let hour = scoring.last_hour_frames;
    let share = scoring.last_hour_unusual as f64 / hour.max(1) as f64;
    let alarm = status.events.iter().find(|event| matches!(event.cause, Cause::Unusual(_)));
    let last =
        alarm.map_or("none yet".into(), |event| format!("the last {} ago", length(event.age_s)));
    let nothing = || "\u{2013}".to_string();
    let celsius = status.machine.temperature_c;
    vec![
        (
            "frames a second",
            format!("{:.1}", scoring.fps),
            format!("the camera gives {:.1}", status.camera.fps),
        ),
        (
            "picture to verdict",
            scoring.last_ms.map_or_else(nothing, milliseconds),
            scoring.mean_ms.map_or("".into(), |ms| format!("{} on the mean", milliseconds(ms))),
        ),
        (
            "unusual, last hour",
            if hour == 0 { nothing() } else { percent(share) },
            format!("of {}; alpha {alpha}", count(hour)),
        ),
        ("alarms", count(scoring.alarms), last),
        (
            "temperature",
            celsius.map_or_else(nothing, |c| format!("{c:.0} °C")),
            match status.machine.throttled {
                Some(bits) if bits & 0xf != 0 => "throttled".into(),
                Some(_) => "not throttled".into(),
                None => "of the hottest zone".into(),
            },
        ),
        (
            "memory",
            status.rss_bytes.map_or_else(nothing, bytes),
            format!("up {}", length(status.uptime_s)),
        ),
    ]
}
