use proptest::prelude::*;

use super::*;
use crate::camera::{Raw, RawFormat, SourceUri};
use crate::image::Rgb;

/// A source of numbered frames without end.
struct Numbers {
    seq: u64,
    content: fn(u64) -> Content,
}

impl FrameSource for Numbers {
    fn next_frame(&mut self, _: Duration) -> Result<Next, CameraError> {
        let seq = self.seq;
        self.seq += 1;
        Ok(Next::Frame(Frame { seq, name: format!("n/{seq}"), content: (self.content)(seq) }))
    }
}

fn file(seq: u64) -> Content {
    Content::File([seq.to_be_bytes(), [7; 8]].concat())
}

fn opener(content: fn(u64) -> Content) -> Opener {
    Box::new(move || Ok(Box::new(Numbers { seq: 0, content })))
}

/// What the first calls give; a source that is lost is opened again.
fn course(faults: &Faults, content: fn(u64) -> Content, calls: usize) -> Vec<Result<Next, String>> {
    let mut open = faults.around_without_waiting(opener(content));
    let mut source = None;
    let mut seen = Vec::new();
    while seen.len() < calls {
        let camera = match &mut source {
            Some(camera) => camera,
            None => match open() {
                Ok(opened) => source.insert(opened),
                Err(e) => {
                    assert_eq!(e.kind(), CameraErrorKind::Lost);
                    seen.push(Err(format!("refused: {e}")));
                    continue;
                }
            },
        };
        let next = camera.next_frame(Duration::from_secs(3600));
        if next.as_ref().is_err_and(|e| !e.is_passing()) {
            source = None;
        }
        seen.push(next.map_err(|e| e.to_string()));
    }
    seen
}

fn faults(text: &str) -> Faults {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn content(next: &Result<Next, String>) -> Option<&Content> {
    if let Ok(Next::Frame(frame)) = next { Some(&frame.content) } else { None }
}

#[test]
fn without_faults_nothing_changes() {
    for (seq, next) in course(&Faults::default(), file, 1000).iter().enumerate() {
        assert_eq!(content(next), Some(&file(seq as u64)));
    }
}

#[test]
fn each_fault_strikes_as_often_as_it_should() {
    const CALLS: usize = 20_000;
    let near = |count: usize, rate: f64| {
        let expected = rate * CALLS as f64;
        assert!((count as f64 - expected).abs() < 5.0 * expected.sqrt(), "{count} for {expected}");
    };
    let dropped = course(&faults("drop=0.1"), file, CALLS);
    near(dropped.iter().filter(|next| matches!(next, Ok(Next::Late))).count(), 0.1);

    let cut = course(&faults("truncate=0.05"), file, CALLS);
    near(cut.iter().filter(|next| content(next).is_some_and(|it| file_len(it) < 16)).count(), 0.05);

    let corrupt = course(&faults("corrupt=0.2"), file, CALLS);
    let altered = corrupt.iter().enumerate().filter(|(seq, next)| {
        let content = content(next).expect("corrupt frames are frames");
        assert_eq!(file_len(content), 16);
        *content != file(*seq as u64)
    });
    near(altered.count(), 0.2);
}

fn file_len(content: &Content) -> usize {
    let Content::File(bytes) = content else { panic!("{content:?} is no file") };
    bytes.len()
}

#[test]
fn a_freeze_repeats_a_frame_and_a_stall_is_silence_for_a_while() {
    let frozen = course(&faults("freeze=0.01,seed=3"), file, 20_000);
    let mut runs = Vec::new();
    let mut run = 1;
    for pair in frozen.windows(2) {
        if content(&pair[0]) == content(&pair[1]) {
            run += 1;
        } else {
            runs.push(run);
            run = 1;
        }
    }
    let longest = *runs.iter().max().unwrap();
    assert!((100..=MAX_FREEZE + 1).contains(&longest), "{longest}");
    assert!(runs.iter().filter(|&&run| run > 1).count() > 50);
    let seqs: Vec<u64> = frozen
        .iter()
        .map(|next| if let Ok(Next::Frame(frame)) = next { frame.seq } else { panic!("{next:?}") })
        .collect();
    assert!(seqs.iter().copied().eq(0..20_000), "a frozen camera goes on counting");

    let stalled = course(&faults("stall=0.01,seed=3"), file, 20_000);
    let silences: Vec<usize> = stalled
        .split(|next| matches!(next, Ok(Next::Frame(_))))
        .map(<[_]>::len)
        .filter(|&length| length > 0)
        .collect();
    assert!(silences.len() > 50 && silences.iter().any(|&length| length > 50), "{silences:?}");
}

#[test]
fn a_disconnected_camera_is_lost_and_for_a_while_not_there() {
    let seen = course(&faults("disconnect=0.02"), file, 5000);
    let told = |what: &str| {
        let told = |next: &&Result<Next, String>| next.as_ref().is_err_and(|e| e.contains(what));
        seen.iter().filter(told).count()
    };
    let (lost, refused) = (told("is disconnected"), told("refused"));
    assert!((60..150).contains(&lost) && refused > lost && refused < lost * 3, "{lost} {refused}");
    // Chance goes on when the camera is opened again: it does not fail at the same frame for ever.
    let lives: Vec<usize> = seen.split(Result::is_err).map(<[_]>::len).filter(|&n| n > 0).collect();
    assert!(lives.iter().collect::<std::collections::BTreeSet<_>>().len() > 10, "{lives:?}");
}

#[test]
fn faults_of_raw_and_drawn_pictures_are_not_torn_pictures() {
    fn raw(_: u64) -> Content {
        Content::Raw(Raw {
            format: RawFormat::Grey,
            width: 4,
            height: 4,
            stride: 4,
            bytes: vec![9; 16],
        })
    }
    fn drawn(_: u64) -> Content {
        Content::Picture(Rgb { width: 2, height: 2, pixels: vec![9; 12] })
    }
    let all = faults("truncate=0.3,corrupt=0.3");
    let (mut errors, mut pictures) = (0, 0);
    for next in course(&all, raw, 500) {
        let Ok(Next::Frame(frame)) = next else { panic!("{next:?}") };
        match frame.picture() {
            Ok(picture) => pictures += usize::from(picture.pixels.len() == 48),
            Err(_) => errors += 1,
        }
    }
    assert!(errors > 100 && errors + pictures == 500, "{errors} {pictures}");
    let cut = course(&all, drawn, 500);
    assert!(cut.iter().filter(|next| next.is_err()).count() > 100);
    assert!(
        cut.iter()
            .filter_map(content)
            .all(|it| { matches!(it, Content::Picture(picture) if picture.pixels.len() == 12) })
    );
}

#[test]
fn faults_go_around_any_source() {
    let source: SourceUri = "synth:3".parse().unwrap();
    let mut camera = faults("drop=1").around(source.opener())().unwrap();
    let mut calls = 0;
    while camera.next_frame(Duration::ZERO).unwrap() == Next::Late {
        calls += 1;
    }
    assert!(calls > 100, "every frame of the show is dropped, and then it ends");
}

#[test]
fn the_same_seed_is_the_same_course_and_rates_do_not_disturb_each_other() {
    let all =
        faults("drop=0.1,corrupt=0.1,truncate=0.1,freeze=0.01,stall=0.01,disconnect=0.01,seed=9");
    assert_eq!(course(&all, file, 3000), course(&all, file, 3000));
    assert_ne!(course(&all, file, 3000), course(&Faults { seed: 10, ..all }, file, 3000));
    let lates = |faults: &Faults| -> Vec<usize> {
        let seen = course(faults, file, 3000);
        (0..3000).filter(|&at| matches!(seen[at], Ok(Next::Late))).collect()
    };
    let drops = faults("drop=0.1");
    assert_eq!(lates(&drops), lates(&Faults { corrupt: 0.5, truncate: 0.2, ..drops }));
}

#[test]
fn texts_are_read_or_explained() {
    let text =
        "drop=0.01,corrupt=0.01,truncate=0.01,freeze=0.001,stall=0.001,disconnect=0.0005,seed=7";
    assert_eq!(faults(text).to_string(), text);
    assert_eq!(faults(""), Faults::default());
    for (text, names) in [
        ("dorp=1", "`dorp` is no fault; write drop, corrupt"),
        ("drop", "`` is no probability"),
        ("drop=1.5", "`1.5` is no probability"),
        ("drop=-0.1", "no probability"),
        ("drop=NaN", "no probability"),
        ("drop=0,drop=0", "given twice"),
        ("seed=-1", "below 2^64"),
    ] {
        let e = text.parse::<Faults>().unwrap_err();
        assert_eq!(e.kind(), CameraErrorKind::Spec);
        assert!(e.to_string().contains(names), "{e}");
    }
}

proptest! {
    #[test]
    fn faults_are_written_as_they_are_read(rates: [u16; 6], seed: u64) {
        let mut faults = Faults { seed, ..Faults::default() };
        for (name, rate) in NAMES.into_iter().zip(rates) {
            *faults.rate_mut(name).unwrap() = f64::from(rate) / 65_535.0;
        }
        prop_assert_eq!(faults.to_string().parse::<Faults>().unwrap(), faults);
    }
}
