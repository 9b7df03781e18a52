use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::*;
use crate::camera::{Content, Frame};
use crate::image::Rgb;
use crate::sink::fixtures::{at, event, message, message_item, shot, shot_item};
use crate::storage::crash::{Recorder, scratch};
use crate::storage::{Answer, Free, Op};

fn settings() -> EvidenceSettings {
    EvidenceSettings { quota_mb: 1, free_mb: 0, most_frames: 5, ..EvidenceSettings::default() }
}

/// All files below a folder that have a name of ours or anybody's, hidden ones too.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            let below = files(&entry.path());
            found.extend(below.into_iter().map(|(file, bytes)| (format!("{name}/{file}"), bytes)));
        } else {
            found.insert(name, fs::read(entry.path()).unwrap_or_default());
        }
    }
    found
}

fn folders(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn event_file(dir: &Path, folder: &str) -> EventFile {
    serde_json::from_slice(&fs::read(dir.join(folder).join(EVENT_FILE)).unwrap()).unwrap()
}

fn folder_of(number: u64, of: u64) -> String {
    format!("{number:08}-{}", event(of))
}

#[test]
fn an_event_has_a_folder_with_its_messages_and_frames() {
    let dir = scratch();
    let mut store = Evidence::new(dir.path(), &settings());
    store.deliver(&message_item(7, Phase::Start, 3)).unwrap();
    store.deliver(&shot_item(7, 2900, 300)).unwrap();
    store.deliver(&shot_item(7, 3000, 400)).unwrap();
    store.deliver(&message_item(7, Phase::Update, 4)).unwrap();
    store.deliver(&message_item(7, Phase::End, 5)).unwrap();
    let folder = folder_of(1, 7);
    assert_eq!(folders(dir.path()), [folder.as_str()]);
    let found = files(&dir.path().join(&folder));
    assert_eq!(found.keys().collect::<Vec<_>>(), ["0001-2900.jpg", "0002-3000.jpg", "event.json"]);
    assert_eq!(Content::File(found["0002-3000.jpg"].clone()), shot(3000, 400).frame.content);
    let listed = event_file(dir.path(), &folder);
    assert_eq!(listed.start, Some(message(7, Phase::Start, 3)));
    assert_eq!(listed.last, Some(message(7, Phase::End, 5)));
    assert_eq!(
        listed.frames[1],
        KeptFrame {
            file: "0002-3000.jpg".into(),
            at: at(3000),
            name: "f3000".into(),
            energy: Some(1.5),
            p_value: Some(0.25),
        }
    );
    assert_eq!(store.usage().items(), 1);
}

#[test]
fn frames_that_come_after_the_end_are_listed_soon() {
    let dir = scratch();
    let mut store = Evidence::new(dir.path(), &settings());
    store.deliver(&message_item(1, Phase::Start, 1)).unwrap();
    store.deliver(&message_item(1, Phase::End, 2)).unwrap();
    for n in 0..7 {
        store.deliver(&shot_item(1, 2500 + n, 300)).unwrap();
    }
    let listed = || event_file(dir.path(), &folder_of(1, 1));
    assert_eq!(store.tick(at(2600)), Duration::from_millis(FLUSH_MS));
    assert_eq!(listed().frames.len(), 0);
    store.tick(at(2500 + LIST_MS));
    assert_eq!((listed().frames.len(), listed().left_out), (5, 2));
    assert_eq!(store.usage().dropped(), 2);
    assert_eq!(store.tick(at(2600 + LIST_MS)), Duration::from_millis(FLOOR_MS));
    // Closing does the same at once.
    store.deliver(&message_item(2, Phase::Start, 20)).unwrap();
    store.deliver(&shot_item(2, 20_100, 300)).unwrap();
    store.close();
    assert_eq!(event_file(dir.path(), &folder_of(2, 2)).frames.len(), 1);
}

#[test]
fn a_raw_picture_is_kept_as_jpeg_and_one_that_is_none_is_refused() {
    let dir = scratch();
    let mut store = Evidence::new(dir.path(), &settings());
    let raw = |width| {
        let picture = Rgb { width, height: 8, pixels: vec![200; 8 * 8 * 3] };
        let frame = Frame { seq: 0, name: "raw".into(), content: Content::Picture(picture) };
        let shot = Shot { at: at(5), frame: Arc::new(frame), score: None };
        Item::Shot { event: event(1), shot: Arc::new(shot) }
    };
    store.deliver(&raw(8)).unwrap();
    let path = dir.path().join(folder_of(1, 1)).join("0001-5.jpg");
    let seen = crate::image::decode(&fs::read(path).unwrap()).unwrap();
    assert_eq!((seen.width, seen.height), (8, 8));
    let refused = store.deliver(&raw(9)).unwrap_err();
    assert!(!refused.is_passing() && refused.to_string().contains("frame raw"), "{refused}");
}

#[test]
fn the_quota_holds_and_whole_oldest_events_go() {
    let dir = scratch();
    let mut store = Evidence::new(dir.path(), &settings());
    for number in 1..60 {
        store.deliver(&message_item(number, Phase::Start, number)).unwrap();
        for n in 0..5 {
            store.deliver(&shot_item(number, number * 1000 + n, 20_000)).unwrap();
        }
        store.deliver(&message_item(number, Phase::End, number)).unwrap();
        let bytes: usize = files(dir.path()).values().map(Vec::len).sum();
        assert!(bytes as u64 <= store.usage().bytes() && store.usage().bytes() <= 1 << 20);
    }
    let left = folders(dir.path());
    assert!((5..10).contains(&left.len()), "{left:?}");
    assert_eq!(left.last(), Some(&folder_of(59, 59)));
    for folder in &left {
        assert_eq!(files(&dir.path().join(folder)).len(), 6, "{folder}");
    }
    // Numbers go on where the start before stopped.
    drop(store);
    let mut store = Evidence::new(dir.path(), &settings());
    store.deliver(&message_item(99, Phase::Start, 99)).unwrap();
    assert_eq!(folders(dir.path()).last(), Some(&folder_of(60, 99)));
}

#[test]
fn an_event_that_cannot_be_deleted_is_passed_over() {
    let dir = scratch();
    let stuck = dir.path().join(folder_of(1, 1));
    let is_stuck = stuck.clone();
    let disk = Disk::scripted(move |op| match op {
        Op::Rename { from, .. } if *from == is_stuck => Answer::Fail(std::io::ErrorKind::Other),
        _ => Answer::Go,
    });
    let mut store = Evidence::on(disk, dir.path(), &settings());
    for number in 1..30 {
        store.deliver(&message_item(number, Phase::Start, number)).unwrap();
        store.deliver(&shot_item(number, number * 1000, 90_000)).unwrap();
        assert!(store.usage().bytes() <= 1 << 20);
    }
    let names = folders(dir.path());
    assert!(stuck.exists() && names.len() > 5 && !names.contains(&folder_of(2, 2)), "{names:?}");
}

#[test]
fn an_event_larger_than_the_quota_is_cut_and_nothing_else_is() {
    let dir = scratch();
    let wide = EvidenceSettings { most_frames: 100, ..settings() };
    let mut store = Evidence::new(dir.path(), &wide);
    store.deliver(&message_item(1, Phase::Start, 1)).unwrap();
    let refused = (0..40).filter(|n| store.deliver(&shot_item(1, *n, 50_000)).is_err()).count();
    assert!((20..25).contains(&refused), "{refused}");
    let why = store.deliver(&shot_item(1, 99, 50_000)).unwrap_err();
    assert!(!why.is_passing() && why.to_string().contains("evidence.quota_mb"), "{why}");
    // Its end is known all the same.
    store.deliver(&message_item(1, Phase::End, 2)).unwrap();
    let listed = event_file(dir.path(), &folder_of(1, 1));
    assert_eq!(listed.last, Some(message(1, Phase::End, 2)));
    assert_eq!(listed.frames.len(), 40 - refused);
    assert_eq!(folders(dir.path()), [folder_of(1, 1)]);
    assert!(store.usage().bytes() <= 1 << 20);
}

/// A disk of which so much is free, until something is deleted.
fn filled(free_bytes: &Arc<AtomicU64>, gives_back: u64) -> Disk {
    let free_bytes = free_bytes.clone();
    Disk::scripted(move |op| match op {
        Op::Free(_) => Answer::Free(Free { bytes: free_bytes.load(Relaxed), inodes: None }),
        Op::Remove(path) if path.extension().is_some_and(|ending| ending == "jpg") => {
            free_bytes.fetch_add(gives_back, Relaxed);
            Answer::Go
        }
        _ => Answer::Go,
    })
}

fn fill(store: &mut Evidence, events: u64) {
    for number in 1..=events {
        store.deliver(&message_item(number, Phase::Start, number)).unwrap();
        store.deliver(&shot_item(number, number * 1000, 80_000)).unwrap();
    }
}

#[test]
fn the_floor_is_kept_by_deleting_the_oldest() {
    let dir = scratch();
    let free_bytes = Arc::new(AtomicU64::new(1 << 30));
    let floor = EvidenceSettings { free_mb: 100, ..settings() };
    let mut store = Evidence::on(filled(&free_bytes, 81_920), dir.path(), &floor);
    fill(&mut store, 6);
    free_bytes.store((100 << 20) - 100_000, Relaxed);
    // Nothing is written, and yet the floor is looked at.
    store.tick(at(FLOOR_MS * 2));
    assert_eq!(folders(dir.path()).first(), Some(&folder_of(3, 3)));
    store.deliver(&message_item(9, Phase::Start, 200)).unwrap();
    assert_eq!(folders(dir.path()).last(), Some(&folder_of(7, 9)));
}

#[test]
fn what_deleting_cannot_mend_deletes_nothing() {
    let dir = scratch();
    let free_bytes = Arc::new(AtomicU64::new(1 << 30));
    let floor = EvidenceSettings { free_mb: 100, ..settings() };
    let mut store = Evidence::on(filled(&free_bytes, 81_920), dir.path(), &floor);
    fill(&mut store, 6);
    free_bytes.store(50 << 20, Relaxed);
    let why = store.deliver(&message_item(9, Phase::Start, 10)).unwrap_err();
    assert!(why.is_passing() && why.to_string().contains("evidence.free_mb"), "{why}");
    store.tick(at(FLOOR_MS * 2));
    assert_eq!(folders(dir.path()).len(), 6);
    free_bytes.store(1 << 30, Relaxed);
    store.deliver(&message_item(9, Phase::Start, 10)).unwrap();
    assert_eq!(folders(dir.path()).len(), 7);
}

#[test]
fn a_disk_that_is_slow_to_give_back_is_not_emptied() {
    let dir = scratch();
    let free_bytes = Arc::new(AtomicU64::new(1 << 30));
    let floor = EvidenceSettings { free_mb: 100, ..settings() };
    let mut store = Evidence::on(filled(&free_bytes, 0), dir.path(), &floor);
    fill(&mut store, 6);
    free_bytes.store((100 << 20) - 1000, Relaxed);
    assert!(store.deliver(&message_item(9, Phase::Start, 10)).unwrap_err().is_passing());
    assert_eq!(folders(dir.path()).len(), 5);
}

#[test]
fn files_are_counted_where_the_disk_counts_them() {
    let dir = scratch();
    let inodes = Arc::new(AtomicU64::new(5000));
    let left = inodes.clone();
    let disk = Disk::scripted(move |op| match op {
        Op::Free(_) => Answer::Free(Free { bytes: u64::MAX, inodes: Some(left.load(Relaxed)) }),
        Op::Remove(_) | Op::RemoveDir(_) => {
            left.fetch_add(1, Relaxed);
            Answer::Go
        }
        _ => Answer::Go,
    });
    let mut store = Evidence::on(disk, dir.path(), &settings());
    fill(&mut store, 6);
    inodes.store(998, Relaxed);
    store.deliver(&message_item(9, Phase::Start, 10)).unwrap();
    assert_eq!(folders(dir.path()).first(), Some(&folder_of(2, 2)));
}

#[test]
fn nothing_is_written_where_no_disk_is_mounted() {
    let dir = scratch();
    let mount = dir.path().join("usb");
    fs::create_dir(&mount).unwrap();
    let required = EvidenceSettings { require_mount: Some(mount.clone()), ..settings() };
    let mut store = Evidence::new(mount.join("evidence"), &required);
    let why = store.deliver(&message_item(1, Phase::Start, 1)).unwrap_err();
    assert!(why.is_passing() && why.to_string().contains("require_mount"), "{why}");
    assert_eq!(store.open().unwrap_err().kind(), StorageErrorKind::NotMounted);
    store.tick(at(0));
    store.close();
    assert_eq!(fs::read_dir(&mount).unwrap().count(), 0);
    // Where one is, it is written to.
    let required = EvidenceSettings { require_mount: Some("/".into()), ..settings() };
    Evidence::new(dir.path(), &required).deliver(&message_item(1, Phase::Start, 1)).unwrap();
}

#[cfg(unix)]
#[test]
fn foreign_files_stay() {
    let dir = scratch();
    let old = dir.path().join("00000001-old");
    fs::create_dir(&old).unwrap();
    fs::write(old.join("0001-1.jpg"), [0; 9000]).unwrap();
    fs::write(old.join("thesis.txt"), "mine").unwrap();
    fs::create_dir(dir.path().join("00000002-only mine")).unwrap();
    fs::create_dir(dir.path().join("00000003-mine")).unwrap();
    fs::write(dir.path().join("00000003-mine/thesis.txt"), "mine").unwrap();
    fs::write(dir.path().join("00000004-file"), "mine").unwrap();
    std::os::unix::fs::symlink("/etc", dir.path().join("00000005-link")).unwrap();
    let mut store = Evidence::new(dir.path(), &settings());
    for number in 1..20 {
        store.deliver(&message_item(number, Phase::Start, number)).unwrap();
        store.deliver(&shot_item(number, number * 1000, 90_000)).unwrap();
    }
    assert!(store.usage().deleted() > 5);
    let names = folders(dir.path());
    for foreign in
        ["00000001-old", "00000002-only mine", "00000003-mine", "00000004-file", "00000005-link"]
    {
        assert!(names.iter().any(|name| name == foreign), "{foreign}: {names:?}");
    }
    assert_eq!(files(&old).keys().collect::<Vec<_>>(), ["thesis.txt"]);
    assert!(names.contains(&folder_of(24, 19)), "numbers start after the largest: {names:?}");
}

#[test]
fn a_start_clears_away_what_a_crash_left() {
    let dir = scratch();
    let mut store = Evidence::new(dir.path(), &settings());
    store.deliver(&message_item(1, Phase::Start, 1)).unwrap();
    store.deliver(&message_item(2, Phase::Start, 2)).unwrap();
    store.deliver(&shot_item(2, 2000, 300)).unwrap();
    drop(store);
    let [first, second] = [1, 2].map(|n| dir.path().join(folder_of(n, n)));
    fs::write(first.join(".0002-7.jpg.tmp"), "half").unwrap();
    // Flushed, and not yet renamed.
    fs::rename(first.join(EVENT_FILE), first.join(".event.json.tmp")).unwrap();
    fs::write(second.join(".event.json.tmp"), "{ half").unwrap();
    fs::create_dir(dir.path().join("00000003-empty")).unwrap();
    let half_removed = dir.path().join(".00000004-gone.gone");
    fs::create_dir(&half_removed).unwrap();
    fs::write(half_removed.join("0003-9.jpg"), "x").unwrap();
    let mut store = Evidence::new(dir.path(), &settings());
    store.open().unwrap();
    assert_eq!(folders(dir.path()), [folder_of(1, 1), folder_of(2, 2)]);
    assert_eq!(event_file(dir.path(), &folder_of(1, 1)).start, Some(message(1, Phase::Start, 1)));
    assert_eq!(files(&second).keys().collect::<Vec<_>>(), ["0001-2000.jpg", EVENT_FILE]);
    // An event that the crash interrupted goes on where it was, and numbers go on.
    store.deliver(&shot_item(2, 2500, 300)).unwrap();
    store.deliver(&message_item(2, Phase::End, 3)).unwrap();
    let listed = event_file(dir.path(), &folder_of(2, 2));
    assert_eq!(listed.start, Some(message(2, Phase::Start, 2)));
    assert_eq!(listed.last, Some(message(2, Phase::End, 3)));
    assert!(second.join("0002-2500.jpg").exists());
    store.deliver(&message_item(9, Phase::Start, 9)).unwrap();
    assert_eq!(folders(dir.path()).last(), Some(&folder_of(5, 9)));
}

#[test]
fn an_event_that_only_shares_its_name_has_a_folder_of_its_own() {
    let dir = scratch();
    let mut store = Evidence::new(dir.path(), &settings());
    store.deliver(&message_item(1, Phase::Start, 1)).unwrap();
    store.deliver(&message_item(1, Phase::End, 2)).unwrap();
    drop(store);
    let mut store = Evidence::new(dir.path(), &settings());
    store.deliver(&message_item(1, Phase::Start, 30)).unwrap();
    assert_eq!(folders(dir.path()), [folder_of(1, 1), folder_of(2, 1)]);
    assert_eq!(event_file(dir.path(), &folder_of(1, 1)).last, Some(message(1, Phase::End, 2)));
}

#[test]
fn names_of_events_cannot_leave_the_folder() {
    let dir = scratch();
    let inside = dir.path().join("evidence");
    let mut store = Evidence::new(&inside, &settings());
    for (number, name) in ["../../x", "", "a/b", &"y".repeat(500)].iter().enumerate() {
        let mut hostile = message(1, Phase::Start, 1);
        hostile.event = serde_json::from_value(serde_json::json!(name)).unwrap();
        store.deliver(&Item::Message(Arc::new(hostile))).unwrap();
        assert_eq!(folders(&inside).len(), number + 1);
    }
    assert_eq!(folders(dir.path()), ["evidence"]);
}

#[test]
fn many_events_at_once_keep_apart() {
    let dir = scratch();
    let mut store = Evidence::new(dir.path(), &settings());
    for number in 0..3 * MOST_OPEN as u64 {
        store.deliver(&message_item(number, Phase::Start, number)).unwrap();
        store.deliver(&shot_item(number, 500, 300)).unwrap();
    }
    for number in 0..3 * MOST_OPEN as u64 {
        store.deliver(&shot_item(number, 600, 300)).unwrap();
        store.deliver(&message_item(number, Phase::End, 100)).unwrap();
        let listed = event_file(dir.path(), &folder_of(number + 1, number));
        assert!(listed.start.is_some() && listed.last.is_some());
        let names: Vec<&str> = listed.frames.iter().map(|frame| frame.file.as_str()).collect();
        assert_eq!(names, ["0001-500.jpg", "0002-600.jpg"]);
    }
}

#[test]
fn a_folder_that_is_another_one_is_begun_anew() {
    let dir = scratch();
    let inside = dir.path().join("e");
    let mut store = Evidence::new(&inside, &settings());
    store.deliver(&message_item(1, Phase::Start, 1)).unwrap();
    fs::rename(&inside, dir.path().join("elsewhere")).unwrap();
    store.deliver(&shot_item(1, 1500, 300)).unwrap();
    store.deliver(&message_item(1, Phase::End, 2)).unwrap();
    let listed = event_file(&inside, &folder_of(1, 1));
    assert_eq!((listed.start, listed.frames.len()), (None, 1));
    assert_eq!(listed.last, Some(message(1, Phase::End, 2)));
}

#[test]
fn trouble_passes() {
    for kind in [std::io::ErrorKind::ReadOnlyFilesystem, std::io::ErrorKind::Other] {
        let dir = scratch();
        let broken = Arc::new(AtomicBool::new(false));
        let is_broken = broken.clone();
        let disk = Disk::scripted(move |op| match op {
            Op::Free(_) => Answer::Go,
            _ if is_broken.load(Relaxed) => Answer::Fail(kind),
            _ => Answer::Go,
        });
        let mut store = Evidence::on(disk, dir.path(), &settings());
        store.deliver(&message_item(1, Phase::Start, 1)).unwrap();
        store.deliver(&shot_item(1, 1500, 300)).unwrap();
        broken.store(true, Relaxed);
        assert!(store.deliver(&shot_item(1, 1600, 300)).unwrap_err().is_passing());
        assert!(store.deliver(&message_item(1, Phase::End, 2)).unwrap_err().is_passing());
        // Ticks that come to nothing are no end of the trouble.
        for ms in [100_000, 110_000, 170_000] {
            store.tick(at(ms));
            assert!(store.in_trouble);
        }
        broken.store(false, Relaxed);
        store.deliver(&shot_item(1, 1600, 300)).unwrap();
        store.deliver(&message_item(1, Phase::End, 2)).unwrap();
        assert!(!store.in_trouble);
        let listed = event_file(dir.path(), &folder_of(1, 1));
        assert_eq!((listed.frames.len(), listed.last), (2, Some(message(1, Phase::End, 2))));
        assert_eq!(files(dir.path()).len(), 3);
    }
}

#[test]
fn any_operation_may_fail_and_the_next_try_mends_it() {
    // As many operations as the story takes; each of them fails once.
    for failing in 0.. {
        let dir = scratch();
        let count = Arc::new(AtomicU64::new(0));
        let counted = count.clone();
        let disk = Disk::scripted(move |op| {
            if matches!(op, Op::Free(_)) || counted.fetch_add(1, Relaxed) != failing {
                return Answer::Go;
            }
            match op {
                Op::Write { bytes, .. } => {
                    Answer::Short(bytes.len() / 2, std::io::ErrorKind::StorageFull)
                }
                _ => Answer::Fail(std::io::ErrorKind::Other),
            }
        });
        let mut store = Evidence::on(disk, dir.path(), &settings());
        let mut errors = 0;
        for number in 1..9 {
            for item in [
                message_item(number, Phase::Start, number),
                shot_item(number, number * 1000, 200_000),
                message_item(number, Phase::End, number),
            ] {
                while let Err(why) = store.deliver(&item) {
                    assert!(why.is_passing(), "{why}");
                    errors += 1;
                }
            }
        }
        store.close();
        if count.load(Relaxed) <= failing {
            assert!(failing > 80, "{failing}");
            return;
        }
        assert!(errors <= 1);
        let mut store = Evidence::new(dir.path(), &settings());
        store.open().unwrap();
        let mut newest = folders(dir.path());
        newest.retain(|name| name.ends_with(event(8).as_str()));
        assert_eq!(newest.len(), 1);
        let newest = event_file(dir.path(), &newest[0]);
        assert_eq!((newest.frames.len(), newest.last), (1, Some(message(8, Phase::End, 8))));
        assert!(
            files(dir.path()).keys().all(|name| !name.starts_with('.') && !name.contains("/."))
        );
    }
}

#[test]
fn every_file_is_complete_after_any_power_cut() {
    let dir = scratch();
    let recorder = Recorder::new(dir.path());
    let inside = dir.path().join("e");
    let tight = EvidenceSettings { most_frames: 3, ..settings() };
    let mut promised = Vec::new();
    for start in 0..3 {
        let mut store = Evidence::on(recorder.disk(|_| Answer::Go), &inside, &tight);
        for i in 1..=4 {
            let number = start * 4 + i;
            for item in [
                message_item(number, Phase::Start, number),
                shot_item(number, number * 1000, 150_000),
                shot_item(number, number * 1000 + 1, 10_000),
            ] {
                store.deliver(&item).unwrap();
            }
            store.deliver(&message_item(number, Phase::End, number)).unwrap();
            recorder.promise();
            promised.push(number);
            store.deliver(&shot_item(number, number * 1000 + 2, 400)).unwrap();
        }
        // A process that is killed closes nothing.
        drop(store);
    }
    let states = recorder.explore_with_controls(8, |root, promises| {
        let inside = root.join("e");
        let check = |inside: &Path| {
            for (name, bytes) in files(inside) {
                let file = name.rsplit('/').next().unwrap();
                if file.starts_with('.') || name.starts_with('.') {
                    continue;
                }
                if file == EVENT_FILE {
                    serde_json::from_slice::<EventFile>(&bytes).unwrap();
                } else {
                    let mono_ms: u64 = file[5..].strip_suffix(".jpg").unwrap().parse().unwrap();
                    let len = [150_000, 10_000, 400][mono_ms as usize % 1000];
                    assert!(shot(mono_ms, len).frame.content == Content::File(bytes), "{name}");
                }
            }
        };
        if inside.exists() {
            check(&inside);
        }
        if let Some(number) = promises.checked_sub(1).map(|at| promised[at]) {
            let folder = folder_of(number, number);
            let listed = event_file(&inside, &folder);
            assert_eq!(listed.last, Some(message(number, Phase::End, number)));
            assert_eq!(listed.frames.len(), 2);
            for frame in &listed.frames {
                assert!(inside.join(&folder).join(&frame.file).exists());
            }
        }
        let mut store = Evidence::new(&inside, &tight);
        store.deliver(&message_item(99, Phase::Start, 99)).unwrap();
        check(&inside);
        assert!(store.usage().bytes() <= 1 << 20);
        let hidden =
            files(&inside).into_keys().find(|name| name.starts_with('.') || name.contains("/."));
        assert_eq!(hidden, None);
    });
    assert!(states > 1000, "{states}");
}
