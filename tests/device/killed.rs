//! `kill -9` at random moments. `ODDSIGHT_KILLS` sets how often in all.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use oddsight::image::encode_png;
use oddsight::model::Model;
use oddsight::model::self_test::picture;
use oddsight::model::store::Store;
use oddsight::random::Random;
use rustix::process::Signal;

use crate::camera::Show;
use crate::learning::learn_taught;
use crate::program::{Bench, Device, success};
use crate::scenes::{Taste, jpeg, scenes, write_model};
use crate::tiny;

fn kills() -> u64 {
    std::env::var("ODDSIGHT_KILLS").map_or(300, |text| text.parse().expect("a number"))
}

/// Runs a command of the program again and again, kills it at random moments, and has a look after each.
fn kill_often(
    bench: &Bench,
    count: u64,
    args: &dyn Fn(u64) -> Vec<String>,
    look: &mut dyn FnMut(),
) {
    let mut random = Random::new(1);
    let command = |args: Vec<String>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oddsight"));
        command
            .current_dir(bench.dir.path())
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    // As long as it takes here and now.
    let since = Instant::now();
    assert!(command(args(0)).status().unwrap().success());
    let mut whole = since.elapsed();
    let mut done = 0;
    for kill in 1..=count {
        let mut child = command(args(kill)).spawn().unwrap();
        let micros = random.below(u64::try_from(whole.as_micros()).unwrap() + 1);
        thread::sleep(Duration::from_micros(micros));
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        look();
        if ended.success() {
            done += 1;
            whole = whole.mul_f64(0.95);
        } else {
            whole = whole.mul_f64(1.01);
        }
    }
    assert!(done < count, "every run was over before it was killed");
}

#[test]
fn installations_that_are_killed_leave_a_model_in_use() {
    let bench = Bench::with_store();
    write_model(&bench.path("other"), 1, Taste::Blind);
    let args = |kill: u64| {
        let source = if kill.is_multiple_of(2) { "other" } else { "model" };
        ["model", "install", source, "--store", "store"].map(String::from).to_vec()
    };
    let store = Store::at(&bench.model);
    kill_often(&bench, kills() / 2, &args, &mut || {
        Model::open(&store.current().unwrap().dir).unwrap();
    });
    // What is left over is removed by the next one.
    success(&bench.command(&["model", "install", "model", "--store", "store"]));
    assert_eq!(fs::read_dir(bench.path("store/versions")).unwrap().count(), 2);
    assert!(!bench.path("store/candidate").exists());
}

#[test]
fn learning_that_is_killed_leaves_the_old_model_or_the_new_one() {
    let bench = Bench::new();
    let mut random = Random::new(2);
    for n in 0..300 {
        let mut scene = picture(7, [tiny::SIDE; 2]);
        for pixel in &mut scene.pixels {
            *pixel = (f64::from(*pixel) + random.range(-8.0, 8.0)).clamp(0.0, 255.0) as u8;
        }
        bench.write(&format!("taught/{n:03}.png"), encode_png(&scene));
    }
    let args = |_| learn_taught("learnt").map(String::from).to_vec();
    kill_often(&bench, kills() / 4, &args, &mut || {
        Model::open(&bench.path("learnt")).unwrap();
    });
    success(&bench.command(&learn_taught("learnt")));
    let left = fs::read_dir(bench.dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with('.')).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn devices_that_are_killed_start_again() {
    // Several at once: most of the time they only wait.
    let rounds = (kills() / 150).max(1);
    thread::scope(|scope| {
        for seed in 0..4 {
            scope.spawn(move || (0..rounds).for_each(|round| kill_a_device(seed * 1000 + round)));
        }
    });
}

/// Kills a device that learns, installs and takes over, and starts it again.
fn kill_a_device(seed: u64) {
    let mut random = Random::new(seed);
    let bench = Bench::with_store();
    let camera = bench.camera();
    let noise = scenes().normal.iter().chain(&scenes().unusual).cloned();
    camera.show(Show::Files(
        noise.chain((0..60).map(|n| jpeg(&picture(500 + n, [32, 24])))).collect(),
    ));
    let more = format!("[learn]\ndir = \"{}\"\nminutes = 0.1\n", bench.path("learnt").display());
    bench.config(&camera.source(), &more);
    let mut device = bench.start().ready();
    device.signal(Signal::USR1);
    device.wait_until_said("learning for 0.1 minutes");
    // Fitting begins six seconds later, and is over soon.
    thread::sleep(Duration::from_millis(5800 + random.below(1500)));
    device.kill();
    let store = Store::at(&bench.model);
    Model::open(&store.current().unwrap().dir).unwrap();
    for entry in fs::read_dir(bench.path("learnt")).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(name.starts_with('.') || Model::open(&path).is_ok(), "{name} is not whole");
    }
    let mut device = Device::start(&bench, |_| {}).ready();
    device.wait_for("frames", |device| (device.count("WATCHDOG=1") == 0).then_some(()));
    assert_eq!(device.stop().code, Some(0));
}
