//! Reading a journal, whole or as it grows.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::record::{Line, MAX_LINE, NOTE_START, Record, SCORE_START, parse};
use super::segments::{ENDING, list, wrong_folder};
use crate::event::{Message, Phase};
use crate::storage::{StorageError, file_name, parse_file_name};

/// A journal as a stream of records, in the order in which they were written.
///
/// What cannot be read is counted and passed over: [`Reader::skipped`]. After the end, [`Iterator::next`] may be called
/// again: it goes on with what was written since, across new segments, while another program writes. At most one line is
/// held in memory.
#[derive(Debug)]
pub struct Reader {
    source: Source,
    current: Option<Current>,
    only_messages: bool,
    /// A whole line of a journal was seen.
    found: bool,
    skipped: Skipped,
}

/// What a [`Reader`] passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Lines that are torn, altered or longer than a line may be.
    pub damaged: u64,
    /// Whole lines that this version cannot read: a newer one wrote them.
    pub unknown: u64,
    /// Segments that the disk stopped reading in the middle.
    pub unreadable: u64,
}

#[derive(Debug)]
enum Source {
    /// A folder, and the number of the last segment that was taken up.
    Folder { dir: PathBuf, taken: Option<u64> },
    /// One file, until it is taken up.
    File(Option<PathBuf>),
}

/// The segment that is being read.
#[derive(Debug)]
struct Current {
    /// Its number; a file without one in its name says it in its first line.
    number: Option<u64>,
    named: bool,
    file: BufReader<File>,
    /// Where the line begins that is read next.
    at: u64,
    line: Vec<u8>,
    /// The line is longer than a line may be; the rest of it is passed over.
    too_long: bool,
    /// A later segment exists, so nothing is added to this one any more.
    closed: bool,
}

/// How far a segment could be read.
enum Step {
    Line,
    End,
    Failed,
}

impl Reader {
    /// Opens a journal's folder, or one segment, wherever it was copied to.
    ///
    /// # Errors
    ///
    /// There is nothing at the path, or it may not be read. An empty folder is an empty journal.
    pub fn open(path: &Path) -> Result<Reader, StorageError> {
        let failed = |e: io::Error| StorageError::of(path, &e);
        let found = path.metadata().map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => wrong_folder(path),
            _ => failed(e),
        })?;
        let source = if found.is_dir() {
            list(path).map_err(failed)?;
            Source::Folder { dir: path.to_path_buf(), taken: None }
        } else {
            File::open(path).map_err(failed)?;
            Source::File(Some(path.to_path_buf()))
        };
        let skipped = Skipped::default();
        Ok(Reader { source, current: None, only_messages: false, found: false, skipped })
    }

    /// Gives messages only, and passes over scores without reading them, damaged ones uncounted: many times as fast where
    /// scores are journalled.
    pub fn only_messages(mut self) -> Reader {
        self.only_messages = true;
        self
    }

    /// The last `segments` segments of a journal's folder: what happened lately, however long the journal is.
    ///
    /// # Errors
    ///
    /// As [`Reader::open`].
    pub fn newest(dir: &Path, segments: u64) -> Result<Reader, StorageError> {
        let mut reader = Reader::open(dir)?;
        if let Source::Folder { dir, taken } = &mut reader.source {
            let (_, newest) = list(dir).map_err(|e| StorageError::of(dir, &e))?;
            *taken = newest.checked_sub(segments);
        }
        Ok(reader)
    }

    /// What was passed over so far. A torn line at the very end is not counted while it may still become whole.
    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// Whether what was read to its end is no journal: a folder of other things, a file without a line of one.
    pub fn is_foreign(&self) -> bool {
        match &self.source {
            Source::Folder { dir, taken: None } => {
                dir.read_dir().is_ok_and(|mut entries| entries.next().is_some())
            }
            Source::Folder { .. } => false,
            Source::File(_) => !self.found && self.skipped.damaged > 0,
        }
    }

    /// Takes up the next segment; `false` if there is none yet.
    fn next_segment(&mut self) -> bool {
        loop {
            let (path, number) = match &mut self.source {
                Source::File(path) => {
                    let Some(path) = path.take() else { return false };
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    let number = parse_file_name(&name, ENDING);
                    (path, number)
                }
                Source::Folder { dir, taken } => {
                    let Some(number) = next_number(dir, *taken) else { return false };
                    *taken = Some(number);
                    (dir.join(file_name(number, ENDING)), Some(number))
                }
            };
            match File::open(&path) {
                Ok(file) => {
                    self.current = Some(Current::new(file, number));
                    return true;
                }
                // Deleted since it was listed, to make room.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(_) => self.skipped.unreadable += 1,
            }
        }
    }

    /// Whether a later segment than the current one exists.
    fn has_later(&self) -> bool {
        match &self.source {
            Source::File(_) => false,
            Source::Folder { dir, taken } => next_number(dir, *taken).is_some(),
        }
    }
}

impl Iterator for Reader {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        loop {
            if self.current.is_none() && !self.next_segment() {
                return None;
            }
            let current = self.current.as_mut()?;
            match current.read_line() {
                Step::Line if self.only_messages && current.is_unwanted() => {
                    self.found = true;
                    current.drop_line();
                }
                Step::Line => match current.take_line() {
                    Line::Record(record) => {
                        self.found = true;
                        if !self.only_messages || record.is_message() {
                            return Some(*record);
                        }
                    }
                    Line::Unknown => self.skipped.unknown += 1,
                    Line::Damaged => self.skipped.damaged += 1,
                },
                // What was written between the last read and the look for a later segment is read first.
                Step::End if current.closed => {
                    self.skipped.damaged += u64::from(current.holds_part());
                    self.current = None;
                }
                Step::End => {
                    let closed = self.has_later();
                    let current = self.current.as_mut()?;
                    current.closed = closed;
                    if !closed {
                        current.rewind();
                        return None;
                    }
                }
                Step::Failed => {
                    self.skipped.unreadable += 1;
                    self.current = None;
                }
            }
        }
    }
}

/// The newest message of each event that has a start and no end: what a power cut interrupted, if nobody writes to the
/// journal now.
///
/// # Errors
///
/// Those of [`Reader::open`].
pub fn unfinished(journal: &Path) -> Result<Vec<Message>, StorageError> {
    let mut open: Vec<Message> = Vec::new();
    for record in Reader::open(journal)?.only_messages() {
        let Record::Message(message) = record else { continue };
        let place = open.iter().position(|other| other.event == message.event);
        match (place, message.phase) {
            (Some(place), Phase::End) => drop(open.remove(place)),
            (Some(place), _) => open[place] = message,
            (None, Phase::End) => {}
            (None, _) => open.push(message),
        }
    }
    Ok(open)
}

fn next_number(dir: &Path, after: Option<u64>) -> Option<u64> {
    let (sizes, _) = list(dir).ok()?;
    sizes.into_keys().find(|number| after.is_none_or(|after| *number > after))
}

impl Current {
    fn new(file: File, number: Option<u64>) -> Current {
        Current {
            number,
            named: number.is_some(),
            file: BufReader::with_capacity(MAX_LINE, file),
            at: 0,
            line: Vec::new(),
            too_long: false,
            closed: false,
        }
    }

    /// Reads on until a line is complete or the file ends.
    fn read_line(&mut self) -> Step {
        loop {
            let bytes = match self.file.fill_buf() {
                Ok(bytes) => bytes,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Step::Failed,
            };
            if bytes.is_empty() {
                return Step::End;
            }
            let end = bytes.iter().position(|b| *b == b'\n');
            let part = &bytes[..end.unwrap_or(bytes.len())];
            let used = part.len() + usize::from(end.is_some());
            if self.line.len() + part.len() >= MAX_LINE {
                self.too_long = true;
                self.line.clear();
            } else if !self.too_long {
                self.line.extend_from_slice(part);
            }
            self.file.consume(used);
            self.at += used as u64;
            if end.is_some() {
                return Step::Line;
            }
        }
    }

    /// Whether the complete line is, by its beginning, something that [`Reader::only_messages`] has no use for. A note may
    /// be of use: it can say which segment the next lines are of.
    fn is_unwanted(&self) -> bool {
        self.line.starts_with(SCORE_START) || self.named && self.line.starts_with(NOTE_START)
    }

    fn drop_line(&mut self) {
        self.too_long = false;
        self.line.clear();
    }

    /// What the complete line says.
    fn take_line(&mut self) -> Line {
        if self.too_long {
            self.drop_line();
            return Line::Damaged;
        }
        let known = if self.named { self.number } else { None };
        // A file that does not say its number in its name may be several segments, one after the other: each
        // begins with a note.
        let (line, number) = match parse(&self.line, known) {
            (Line::Damaged, _) if !self.named => parse(&self.line, self.number),
            parsed => parsed,
        };
        self.number = number;
        self.line.clear();
        line
    }

    /// The file ends in a part of a line.
    fn holds_part(&self) -> bool {
        self.too_long || !self.line.is_empty()
    }

    /// Forgets the part of a line that the file ends with: its writer may finish it or take it back.
    fn rewind(&mut self) {
        let part = self.line.len() as u64;
        let len = self.file.get_ref().metadata().map_or(u64::MAX, |found| found.len());
        let to = (self.at - part).min(len);
        if !self.too_long && self.file.seek(SeekFrom::Start(to)).is_ok() {
            self.at = to;
            self.line.clear();
        }
    }
}

#[cfg(test)]
mod tests;
