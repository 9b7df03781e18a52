//! Kinds of values that only one or two keys have.

use std::fmt::Display;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use super::given::Refusal;
use super::kind::{Kind, number, parsed_by};
use super::mask;
use super::settings::Backend;
use super::url::Url;
use crate::camera::SourceUri;
use crate::model::store::PublicKey;
use crate::verdict::Alpha;

/// Longest name of a device or region.
const LONGEST_NAME: usize = 64;

/// Names go into topics, metrics and file names. `whose` is for people.
pub(super) fn name(whose: &'static str) -> Kind<String> {
    let check = move |name: &str| {
        let fits = name.len() <= LONGEST_NAME
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if fits {
            return Ok(name.to_string());
        }
        let shown = mask::quoted(name);
        Err(format!(
            "\"{shown}\" cannot name a {whose}: use up to {LONGEST_NAME} of the characters a-z, A-Z, 0-9, `-`, `_`, `.`"
        ))
    };
    parsed_by("a name", check, String::clone)
}

/// More than 0 and less than 1.
pub(super) fn alpha() -> Kind<Alpha> {
    let Kind { read, .. } = number(f64::MIN..=f64::MAX, "");
    Kind {
        allowed: "between 0 and 1".into(),
        is_path: false,
        read: Box::new(move |given| {
            Alpha::new(read(given)?).map_err(|e| Refusal::Value(mask::secrets(&e.to_string())))
        }),
        write: Box::new(|alpha| Some(format!("{:?}", alpha.get()))),
        show: mask::secrets,
    }
}

/// The key of a `.pub` file of minisign.
pub(super) fn public_key() -> Kind<PublicKey> {
    let read = |text: &str| {
        text.parse().map_err(|_| {
            "is no minisign key: give the second line of the .pub file, which begins with RW"
                .to_string()
        })
    };
    parsed_by("the second line of a minisign .pub file", read, PublicKey::to_string)
}

/// Sides that a frame can have.
const SIDE: std::ops::RangeInclusive<u32> = 16..=16_384;

/// `640x480`
pub(super) fn size() -> Kind<(u32, u32)> {
    let read = |text: &str| {
        let sides = text.split_once(['x', 'X', '×']).and_then(|(width, height)| {
            Some((width.trim().parse().ok()?, height.trim().parse().ok()?))
        });
        match sides {
            Some((width, height)) if SIDE.contains(&width) && SIDE.contains(&height) => {
                Ok((width, height))
            }
            Some(_) => Err(format!("sides are {} to {} pixels", SIDE.start(), SIDE.end())),
            None => {
                let shown = mask::quoted(text);
                Err(format!("`{shown}` is no size; write width x height: \"640x480\""))
            }
        }
    };
    parsed_by("\"WIDTHxHEIGHT\"", read, |(width, height)| format!("{width}x{height}"))
}

/// The rounding of a sum of two shares that people write with a few digits.
const SLACK: f64 = 1e-6;

/// Whether a region lies within the frame and has an area.
pub(super) fn inside(&[left, top, width, height]: &[f64; 4]) -> Result<(), String> {
    if width <= 0.0 || height <= 0.0 {
        return Err("width or height is 0: a region has an area".into());
    }
    if left + width <= 1.0 + SLACK && top + height <= 1.0 + SLACK {
        return Ok(());
    }
    let mut why =
        "reaches beyond the edge of the frame: left + width and top + height are at most 1"
            .to_string();
    // Two corners, as other programs have them.
    if width > left && height > top {
        let tidy = |share: f64| (share * 1e4).round() / 1e4;
        let (width, height) = (tidy(width - left), tidy(height - top));
        why += &format!(
            "; if the last two are the other corner, write [{left}, {top}, {width}, {height}]"
        );
    }
    Err(why)
}

/// A chip's device, or its label, which has no slash.
pub(super) fn chip() -> Kind<PathBuf> {
    let read = |text: &str| {
        if text.contains('/') && !text.starts_with('/') {
            let shown = mask::quoted(text);
            return Err(format!(
                "`{shown}` is neither a device such as /dev/gpiochip0 nor a label such as pinctrl-rp1"
            ));
        }
        Ok(PathBuf::from(text))
    };
    parsed_by("a chip's device or label", read, |chip| chip.to_string_lossy().into_owned())
}

/// `auto`, `rppal`, `gpiocdev`, `sim:PATH`
pub(super) fn backend() -> Kind<Backend> {
    let read = |text: &str| match text {
        "auto" => Ok(Backend::Auto),
        "rppal" => Ok(Backend::Rppal),
        "gpiocdev" => Ok(Backend::Gpiocdev),
        _ => match text.strip_prefix("sim:") {
            Some(path) if !path.is_empty() => Ok(Backend::Sim(path.into())),
            _ => {
                let shown = mask::quoted(text);
                Err(format!(
                    "\"{shown}\" is none of \"auto\", \"rppal\", \"gpiocdev\", \"sim:PATH\""
                ))
            }
        },
    };
    let write = |backend: &Backend| match backend {
        Backend::Auto => "auto".to_string(),
        Backend::Rppal => "rppal".to_string(),
        Backend::Gpiocdev => "gpiocdev".to_string(),
        Backend::Sim(path) => format!("sim:{}", path.display()),
    };
    parsed_by("\"auto\", \"rppal\", \"gpiocdev\" or \"sim:PATH\"", read, write)
}

/// A list that names something, and nothing twice.
pub(super) fn set<T: PartialEq>(items: &[T]) -> Result<(), String> {
    if items.is_empty() {
        return Err("is empty, so nothing would ever happen; name one at least".into());
    }
    match items.iter().enumerate().find(|(i, item)| items[..*i].contains(item)) {
        Some(_) => Err("names something twice".into()),
        None => Ok(()),
    }
}

/// A URL with one of the schemes.
pub(super) fn url<T>(schemes: &'static [&'static str]) -> Kind<T>
where
    T: FromStr<Err: Display> + Display + 'static,
{
    let allowed = match schemes[0] {
        "mqtt" => "mqtt://HOST or mqtts://HOST",
        _ => "an http or https URL",
    };
    let read = |text: &str| {
        let shown = mask::quoted(text);
        Url::parse(text, schemes).map_err(|why| format!("`{shown}` {why}"))?;
        text.parse().map_err(|e: T::Err| format!("`{shown}`: {e}"))
    };
    Kind { show: without_path, ..parsed_by(allowed, read, T::to_string) }
}

/// Services have a secret in the paths of the addresses that they give out.
fn without_path(url: &str) -> String {
    let shown = mask::secrets(url);
    let host = shown.find("://").map_or(0, |at| at + 3);
    match shown[host..].find('/') {
        Some(at) if !matches!(&shown[host + at..], "/" | "/\"") => {
            format!("{}…\"", &shown[..host + at + 1])
        }
        _ => shown,
    }
}

/// Where frames come from.
pub(super) fn source() -> Kind<SourceUri> {
    let read = |text: &str| {
        text.parse::<SourceUri>().map_err(|e| match meant(text) {
            Some(better) => format!("`{}` has no scheme: write {better}", mask::quoted(text)),
            None => mask::secrets(&e.to_string()),
        })
    };
    parsed_by("a source", read, SourceUri::to_string)
}

/// The source that somebody had in mind who wrote no scheme, or that of another program.
fn meant(text: &str) -> Option<String> {
    let shown = mask::quoted(text);
    if text.starts_with("rtsp://") || text.starts_with("rtsps://") {
        return Some(format!(
            "\"pipe:ffmpeg -rtsp_transport tcp -i {shown} -c:v mjpeg -q:v 3 -f mjpeg -\""
        ));
    }
    if text.starts_with("http://") || text.starts_with("https://") {
        return Some(format!("\"pipe:curl -sN {shown}\""));
    }
    if text.starts_with("/dev/") {
        return Some(format!("\"v4l2:{shown}\""));
    }
    if !text.is_empty() && text.len() < 4 && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(format!("\"v4l2:/dev/video{text}\""));
    }
    if text.ends_with(".tar") && !text.contains(':') {
        return Some(format!("\"tar:{shown}\""));
    }
    if text.starts_with(['/', '.']) {
        return Some(format!("\"dir:{shown}\" for a folder"));
    }
    None
}

/// Longest first part of a topic, in bytes: topics of MQTT end at 65,535.
const LONGEST_TOPIC: usize = 200;

/// The first part of topics (MQTT 3.1.1, section 4.7).
pub(super) fn topic() -> Kind<String> {
    let read = |text: &str| {
        let objection = if text.contains(['#', '+']) {
            "holds `#` or `+`, which only subscriptions may"
        } else if text.starts_with('/') || text.ends_with('/') || text.contains("//") {
            "has an empty part; write it without a `/` at either end"
        } else if text.starts_with('$') {
            "begins with `$`, which is the broker's own"
        } else if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            "holds a blank or control character"
        } else if text.len() > LONGEST_TOPIC {
            "is longer than 200 bytes"
        } else {
            return Ok(text.to_string());
        };
        Err(format!("`{}` {objection}", mask::quoted(text)))
    };
    parsed_by("a topic", read, String::clone)
}

/// Brokers must take 23 of these characters and may take more (MQTT 3.1.1, section 3.1.3.1).
pub(super) fn client_id() -> Kind<String> {
    name("client")
}

/// A program and its arguments.
pub(super) fn command(command: &[String]) -> Result<(), String> {
    let Some(program) = command.first() else {
        return Err("is empty; name the program: [\"/usr/local/bin/on-event\"]".into());
    };
    match program.split_once(' ') {
        Some((first, rest)) if command.len() == 1 => {
            let (first, rest) = (mask::quoted(first), mask::quoted(rest));
            Err(format!(
                "no shell takes this apart: write each argument as a text of its own: [\"{first}\", \"{rest}\"]"
            ))
        }
        _ => Ok(()),
    }
}

/// An address and a port.
pub(super) fn listen() -> Kind<SocketAddr> {
    let read = |text: &str| {
        let shown = mask::quoted(text);
        text.parse::<SocketAddr>().map_err(|_| {
            let remedy = match text.rsplit_once(':') {
                _ if text.parse::<u16>().is_ok() => format!("write 127.0.0.1:{text}"),
                _ if text.parse::<Ipv6Addr>().is_ok() => format!("add a port: [{text}]:8080"),
                Some(("", port)) => {
                    format!("write 0.0.0.0:{} for all addresses", mask::quoted(port))
                }
                Some(("localhost", port)) => format!("write 127.0.0.1:{}", mask::quoted(port)),
                _ if text.parse::<Ipv4Addr>().is_ok() => format!("add a port: {text}:8080"),
                _ => "write for example 127.0.0.1:8080; names are not looked up".to_string(),
            };
            format!("`{shown}` is no address with a port: {remedy}")
        })
    };
    parsed_by("ADDRESS:PORT", read, SocketAddr::to_string)
}
