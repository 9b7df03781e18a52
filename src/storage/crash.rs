//! What a power cut can leave of a series of changes: every state that the rules of storage allow, none of which any file
//! system's better order is trusted to rule out.
//!
//! A [`Recorder`] watches a disk. [`Recorder::explore`] stops after each change, draws what may have reached the disk, lays
//! it out in a folder, and lets a test look at it:
//!
//! - a file holds what it held when it was last flushed, and of the writes since then any, each whole, in part, or as
//!   bytes that somebody else left there;
//! - a name made, changed or removed since its folder was last flushed may have changed or not, one without the other.
//!   Only a rename is one step.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::{Answer, Disk, Op};
use crate::random::Random;

/// Watches the changes below a folder.
#[derive(Clone)]
pub(crate) struct Recorder {
    root: PathBuf,
    log: Arc<Mutex<Vec<Step>>>,
}

#[derive(Clone, Debug)]
enum Step {
    Create(PathBuf),
    Write(PathBuf, u64, Vec<u8>),
    Cut(PathBuf, u64),
    Sync(PathBuf),
    SyncDir(PathBuf),
    Rename(PathBuf, PathBuf),
    Exchange(PathBuf, PathBuf),
    Remove(PathBuf),
    MakeDir(PathBuf),
    /// The test was promised something.
    Promise,
}

impl Recorder {
    /// Watches what happens below `root`, which must be empty.
    pub(crate) fn new(root: &Path) -> Recorder {
        assert_eq!(fs::read_dir(root).unwrap().count(), 0);
        Recorder { root: root.to_path_buf(), log: Arc::default() }
    }

    /// The disk that is watched; `answer` may let a change fail, which is then not recorded.
    pub(crate) fn disk(&self, answer: impl Fn(&Op<'_>) -> Answer + Send + Sync + 'static) -> Disk {
        let recorder = self.clone();
        Disk::scripted(move |op| {
            let answer = answer(op);
            if let Answer::Go | Answer::Short(..) = answer {
                recorder.record(op, &answer);
            }
            answer
        })
    }

    /// Notes that what was asked for so far must survive from here on. Returns the count of promises.
    pub(crate) fn promise(&self) -> usize {
        let mut log = self.log.lock().unwrap();
        log.push(Step::Promise);
        log.iter().filter(|step| matches!(step, Step::Promise)).count()
    }

    /// The same changes by a program that forgets to flush: files, or folders.
    pub(crate) fn forgetting(&self, flush: Flush) -> Recorder {
        let is_kept = |step: &&Step| match flush {
            Flush::Files => !matches!(step, Step::Sync(_)),
            Flush::Folders => !matches!(step, Step::SyncDir(_)),
        };
        let log = self.log.lock().unwrap().iter().filter(is_kept).cloned().collect();
        Recorder { root: self.root.clone(), log: Arc::new(Mutex::new(log)) }
    }

    /// Checks that `check` holds in every state, and that it notices when the flushes of files or of folders are missing.
    /// Returns how many states there were.
    pub(crate) fn explore_with_controls(
        &self,
        samples: usize,
        check: impl Fn(&Path, usize),
    ) -> usize {
        for flush in [Flush::Files, Flush::Folders] {
            let careless = self.forgetting(flush);
            let noticed = catch_unwind(AssertUnwindSafe(|| careless.explore(samples, &check)));
            assert!(noticed.is_err(), "the test does not notice missing flushes of {flush:?}");
        }
        self.explore(samples, check)
    }

    fn record(&self, op: &Op<'_>, answer: &Answer) {
        let below = |path: &Path| path.strip_prefix(&self.root).map(Path::to_path_buf);
        let step = (|| {
            Ok::<Step, std::path::StripPrefixError>(match *op {
                Op::Create(path) => Step::Create(below(path)?),
                Op::Write { path, offset, bytes } => {
                    let take =
                        if let Answer::Short(take, _) = *answer { take } else { bytes.len() };
                    Step::Write(below(path)?, offset, bytes[..take.min(bytes.len())].to_vec())
                }
                Op::Cut { path, len } => Step::Cut(below(path)?, len),
                Op::Sync(path) => Step::Sync(below(path)?),
                Op::SyncDir(path) => Step::SyncDir(below(path)?),
                Op::Rename { from, to } => Step::Rename(below(from)?, below(to)?),
                Op::Exchange { a, b } => Step::Exchange(below(a)?, below(b)?),
                Op::Remove(path) | Op::RemoveDir(path) => Step::Remove(below(path)?),
                Op::MakeDir(path) => Step::MakeDir(below(path)?),
                Op::Free(_) => return Ok(Step::SyncDir(PathBuf::from("?"))),
            })
        })();
        // Folders above the root are flushed, too; they are none of ours.
        if let Ok(step) = step
            && !matches!(&step, Step::SyncDir(path) if path == Path::new("?"))
        {
            self.log.lock().unwrap().push(step);
        }
    }

    /// Lays out `samples` states after each change and calls `check` with the folder and the number of promises that
    /// were given by then. Returns how many states there were.
    pub(crate) fn explore(&self, samples: usize, mut check: impl FnMut(&Path, usize)) -> usize {
        let mut random = Random::new(23);
        let mut world = World::new();
        let (mut promises, mut states) = (0, 0);
        let steps = self.log.lock().unwrap().clone();
        for step in &steps {
            world.apply(step);
            promises += usize::from(matches!(step, Step::Promise));
            for sample in 0..samples {
                let folder = scratch();
                let order = Order::ALL[sample % Order::ALL.len()];
                world.lay_out(folder.path(), order, &mut random);
                check(folder.path(), promises);
                states += 1;
            }
        }
        states
    }
}

/// A folder in memory where the machine has one: a state is looked at and thrown away.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    match memory.is_dir().then(|| tempfile::tempdir_in(memory)) {
        Some(Ok(folder)) => folder,
        _ => tempfile::tempdir().unwrap(),
    }
}

/// What a careless program forgets to flush.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flush {
    Files,
    Folders,
}

/// Which unflushed names have reached the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    None,
    /// Up to some change, as a journal of the file system keeps them.
    First,
    Any,
    All,
}

impl Order {
    const ALL: [Order; 4] = [Order::Any, Order::First, Order::None, Order::All];
}

const ROOT: usize = 0;

/// Files and folders by number, as inodes are.
struct World {
    files: BTreeMap<usize, File>,
    folders: BTreeSet<usize>,
    /// Names as a running system sees them.
    names: BTreeMap<(usize, String), usize>,
    changes: Vec<Change>,
    next: usize,
}

#[derive(Default)]
struct File {
    flushed: Vec<u8>,
    now: Vec<u8>,
    /// Since the last flush: bytes at an offset, or a new length.
    since: Vec<(u64, Option<Vec<u8>>)>,
}

/// One change of names: each is given a meaning or loses it.
struct Change {
    names: Vec<(usize, String, Option<usize>)>,
    flushed: bool,
}

impl World {
    fn new() -> World {
        let (files, names) = (BTreeMap::new(), BTreeMap::new());
        World { files, folders: [ROOT].into(), names, changes: Vec::new(), next: 1 }
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Create(path) => {
                let new = self.new_number();
                self.files.insert(new, File::default());
                self.change(&[(path, Some(new))]);
            }
            Step::MakeDir(path) => {
                let new = self.new_number();
                self.folders.insert(new);
                self.change(&[(path, Some(new))]);
            }
            Step::Write(path, offset, bytes) => self.file(path).write(*offset, Some(bytes.clone())),
            Step::Cut(path, len) => self.file(path).write(*len, None),
            Step::Sync(path) => {
                let file = self.file(path);
                file.flushed = file.now.clone();
                file.since.clear();
            }
            Step::SyncDir(path) => {
                let folder = self.find(path).unwrap();
                for change in &mut self.changes {
                    change.flushed |= change.names.iter().any(|(of, ..)| *of == folder);
                }
            }
            Step::Rename(from, to) => {
                let moved = self.find(from);
                self.change(&[(from, None), (to, moved)]);
            }
            Step::Exchange(a, b) => {
                let (was_a, was_b) = (self.find(a), self.find(b));
                self.change(&[(a, was_b), (b, was_a)]);
            }
            Step::Remove(path) => self.change(&[(path, None)]),
            Step::Promise => {}
        }
    }

    fn new_number(&mut self) -> usize {
        self.next += 1;
        self.next
    }

    fn change(&mut self, names: &[(&PathBuf, Option<usize>)]) {
        let mut all = Vec::new();
        for (path, meaning) in names {
            let folder = self.find(path.parent().unwrap()).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap().to_string();
            match meaning {
                Some(number) => drop(self.names.insert((folder, name.clone()), *number)),
                None => drop(self.names.remove(&(folder, name.clone()))),
            }
            all.push((folder, name, *meaning));
        }
        self.changes.push(Change { names: all, flushed: false });
    }

    fn find(&self, path: &Path) -> Option<usize> {
        path.components().try_fold(ROOT, |folder, part| {
            let Component::Normal(name) = part else { return Some(folder) };
            self.names.get(&(folder, name.to_str()?.to_string())).copied()
        })
    }

    fn file(&mut self, path: &Path) -> &mut File {
        let number = self.find(path).unwrap_or_else(|| panic!("no {}", path.display()));
        self.files.get_mut(&number).unwrap()
    }

    /// Draws a state and lays it out in an empty folder.
    fn lay_out(&self, to: &Path, order: Order, random: &mut Random) {
        let unflushed = self.changes.iter().filter(|change| !change.flushed).count() as u64;
        let first = random.below(unflushed + 1);
        let mut seen = 0;
        let mut names = BTreeMap::new();
        for change in &self.changes {
            let mut happened = change.flushed;
            if !happened {
                seen += 1;
                happened = match order {
                    Order::None => false,
                    Order::First => seen <= first,
                    Order::Any => random.below(2) == 0,
                    Order::All => true,
                };
            }
            for (folder, name, meaning) in change.names.iter().filter(|_| happened) {
                match meaning {
                    Some(number) => drop(names.insert((*folder, name.as_str()), *number)),
                    None => drop(names.remove(&(*folder, name.as_str()))),
                }
            }
        }
        self.lay_out_folder(ROOT, to, &names, random);
    }

    fn lay_out_folder(
        &self,
        folder: usize,
        to: &Path,
        names: &BTreeMap<(usize, &str), usize>,
        random: &mut Random,
    ) {
        for ((_, name), number) in names.range((folder, "")..(folder + 1, "")) {
            let path = to.join(name);
            if self.folders.contains(number) {
                fs::create_dir(&path).unwrap();
                self.lay_out_folder(*number, &path, names, random);
            } else {
                fs::write(&path, self.files[number].draw(random)).unwrap();
            }
        }
    }
}

impl File {
    fn write(&mut self, at: u64, bytes: Option<Vec<u8>>) {
        put(&mut self.now, at as usize, bytes.as_deref());
        self.since.push((at, bytes));
    }

    /// The bytes after a power cut.
    fn draw(&self, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.flushed.clone();
        for (at, written) in &self.since {
            let at = *at as usize;
            match (random.below(5), written) {
                (0, _) => {}
                (_, None) => put(&mut bytes, at, None),
                (1 | 2, Some(written)) => put(&mut bytes, at, Some(written)),
                (3, Some(written)) => {
                    let part = random.below(written.len() as u64 + 1) as usize;
                    put(&mut bytes, at, Some(&written[..part]));
                }
                // The length is there and the bytes are not: zeros, or what the blocks held before.
                (_, Some(written)) => {
                    let old = if random.below(2) == 0 { 0 } else { b'{' };
                    put(&mut bytes, at, Some(&vec![old; written.len()]));
                }
            }
        }
        bytes
    }
}

fn put(file: &mut Vec<u8>, at: usize, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            let end = at + bytes.len();
            file.resize(file.len().max(end), 0);
            file[at..end].copy_from_slice(bytes);
        }
        None => file.resize(at, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The explorer finds what it is there to find: a rename without a flush.
    #[test]
    fn a_careless_replacement_is_caught() {
        let folder = scratch();
        let recorder = Recorder::new(folder.path());
        let disk = recorder.disk(|_| Answer::Go);
        let (at, temporary) = (folder.path().join("a"), folder.path().join("b"));
        disk.replace(&at, b"old").unwrap();
        recorder.promise();
        disk.create(&temporary).unwrap().write(0, b"new").unwrap();
        disk.rename(&temporary, &at).unwrap();
        let mut seen = BTreeSet::new();
        recorder.explore(40, |folder, promises| {
            if promises == 1 {
                seen.insert(fs::read(folder.join("a")).unwrap());
            }
        });
        assert!(seen.contains(b"old".as_slice()) && seen.contains(b"new".as_slice()));
        assert!(seen.contains(b"".as_slice()) && seen.contains([0; 3].as_slice()), "{seen:?}");
    }
}
