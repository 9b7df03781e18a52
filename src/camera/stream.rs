//! Frames in a stream of bytes.

use super::mjpeg::{Piece, Splitter};
use super::{CameraError, CameraErrorKind, Content, Framing, Raw, RawFormat};

/// Most bytes that are read at once.
pub(super) const READ_BYTES: usize = 64 << 10;

/// Cuts a stream into the content of frames.
#[derive(Debug)]
pub(super) enum Cutter {
    Mjpeg(Splitter),
    Raw(RawCutter),
}

/// Pictures of one size without anything between them; a byte that is lost shifts all that follow.
#[derive(Debug)]
pub(super) struct RawCutter {
    format: RawFormat,
    width: u32,
    height: u32,
    frame_bytes: usize,
    held: Vec<u8>,
    /// Bytes at the start of `held` that were given away.
    given: usize,
    ended: bool,
}

impl Cutter {
    pub(super) fn new(framing: Framing) -> Cutter {
        match framing {
            Framing::Mjpeg => Cutter::Mjpeg(Splitter::new()),
            Framing::Raw { format, width, height } => Cutter::Raw(RawCutter {
                format,
                width,
                height,
                frame_bytes: format.picture_bytes(width, height) as usize,
                held: Vec::new(),
                given: 0,
                ended: false,
            }),
        }
    }

    /// Takes the stream's next bytes; ask for [`Cutter::next_content`] until there is none before pushing more.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        match self {
            Cutter::Mjpeg(splitter) => splitter.push(bytes),
            Cutter::Raw(cutter) => cutter.push(bytes),
        }
    }

    /// Says that the stream has ended: what is left of it can be asked for.
    pub(super) fn end(&mut self) {
        match self {
            Cutter::Mjpeg(splitter) => splitter.end(),
            Cutter::Raw(cutter) => cutter.ended = true,
        }
    }

    /// The next frame's content, or what is wrong with it; `source` is named in errors.
    pub(super) fn next_content(&mut self, source: &str) -> Option<Result<Content, CameraError>> {
        match self {
            Cutter::Mjpeg(splitter) => splitter.next_piece().map(|piece| match piece {
                Piece::Jpeg(bytes) => Ok(Content::File(bytes)),
                Piece::Cut { bytes, by } => {
                    let why = format!("{source}: a picture is cut after {bytes} bytes: {by}");
                    Err(CameraError::new(CameraErrorKind::Cut, why))
                }
                Piece::Garbage { bytes, head } => {
                    let why = format!("{source}: {}", no_picture(bytes, &head));
                    Err(CameraError::new(CameraErrorKind::Picture, why))
                }
            }),
            Cutter::Raw(cutter) => cutter.next_picture().map(|content| {
                content.map_err(|bytes| {
                    let why =
                        format!("{source}: a picture is cut after {bytes} bytes: the stream ends");
                    CameraError::new(CameraErrorKind::Cut, why)
                })
            }),
        }
    }

    /// What the last bytes were, if they were no part of a frame.
    pub(super) fn garbage(&self) -> Option<String> {
        match self {
            Cutter::Mjpeg(splitter) => match splitter.garbage() {
                (0, _) => None,
                (bytes, head) => Some(no_picture(bytes, head)),
            },
            Cutter::Raw(_) => None,
        }
    }
}

fn no_picture(bytes: u64, head: &[u8]) -> String {
    match guess(head) {
        Some(what) => format!(
            "{bytes} bytes without a JPEG picture, which look like {what}: let the command write motion JPEG \
             (rpicam-vid --codec mjpeg, ffmpeg -f mjpeg, gst-launch-1.0 with jpegenc)"
        ),
        None => {
            let head: Vec<String> = head.iter().take(4).map(|b| format!("{b:02x}")).collect();
            format!("{bytes} bytes without a JPEG picture, which begin with {}", head.join(" "))
        }
    }
}

impl RawCutter {
    fn push(&mut self, bytes: &[u8]) {
        self.held.drain(..self.given);
        self.given = 0;
        self.held.extend_from_slice(bytes);
    }

    /// The next picture, or the length of what a stream ends with.
    fn next_picture(&mut self) -> Option<Result<Content, usize>> {
        let rest = &self.held[self.given..];
        let Some(bytes) = rest.get(..self.frame_bytes).map(<[u8]>::to_vec) else {
            let cut = self.ended.then_some(rest.len()).filter(|&bytes| bytes > 0);
            self.given += cut.unwrap_or(0);
            return cut.map(Err);
        };
        self.given += self.frame_bytes;
        let stride = self.format.line_bytes(self.width) as u32;
        let RawCutter { format, width, height, .. } = *self;
        Some(Ok(Content::Raw(Raw { format, width, height, stride, bytes })))
    }
}

fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e)
}

/// What a stream that is not JPEG looks like, by its first bytes.
fn guess(head: &[u8]) -> Option<&'static str> {
    Some(match head {
        [0, 0, 0, 1, ..] | [0, 0, 1, ..] => "H.264 or H.265",
        [b'R', b'I', b'F', b'F', ..] => "an AVI file",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "an MP4 file",
        [0x1a, 0x45, 0xdf, 0xa3, ..] => "a Matroska or WebM file",
        [b'Y', b'U', b'V', b'4', ..] => "YUV4MPEG2",
        [0x89, b'P', b'N', b'G', ..] => "PNG files",
        [0x47, ..] => "an MPEG transport stream",
        [b'F', b'L', b'V', ..] => "an FLV file",
        [0x1f, 0x8b, ..] => "gzip-compressed data",
        _ if !head.is_empty() && head.iter().all(|&byte| byte == 0) => "zeros only",
        _ if !head.is_empty() && head.iter().all(|&b| is_text(b)) => "text",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_frames_are_cut_by_their_size_however_they_arrive() {
        let framing = Framing::Raw { format: RawFormat::Yuyv, width: 2, height: 3 };
        let stream: Vec<u8> = (0..40).collect();
        for chunk in [1, 5, 12, 13, 40] {
            let mut cutter = Cutter::new(framing);
            let mut frames = Vec::new();
            for part in stream.chunks(chunk) {
                cutter.push(part);
                frames.extend(std::iter::from_fn(|| cutter.next_content("x")).map(Result::unwrap));
            }
            let expected: Vec<Content> = stream[..36]
                .chunks(12)
                .map(|bytes| {
                    let bytes = bytes.to_vec();
                    let format = RawFormat::Yuyv;
                    Content::Raw(Raw { format, width: 2, height: 3, stride: 4, bytes })
                })
                .collect();
            assert_eq!(frames, expected, "in chunks of {chunk}");
            cutter.end();
            let cut = cutter.next_content("x").unwrap().unwrap_err();
            assert_eq!(cut.to_string(), "x: a picture is cut after 4 bytes: the stream ends");
            assert!(cut.is_passing() && cutter.next_content("x").is_none());
        }
    }

    #[test]
    fn the_wrong_codec_is_named() {
        let mut cutter = Cutter::new(Framing::Mjpeg);
        cutter.push(b"\0\0\0\x01\x67\x42");
        assert!(cutter.next_content("cam").is_none());
        assert!(cutter.garbage().unwrap().contains("H.264"));
        let mut errors = Vec::new();
        for _ in 0..16 {
            cutter.push(&[0x55; READ_BYTES]);
            errors
                .extend(std::iter::from_fn(|| cutter.next_content("cam")).map(Result::unwrap_err));
        }
        assert!(errors.iter().all(|e| e.is_passing() && e.to_string().starts_with("cam: ")));
        assert!(errors[0].to_string().contains("rpicam-vid --codec mjpeg"), "{}", errors[0]);
        assert_eq!(errors.len(), 4);
        assert_eq!(guess(b"\0\0\0\x20ftypisom"), Some("an MP4 file"));
        assert_eq!(guess(b"y\ny\n"), Some("text"));
        assert_eq!(guess(&[0; 16]), Some("zeros only"));
        assert_eq!(guess(b"\x55\xaa"), None);
        assert!(no_picture(9, b"\x55\xaa\x01\x02\x03").ends_with("begin with 55 aa 01 02"));
    }
}
