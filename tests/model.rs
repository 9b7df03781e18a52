//! A model directory is opened whole or refused with the reason.

use std::path::Path;

use oddsight::backbone::Features;
use oddsight::energy::{Scores, Scratch};
use oddsight::model::{BACKBONE_FILE, HEADS_FILE, HeadsBlob, Model, ModelError, ModelErrorKind};
use proptest::prelude::*;
use prost::Message as _;

#[path = "support/directory.rs"]
mod directory;
#[path = "support/tiny.rs"]
mod tiny;

fn refused(dir: &Path) -> ModelError {
    Model::open(dir).unwrap_err()
}

#[test]
fn a_directory_opens_and_scores() {
    let dir = tempfile::tempdir().unwrap();
    directory::write(dir.path());
    let model = Model::open(dir.path()).unwrap();
    let mut scorer = model.scorer().unwrap();
    let picture = oddsight::model::self_test::picture(9, [31, 20]);
    let verdict = scorer.score(&picture).unwrap();
    assert_eq!(verdict.heads.len(), 3);
    assert_eq!(verdict.heads[1].share, None);
    let shares: f64 = verdict.heads.iter().filter_map(|head| head.share).sum();
    assert!((shares - verdict.energy).abs() < 1e-9);
    assert_eq!(verdict, scorer.score(&picture).unwrap());
}

#[test]
fn any_changed_byte_of_the_heads_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let whole = directory::write(dir.path()).to_bytes();
    for at in 0..whole.len() {
        for flip in [0x01, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] ^= flip;
            assert!(HeadsBlob::from_bytes(&damaged).is_err(), "byte {at} ^ {flip:#x}");
        }
    }
}

#[test]
fn a_cut_or_extended_heads_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = directory::write(dir.path()).to_bytes();
    for cut in 0..bytes.len() {
        assert!(HeadsBlob::from_bytes(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    bytes.push(0);
    let (kind, _) = HeadsBlob::from_bytes(&bytes).unwrap_err();
    assert_eq!(kind, ModelErrorKind::Truncated);
}

#[test]
fn another_backbone_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    directory::write(dir.path());
    let mut proto = tiny::proto(tiny::Tail::Legacy);
    proto.graph.as_mut().unwrap().initializer[0].float_data[0] += 0.5;
    std::fs::write(dir.path().join(BACKBONE_FILE), proto.encode_to_vec()).unwrap();
    let e = refused(dir.path());
    assert_eq!(e.kind(), ModelErrorKind::WrongBackbone);
    assert!(e.to_string().contains("fit again"), "{e}");
}

#[test]
fn missing_parts_are_named() {
    let dir = tempfile::tempdir().unwrap();
    directory::write(dir.path());
    assert_eq!(refused(&dir.path().join("nowhere")).kind(), ModelErrorKind::Missing);
    std::fs::remove_file(dir.path().join(BACKBONE_FILE)).unwrap();
    assert!(refused(dir.path()).to_string().contains(BACKBONE_FILE));
    std::fs::remove_file(dir.path().join(HEADS_FILE)).unwrap();
    let e = refused(dir.path());
    assert_eq!(e.kind(), ModelErrorKind::Missing);
    assert!(e.to_string().contains(HEADS_FILE), "{e}");
}

fn refused_with(change: impl FnOnce(&mut HeadsBlob)) -> ModelError {
    let dir = tempfile::tempdir().unwrap();
    let mut blob = directory::write(dir.path());
    change(&mut blob);
    std::fs::write(dir.path().join(HEADS_FILE), blob.to_bytes()).unwrap();
    refused(dir.path())
}

#[test]
fn an_intact_file_of_nonsense_is_refused() {
    type Change = fn(&mut HeadsBlob);
    let changes: [(&str, Change); 8] = [
        ("calibration", |b| b.calibration_q16.clear()),
        ("calibration", |b| b.calibration_q16[3] = i64::MAX),
        ("alpha", |b| b.alpha = 0.001),
        ("alpha", |b| b.alpha = f64::NAN),
        ("normalisation", |b| b.normalise.std[1] = 0.0),
        ("crop", |b| b.preprocess.crop = [17, 17]),
        ("taps", |b| b.taps.map = "elsewhere".into()),
        ("occurs twice", |b| b.heads.heads[1] = b.heads.heads[0].clone()),
    ];
    for (word, change) in changes {
        let e = refused_with(change);
        assert!(e.to_string().contains(word), "{word}: {e}");
    }
}

#[test]
fn a_self_test_that_differs_is_refused() {
    let one_bit = refused_with(|b| b.self_test.frames[1].energy_q16 ^= 1);
    assert_eq!(one_bit.kind(), ModelErrorKind::SelfTest);
    let other_frame = refused_with(|b| b.self_test.frames[0].seed = 77);
    assert_eq!(other_frame.kind(), ModelErrorKind::SelfTest);
    let none = refused_with(|b| b.self_test.frames.clear());
    assert_eq!(none.kind(), ModelErrorKind::SelfTest);
    let huge = refused_with(|b| b.self_test.frames[0].size = [u32::MAX; 2]);
    assert_eq!(huge.kind(), ModelErrorKind::SelfTest);
}

/// Every format version that was ever written is read for ever.
#[test]
fn golden_heads_files_are_read() {
    for (file, heads) in [
        ("tests/data/heads-v1.postcard", directory::heads()),
        ("tests/data/heads-v2.postcard", directory::heads_of_format_2(tiny::WIDTH)),
        ("tests/data/heads-v3.postcard", directory::every_head(tiny::WIDTH)),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let golden = HeadsBlob::read(&path).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let today = directory::write(dir.path());
        assert_eq!(golden.made_by, "test", "{file}");
        assert_eq!(golden.heads, heads.fix().unwrap(), "{file}");
        assert_eq!(golden.calibration_q16, today.calibration_q16, "{file}");
        // The stored self-test holds on this machine: open it as a model.
        std::fs::write(dir.path().join(HEADS_FILE), std::fs::read(&path).unwrap()).unwrap();
        let model = Model::open(dir.path()).unwrap();
        // Written again, in today's format, it is the same model.
        assert_eq!(HeadsBlob::from_bytes(&golden.to_bytes()).unwrap(), *model.blob(), "{file}");
    }
}

/// Its energies come from other arithmetic, so format 1 is held to a tolerance; it is not nothing.
#[test]
fn a_format_1_self_test_that_differs_is_refused() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/heads-v1.postcard");
    let mut bytes = std::fs::read(path).unwrap();
    // The end of the payload is the last frame's energy and tolerance, two or three bytes each.
    let end = bytes.len() - 4;
    let damaged = (end - 8..end).filter(|&at| {
        let whole = bytes.clone();
        bytes[at] ^= 0x40;
        let crc = crc32fast::hash(&bytes[..end]).to_le_bytes();
        bytes[end..].copy_from_slice(&crc);
        let refused = HeadsBlob::from_bytes(&bytes).map(|_| ()).map_err(|(kind, _)| kind);
        bytes = whole;
        refused == Err(ModelErrorKind::SelfTest)
    });
    assert!(damaged.count() > 0);
}

/// A reader that does not know a format says so, and does not call the file damaged.
#[test]
fn a_later_format_is_named_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = directory::write(dir.path()).to_bytes();
    bytes[8] += 1;
    let (kind, why) = HeadsBlob::from_bytes(&bytes).unwrap_err();
    assert_eq!(kind, ModelErrorKind::Version);
    assert!(why.contains("newer oddsight"), "{why}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever stands behind a valid frame and checksum, decoding it does not panic.
    #[test]
    fn hostile_payloads_are_errors_or_blobs(
        version in 1u16..=3, payload in prop::collection::vec(any::<u8>(), 0..400)
    ) {
        let mut bytes = b"ODDSIGHT".to_vec();
        bytes.extend_from_slice(&version.to_le_bytes());
        bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&payload);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        let _ = HeadsBlob::from_bytes(&bytes);
    }

    /// Every head, cut or with bytes changed behind a checksum that fits: refused, or scored.
    #[test]
    fn altered_heads_are_refused_or_scored(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        entry in any::<i32>()
    ) {
        const FRAME: usize = 14;
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/heads-v3.postcard");
        let whole = std::fs::read(path).unwrap();
        let mut payload = whole[FRAME..whole.len() - 4].to_vec();
        for (at, byte) in changes {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        if let Some(cut) = cut {
            payload.truncate(cut.index(payload.len()));
        }
        let mut bytes = whole[..10].to_vec();
        bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&payload);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        let Ok(blob) = HeadsBlob::from_bytes(&bytes) else { return Ok(()) };
        let row = |n: usize| (0..n as i32).map(|i| entry.wrapping_mul(i | 1)).collect();
        let [avg, std, logits] = [tiny::WIDTH, tiny::WIDTH, tiny::CLASSES].map(row);
        if blob.heads.check(tiny::WIDTH, tiny::CLASSES).is_ok() {
            let features = Features { avg, std, logits };
            blob.heads.score(&features, &mut Scratch::default(), &mut Scores::default());
        }
    }
}
