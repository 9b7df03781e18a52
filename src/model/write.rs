//! Writing a model directory, so that its name stands for the old one or the new one at any instant.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::store::{MANIFEST_FILE, Manifest};
use super::{BACKBONE_FILE, CARD_FILE, HEADS_FILE, HeadsBlob};
use crate::storage;

/// Refuses a path that holds something other than a model directory.
///
/// # Errors
///
/// The path, and what to do.
pub fn check_output(out: &Path) -> Result<(), String> {
    let is_model = out.join(HEADS_FILE).is_file();
    let is_empty = fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_none());
    if out.exists() && !is_model && !is_empty {
        return Err(format!(
            "{}: exists and is no model directory; choose another --out",
            out.display()
        ));
    }
    Ok(())
}

/// Writes backbone, heads, card and, if there is a `version`, the manifest; puts the whole into the place of `out`. The
/// backbone is read from the file `backbone`, which may lie in `out`.
///
/// # Errors
///
/// The system's; the old directory is still there.
pub fn write_model(
    out: &Path,
    backbone: &Path,
    blob: &HeadsBlob,
    card: &serde_json::Value,
    version: Option<u64>,
) -> io::Result<()> {
    let staging = staging(out)?;
    let written = fill(&staging, backbone, blob, card, version)
        .and_then(|()| storage::replace_dir(&staging, out).map_err(io::Error::other));
    // What was not written, or what `out` was before. The error that is reported is the first one; what is left is
    // removed by the next attempt.
    let _ = fs::remove_dir_all(&staging);
    written
}

fn fill(
    dir: &Path,
    backbone: &Path,
    blob: &HeadsBlob,
    card: &serde_json::Value,
    version: Option<u64>,
) -> io::Result<()> {
    let mut network = File::create_new(dir.join(BACKBONE_FILE))?;
    io::copy(&mut File::open(backbone)?, &mut network)?;
    network.sync_all()?;
    write(&dir.join(HEADS_FILE), &blob.to_bytes())?;
    write(&dir.join(CARD_FILE), format!("{card:#}\n").as_bytes())?;
    let Some(version) = version else { return Ok(()) };
    let manifest = serde_json::to_value(Manifest::of(dir, version)?)?;
    write(&dir.join(MANIFEST_FILE), format!("{manifest:#}\n").as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// An empty folder beside `out`, which is made if need be; what an interrupted attempt left there is removed.
fn staging(out: &Path) -> io::Result<PathBuf> {
    let Some(name) = out.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no directory"));
    };
    let staging = out.with_file_name(format!(".{}.new", name.to_string_lossy()));
    match fs::remove_dir_all(&staging) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    fs::create_dir_all(&staging)?;
    Ok(staging)
}
