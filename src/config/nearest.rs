//! Which known name somebody meant.

/// Longest name that is compared: no key comes near it.
const LONGEST: usize = 40;

/// Names that other programs, or people, use for what a key of ours does.
const SYNONYMS: [(&str, &str); 54] = [
    ("address", "http.listen"),
    ("bind", "http.listen"),
    ("broker", "mqtt.url"),
    ("budget", "alarm.budget_per_day"),
    ("cert", "mqtt.ca_file"),
    ("cert", "webhook.ca_file"),
    ("cmd", "hook.command"),
    ("cooldown", "alarm.cooldown_s"),
    ("debounce", "alarm.raise"),
    ("events", "hook.phases"),
    ("events", "webhook.phases"),
    ("false_alarm_rate", "model.alpha"),
    ("format", "camera.source"),
    ("fps", "pace.max_fps"),
    ("framerate", "pace.max_fps"),
    ("gpio", "gpio.line"),
    ("height", "camera.size"),
    ("host", "mqtt.url"),
    ("host", "http.listen"),
    ("interval", "alarm.update_s"),
    ("keepalive", "mqtt.keep_alive_s"),
    ("loglevel", "log.level"),
    ("max_mb", "journal.most_mb"),
    ("max_mb", "evidence.quota_mb"),
    ("model_dir", "model.dir"),
    ("password", "mqtt.password_file"),
    ("path", "journal.dir"),
    ("path", "evidence.dir"),
    ("path", "model.dir"),
    ("pin", "gpio.line"),
    ("port", "http.listen"),
    ("port", "mqtt.url"),
    ("post_roll", "evidence.after_s"),
    ("pre_roll", "evidence.before_s"),
    ("quota", "evidence.quota_mb"),
    ("rect", "region.at"),
    ("resolution", "camera.size"),
    ("retention", "evidence.quota_mb"),
    ("roi", "region.at"),
    ("sensitivity", "model.alpha"),
    ("temperature", "pace.hot_c"),
    ("threshold", "model.alpha"),
    ("timeout", "camera.stall_ms"),
    ("timeout", "webhook.timeout_ms"),
    ("timeout", "hook.timeout_ms"),
    ("timeout", "mqtt.timeout_ms"),
    ("token", "http.token_file"),
    ("topic", "mqtt.prefix"),
    ("trigger", "gpio.on"),
    ("uri", "camera.source"),
    ("url", "camera.source"),
    ("username", "mqtt.user"),
    ("verbosity", "log.level"),
    ("width", "camera.size"),
];

/// The known name that is so close to `name` that it must have been meant: one letter off in four at most, whatever the
/// case, with `-` for `_`.
pub(super) fn typo<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST {
        return None;
    }
    let name = name.to_ascii_lowercase().replace('-', "_");
    let allowed = (name.chars().count() / 4).max(1);
    known
        .into_iter()
        .map(|known| (distance(&name, known), known))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// A part of the name, such as `stall` or `stall_s` of `stall_ms`, that only one known name begins with.
pub(super) fn stem<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let stem = UNITS.iter().find_map(|unit| name.strip_suffix(unit)).unwrap_or(&name);
    if stem.len() < 3 {
        return None;
    }
    let mut matching = known.into_iter().filter(|known| known.starts_with(stem));
    matching.next().filter(|_| matching.next().is_none())
}

const UNITS: [&str; 8] = ["_seconds", "_minutes", "_sec", "_ms", "_mb", "_gb", "_kb", "_s"];

/// The key that does what `name` does elsewhere, one of `section` if there is one.
pub(super) fn synonym(section: &str, name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let of = |(_, key): &&(&str, &'static str)| key.split('.').next() == Some(section);
    let mut found = SYNONYMS.iter().filter(|(other, _)| *other == name);
    let first = found.clone().next()?;
    Some(found.find(of).unwrap_or(first).1)
}

/// Insertions, deletions, substitutions and exchanges of neighbours between two words (the restricted distance of
/// Damerau 1964).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let substituted = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = substituted.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 5] = ["source", "stall_ms", "reopen_ms", "reopen_most_ms", "size"];

    #[test]
    fn typing_errors_find_their_key() {
        for (name, key) in [
            ("sorce", "source"),
            ("soruce", "source"),
            ("Stall-ms", "stall_ms"),
            ("stal_ms", "stall_ms"),
            ("siez", "size"),
            ("reopen_mots_ms", "reopen_most_ms"),
        ] {
            assert_eq!(typo(name, KNOWN), Some(key), "{name}");
        }
        for name in ["brightness", "s", "", &"size".repeat(1000)] {
            assert_eq!(typo(name, KNOWN), None, "{name}");
        }
    }

    #[test]
    fn a_stem_finds_its_key_when_there_is_one() {
        assert_eq!(stem("stall_seconds", KNOWN), Some("stall_ms"));
        assert_eq!(stem("stall", KNOWN), Some("stall_ms"));
        assert_eq!(stem("reopen_s", KNOWN), None);
        assert_eq!(stem("s", KNOWN), None);
    }

    #[test]
    fn words_of_other_programs_find_a_key_of_this_section_first() {
        assert_eq!(synonym("mqtt", "topic"), Some("mqtt.prefix"));
        assert_eq!(synonym("camera", "fps"), Some("pace.max_fps"));
        assert_eq!(synonym("alarm", "Threshold"), Some("model.alpha"));
        assert_eq!(synonym("alarm", "nothing"), None);
    }
}
