//! Stored pictures as a camera: a folder, or a tar archive read as a stream.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{CameraError, CameraErrorKind, Content, Frame, FrameSource, Next};
use crate::storage::{packed, tar_trouble};

/// File name endings that are tried as pictures. Some cannot be decoded, but skipping them silently
/// would hide that from the user.
const ENDINGS: &[&str] =
    &["jpg", "jpeg", "jpe", "png", "gif", "webp", "bmp", "tif", "tiff", "heic", "avif"];

/// No picture file is longer than this.
const MAX_BYTES: u64 = 256 << 20;

/// One stored picture, still encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Path inside of the folder or archive, with `/` between its parts.
    pub name: String,
    pub bytes: Vec<u8>,
}

/// Pictures of a folder (in the order of their names) or of a tar (in the archive's order).
pub enum Stored {
    Folder { root: PathBuf, rest: std::vec::IntoIter<PathBuf> },
    Tar { path: PathBuf, reader: TarReader },
}

impl Stored {
    /// Opens a folder, or anything else as a tar archive.
    pub fn open(path: &Path) -> Result<Stored, CameraError> {
        if path.is_dir() { Stored::folder(path) } else { Stored::tar(path) }
    }

    /// Lists a folder, with its subfolders.
    pub fn folder(root: &Path) -> Result<Stored, CameraError> {
        let mut files = Vec::new();
        list(root, &mut files)?;
        if files.is_empty() {
            let why = format!("{}: no JPEG or PNG files in this folder", root.display());
            return Err(CameraError::new(CameraErrorKind::Missing, why));
        }
        files.sort();
        Ok(Stored::Folder { root: root.to_path_buf(), rest: files.into_iter() })
    }

    /// Opens a tar archive; nothing of it is unpacked.
    pub fn tar(path: &Path) -> Result<Stored, CameraError> {
        let mut file = BufReader::new(File::open(path).map_err(|e| read_error(path, e))?);
        let mut magic = [0; 6];
        let held = file.read(&mut magic).map_err(|e| read_error(path, e))?;
        if held == 0 {
            let why = format!("{}: the file is empty", path.display());
            return Err(CameraError::new(CameraErrorKind::Missing, why));
        }
        if let Some(why) = packed(&magic) {
            let why = format!("{}: {why}", path.display());
            return Err(CameraError::new(CameraErrorKind::Read, why));
        }
        file.seek_relative(-(held as i64)).map_err(|e| read_error(path, e))?;
        Ok(Stored::Tar { path: path.to_path_buf(), reader: TarReader { inner: file } })
    }

    /// How many pictures are left, for a progress bar; a tar's members are counted by its headers.
    /// `None` for a tar that cannot be read twice or is damaged.
    pub fn count(&self) -> Option<usize> {
        match self {
            Stored::Folder { rest, .. } => Some(rest.len()),
            Stored::Tar { path, .. } => count_members(path).ok().filter(|count| *count > 0),
        }
    }

    /// The next picture's bytes; `None` at the end. After a [`CameraErrorKind::Picture`] error the
    /// next picture can be asked for; every other error is final.
    pub fn next_encoded(&mut self) -> Option<Result<Encoded, CameraError>> {
        match self {
            Stored::Folder { root, rest } => {
                let path = rest.next()?;
                let name = name_in(root, &path);
                Some(read_picture(&path).map(|bytes| Encoded { name, bytes }).map_err(|e| {
                    let why = format!("{}: {e}", path.display());
                    CameraError::new(CameraErrorKind::Picture, why)
                }))
            }
            Stored::Tar { path, reader } => match reader.next_file() {
                Ok(found) => found.map(Ok),
                Err(e) => Some(Err(tar_error(path, e))),
            },
        }
    }
}

/// [`Stored`] pictures as a frame source.
pub struct StoredCamera {
    stored: Stored,
    seq: u64,
}

impl StoredCamera {
    /// Plays the pictures once.
    pub fn new(stored: Stored) -> StoredCamera {
        StoredCamera { stored, seq: 0 }
    }
}

impl FrameSource for StoredCamera {
    fn next_frame(&mut self, _: Duration) -> Result<Next, CameraError> {
        let Some(encoded) = self.stored.next_encoded() else { return Ok(Next::Ended) };
        let Encoded { name, bytes } = encoded?;
        let seq = self.seq;
        self.seq += 1;
        Ok(Next::Frame(Frame { seq, name, content: Content::File(bytes) }))
    }
}

/// Whether a file is tried as a picture, by its name; hidden files are not.
pub(super) fn is_picture(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let ending = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    !hidden && ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

/// A picture file's bytes, as far as they are kept.
pub(super) fn read_picture(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What a picture of a folder is called: its path inside of it, with `/` between its parts.
pub(super) fn name_in(root: &Path, path: &Path) -> String {
    let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy();
    name.replace(std::path::MAIN_SEPARATOR, "/")
}

fn list(dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), CameraError> {
    let (folders, pictures) = list_one(dir)?;
    files.extend(pictures);
    folders.iter().try_for_each(|folder| list(folder, files))
}

/// The folders and the pictures in a folder, in no order. A link to a folder could lead back up, so only links to files
/// are followed.
pub(super) fn list_one(dir: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), CameraError> {
    let (mut folders, mut pictures) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(dir).map_err(|e| read_error(dir, e))? {
        let entry = entry.map_err(|e| read_error(dir, e))?;
        let kind = entry.file_type().map_err(|e| read_error(dir, e))?;
        let path = entry.path();
        if kind.is_dir() {
            folders.push(path);
        } else if is_picture(&path) && path.is_file() {
            pictures.push(path);
        }
    }
    Ok((folders, pictures))
}

fn count_members(path: &Path) -> io::Result<usize> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(0);
    }
    let mut count = 0;
    for entry in tar::Archive::new(BufReader::new(file)).entries_with_seek()? {
        let entry = entry?;
        count += usize::from(entry.header().entry_type().is_file() && is_picture(&entry.path()?));
    }
    Ok(count)
}

fn read_error(path: &Path, e: io::Error) -> CameraError {
    let kind = match e.kind() {
        io::ErrorKind::NotFound => CameraErrorKind::Missing,
        _ => CameraErrorKind::Read,
    };
    CameraError::new(kind, format!("{}: {e}", path.display()))
}

fn tar_error(path: &Path, e: io::Error) -> CameraError {
    let kind = match e.kind() {
        io::ErrorKind::UnexpectedEof => CameraErrorKind::Truncated,
        _ => CameraErrorKind::Read,
    };
    CameraError::new(kind, format!("{}: {}", path.display(), tar_trouble(&e)))
}

/// Reads one archive member after the other.
pub struct TarReader {
    inner: BufReader<File>,
}

impl TarReader {
    /// The next picture file; `None` at the archive's end mark.
    fn next_file(&mut self) -> io::Result<Option<Encoded>> {
        loop {
            // Each member is read as an archive of its own, because the library's iterator would
            // borrow its reader for as long as it lives.
            if self.inner.fill_buf()?.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut archive = tar::Archive::new(&mut self.inner);
            let Some(entry) = archive.entries()?.next() else { return Ok(None) };
            let mut entry = entry?;
            let size = entry.size();
            let path = entry.path()?.into_owned();
            let wanted = entry.header().entry_type().is_file() && is_picture(&path);
            let mut bytes = Vec::new();
            let read = if wanted && size <= MAX_BYTES {
                entry.read_to_end(&mut bytes)? as u64
            } else {
                io::copy(&mut entry, &mut io::sink())?
            };
            drop(entry);
            if read != size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let padding = size.next_multiple_of(512) - size;
            if io::copy(&mut (&mut self.inner).take(padding), &mut io::sink())? != padding {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if wanted {
                let name = path.to_string_lossy().trim_start_matches("./").to_string();
                return Ok(Some(Encoded { name, bytes }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn a_tar_is_counted_before_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.tar");
        let long = format!("{}1.png", "deep/".repeat(40));
        fs::write(&path, archive(&[("a.png", &[1; 700]), ("b", &[2]), (&long, &[3])])).unwrap();
        assert_eq!(Stored::open(&path).unwrap().count(), Some(2));
        fs::write(&path, [7; 2000]).unwrap();
        assert_eq!(Stored::open(&path).unwrap().count(), None);
    }

    fn read_all(bytes: &[u8]) -> Result<Vec<Encoded>, CameraError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.tar");
        fs::write(&path, bytes).unwrap();
        let mut stored = Stored::open(&path)?;
        std::iter::from_fn(|| stored.next_encoded()).collect()
    }

    #[test]
    fn a_tar_gives_its_pictures_in_order() {
        let long = format!("{}{}.png", "deep/".repeat(30), "x".repeat(90));
        let found = read_all(&archive(&[
            ("b/2.png", &[7; 700]),
            ("README", b"no picture"),
            ("a/1.JPG", &[]),
            (&long, &[9; 512]),
        ]))
        .unwrap();
        let names: Vec<&str> = found.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["b/2.png", "a/1.JPG", &long]);
        assert_eq!(found[0].bytes, [7; 700]);
    }

    #[test]
    fn a_tar_cut_anywhere_is_an_error() {
        let whole = archive(&[("a.png", &[1; 700]), ("b.png", &[2; 100])]);
        let end_mark = whole.len() - 1024;
        for cut in 1..end_mark + 512 {
            let cut_off = read_all(&whole[..cut]).unwrap_err();
            assert!(
                matches!(cut_off.kind(), CameraErrorKind::Truncated | CameraErrorKind::Read),
                "cut at {cut}: {cut_off}"
            );
        }
    }

    #[test]
    fn a_packed_tar_is_named() {
        let refused = read_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0]).unwrap_err();
        assert!(refused.to_string().contains("gzip"), "{refused}");
    }
}
