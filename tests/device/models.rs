//! Models that are installed, refused, given up and signed, while the program runs and when it starts.

use std::fs;
use std::process::{Command, Output};

use oddsight::event::Phase;
use oddsight::model::HEADS_FILE;
use oddsight::model::store::Store;
use rustix::process::Signal;

use crate::camera::Show;
use crate::program::{
    Bench, Device, assert_whole, failure, find, is_unusual, skip, success, wait_for,
};
use crate::scenes::{Taste, scenes, write_model};

const PAGE: &str = "[http]\nlisten = \"127.0.0.1:0\"\n";

fn install(bench: &Bench, name: &str, version: u64, taste: Taste, more: &[&str]) -> Output {
    write_model(&bench.path(name), version, taste);
    bench.command(&[&["model", "install", name, "--config", "device.toml"], more].concat())
}

fn model_in_use(device: &mut Device) -> String {
    device.status()["model"]["name"].as_str().unwrap().to_string()
}

#[test]
fn a_new_model_is_taken_over_while_pictures_are_scored() {
    let bench = Bench::with_store();
    fs::create_dir(bench.path("pictures")).unwrap();
    bench.config(&format!("dir:{}", bench.path("pictures").display()), PAGE);
    let mut device = bench.start().ready();
    // A picture each 20 ms, unusual ones all the time: the event goes on over the change.
    let mut count = 0;
    let mut put = || {
        let file = &scenes().unusual[count % 4];
        bench.write("coming/now", file);
        fs::rename(bench.path("coming/now"), bench.path(&format!("pictures/{count:05}.jpg")))
            .unwrap();
        count += 1;
    };
    let alarm = device.wait_for("an alarm", |_| {
        put();
        bench.messages().into_iter().find(is_unusual)
    });
    success(&install(&bench, "new", 2, Taste::Good, &[]));
    wait_for("the new model", || {
        put();
        model_in_use(&mut device).ends_with("model 2").then_some(())
    });
    (0..20).for_each(|_| put());
    wait_for("all pictures", || {
        let scored = device.status()["scoring"]["last_hour_frames"].as_u64().unwrap() as usize;
        (scored == count).then_some(())
    });
    assert_eq!(device.stop().code, Some(0));
    let mut names: Vec<String> = bench.scores().into_iter().map(|line| line.name).collect();
    names.sort();
    assert_eq!(names.len(), count);
    names.dedup();
    assert_eq!(names.len(), count, "each picture once");
    let messages = bench.messages();
    assert_whole(&messages);
    assert!(
        messages.iter().all(|message| message.event == alarm.event),
        "one event, before and after"
    );
}

#[test]
fn a_model_that_sees_otherwise_decides_from_then_on() {
    let bench = Bench::with_store();
    let camera = bench.camera();
    bench.config(&camera.source(), PAGE);
    let mut device = bench.start().ready();
    camera.show(Show::Unusual);
    let alarm = device.alarm();
    success(&install(&bench, "blind", 2, Taste::Blind, &[]));
    device.end_of(&alarm);
    assert!(model_in_use(&mut device).ends_with("model 2"));
    // And back, while it runs.
    device.mark();
    let said = success(&bench.command(&["model", "back", "--config", "device.toml"]));
    assert!(said.contains("model 1, version 1"), "{said}");
    device.alarm();
    assert!(model_in_use(&mut device).ends_with("model 1"));
    assert_eq!(device.stop().code, Some(0));
    assert_whole(&bench.messages());
}

#[test]
fn a_model_that_fails_its_self_test_never_comes_into_use() {
    let bench = Bench::with_store();
    let camera = bench.camera();
    bench.config(&camera.source(), PAGE);
    let mut device = bench.start().ready();
    let (code, why) = failure(&install(&bench, "broken", 2, Taste::Broken, &[]));
    assert_eq!(code, Some(1));
    assert!(why.contains("self-test"), "{why}");
    // Somebody puts it there by hand.
    write_model(&bench.path("store/versions/000007"), 7, Taste::Broken);
    let link = |number: &str| {
        std::os::unix::fs::symlink(format!("versions/{number}"), bench.path("store/.by-hand"))
            .unwrap();
        fs::rename(bench.path("store/.by-hand"), bench.path("store/current")).unwrap();
    };
    link("000007");
    device.wait_until_said("the new model is not used");
    assert!(device.said().contains("self-test"), "{}", device.said());
    camera.show(Show::Unusual);
    device.alarm();
    assert!(model_in_use(&mut device).ends_with("model 1"));
    link("000001");
    assert_eq!(device.stop().code, Some(0));
}

#[test]
fn a_model_that_this_device_cannot_use_is_refused() {
    let bench = Bench::with_store();
    let camera = bench.camera();
    bench.config(&camera.source(), "[[region]]\nname = \"door\"\ntiles = [2, 1]\n");
    let (code, why) = failure(&install(&bench, "coarse", 2, Taste::Coarse, &[]));
    assert_eq!(code, Some(1));
    assert!(why.contains("model.alpha") && why.contains("39 frames"), "{why}");
    assert_eq!(Store::at(&bench.model).current().unwrap().number, 1);
}

#[test]
fn starts_that_fail_bring_the_previous_model_back() {
    let bench = Bench::with_store();
    let camera = bench.camera();
    bench.config(&camera.source(), PAGE);
    success(&install(&bench, "new", 2, Taste::Good, &[]));
    let two_fail = |command: &mut Command| {
        command.env("ODDSIGHT_MODEL__FAILED_STARTS", "2");
    };
    let start = || Device::start(&bench, two_fail);

    // None of these is the model's fault: nothing to score, a port in use, a broken line.
    camera.show(Show::Silence);
    for _ in 0..3 {
        assert_eq!(start().ready().stop().code, Some(0));
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for _ in 0..3 {
        let start = |command: &mut Command| {
            two_fail(command);
            command.env("ODDSIGHT_HTTP__LISTEN", format!("127.0.0.1:{port}"));
        };
        assert_eq!(Device::start(&bench, start).ended().code, Some(1));
    }
    assert_eq!(Store::at(&bench.model).current().unwrap().number, 2);

    // A card that has gone bad under the new model is.
    let heads = bench.path("store/versions/000002").join(HEADS_FILE);
    let whole = fs::read(&heads).unwrap();
    fs::write(&heads, &whole[..whole.len() / 2]).unwrap();
    for _ in 0..2 {
        let ended = start().ended();
        assert_eq!(ended.code, Some(1));
        assert!(ended.said.contains(HEADS_FILE), "{}", ended.said);
    }
    camera.show(Show::Normal);
    let mut device = start().ready();
    assert!(device.said().contains("back to model 1"), "{}", device.said());
    assert!(model_in_use(&mut device).ends_with("model 1"));
    assert_eq!(device.stop().code, Some(0));
    let list = success(&bench.command(&["model", "list", "--config", "device.toml"]));
    assert!(
        list.contains("current:  model 1, version 1") && list.contains("previous: none"),
        "{list}"
    );
}

/// Whatever the configuration asks of it, a good model is not given up for that.
#[test]
fn a_model_that_does_not_go_with_the_configuration_stays_installed() {
    let bench = Bench::with_store();
    let camera = bench.camera();
    bench.config(&camera.source(), PAGE);
    write_model(&bench.path("coarse"), 2, Taste::Coarse);
    success(&bench.command(&["model", "install", "coarse", "--store", "store"]));
    let start = |alpha: &str| {
        Device::start(&bench, |command| {
            command.env("ODDSIGHT_MODEL__ALPHA", alpha);
        })
    };
    // No model can do that.
    for _ in 0..4 {
        let ended = start("0.0001").ended();
        assert_eq!(ended.code, Some(78), "{}", ended.said);
    }
    // The one before can do this.
    for _ in 0..4 {
        let mut device = start("0.02").ready();
        assert!(device.said().contains("error: model 2 is not used: "), "{}", device.said());
        assert!(model_in_use(&mut device).ends_with("model 1"));
        let (status, health) = device.get("/healthz");
        assert_eq!(status, 200);
        assert!(health.contains("model 2 is not used: model.alpha"), "{health}");
        assert_eq!(device.stop().code, Some(0));
    }
    assert_eq!(Store::at(&bench.model).current().unwrap().number, 2);
    let mut device = start("0.05").ready();
    assert!(model_in_use(&mut device).ends_with("model 2"));
    assert!(!device.get("/healthz").1.contains("is not used"));
    assert_eq!(device.stop().code, Some(0));

    // Nor is a start wanted for it once the configuration is mended.
    let path = bench.path("device.toml");
    let text = fs::read_to_string(&path).unwrap();
    let with_alpha = |alpha: &str| {
        fs::write(&path, text.replace("[camera]", &format!("alpha = {alpha}\n[camera]"))).unwrap();
    };
    with_alpha("0.02");
    let mut device = bench.start().ready();
    assert!(model_in_use(&mut device).ends_with("model 1"));
    with_alpha("0.05");
    device.signal(Signal::HUP);
    wait_for("model 2", || model_in_use(&mut device).ends_with("model 2").then_some(()));
    assert!(!device.get("/healthz").1.contains("is not used"));
    assert_eq!(device.stop().code, Some(0));
}

/// Power that fails while there is no camera says nothing about a model.
#[test]
fn a_model_without_a_camera_is_not_given_up() {
    let bench = Bench::with_store();
    bench.config("pipe:false", PAGE);
    success(&install(&bench, "new", 2, Taste::Good, &[]));
    for _ in 0..4 {
        let mut device = bench.start().ready();
        device.wait_until_said("camera_fault");
        wait_for("the start not to count", || {
            let state = fs::read_to_string(bench.path("store/state.json")).unwrap();
            state.contains("\"failed_starts\":0").then_some(())
        });
        device.kill();
    }
    assert_eq!(Store::at(&bench.model).current().unwrap().number, 2);
}

#[test]
fn versions_do_not_go_back_by_themselves() {
    let bench = Bench::with_store();
    bench.config("synth:1", "");
    success(&install(&bench, "new", 5, Taste::Good, &[]));
    let (code, why) = failure(&install(&bench, "old", 4, Taste::Good, &[]));
    assert_eq!(code, Some(1));
    assert!(why.contains("4 is older than 5") && why.contains("--force"), "{why}");
    // A state that was lost does not help.
    fs::write(bench.path("store/state.json"), "{").unwrap();
    let (_, why) = failure(&install(&bench, "old", 4, Taste::Good, &[]));
    assert!(why.contains("4 is older than 5"), "{why}");
    success(&install(&bench, "old", 4, Taste::Good, &["--force"]));
    let list = success(&bench.command(&["model", "list", "--store", "store", "--json"]));
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!((&list["current"]["version"], &list["previous"]["version"]), (&4.into(), &5.into()));
    let said = success(&bench.command(&["model", "back", "--store", "store"]));
    assert!(said.contains("version 5"), "{said}");

    let said = success(&bench.command(&["model", "manifest", "old", "--version", "6"]));
    assert!(said.contains("version 6, 2 files"), "{said}");
    let said = success(&bench.command(&["model", "install", "old", "--store", "store"]));
    assert!(said.contains("version 6"), "{said}");
    // A store is a model wherever one is wanted.
    bench.write("picture.jpg", &scenes().normal[0]);
    success(&bench.command(&["score", "--model", "store", "picture.jpg"]));
}

#[test]
fn only_one_model_is_installed_at_a_time_and_only_into_a_store() {
    let bench = Bench::with_store();
    let versions = fs::File::open(bench.path("store/versions")).unwrap();
    versions.lock().unwrap();
    let install = ["model", "install", "model", "--store", "store"];
    let (code, why) = failure(&bench.command(&install));
    assert_eq!(code, Some(1));
    assert!(why.contains("another model is being installed"), "{why}");
    drop(versions);
    success(&bench.command(&install));
    let (_, why) = failure(&bench.command(&["model", "install", "model", "--store", "model"]));
    assert!(why.contains("is a model directory"), "{why}");
    let (_, why) = failure(&bench.command(&["model", "back", "--store", "nowhere"]));
    assert!(why.contains("model install"), "{why}");
}

#[test]
fn a_store_that_cannot_be_written_to_is_no_reason_not_to_watch() {
    let bench = Bench::with_store();
    let camera = bench.camera();
    bench.config(&camera.source(), PAGE);
    // Where the file of the state should be, there is something that cannot be replaced.
    let _ = fs::remove_file(bench.path("store/state.json"));
    fs::create_dir_all(bench.path("store/state.json/in/the/way")).unwrap();
    let mut device = bench.start().ready();
    assert!(device.said().contains("failed starts are not counted"), "{}", device.said());
    camera.show(Show::Unusual);
    device.alarm();
    device.signal(Signal::HUP);
    assert_eq!(device.stop().code, Some(0));
    assert!(bench.messages().iter().any(|message| message.phase == Phase::End));
}

#[test]
fn signed_models_are_wanted_once_there_is_a_key() {
    let Some(minisign) = find("minisign") else {
        return skip("minisign is not installed (Debian: minisign)");
    };
    let bench = Bench::with_store();
    let sign = |args: &[&str]| {
        let output =
            Command::new(&minisign).current_dir(bench.dir.path()).args(args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    for name in ["ours", "theirs"] {
        sign(&["-G", "-W", "-p", &format!("{name}.pub"), "-s", &format!("{name}.key")]);
    }
    let key = fs::read_to_string(bench.path("ours.pub")).unwrap();
    let key = key.lines().nth(1).unwrap();
    bench.config("synth:1", "");
    let text = fs::read_to_string(bench.path("device.toml")).unwrap();
    bench.write(
        "device.toml",
        text.replace("[camera]", &format!("public_key = \"{key}\"\n[camera]")),
    );

    let refused = |more: &[&str]| {
        let args = [&["model", "install", "new", "--config", "device.toml"], more].concat();
        let (code, why) = failure(&bench.command(&args));
        assert_eq!(code, Some(1));
        assert_eq!(Store::at(&bench.model).current().unwrap().number, 1);
        why
    };
    write_model(&bench.path("new"), 2, Taste::Good);
    assert!(refused(&[]).contains("minisign -Sm manifest.json"));
    assert!(refused(&["--force"]).contains("minisign -Sm manifest.json"), "no signature by force");
    let manifest = bench.path("new/manifest.json");
    let manifest = manifest.to_str().unwrap();
    sign(&["-S", "-s", "theirs.key", "-m", manifest]);
    assert!(refused(&[]).contains("not a signature of this manifest by the configured key"));
    sign(&["-S", "-s", "ours.key", "-m", manifest]);
    let heads = bench.path("new").join(HEADS_FILE);
    let whole = fs::read(&heads).unwrap();
    let mut altered = whole.clone();
    altered[40] ^= 1;
    fs::write(&heads, altered).unwrap();
    assert!(refused(&[]).contains("altered or exchanged"));
    fs::write(&heads, whole).unwrap();
    let said = success(&bench.command(&["model", "install", "new", "--config", "device.toml"]));
    assert!(said.contains("model 2, version 2"), "{said}");

    // A model directory without a store is held to it at each start.
    let start = |model: &str| {
        Device::start(&bench, |command| {
            command.env("ODDSIGHT_MODEL__DIR", bench.path(model));
        })
    };
    let ended = start("model").ended();
    assert_eq!(ended.code, Some(1));
    assert!(ended.said.contains("minisign"), "{}", ended.said);
    assert_eq!(start("new").ready().stop().code, Some(0));
}
