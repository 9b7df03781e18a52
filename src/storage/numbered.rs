//! Names that count: what is oldest is said by a number, never by a clock.

/// The largest number of a name. A thousand events a second reach it after 31 years.
pub(crate) const MAX_NUMBER: u64 = 999_999_999_999;

/// Digits that a number has at least, so that names sort as numbers for the first hundred million.
const DIGITS: usize = 8;

/// `00000012.jsonl`
pub(crate) fn file_name(number: u64, ending: &str) -> String {
    format!("{number:0DIGITS$}.{ending}")
}

/// The number of a [`file_name`]; `None` for every other name.
pub(crate) fn parse_file_name(name: &str, ending: &str) -> Option<u64> {
    let (digits, rest) = name.split_once('.')?;
    if rest == ending { number(digits) } else { None }
}

/// `00000012-REST`
pub(crate) fn folder_name(number: u64, rest: &str) -> String {
    format!("{number:0DIGITS$}-{rest}")
}

/// Number and rest of a [`folder_name`]; `None` for every other name.
pub(crate) fn parse_folder_name(name: &str) -> Option<(u64, &str)> {
    let (digits, rest) = name.split_once('-')?;
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_ours = !rest.is_empty() && rest.chars().all(safe);
    if is_ours { number(digits).map(|number| (number, rest)) } else { None }
}

/// Exactly what `{:08}` writes, so that no two names have one number.
fn number(digits: &str) -> Option<u64> {
    let canonical = digits.len() == DIGITS || digits.len() > DIGITS && !digits.starts_with('0');
    if !canonical || digits.len() > 12 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|number| *number <= MAX_NUMBER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn names_are_read_back(number in 0..=MAX_NUMBER, rest in "[a-z0-9._-]{1,20}") {
            prop_assert_eq!(parse_file_name(&file_name(number, "jsonl"), "jsonl"), Some(number));
            let name = folder_name(number, &rest);
            prop_assert_eq!(parse_folder_name(&name), Some((number, rest.as_str())));
        }

        #[test]
        fn a_number_has_one_name(name in "[0-9]{1,14}") {
            if let Some(number) = parse_file_name(&format!("{name}.jsonl"), "jsonl") {
                prop_assert_eq!(file_name(number, "jsonl"), format!("{name}.jsonl"));
            }
        }
    }

    #[test]
    fn other_names_are_nobody_s() {
        for name in [
            "1.jsonl",
            "00000001.json",
            "00000001.jsonl.gz",
            "0000000000001.jsonl",
            "",
            ".",
            "000000001.jsonl",
            "1000000000000.jsonl",
            "٠٠٠٠٠٠٠١.jsonl",
        ] {
            assert_eq!(parse_file_name(name, "jsonl"), None, "{name}");
        }
        for name in ["00000001", "00000001-", "00000001-a/b", "1-a", "00000001-a b", "x-00000001"] {
            assert_eq!(parse_folder_name(name), None, "{name}");
        }
    }

    #[test]
    fn numbers_go_on_after_eight_digits() {
        assert_eq!(file_name(99_999_999, "jsonl"), "99999999.jsonl");
        assert_eq!(parse_file_name("100000000.jsonl", "jsonl"), Some(100_000_000));
    }
}
