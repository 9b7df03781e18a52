//! Learning in place: heads fitted on the device to what a camera shows.

use oddsight::image::Rgb;
use oddsight::learn::{BLOCK_MS, CALIBRATION_FRAMES, FIT_FRAMES, LearnErrorKind, Learner};
use oddsight::model::{Model, Scorer, self_test::picture};
use oddsight::random::Random;

#[path = "support/directory.rs"]
mod directory;
#[path = "support/tiny.rs"]
mod tiny;

/// A model of the tiny network with these heads.
fn model(heads: &oddsight::energy::float::Heads) -> Model {
    let blob = directory::blob(&tiny::onnx(tiny::Tail::Legacy), heads);
    let dir = tempfile::tempdir().unwrap();
    directory::write(dir.path());
    std::fs::write(dir.path().join("heads.postcard"), blob.to_bytes()).unwrap();
    Model::open(dir.path()).unwrap()
}

/// A scene of this camera: one picture under a light that changes and with noise.
fn scene(random: &mut Random, gain: f64) -> Rgb {
    let mut scene = picture(7, [tiny::SIDE; 2]);
    let light = gain * random.range(0.9, 1.1);
    for pixel in &mut scene.pixels {
        *pixel = (f64::from(*pixel) * light + random.range(-8.0, 8.0)).clamp(0.0, 255.0) as u8;
    }
    scene
}

/// Shows a learner `frames` scenes, ten a second.
fn watch(learner: &mut Learner, scorer: &mut Scorer, frames: u64, random: &mut Random) {
    for frame in 0..frames {
        let features = scorer.features(&scene(random, 1.0)).unwrap();
        learner.add(&features, 5_000 + frame * 100);
    }
}

#[test]
fn what_a_camera_shows_becomes_normal() {
    let base = model(&directory::every_head(tiny::WIDTH));
    let mut scorer = base.scorer().unwrap();
    let mut random = Random::new(3);
    let mut learner = Learner::new(base.clone(), 1);
    watch(&mut learner, &mut scorer, 1800, &mut random);
    let learnt = learner.finish().unwrap();
    assert_eq!(learnt.frames, [1200, 600], "two blocks of three are fitted to");
    assert_eq!(learnt.unrefined.len(), 3);
    let new = base.with_heads(learnt.blob).unwrap();
    let mut scorer = new.scorer().unwrap();
    let mut flagged = |gain: f64, frames: u32| -> u32 {
        (0..frames)
            .map(|_| u32::from(scorer.score(&scene(&mut random, gain)).unwrap().unusual))
            .sum()
    };
    // 1,000 frames at alpha 0.05, of a threshold that 600 frames gave: 50 ± 9 (one deviation).
    let normal = flagged(1.0, 1000);
    assert!((15..90).contains(&normal), "{normal} of 1000 normal frames");
    let dark = flagged(0.4, 100);
    assert!(dark >= 95, "{dark} of 100 frames under another light");
}

#[test]
fn too_few_frames_are_refused_with_the_numbers() {
    let base = model(&directory::every_head(tiny::WIDTH));
    let mut scorer = base.scorer().unwrap();
    let mut learner = Learner::new(base, 1);
    watch(&mut learner, &mut scorer, 210, &mut Random::new(3));
    let progress = learner.progress();
    assert_eq!((progress.fit_frames, progress.calibration_frames, progress.wanted), (200, 10, 19));
    let refused = learner.finish().unwrap_err();
    assert_eq!(refused.kind(), LearnErrorKind::TooFew);
    assert!(
        refused.to_string().contains("200 frames") && refused.to_string().contains("minutes"),
        "{refused}"
    );
}

/// A covariance of few more frames than features would call every new frame unusual.
#[test]
fn a_mixture_wants_more_frames_than_features() {
    let base = Model::open("models/demo-conveyor".as_ref()).unwrap();
    let mut scorer = base.scorer().unwrap();
    let mut learner = Learner::new(base, 1);
    let features: Vec<_> =
        (0..50).map(|seed| scorer.features(&picture(seed, [64; 2])).unwrap()).collect();
    (0..300).for_each(|frame| learner.add(&features[frame % 50], frame as u64 * 100));
    let refused = learner.finish().unwrap_err();
    assert_eq!(refused.kind(), LearnErrorKind::TooFew);
    assert!(refused.to_string().contains("200 frames to fit to"), "{refused}");
    assert!(refused.to_string().contains("256 (for 128 features)"), "{refused}");
}

#[test]
fn one_picture_again_and_again_is_refused() {
    let base = model(&directory::every_head(tiny::WIDTH));
    let features = base.scorer().unwrap().features(&picture(7, [tiny::SIDE; 2])).unwrap();
    let mut learner = Learner::new(base, 1);
    (0..900).for_each(|frame| learner.add(&features, frame * 100));
    let refused = learner.finish().unwrap_err();
    assert_eq!(refused.kind(), LearnErrorKind::Fit);
    assert!(refused.to_string().contains("the same"), "{refused}");
}

#[test]
fn a_long_watch_takes_no_more_memory() {
    let base = model(&directory::heads());
    let mut scorer = base.scorer().unwrap();
    let mut learner = Learner::new(base, 1);
    let features: Vec<_> =
        (1..50).map(|seed| scorer.features(&picture(seed, [16, 16])).unwrap()).collect();
    let grown = |learner: &mut Learner, blocks: std::ops::Range<u64>| {
        allocation_counter::measure(|| {
            for mono_ms in (blocks.start * BLOCK_MS..blocks.end * BLOCK_MS).step_by(10) {
                learner.add(&features[(mono_ms / 10 % 49) as usize], mono_ms);
            }
        })
        .bytes_current
    };
    let filling = grown(&mut learner, 0..12);
    assert!(filling > 0);
    let progress = learner.progress();
    assert!(
        progress.fit_frames as usize > FIT_FRAMES
            && progress.calibration_frames as usize > CALIBRATION_FRAMES
    );
    assert_eq!(grown(&mut learner, 12..60), 0);
}
