//! What a program wrote to its standard error, as far as it is worth keeping.

use std::collections::VecDeque;

use crate::camera::redact::without_passwords;

/// Lines that are kept.
const LINES: usize = 4;
/// Bytes of a line that are kept.
const LINE_BYTES: usize = 240;

/// The last lines of a stream of text, however long it or any of its lines is.
#[derive(Debug, Default)]
pub(super) struct LastWords {
    lines: VecDeque<String>,
    /// The line that is not complete yet.
    line: Vec<u8>,
}

impl LastWords {
    /// Takes the next bytes; gives the lines that they complete to `told`.
    pub(super) fn push(&mut self, bytes: &[u8], mut told: impl FnMut(&str)) {
        for &byte in bytes {
            match byte {
                // Progress is written over itself with carriage returns.
                b'\n' | b'\r' => self.complete(&mut told),
                byte if self.line.len() < LINE_BYTES => self.line.push(byte),
                _ => {}
            }
        }
    }

    fn complete(&mut self, told: &mut impl FnMut(&str)) {
        let text = plain(&std::mem::take(&mut self.line));
        if text.is_empty() {
            return;
        }
        told(&text);
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(text);
    }

    /// The last lines in one, if there are any.
    pub(super) fn text(&mut self) -> Option<String> {
        self.complete(&mut |_| {});
        let lines: Vec<&str> = self.lines.iter().map(String::as_str).collect();
        (!lines.is_empty()).then(|| lines.join(" | "))
    }
}

/// One line without colours, controls and passwords.
fn plain(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\x1b' {
            // `ESC [ … letter` sets colours.
            chars.by_ref().find(|c| c.is_ascii_alphabetic());
        } else {
            plain.push(if c.is_control() { ' ' } else { c });
        }
    }
    without_passwords(plain.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(chunks: &[&[u8]]) -> Option<String> {
        let mut words = LastWords::default();
        chunks.iter().for_each(|chunk| words.push(chunk, |_| {}));
        words.text()
    }

    #[test]
    fn the_last_lines_are_kept() {
        assert_eq!(
            text(&[b"a\nb\n", b"c\r\n\nd", b"\nno came", b"ra"]).unwrap(),
            "b | c | d | no camera"
        );
        assert_eq!(text(&[b"\n\r \t\n"]), None);
    }

    #[test]
    fn a_stream_without_lines_is_bounded() {
        let mut words = LastWords::default();
        for _ in 0..1000 {
            words.push(&[b'x'; 4096], |line| panic!("{line} is not complete"));
            assert!(words.line.capacity() <= 2 * LINE_BYTES);
        }
        assert_eq!(words.text().unwrap().len(), LINE_BYTES);
    }

    #[test]
    fn controls_and_passwords_are_left_out() {
        let line = b"\x1b[31;1mrtsp://me:secret@cam: \x07\xff refused\x1b[0m\n";
        assert_eq!(text(&[line]).unwrap(), "rtsp://me:***@cam:  \u{fffd} refused");
    }
}
