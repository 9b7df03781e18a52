//! The binary batches of CIFAR-10 (1 label byte) and CIFAR-100 (coarse and fine label bytes), each
//! followed by 3072 bytes of 32×32 red, green and blue planes.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use oddsight::image::Rgb;

use super::{Content, Raw};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;

/// Open batches, read one record at a time.
pub struct Cifar {
    rest: std::vec::IntoIter<PathBuf>,
    open: Option<(String, BufReader<File>, usize)>,
    label_bytes: usize,
    count: u64,
    class_names: Vec<String>,
}

impl Cifar {
    /// Opens a folder of batches or one `.bin` file; `None` when the path is neither. A folder with
    /// training batches gives those and not its test batch.
    pub fn open(path: &Path) -> Result<Option<Cifar>> {
        let batches = if path.is_dir() {
            batches_of(path)?
        } else if path.extension().is_some_and(|e| e == "bin") {
            vec![path.to_path_buf()]
        } else {
            Vec::new()
        };
        let Some(first) = batches.first() else { return Ok(None) };
        let fine_names = first.with_file_name("fine_label_names.txt");
        let is_cifar100 = fine_names.exists() || matches!(stem(first).as_str(), "train" | "test");
        let label_bytes = if is_cifar100 { 2 } else { 1 };
        let record = label_bytes + 3 * PLANE;
        let mut count = 0;
        for batch in &batches {
            let length =
                batch.metadata().with_context(|| batch.display().to_string())?.len() as usize;
            if length == 0 || !length.is_multiple_of(record) {
                bail!(
                    "{}: {length} bytes are no whole number of {record}-byte CIFAR records; \
                     the file is truncated or not a CIFAR binary batch",
                    batch.display()
                );
            }
            count += (length / record) as u64;
        }
        let names = if is_cifar100 { fine_names } else { first.with_file_name("batches.meta.txt") };
        let classes = if is_cifar100 { 100 } else { 10 };
        let class_names = match std::fs::read_to_string(&names) {
            Ok(text) => text.split_whitespace().map(String::from).collect(),
            Err(_) => (0..classes).map(|label| format!("{label:02}")).collect(),
        };
        log::info!("{}: {count} CIFAR records in {} batches", path.display(), batches.len());
        Ok(Some(Cifar { rest: batches.into_iter(), open: None, label_bytes, count, class_names }))
    }

    /// Number of records.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The next record, named `class/batch-index`.
    pub fn next_raw(&mut self) -> Option<Result<Raw>> {
        loop {
            if self.open.is_none() {
                let path = self.rest.next()?;
                match File::open(&path) {
                    Ok(file) => self.open = Some((stem(&path), BufReader::new(file), 0)),
                    Err(e) => return Some(Err(e).context(path.display().to_string())),
                }
            }
            let (batch, reader, index) = self.open.as_mut()?;
            let mut record = [0; 2 + 3 * PLANE];
            let record = &mut record[..self.label_bytes + 3 * PLANE];
            match reader.read_exact(record) {
                Ok(()) => {
                    let (labels, planes) = record.split_at(self.label_bytes);
                    let label = usize::from(labels[self.label_bytes - 1]);
                    let Some(class) = self.class_names.get(label) else {
                        let why = format!("{batch}.bin: record {index} has label {label}");
                        return Some(Err(anyhow::anyhow!("{why}; not a CIFAR binary batch")));
                    };
                    let name = format!("{class}/{batch}-{index:05}");
                    *index += 1;
                    return Some(Ok(Raw { name, content: Content::Picture(interleave(planes)) }));
                }
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => self.open = None,
                Err(e) => return Some(Err(e).context(batch.clone())),
            }
        }
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
}

fn batches_of(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(dir)
        .with_context(|| dir.display().to_string())?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "bin"))
        .collect();
    found.sort();
    let is_training = |path: &PathBuf| {
        let stem = stem(path);
        stem.starts_with("data_batch") || stem == "train"
    };
    if found.iter().any(is_training) {
        found.retain(is_training);
    } else {
        found.retain(|path| matches!(stem(path).as_str(), "test_batch" | "test"));
    }
    Ok(found)
}

fn interleave(planes: &[u8]) -> Rgb {
    let pixels = (0..PLANE).flat_map(|i| [planes[i], planes[PLANE + i], planes[2 * PLANE + i]]);
    Rgb { width: SIDE as u32, height: SIDE as u32, pixels: pixels.collect() }
}
