//! Decoding an ONNX file while it is read, so that its bytes are never held beside its tensors.

use std::io::{self, Read};

use prost::Message as _;
use prost::bytes::Buf;
use sha2::{Digest, Sha256};
use tract_onnx::pb::ModelProto;

/// A decoded ONNX file.
pub(super) struct File {
    pub proto: ModelProto,
    /// SHA-256 of the file.
    pub digest: [u8; 32],
}

/// Why a file was not decoded.
pub(super) enum FileError {
    Read(io::Error),
    NotOnnx(String),
}

impl File {
    /// Decodes `len` bytes of `source`.
    pub fn read(source: &mut dyn Read, len: u64) -> Result<File, FileError> {
        if len == 0 {
            return Err(FileError::NotOnnx("the file is empty".to_string()));
        }
        let remaining = usize::try_from(len).unwrap_or(usize::MAX);
        let mut stream = Stream {
            source,
            remaining,
            chunk: vec![0; CHUNK],
            filled: 0,
            at: 0,
            sha256: Sha256::new(),
            failed: None,
        };
        stream.fill();
        let decoded = ModelProto::decode(&mut stream);
        if let Some(e) = stream.failed {
            return Err(FileError::Read(e));
        }
        let proto = decoded.map_err(|e| FileError::NotOnnx(format!("not an ONNX file: {e}")))?;
        Ok(File { proto, digest: stream.sha256.finalize().into() })
    }
}

const CHUNK: usize = 1 << 16;

/// What is left of a source, as the decoder takes it: one chunk at a time.
struct Stream<'a> {
    source: &'a mut dyn Read,
    /// Bytes that were not yet taken, those of the chunk included.
    remaining: usize,
    chunk: Vec<u8>,
    /// Bytes of the chunk that hold something.
    filled: usize,
    /// Bytes of the chunk that were taken.
    at: usize,
    sha256: Sha256,
    /// Reading failed, or the source ended early: it goes on with zeros, and the result is refused.
    failed: Option<io::Error>,
}

impl Stream<'_> {
    fn fill(&mut self) {
        self.at = 0;
        self.filled = self.remaining.min(CHUNK);
        let chunk = &mut self.chunk[..self.filled];
        if self.failed.is_none() {
            self.failed = self.source.read_exact(chunk).err();
        }
        if self.failed.is_some() {
            chunk.fill(0);
        }
        self.sha256.update(&*chunk);
    }
}

impl Buf for Stream<'_> {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        &self.chunk[self.at..self.filled]
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.remaining, "advanced beyond the end");
        while count > 0 {
            let step = count.min(self.filled - self.at);
            self.at += step;
            self.remaining -= step;
            count -= step;
            if self.at == self.filled && self.remaining > 0 {
                self.fill();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model of several chunks.
    fn model() -> (ModelProto, Vec<u8>) {
        let doc_string = "a doc string of some length; ".repeat(9_000);
        let proto = ModelProto { ir_version: 8, doc_string, ..ModelProto::default() };
        let bytes = proto.encode_to_vec();
        assert!(bytes.len() > 3 * CHUNK);
        (proto, bytes)
    }

    #[test]
    fn a_stream_of_chunks_is_the_file() {
        let (proto, bytes) = model();
        let file = File::read(&mut &bytes[..], bytes.len() as u64).ok().unwrap();
        assert_eq!(file.proto, proto);
        assert_eq!(file.digest, <[u8; 32]>::from(Sha256::digest(&bytes)));
    }

    #[test]
    fn a_source_that_ends_early_is_a_read_error() {
        let (_, bytes) = model();
        for len in [0, 1, CHUNK, bytes.len() - 1] {
            let read = File::read(&mut &bytes[..len], bytes.len() as u64);
            assert!(matches!(read, Err(FileError::Read(_))), "{len}");
        }
    }
}
