use std::fs::File;
use std::io::Write as _;

use super::*;
use crate::image::{Rgb, encode_png};

const LONG: Duration = Duration::from_secs(120);

fn png(level: u8) -> Vec<u8> {
    encode_png(&Rgb { width: 2, height: 2, pixels: vec![level; 12] })
}

fn open(root: &Path) -> WatchedFolder {
    WatchedFolder::open(root, Place::default()).unwrap()
}

fn write(path: PathBuf, level: u8) {
    fs::write(path, png(level)).unwrap();
}

/// The name of the next picture, and its level of grey.
fn next(camera: &mut WatchedFolder) -> (String, u8) {
    match camera.next_frame(LONG) {
        Ok(Next::Frame(frame)) => {
            let level = frame.picture().unwrap().pixels[0];
            (frame.name, level)
        }
        other => panic!("no frame: {other:?}"),
    }
}

fn is_quiet(camera: &mut WatchedFolder) -> bool {
    // The kernel tells of a change before the call that made it returns.
    matches!(camera.next_frame(Duration::ZERO), Ok(Next::Late))
}

#[test]
fn existing_pictures_come_in_the_order_of_their_names_and_then_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::create_dir(root.join("b")).unwrap();
    for (at, name) in ["c.png", "a.png", "b/1.png", ".hidden.png", "note.txt"].iter().enumerate() {
        write(root.join(name), at as u8);
    }
    let mut camera = open(root);
    for expected in [("a.png", 1), ("b/1.png", 2), ("c.png", 0)] {
        assert_eq!(next(&mut camera), (expected.0.to_string(), expected.1));
    }
    assert!(is_quiet(&mut camera));
    for (name, level) in [("z.png", 7), ("0.png", 8), ("b/0.png", 9)] {
        write(root.join(name), level);
        assert_eq!(next(&mut camera), (name.to_string(), level));
    }
    write(root.join("later.txt"), 1);
    write(root.join(".later.png"), 1);
    assert!(is_quiet(&mut camera));
}

#[test]
fn a_picture_counts_when_it_is_closed_or_moved_in_and_never_before() {
    let dir = tempfile::tempdir().unwrap();
    let (root, outside) = (dir.path().join("in"), dir.path().join("out"));
    fs::create_dir(&root).unwrap();
    fs::create_dir(&outside).unwrap();
    let mut camera = open(&root);
    let (bytes, path) = (png(5), root.join("slow.png"));
    let mut file = File::create(&path).unwrap();
    for part in bytes.chunks(bytes.len() / 3) {
        file.write_all(part).unwrap();
        assert!(is_quiet(&mut camera));
    }
    drop(file);
    assert_eq!(next(&mut camera), ("slow.png".to_string(), 5));

    write(outside.join("x.tmp"), 6);
    fs::rename(outside.join("x.tmp"), root.join("moved.png")).unwrap();
    assert_eq!(next(&mut camera), ("moved.png".to_string(), 6));
    write(root.join(".moved.part"), 7);
    fs::rename(root.join(".moved.part"), root.join("moved.png")).unwrap();
    assert_eq!(next(&mut camera), ("moved.png".to_string(), 7));
    write(root.join("slow.png"), 8);
    assert_eq!(next(&mut camera), ("slow.png".to_string(), 8));
    assert!(is_quiet(&mut camera));
}

#[test]
fn links_count_when_they_are_made() {
    let dir = tempfile::tempdir().unwrap();
    let (root, outside) = (dir.path().join("in"), dir.path().join("out"));
    fs::create_dir(&root).unwrap();
    fs::create_dir(&outside).unwrap();
    let mut camera = open(&root);
    write(outside.join("a.png"), 5);
    std::os::unix::fs::symlink(outside.join("a.png"), root.join("soft.png")).unwrap();
    assert_eq!(next(&mut camera), ("soft.png".to_string(), 5));
    fs::hard_link(outside.join("a.png"), root.join("hard.png")).unwrap();
    assert_eq!(next(&mut camera), ("hard.png".to_string(), 5));
    std::os::unix::fs::symlink(&outside, root.join("folder.png")).unwrap();
    std::os::unix::fs::symlink(outside.join("none.png"), root.join("broken.png")).unwrap();
    assert!(is_quiet(&mut camera));
}

#[test]
fn half_a_picture_that_is_there_already_is_a_passing_trouble_and_comes_when_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = png(5);
    let jpeg = fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/image/exif-orientation-6.jpg"),
    )
    .unwrap();
    let mut file = File::create(dir.path().join("a.png")).unwrap();
    file.write_all(&bytes[..30]).unwrap();
    fs::write(dir.path().join("b.jpg"), &jpeg[..jpeg.len() - 1]).unwrap();
    fs::write(dir.path().join("c.png"), &bytes[..4]).unwrap();
    File::create(dir.path().join("d.jpg")).unwrap();
    write(dir.path().join("e.png"), 9);
    let mut camera = open(dir.path());
    for name in ["a.png", "b.jpg", "c.png"] {
        let cut = camera.next_frame(LONG).unwrap_err();
        assert!(cut.kind() == CameraErrorKind::Cut && cut.is_passing(), "{cut}");
        assert!(cut.to_string().contains(name), "{cut}");
    }
    assert_eq!(next(&mut camera), ("e.png".to_string(), 9));
    file.write_all(&bytes[30..]).unwrap();
    assert!(is_quiet(&mut camera));
    drop(file);
    assert_eq!(next(&mut camera), ("a.png".to_string(), 5));
}

#[test]
fn a_picture_that_is_gone_or_rewritten_before_it_is_read_is_no_trouble() {
    let dir = tempfile::tempdir().unwrap();
    let mut camera = open(dir.path());
    for level in 1..4 {
        write(dir.path().join("ring.png"), level);
    }
    write(dir.path().join("gone.png"), 9);
    fs::remove_file(dir.path().join("gone.png")).unwrap();
    assert_eq!(next(&mut camera), ("ring.png".to_string(), 3));
    assert!(is_quiet(&mut camera));
}

#[test]
fn other_things_by_the_name_of_a_picture_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("pipe.png");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    std::os::unix::fs::symlink("/no/such/file", dir.path().join("dangling.png")).unwrap();
    fs::create_dir(dir.path().join("folder.png")).unwrap();
    let mut camera = open(dir.path());
    fs::rename(&fifo, dir.path().join("renamed.png")).unwrap();
    assert!(is_quiet(&mut camera));
}

#[test]
fn folders_that_come_and_go_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (root, outside) = (dir.path().join("in"), dir.path().join("out"));
    fs::create_dir_all(root.join("old")).unwrap();
    fs::create_dir(&outside).unwrap();
    let mut camera = open(&root);
    write(root.join("zzz.png"), 9);
    assert_eq!(next(&mut camera), ("zzz.png".to_string(), 9));

    // Made and filled before we hear of it: the pictures come once.
    fs::create_dir_all(root.join("2026/11/26")).unwrap();
    write(root.join("2026/11/26/b.png"), 2);
    write(root.join("2026/11/26/a.png"), 1);
    assert_eq!(next(&mut camera), ("2026/11/26/a.png".to_string(), 1));
    assert_eq!(next(&mut camera), ("2026/11/26/b.png".to_string(), 2));
    assert!(is_quiet(&mut camera));
    write(root.join("2026/11/26/c.png"), 3);
    assert_eq!(next(&mut camera), ("2026/11/26/c.png".to_string(), 3));

    fs::create_dir(outside.join("day")).unwrap();
    write(outside.join("day/x.png"), 4);
    fs::rename(outside.join("day"), root.join("day")).unwrap();
    assert_eq!(next(&mut camera), ("day/x.png".to_string(), 4));

    // What was moved away is no longer ours, also under a name that it does not have any more.
    fs::rename(root.join("2026"), outside.join("2026")).unwrap();
    write(outside.join("2026/11/26/d.png"), 5);
    assert!(is_quiet(&mut camera));
    fs::rename(root.join("day"), root.join("night")).unwrap();
    assert_eq!(next(&mut camera), ("night/x.png".to_string(), 4));
    write(root.join("night/y.png"), 6);
    assert_eq!(next(&mut camera), ("night/y.png".to_string(), 6));

    fs::remove_dir_all(root.join("night")).unwrap();
    fs::remove_dir(root.join("old")).unwrap();
    assert!(is_quiet(&mut camera));
    write(root.join("still.png"), 7);
    assert_eq!(next(&mut camera), ("still.png".to_string(), 7));
}

#[test]
fn links_to_folders_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (root, outside) = (dir.path().join("in"), dir.path().join("out"));
    fs::create_dir(&root).unwrap();
    fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink(&root, root.join("loop")).unwrap();
    let mut camera = open(&root);
    std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
    write(outside.join("x.png"), 1);
    assert!(is_quiet(&mut camera));
    // The folder itself may be one, and a picture too.
    let alias = dir.path().join("alias");
    std::os::unix::fs::symlink(&outside, &alias).unwrap();
    assert_eq!(next(&mut open(&alias)), ("x.png".to_string(), 1));
    std::os::unix::fs::symlink(outside.join("x.png"), root.join("y.png")).unwrap();
    assert_eq!(next(&mut open(&root)), ("y.png".to_string(), 1));
}

#[test]
fn a_folder_that_is_lost_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("in");
    let source = crate::camera::SourceUri::Dir { path: root.clone(), once: false };
    let mut open = source.opener();
    assert_eq!(open().err().map(|e| e.kind()), Some(CameraErrorKind::Missing));
    fs::create_dir(&root).unwrap();
    write(root.join("1.png"), 1);
    write(root.join("2.png"), 2);
    let mut camera = open().unwrap();
    let name = |camera: &mut Box<dyn FrameSource>| match camera.next_frame(LONG).unwrap() {
        Next::Frame(frame) => frame.name,
        other => panic!("{other:?}"),
    };
    assert_eq!([name(&mut camera), name(&mut camera)], ["1.png", "2.png"]);

    fs::rename(&root, dir.path().join("away")).unwrap();
    let lost = camera.next_frame(LONG).unwrap_err();
    assert!(lost.kind() == CameraErrorKind::Lost && !lost.is_passing(), "{lost}");
    assert!(open().is_err());
    write(dir.path().join("away/3.png"), 3);
    fs::rename(dir.path().join("away"), &root).unwrap();
    let mut camera = open().unwrap();
    assert_eq!(name(&mut camera), "3.png");

    fs::remove_dir_all(&root).unwrap();
    while camera.next_frame(Duration::ZERO).is_ok() {}
    assert!(open().is_err());
}

#[test]
fn news_that_the_kernel_forgot_are_found_by_name() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path().join("m.png"), 1);
    let mut camera = open(dir.path());
    assert_eq!(next(&mut camera), ("m.png".to_string(), 1));
    let queue = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let queue: u64 = queue.trim().parse().unwrap();
    if queue > 100_000 {
        println!("SKIP: the kernel's queue of {queue} events is too long to be filled here");
        return;
    }
    // Events that nobody waits for, until the queue is full.
    let noise = [dir.path().join("noise.txt"), dir.path().join("noise2.txt")];
    for at in 0..=queue {
        fs::write(&noise[at as usize % 2], b"").unwrap();
    }
    write(dir.path().join("n.png"), 2);
    write(dir.path().join("a.png"), 3);
    assert_eq!(next(&mut camera), ("n.png".to_string(), 2));
    assert!(is_quiet(&mut camera));
    write(dir.path().join("o.png"), 4);
    assert_eq!(next(&mut camera), ("o.png".to_string(), 4));
}
