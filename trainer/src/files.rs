//! Writing files so that each is either the old one or the new one.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The folder that `out` lies in, made if need be: temporary files must share its file system.
pub fn parent(out: &Path) -> Result<PathBuf> {
    let parent = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    fs::create_dir_all(&parent).with_context(|| format!("making folder {}", parent.display()))?;
    Ok(parent)
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
