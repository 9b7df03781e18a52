//! Copying a model into a store: from a directory, or from a tar of one.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead as _, Read};
use std::path::{Component, Path};

use super::{MANIFEST_FILE, SIGNATURE_FILE, StoreError, StoreErrorKind};
use crate::model::{BACKBONE_FILE, CARD_FILE, HEADS_FILE};
use crate::storage::{packed, tar_trouble};

/// The files of a model and the most bytes that each may have.
const FILES: [(&str, u64); 5] = [
    (BACKBONE_FILE, 512 << 20),
    (HEADS_FILE, 256 << 20),
    (CARD_FILE, 16 << 20),
    (MANIFEST_FILE, 64 << 10),
    (SIGNATURE_FILE, 64 << 10),
];

/// More members than this are no model.
const MOST_MEMBERS: usize = 1000;

/// Copies the files of a model into a new folder, flushed to the disk.
pub(super) fn copy(source: &Path, to: &Path) -> Result<(), StoreError> {
    let there = |e: io::Error| StoreError::io(to, e);
    fs::create_dir(to).map_err(there)?;
    let copied = if source.is_dir() { copy_dir(source, to)? } else { copy_tar(source, to)? };
    for name in [BACKBONE_FILE, HEADS_FILE] {
        if !copied.contains(name) {
            let why = format!("holds no {name}; a model directory or a tar of one is wanted");
            return Err(StoreError::new(StoreErrorKind::Source, source, why));
        }
    }
    super::sync(to).map_err(there)
}

fn copy_dir(source: &Path, to: &Path) -> Result<BTreeSet<&'static str>, StoreError> {
    let mut copied = BTreeSet::new();
    for (name, most) in FILES {
        let path = source.join(name);
        let Some(mut file) = open(&path)? else { continue };
        copy_file(&mut file, &path, &to.join(name), most)?;
        copied.insert(name);
    }
    Ok(copied)
}

fn copy_tar(source: &Path, to: &Path) -> Result<BTreeSet<&'static str>, StoreError> {
    let refuse = |why: String| StoreError::new(StoreErrorKind::Source, source, why);
    let damaged = |e: io::Error| refuse(tar_trouble(&e));
    let Some(file) = open(source)? else {
        return Err(refuse("is not there; a model directory or a tar of one is wanted".into()));
    };
    let mut file = io::BufReader::new(file);
    if let Some(why) = packed(file.fill_buf().map_err(|e| StoreError::io(source, e))?) {
        return Err(refuse(why));
    }
    let mut archive = tar::Archive::new(file);
    let mut copied = BTreeSet::new();
    for (count, member) in archive.entries().map_err(damaged)?.enumerate() {
        let mut member = member.map_err(damaged)?;
        if count == MOST_MEMBERS {
            return Err(refuse(format!(
                "has more than {MOST_MEMBERS} members: this is no tar of a model"
            )));
        }
        let path = member.path().map_err(damaged)?.into_owned();
        let Some((name, most)) = known(&path) else { continue };
        if !member.header().entry_type().is_file() {
            return Err(refuse(format!("{} is no plain file in it", path.display())));
        }
        if !copied.insert(name) {
            return Err(refuse(format!(
                "holds {name} more than once; a tar of one model is wanted"
            )));
        }
        copy_file(&mut member, &source.join(&path), &to.join(name), most)?;
    }
    Ok(copied)
}

/// Opens a file, if there is one. Opening a pipe would wait for somebody who writes to it.
fn open(path: &Path) -> Result<Option<File>, StoreError> {
    let opened = fs::metadata(path).and_then(|found| match found.is_file() {
        true => File::open(path).map(Some),
        false => Err(io::Error::other("is no plain file; give a model directory or a tar of one")),
    });
    match opened {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map_err(|e| StoreError::io(path, e)),
    }
}

/// The file of a model that a member stands for: in the archive's root or one folder below.
fn known(path: &Path) -> Option<(&'static str, u64)> {
    let parts = path.components().filter(|part| !matches!(part, Component::CurDir));
    let parts: Vec<Component> = parts.collect();
    let ([Component::Normal(name)] | [Component::Normal(_), Component::Normal(name)]) = parts[..]
    else {
        return None;
    };
    FILES.into_iter().find(|(known, _)| name == *known)
}

fn copy_file(from: &mut impl Read, name: &Path, to: &Path, most: u64) -> Result<(), StoreError> {
    let mut file = File::create_new(to).map_err(|e| StoreError::io(to, e))?;
    let copied =
        io::copy(&mut from.take(most + 1), &mut file).map_err(|e| StoreError::io(name, e))?;
    if copied > most {
        let why = format!(
            "is longer than {} MiB, the most that such a file may have",
            most.div_ceil(1 << 20)
        );
        return Err(StoreError::new(StoreErrorKind::Source, name, why));
    }
    file.sync_all().map_err(|e| StoreError::io(to, e))
}
