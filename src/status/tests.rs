//! What a reader sees after what the main loop did.

use super::sample::{self, STALE, at, frame, lively, message, unusual, verdict};
use super::*;
use crate::event::Fault;

#[test]
fn a_status_holds_what_was_told() {
    let (board, now) = lively();
    let status = board.status(now, STALE);
    assert_eq!(status.identity.source, "pipe:ffmpeg -i rtsp://…@cam/1 -");
    assert_eq!((status.health.ok, status.health.state), (true, State::CameraFault));
    let said = status.frame.as_ref().unwrap();
    assert_eq!((said.number, said.worst().unwrap().0), (39, 0));
    assert!((said.age_s - 0.3).abs() < 1e-9);
    // Four whole seconds since the first frame.
    assert_eq!(status.scoring.fps, 10.0);
    assert_eq!(status.camera.fps, 10.25);
    assert_eq!((status.scoring.last_hour_frames, status.scoring.last_hour_unusual), (40, 15));
    assert_eq!(status.scoring.alarms, 1);
    assert_eq!(status.events.len(), 2);
    assert_eq!(status.events[1].frame, Some(38), "its largest energy so far");
    assert!(status.strip.is_empty(), "its ten seconds are not over");
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(json["device"], "dock <3>");
    assert_eq!(json["health"]["state"], "camera_fault");
    assert_eq!(json["events"][1]["kind"], "unusual");
    assert_eq!(json["frame"]["regions"][0]["energy"], 6.5);
    assert_eq!(json["frame"]["regions"][0]["heads"]["gmm"], 6.5);
    assert!(!json.to_string().contains("secret"), "{json}");
}

#[test]
fn health_is_about_frames() {
    let board = Board::new(sample::identity(), at(1_000));
    let state = |ms| (board.health(at(ms), STALE).ok, board.health(at(ms), STALE).state);
    assert_eq!(state(31_000), (true, State::Starting));
    assert_eq!(state(31_001), (false, State::Blind));
    board.scored(at(40_000), &frame(0, 0), &[verdict(0.5)], Duration::ZERO);
    assert_eq!(state(70_000), (true, State::Normal));
    // Faulty frames and frames that the gate keeps back are no sign of health.
    board.fault(at(70_500), FaultKind::Black, "dark");
    board.passed(at(70_600), FrameResult::Unchanged);
    assert_eq!(state(70_700), (false, State::Blind));
}

#[test]
fn an_event_keeps_its_most_unusual_frame_and_ends() {
    let board = Board::new(sample::identity(), at(0));
    let energies = [5.0, 6.0, 9.0, 7.0, 11.0];
    for (i, energy) in energies.into_iter().enumerate() {
        let stamp = at(103_000 + i as u64 * 100);
        board.scored(stamp, &frame(i as u64, 0), &[verdict(energy)], Duration::ZERO);
        match i {
            1 => board.event(&message(Phase::Start, stamp.mono_ms, 0, unusual(energy))),
            3 => board.event(&message(Phase::End, stamp.mono_ms, 0, unusual(energy))),
            _ => {}
        }
    }
    let event = &board.status(at(104_000), STALE).events[0];
    assert_eq!((event.frame, event.is_on(), event.length_s), (Some(2), false, 0.8));
    assert_eq!(board.still(2).unwrap().energy(), 9.0);
    let bands = board.bands(0);
    assert_eq!((bands[0].from_ms, bands[0].to_ms), (102_500, Some(103_300)));
    assert!(board.bands(103_301).is_empty());
}

#[test]
fn a_fault_is_over_with_its_end() {
    let (board, now) = lively();
    assert_eq!(board.status(now, STALE).camera.fault.unwrap().fault, FaultKind::Frozen);
    let fault = Fault { fault: FaultKind::Frozen, why: "moves again".into(), count: 60 };
    board.event(&message(Phase::End, 105_000, 1, Cause::CameraFault(fault)));
    let status = board.status(at(105_500), STALE);
    assert_eq!((status.camera.fault, status.health.state), (None, State::Unusual));
}

#[test]
fn kept_frames_stay_within_their_budget() {
    let board = Board::new(sample::identity(), at(0));
    let large = |seq| {
        let picture = crate::image::Rgb { width: 1000, height: 1000, pixels: vec![0; 3_000_000] };
        let content = crate::camera::Content::Picture(picture);
        Arc::new(Frame { seq, name: String::new(), content })
    };
    for i in 0..300 {
        let stamp = at(103_000 + i * 5_000);
        board.scored(stamp, &large(i), &[verdict(5.0)], Duration::ZERO);
        board.event(&message(Phase::Start, stamp.mono_ms, i, unusual(5.0)));
        board.event(&message(Phase::End, stamp.mono_ms, i, unusual(5.0)));
        let now = board.now();
        assert!(now.reel.bytes() + now.events.bytes() <= STILLS_BYTES);
    }
    assert_eq!(board.last().unwrap().number, 299);
    assert_eq!(board.bands(0).len(), 200);
    assert_eq!(board.status(at(2_000_000), STALE).events.len(), 12);
}

#[test]
fn writers_and_readers_share_the_board() {
    let board = Arc::new(Board::new(sample::identity(), at(0)));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let status = board.status(at(200_000), STALE);
                    let frames = board.frames(0, u64::MAX);
                    assert!(status.scoring.last_hour_frames <= 500 && frames.items.len() <= 500);
                }
            });
        }
        for i in 0..500 {
            board.scored(at(100_000 + i), &frame(i, 0), &[verdict(0.5)], Duration::ZERO);
        }
    });
    assert_eq!(board.metrics().frames(FrameResult::Scored), 500);
}
