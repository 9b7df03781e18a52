//! Cuts a stream of bytes into JPEG files.
//!
//! Programs and cameras write one JPEG file after the other, sometimes with headers or padding between them, and
//! sometimes without a file's end. The splitter follows the markers of a file (ITU-T T.81, annex B), so a thumbnail inside
//! of a segment does not end it, and starts again at the next start marker when it loses its way. It judges no more than
//! it must: what is inside of a file is for [`crate::image::decode`] to read or to refuse.
//!
//! Time is linear in the bytes, whatever they are: after a wrong segment length it goes back, but never before the last
//! length that it followed. It does not go back into applications' segments, except the first kind, which every JFIF file
//! begins with: what looks like the next file there is most likely a thumbnail.

use std::fmt;

/// Longest file. The splitter holds no more than this and what is pushed at once.
pub const MAX_FILE_BYTES: usize = 16 << 20;

/// So many bytes without a file are worth a word.
const GARBAGE_BYTES: u64 = 256 << 10;

/// Some webcams leave a stray byte between two segments; the decoder bears with two.
const MAX_STRAY: usize = 2;

/// Most `ff` bytes before a marker's code between segments. The standard allows any number, but looking for the end of
/// a run again and again would cost quadratic time; in picture data a run may be as long as it likes.
const MAX_FILL: usize = 64;

/// What comes out of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A file from its start marker to its end marker.
    Jpeg(Vec<u8>),
    /// A file that has no end.
    Cut { bytes: usize, by: CutBy },
    /// Bytes outside of any file, with the first of them; reported now and then.
    Garbage { bytes: u64, head: Vec<u8> },
}

/// Why a file has no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutBy {
    /// The next file begins in its middle.
    NextFile,
    /// No marker stands where its header needs one.
    Damage,
    /// It is longer than [`MAX_FILE_BYTES`].
    Length,
    /// The stream ends.
    End,
}

impl fmt::Display for CutBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CutBy::NextFile => f.write_str("the next picture begins in its middle"),
            CutBy::Damage => f.write_str("its header is damaged"),
            CutBy::Length => write!(f, "it has no end within {} MiB", MAX_FILE_BYTES >> 20),
            CutBy::End => f.write_str("the stream ends in its middle"),
        }
    }
}

/// Finds JPEG files in a stream of bytes.
#[derive(Debug)]
pub struct Splitter {
    /// Bytes that are still needed, and before them some that are not.
    held: Vec<u8>,
    place: Place,
    /// First byte of the file, unless `place` is `Between`.
    start: usize,
    /// The next byte to look at; beyond `held` when a segment has not fully arrived.
    at: usize,
    /// Where to go on if the last length that was followed was wrong.
    doubt: usize,
    /// The file's picture data has begun: what fails from here on was no marker but damaged data.
    in_picture: bool,
    /// Since the last piece.
    garbage: u64,
    head: Vec<u8>,
    most: usize,
    /// Nothing more will be pushed.
    ended: bool,
}

/// What the byte at `at` belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// No file.
    Between,
    /// A marker.
    Marker,
    /// Entropy-coded picture data.
    Data,
}

/// How one step ended.
enum Step {
    On,
    /// The bytes that are held are not enough.
    More,
    Out(Piece),
}

impl Default for Splitter {
    fn default() -> Splitter {
        Splitter::new()
    }
}

impl Splitter {
    /// A splitter at the start of a stream.
    pub fn new() -> Splitter {
        Splitter::with_limit(MAX_FILE_BYTES)
    }

    fn with_limit(most: usize) -> Splitter {
        Splitter {
            held: Vec::new(),
            place: Place::Between,
            start: 0,
            at: 0,
            doubt: 0,
            in_picture: false,
            garbage: 0,
            head: Vec::new(),
            most,
            ended: false,
        }
    }

    /// Takes the stream's next bytes. Ask for [`Splitter::next_piece`] until there is none before pushing more: what is
    /// pushed is held until it was looked at.
    pub fn push(&mut self, bytes: &[u8]) {
        let done = if self.place == Place::Between { self.at } else { self.start };
        self.held.drain(..done);
        self.start -= done.min(self.start);
        self.doubt -= done.min(self.doubt);
        self.at -= done;
        self.held.extend_from_slice(bytes);
    }

    /// Says that nothing more will be pushed: the pieces that are left can be asked for.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// The next piece of what was pushed; `None` until more is.
    pub fn next_piece(&mut self) -> Option<Piece> {
        loop {
            let step = match self.place {
                Place::Between => self.seek(),
                Place::Marker => self.marker(),
                Place::Data => self.data(),
            };
            match step {
                Step::On => {}
                Step::Out(piece) => return Some(piece),
                Step::More if self.ended && self.place != Place::Between => {
                    if let Some(piece) = self.cut_by_end() {
                        return Some(piece);
                    }
                }
                Step::More => return self.overlong(),
            }
        }
    }

    /// Bytes of a file whose end has not come yet.
    pub fn unfinished_bytes(&self) -> usize {
        if self.place == Place::Between { 0 } else { self.held.len() - self.start }
    }

    /// Bytes outside of files since the last piece, and the first of them.
    pub fn garbage(&self) -> (u64, &[u8]) {
        (self.garbage, &self.head)
    }

    /// Looks for a start marker, with the `ff` of the marker behind it.
    fn seek(&mut self) -> Step {
        let mut from = self.at;
        let found = loop {
            let Some(ff) = position_of_ff(&self.held, from) else {
                from = self.held.len();
                break false;
            };
            match self.held[ff + 1..] {
                [0xd8, 0xff, ..] => {
                    from = ff;
                    break true;
                }
                [] | [0xd8] => {
                    from = ff;
                    break false;
                }
                _ => from = ff + 1,
            }
        };
        self.note_garbage(from);
        if self.garbage >= GARBAGE_BYTES {
            let (bytes, head) = (self.garbage, std::mem::take(&mut self.head));
            self.garbage = 0;
            return Step::Out(Piece::Garbage { bytes, head });
        }
        if !found {
            return Step::More;
        }
        self.garbage = 0;
        self.head.clear();
        self.begin(from);
        Step::On
    }

    fn note_garbage(&mut self, until: usize) {
        const HEAD: usize = 16;
        let skipped = &self.held[self.at..until];
        let room = HEAD - self.head.len().min(HEAD);
        self.head.extend_from_slice(&skipped[..skipped.len().min(room)]);
        self.garbage += skipped.len() as u64;
        self.at = until;
    }

    /// A file's start marker is at `start`.
    fn begin(&mut self, start: usize) {
        self.start = start;
        self.at = start + 2;
        self.doubt = self.at;
        self.in_picture = false;
        self.place = Place::Marker;
    }

    /// Reads one marker between segments, and moves behind its segment.
    fn marker(&mut self) -> Step {
        let Some(rest) = self.held.get(self.at..) else { return Step::More };
        let stray = rest.iter().take(MAX_STRAY + 1).take_while(|&&byte| byte != 0xff).count();
        if stray > MAX_STRAY {
            return self.lost();
        }
        let rest = &rest[stray..];
        let fill = rest.iter().take(MAX_FILL + 1).take_while(|&&byte| byte == 0xff).count();
        if fill > MAX_FILL {
            return self.lost();
        }
        let Some(&code) = rest.get(fill) else { return Step::More };
        let behind = self.at + stray + fill + 1;
        match code {
            0xd8 => match self.held.get(behind) {
                None => Step::More,
                Some(0xff) => self.next_file(behind - 2),
                Some(_) => self.lost(),
            },
            0xd9 => self.complete(behind),
            // A last restart marker may stand before the next segment or the end.
            0xd0..=0xd7 if self.in_picture => {
                self.at = behind;
                self.place = Place::Data;
                Step::On
            }
            0x00 | 0x01 | 0xd0..=0xd7 => self.lost(),
            _ => self.segment(code, behind),
        }
    }

    /// Follows the length of the segment whose marker's code ends before `length_at`.
    fn segment(&mut self, code: u8, length_at: usize) -> Step {
        let (high, low) = match self.held[length_at..] {
            [] | [_] | [0xff, 0xd8] => return Step::More,
            // No segment begins with ff: the file was cut before its length.
            [0xff, 0xd8, 0xff, ..] => return self.next_file(length_at),
            [high, low, ..] => (high, low),
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        self.doubt = length_at;
        if length < 2 {
            return self.lost();
        }
        self.at = length_at + length;
        if (0xe1..=0xef).contains(&code) && !self.in_picture {
            self.doubt = self.at;
        }
        if code == 0xda {
            self.in_picture = true;
            self.place = Place::Data;
        }
        Step::On
    }

    /// Looks for the next marker in picture data.
    fn data(&mut self) -> Step {
        while let Some(ff) = position_of_ff(&self.held, self.at) {
            self.at = ff;
            match self.held[ff + 1..] {
                [] | [0xd8] => return Step::More,
                [0xff, ..] => self.at = ff + 1,
                [0xd9, ..] => return self.complete(ff + 2),
                [0xd8, 0xff, ..] => return self.next_file(ff),
                // What may follow a scan: tables, the next scan, the number of lines, applications' data, a comment.
                [0xc4 | 0xda..=0xdd | 0xe0..=0xef | 0xfe, ..] => {
                    self.place = Place::Marker;
                    return Step::On;
                }
                // A stuffed byte, a restart marker, or damage.
                _ => self.at = ff + 2,
            }
        }
        self.at = self.at.max(self.held.len());
        Step::More
    }

    fn complete(&mut self, end: usize) -> Step {
        let file = self.held[self.start..end].to_vec();
        self.at = end;
        self.place = Place::Between;
        Step::Out(Piece::Jpeg(file))
    }

    fn next_file(&mut self, start: usize) -> Step {
        let bytes = start - self.start;
        self.begin(start);
        Step::Out(Piece::Cut { bytes, by: CutBy::NextFile })
    }

    /// There is no marker where one must be: the last length that was followed was wrong. In picture data it was none,
    /// and the data go on; in a header the file is lost, and the next one may begin within what was skipped.
    fn lost(&mut self) -> Step {
        let bytes = self.at - self.start;
        self.at = self.doubt;
        if self.in_picture {
            self.place = Place::Data;
            return Step::On;
        }
        self.place = Place::Between;
        Step::Out(Piece::Cut { bytes, by: CutBy::Damage })
    }

    /// The stream has ended within a file, or a wrong length led beyond its end.
    fn cut_by_end(&mut self) -> Option<Piece> {
        if self.in_picture && self.place == Place::Marker && self.at >= self.held.len() {
            self.at = self.doubt;
            self.place = Place::Data;
            return None;
        }
        let bytes = self.unfinished_bytes();
        let end = self.held.len();
        self.at = if self.in_picture { end } else { self.doubt.min(end) };
        self.place = Place::Between;
        Some(Piece::Cut { bytes, by: CutBy::End })
    }

    /// Gives up a file that is too long.
    fn overlong(&mut self) -> Option<Piece> {
        let bytes = self.unfinished_bytes();
        if bytes <= self.most {
            return None;
        }
        self.place = Place::Between;
        self.at = self.held.len();
        Some(Piece::Cut { bytes, by: CutBy::Length })
    }
}

fn position_of_ff(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.iter().position(|&byte| byte == 0xff).map(|at| from + at)
}

/// Whether a JPEG file has no end yet.
pub fn is_unfinished(file: &[u8]) -> bool {
    let mut splitter = Splitter::with_limit(usize::MAX);
    splitter.push(file);
    let start = matches!(file, [0xff] | [0xff, 0xd8]);
    start || (splitter.next_piece().is_none() && splitter.unfinished_bytes() > 0)
}

#[cfg(test)]
mod tests;
