//! The Prometheus text format (version 0.0.4).

use std::fmt::{Display, Write as _};
use std::sync::atomic::Ordering::Relaxed;

use super::{FAULTS, FrameResult, Metrics, Times, fault_name};
use crate::event::Cause;
use crate::status::{Status, StorageStatus};

/// Everything as Prometheus reads it.
pub fn text(metrics: &Metrics, status: &Status) -> String {
    let mut page = Page { text: String::with_capacity(8192), family: "" };
    program(&mut page, status);
    frames(&mut page, metrics, status);
    energy(&mut page, metrics, status);
    events(&mut page, metrics, status);
    sinks(&mut page, status);
    storage(&mut page, status);
    machine(&mut page, metrics, status);
    page.text
}

fn program(page: &mut Page, status: &Status) {
    let model = &status.identity.model;
    page.family("oddsight_info", "gauge", "What runs here; always 1.");
    let labels = [
        ("version", status.version),
        ("device", &status.identity.device),
        ("model", &model.name),
        ("kernel", &model.kernel),
    ];
    page.sample(&labels, 1);
    page.gauge("oddsight_uptime_seconds", "Time since the program started.", status.uptime_s);
    let ok = u8::from(status.health.ok);
    page.gauge("oddsight_healthy", "1 while frames are scored, as in /healthz.", ok);
    let age = status.health.silent_s;
    page.gauge(
        "oddsight_last_frame_age_seconds",
        "Time since a frame was scored, or since the start.",
        age,
    );
    let synced = u8::from(status.at.clock_synced);
    page.gauge("oddsight_clock_synced", "1 while the wall clock is synchronised.", synced);
}

fn frames(page: &mut Page, metrics: &Metrics, status: &Status) {
    page.gauge("oddsight_camera_fps", "Frames per second of the camera.", status.camera.fps);
    page.gauge("oddsight_scored_fps", "Scored frames per second.", status.scoring.fps);
    page.family("oddsight_frames_total", "counter", "Frames of the camera by what became of them.");
    for result in FrameResult::ALL {
        page.sample(&[("result", result.name())], metrics.frames(result));
    }
    page.family("oddsight_camera_opens_total", "counter", "Times that the camera was opened.");
    page.sample(&[], metrics.opens.load(Relaxed));
    page.family(
        "oddsight_camera_faults_total",
        "counter",
        "Faulty frames and failed attempts to open the camera.",
    );
    for (kind, counter) in FAULTS.into_iter().zip(&metrics.faults) {
        page.sample(&[("fault", fault_name(kind))], counter.load(Relaxed));
    }
    page.family("oddsight_camera_fault", "gauge", "1 for the camera fault that goes on.");
    let fault = status.camera.fault.as_ref().map(|fault| fault.fault);
    for kind in FAULTS {
        page.sample(&[("fault", fault_name(kind))], u8::from(fault == Some(kind)));
    }
    let help = "Age of a scored frame when it was taken up.";
    page.histogram("oddsight_frame_wait_seconds", help, &metrics.wait_times());
    let help = "Time from picture to verdict.";
    page.histogram("oddsight_inference_seconds", help, &metrics.inference_times());
}

fn energy(page: &mut Page, metrics: &Metrics, status: &Status) {
    let regions = &status.identity.regions;
    let said = status.frame.as_ref().map_or(&[][..], |frame| &frame.regions);
    page.family("oddsight_energy", "gauge", "Energy of the last frame; larger is more unusual.");
    for (place, said) in regions.iter().zip(said) {
        page.sample(&[("region", &place.name)], said.energy);
    }
    page.family("oddsight_p_value", "gauge", "Share of normal frames at least as unusual.");
    for (place, said) in regions.iter().zip(said) {
        page.sample(&[("region", &place.name)], said.p_value);
    }
    let model = &status.identity.model;
    page.gauge("oddsight_alpha", "False-alarm rate per frame.", model.alpha);
    if let Some(threshold) = model.threshold {
        let help = "Energy above which a frame is unusual.";
        page.gauge("oddsight_energy_threshold", help, threshold);
    }
    let help = "Scored frames with an unusual region.";
    page.family("oddsight_unusual_frames_total", "counter", help);
    page.sample(&[], metrics.unusual_frames.load(Relaxed));
    page.family("oddsight_drift_evidence_ratio", "gauge", "Evidence of drift, as a betting gain.");
    for drift in &status.drift {
        page.sample(&[("region", &drift.region)], drift.evidence);
    }
}

fn events(page: &mut Page, metrics: &Metrics, status: &Status) {
    page.family("oddsight_alarms_total", "counter", "Unusual events.");
    page.sample(&[], metrics.alarms());
    page.family("oddsight_events_total", "counter", "Events of any cause.");
    page.sample(&[], metrics.events.load(Relaxed));
    let on = status.events.iter().filter(|e| e.is_on() && matches!(e.cause, Cause::Unusual(_)));
    page.gauge("oddsight_unusual_events", "Unusual events that go on.", on.count());
}

fn sinks(page: &mut Page, status: &Status) {
    type Count = fn(&crate::status::SinkStatus) -> u64;
    let families: [(&str, &str, &str, Count); 4] = [
        ("oddsight_sink_delivered_total", "counter", "Items that a sink took.", |s| s.delivered),
        ("oddsight_sink_dropped_total", "counter", "Items that were given up.", |s| s.dropped),
        ("oddsight_sink_failed_total", "counter", "Attempts that failed.", |s| s.failed),
        ("oddsight_sink_queued", "gauge", "Items that wait.", |s| s.queued),
    ];
    for (name, kind, help, count) in families {
        page.family(name, kind, help);
        for sink in &status.sinks {
            page.sample(&[("sink", &sink.name)], count(sink));
        }
    }
}

fn storage(page: &mut Page, status: &Status) {
    page.family(
        "oddsight_storage_bytes",
        "gauge",
        "Bytes of a store: used, quota, free beside it.",
    );
    for StorageStatus { name, used_bytes, quota_bytes, free_bytes, .. } in &status.storage {
        page.sample(&[("store", name), ("kind", "used")], used_bytes);
        page.sample(&[("store", name), ("kind", "quota")], quota_bytes);
        if let Some(free) = free_bytes {
            page.sample(&[("store", name), ("kind", "free")], free);
        }
    }
}

fn machine(page: &mut Page, metrics: &Metrics, status: &Status) {
    if let Some(celsius) = status.machine.temperature_c {
        page.gauge("oddsight_temperature_celsius", "Of the hottest thermal zone.", celsius);
    }
    if let Some(bits) = status.machine.throttled {
        let help = "Throttling flags of the Raspberry Pi firmware.";
        page.gauge("oddsight_throttled", help, bits);
    }
    if let Some(bytes) = status.rss_bytes {
        page.gauge("oddsight_rss_bytes", "Memory that the program occupies.", bytes);
    }
    page.family("oddsight_http_answers_total", "counter", "Answers of the HTTP server.");
    for (digit, counter) in metrics.answers.iter().enumerate().skip(2) {
        page.sample(&[("class", &format!("{digit}xx"))], counter.load(Relaxed));
    }
}

/// The text so far. A family comes before its samples, which are named after it.
struct Page {
    text: String,
    family: &'static str,
}

impl Page {
    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.family = name;
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.suffixed("", labels, value);
    }

    fn suffixed(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.text, "{}{suffix}", self.family);
        for (i, (name, text)) in labels.iter().enumerate() {
            let start = if i == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{start}{name}=\"{}\"", escape(text));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{end} {value}");
    }

    /// A family of one sample without labels.
    fn gauge(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(&[], value);
    }

    fn histogram(&mut self, name: &'static str, help: &str, times: &Times) {
        self.family(name, "histogram", help);
        for (bound_ms, count) in &times.buckets {
            let bound = format!("{}", *bound_ms as f64 / 1000.0);
            self.suffixed("_bucket", &[("le", &bound)], count);
        }
        self.suffixed("_bucket", &[("le", "+Inf")], times.count);
        self.suffixed("_sum", &[], times.sum_s);
        self.suffixed("_count", &[], times.count);
    }
}

/// A label's value between quotes.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::status::sample;

    #[test]
    fn every_line_is_a_comment_or_a_sample_of_the_family_before_it() {
        let (board, at) = sample::lively();
        let status = board.status(at, sample::STALE);
        let text = text(board.metrics(), &status);
        let (mut families, mut samples, mut family) = (HashSet::new(), HashSet::new(), "");
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                family = help.split_once(' ').unwrap().0;
                assert!(families.insert(family), "{family} twice");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert_eq!(name, family);
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
            } else {
                let (name, value) = line.rsplit_once(' ').unwrap();
                assert!(name.starts_with(family), "{line}");
                assert!(value.parse::<f64>().is_ok(), "{line}");
                assert!(samples.insert(name), "{name} twice");
            }
        }
        for line in [
            "oddsight_frames_total{result=\"scored\"} 40",
            "oddsight_energy{region=\"left \\\"a\\\\b\\\"\"} 6.5",
            "oddsight_alarms_total 1",
            "oddsight_camera_fault{fault=\"frozen\"} 1",
            "oddsight_inference_seconds_bucket{le=\"0.01\"} 40",
            "oddsight_inference_seconds_count 40",
            "oddsight_sink_dropped_total{sink=\"mqtt\"} 2",
            "oddsight_storage_bytes{store=\"evidence\",kind=\"quota\"} 1000000000",
            "oddsight_temperature_celsius 61.5",
            "oddsight_healthy 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
