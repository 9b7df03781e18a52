use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::camera::{CameraErrorKind, Content};

fn at(mono_ms: u64) -> Stamp {
    Stamp { mono_ms, ..Stamp::default() }
}

fn error(kind: CameraErrorKind) -> CameraError {
    CameraError::new(kind, "it broke")
}

/// What a played source does when it is asked.
#[derive(Clone, Copy, Debug)]
enum Act {
    Frame,
    Late,
    End,
    Fail(CameraErrorKind),
}

struct Played {
    acts: VecDeque<Act>,
    seq: u64,
}

impl FrameSource for Played {
    fn next_frame(&mut self, _: Duration) -> Result<Next, CameraError> {
        match self.acts.pop_front().unwrap_or(Act::Late) {
            Act::Frame => {
                let seq = self.seq;
                self.seq += 1;
                let content = Content::File(Vec::new());
                Ok(Next::Frame(Frame { seq, name: String::new(), content }))
            }
            Act::Late => Ok(Next::Late),
            Act::End => Ok(Next::Ended),
            Act::Fail(kind) => Err(error(kind)),
        }
    }
}

/// Opens the plays one after the other; an empty one cannot be opened. Counts the attempts.
fn stage(plays: Vec<Vec<Act>>) -> (Opener, Arc<Mutex<u64>>) {
    let attempts = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&attempts);
    let mut plays = VecDeque::from(plays);
    let open = Box::new(move || {
        *counter.lock().unwrap() += 1;
        match plays.pop_front() {
            Some(acts) if !acts.is_empty() => {
                let played: Box<dyn FrameSource> = Box::new(Played { acts: acts.into(), seq: 0 });
                Ok(played)
            }
            _ => Err(error(CameraErrorKind::Missing)),
        }
    });
    (open, attempts)
}

const BACK_OFF: BackOff = BackOff { first_ms: 500, most_ms: 8000, stall_ms: 2000 };

/// Calls every 100 ms, and notes what is not nothing, with its time.
fn watch(camera: &mut Supervised, until_ms: u64) -> Vec<(u64, String)> {
    let mut notes = Vec::new();
    for now_ms in (0..until_ms).step_by(100) {
        let note = match camera.next(at(now_ms)) {
            Seen::Frame(frame) => format!("frame {}", frame.seq),
            Seen::Fault(kind, why) => format!("{kind:?}: {why}"),
            Seen::Nothing => continue,
            Seen::Ended => "end".to_string(),
        };
        notes.push((now_ms, note));
    }
    notes
}

fn starts(notes: &[(u64, String)]) -> Vec<&str> {
    notes.iter().map(|(_, note)| note.split([':', ';']).next().unwrap_or("")).collect()
}

#[test]
fn a_lost_camera_is_opened_again_and_frames_go_on_counting() {
    use Act::{Fail, Frame};
    let lost = Fail(CameraErrorKind::Lost);
    let (open, attempts) =
        stage(vec![vec![Frame, Frame, lost], vec![], vec![], vec![Frame, lost], vec![Frame]]);
    let mut camera = Supervised::new(open, BACK_OFF, 1);
    let notes = watch(&mut camera, 60_000);
    let expected = [
        "frame 0", "frame 1", "Lost", "Lost", "Lost", "frame 2", "Lost", "frame 3", "Stalled",
        "Lost",
    ];
    assert_eq!(starts(&notes)[..expected.len()], expected);
    assert!(notes[2].1.contains("it broke; opening it again in 0."), "{}", notes[2].1);
    // One pause and the next are never shorter than half of the longest.
    let times: Vec<u64> = notes[2..6].iter().map(|note| note.0).collect();
    assert!(
        times[1] - times[0] >= 250 && times[2] - times[1] >= 500 && times[3] - times[2] >= 1000
    );
    assert_eq!(*attempts.lock().unwrap(), camera.openings());
}

#[test]
fn pauses_double_up_to_the_longest_and_start_over_when_the_camera_is_well() {
    let (open, attempts) = stage(Vec::new());
    let mut camera = Supervised::new(open, BACK_OFF, 7);
    let notes = watch(&mut camera, 10 * 60_000);
    let pauses: Vec<u64> = notes.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    for (pause, longest) in
        pauses.iter().zip([500, 1000, 2000, 4000].into_iter().chain([8000; 500]))
    {
        // Calls come every 100 ms.
        assert!((longest / 2..=longest + 100).contains(pause), "{pause} for {longest}");
    }
    assert!(*attempts.lock().unwrap() <= 10 * 60_000 / 4000 + 4, "a hot loop");
    let spread: std::collections::BTreeSet<u64> = pauses[4..].iter().copied().collect();
    assert!(spread.len() > 10, "chance spreads the attempts: {spread:?}");
}

#[test]
fn a_camera_that_dies_after_each_frame_is_opened_ever_more_rarely_and_a_steady_one_soon() {
    let flapping = vec![vec![Act::Frame, Act::Fail(CameraErrorKind::Lost)]; 1000];
    let (open, attempts) = stage(flapping);
    watch(&mut Supervised::new(open, BACK_OFF, 1), 600_000);
    assert!(*attempts.lock().unwrap() < 160, "{attempts:?}");

    let mut steady = vec![Act::Frame; 300];
    steady.push(Act::Fail(CameraErrorKind::Lost));
    let (open, _) = stage(vec![steady; 20]);
    let notes = watch(&mut Supervised::new(open, BACK_OFF, 1), 600_000);
    for pair in notes.windows(2).filter(|pair| pair[0].1.starts_with("Lost: it broke")).take(19) {
        assert!(pair[1].0 - pair[0].0 <= 600, "{pair:?}");
    }
}

#[test]
fn silence_is_a_stall_and_the_first_frame_may_take_longer() {
    let (open, _) = stage(vec![vec![Act::Late], vec![Act::Frame, Act::Late], vec![Act::Frame]]);
    let mut camera = Supervised::new(open, BACK_OFF, 3);
    let notes = watch(&mut camera, 20_000);
    assert_eq!(starts(&notes)[..4], ["Stalled", "frame 0", "Stalled", "frame 1"]);
    assert_eq!(notes[0].0, 6000);
    assert_eq!(notes[2].0 - notes[1].0, 2000);
    assert!(notes[2].1.contains("no frame for 2.0 s"), "{}", notes[2].1);

    let (open, attempts) = stage(vec![vec![Act::Late]]);
    let patient = BackOff { stall_ms: 0, ..BACK_OFF };
    assert!(watch(&mut Supervised::new(open, patient, 3), 600_000).is_empty());
    assert_eq!(*attempts.lock().unwrap(), 1);
}

#[test]
fn faulty_frames_do_not_close_the_camera_but_nothing_else_for_long_does() {
    let cut = Act::Fail(CameraErrorKind::Cut);
    let (open, _) =
        stage(vec![vec![Act::Frame, cut, Act::Fail(CameraErrorKind::Picture), Act::Frame]]);
    let notes = watch(&mut Supervised::new(open, BACK_OFF, 1), 400);
    assert_eq!(starts(&notes), ["frame 0", "Truncated", "Undecodable", "frame 1"]);
    assert_eq!(notes[1].1, "Truncated: it broke");

    let (open, _) = stage(vec![[vec![Act::Frame], vec![cut; 100]].concat(), vec![Act::Frame]]);
    let mut camera = Supervised::new(open, BACK_OFF, 1);
    let notes = watch(&mut camera, 2100);
    assert_eq!(notes.len(), 21);
    assert_eq!(
        notes[20].1.split("; opening").next(),
        Some("Stalled: no whole frame for 2.0 s; the last trouble: it broke")
    );
}

#[test]
fn an_end_is_an_end_and_a_stored_source_is_not_repeated() {
    let (open, attempts) = stage(vec![vec![Act::Frame, Act::End], vec![Act::Frame]]);
    let mut camera = Supervised::new(open, BACK_OFF, 1);
    assert_eq!(starts(&watch(&mut camera, 400)), ["frame 0", "end", "end", "end"]);
    assert_eq!((*attempts.lock().unwrap(), camera.pause(at(400))), (1, Duration::ZERO));

    let dir = tempfile::tempdir().unwrap();
    let tar = dir.path().join("x.tar");
    std::fs::write(&tar, [7; 700]).unwrap();
    let source = SourceUri::Tar(tar);
    let mut camera = Supervised::over(&source, None, BackOff::default(), 1);
    let notes = watch(&mut camera, 300);
    assert_eq!(starts(&notes), ["Lost", "end", "end"]);
    assert!(notes[0].1.contains("x.tar"), "{}", notes[0].1);
}

#[test]
fn a_pause_says_how_long_nothing_will_come() {
    let (open, _) = stage(vec![vec![], vec![Act::Frame]]);
    let mut camera = Supervised::new(open, BACK_OFF, 5);
    assert_eq!(camera.pause(at(1000)), Duration::ZERO);
    assert!(matches!(camera.next(at(1000)), Seen::Fault(FaultKind::Lost, _)));
    let pause = camera.pause(at(1000));
    assert!((250..=500).contains(&pause.as_millis()), "{pause:?}");
    let due = 1000 + pause.as_millis() as u64;
    assert!(matches!(camera.next(at(due - 1)), Seen::Nothing));
    assert!(matches!(camera.next(at(due)), Seen::Frame(_)));
    assert_eq!(camera.pause(at(due)), Duration::ZERO);
}

fn any_act() -> impl Strategy<Value = Act> {
    use CameraErrorKind::{Cut, Lost, Missing, Picture, Read};
    prop_oneof![
        4 => Just(Act::Frame),
        2 => Just(Act::Late),
        2 => prop::sample::select(vec![Lost, Read, Missing, Cut, Picture]).prop_map(Act::Fail),
    ]
}

proptest! {
    /// Whatever the source does and however time jumps: numbers only rise, attempts are rare, and the same course gives
    /// the same answers.
    #[test]
    fn any_course_is_supervised(
        plays in prop::collection::vec(prop::collection::vec(any_act(), 0..20), 0..10),
        steps in prop::collection::vec(prop_oneof![0u64..500, 0u64..100_000], 1..200),
        first_ms in 0u64..2000, most_ms in 0u64..20_000, stall_ms in 0u64..5000, seed: u64,
    ) {
        let back_off = BackOff { first_ms, most_ms, stall_ms };
        let course = || {
            let (open, attempts) = stage(plays.clone());
            let mut camera = Supervised::new(open, back_off, seed);
            let (mut now_ms, mut last, mut faults, mut notes) = (0, None, 0u64, Vec::new());
            for step in &steps {
                let seen = camera.next(at(now_ms));
                match &seen {
                    Seen::Frame(frame) => {
                        assert!(last < Some(frame.seq), "{} after {last:?}", frame.seq);
                        last = Some(frame.seq);
                    }
                    Seen::Fault(..) => faults += 1,
                    Seen::Nothing | Seen::Ended => {}
                }
                notes.push(format!("{seen:?}"));
                let pause = camera.pause(at(now_ms)).as_millis() as u64;
                assert!(pause <= most_ms.max(1));
                now_ms += step;
            }
            let attempts = *attempts.lock().unwrap();
            // Each attempt but the first follows a fault that was told.
            assert!(attempts <= faults + 1 && attempts == camera.openings());
            notes
        };
        prop_assert_eq!(course(), course());
    }
}

#[test]
fn a_source_whose_frames_are_of_no_use_is_opened_again() {
    let (open, attempts) = stage(vec![vec![Act::Frame, Act::Frame], vec![Act::Frame]]);
    let mut camera = Supervised::new(open, BACK_OFF, 1);
    assert!(matches!(camera.next(at(0)), Seen::Frame(frame) if frame.seq == 0));
    camera.reopen(at(100));
    camera.reopen(at(200));
    assert_eq!(camera.pause(at(100)), Duration::from_millis(500));
    assert!(matches!(camera.next(at(599)), Seen::Nothing));
    assert!(matches!(camera.next(at(600)), Seen::Frame(frame) if frame.seq == 1));
    assert_eq!(*attempts.lock().unwrap(), 2);
}
