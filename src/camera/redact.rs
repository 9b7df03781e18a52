//! Texts without passwords, for logs, messages and pages.

/// Replaces the password of each `scheme://user:password@host` by `***`.
///
/// A password may hold a slash that should have been escaped, so everything up to the last `@` of a word counts: this
/// hides too much of a rare URL rather than a part of a password.
pub(super) fn without_passwords(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + 3);
        out.push_str(before);
        let end =
            url.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')).unwrap_or(url.len());
        let word = &url[..end];
        match word.rfind('@').and_then(|host| Some((word[..host].find(':')?, host))) {
            Some((colon, host)) => {
                out.push_str(&word[..=colon]);
                out.push_str("***");
                out.push_str(&word[host..]);
            }
            None => out.push_str(word),
        }
        rest = &url[end..];
    }
    out.push_str(rest);
    out
}

/// What a message quotes of a text: no password, and at most so many characters.
pub(super) fn quoted(text: &str, characters: usize) -> String {
    let mut quoted = without_passwords(text);
    if let Some((end, _)) = quoted.char_indices().nth(characters) {
        quoted.truncate(end);
        quoted.push('…');
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_urls_are_hidden() {
        for (text, shown) in [
            ("rtsp://me:secret@cam/1", "rtsp://me:***@cam/1"),
            ("rtsp://me:se:cr@e/t@cam:554/1", "rtsp://me:***@cam:554/1"),
            ("-i 'rtsp://me:secret@cam/1' -f x", "-i 'rtsp://me:***@cam/1' -f x"),
            ("rtsp://me@cam/1 http://a:b@c", "rtsp://me@cam/1 http://a:***@c"),
            ("rtsp://:b@c,http://d:e@f", "rtsp://:***@f"),
            ("rtsp://cam:554/1", "rtsp://cam:554/1"),
            ("pipe:a:b@c", "pipe:a:b@c"),
            ("://", "://"),
            ("", ""),
        ] {
            assert_eq!(without_passwords(text), shown);
        }
    }
}
