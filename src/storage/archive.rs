//! What is said of archives that cannot be read.

use std::io;

/// Why an archive cannot be read. The library's own words repeat bytes of the file.
pub(crate) fn tar_trouble(e: &io::Error) -> String {
    use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    match e.kind() {
        UnexpectedEof => "the archive is cut off in the middle; copy it again".into(),
        InvalidData | InvalidInput | Other => "not a tar archive, or a damaged one".into(),
        kind => format!("the archive cannot be read: {kind}"),
    }
}

/// What is said of a file that begins so, if that is a compressed one.
pub(crate) fn packed(head: &[u8]) -> Option<String> {
    let packer = match head {
        [0x1f, 0x8b, ..] => "gzip",
        [b'B', b'Z', b'h', ..] => "bzip2",
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => "xz",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        [b'P', b'K', ..] => "zip",
        _ => return None,
    };
    Some(format!("compressed with {packer}; unpack it to a plain .tar first"))
}
