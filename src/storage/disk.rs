//! Every change that this program makes to a disk.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Free, parent, system};

/// A disk: the machine's, or one that a simulation fills, breaks and watches.
#[derive(Clone, Default)]
pub struct Disk {
    script: Option<Arc<Script>>,
}

type Script = dyn Fn(&Op<'_>) -> Answer + Send + Sync;

/// A change of the disk that is about to happen, or a question about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Op<'a> {
    /// A new, empty file.
    Create(&'a Path),
    Write {
        path: &'a Path,
        offset: u64,
        bytes: &'a [u8],
    },
    /// A file is made shorter.
    Cut {
        path: &'a Path,
        len: u64,
    },
    /// A file's bytes are flushed.
    Sync(&'a Path),
    /// A folder's names are flushed.
    SyncDir(&'a Path),
    Rename {
        from: &'a Path,
        to: &'a Path,
    },
    /// Two names are exchanged.
    Exchange {
        a: &'a Path,
        b: &'a Path,
    },
    Remove(&'a Path),
    MakeDir(&'a Path),
    RemoveDir(&'a Path),
    /// How much room is there?
    Free(&'a Path),
}

/// What a simulated disk does with an [`Op`].
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// It happens.
    Go,
    /// It fails; nothing happened.
    Fail(io::ErrorKind),
    /// A write stops after this many bytes and fails.
    Short(usize, io::ErrorKind),
    /// The answer to [`Op::Free`].
    Free(Free),
}

impl Disk {
    /// A disk that asks `script` before each change. What it lets through happens on the machine's disk.
    pub fn scripted(script: impl Fn(&Op<'_>) -> Answer + Send + Sync + 'static) -> Disk {
        Disk { script: Some(Arc::new(script)) }
    }

    /// As [`super::replace`].
    pub fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.put(path, bytes)?;
        self.sync_dir(&parent(path))
    }

    /// As [`super::replace`], but after a power cut the old file may be back until the folder was flushed
    /// ([`Disk::sync_dir`]): one flush does for many files.
    pub fn put(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let Some(name) = path.file_name() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
        };
        let temporary = parent(path).join(temporary_name(&name.to_string_lossy()));
        let created = match self.create(&temporary) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                self.remove(&temporary).and_then(|()| self.create(&temporary))
            }
            created => created,
        };
        let written = created.and_then(|file| {
            file.write(0, bytes)?;
            file.sync()
        });
        let done = written.and_then(|()| self.rename(&temporary, path));
        if done.is_err() {
            // The error that is reported is the first one. What is left here is written over next time.
            let _ = self.remove(&temporary);
        }
        done
    }

    /// A new, empty file; [`io::ErrorKind::AlreadyExists`] if anything has the name.
    pub fn create(&self, path: &Path) -> io::Result<DiskFile> {
        self.ask(Op::Create(path))?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        Ok(DiskFile { file, path: path.to_path_buf(), disk: self.clone() })
    }

    /// An existing file, for reading and writing.
    pub fn open(&self, path: &Path) -> io::Result<DiskFile> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(DiskFile { file, path: path.to_path_buf(), disk: self.clone() })
    }

    /// Flushes a file that somebody else wrote; it need not be writable.
    pub fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.ask(Op::Sync(path))?;
        File::open(path)?.sync_all()
    }

    /// Flushes a folder's names; where a file system has no such thing, there is nothing to do.
    pub fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.ask(Op::SyncDir(path))?;
        system::sync_dir(path)
    }

    /// Gives a file or folder another name; a file that has it already is replaced.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.ask(Op::Rename { from, to })?;
        fs::rename(from, to)
    }

    /// Exchanges two names in one step. [`io::ErrorKind::Unsupported`] where the file system cannot.
    pub fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        self.ask(Op::Exchange { a, b })?;
        system::exchange(a, b)
    }

    /// Removes a file, or a link.
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        self.ask(Op::Remove(path))?;
        fs::remove_file(path)
    }

    /// Makes one folder.
    pub fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.ask(Op::MakeDir(path))?;
        fs::create_dir(path)
    }

    /// Makes a folder and those above it that are missing; they last when this returns.
    ///
    /// # Errors
    ///
    /// The system's; [`io::ErrorKind::NotADirectory`] if something else has the name.
    pub fn make_dirs(&self, path: &Path) -> io::Result<()> {
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => return Ok(()),
            Ok(_) => {
                let why = "there is a file in the folder's place";
                return Err(io::Error::new(io::ErrorKind::NotADirectory, why));
            }
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            Err(_) => {}
        }
        let above = parent(path);
        self.make_dirs(&above)?;
        match self.make_dir(path) {
            // Another program was faster.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            made => made.and_then(|()| self.sync_dir(&above)),
        }
    }

    /// Flushes the names of the folders above, as far as they can be read: a predecessor may have been killed between
    /// making a folder and flushing its name.
    pub fn sync_above(&self, path: &Path) {
        for below in path.ancestors().filter(|below| below.file_name().is_some()) {
            let _ = self.sync_dir(&parent(below));
        }
    }

    /// Removes an empty folder.
    pub fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.ask(Op::RemoveDir(path))?;
        fs::remove_dir(path)
    }

    /// As [`super::free`].
    pub fn free(&self, path: &Path) -> io::Result<Free> {
        match self.answer(Op::Free(path)) {
            Answer::Free(free) => Ok(free),
            Answer::Fail(kind) | Answer::Short(_, kind) => Err(kind.into()),
            Answer::Go => system::free(path),
        }
    }

    fn answer(&self, op: Op<'_>) -> Answer {
        self.script.as_ref().map_or(Answer::Go, |script| script(&op))
    }

    fn ask(&self, op: Op<'_>) -> io::Result<()> {
        match self.answer(op) {
            Answer::Go | Answer::Free(_) => Ok(()),
            Answer::Fail(kind) | Answer::Short(_, kind) => Err(kind.into()),
        }
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.script.is_some() { "Disk(scripted)" } else { "Disk" })
    }
}

/// What [`Disk::put`] calls a file that is not yet complete.
pub(crate) fn temporary_name(name: &str) -> String {
    format!(".{name}.tmp")
}

/// Whether [`Disk::put`] may have left this file behind, given which files it is called for.
pub(crate) fn is_temporary_name(name: &str, is_ours: impl Fn(&str) -> bool) -> bool {
    name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp")).is_some_and(is_ours)
}

/// An open file of a [`Disk`].
#[derive(Debug)]
pub struct DiskFile {
    file: File,
    path: PathBuf,
    disk: Disk,
}

impl DiskFile {
    /// Writes all bytes at an offset. After an error any number of them may be there.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (take, then) = match self.disk.answer(Op::Write { path: &self.path, offset, bytes }) {
            Answer::Go | Answer::Free(_) => (bytes.len(), Ok(())),
            Answer::Fail(kind) => (0, Err(kind)),
            Answer::Short(take, kind) => (take.min(bytes.len()), Err(kind)),
        };
        let mut file = &self.file;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(&bytes[..take])?;
        then.map_err(io::Error::from)
    }

    /// Makes the file `len` bytes long.
    pub fn cut(&self, len: u64) -> io::Result<()> {
        self.disk.ask(Op::Cut { path: &self.path, len })?;
        self.file.set_len(len)
    }

    /// Flushes the bytes to the disk. After an error nothing is known of bytes that were written since the last flush
    /// that worked: the kernel forgets that they are unwritten, so a second try proves nothing. Write them elsewhere.
    pub fn sync(&self) -> io::Result<()> {
        self.disk.ask(Op::Sync(&self.path))?;
        self.file.sync_data()
    }

    /// Whether the file still has a name: somebody may have removed it.
    pub fn is_named(&self) -> bool {
        system::is_named(&self.file)
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The last byte before `end`, if there is one.
    pub(crate) fn byte_before(&self, end: u64) -> io::Result<Option<u8>> {
        let Some(at) = end.checked_sub(1) else { return Ok(None) };
        let mut file = &self.file;
        file.seek(SeekFrom::Start(at))?;
        let mut byte = [0];
        io::Read::read_exact(&mut file, &mut byte)?;
        Ok(Some(byte[0]))
    }
}
