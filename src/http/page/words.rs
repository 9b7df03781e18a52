//! Numbers and texts as they stand on the page.

/// Text for element content and attribute values.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// `48 MB`, `1.2 GB`: powers of ten.
pub fn bytes(bytes: u64) -> String {
    let (mut number, mut unit) = (bytes as f64, "B");
    for larger in ["kB", "MB", "GB", "TB"] {
        if number < 1000.0 {
            break;
        }
        (number, unit) = (number / 1000.0, larger);
    }
    if number < 10.0 && unit != "B" {
        format!("{number:.1} {unit}")
    } else {
        format!("{number:.0} {unit}")
    }
}

/// `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(",")
}

/// `0.43`, `0.05`, `0.00098`: two digits.
pub fn p_value(p: f64) -> String {
    if p < 1e-6 {
        return format!("{p:.1e}");
    }
    let decimals = (1.0 - p.log10().floor()).max(0.0) as usize;
    let text = format!("{p:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// Not a hyphen.
const MINUS: &str = "\u{2212}";

/// `0.61`, `+1.20`, `−3.4`: with its sign.
pub fn signed(number: f64) -> String {
    format!("{number:+.2}").replacen('-', MINUS, 1)
}

/// `0.61`, `12.3`, `1204`: three digits or so.
pub fn energy(energy: f64) -> String {
    let text = match energy.abs() {
        size if size < 10.0 => format!("{energy:.2}"),
        size if size < 100.0 => format!("{energy:.1}"),
        size if size < 1e6 => format!("{energy:.0}"),
        _ => format!("{energy:.1e}"),
    };
    text.replacen('-', MINUS, 1)
}

/// `5 %`, `0.25 %`, in one piece.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        _ if percent >= 9.95 => format!("{percent:.0}\u{a0}%"),
        _ if percent == percent.round() => format!("{percent:.0}\u{a0}%"),
        _ if percent >= 0.1 => format!("{percent:.1}\u{a0}%"),
        _ => format!("{percent:.2}\u{a0}%"),
    }
}

/// `7.4 ms`, `120 ms`, `1.3 s`.
pub fn milliseconds(ms: f64) -> String {
    match ms {
        _ if ms < 10.0 => format!("{ms:.1} ms"),
        _ if ms < 1000.0 => format!("{ms:.0} ms"),
        _ => format!("{:.1} s", ms / 1000.0),
    }
}

/// A round length of time: `12 s`, `2 min`, `48 min`, `4.8 h`.
pub fn length_ago(ms: u64) -> String {
    let seconds = ms as f64 / 1000.0;
    match seconds {
        _ if seconds < 60.0 => format!("{} s", seconds.round()),
        _ if seconds < 3600.0 => format!("{} min", (seconds / 60.0).round()),
        _ => format!("{} h", (seconds / 360.0).round() / 10.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [0, 999, 1_000, 48_300_000, 2_000_000_000_000].map(bytes),
            ["0 B", "999 B", "1.0 kB", "48 MB", "2.0 TB"]
        );
        assert_eq!(
            [0, 999, 1_000, 36_000, 1_234_567].map(count),
            ["0", "999", "1,000", "36,000", "1,234,567"]
        );
        assert_eq!([1.0, 0.0051, 0.000_025].map(p_value), ["1", "0.0051", "0.000025"]);
        assert_eq!(
            [-0.481, 12.34, 1204.2, 1.4e14].map(energy),
            ["\u{2212}0.48", "12.3", "1204", "1.4e14"]
        );
        assert_eq!(
            [0.05, 0.0123, 0.0, 0.5, 0.000_25].map(percent),
            ["5\u{a0}%", "1.2\u{a0}%", "0\u{a0}%", "50\u{a0}%", "0.03\u{a0}%"]
        );
        assert_eq!([7.36, 120.4, 1310.0].map(milliseconds), ["7.4 ms", "120 ms", "1.3 s"]);
        let lengths = [12_000, 120_000, 2_880_000, 17_280_000].map(length_ago);
        assert_eq!(lengths, ["12 s", "2 min", "48 min", "4.8 h"]);
        assert_eq!(escape("a<b> & \"c\""), "a&lt;b&gt; &amp; &quot;c&quot;");
    }
}
