//! Feature files: what a backbone says of many pictures, as safetensors.
//!
//! Tensors: `avg` and `std` (i32, N × width), `logits` (i32, N × classes), all in steps of `scale`,
//! and, when the pictures lie in class folders, `label` (i64, N). Metadata: `scale` (`2^-20`),
//! `images` and `classes` (names, one per line), `backbone_sha256`, `data_sha256`, `input` (JSON of the
//! preprocessing and normalisation), `made_by`.
//!
//! Rows are written as they come and read in chunks, so memory does not grow with their number.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use oddsight::backbone::{FEATURE_BITS, Features, NOT_A_NUMBER, Normalise, from_feature};
use oddsight::image::Preprocess;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

use crate::labels::Labels;
use oddsight::fit::{FitError, FitErrorKind, Rows};

/// Header bytes that a feature file may have at most: names of some million pictures.
const MAX_HEADER_BYTES: u64 = 256 << 20;

/// How pictures became features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    pub preprocess: Preprocess,
    pub normalise: Normalise,
}

/// What a feature file was made from; a file of another program may not say.
#[derive(Clone, Debug)]
pub struct Origin {
    /// SHA-256 of the ONNX file, in hexadecimal.
    pub backbone_sha256: String,
    /// Names the pictures; see [`crate::extract::Summary::sha256`].
    pub data_sha256: String,
    pub input: Input,
}

/// One of a file's two feature tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tap {
    Avg,
    Std,
}

/// A feature file, opened and checked.
#[derive(Debug)]
pub struct FeatureFile {
    path: PathBuf,
    len: usize,
    width: usize,
    classes: usize,
    avg_at: u64,
    std_at: u64,
    logits_at: u64,
    labels: Option<Labels>,
    origin: Option<Origin>,
}

impl FeatureFile {
    /// Whether a source's text names a feature file.
    pub fn is_named_by(text: &str) -> bool {
        Path::new(text).extension().is_some_and(|e| e == "safetensors")
    }

    /// Opens a feature file and checks its tensors.
    pub fn open(path: &Path) -> Result<FeatureFile> {
        let (metadata, data_at, held) = FeatureFile::header(path)?;
        FeatureFile::check(path, held, data_at, &metadata)
    }

    /// What stands before the data, where these begin, and how many bytes of them there are.
    fn header(path: &Path) -> Result<(Metadata, u64, u64)> {
        let named = || path.display().to_string();
        let mut file = BufReader::new(File::open(path).with_context(named)?);
        let bytes = file.get_ref().metadata().with_context(named)?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length)
            .with_context(|| format!("{}: too short for a feature file", path.display()))?;
        let header_bytes = u64::from_le_bytes(length);
        ensure!(
            header_bytes <= MAX_HEADER_BYTES && header_bytes + 8 <= bytes,
            "{}: not a feature file, or truncated; make it with `oddsight-train features`",
            path.display()
        );
        let mut header = Vec::new();
        file.take(header_bytes).read_to_end(&mut header).with_context(named)?;
        // This checks that the tensors lie without gaps and are as long as their shapes.
        let metadata: Metadata = serde_json::from_slice(&header).map_err(|e| {
            anyhow::anyhow!(
                "{}: not a feature file ({e}); make it with `oddsight-train features`",
                path.display()
            )
        })?;
        Ok((metadata, 8 + header_bytes, bytes - 8 - header_bytes))
    }

    fn check(path: &Path, held: u64, data_at: u64, metadata: &Metadata) -> Result<FeatureFile> {
        let named = path.display();
        let tensor = |name: &str| -> Result<(usize, usize, u64)> {
            let info = metadata.info(name);
            match info.map(|info| (info.dtype, &info.shape[..], info.data_offsets)) {
                Some((Dtype::I32, &[rows, columns], (start, _))) if columns > 0 => {
                    Ok((rows, columns, data_at + start as u64))
                }
                Some((Dtype::F16 | Dtype::F32 | Dtype::F64, ..)) => bail!(
                    "{named}: tensor `{name}` holds floats, features are integers; extract the \
                     features again with `oddsight-train features`"
                ),
                _ => bail!("{named}: tensor `{name}` is missing or not i32 of N × width"),
            }
        };
        let (len, width, avg_at) = tensor("avg")?;
        let (std_len, std_width, std_at) = tensor("std")?;
        let (logits_len, classes, logits_at) = tensor("logits")?;
        ensure!(len > 0, "{named}: holds no rows");
        ensure!(
            (std_len, std_width, logits_len) == (len, width, len),
            "{named}: `avg`, `std` and `logits` do not have the same rows and widths"
        );
        let wanted = metadata.data_len() as u64;
        ensure!(
            held == wanted,
            "{named}: {held} bytes of data, but {wanted} are wanted; copy it again"
        );
        let text = |key: &str| metadata.metadata().as_ref().and_then(|m| m.get(key));
        ensure!(
            text("scale").is_some_and(|scale| *scale == scale_text()),
            "{named}: its metadata does not say that features are in steps of {}; extract the \
             features again with `oddsight-train features`",
            scale_text()
        );
        let labels = match metadata.info("label") {
            Some(info) => Some(read_labels(path, data_at, info, text("classes"))?),
            None => None,
        };
        ensure!(
            labels.as_ref().is_none_or(|l| l.labels.len() == len),
            "{named}: `label` does not have {len} rows"
        );
        let origin = || {
            Some(Origin {
                backbone_sha256: text("backbone_sha256")?.clone(),
                data_sha256: text("data_sha256")?.clone(),
                input: serde_json::from_str(text("input")?).ok()?,
            })
        };
        let (path, origin) = (path.to_path_buf(), origin());
        Ok(FeatureFile { path, len, width, classes, avg_at, std_at, logits_at, labels, origin })
    }

    /// What a message calls a row: its number and, where the file says, its picture. Names are not held:
    /// this reads the header again.
    pub fn row_name(&self, row: usize) -> String {
        let header = FeatureFile::header(&self.path).ok();
        let names = header.as_ref().and_then(|(metadata, ..)| metadata.metadata().as_ref());
        let name = names.and_then(|names| names.get("images")?.lines().nth(row));
        name.map_or(format!("row {row}"), |name| format!("row {row} ({name})"))
    }

    /// Why a row can be neither fitted nor scored.
    pub fn not_finite(&self, row: usize) -> String {
        format!(
            "{} holds a feature that is not finite: remove its picture, or check the backbone if many \
             rows do",
            self.row_name(row)
        )
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: a file without rows is refused.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Length of an `avg` or `std` row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Length of a `logits` row.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Labels, when the pictures had them.
    pub fn labels(&self) -> Option<&Labels> {
        self.labels.as_ref()
    }

    /// What the file was made from, when it says so.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// Visits the features of all pictures in order.
    pub fn visit(&self, mut each: impl FnMut(usize, &Features) -> Result<()>) -> Result<()> {
        let mut avg = RowReader::new(&self.path, self.avg_at, self.width)?;
        let mut std = RowReader::new(&self.path, self.std_at, self.width)?;
        let mut logits = RowReader::new(&self.path, self.logits_at, self.classes)?;
        let mut features = Features::default();
        for index in 0..self.len {
            avg.read(&mut features.avg)?;
            std.read(&mut features.std)?;
            logits.read(&mut features.logits)?;
            each(index, &features)?;
        }
        Ok(())
    }

    /// Reads rows of one tensor in any order.
    pub fn random_rows(&self, tap: Tap) -> Result<RandomRows> {
        let at = match tap {
            Tap::Avg => self.avg_at,
            Tap::Std => self.std_at,
        };
        let file = File::open(&self.path).with_context(|| self.path.display().to_string())?;
        Ok(RandomRows { file, path: self.path.clone(), at, bytes: vec![0; 4 * self.width] })
    }
}

/// Rows of one tensor of a feature file.
#[derive(Debug)]
pub struct RandomRows {
    file: File,
    path: PathBuf,
    /// Where the tensor begins.
    at: u64,
    /// Of one row.
    bytes: Vec<u8>,
}

impl RandomRows {
    /// Reads row `index`.
    pub fn read(&mut self, index: usize, row: &mut Vec<i32>) -> Result<()> {
        let at = self.at + index as u64 * self.bytes.len() as u64;
        self.file.seek(SeekFrom::Start(at)).with_context(|| unreadable(&self.path))?;
        self.file.read_exact(&mut self.bytes).with_context(|| unreadable(&self.path))?;
        decode(&self.bytes, row);
        Ok(())
    }
}

/// It was whole when it was opened.
fn unreadable(path: &Path) -> String {
    format!(
        "{}: became shorter or unreadable while it was read; look at the disk, and extract the features again",
        path.display()
    )
}

fn decode(bytes: &[u8], row: &mut Vec<i32>) {
    row.clear();
    row.extend(bytes.chunks_exact(4).map(|le| i32::from_le_bytes([le[0], le[1], le[2], le[3]])));
}

fn read_labels(
    path: &Path,
    data_at: u64,
    info: &TensorInfo,
    names: Option<&String>,
) -> Result<Labels> {
    let named = path.display();
    let bytes_each = match info.dtype {
        Dtype::I64 | Dtype::U64 => 8,
        Dtype::I32 | Dtype::U32 => 4,
        Dtype::U8 | Dtype::I8 => 1,
        other => bail!("{named}: `label` is {other:?}, not an integer"),
    };
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    file.seek(SeekFrom::Start(data_at + info.data_offsets.0 as u64))?;
    let mut bytes = Vec::new();
    file.take((info.data_offsets.1 - info.data_offsets.0) as u64).read_to_end(&mut bytes)?;
    let labels: Option<Vec<u32>> = bytes
        .chunks_exact(bytes_each)
        .map(|le| {
            let mut wide = [0; 8];
            wide[..bytes_each].copy_from_slice(le);
            u32::try_from(u64::from_le_bytes(wide)).ok().filter(|label| *label < 1 << 20)
        })
        .collect();
    let labels =
        labels.with_context(|| format!("{named}: `label` holds negative or huge values"))?;
    let most = labels.iter().max().map_or(0, |most| *most as usize + 1);
    let classes = match names {
        Some(names) => names.lines().map(String::from).collect(),
        None => (0..most).map(|label| label.to_string()).collect::<Vec<_>>(),
    };
    ensure!(
        classes.len() >= most,
        "{named}: labels go up to {most}, but {} classes are named",
        classes.len()
    );
    Ok(Labels { classes, labels })
}

/// Reads consecutive i32 rows.
struct RowReader {
    file: BufReader<File>,
    path: PathBuf,
    bytes: Vec<u8>,
}

impl RowReader {
    fn new(path: &Path, at: u64, width: usize) -> Result<RowReader> {
        let mut file = File::open(path).with_context(|| path.display().to_string())?;
        file.seek(SeekFrom::Start(at))?;
        let file = BufReader::with_capacity(1 << 20, file);
        Ok(RowReader { file, path: path.to_path_buf(), bytes: vec![0; 4 * width] })
    }

    fn read(&mut self, row: &mut Vec<i32>) -> Result<()> {
        self.file.read_exact(&mut self.bytes).with_context(|| unreadable(&self.path))?;
        decode(&self.bytes, row);
        Ok(())
    }
}

/// Some rows of one tap of a feature file, as fitting sees them.
pub struct TapRows<'a> {
    pub file: &'a FeatureFile,
    pub tap: Tap,
    /// One entry per row: whether it takes part.
    pub keep: &'a [bool],
}

impl Rows for TapRows<'_> {
    fn width(&self) -> usize {
        self.file.width
    }

    fn visit(
        &self,
        each: &mut dyn FnMut(&[f64], Option<u32>) -> Result<(), FitError>,
    ) -> Result<(), FitError> {
        let file = self.file;
        let at = if self.tap == Tap::Avg { file.avg_at } else { file.std_at };
        let read = |e: anyhow::Error| FitError::new(FitErrorKind::Source, format!("{e:#}"));
        let mut reader = RowReader::new(&file.path, at, file.width).map_err(read)?;
        let (mut row, mut numbers) = (Vec::new(), Vec::new());
        for (index, keep) in self.keep.iter().enumerate() {
            reader.read(&mut row).map_err(read)?;
            if *keep {
                // Here the row's number in the file is known, which is what a user can look up.
                if row.contains(&NOT_A_NUMBER) {
                    return Err(FitError::new(FitErrorKind::NonFinite, file.not_finite(index)));
                }
                numbers.clear();
                numbers.extend(row.iter().map(|&feature| from_feature(feature)));
                each(&numbers, file.labels.as_ref().map(|l| l.labels[index]))?;
            }
        }
        Ok(())
    }
}

/// Writes a feature file row by row.
///
/// The tensors of a safetensors file lie one after the other behind a header that holds their
/// sizes, so rows are spooled into one temporary file per tensor until their number is known.
pub struct FeatureWriter {
    folder: PathBuf,
    spools: [BufWriter<File>; 3],
    names: Vec<String>,
    width: usize,
    classes: usize,
}

impl FeatureWriter {
    /// Spools into `folder`.
    pub fn new(folder: &Path, width: usize, classes: usize) -> Result<FeatureWriter> {
        let spool = || -> Result<BufWriter<File>> {
            let file = tempfile::tempfile_in(folder)
                .with_context(|| format!("{}: cannot write here", folder.display()))?;
            Ok(BufWriter::new(file))
        };
        let spools = [spool()?, spool()?, spool()?];
        Ok(FeatureWriter {
            folder: folder.to_path_buf(),
            spools,
            names: Vec::new(),
            width,
            classes,
        })
    }

    /// Appends one picture.
    pub fn push(&mut self, name: String, features: &Features) -> Result<()> {
        let rows = [&features.avg, &features.std, &features.logits];
        for (spool, row) in self.spools.iter_mut().zip(rows) {
            for value in row {
                spool.write_all(&value.to_le_bytes()).context("writing features")?;
            }
        }
        self.names.push(name);
        Ok(())
    }

    /// Number of pictures so far.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether nothing was appended.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Writes the file as a temporary one, which vanishes unless it is persisted.
    pub fn finish(
        self,
        labels: Option<&Labels>,
        origin: &Origin,
    ) -> Result<tempfile::NamedTempFile> {
        let rows = self.names.len();
        let mut metadata = json!({
            "scale": scale_text(),
            "images": lines(&self.names),
            "backbone_sha256": origin.backbone_sha256,
            "data_sha256": origin.data_sha256,
            "input": serde_json::to_string(&origin.input)?,
            "made_by": concat!("oddsight-train ", env!("CARGO_PKG_VERSION")),
        });
        // The library's own writer orders the header by a random hash; equal work must give equal
        // bytes.
        let mut header = Map::new();
        let mut end = 0;
        let mut tensor = |name: &str, dtype: Dtype, shape: &[usize], bytes_each: usize| {
            let start = end;
            end += shape.iter().product::<usize>() * bytes_each;
            let info = json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, end] });
            header.insert(name.to_string(), info);
        };
        if let Some(labels) = labels {
            tensor("label", Dtype::I64, &[rows], 8);
            metadata["classes"] = lines(&labels.classes).into();
        }
        tensor("avg", Dtype::I32, &[rows, self.width], 4);
        tensor("std", Dtype::I32, &[rows, self.width], 4);
        tensor("logits", Dtype::I32, &[rows, self.classes], 4);
        header.insert("__metadata__".into(), metadata);
        let mut header = serde_json::to_vec(&header)?;
        header.resize(header.len().next_multiple_of(8), b' ');

        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        let mut out = BufWriter::new(file.as_file_mut());
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        for label in labels.iter().flat_map(|l| &l.labels) {
            out.write_all(&i64::from(*label).to_le_bytes())?;
        }
        for spool in self.spools {
            let mut spool =
                spool.into_inner().map_err(|e| e.into_error()).context("writing features")?;
            spool.rewind()?;
            std::io::copy(&mut spool, &mut out)?;
        }
        out.flush()?;
        drop(out);
        Ok(file)
    }
}

/// The step of a feature.
fn scale_text() -> String {
    format!("2^-{FEATURE_BITS}")
}

/// One name per line; a line break inside of a name becomes a space.
fn lines(names: &[String]) -> String {
    names.iter().map(|name| name.replace(['\n', '\r'], " ")).collect::<Vec<_>>().join("\n")
}
