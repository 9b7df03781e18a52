//! One event, as everybody who is told of it sees it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use oddsight::event::{Message, Phase};
use oddsight::sink::evidence::{EVENT_FILE, EventFile};

use crate::broker::{Broker, present};
use crate::camera::Show;
use crate::program::{Bench, Device, wait_for};
use crate::scenes::scenes;

/// A web server that takes messages.
fn web() -> (u16, Arc<Mutex<Vec<Message>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let taken = Arc::new(Mutex::new(Vec::new()));
    let messages = taken.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = text.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            if reader.read_exact(&mut body).is_ok() {
                messages.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
                let answer = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
                let _ = reader.get_mut().write_all(answer.as_bytes());
            }
        }
    });
    (port, taken)
}

/// Many messages to a command that refuses each: the log says it once a minute.
#[test]
fn what_is_refused_again_and_again_is_told_once() {
    let bench = Bench::new();
    let camera = bench.camera();
    let hook = "[[hook]]\ncommand = [\"/bin/sh\", \"-c\", \"echo >> hooked; exit 9\"]\n\
                per_minute = 0\n";
    bench.config(&camera.source(), hook);
    let mut device = bench.start().ready();
    camera.show(Show::Unusual);
    wait_for("messages", || {
        let hooked = fs::read_to_string(bench.path("hooked")).unwrap_or_default();
        (hooked.lines().count() >= 4).then_some(())
    });
    let refused = device.wait_for("the log", |device| {
        let count = device.said().matches("refused for good").count();
        (count > 0).then_some(count)
    });
    assert_eq!(refused, 1, "{}", device.said());
    assert_eq!(device.stop().code, Some(0));
}

/// A disk that fell off leaves the folder that it was mounted on: nothing of the journal may go there.
#[test]
fn a_journal_waits_for_its_disk() {
    let bench = Bench::new();
    let camera = bench.camera();
    bench.config(&camera.source(), "[http]\nlisten = \"127.0.0.1:0\"\n");
    let usb = bench.path("usb");
    fs::create_dir(&usb).unwrap();
    let mut device = Device::start(&bench, |command| {
        command.env("ODDSIGHT_JOURNAL__DIR", usb.join("journal"));
        command.env("ODDSIGHT_JOURNAL__REQUIRE_MOUNT", &usb);
    })
    .ready();
    camera.show(Show::Unusual);
    let trouble = told(&mut device, "journal does not take events");
    assert!(trouble.contains("(journal.require_mount); mount it"), "{trouble}");
    assert_eq!(device.stop().code, Some(0));
    assert_eq!(fs::read_dir(&usb).unwrap().count(), 0);
}

/// What a webhook's address holds may be a secret: a box shows its host.
#[test]
fn the_address_of_a_webhook_is_shown_nowhere() {
    let bench = Bench::new();
    let camera = bench.camera();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let webhook = format!(
        "[[webhook]]\nurl = \"http://{nobody}/s3cret-path?token=s3cret\"\n\
         [http]\nlisten = \"127.0.0.1:0\"\n"
    );
    bench.config(&camera.source(), &webhook);
    let mut device = bench.start().ready();
    camera.show(Show::Unusual);
    let mut shown = told(&mut device, &format!("webhook does not take events: http://{nobody}: "));
    shown += &device.said();
    for path in ["/healthz", "/status.json", "/metrics", "/"] {
        shown += &device.get(path).1;
    }
    assert!(!shown.contains("s3cret"), "{shown}");
    assert_eq!(device.stop().code, Some(0));
}

/// Waits until `/healthz` says this, and gives all that it says.
fn told(device: &mut Device, what: &str) -> String {
    wait_for(what, || {
        let health = device.get("/healthz").1;
        health.contains(what).then_some(health)
    })
}

#[test]
fn everybody_hears_of_an_event_from_its_start_to_its_end() {
    let bench = Bench::new();
    let camera = bench.camera();
    let (port, web) = web();
    let broker = present(&["mosquitto", "mosquitto_sub", "mosquitto_pub"])
        .then(|| Broker::start("", |_| {}));
    let mut listener = broker.as_ref().map(Broker::listen);
    let hook = bench.write("hook", "#!/bin/sh\ncat >> hooked\necho >> hooked\n");
    rustix::fs::chmod(&hook, rustix::fs::Mode::from(0o755)).unwrap();
    let mut outlets = format!(
        "{lamp}[evidence]\ndir = \"{here}/evidence\"\nfree_mb = 0\nevery_s = 0.1\n\
         [[webhook]]\nurl = \"http://127.0.0.1:{port}/\"\n[[hook]]\ncommand = [\"{hook}\"]\n",
        lamp = bench.lamp_section(),
        here = bench.dir.path().display(),
        hook = hook.display(),
    );
    if let Some(broker) = &broker {
        outlets += &format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n", broker.port);
    }
    bench.config(&camera.source(), &outlets);
    let mut device = bench.start().ready();
    wait_for("some normal frames", || (camera.sent() > 10).then_some(()));
    camera.show(Show::Unusual);
    let alarm = device.alarm();
    wait_for("the lamp", || (bench.lamp() == "high").then_some(()));
    device.message("an update", |m| m.event == alarm.event && m.phase == Phase::Update);
    camera.show(Show::Normal);
    device.end_of(&alarm);
    wait_for("the lamp", || (bench.lamp() == "low").then_some(()));
    let is_end = |message: &Message| message.event == alarm.event && message.phase == Phase::End;
    wait_for("the end at the web server", || web.lock().unwrap().iter().any(is_end).then_some(()));
    wait_for("the end at the hook", || {
        let hooked = fs::read_to_string(bench.path("hooked")).unwrap_or_default();
        hooked.contains("\"phase\":\"end\"").then_some(())
    });
    assert_eq!(device.stop().code, Some(0));

    // All were told the same, in the same order.
    let journal = bench.messages();
    assert_eq!(*web.lock().unwrap(), journal);
    let hooked = fs::read_to_string(bench.path("hooked")).unwrap();
    let hooked = hooked.lines().filter(|line| !line.is_empty());
    let hooked: Vec<Message> = hooked.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(hooked, journal);
    if let Some(listener) = &mut listener {
        let mut heard = Vec::new();
        let (mut before, mut status) = (String::new(), String::new());
        while status != "offline" {
            let next = listener.next();
            match next.topic.as_str() {
                "oddsight/box/event" => {
                    heard.push(serde_json::from_str::<Message>(&next.payload).unwrap())
                }
                "oddsight/box/status" => before = std::mem::replace(&mut status, next.payload),
                other => panic!("{other}"),
            }
        }
        assert_eq!(before, "online");
        assert_eq!(heard, journal);
    }

    // The event's own folder: what it was, and the camera's own bytes from before, during and after.
    let folders = fs::read_dir(bench.path("evidence")).unwrap().map(|entry| entry.unwrap().path());
    let is_its = |path: &std::path::PathBuf| path.to_string_lossy().ends_with(alarm.event.as_str());
    let folder = folders.into_iter().find(is_its).expect("the event's folder");
    let file = EventFile::read(&folder.join(EVENT_FILE)).unwrap().unwrap();
    assert!(file.start.as_ref() == Some(&alarm) && file.last.is_some_and(|last| is_end(&last)));
    let first = alarm.started_ms;
    let before = file.frames.iter().filter(|frame| frame.at.mono_ms < first).count();
    assert!(before > 3 && file.frames.len() > before + 3, "{before} of {}", file.frames.len());
    for frame in &file.frames {
        let bytes = fs::read(folder.join(&frame.file)).unwrap();
        let known = scenes().normal.iter().chain(&scenes().unusual).any(|file| *file == bytes);
        assert!(known, "{} is not as the camera gave it", frame.file);
    }
}
