//! Passwords and tokens, which stand in files of their own and are read when they are used.

use std::io::Read as _;
use std::path::Path;

/// Longer secrets are surely another file.
const LONGEST: u64 = 4096;

/// What the file holds, without the end of its line.
///
/// # Errors
///
/// Says in words why there is no secret in the file; never what is in it.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let name = path.display();
    let file = std::fs::File::open(path).map_err(|e| format!("{name}: {e}"))?;
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(|e| format!("{name}: {e}"))?;
    if bytes.len() as u64 > LONGEST {
        return Err(format!("{name}: longer than {LONGEST} bytes, so it is no password or token"));
    }
    let text = String::from_utf8(bytes).map_err(|_| format!("{name}: is no UTF-8 text"))?;
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.is_empty() {
        return Err(format!("{name}: is empty: write the secret into its first line"));
    }
    if secret.contains(['\n', '\r', '\0']) {
        return Err(format!("{name}: has more than one line: the secret must be the only one"));
    }
    Ok(secret.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_the_only_line_of_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let read_back = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            read(&path)
        };
        for content in [&b"s3cr et"[..], b"s3cr et\n", b"s3cr et\r\n"] {
            assert_eq!(read_back(content).unwrap(), "s3cr et");
        }
        for content in [&b""[..], b"\n", b"two\nlines\n", b"nul\0", b"\xff\xfe", &[b'x'; 5000]] {
            let why = read_back(content).unwrap_err();
            assert!(why.contains("secret: ") && !why.contains("two"), "{why}");
        }
        let missing = read(&dir.path().join("none")).unwrap_err();
        assert!(missing.contains("none: No such file"), "{missing}");
    }
}
