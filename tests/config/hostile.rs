//! Files that nobody would write: none of them panics, hangs, or gives a configuration that contradicts itself.

use std::path::Path;

use oddsight::config::{Config, Explained, INIT};
use oddsight::random::Random;

use super::env;

/// Inputs of each test: a hundred thousand in all.
const MUTATIONS: usize = 80_000;
const PILES: usize = 20_000;

/// What files are made of, and what breaks them.
const PIECES: [&str; 64] = [
    "[model]",
    "[camera]",
    "[[region]]",
    "[region]",
    "[[gpio]]",
    "[mqtt]",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    " = ",
    ".",
    ",",
    "\n",
    "\r\n",
    "\r",
    "#",
    "\"",
    "'",
    "\"\"\"",
    "'''",
    "\\",
    "\\u0000",
    "\\u{1F600}",
    "\\x1b",
    "\0",
    "\u{1b}",
    "\u{feff}",
    "\u{202e}",
    "😀",
    "ä",
    "-",
    "_",
    "+",
    "e",
    "0x",
    "0b",
    "0o",
    "1e999",
    "-1e999",
    "inf",
    "-inf",
    "nan",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "1979-05-27T07:32:00Z",
    "07:32:00",
    "true",
    "false",
    "dir",
    "source",
    "name",
    "at",
    "tiles",
    "url",
    "device",
    "synth:1",
    "mqtt://u:p@h",
    "a.b.c.d",
    "://@",
];

fn one<'a, T>(random: &mut Random, of: &'a [T]) -> &'a T {
    &of[random.below(of.len() as u64) as usize]
}

fn piece(random: &mut Random) -> &'static str {
    PIECES[random.below(PIECES.len() as u64) as usize]
}

/// A place in the text where a character begins.
fn place(random: &mut Random, text: &str) -> usize {
    let mut at = random.below(text.len() as u64 + 1) as usize;
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// What is run on each input, whose result it checks.
fn try_out(text: &str, variables: &[(String, String)]) -> bool {
    match Explained::parse(text, Path::new("hostile.toml"), variables) {
        Ok(explained) => {
            let config = &explained.config;
            assert!(config.alarm.raise <= config.alarm.window && config.alarm.raise > 0);
            assert!((1..=64).contains(&config.regions.len()));
            for region in &config.regions {
                let [left, top, width, height] = region.at;
                assert!(
                    width > 0.0 && height > 0.0 && left + width < 1.001 && top + height < 1.001
                );
            }
            let shown = explained.show();
            // Stars and dots stand for secrets.
            if !shown.contains(['*', '…']) {
                let again = Config::parse(&shown, Path::new("shown.toml"), &[]);
                assert_eq!(again.as_ref().map_err(|e| e.explain()), Ok(config), "{shown}");
            }
            true
        }
        Err(e) => {
            assert!(!e.problems().is_empty() && e.problems().len() <= 50);
            let (line, explained) = (e.to_string(), e.explain());
            for text in [&line, &explained] {
                assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
            }
            assert!(explained.len() < 200_000, "{}", explained.len());
            false
        }
    }
}

/// The commented file with everything in it switched on, and a short one.
fn seeds() -> [String; 3] {
    let lines = INIT.lines().filter(|line| !line.starts_with("# "));
    let all: Vec<&str> = lines.clone().map(|line| line.strip_prefix('#').unwrap_or(line)).collect();
    let some: Vec<&str> = lines.collect();
    [all.join("\n"), some.join("\n"), super::LEAST.to_string()]
}

#[test]
fn mutations_of_the_commented_file() {
    let mut random = Random::new(78);
    let seeds = seeds();
    let mut accepted = 0;
    for _ in 0..MUTATIONS {
        let mut text = one(&mut random, &seeds).clone();
        for _ in 0..1 + random.below(4) {
            let at = place(&mut random, &text);
            match random.below(6) {
                0 => text.truncate(at),
                1 => text.insert_str(at, piece(&mut random)),
                2 => {
                    let to = place(&mut random, &text);
                    text.replace_range(at.min(to)..at.max(to), "");
                }
                3 => {
                    let to = (at + 1 + random.below(12) as usize).min(text.len());
                    if text.is_char_boundary(to) {
                        text.replace_range(at..to, piece(&mut random));
                    }
                }
                4 => {
                    let number = random.next_u64() >> random.below(64);
                    let line = text[at..].find(|c: char| c.is_ascii_digit());
                    if let Some(digit) = line {
                        text.replace_range(at + digit..at + digit + 1, &number.to_string());
                    }
                }
                _ => {
                    let to = place(&mut random, &text);
                    let copied = text[at.min(to)..at.max(to)].to_string();
                    text.insert_str(at, &copied);
                }
            }
        }
        accepted += usize::from(try_out(&text, &[]));
    }
    assert!(
        accepted > MUTATIONS / 100,
        "only {accepted} were files at all: the mutations are too coarse"
    );
}

#[test]
fn piles_of_pieces_and_variables() {
    let mut random = Random::new(79);
    let names = [
        "ODDSIGHT_DEVICE",
        "ODDSIGHT_MODEL__DIR",
        "ODDSIGHT_CAMERA__SOURCE",
        "ODDSIGHT_REGION__0__AT",
        "ODDSIGHT_REGION__0__NAME",
        "ODDSIGHT_REGION__1__TILES",
        "ODDSIGHT_HOOK__0__COMMAND",
        "ODDSIGHT_ALARM__RAISE",
        "ODDSIGHT_PACE__HOT_C",
        "ODDSIGHT_HTTP__LISTEN",
        "ODDSIGHT_WEBHOOK__0__URL",
        "ODDSIGHT_",
        "ODDSIGHT___",
        "ODDSIGHT_REGION____",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
    ];
    for _ in 0..PILES {
        let pile = |random: &mut Random, most: u64| -> String {
            (0..random.below(most)).map(|_| piece(random)).collect()
        };
        let text = pile(&mut random, 40);
        let variables: Vec<(String, String)> = (0..random.below(4))
            .map(|_| (one(&mut random, &names).to_string(), pile(&mut random, 6)))
            .collect();
        try_out(&text, &variables);
    }
}

/// Sizes that a quadratic or recursive reader would not survive.
#[test]
fn large_and_deep_files() {
    let large = 200_000;
    for (piece, close) in [
        ("[", ""),
        ("{a=", ""),
        ("[[", ""),
        ("a.", "=1"),
        ("a = [", ""),
        ("a = {b = ", ""),
        ("\"", ""),
        ("\\", ""),
        ("'''", ""),
        ("#", ""),
        ("\n", ""),
        ("\r", ""),
        ("x = 1\n", ""),
        ("x\n", ""),
        ("x = y\n", ""),
        ("[x]\n", ""),
        ("[[region]]\n", ""),
        ("[[region]]\nname=\"a\"\n", ""),
        ("9", ""),
        ("a = 9", ""),
        ("\0", ""),
        ("é", ""),
        ("[alarm]\nraise=", ""),
        ("= ", ""),
    ] {
        let mut text = piece.repeat(large / piece.len());
        text.push_str(close);
        assert!(!try_out(&text, &[]), "{piece:?}");
        assert!(!try_out(&format!("source = {text}"), &[]), "{piece:?}");
        let long = env(&[("ODDSIGHT_CAMERA__SOURCE", &text), ("ODDSIGHT_REGION__0__AT", &text)]);
        assert!(!try_out("", &long), "{piece:?}");
    }
    assert!(!try_out(&"#".repeat(10_000_000), &[]));
    let many: Vec<(String, String)> =
        (0..10_000).map(|i| (format!("ODDSIGHT_REGION__{i}__NAME"), format!("r{i}"))).collect();
    assert!(!try_out(super::LEAST, &many));
}

/// What a card that lost power holds: any bytes.
#[test]
fn files_of_any_bytes() {
    let mut random = Random::new(80);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("device.toml");
    for round in 0..500 {
        let mut bytes = INIT.as_bytes().to_vec();
        for _ in 0..1 + random.below(20) {
            let at = random.below(bytes.len() as u64) as usize;
            match round % 3 {
                0 => bytes[at] = random.next_u64() as u8,
                1 => bytes[at..].fill(0),
                _ => bytes.truncate(at + 1),
            }
        }
        std::fs::write(&path, &bytes).unwrap();
        if let Err(e) = Explained::load(&path, &[]) {
            let explained = e.explain();
            assert!(explained.chars().all(|c| c == '\n' || !c.is_control()), "{explained:?}");
            assert!(explained.contains("device.toml"), "{explained:?}");
        }
    }
}
