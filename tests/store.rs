//! Models on a device: installed, tried, and given up for the one before.

#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};

use oddsight::model::store::{MANIFEST_FILE, Manifest, Start, Store, StoreErrorKind, Trust};
use oddsight::model::{BACKBONE_FILE, HEADS_FILE, Model};

#[path = "support/directory.rs"]
mod directory;
#[path = "support/tiny.rs"]
mod tiny;

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        Bench { dir: tempfile::tempdir().unwrap() }
    }

    fn store(&self) -> Store {
        Store::at(self.dir.path().join("store"))
    }

    /// A model directory of this version.
    fn model(&self, name: &str, version: u64) -> PathBuf {
        let dir = self.dir.path().join(name);
        directory::write(&dir);
        let manifest = Manifest::of(&dir, version).unwrap();
        fs::write(dir.join(MANIFEST_FILE), serde_json::to_string(&manifest).unwrap()).unwrap();
        dir
    }

    fn install(&self, name: &str, version: u64) -> u64 {
        self.store().install(&self.model(name, version), &Trust::default()).unwrap().number
    }
}

fn tar_of(dir: &Path, prefix: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_dir_all(prefix, dir).unwrap();
    builder.into_inner().unwrap()
}

#[test]
fn models_follow_one_another_and_two_are_kept() {
    let bench = Bench::new();
    for (count, version) in (1..).zip([5, 5, 8]) {
        assert_eq!(bench.install("model", version), count);
    }
    let store = bench.store();
    let current = store.current().unwrap();
    assert_eq!((current.number, current.version), (3, 8));
    assert_eq!(store.previous().unwrap().unwrap().number, 2);
    assert_eq!(fs::read_dir(bench.dir.path().join("store/versions")).unwrap().count(), 2);
    Model::open(&current.dir).unwrap();
}

#[test]
fn a_tar_is_as_good_as_a_directory() {
    let bench = Bench::new();
    let dir = bench.model("model", 1);
    let file = bench.dir.path().join("model.tar");
    for prefix in ["", "mine"] {
        fs::write(&file, tar_of(&dir, prefix)).unwrap();
        let installed = bench.store().install(&file, &Trust::default()).unwrap();
        assert_eq!(
            fs::read(installed.dir.join(HEADS_FILE)).unwrap(),
            fs::read(dir.join(HEADS_FILE)).unwrap()
        );
    }
}

#[test]
fn a_model_that_is_not_whole_leaves_the_old_one_in_use() {
    let bench = Bench::new();
    bench.install("good", 1);
    let store = bench.store();
    let broken = |name: &str, damage: &dyn Fn(&Path)| {
        let dir = bench.model(name, 2);
        damage(&dir);
        let refused = store.install(&dir, &Trust::default()).unwrap_err();
        assert_eq!(store.current().unwrap().number, 1, "{refused}");
        assert!(!bench.dir.path().join("store/candidate").exists());
        (refused.kind(), refused.to_string())
    };
    let (kind, why) =
        broken("no-backbone", &|dir| fs::remove_file(dir.join(BACKBONE_FILE)).unwrap());
    assert_eq!(kind, StoreErrorKind::Source, "{why}");
    let (kind, why) = broken("altered", &|dir| fs::write(dir.join(HEADS_FILE), [1, 2, 3]).unwrap());
    assert_eq!(kind, StoreErrorKind::Manifest, "{why}");
    let (kind, why) = broken("wrong-energy", &|dir| {
        let mut blob = directory::write(dir);
        blob.self_test.frames[0].energy_q16 += 1;
        fs::write(dir.join(HEADS_FILE), blob.to_bytes()).unwrap();
        fs::remove_file(dir.join(MANIFEST_FILE)).unwrap();
    });
    // Without a manifest it is version 0, which is older than what was installed.
    assert_eq!(kind, StoreErrorKind::Older, "{why}");
    let dir = bench.dir.path().join("wrong-energy");
    let refused = store.install(&dir, &Trust { force: true, ..Trust::default() }).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Model);
    assert!(refused.to_string().contains("self-test"), "{refused}");
    let tar = bench.dir.path().join("cut.tar");
    let whole = tar_of(&bench.model("whole", 3), "");
    for length in (0..whole.len()).step_by(997) {
        fs::write(&tar, &whole[..length]).unwrap();
        // The archive's end mark may be missing; every file of the model may not.
        if let Ok(installed) = store.install(&tar, &Trust::default()) {
            Model::open(&installed.dir).unwrap();
            assert!(length > whole.len() - 4096);
        }
    }
}

#[test]
fn a_version_goes_back_only_by_force() {
    let bench = Bench::new();
    bench.install("new", 9);
    let old = bench.model("old", 8);
    let refused = bench.store().install(&old, &Trust::default()).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Older);
    assert!(refused.to_string().contains("--force"), "{refused}");
    bench.store().install(&old, &Trust { force: true, ..Trust::default() }).unwrap();
    // The highest version counts, not the last one.
    let refused = bench.store().install(&old, &Trust::default()).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Older);
}

#[test]
fn a_model_that_does_not_start_gives_way_to_the_one_before() {
    let bench = Bench::new();
    bench.install("old", 1);
    let store = bench.store();
    assert!(matches!(store.starting(3).unwrap(), Start::Current(_)));
    store.started().unwrap();
    bench.install("new", 2);
    for _ in 0..3 {
        let Start::Current(current) = store.starting(3).unwrap() else {
            panic!("returned too early")
        };
        assert_eq!(current.number, 2);
    }
    let Start::Returned { from, to } = store.starting(3).unwrap() else { panic!("did not return") };
    assert_eq!((from.number, to.number), (2, 1));
    assert_eq!(store.current().unwrap().number, 1);
    // There is nothing to return to now, so the model stays, however often it fails.
    for _ in 0..10 {
        assert!(matches!(store.starting(3).unwrap(), Start::Current(_)));
    }
    store.started().unwrap();
    bench.install("newer", 3);
    assert_eq!(store.previous().unwrap().unwrap().number, 1);
}

#[test]
fn a_start_that_scores_forgets_earlier_failures() {
    let bench = Bench::new();
    bench.install("old", 1);
    bench.install("new", 2);
    let store = bench.store();
    for _ in 0..20 {
        assert!(matches!(store.starting(2).unwrap(), Start::Current(_)));
        store.started().unwrap();
    }
}

#[test]
fn back_changes_the_two() {
    let bench = Bench::new();
    bench.install("old", 1);
    let store = bench.store();
    assert_eq!(store.back().unwrap_err().kind(), StoreErrorKind::Empty);
    bench.install("new", 2);
    assert_eq!(store.back().unwrap().number, 1);
    assert_eq!(
        (store.current().unwrap().number, store.previous().unwrap().unwrap().number),
        (1, 2)
    );
    assert_eq!(store.back().unwrap().number, 2);
}
