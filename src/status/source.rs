//! Names of sources that may be shown.

/// A text without the passwords of the addresses in it: what stands before the `@` of each
/// `scheme://user:password@host` becomes `…`.
pub fn without_passwords(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (scheme, address) = rest.split_at(start + 3);
        shown.push_str(scheme);
        let ends = |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '"' | '\'');
        let authority = &address[..address.find(ends).unwrap_or(address.len())];
        rest = match authority.rfind('@') {
            Some(at) => {
                shown.push('…');
                &address[at..]
            }
            None => address,
        };
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hidden_wherever_they_stand() {
        for (text, shown) in [
            ("v4l2:/dev/video0?fps=10", "v4l2:/dev/video0?fps=10"),
            (
                "pipe:ffmpeg -i rtsp://me:p@ss@cam/1 -f mjpeg -",
                "pipe:ffmpeg -i rtsp://…@cam/1 -f mjpeg -",
            ),
            ("a://b:c@d e://f:g@h", "a://…@d e://…@h"),
            ("https://host/a@b", "https://host/a@b"),
            ("://", "://"),
            ("x://:@", "x://…@"),
        ] {
            assert_eq!(without_passwords(text), shown);
        }
    }
}
