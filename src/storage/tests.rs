use std::collections::BTreeSet;
use std::fs;

use super::crash::{Recorder, scratch};
use super::*;

#[test]
fn a_replaced_file_is_the_old_or_the_new_one_after_any_power_cut() {
    let folder = scratch();
    let recorder = Recorder::new(folder.path());
    let disk = recorder.disk(|_| Answer::Go);
    let at = folder.path().join("state.json");
    let versions: Vec<Vec<u8>> = (1..6u8).map(|n| vec![n; 3000 * usize::from(n)]).collect();
    for version in &versions {
        disk.replace(&at, version).unwrap();
        recorder.promise();
    }
    let states = recorder.explore_with_controls(24, |folder, promises| {
        let found = fs::read(folder.join("state.json")).ok();
        let known = versions.iter().position(|version| Some(version) == found.as_ref());
        assert_eq!(known.is_some(), found.is_some());
        let newest = known.map_or(0, |at| at + 1);
        assert!(newest == promises || newest == promises + 1, "{newest} of {promises}");
        // What is left of it does no harm to the next one.
        replace(&folder.join("state.json"), b"next").unwrap();
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
    });
    assert!(states > 500, "{states}");
}

fn write_model(dir: &Path, version: u8) {
    fs::create_dir(dir).unwrap();
    for name in ["backbone.onnx", "heads.postcard", "card.json"] {
        fs::write(dir.join(name), vec![version; 2000]).unwrap();
    }
}

/// The one version that all files of a folder are of.
fn version(dir: &Path) -> u8 {
    let files = ["backbone.onnx", "heads.postcard", "card.json"];
    let all: BTreeSet<Vec<u8>> = files.iter().map(|f| fs::read(dir.join(f)).unwrap()).collect();
    assert_eq!(all.len(), 1, "files of several versions");
    let bytes = all.first().unwrap();
    assert_eq!(bytes.len(), 2000);
    bytes[0]
}

/// Copies a folder onto a watched disk, so that its files are known to the explorer, unflushed.
fn copy_watched(disk: &Disk, from: &Path, to: &Path) {
    disk.make_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let bytes = fs::read(entry.path()).unwrap();
        disk.create(&to.join(entry.file_name())).unwrap().write(0, &bytes).unwrap();
    }
}

#[test]
fn a_replaced_folder_is_the_old_or_the_new_one_after_any_power_cut() {
    for can_exchange in [true, false] {
        let folder = scratch();
        let recorder = Recorder::new(folder.path());
        let disk = recorder.disk(move |op| match op {
            Op::Exchange { .. } if !can_exchange => Answer::Fail(io::ErrorKind::Unsupported),
            _ => Answer::Go,
        });
        let (new, at) = (folder.path().join("candidate"), folder.path().join("current"));
        for n in 1..5 {
            let made = scratch();
            write_model(&made.path().join("m"), n);
            copy_watched(&disk, &made.path().join("m"), &new);
            disk.replace_dir(&new, &at).unwrap();
            recorder.promise();
            if n > 1 {
                assert_eq!((version(&at), version(&new)), (n, n - 1));
                for entry in fs::read_dir(&new).unwrap() {
                    disk.remove(&entry.unwrap().path()).unwrap();
                }
                disk.remove_dir(&new).unwrap();
            }
        }
        recorder.explore_with_controls(16, |folder, promises| {
            let (new, at) = (folder.join("candidate"), folder.join("current"));
            recover_dir(&new, &at).unwrap();
            if promises > 0 || at.exists() {
                let found = usize::from(version(&at));
                assert!(found == promises || found == promises + 1, "{found} of {promises}");
            }
            // And the next one can be installed.
            if new.exists() {
                fs::remove_dir_all(&new).unwrap();
            }
            write_model(&new, 99);
            replace_dir(&new, &at).unwrap();
            assert_eq!(version(&at), 99);
        });
    }
}

#[test]
fn a_folder_that_cannot_take_the_place_leaves_the_old_one() {
    let folder = scratch();
    let (new, at) = (folder.path().join("new"), folder.path().join("at"));
    write_model(&at, 1);
    assert!(replace_dir(&new, &at).is_err());
    fs::write(&new, "a file").unwrap();
    assert_eq!(replace_dir(&new, &at).unwrap_err().kind(), io::ErrorKind::NotADirectory);
    fs::remove_file(&new).unwrap();
    write_model(&new, 2);
    // The second rename of the slow way fails: the first is undone.
    let to = at.clone();
    let disk = Disk::scripted(move |op| match op {
        Op::Exchange { .. } => Answer::Fail(io::ErrorKind::Unsupported),
        Op::Rename { from, to: onto } if *onto == to && from.ends_with("new") => {
            Answer::Fail(io::ErrorKind::Other)
        }
        _ => Answer::Go,
    });
    assert!(disk.replace_dir(&new, &at).is_err());
    assert_eq!((version(&at), version(&new)), (1, 2));
    // Something else of that name is not touched.
    fs::create_dir(folder.path().join(".at.old")).unwrap();
    let refused = replace_dir(&new, &at).unwrap_err();
    assert!(refused.to_string().contains(".at.old"), "{refused}");
    assert_eq!((version(&at), version(&new)), (1, 2));
}

#[test]
fn a_write_that_fails_leaves_the_old_file() {
    let folder = scratch();
    let at = folder.path().join("a");
    replace(&at, b"old").unwrap();
    type Fails = fn(&Op<'_>) -> Option<Answer>;
    let cases: [Fails; 4] = [
        |op| matches!(op, Op::Create(_)).then_some(Answer::Fail(io::ErrorKind::StorageFull)),
        |op| matches!(op, Op::Write { .. }).then_some(Answer::Short(2, io::ErrorKind::StorageFull)),
        |op| matches!(op, Op::Sync(_)).then_some(Answer::Fail(io::ErrorKind::Other)),
        |op| {
            matches!(op, Op::Rename { .. })
                .then_some(Answer::Fail(io::ErrorKind::ReadOnlyFilesystem))
        },
    ];
    for fails in cases {
        let disk = Disk::scripted(move |op| fails(op).unwrap_or(Answer::Go));
        assert!(disk.replace(&at, b"new").is_err());
        assert_eq!(fs::read(&at).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn errors_say_what_to_do() {
    let path = Path::new("/store");
    for (from, kind, remedy) in [
        (io::ErrorKind::StorageFull, StorageErrorKind::Full, "free some room"),
        (io::ErrorKind::QuotaExceeded, StorageErrorKind::Full, "free some room"),
        (io::ErrorKind::ReadOnlyFilesystem, StorageErrorKind::ReadOnly, "fsck"),
        (io::ErrorKind::PermissionDenied, StorageErrorKind::Denied, "give the folder"),
        (io::ErrorKind::NotADirectory, StorageErrorKind::NotAFolder, "another folder"),
        (io::ErrorKind::Other, StorageErrorKind::Io, "check the disk"),
    ] {
        let error = StorageError::of(path, &from.into());
        assert_eq!(error.kind(), kind);
        let text = error.to_string();
        assert!(text.starts_with("/store: ") && text.contains(remedy), "{text}");
    }
}

#[test]
fn a_folder_has_one_writer() {
    let folder = scratch();
    let first = Lock::take(folder.path()).unwrap();
    assert_eq!(Lock::take(folder.path()).unwrap_err().kind(), StorageErrorKind::Busy);
    drop(first);
    Lock::take(folder.path()).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn mounts_and_room_are_known() {
    let folder = scratch();
    assert!(is_mount(Path::new("/")) && is_mount(Path::new("/proc")));
    assert!(!is_mount(folder.path()) && !is_mount(&folder.path().join("nothing")));
    assert!(system::differs_from_parent(Path::new("/proc")));
    assert!(!system::differs_from_parent(folder.path()));
    assert!(free(folder.path()).unwrap().bytes > 0);
    assert!(free(&folder.path().join("nothing")).is_err());
}

#[test]
fn folders_are_made_or_explained() {
    let folder = scratch();
    let deep = folder.path().join("a/b/c");
    Disk::default().make_dirs(&deep).unwrap();
    Disk::default().make_dirs(&deep).unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    for path in ["file", "file/below"] {
        let why = Disk::default().make_dirs(&folder.path().join(path)).unwrap_err();
        assert_eq!(why.kind(), io::ErrorKind::NotADirectory, "{path}");
    }
}
