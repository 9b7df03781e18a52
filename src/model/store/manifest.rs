//! The manifest of a model directory: its version and the digests of its files; and its signature.
//!
//! `manifest.json` is what is signed (`minisign -Sm manifest.json`), and through its digests the whole directory.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{StoreError, StoreErrorKind};
use crate::model::{BACKBONE_FILE, CARD_FILE, HEADS_FILE, hex};

/// File name of the manifest in a model directory.
pub const MANIFEST_FILE: &str = "manifest.json";
/// File name of the manifest's signature, as `minisign` names it.
pub const SIGNATURE_FILE: &str = "manifest.json.minisig";

/// What a manifest or a signature may take in memory.
const MOST_BYTES: u64 = 64 << 10;

/// Version and digests of a model directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Grows from one model of a device to the next.
    pub version: u64,
    /// SHA-256 of each file, in lower-case hexadecimal.
    pub sha256: BTreeMap<String, String>,
}

impl Manifest {
    /// The manifest of the files of a model directory.
    pub fn of(dir: &Path, version: u64) -> io::Result<Manifest> {
        let mut sha256 = BTreeMap::new();
        for name in [BACKBONE_FILE, HEADS_FILE, CARD_FILE] {
            match digest(&dir.join(name)) {
                Ok(digest) => sha256.insert(name.to_string(), digest),
                Err(e) if name == CARD_FILE && e.kind() == io::ErrorKind::NotFound => None,
                Err(e) => return Err(e),
            };
        }
        Ok(Manifest { version, sha256 })
    }
}

/// A minisign public key, as `minisign -G` prints it.
#[derive(Clone)]
pub struct PublicKey {
    base64: String,
    key: minisign_verify::PublicKey,
}

impl FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> Result<PublicKey, String> {
        let key = minisign_verify::PublicKey::from_base64(text.trim()).map_err(|e| {
            format!("not a minisign public key ({e}); it is the line of 56 characters in minisign.pub that begins with RW")
        })?;
        Ok(PublicKey { base64: text.trim().to_string(), key })
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &PublicKey) -> bool {
        self.base64 == other.base64
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base64)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base64)
    }
}

/// Checks the manifest of a model directory, and its signature if there is a key, and gives the version. Without a key, a
/// directory without a manifest is version 0.
///
/// # Errors
///
/// What is missing, altered, or not signed with this key.
pub fn check(dir: &Path, key: Option<&PublicKey>) -> Result<u64, StoreError> {
    let path = dir.join(MANIFEST_FILE);
    let refuse = |kind, path: &Path, why: String| Err(StoreError::new(kind, path, why));
    let bytes = match read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return match key {
                None => Ok(0),
                Some(_) => refuse(
                    StoreErrorKind::Signature,
                    &path,
                    "missing, but model.public_key asks for a signed one; `oddsight model manifest DIR` makes it, \
                     `minisign -Sm manifest.json` signs it"
                        .into(),
                ),
            };
        }
        Err(e) => return Err(StoreError::io(&path, e)),
    };
    if let Some(key) = key {
        verify(dir, &bytes, key)?;
    }
    let manifest: Manifest = match serde_json::from_slice(&bytes) {
        Ok(manifest) => manifest,
        Err(e) => return refuse(StoreErrorKind::Manifest, &path, format!("no manifest: {e}")),
    };
    for name in [BACKBONE_FILE, HEADS_FILE] {
        if !manifest.sha256.contains_key(name) {
            return refuse(
                StoreErrorKind::Manifest,
                &path,
                format!("says nothing of {name}; make it again"),
            );
        }
    }
    for (name, wanted) in &manifest.sha256 {
        if ![BACKBONE_FILE, HEADS_FILE, CARD_FILE].contains(&name.as_str()) {
            return refuse(
                StoreErrorKind::Manifest,
                &path,
                format!("names `{name}`, which is no file of a model"),
            );
        }
        let file = dir.join(name);
        let found = digest(&file).map_err(|e| StoreError::io(&file, e))?;
        if found != *wanted {
            let why = "is not the file that the manifest names: it was altered or exchanged; copy the model again";
            return refuse(StoreErrorKind::Manifest, &file, why.into());
        }
    }
    Ok(manifest.version)
}

fn verify(dir: &Path, manifest: &[u8], key: &PublicKey) -> Result<(), StoreError> {
    let path = dir.join(SIGNATURE_FILE);
    let refuse = |why: String| StoreError::new(StoreErrorKind::Signature, &path, why);
    let text = match read(&path) {
        Ok(bytes) => String::from_utf8(bytes)
            .map_err(|_| refuse("no minisign signature: not a text".into()))?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(refuse(
                "missing, but model.public_key asks for it; sign with `minisign -Sm manifest.json`"
                    .into(),
            ));
        }
        Err(e) => return Err(StoreError::io(&path, e)),
    };
    let signature = minisign_verify::Signature::decode(&text)
        .map_err(|e| refuse(format!("no minisign signature: {e}")))?;
    key.key.verify(manifest, &signature, false).map_err(|e| {
        refuse(format!("not a signature of this manifest by the configured key ({e})"))
    })
}

/// The version that a model directory says it has, unchecked; 0 without a manifest.
pub fn version_of(dir: &Path) -> u64 {
    let manifest = read(&dir.join(MANIFEST_FILE)).ok();
    let manifest = manifest.and_then(|bytes| serde_json::from_slice::<Manifest>(&bytes).ok());
    manifest.map_or(0, |manifest| manifest.version)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn digest(path: &Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut part = vec![0; 64 << 10];
    loop {
        match file.read(&mut part)? {
            0 => return Ok(hex(&hash.finalize())),
            length => hash.update(&part[..length]),
        }
    }
}
