use std::time::Duration;

use super::*;
use crate::camera::synth::world::World;

fn crc(picture: &Rgb) -> u32 {
    crc32fast::hash(&picture.pixels)
}

/// Mean absolute difference of two pictures, in grey levels.
fn difference(a: &Rgb, b: &Rgb) -> f64 {
    let sum: u64 = a.pixels.iter().zip(&b.pixels).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.pixels.len() as f64
}

fn spec(seed: u64) -> SynthSpec {
    SynthSpec { seed, count: 10 }
}

/// Computed once. A change here changes what `synth:SEED` means: every model that was fitted on it
/// must be fitted again.
#[test]
fn training_pictures_are_frozen() {
    let found = [(1, 0), (1, 1), (2, 0), (u64::MAX, 5)].map(|(s, i)| crc(&spec(s).draw(i)));
    assert_eq!(found, [0xeb1e3b27, 0x8998f841, 0xc451c82c, 0xc39caa06], "{found:#010x?}");
}

/// One frame in the middle of an episode of every kind.
#[test]
fn troubles_are_frozen() {
    let found = Kind::ALL.map(|kind| {
        let (show, episode) = first_show_with(kind);
        crc(&show.draw((episode.start + episode.end) / 2))
    });
    let frozen = [
        0xe32995e5, 0x5c954702, 0xa9fe4e33, 0xc4c25da6, 0x6708bcd4, 0x6712969d, 0x45f370e3,
        0x4b2a1b80, 0x78391e50, 0xb9405752, 0xcfce92ab, 0x1082a874, 0x3ab740c6, 0x9efef886,
        0x6dfa3ca6,
    ];
    assert_eq!(found, frozen, "{found:#010x?}");
}

fn first_show_with(kind: Kind) -> (Show, Episode) {
    (0..)
        .map(Show::new)
        .find_map(|show| {
            let episode = show.episodes().iter().find(|e| e.kind == kind)?.clone();
            Some((show, episode))
        })
        .unwrap()
}

#[test]
fn normal_pictures_differ() {
    let pictures: Vec<Rgb> =
        (0..12).map(|i| spec(3).draw(i)).chain((0..4).map(|i| spec(4).draw(i))).collect();
    for (i, a) in pictures.iter().enumerate() {
        assert_eq!((a.width, a.height, a.pixels.len()), (SIDE, SIDE, (SIDE * SIDE * 3) as usize));
        for b in &pictures[..i] {
            assert!(difference(a, b) > 2.0, "two pictures are alike");
        }
    }
}

#[test]
fn episodes_are_apart_and_every_group_appears() {
    for seed in 0..300 {
        let show = Show::new(seed);
        assert!((180..260).contains(&show.frames()), "seed {seed}: {} frames", show.frames());
        let mut free_from = 16;
        for episode in show.episodes() {
            assert!(episode.start >= free_from, "seed {seed}: {episode:?}");
            assert!(episode.end > episode.start, "seed {seed}: {episode:?}");
            free_from = episode.end + 9;
        }
        assert!(free_from - 9 < show.frames());
        let mut groups: Vec<Group> = show.episodes().iter().map(|e| e.kind.group()).collect();
        groups.sort();
        groups.dedup();
        assert_eq!(groups, [Group::Foreign, Group::Damage, Group::Lens, Group::Light]);
    }
}

#[test]
fn truth_is_the_timeline() {
    let show = Show::new(5);
    let told: u64 = (0..show.frames()).filter(|&f| show.truth(f).is_some()).count() as u64;
    let planned: u64 = show.episodes().iter().map(|e| e.end - e.start).sum();
    assert_eq!(told, planned);
    let first = &show.episodes()[0];
    assert_eq!(show.truth(first.start), Some(first));
    assert!(show.truth(first.start - 1).is_none() && show.truth(first.end).is_none());
}

/// The picture without its trouble is the yardstick: troubles show in the middle of their episode,
/// and nothing of them is left just outside of it.
#[test]
fn every_kind_is_visible_in_its_episode_and_only_there() {
    for kind in Kind::ALL {
        let (show, episode) = first_show_with(kind);
        let with = |frame| show.world.render(frame, Some(&episode.trouble(frame)));
        let without = |frame| show.world.render(frame, None);
        let middle = (episode.start + episode.end) / 2;
        let change = difference(&with(middle), &without(middle));
        assert!(change > 1.0, "{kind}: {change}");
        assert_eq!(show.draw(middle), with(middle));
        if kind.lies_on_belt() {
            for frame in [episode.start - 1, episode.end] {
                assert_eq!(with(frame), without(frame), "{kind} at {frame}");
            }
        }
    }
}

#[test]
fn the_camera_plays_the_show() {
    let show = Show::new(8);
    let mut camera = SynthCamera::once(8);
    let mut frames = 0;
    while let Next::Frame(frame) = camera.next_frame(Duration::ZERO).unwrap() {
        assert_eq!(frame.seq, frames);
        if frames == 30 {
            let content = Content::Picture(show.draw(30));
            assert_eq!((frame.name.as_str(), frame.content), ("synth:8/0030", content));
        }
        frames += 1;
    }
    assert_eq!(frames, show.frames());
}

#[test]
fn a_live_camera_goes_from_show_to_show_and_takes_its_time() {
    let mut camera = SynthCamera::live(8, 1000);
    let frames = Show::new(8).frames() + 1;
    let start = Instant::now();
    let mut last = None;
    let mut count = 0;
    while count < frames {
        match camera.next_frame(Duration::from_millis(5)).unwrap() {
            Next::Frame(frame) => {
                assert_eq!(frame.seq, count);
                count += 1;
                last = Some(frame.name);
            }
            Next::Late => {}
            Next::Ended => panic!("a live camera has no end"),
        }
    }
    assert_eq!(last.as_deref(), Some("synth:9/0000"));
    // The first one comes at once.
    assert!(start.elapsed() >= Duration::from_millis(frames - 1));
    let mut slow = SynthCamera::live(8, 1);
    assert!(matches!(slow.next_frame(Duration::ZERO).unwrap(), Next::Frame(_)));
    assert_eq!(slow.next_frame(Duration::from_millis(1)).unwrap(), Next::Late);
}

#[test]
fn time_shows_in_the_light() {
    let world = World::new(1);
    let level = |frame| {
        let picture = world.render(frame, None);
        picture.pixels[..3 * SIDE as usize].iter().map(|&p| u64::from(p)).sum::<u64>()
    };
    assert!(level(0).abs_diff(level(60)) > 100, "{} {}", level(0), level(60));
}

#[test]
fn specs_are_parsed_or_explained() {
    assert_eq!(
        "synth:7".parse::<SynthSpec>().unwrap(),
        SynthSpec { seed: 7, count: DEFAULT_COUNT }
    );
    assert_eq!("synth:7:20".parse::<SynthSpec>().unwrap(), SynthSpec { seed: 7, count: 20 });
    for (text, names) in [
        ("7", "no `synth:` prefix"),
        ("synth:", "seed ``"),
        ("synth:-1", "seed `-1`"),
        ("synth:1:", "count ``"),
        ("synth:1:0", "no pictures"),
        ("synth:1:2:3", "count `2:3`"),
        ("synth:99999999999999999999", "2^64"),
    ] {
        let error = text.parse::<SynthSpec>().unwrap_err();
        assert_eq!(error.kind(), CameraErrorKind::Spec);
        let message = error.to_string();
        assert!(message.contains(names) && message.contains("synth:1:500"), "{message}");
    }
}
