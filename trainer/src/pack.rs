//! Writing a model directory so that it is either the old one or the new one, never half of each.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use oddsight::model::{BACKBONE_FILE, CARD_FILE, HEADS_FILE, HeadsBlob};

/// Refuses an output path that holds something other than a model directory.
pub fn check_output(out: &Path) -> Result<()> {
    let is_model = out.join(HEADS_FILE).is_file();
    let is_empty = fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_none());
    if out.exists() && !is_model && !is_empty {
        bail!("{}: exists and is no model directory; choose another --out", out.display());
    }
    Ok(())
}

/// The folder that `out` lies in, made if need be: temporary files must share its file system.
pub fn parent(out: &Path) -> Result<PathBuf> {
    let parent = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    fs::create_dir_all(&parent).with_context(|| format!("making folder {}", parent.display()))?;
    Ok(parent)
}

/// Writes backbone, heads and card beside `out` and renames the finished directory into place.
pub fn write_model(
    out: &Path,
    backbone: &Path,
    blob: &HeadsBlob,
    card: &serde_json::Value,
) -> Result<()> {
    let parent = parent(out)?;
    let staging = tempfile::Builder::new().prefix(".oddsight-").tempdir_in(&parent)?;
    let new = staging.path().join("new");
    fs::create_dir(&new)?;
    let bytes = fs::read(backbone).with_context(|| backbone.display().to_string())?;
    write(&new.join(BACKBONE_FILE), &bytes)?;
    write(&new.join(HEADS_FILE), &blob.to_bytes())?;
    write(&new.join(CARD_FILE), format!("{card:#}\n").as_bytes())?;
    if out.exists() {
        fs::rename(out, staging.path().join("old")).with_context(|| out.display().to_string())?;
    }
    fs::rename(&new, out).with_context(|| format!("renaming into {}", out.display()))?;
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create(path).with_context(|| path.display().to_string())?;
    file.write_all(bytes).with_context(|| path.display().to_string())?;
    file.sync_all().with_context(|| path.display().to_string())
}

/// Writes a file beside its place and renames it.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(parent(path)?)?;
    file.write_all(bytes)?;
    persist(file, path)
}

/// Renames a temporary file into place, readable like any new file.
pub fn persist(file: tempfile::NamedTempFile, path: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // Temporary files are private to their user; a result should not be.
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644))?;
    }
    file.persist(path).with_context(|| format!("renaming into {}", path.display()))?;
    Ok(())
}
