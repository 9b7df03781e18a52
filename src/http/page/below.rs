//! What stands below the plot: events, frames, receivers, storage, the model.

use std::fmt::Write as _;

use super::live::icon;
use super::words::{bytes, count, energy, escape, p_value, percent};
use crate::clock::utc;
use crate::event::Cause;
use crate::metrics::fault_name;
use crate::status::{EventStatus, FrameStatus, State, Status, class_name, length};

/// Events that are seen without unfolding the others.
const SHOWN: usize = 6;

/// Frames, events, and what stands behind the camera.
pub fn rest(status: &Status) -> String {
    let mut part = String::from("<div id=\"live-rest\">\n");
    events(&mut part, status);
    strip(&mut part, status);
    part.push_str("<div class=\"cards\">\n");
    sinks(&mut part, status);
    storage(&mut part, status);
    model(&mut part, status);
    part + "</div>\n</div>\n"
}

fn still(frame: u64, caption: &str, class: &str) -> String {
    format!(
        "<a class=\"still {class}\" href=\"snapshot.jpg?frame={frame}\" data-caption=\"{caption}\">\
         <img src=\"snapshot.jpg?frame={frame}\" alt=\"{caption}\" loading=\"lazy\"/></a>"
    )
}

fn strip(part: &mut String, status: &Status) {
    if status.strip.is_empty() {
        return;
    }
    part.push_str(
        "<section>\n<h2>Last two minutes <span class=\"note\">the most unusual frame of each ten \
         seconds</span></h2>\n<div class=\"strip\" id=\"strip\">\n",
    );
    for frame in &status.strip {
        let FrameStatus { number, age_s, .. } = frame;
        let Some((_, said)) = frame.worst() else { continue };
        let class = if said.unusual { "unusual" } else { "normal" };
        let (energy, p) = (energy(said.energy), p_value(said.p_value));
        let caption = format!("energy {energy}, p = {p}");
        let _ = writeln!(
            part,
            "<figure class=\"{class}\" id=\"strip-{number}\">{}<figcaption><b>{energy}</b> p = {p}\
             <br/>{} ago</figcaption></figure>",
            still(*number, &caption, class),
            length(*age_s),
        );
    }
    part.push_str("</div>\n</section>\n");
}

fn events(part: &mut String, status: &Status) {
    part.push_str("<section>\n<h2>Events</h2>\n");
    if status.events.is_empty() {
        part.push_str("<p class=\"none\">None since the start.</p>\n</section>\n");
        return;
    }
    let (newest, earlier) = status.events.split_at(status.events.len().min(SHOWN));
    part.push_str("<ol class=\"events\" id=\"events\">\n");
    newest.iter().for_each(|event| one_event(part, status, event));
    part.push_str("</ol>\n");
    if !earlier.is_empty() {
        part.push_str(
            "<details id=\"earlier\"><summary>Earlier ones</summary>\n<ol class=\"events\" id=\"earlier-events\">\n",
        );
        earlier.iter().for_each(|event| one_event(part, status, event));
        part.push_str("</ol>\n</details>\n");
    }
    part.push_str("</section>\n");
}

fn one_event(part: &mut String, status: &Status, event: &EventStatus) {
    let (class, state, what, how) = described(event);
    let on = if event.is_on() { " on" } else { "" };
    let tag = if event.is_on() { "<span class=\"tag\">goes on</span>" } else { "" };
    let picture = match event.frame {
        Some(frame) => still(frame, &how, class),
        None => {
            let icon = icon(state);
            format!("<span class=\"still sign\"><svg viewBox=\"0 0 24 24\">{icon}</svg></span>")
        }
    };
    let began = utc(status.at.utc_ms.saturating_sub((event.age_s * 1000.0) as i64));
    let time = began.get(11..19).unwrap_or(&began);
    let _ = writeln!(
        part,
        "<li class=\"event {class}{on}\" id=\"event-{id}\">{picture}<div class=\"what\">{what} {tag}</div>\
         <div class=\"how\">{how}</div><div class=\"when\"><time datetime=\"{began}\" data-age=\"{:.1}\">\
         {time} UTC</time>, {} ago, for {}</div></li>",
        event.age_s,
        length(event.age_s),
        length(event.length_s),
        id = event.event,
    );
}

/// Class, icon, headline and details of an event, as markup.
fn described(event: &EventStatus) -> (&'static str, State, String, String) {
    match &event.cause {
        Cause::Unusual(unusual) => {
            let near = class_name(unusual.nearest.as_deref());
            let near = near.map_or(String::new(), |name| format!(", nearest {}", escape(name)));
            let how = format!(
                "energy up to {}, p = {}; {} of {} frames unusual",
                energy(unusual.peak_energy),
                p_value(unusual.peak_p_value),
                unusual.unusual_frames,
                unusual.frames,
            );
            let what = format!("<b>Unusual</b> in {}{near}", escape(&unusual.region));
            ("unusual", State::Unusual, what, how)
        }
        Cause::CameraFault(fault) => {
            let kind = fault_name(fault.fault).replace('_', " ");
            let how = format!("{}; {} in all", escape(&fault.why), count(fault.count));
            ("fault", State::CameraFault, format!("<b>Camera fault</b>: {kind}"), how)
        }
        Cause::Drift(drift) => {
            let how = format!(
                "{:.0} to 1 after {} frames; mean p = {}",
                drift.evidence,
                count(drift.frames),
                p_value(drift.mean_p_value),
            );
            let what =
                format!("<b>Drift</b> in {}: what is normal has moved", escape(&drift.region));
            ("drift", State::Starting, what, how)
        }
    }
}

fn sinks(part: &mut String, status: &Status) {
    if status.sinks.is_empty() {
        return;
    }
    part.push_str(
        "<section class=\"card\">\n<h2>Where events go</h2>\n<table>\n<thead><tr><th>sink</th>\
         <th class=\"number\">delivered</th><th class=\"number\">waiting</th>\
         <th class=\"number\">dropped</th></tr></thead>\n<tbody>\n",
    );
    for sink in &status.sinks {
        let lamp = if sink.trouble.is_some() { "bad" } else { "good" };
        let dropped = if sink.dropped > 0 { " warn" } else { "" };
        let _ = writeln!(
            part,
            "<tr><td><span class=\"dot {lamp}\"></span>{}</td><td class=\"number\">{}</td>\
             <td class=\"number\">{}</td><td class=\"number{dropped}\">{}</td></tr>",
            escape(&sink.name),
            count(sink.delivered),
            count(sink.queued),
            count(sink.dropped),
        );
        if let Some(why) = &sink.trouble {
            let _ = writeln!(part, "<tr class=\"why\"><td colspan=\"4\">{}</td></tr>", escape(why));
        }
    }
    part.push_str("</tbody>\n</table>\n</section>\n");
}

fn storage(part: &mut String, status: &Status) {
    if status.storage.is_empty() {
        return;
    }
    part.push_str("<section class=\"card\">\n<h2>Storage</h2>\n");
    for store in &status.storage {
        let share = store.used_bytes as f64 / store.quota_bytes.max(1) as f64 * 100.0;
        let class = if store.trouble.is_some() { "bad" } else { "good" };
        let free = store.free_bytes.map_or(String::new(), |free| format!("{} free", bytes(free)));
        let note = store.trouble.as_ref().map_or(free, |why| escape(why));
        let _ = writeln!(
            part,
            "<div class=\"store {class}\"><div class=\"line\"><b>{}</b><span>{} of {}</span></div>\
             <svg class=\"meter\" aria-hidden=\"true\"><rect class=\"rail\" width=\"100%\" height=\"6\" rx=\"3\"/>\
             <rect class=\"fill\" width=\"{:.1}%\" height=\"6\" rx=\"3\"/></svg>\
             <div class=\"note\">{note}</div></div>",
            escape(&store.name),
            bytes(store.used_bytes),
            bytes(store.quota_bytes),
            share.min(100.0),
        );
    }
    part.push_str("</section>\n");
}

fn model(part: &mut String, status: &Status) {
    let model = &status.identity.model;
    let threshold = model.threshold.map_or("none can be reached".into(), energy);
    let synced = if status.at.clock_synced { "synchronised" } else { "not synchronised" };
    let now = utc(status.at.utc_ms);
    let mut rows = vec![
        ("model", model.name.clone()),
        ("heads", model.heads.join(" + ")),
        ("threshold", format!("energy {threshold}, at alpha {}", percent(model.alpha))),
        ("calibrated with", format!("{} frames", count(model.calibration as u64))),
        ("kernels", model.kernel.clone()),
        ("camera", status.identity.source.clone()),
        ("clock", format!("{} UTC, {synced}", now.get(..19).unwrap_or(&now).replace('T', " "))),
        ("oddsight", format!("{}, up {}", status.version, length(status.uptime_s))),
    ];
    for drift in &status.drift {
        let (region, evidence) = (&drift.region, drift.evidence);
        rows.push(("drift", format!("{region}: evidence {evidence:.1} to 1")));
    }
    part.push_str("<section class=\"card\">\n<h2>What watches</h2>\n<dl>\n");
    for (name, value) in rows {
        let _ = writeln!(part, "<dt>{name}</dt><dd>{}</dd>", escape(&value));
    }
    part.push_str("</dl>\n</section>\n");
}
