//! A program as a camera: frames are what it writes to its standard output.

mod last_words;
mod program;

use std::time::Duration;

use super::deadline::Deadline;
use super::stream::{Cutter, READ_BYTES};
use super::{CameraError, CameraErrorKind, Frame, FrameSource, Framing, Next};
use program::{Program, Read};

/// A running program that writes frames. Dropping it ends the program.
pub(super) struct PipeCamera {
    program: Program,
    cutter: Cutter,
    buffer: Box<[u8]>,
    seq: u64,
    /// The program writes no more; what it wrote may hold frames still.
    ended: bool,
}

impl PipeCamera {
    /// Starts a program, which must not be empty: its name and its arguments.
    ///
    /// # Errors
    ///
    /// [`CameraErrorKind::Missing`] if there is no such program, and [`CameraErrorKind::Read`] if it cannot be started.
    pub(super) fn open(command: &[String], framing: Framing) -> Result<PipeCamera, CameraError> {
        Ok(PipeCamera {
            program: Program::start(command)?,
            cutter: Cutter::new(framing),
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            seq: 0,
            ended: false,
        })
    }

    /// The program writes no more.
    fn lost(&mut self) -> CameraError {
        let how = self.program.end();
        let mut why = format!("{} {how}", self.program.name());
        why += &match self.seq {
            0 => " before its first frame".to_string(),
            1 => " after one frame".to_string(),
            frames => format!(" after {frames} frames"),
        };
        if let Some(garbage) = self.cutter.garbage().filter(|_| self.seq == 0) {
            why += &format!(" and {garbage}");
        }
        if let Some(words) = self.program.last_words() {
            why += &format!("; it said: {words}");
        }
        CameraError::new(CameraErrorKind::Lost, why)
    }
}

impl FrameSource for PipeCamera {
    fn next_frame(&mut self, wait: Duration) -> Result<Next, CameraError> {
        let deadline = Deadline::after(wait);
        loop {
            if let Some(content) = self.cutter.next_content(self.program.name()) {
                let content = content?;
                let seq = self.seq;
                self.seq += 1;
                let name = format!("{}/{seq:06}", self.program.name());
                return Ok(Next::Frame(Frame { seq, name, content }));
            }
            match self.program.read(&mut self.buffer, deadline) {
                Read::Bytes(count) => self.cutter.push(&self.buffer[..count]),
                Read::Late => return Ok(Next::Late),
                Read::End if self.ended => return Err(self.lost()),
                Read::End => {
                    self.ended = true;
                    self.cutter.end();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
