//! Answers without sockets.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use super::*;
use crate::image::decode;
use crate::status::sample::{self, STALE, lively};

/// A clock that a test sets.
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Stamp {
        sample::at(self.0.load(Ordering::Relaxed))
    }
}

fn site() -> (Site, Arc<Hand>) {
    let (board, now) = lively();
    let clock = Arc::new(Hand(AtomicU64::new(now.mono_ms)));
    let guard = Guard::new(IpAddr::from([127, 0, 0, 1]), None).unwrap();
    (Site::new(Arc::new(board), clock.clone(), guard, STALE), clock)
}

fn get(site: &mut Site, target: &str) -> Response {
    let text = format!("GET {target} HTTP/1.1\r\nHost: localhost:8080\r\n\r\n");
    match crate::http::request::parse(text.as_bytes()) {
        crate::http::request::Parsed::Request(request) => site.answer(Ok(request)).0,
        other => panic!("{target}: {other:?}"),
    }
}

fn json(response: &Response) -> Value {
    serde_json::from_slice(response.body.bytes()).unwrap()
}

#[test]
fn every_address_answers_with_what_it_promises() {
    let (mut site, _) = site();
    for (target, status, content_type) in [
        ("/", 200, "text/html; charset=utf-8"),
        ("/?view=p&range=24h", 200, "text/html; charset=utf-8"),
        ("/live", 200, "text/html; charset=utf-8"),
        ("/status.json", 200, "application/json"),
        ("/energy.json", 200, "application/json"),
        ("/energy.json?after=-1", 400, "text/plain; charset=utf-8"),
        ("/energy.json?range=24h", 200, "application/json"),
        ("/energy.json?range=foo", 400, "text/plain; charset=utf-8"),
        ("/snapshot.jpg", 200, "image/jpeg"),
        ("/snapshot.jpg?frame=39", 200, "image/jpeg"),
        ("/snapshot.jpg?frame=1", 404, "text/plain; charset=utf-8"),
        ("/snapshot.jpg?frame=x", 400, "text/plain; charset=utf-8"),
        ("/snapshot.jpg?region=right", 200, "image/jpeg"),
        ("/snapshot.jpg?region=nowhere", 404, "text/plain; charset=utf-8"),
        ("/healthz", 200, "application/json"),
        ("/metrics", 200, "text/plain; version=0.0.4; charset=utf-8"),
        ("/icon.svg?state=normal", 200, "image/svg+xml"),
        ("/../etc/passwd", 404, "text/plain; charset=utf-8"),
        ("/status.json/", 404, "text/plain; charset=utf-8"),
    ] {
        let response = get(&mut site, target);
        assert_eq!((response.status, response.content_type), (status, content_type), "{target}");
    }
    let metrics = String::from_utf8(get(&mut site, "/metrics").body.bytes().to_vec()).unwrap();
    assert!(metrics.contains("oddsight_http_answers_total{class=\"4xx\"} 7\n"), "{metrics}");
}

#[test]
fn health_fails_without_frames_and_says_why() {
    let (mut site, clock) = site();
    assert_eq!(json(&get(&mut site, "/healthz"))["ok"], true);
    clock.0.store(134_000, Ordering::Relaxed);
    let response = get(&mut site, "/healthz");
    assert_eq!(response.status, 503);
    let health = json(&response);
    assert_eq!((&health["ok"], &health["state"]), (&false.into(), &"blind".into()));
    assert_eq!(health["problems"][0]["text"], "no frame was scored for 30 s");
}

#[test]
fn a_snapshot_is_the_frame_and_a_region_its_part() {
    let (mut site, _) = site();
    let whole = decode(get(&mut site, "/snapshot.jpg").body.bytes()).unwrap();
    assert_eq!((whole.width, whole.height), (32, 16));
    let part = decode(get(&mut site, "/snapshot.jpg?region=right").body.bytes()).unwrap();
    assert_eq!((part.width, part.height), (16, 8));
    let json = json(&get(&mut site, "/status.json"));
    let peak = json["events"][1]["frame"].as_u64().unwrap();
    assert_eq!(get(&mut site, &format!("/snapshot.jpg?frame={peak}")).status, 200);
}

#[test]
fn strangers_are_turned_away() {
    let (mut site, _) = site();
    let ask = |site: &mut Site, host: &str| {
        let request =
            Request { path: "/status.json".into(), host: Some(host.into()), ..Request::default() };
        site.answer(Ok(request)).0
    };
    assert_eq!(ask(&mut site, "evil.example").status, 403);
    assert_eq!(ask(&mut site, "localhost").status, 200);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("token"), "correct-horse-battery").unwrap();
    let everywhere = IpAddr::from([0, 0, 0, 0]);
    site.guard = Guard::new(everywhere, Some(&dir.path().join("token"))).unwrap();
    let refused = ask(&mut site, "box.example");
    assert_eq!(refused.status, 401);
    assert!(refused.headers.iter().any(|(name, _)| *name == "WWW-Authenticate"));
    let form = get(&mut site, "/");
    assert_eq!((form.status, form.content_type), (401, "text/html; charset=utf-8"));
    let page = get(&mut site, "/?token=correct-horse-battery");
    assert_eq!(page.status, 200);
    assert!(page.headers.iter().any(|(name, _)| *name == "Set-Cookie"));
    assert_eq!(get(&mut site, "/metrics?token=wrong").status, 401);
}

#[test]
fn other_methods_are_told_which_there_are() {
    let (mut site, _) = site();
    let refusal = Refusal { status: 405, why: "there is nothing here but to read" };
    let (response, head) = site.answer(Err(refusal));
    assert_eq!((response.status, head), (405, false));
    assert!(response.headers.contains(&("Allow", "GET, HEAD".into())));
}
