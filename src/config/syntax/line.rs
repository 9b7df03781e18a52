//! What somebody who wrote a broken line had in mind.

use std::ops::Range;

use crate::config::mask::quoted;

/// The line of a byte.
pub(super) fn of(text: &str, at: usize) -> &str {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    text[start..].lines().next().unwrap_or("")
}

/// Whether the line is a header, or a key with a value.
pub(super) fn begins_something(line: &str) -> bool {
    let line = line.trim();
    let key = word(line);
    let is_header = line.starts_with('[') && !word(line.trim_start_matches('[')).is_empty();
    let header = line.trim_start_matches('[').chars().next().is_some_and(char::is_alphabetic);
    (is_header && header) || (!key.is_empty() && line[key.len()..].trim_start().starts_with('='))
}

/// The line up to a comment. A `#` in quotes is none.
pub(super) fn without_comment(line: &str) -> &str {
    let mut quote = None;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') => return &line[..at],
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    line
}

/// The word that a text begins with, of the characters that keys have; perhaps none.
fn word(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')));
    &text[..end.unwrap_or(text.len())]
}

/// What is wrong and what to write; `None` where the parser's message says it best.
pub(super) fn diagnosis(text: &str, span: &Range<usize>, message: &str) -> Option<String> {
    let line = of(text, span.start).trim();
    if message.starts_with("duplicate key") {
        return Some(twice(text, span));
    }
    if line.starts_with("//") || line.starts_with(';') || line.starts_with("/*") {
        return Some("a comment begins with #".into());
    }
    if line.starts_with('{') {
        return Some("this looks like JSON: write [section] headers and `key = value` lines".into());
    }
    if message.starts_with("unclosed") && line.starts_with('[') {
        let name = word(line.trim_start_matches('['));
        let (open, close) = if line.starts_with("[[") { ("[[", "]]") } else { ("[", "]") };
        return Some(format!("the header is not closed: write {open}{name}{close}"));
    }
    let key = word(line);
    let rest = line[key.len()..].trim_start();
    if key.is_empty() {
        return None;
    }
    match rest.strip_prefix('=') {
        Some(value) => in_value(key, without_comment(value).trim(), message),
        None => without_equals(key, without_comment(rest).trim(), message),
    }
}

/// A line without `=` behind its key.
fn without_equals(key: &str, rest: &str, message: &str) -> Option<String> {
    if !message.starts_with("key with no value") && !message.starts_with("invalid unquoted key") {
        return None;
    }
    if let Some(value) = rest.strip_prefix(':') {
        let value = value.trim();
        return Some(if value.is_empty() {
            format!("a section's header is written [{key}]")
        } else {
            format!("between key and value stands `=`: write {key} = {}", suggested(value))
        });
    }
    Some(match rest {
        "]" => format!("the header is not opened: write [{key}]"),
        "" => format!("`{key}` has no value: write {key} = …, or [{key}] for a section"),
        rest => format!("`=` is missing: write {key} = {}", suggested(rest)),
    })
}

/// A line whose value is broken.
fn in_value(key: &str, value: &str, message: &str) -> Option<String> {
    let first = value.chars().next();
    Some(match first {
        None => format!("`{key}` has no value: give one, or put # before the line"),
        Some('[') if message.starts_with("string values") || message.contains("comma") => {
            "the items of a list have commas between them, and texts have quotes".into()
        }
        Some('[' | '{') => return None,
        Some('“' | '”' | '„' | '‘' | '’' | '«') => {
            format!("these are typographic quotes: write {key} = {}", suggested(value))
        }
        Some(quote @ ('"' | '\'')) => return in_quotes(value, quote, message),
        Some(_) => match suggested(value) {
            // The parser objects to something else.
            same if same == value => return None,
            better => format!("write {key} = {better}"),
        },
    })
}

/// A broken text.
fn in_quotes(value: &str, quote: char, message: &str) -> Option<String> {
    if message.starts_with("missing escaped value") || message.contains("escape") {
        return Some("in double quotes a `\\` must be written twice; or put the text in single quotes".into());
    }
    let closed = value[1..].find(quote).map(|end| &value[end + 2..]);
    match closed {
        None => Some(format!("the text is not closed: {quote} is missing at its end")),
        Some(rest) if !rest.trim().is_empty() => Some(
            "something follows the value: begin a new line, or put # before a comment".into(),
        ),
        Some(_) => None,
    }
}

/// How a value should have been written.
fn suggested(value: &str) -> String {
    let bare = value.trim_end_matches([';', ',']).trim_end();
    match bare.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => return "true".into(),
        "false" | "no" | "off" => return "false".into(),
        "none" | "null" | "nil" => return "…, or put # before the line for no value".into(),
        _ => {}
    }
    if let Some(number) = number(bare) {
        return number;
    }
    if bare.starts_with(['"', '\'', '[', '{']) {
        return quoted(bare);
    }
    let unquoted = bare.trim_matches(|c: char| "“”„‘’«»\"'".contains(c));
    format!("\"{}\"", quoted(unquoted))
}

/// A number without what people put into it: units, blanks and commas between thousands, a missing 0.
fn number(text: &str) -> Option<String> {
    let (sign, digits) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (&text[..1], rest),
        None => ("", text),
    };
    let end = digits
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ',' | '_' | ' ')))
        .unwrap_or(digits.len());
    let (mantissa, unit) = digits.split_at(end);
    let is_unit = unit.chars().all(|c| c.is_alphabetic() || matches!(c, '°' | '%')) && unit.len() <= 8;
    let points = mantissa.matches('.').count();
    if !is_unit || points > 1 || !mantissa.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let thousands = |part: &str| part.split(',').skip(1).all(|group| group.trim().len() == 3);
    let kept = if points == 0 && mantissa.contains(',') && !thousands(mantissa) {
        // A comma that some languages write for the point.
        mantissa.replacen(',', ".", 1)
    } else {
        mantissa.replace(',', "")
    };
    let kept: String = kept.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
    let (whole, fraction) = kept.split_once('.').map_or((kept.as_str(), None), |(w, f)| (w, Some(f)));
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let fraction = fraction.map(|f| if f.is_empty() { ".0".into() } else { format!(".{f}") });
    Some(format!("{sign}{whole}{}", fraction.unwrap_or_default()))
}

/// A key or section that is given a second time; it says where the first one is.
fn twice(text: &str, span: &Range<usize>) -> String {
    let name = text.get(span.clone()).unwrap_or("");
    let line = of(text, span.start).trim();
    let is_header = line.starts_with('[');
    let number = text[..span.start].matches('\n').count();
    let above: Vec<&str> = text.lines().take(number).collect();
    let found = above.iter().enumerate().rev().find(|(_, above)| {
        let above = above.trim();
        if is_header {
            without_comment(above).trim() == without_comment(line).trim()
        } else {
            above.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('='))
        }
    });
    let first = match found {
        Some((index, _)) => format!("line {} has it already", index + 1),
        None => "it was given above".to_string(),
    };
    let shown = quoted(if is_header { without_comment(line).trim() } else { name });
    let remedy = if is_header { "put all of its keys there" } else { "remove one of the two" };
    format!("`{shown}` is there twice: {first}; {remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_suggested_as_they_were_meant() {
        for (value, better) in [
            ("v4l2:/dev/video0", "\"v4l2:/dev/video0\""),
            ("“synth:1”", "\"synth:1\""),
            ("True", "true"),
            ("off", "false"),
            ("5000;", "5000"),
            ("5 000", "5000"),
            ("5,000", "5000"),
            ("0,25", "0.25"),
            ("5s", "5"),
            ("75 °C", "75"),
            ("-.5", "-0.5"),
            ("5.", "5.0"),
            ("0500", "500"),
            ("1.2.3.4", "\"1.2.3.4\""),
            ("127.0.0.1:8080", "\"127.0.0.1:8080\""),
            ("640x480", "\"640x480\""),
            ("rtsp://u:p@cam", "\"rtsp://***@cam\""),
        ] {
            assert_eq!(suggested(value), better, "{value}");
        }
    }

    #[test]
    fn comments_end_a_value_unless_quoted() {
        assert_eq!(without_comment("a = 1 # one"), "a = 1 ");
        assert_eq!(without_comment("a = \"#1\" # one"), "a = \"#1\" ");
        assert_eq!(without_comment("a = '\"' # one"), "a = '\"' ");
    }

    #[test]
    fn headers_and_keys_begin_something_and_items_do_not() {
        for line in ["[camera]", "[[region]]", "tiles = [1, 1]", " a-b.c=1"] {
            assert!(begins_something(line), "{line}");
        }
        for line in ["", "[0, 1]", "1, 2]", "]", "\"a\", # b = c", "= 3"] {
            assert!(!begins_something(line), "{line}");
        }
    }
}
