//! What may be shown of a text: no secrets, no control characters, not too much.

use std::ops::Range;

pub(super) use crate::logger::visible;

/// Longest text that is quoted whole in a message, in characters.
const LONGEST: usize = 60;

/// Stands for a character that is not shown.
const HIDDEN: char = '*';

/// Words before `=`, `:` or a blank after which a secret stands.
const SECRET: [&str; 9] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "bearer",
];

/// A text in a message: secrets hidden, control characters escaped, cut when long.
pub(super) fn quoted(text: &str) -> String {
    let mut shown = String::new();
    for (count, c) in secrets(text).chars().enumerate() {
        if count == LONGEST {
            shown.push('…');
            break;
        }
        if visible(c) == c { shown.push(c) } else { shown.extend(c.escape_unicode()) }
    }
    shown
}

/// The text with as many stars in place of each character of a secret: of the user's part of a URL, and of what
/// follows a word such as `token`.
pub(super) fn secrets(text: &str) -> String {
    let mut hidden = vec![false; text.len()];
    user_infos(text, &mut hidden);
    // Lower case may have another length, which ASCII's has not.
    let lower = text.to_ascii_lowercase();
    for word in SECRET {
        for (at, _) in lower.match_indices(word) {
            after_word(text, at..at + word.len(), &mut hidden);
        }
    }
    text.char_indices().map(|(at, c)| if hidden[at] { HIDDEN } else { c }).collect()
}

/// `rtsp://USER:PASSWORD@camera/…`
fn user_infos(text: &str, hidden: &mut [bool]) {
    for (at, separator) in text.match_indices("://") {
        let from = at + separator.len();
        let rest = &text[from..];
        let end = rest.find(['/', '?', '#', '"', '\'', ' ', '\t', '\n']).unwrap_or(rest.len());
        if let Some(length) = rest[..end].rfind('@') {
            hidden[from..from + length].fill(true);
        }
    }
}

/// Hides the value that follows a word that ends at `from`. Prose goes on with a blank; options do that too.
fn after_word(text: &str, word: Range<usize>, hidden: &mut [bool]) {
    const SEPARATORS: &str = "=: \t\"',";
    let rest = &text[word.end..];
    let Some(separator) = rest.chars().next().filter(|c| SEPARATORS.contains(*c)) else { return };
    let option = text[..word.start].ends_with('-') || text[word].eq_ignore_ascii_case("bearer");
    if separator == ' ' && !option && !rest.trim_start().starts_with(['=', ':']) {
        return;
    }
    let start = rest.find(|c: char| !SEPARATORS.contains(c)).unwrap_or(rest.len());
    let value = &rest[start..];
    // Found already: each character is looked at a few times at most.
    if hidden.get(text.len() - value.len()).is_none_or(|hidden| *hidden) {
        return;
    }
    let end = value.find(['"', '\'', '&', ' ', '\t', '\n', ',', ']']).unwrap_or(value.len());
    // `Token: Bearer …`: the secret comes after the next word.
    if !value[..end].eq_ignore_ascii_case("bearer") {
        let from = text.len() - value.len();
        hidden[from..from + end].fill(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_nothing_else() {
        for (text, shown) in [
            ("mqtt://anna:pa:ss@broker:1883", "mqtt://**********@broker:1883"),
            ("pipe:ffmpeg -i rtsp://u:p@cam/1 -", "pipe:ffmpeg -i rtsp://***@cam/1 -"),
            ("https://example.org/a@b", "https://example.org/a@b"),
            ("https://example.org/?token=abc&x=1", "https://example.org/?token=***&x=1"),
            ("--password hunter2 -v", "--password ******* -v"),
            ("Authorization: Bearer abc", "Authorization: Bearer ***"),
            ("[\"--token\", \"abc\"]", "[\"--token\", \"***\"]"),
            ("# the token is needed", "# the token is needed"),
            ("password = \"hunter2\"", "password = \"*******\""),
            ("token_file = \"/etc/oddsight/token\"", "token_file = \"/etc/oddsight/token\""),
            ("/etc/oddsight/token", "/etc/oddsight/token"),
            ("tokens", "tokens"),
            ("passwort: ä€", "passwort: ä€"),
            ("PASSWORD: ä€", "PASSWORD: **"),
        ] {
            assert_eq!(secrets(text), shown);
        }
    }

    #[test]
    fn messages_hold_no_control_characters_and_end() {
        assert_eq!(quoted("a\u{1b}[2Jb\u{202e}"), "a\\u{1b}[2Jb\\u{202e}");
        assert_eq!(quoted(&"é".repeat(1000)).chars().count(), LONGEST + 1);
    }
}
