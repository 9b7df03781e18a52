//! Commands as one line of text, with the simple quoting of a shell but nothing else of it.

use crate::camera::redact::quoted;

/// What a shell would act on; here it would silently become an argument.
const OPERATORS: &[&str] = &["|", "||", "|&", "&", "&&", ";"];
const REDIRECTIONS: &[&str] = &["<", ">", "1>", "2>", "&>"];

/// Splits a line into words at white space.
///
/// Between single quotes everything stands for itself. Between double quotes, and outside of quotes, a backslash takes
/// the meaning from the character behind it; between double quotes only from `"` and `\`. Variables, wildcards and `~`
/// are plain characters.
///
/// # Errors
///
/// An open quote, a backslash at the end, a zero byte, and an unquoted operator of a shell.
pub(super) fn split(line: &str) -> Result<Vec<String>, String> {
    if line.contains('\0') {
        return Err("a command cannot hold a zero byte".into());
    }
    let mut words = Vec::new();
    let mut word = String::new();
    // A word may be empty, when it is quoted.
    let (mut started, mut quoted) = (false, false);
    let mut rest = line.chars();
    loop {
        let next = rest.next();
        match next {
            Some(c) if !c.is_whitespace() => {
                started = true;
                match c {
                    '\'' => until_single_quote(&mut rest, &mut word)?,
                    '"' => until_double_quote(&mut rest, &mut word)?,
                    '\\' => word.push(rest.next().ok_or("the command ends with a backslash")?),
                    c => word.push(c),
                }
                quoted |= matches!(c, '\'' | '"' | '\\');
            }
            _ if started => {
                if !quoted {
                    refuse_shell(&word)?;
                }
                words.push(std::mem::take(&mut word));
                (started, quoted) = (false, false);
            }
            _ => {}
        }
        if next.is_none() {
            return Ok(words);
        }
    }
}

fn until_single_quote(rest: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), String> {
    for c in rest {
        match c {
            '\'' => return Ok(()),
            c => word.push(c),
        }
    }
    Err("a single quote is not closed".into())
}

fn until_double_quote(rest: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), String> {
    while let Some(c) = rest.next() {
        match c {
            '"' => return Ok(()),
            '\\' => match rest.next() {
                Some(c @ ('"' | '\\')) => word.push(c),
                Some(c) => word.extend(['\\', c]),
                None => break,
            },
            c => word.push(c),
        }
    }
    Err("a double quote is not closed".into())
}

fn refuse_shell(word: &str) -> Result<(), String> {
    let acts = OPERATORS.contains(&word) || REDIRECTIONS.iter().any(|it| word.starts_with(it));
    if acts {
        return Err(format!(
            "no shell reads the command, so `{}` would be an argument: quote it if that is meant, or write \
             pipe:sh -c '…'",
            quoted(word, 60)
        ));
    }
    Ok(())
}

/// The line that [`split`] reads as these words.
pub(super) fn join(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| quote(word)).collect();
    quoted.join(" ")
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-+=:,./@%!?*()[]{}~^$#".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
