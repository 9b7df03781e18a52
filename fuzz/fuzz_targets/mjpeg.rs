//! The splitter of motion JPEG: what it gives lies in the stream, however the stream arrives.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oddsight::camera::mjpeg::{Piece, Splitter};

fn files(stream: &[u8], chunk: usize) -> Vec<Vec<u8>> {
    let mut splitter = Splitter::new();
    let mut files = Vec::new();
    let mut take = |splitter: &mut Splitter| {
        while let Some(piece) = splitter.next_piece() {
            if let Piece::Jpeg(file) = piece {
                files.push(file);
            }
        }
    };
    for part in stream.chunks(chunk) {
        splitter.push(part);
        take(&mut splitter);
    }
    splitter.end();
    take(&mut splitter);
    assert_eq!(splitter.unfinished_bytes(), 0);
    files
}

fuzz_target!(|data: &[u8]| {
    let Some((&chunk, stream)) = data.split_first() else { return };
    let found = files(stream, usize::from(chunk) + 1);
    assert_eq!(found, files(stream, usize::MAX));
    let mut rest = stream;
    for file in found {
        assert!(file.starts_with(&[0xff, 0xd8, 0xff]) && file.ends_with(&[0xff, 0xd9]));
        let at = rest.windows(file.len()).position(|window| window == file).expect("it lies in the stream");
        rest = &rest[at + file.len()..];
    }
});
