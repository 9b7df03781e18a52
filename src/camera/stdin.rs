//! Our own standard input as a camera.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use super::deadline::Deadline;
use super::stream::{Cutter, READ_BYTES};
use super::{CameraError, CameraErrorKind, Frame, FrameSource, Framing, Next};

/// A stream that somebody else opened. It is read only when it has something, and its own settings stay as they are: a
/// terminal or a pipe may be shared with others.
pub(super) struct StdinCamera<F = io::Stdin> {
    input: F,
    cutter: Cutter,
    buffer: Box<[u8]>,
    seq: u64,
    ended: bool,
}

impl StdinCamera {
    /// Reads frames from the standard input.
    pub(super) fn new(framing: Framing) -> StdinCamera {
        StdinCamera::over(io::stdin(), framing)
    }
}

impl<F: AsFd> StdinCamera<F> {
    fn over(input: F, framing: Framing) -> StdinCamera<F> {
        let buffer = vec![0; READ_BYTES].into_boxed_slice();
        StdinCamera { input, cutter: Cutter::new(framing), buffer, seq: 0, ended: false }
    }
}

impl<F: AsFd + Send> FrameSource for StdinCamera<F> {
    fn next_frame(&mut self, wait: Duration) -> Result<Next, CameraError> {
        let deadline = Deadline::after(wait);
        let failed = |e: io::Error| CameraError::new(CameraErrorKind::Read, format!("stdin: {e}"));
        loop {
            if let Some(content) = self.cutter.next_content("stdin") {
                let content = content?;
                let seq = self.seq;
                self.seq += 1;
                return Ok(Next::Frame(Frame { seq, name: format!("stdin/{seq:06}"), content }));
            }
            if self.ended {
                return Ok(Next::Ended);
            }
            let mut fds = [PollFd::new(&self.input, PollFlags::IN)];
            if !deadline.poll(&mut fds).map_err(failed)? {
                return Ok(Next::Late);
            }
            match rustix::io::read(&self.input, &mut self.buffer[..]) {
                Ok(0) => {
                    self.ended = true;
                    self.cutter.end();
                    // Behind pictures it may be the end of a multipart stream.
                    if let Some(why) = self.cutter.garbage().filter(|_| self.seq == 0) {
                        let why = format!("stdin: {why}");
                        return Err(CameraError::new(CameraErrorKind::Picture, why));
                    }
                }
                Ok(count) => self.cutter.push(&self.buffer[..count]),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(e) => return Err(failed(e.into())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::camera::Content;

    const WAIT: Duration = Duration::from_secs(60);

    #[test]
    fn frames_come_until_the_input_ends() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut camera = StdinCamera::over(reader, Framing::Mjpeg);
        assert_eq!(camera.next_frame(Duration::ZERO).unwrap(), Next::Late);
        writer.write_all(b"..\xff\xd8\xff\xd9\xff\xd8\xff").unwrap();
        let content = Content::File(b"\xff\xd8\xff\xd9".to_vec());
        let frame = Frame { seq: 0, name: "stdin/000000".into(), content };
        assert_eq!(camera.next_frame(WAIT).unwrap(), Next::Frame(frame));
        assert_eq!(camera.next_frame(Duration::ZERO).unwrap(), Next::Late);
        drop(writer);
        let cut = camera.next_frame(WAIT).unwrap_err();
        assert_eq!(cut.kind(), CameraErrorKind::Cut);
        assert!(cut.is_passing() && cut.to_string().contains("3 bytes"), "{cut}");
        for _ in 0..2 {
            assert_eq!(camera.next_frame(WAIT).unwrap(), Next::Ended);
        }
    }
}
