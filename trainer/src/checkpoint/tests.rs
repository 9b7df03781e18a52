use oddsight::energy::HeadId;

use super::*;
use crate::heat::Curve;
use crate::recipe::Preset;

const HEAD: HeadId = HeadId::HeatGmm;

fn constants() -> Constants {
    Preset::Cifar10.constants()[0].clone()
}

fn origin() -> Origin {
    Origin::new(HEAD, &constants(), 7, [1; 32], &"prior")
}

/// Values that only an exact copy keeps.
fn state() -> State {
    State {
        epochs: 3,
        parameters: vec![0.1, -0.0, f32::MIN_POSITIVE / 8.0],
        first_moments: vec![1.0 / 3.0; 3],
        second_moments: vec![f32::MAX; 3],
        updates: u64::MAX,
        singular: vec![],
        replay: vec![2.5; 4],
        curves: vec![Curve { loss: 0.1, data_energy: -0.2, sample_energy: 0.3, moved: 1e-300 }; 3],
    }
}

fn written() -> (tempfile::TempDir, Checkpoints) {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(dir.path().join("model.checkpoints"));
    checkpoints.write(HEAD, &origin(), &state()).unwrap();
    (dir, checkpoints)
}

fn refused(checkpoints: &Checkpoints, origin: &Origin) -> CheckpointErrorKind {
    let error = checkpoints.read(HEAD, origin).unwrap_err();
    let message = error.to_string();
    let path = checkpoints.path(HEAD).display().to_string();
    assert_eq!(message.matches(&path).count(), 2, "the file, and the remedy: {message}");
    error.kind()
}

#[test]
fn a_state_comes_back_bit_for_bit() {
    let (_dir, checkpoints) = written();
    let read = checkpoints.read(HEAD, &origin()).unwrap().unwrap();
    assert_eq!(read, state());
    assert!(read.parameters[1].is_sign_negative());
    assert_eq!(checkpoints.read(HeadId::HeatEl, &origin()), Ok(None));
}

#[test]
fn a_later_epoch_replaces_an_earlier_one() {
    let (_dir, checkpoints) = written();
    let later = State { epochs: 4, ..state() };
    checkpoints.write(HEAD, &origin(), &later).unwrap();
    assert_eq!(checkpoints.read(HEAD, &origin()), Ok(Some(later)));
    assert_eq!(std::fs::read_dir(checkpoints.folder()).unwrap().count(), 1);
}

/// A power cut while a file is written leaves the file of the epoch before.
#[test]
fn a_half_written_file_is_never_read() {
    let (_dir, checkpoints) = written();
    let path = checkpoints.path(HEAD);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(staged(&path), &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(checkpoints.read(HEAD, &origin()), Ok(Some(state())));
    checkpoints.remove().unwrap();
    assert!(!checkpoints.folder().exists());
}

#[test]
fn truncation_at_every_byte_is_seen() {
    let (_dir, checkpoints) = written();
    let path = checkpoints.path(HEAD);
    let bytes = std::fs::read(&path).unwrap();
    for length in 0..bytes.len() {
        std::fs::write(&path, &bytes[..length]).unwrap();
        assert_eq!(refused(&checkpoints, &origin()), CheckpointErrorKind::Truncated, "{length}");
    }
    std::fs::write(&path, [&bytes[..], &[0]].concat()).unwrap();
    assert_eq!(refused(&checkpoints, &origin()), CheckpointErrorKind::Truncated);
}

#[test]
fn every_flipped_bit_is_seen() {
    let (_dir, checkpoints) = written();
    let path = checkpoints.path(HEAD);
    let bytes = std::fs::read(&path).unwrap();
    for bit in 0..8 * bytes.len() {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let (kind, _) = from_bytes(&flipped).unwrap_err();
        let expected = match bit / 8 {
            0..8 => CheckpointErrorKind::NotCheckpoint,
            8..10 => CheckpointErrorKind::Version,
            10..18 => CheckpointErrorKind::Truncated,
            _ => CheckpointErrorKind::Altered,
        };
        assert_eq!(kind, expected, "bit {bit}");
    }
}

#[test]
fn a_newer_version_is_told_from_damage() {
    let (_dir, checkpoints) = written();
    let path = checkpoints.path(HEAD);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8] = 2;
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(refused(&checkpoints, &origin()), CheckpointErrorKind::Version);
    assert!(checkpoints.read(HEAD, &origin()).unwrap_err().to_string().contains("newer"));
}

#[test]
fn a_run_of_another_origin_is_refused_and_says_in_what() {
    let (_dir, checkpoints) = written();
    let other = Constants { l2: 20.0, ..constants() };
    for (origin, word) in [
        (Origin::new(HEAD, &other, 7, [1; 32], &"prior"), "other constants"),
        (Origin::new(HEAD, &constants(), 8, [1; 32], &"prior"), "seed 7, not 8"),
        (Origin::new(HEAD, &constants(), 7, [2; 32], &"prior"), "other data"),
        (Origin::new(HEAD, &constants(), 7, [1; 32], &"posterior"), "another prior"),
        (Origin::new(HeadId::HeatEl, &constants(), 7, [1; 32], &"prior"), "head heat-gmm, not"),
    ] {
        assert_eq!(refused(&checkpoints, &origin), CheckpointErrorKind::Foreign);
        let message = checkpoints.read(HEAD, &origin).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn a_run_that_starts_anew_names_both_ways_out() {
    let (dir, checkpoints) = written();
    let error = checkpoints.check_unused().unwrap_err();
    assert_eq!(error.kind(), CheckpointErrorKind::Unfinished);
    let message = error.to_string();
    assert!(message.contains("--resume") && message.contains("remove the folder"), "{message}");
    assert_eq!(Checkpoints::new(dir.path().join("unused")).check_unused(), Ok(()));
}

#[test]
fn only_checkpoints_are_removed() {
    let (_dir, checkpoints) = written();
    let diary = checkpoints.folder().join("diary.txt");
    std::fs::write(&diary, "mine").unwrap();
    checkpoints.remove().unwrap();
    assert!(diary.exists() && !checkpoints.path(HEAD).exists());
    checkpoints.remove().unwrap();
}
