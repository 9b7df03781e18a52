//! What somebody who wrote a broken line had in mind.

use std::ops::Range;

use crate::config::mask::quoted;

/// The line of a byte.
pub(super) fn of(text: &str, at: usize) -> &str {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    text[start..].lines().next().unwrap_or("")
}

/// The end of the last line before that of `at` that says something; 0 if there is none.
pub(super) fn content_before(text: &str, at: usize) -> usize {
    let mut end = text.get(..at).and_then(|before| before.rfind('\n'));
    while let Some(newline) = end {
        let above = text[..newline].rfind('\n');
        let start = above.map_or(0, |above| above + 1);
        let content = without_comment(&text[start..newline]).trim_end();
        if !content.is_empty() {
            return start + content.len();
        }
        end = above;
    }
    0
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
        return Some(
            "this looks like JSON: write [section] headers and `key = value` lines".into(),
        );
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
            format!("between key and value stands `=`: write {key} = {}", suggested(key, value).1)
        });
    }
    Some(match rest {
        "]" => format!("the header is not opened: write [{key}]"),
        "" => format!("`{key}` has no value: write {key} = …, or [{key}] for a section"),
        rest => match rest.split_once('=') {
            Some((words, value)) if !words.trim().is_empty() => {
                let key = format!("{key} {}", words.trim()).replace(' ', "_");
                format!(
                    "a key is one word: write {} = {}",
                    quoted(&key),
                    suggested(&key, value.trim()).1
                )
            }
            _ => format!("`=` is missing: write {key} = {}", suggested(key, rest).1),
        },
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
            format!("these are typographic quotes: write {key} = {}", suggested(key, value).1)
        }
        Some(quote @ ('"' | '\'')) => return in_quotes(value, quote, message),
        Some(_) if second_key(value).is_some() => {
            let next = second_key(value).unwrap_or_default();
            format!("two keys on one line: begin a new line before {next}")
        }
        Some(_) => match suggested(key, value) {
            // The parser objects to something else.
            (_, same) if same == value => return None,
            (reason, better) => format!("{reason}: write {key} = {better}"),
        },
    })
}

/// The key of `3 window = 5`, which follows a value.
fn second_key(value: &str) -> Option<&str> {
    let (before, _) = value.split_once('=')?;
    let (_, last) = before.trim_end().rsplit_once(char::is_whitespace)?;
    (!last.is_empty() && word(last) == last).then_some(last)
}

/// A broken text.
fn in_quotes(value: &str, quote: char, message: &str) -> Option<String> {
    if message.starts_with("missing escaped value") || message.contains("escape") {
        return Some(
            "in double quotes a `\\` must be written twice; or put the text in single quotes"
                .into(),
        );
    }
    let closed = value[1..].find(quote).map(|end| &value[end + 2..]);
    match closed {
        None => Some(format!("the text is not closed: {quote} is missing at its end")),
        Some(rest) if !rest.trim().is_empty() => {
            Some("something follows the value: begin a new line, or put # before a comment".into())
        }
        Some(_) => None,
    }
}

/// How the value of `key` should have been written, and the rule behind it.
fn suggested(key: &str, value: &str) -> (&'static str, String) {
    const SWITCH: &str = "it is true or false, in small letters";
    let bare = value.trim_end_matches([';', ',']).trim_end();
    match bare.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => return (SWITCH, "true".into()),
        "false" | "no" | "off" => return (SWITCH, "false".into()),
        "none" | "null" | "nil" => {
            return ("there is no word for no value", "…, or put # before the line".into());
        }
        _ => {}
    }
    if let Some((number, unit)) = number(bare) {
        return ("a number has digits and at most one point", in_unit(key, number, &unit));
    }
    if bare.starts_with(['"', '\'', '[', '{']) {
        return ("something follows the value", quoted(bare));
    }
    let unquoted = bare.trim_matches(|c: char| "“”„‘’«»\"'".contains(c));
    ("a text stands in quotes", format!("\"{}\"", quoted(unquoted)))
}

/// Units by the end of a key, units that people write, and how many of the former one of the latter is.
const UNITS: [(&str, &[&str], u64); 7] = [
    ("_ms", &["s", "sec", "secs", "second", "seconds"], 1000),
    ("_ms", &["m", "min", "minute", "minutes"], 60_000),
    ("_s", &["m", "min", "minute", "minutes"], 60),
    ("_s", &["h", "hour", "hours"], 3600),
    ("_s", &["d", "day", "days"], 86_400),
    ("_mb", &["g", "gb", "gib"], 1024),
    ("_mb", &["t", "tb", "tib"], 1024 * 1024),
];

/// The number in the unit of the key, if it is a whole one.
fn in_unit(key: &str, number: String, unit: &str) -> String {
    let unit = unit.to_ascii_lowercase();
    let of = |(end, units, _): &&(&str, &[&str], u64)| {
        key.ends_with(end) && units.contains(&unit.as_str())
    };
    let Some((_, _, factor)) = UNITS.iter().find(of) else { return number };
    match number.parse::<u64>().ok().and_then(|whole| whole.checked_mul(*factor)) {
        Some(product) => product.to_string(),
        None => number,
    }
}

/// A number without what people put into it (blanks and commas between thousands, a missing 0), and its unit.
fn number(text: &str) -> Option<(String, String)> {
    let (sign, digits) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (&text[..1], rest),
        None => ("", text),
    };
    let end = digits
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ',' | '_' | ' ')))
        .unwrap_or(digits.len());
    let (mantissa, unit) = digits.split_at(end);
    let is_unit =
        unit.chars().all(|c| c.is_alphabetic() || matches!(c, '°' | '%')) && unit.len() <= 8;
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
    let (whole, fraction) =
        kept.split_once('.').map_or((kept.as_str(), None), |(w, f)| (w, Some(f)));
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let fraction = fraction.map(|f| if f.is_empty() { ".0".into() } else { format!(".{f}") });
    let number = format!("{sign}{whole}{}", fraction.unwrap_or_default());
    Some((number, unit.to_string()))
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
            assert_eq!(suggested("key", value).1, better, "{value}");
        }
        for (key, value, better) in [
            ("stall_ms", "5s", "5000"),
            ("stall_ms", "5 min", "300000"),
            ("stall_ms", "500 ms", "500"),
            ("cooldown_s", "2h", "7200"),
            ("quota_mb", "8GB", "8192"),
            ("quota_mb", "99999999999999999999GB", "99999999999999999999"),
        ] {
            assert_eq!(suggested(key, value).1, better, "{key} = {value}");
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
