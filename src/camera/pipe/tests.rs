//! Through real child processes: shell scripts as cameras.

use std::fs;
use std::path::Path;
use std::time::Instant;

use rustix::process::{Pid, test_kill_process};

use super::*;
use crate::camera::{BackOff, Content, Raw, RawFormat, Seen, SourceUri, Supervised};
use crate::clock::{Clock as _, System};
use crate::event::FaultKind;

/// Longer than anything here takes, on any machine.
const LONG: Duration = Duration::from_secs(120);

/// A folder with a picture in it, which scripts find as `$PIC`, and its first half as `$HALF`.
struct Bench {
    dir: tempfile::TempDir,
    picture: Vec<u8>,
}

impl Bench {
    fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/image/baseline-420.jpg");
        let picture = fs::read(data).unwrap();
        fs::write(dir.path().join("pic"), &picture).unwrap();
        fs::write(dir.path().join("half"), &picture[..picture.len() / 2]).unwrap();
        Bench { dir, picture }
    }

    fn command(&self, script: &str) -> Vec<String> {
        let there = self.dir.path().display();
        let script = format!("D={there}; PIC=$D/pic; HALF=$D/half\n{script}");
        vec!["sh".into(), "-c".into(), script]
    }

    fn open(&self, script: &str) -> PipeCamera {
        PipeCamera::open(&self.command(script), Framing::Mjpeg).unwrap()
    }

    fn supervised(&self, script: &str, stall_ms: u64) -> Supervised {
        let source = SourceUri::Pipe { framing: Framing::Mjpeg, command: self.command(script) };
        let source = source.to_string().parse().unwrap();
        Supervised::over(&source, None, BackOff { first_ms: 1, most_ms: 20, stall_ms }, 1)
    }

    /// What a script wrote to `$D/pid`.
    fn pid(&self) -> Pid {
        let path = self.dir.path().join("pid");
        let start = Instant::now();
        loop {
            let text = fs::read_to_string(&path).unwrap_or_default();
            if let Some(pid) = text.strip_suffix('\n').and_then(|pid| pid.parse().ok()) {
                return Pid::from_raw(pid).unwrap();
            }
            assert!(start.elapsed() < LONG, "no process wrote its number");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Whether a process is over, or is on its way: somebody else has to wait for it.
fn is_gone(pid: Pid) -> bool {
    let state = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    test_kill_process(pid).is_err() || state.is_ok_and(|stat| stat.contains(") Z "))
}

fn wait_until_gone(pid: Pid) {
    let start = Instant::now();
    while !is_gone(pid) {
        assert!(start.elapsed() < LONG, "process {pid:?} outlives its camera");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn frame(camera: &mut PipeCamera) -> Frame {
    match camera.next_frame(LONG) {
        Ok(Next::Frame(frame)) => frame,
        other => panic!("no frame: {other:?}"),
    }
}

fn failure(camera: &mut PipeCamera) -> CameraError {
    camera.next_frame(LONG).expect_err("an error")
}

/// Supervises until there are so many frames; gives the faults that came with them.
fn supervise(camera: &mut Supervised, frames: u64) -> Vec<(FaultKind, String)> {
    let (start, mut faults, mut next) = (Instant::now(), Vec::new(), 0);
    while next < frames {
        assert!(start.elapsed() < LONG, "{next} frames, and {faults:?}");
        match camera.next(System.now()) {
            Seen::Frame(frame) => {
                assert_eq!(frame.seq, next);
                next += 1;
            }
            Seen::Fault(kind, why) => faults.push((kind, why)),
            Seen::Nothing => std::thread::sleep(camera.pause(System.now())),
            Seen::Ended => panic!("a program does not end for good"),
        }
    }
    faults
}

#[test]
fn frames_come_as_the_program_writes_them() {
    let bench = Bench::new();
    let mut camera = bench.open("while :; do cat $PIC; done");
    for seq in 0..100 {
        let frame = frame(&mut camera);
        assert_eq!((frame.seq, frame.name), (seq, format!("sh/{seq:06}")));
        assert!(frame.content == Content::File(bench.picture.clone()), "frame {seq}");
    }
}

#[test]
fn frames_that_come_in_small_parts_are_whole() {
    let bench = Bench::new();
    let script = "while :; do dd if=$PIC bs=100 2>/dev/null; printf 'padding'; done";
    let mut camera = bench.open(script);
    for _ in 0..20 {
        assert!(frame(&mut camera).content == Content::File(bench.picture.clone()));
    }
}

#[test]
fn raw_frames_come_by_their_size() {
    let framing = Framing::Raw { format: RawFormat::Grey, width: 3, height: 2 };
    let command = ["sh", "-c", "printf 'abcdefghijklmn'"].map(String::from);
    let mut camera = PipeCamera::open(&command, framing).unwrap();
    for bytes in [b"abcdef", b"ghijkl"] {
        let bytes = bytes.to_vec();
        let raw = Raw { format: RawFormat::Grey, width: 3, height: 2, stride: 3, bytes };
        assert_eq!(frame(&mut camera).content, Content::Raw(raw));
    }
    let cut = failure(&mut camera);
    assert!(cut.is_passing() && cut.to_string().contains("after 2 bytes"), "{cut}");
    assert_eq!(failure(&mut camera).kind(), CameraErrorKind::Lost);
}

#[test]
fn nothing_within_the_time_is_late_and_not_lost() {
    let bench = Bench::new();
    let mut camera = bench.open("cat; echo nothing on standard input >&2; cat $HALF; sleep 1000");
    for _ in 0..3 {
        assert_eq!(camera.next_frame(Duration::from_millis(1)).unwrap(), Next::Late);
    }
    // Messages without end do not hold us longer than the bytes of a frame would.
    let mut camera = bench.open("while :; do echo noise; done >&2");
    assert_eq!(camera.next_frame(Duration::from_millis(50)).unwrap(), Next::Late);
}

#[test]
fn a_program_that_dies_is_lost_with_its_last_words() {
    let bench = Bench::new();
    let script =
        "cat $PIC; for i in 1 2 3 4 5; do echo \"rtsp://me:secret@cam $i\" >&2; done; exit 7";
    let mut camera = bench.open(script);
    frame(&mut camera);
    let lost = failure(&mut camera);
    assert_eq!(lost.kind(), CameraErrorKind::Lost);
    let why = lost.to_string();
    for part in ["sh ended (exit status: 7)", "after one frame", "it said: rtsp://me:***@cam 2 | "]
    {
        assert!(why.contains(part), "{why}");
    }
    assert!(why.ends_with("cam 5"), "{why}");
}

#[test]
fn a_program_that_is_killed_or_closes_its_output_is_lost() {
    let bench = Bench::new();
    let killed = failure(&mut bench.open("kill -9 $$"));
    assert!(killed.to_string().contains("signal: 9"), "{killed}");
    assert!(killed.to_string().contains("before its first frame"), "{killed}");
    let closed = failure(&mut bench.open("exec >&-; sleep 1000"));
    assert!(closed.to_string().contains("closed its output"), "{closed}");
}

#[test]
fn a_program_that_cannot_be_started_is_named() {
    let bench = Bench::new();
    fs::write(bench.dir.path().join("plain"), "text").unwrap();
    let plain = bench.dir.path().join("plain").display().to_string();
    for (program, why) in [("no-such-program-7", "no such program"), (&plain, "make it executable")]
    {
        let Err(e) = PipeCamera::open(&[program.to_string()], Framing::Mjpeg) else {
            panic!("{program} was started");
        };
        assert_eq!(e.kind(), CameraErrorKind::Missing);
        assert!(e.to_string().contains(program) && e.to_string().contains(why), "{e}");
    }
}

#[test]
fn a_frame_that_is_cut_costs_one_frame() {
    let bench = Bench::new();
    let mut camera = bench.open("cat $PIC $HALF $PIC $HALF; exit 0");
    frame(&mut camera);
    let cut = failure(&mut camera);
    assert!(cut.kind() == CameraErrorKind::Cut && cut.is_passing(), "{cut}");
    frame(&mut camera);
    assert_eq!(failure(&mut camera).kind(), CameraErrorKind::Cut);
    let lost = failure(&mut camera);
    assert!(lost.to_string().contains("ended (exit status: 0) after 2 frames"), "{lost}");
}

#[test]
fn the_wrong_codec_is_explained() {
    let bench = Bench::new();
    let lost = failure(&mut bench.open("printf '\\000\\000\\000\\001\\147 and so on'"));
    assert!(lost.to_string().contains("look like H.264"), "{lost}");
    let mut camera = bench.open("while :; do cat /dev/zero; done");
    let garbage = failure(&mut camera);
    assert!(garbage.is_passing() && garbage.kind() == CameraErrorKind::Picture, "{garbage}");
}

#[test]
fn a_program_and_all_that_it_started_end_with_the_camera() {
    let bench = Bench::new();
    let ways = [
        // A child that does not read, one that is deaf to the polite signal, one that a dead parent left behind.
        "sleep 1000 & echo $! > $D/pid; cat $PIC; wait",
        "trap '' TERM; echo $$ > $D/pid; while :; do cat $PIC; done",
        "(trap '' TERM; while :; do sleep 1000; done) & echo $! > $D/pid; cat $PIC; exit 0",
    ];
    for script in ways {
        let _ = fs::remove_file(bench.dir.path().join("pid"));
        let mut camera = bench.open(script);
        frame(&mut camera);
        let pid = bench.pid();
        assert!(!is_gone(pid), "{script}");
        drop(camera);
        wait_until_gone(pid);
    }
}

#[test]
fn a_program_may_end_as_it_likes_when_it_is_told_to() {
    let bench = Bench::new();
    let script = "trap 'echo bye >&2; cat $PIC $PIC $PIC; echo bye > $D/bye; exit' TERM
        cat $PIC; while :; do sleep 0.01; done";
    let mut camera = bench.open(script);
    frame(&mut camera);
    camera.program.grace = LONG;
    drop(camera);
    assert_eq!(fs::read_to_string(bench.dir.path().join("bye")).unwrap(), "bye\n");
}

#[test]
fn no_zombie_is_left() {
    let bench = Bench::new();
    let mut camera = bench.open("echo $$ > $D/pid; cat $PIC");
    frame(&mut camera);
    assert_eq!(failure(&mut camera).kind(), CameraErrorKind::Lost);
    let pid = bench.pid();
    assert!(test_kill_process(pid).is_err(), "the program was not waited for");
}

#[test]
fn a_camera_that_dies_again_and_again_is_started_again_and_again() {
    let bench = Bench::new();
    let mut camera = bench.supervised("cat $PIC $PIC $HALF; echo broken >&2; exit 3", 60_000);
    let faults = supervise(&mut camera, 40);
    let lost: Vec<&String> =
        faults.iter().filter(|(kind, _)| *kind == FaultKind::Lost).map(|(_, why)| why).collect();
    assert_eq!(lost.len(), 19);
    assert!(lost.iter().all(|why| why.contains("after 2 frames; it said: broken")), "{lost:?}");
    let cut = faults.iter().filter(|(kind, _)| *kind == FaultKind::Truncated);
    assert_eq!(cut.count(), 19);
    assert_eq!(camera.openings(), 20);
}

#[test]
fn a_camera_that_stalls_is_killed_and_started_again() {
    let bench = Bench::new();
    let script =
        "cat $PIC; cat $HALF; echo $$ > $D/pid; trap '' TERM; while :; do sleep 1000; done";
    let mut camera = bench.supervised(script, 500);
    supervise(&mut camera, 1);
    let stalled = bench.pid();
    let faults = supervise_from(&mut camera, 1);
    assert!(faults.iter().any(|(kind, _)| *kind == FaultKind::Stalled), "{faults:?}");
    wait_until_gone(stalled);
}

/// As `supervise`, for one frame with this number.
fn supervise_from(camera: &mut Supervised, seq: u64) -> Vec<(FaultKind, String)> {
    let (start, mut faults) = (Instant::now(), Vec::new());
    loop {
        assert!(start.elapsed() < LONG, "{faults:?}");
        match camera.next(System.now()) {
            Seen::Frame(frame) => {
                assert_eq!(frame.seq, seq);
                return faults;
            }
            Seen::Fault(kind, why) => faults.push((kind, why)),
            Seen::Nothing => std::thread::sleep(camera.pause(System.now())),
            Seen::Ended => panic!("a program does not end for good"),
        }
    }
}

#[test]
fn a_camera_that_writes_garbage_between_frames_is_read_on() {
    let bench = Bench::new();
    let script = "while :; do cat $PIC; head -c 3000 /dev/urandom; cat $HALF; head -c 300000 /dev/zero; done";
    let mut camera = bench.supervised(script, 60_000);
    let faults = supervise(&mut camera, 30);
    assert!(faults.iter().any(|(kind, _)| *kind == FaultKind::Truncated), "{faults:?}");
    assert!(faults.iter().any(|(kind, _)| *kind == FaultKind::Undecodable), "{faults:?}");
    assert_eq!(camera.openings(), 1);
}
