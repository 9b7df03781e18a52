//! Every key, once: where it stands, what it may be, when a change of it takes effect.

use super::Config;
use super::change::Reload::{Live, Restart};
use super::document::Document;
use super::keys::{Entry, Keys, Section};
use super::kind::{array, choice, list, number, optional, parsed, path, switch, text, whole};
use super::settings::*;
use super::value;
use crate::event::Phase;

/// Examples of the two keys that every file has.
const MODEL_DIR: &str = "dir = \"/var/lib/oddsight/model\"";
const SOURCE: &str = "source = \"v4l2:/dev/video0\"";

impl Config {
    /// Goes through all keys of all sections that are there, in the order of the file that `config init` writes.
    pub(super) fn visit(&mut self, keys: &mut Keys<'_>) {
        keys.top().key(Restart, "device", value::name("device"), &mut self.device);
        model(&mut keys.section("model"), &mut self.model);
        camera(&mut keys.section("camera"), &mut self.camera);
        quality(&mut keys.section("quality"), &mut self.quality);
        gate(&mut keys.section("gate"), &mut self.gate);
        keys.several("region", &mut self.regions, RegionSettings::default, region);
        pace(&mut keys.section("pace"), &mut self.pace);
        alarm(&mut keys.section("alarm"), &mut self.alarm);
        drift(&mut keys.section("drift"), &mut self.drift);
        learn(&mut keys.section("learn"), &mut self.learn);
        let journals = self.journal.dir.is_some();
        keys.outlet("journal", journals, |s| journal(s, &mut self.journal));
        let keeps = self.evidence.dir.is_some();
        keys.outlet("evidence", keeps, |s| evidence(s, &mut self.evidence));
        keys.several("gpio", &mut self.gpio, GpioSettings::default, gpio);
        let to_broker = || example_mqtt(&self.device);
        keys.optional("mqtt", &mut self.mqtt, to_broker, mqtt);
        keys.several("webhook", &mut self.webhooks, example_webhook, webhook);
        keys.several("hook", &mut self.hooks, example_hook, hook);
        keys.optional("http", &mut self.http, HttpSettings::default, http);
        log(&mut keys.section("log"), &mut self.log);
    }
}

/// What a file that names nothing else would send to.
pub(super) fn example_mqtt(device: &str) -> MqttSettings {
    MqttSettings::new(BrokerUrl::local(), device)
}

pub(super) fn example_webhook() -> WebhookSettings {
    WebhookSettings::new(WebUrl::local())
}

pub(super) fn example_hook() -> HookSettings {
    HookSettings::new(vec!["/usr/local/bin/on-event".into()])
}

/// All keys with the values that they have in `config`.
pub(super) fn entries(config: &Config) -> Vec<Entry> {
    let nothing = Document::empty();
    let mut keys = Keys::new(&nothing);
    config.clone().visit(&mut keys);
    keys.entries
}

fn model(s: &mut Section<'_, '_>, m: &mut ModelSettings) {
    s.required(Restart, "dir", path(), &mut m.dir, MODEL_DIR);
    s.key(Live, "alpha", optional(value::alpha()), &mut m.alpha);
    s.key(Restart, "threads", whole(1..=256, ""), &mut m.threads);
    s.key(Restart, "kernel", optional(parsed("a kernel of `oddsight doctor`")), &mut m.kernel);
    s.key(Restart, "public_key", optional(value::public_key()), &mut m.public_key);
    s.key(Restart, "failed_starts", whole(1..=100, ""), &mut m.failed_starts);
}

fn camera(s: &mut Section<'_, '_>, c: &mut CameraSettings) {
    s.required(Restart, "source", value::source(), &mut c.source, SOURCE);
    s.key(Restart, "stall_ms", whole(100..=600_000, "ms"), &mut c.stall_ms);
    s.key(Restart, "reopen_ms", whole(100..=600_000, "ms"), &mut c.reopen_ms);
    s.key(Restart, "reopen_most_ms", whole(100..=3_600_000, "ms"), &mut c.reopen_most_ms);
    s.key(Restart, "size", optional(value::size()), &mut c.size);
}

fn quality(s: &mut Section<'_, '_>, q: &mut QualitySettings) {
    s.key(Live, "frozen_frames", whole(0..=1_000_000, ""), &mut q.frozen_frames);
    s.key(Live, "black", whole(0..=255, ""), &mut q.black);
    s.key(Live, "saturated", whole(0..=255, ""), &mut q.saturated);
    s.key(Live, "bad_frames", whole(1..=10_000, ""), &mut q.bad_frames);
    s.key(Live, "good_frames", whole(1..=10_000, ""), &mut q.good_frames);
}

fn gate(s: &mut Section<'_, '_>, g: &mut GateSettings) {
    s.key(Live, "change", number(0.0..=255.0, ""), &mut g.change);
    s.key(Live, "floor_s", whole(1..=3600, "s"), &mut g.floor_s);
}

fn region(s: &mut Section<'_, '_>, r: &mut RegionSettings) {
    s.required(Restart, "name", value::name("region"), &mut r.name, "name = \"door\"");
    let at = array(number(0.0..=1.0, ""), "[left, top, width, height]");
    s.key(Restart, "at", at.checked(value::inside), &mut r.at);
    s.key(Restart, "tiles", array(whole(1..=16, ""), "[columns, rows]"), &mut r.tiles);
}

fn pace(s: &mut Section<'_, '_>, p: &mut PaceSettings) {
    s.key(Live, "max_fps", number(0.0..=1000.0, "fps"), &mut p.max_fps);
    s.key(Live, "hot_c", number(30.0..=120.0, "°C"), &mut p.hot_c);
    // By default as many when hot as when cool, if those are few.
    if p.max_fps > 0.0 {
        p.hot_fps = p.hot_fps.min(p.max_fps);
    }
    s.key(Live, "hot_fps", number(0.0..=1000.0, "fps"), &mut p.hot_fps);
}

fn alarm(s: &mut Section<'_, '_>, a: &mut AlarmSettings) {
    s.key(Live, "raise", whole(1..=1000, "frames"), &mut a.raise);
    s.key(Live, "window", whole(1..=1000, "frames"), &mut a.window);
    s.key(Live, "clear_p", number(0.0..=0.95, ""), &mut a.clear_p);
    s.key(Live, "clear_frames", whole(1..=10_000, "frames"), &mut a.clear_frames);
    s.key(Live, "min_s", number(0.0..=3600.0, "s"), &mut a.min_s);
    s.key(Live, "cooldown_s", whole(0..=86_400, "s"), &mut a.cooldown_s);
    s.key(Live, "budget_per_day", whole(0..=10_000, ""), &mut a.budget_per_day);
    s.key(Live, "update_s", whole(0..=86_400, "s"), &mut a.update_s);
    s.key(Live, "light_change", whole(0..=255, ""), &mut a.light_change);
    s.key(Live, "light_holdoff_s", whole(0..=3600, "s"), &mut a.light_holdoff_s);
}

fn drift(s: &mut Section<'_, '_>, d: &mut DriftSettings) {
    s.key(Live, "enabled", switch(), &mut d.enabled);
    s.key(Live, "every_s", whole(1..=86_400, "s"), &mut d.every_s);
    s.key(Live, "evidence", number(2.0..=1e9, ""), &mut d.evidence);
}

fn learn(s: &mut Section<'_, '_>, l: &mut LearnSettings) {
    s.key(Restart, "dir", optional(path()), &mut l.dir);
    s.key(Live, "minutes", number(0.1..=1440.0, "min"), &mut l.minutes);
    s.key(Restart, "button_line", optional(whole(0..=1023, "")), &mut l.button_line);
    s.key(Restart, "button_chip", value::chip(), &mut l.button_chip);
}

fn journal(s: &mut Section<'_, '_>, j: &mut JournalSettings) {
    s.required(Restart, "dir", optional(path()), &mut j.dir, "dir = \"/var/lib/oddsight/journal\"");
    s.key(Restart, "segment_mb", whole(1..=1024, "MB"), &mut j.segment_mb);
    s.key(Restart, "most_mb", whole(2..=1_048_576, "MB"), &mut j.most_mb);
    s.key(Restart, "scores", switch(), &mut j.scores);
    s.key(
        Restart,
        "fsync",
        choice(&[("message", Fsync::Message), ("never", Fsync::Never)]),
        &mut j.fsync,
    );
    s.key(Restart, "require_mount", optional(path()), &mut j.require_mount);
}

fn evidence(s: &mut Section<'_, '_>, e: &mut EvidenceSettings) {
    s.required(
        Restart,
        "dir",
        optional(path()),
        &mut e.dir,
        "dir = \"/var/lib/oddsight/evidence\"",
    );
    s.key(Restart, "quota_mb", whole(1..=16_777_216, "MB"), &mut e.quota_mb);
    s.key(Restart, "free_mb", whole(0..=16_777_216, "MB"), &mut e.free_mb);
    s.key(Restart, "before_s", number(0.0..=60.0, "s"), &mut e.before_s);
    s.key(Restart, "before_mb", whole(1..=512, "MB"), &mut e.before_mb);
    s.key(Restart, "after_s", number(0.0..=600.0, "s"), &mut e.after_s);
    s.key(Restart, "every_s", number(0.0..=3600.0, "s"), &mut e.every_s);
    s.key(Restart, "most_frames", whole(1..=100_000, "frames"), &mut e.most_frames);
    s.key(Restart, "require_mount", optional(path()), &mut e.require_mount);
}

fn gpio(s: &mut Section<'_, '_>, g: &mut GpioSettings) {
    const LEVELS: &[(&str, Level)] = &[("high", Level::High), ("low", Level::Low)];
    s.required(Restart, "line", whole(0..=1023, ""), &mut g.line, "line = 17");
    s.key(Restart, "backend", value::backend(), &mut g.backend);
    s.key(Restart, "chip", value::chip(), &mut g.chip);
    s.key(Restart, "active", choice(LEVELS), &mut g.active);
    s.key(Restart, "mode", choice(&[("hold", Mode::Hold), ("pulse", Mode::Pulse)]), &mut g.mode);
    s.key(Restart, "pulse_ms", whole(10..=60_000, "ms"), &mut g.pulse_ms);
    s.key(Restart, "safe", choice(LEVELS), &mut g.safe);
    let triggers = choice(&[("unusual", Trigger::Unusual), ("camera_fault", Trigger::CameraFault)]);
    s.key(Restart, "on", list(triggers).checked(|on| value::set(on)), &mut g.on);
}

fn mqtt(s: &mut Section<'_, '_>, m: &mut MqttSettings) {
    s.required(
        Restart,
        "url",
        value::url(&["mqtt", "mqtts"]),
        &mut m.url,
        "url = \"mqtt://broker.local:1883\"",
    );
    s.key(Restart, "prefix", value::topic(), &mut m.prefix);
    s.key(Restart, "client_id", optional(value::client_id()), &mut m.client_id);
    s.key(Restart, "user", optional(text("a text")), &mut m.user);
    s.key(Restart, "password_file", optional(path()), &mut m.password_file);
    s.key(Restart, "ca_file", optional(path()), &mut m.ca_file);
    s.key(Restart, "keep_alive_s", whole(5..=3600, "s"), &mut m.keep_alive_s);
    s.key(Restart, "timeout_ms", whole(100..=120_000, "ms"), &mut m.timeout_ms);
    outbox(s, &mut m.outbox);
}

fn webhook(s: &mut Section<'_, '_>, w: &mut WebhookSettings) {
    s.required(
        Restart,
        "url",
        value::url(&["http", "https"]),
        &mut w.url,
        "url = \"https://example.org/alarm\"",
    );
    s.key(Restart, "token_file", optional(path()), &mut w.token_file);
    s.key(Restart, "ca_file", optional(path()), &mut w.ca_file);
    s.key(Restart, "timeout_ms", whole(100..=120_000, "ms"), &mut w.timeout_ms);
    outbox(s, &mut w.outbox);
    phases(s, &mut w.phases);
}

fn hook(s: &mut Section<'_, '_>, h: &mut HookSettings) {
    let command = list(text("texts")).said("a list: the program and its arguments");
    s.required(
        Restart,
        "command",
        command.checked(|command| value::command(command)),
        &mut h.command,
        "command = [\"/usr/local/bin/on-event\"]",
    );
    s.key(Restart, "timeout_ms", whole(100..=600_000, "ms"), &mut h.timeout_ms);
    outbox(s, &mut h.outbox);
    phases(s, &mut h.phases);
}

fn outbox(s: &mut Section<'_, '_>, o: &mut OutboxSettings) {
    s.key(Restart, "queue", whole(1..=100_000, "messages"), &mut o.queue);
    s.key(Restart, "per_minute", whole(0..=100_000, "messages"), &mut o.per_minute);
}

fn phases(s: &mut Section<'_, '_>, phases: &mut Vec<Phase>) {
    let phase = choice(&[("start", Phase::Start), ("update", Phase::Update), ("end", Phase::End)]);
    s.key(Restart, "phases", list(phase).checked(|phases| value::set(phases)), phases);
}

fn http(s: &mut Section<'_, '_>, h: &mut HttpSettings) {
    s.key(Restart, "listen", value::listen(), &mut h.listen);
    s.key(Restart, "token_file", optional(path()), &mut h.token_file);
    s.key(Restart, "stale_s", whole(1..=86_400, "s"), &mut h.stale_s);
}

fn log(s: &mut Section<'_, '_>, l: &mut LogSettings) {
    const LEVELS: &[(&str, LogLevel)] =
        &[("warn", LogLevel::Warn), ("info", LogLevel::Info), ("debug", LogLevel::Debug)];
    s.key(Live, "level", choice(LEVELS), &mut l.level);
}
