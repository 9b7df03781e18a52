//! `oddsight camera`: which cameras there are, what they can do, and whether frames come.

use std::fs;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use oddsight::camera::v4l2::{self, Device, Offer, Sizes};
use oddsight::camera::{Content, Frame, Next, SourceUri};
use oddsight::image;

/// Arguments of `oddsight camera`.
#[derive(Args)]
pub struct CameraArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the video devices of this machine.
    List,
    /// Show a device's formats, sizes, rates and controls.
    Show {
        /// The device: /dev/video0, or a name under /dev/v4l/by-path.
        device: PathBuf,
    },
    /// Set controls of a device, such as a fixed exposure.
    Set {
        /// The device.
        device: PathBuf,
        /// Which control, and to what; `show` lists them.
        #[arg(required = true, value_name = "NAME=VALUE")]
        controls: Vec<String>,
    },
    /// Take frames of a source and tell their timing.
    Grab(GrabArgs),
}

#[derive(Args)]
struct GrabArgs {
    /// Where frames come from, as `oddsight run` takes it.
    source: SourceUri,
    /// How many frames.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    frames: u32,
    /// Write the frames into this folder: the camera's own JPEG files, or PNG.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Give up when no frame comes for so long, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    timeout: f64,
}

/// Runs `oddsight camera`.
pub fn run(args: &CameraArgs) -> Result<ExitCode> {
    let mut out = stdout().lock();
    match &args.command {
        Command::List => list(&mut out),
        Command::Show { device } => show(&mut out, device),
        Command::Set { device, controls } => set(device, controls),
        Command::Grab(args) => grab(&mut out, args),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn list(out: &mut impl Write) -> Result<()> {
    let nodes = v4l2::nodes();
    if nodes.is_empty() {
        writeln!(out, "no video devices; cameras that libcamera runs are reached by `pipe:`")?;
    }
    for node in nodes {
        let device = Device::open(&node).and_then(|device| device.identity().map(|i| (device, i)));
        let (device, identity) = match device {
            Ok(opened) => opened,
            Err(e) => {
                writeln!(out, "{e}")?;
                continue;
            }
        };
        writeln!(out, "{}  {} ({})", node.display(), identity.card, identity.driver)?;
        if !identity.captures {
            writeln!(out, "    {}", identity.unusable)?;
            continue;
        }
        let offers = device.offers();
        let formats = offers.iter().map(|offer| match v4l2::format_of(offer.fourcc) {
            Some(format) => format.to_string(),
            None => format!("({})", offer.fourcc),
        });
        writeln!(out, "    {}", formats.collect::<Vec<_>>().join(" "))?;
        for name in v4l2::stable_names(&node) {
            writeln!(out, "    v4l2:{}", name.display())?;
        }
    }
    Ok(())
}

fn show(out: &mut impl Write, path: &Path) -> Result<()> {
    let device = Device::open(path)?;
    let identity = device.identity()?;
    writeln!(out, "card     {}", identity.card)?;
    writeln!(out, "driver   {}", identity.driver)?;
    writeln!(out, "bus      {}", identity.bus)?;
    if !identity.captures {
        writeln!(out, "use      {}", identity.unusable)?;
    }
    for offer in device.offers() {
        let known = v4l2::format_of(offer.fourcc);
        let ours = known.map_or("not known here".to_string(), |format| format!("format={format}"));
        writeln!(out, "\n{}  {}: {}", offer.fourcc, offer.description, ours)?;
        if known.is_some() {
            sizes(out, &device, &offer)?;
        }
    }
    let controls = device.controls();
    if !controls.is_empty() {
        writeln!(out)?;
    }
    let width = controls.iter().map(|control| control.name.len()).max().unwrap_or(0);
    for control in controls {
        let value = control.value.map_or("-".to_string(), |value| value.to_string());
        let locked = control.locked.map_or(String::new(), |why| format!("; {why}"));
        let (name, default, kind) = (control.name, control.default, control.kind);
        writeln!(out, "{name:width$} = {value}  (default {default}; {kind}{locked})")?;
    }
    Ok(())
}

fn sizes(out: &mut impl Write, device: &Device, offer: &Offer) -> Result<()> {
    match &offer.sizes {
        Sizes::Listed(sizes) => {
            for size in sizes {
                let rates = device.rates(offer.fourcc, *size);
                writeln!(out, "    {}x{} at {rates} fps", size.0, size.1)?;
            }
        }
        sizes => writeln!(out, "    {sizes}")?,
    }
    Ok(())
}

fn set(path: &Path, controls: &[String]) -> Result<()> {
    let device = Device::open(path)?;
    for control in controls {
        let pair = control.split_once('=');
        let parsed = pair.and_then(|(name, value)| Some((name, value.parse().ok()?)));
        let Some((name, value)) = parsed else {
            bail!("`{control}`: write NAME=NUMBER, for example power_line_frequency=1");
        };
        device.set_control(name, value)?;
    }
    Ok(())
}

fn grab(out: &mut impl Write, args: &GrabArgs) -> Result<()> {
    if let Some(dir) = &args.out {
        fs::create_dir_all(dir).with_context(|| format!("{}: cannot be made", dir.display()))?;
    }
    let begun = Instant::now();
    let mut source = args.source.open()?;
    let mut timing = Timing::default();
    let (mut taken, mut faulty) = (0, 0);
    while taken < args.frames {
        let frame = match source.next_frame(Duration::from_secs_f64(args.timeout)) {
            Ok(Next::Frame(frame)) => frame,
            Ok(Next::Late) => bail!("no frame came within {} s", args.timeout),
            Ok(Next::Ended) => break,
            Err(e) if e.is_passing() => {
                faulty += 1;
                writeln!(out, "faulty: {e}")?;
                if faulty > args.frames {
                    bail!("more than {} frames were faulty", args.frames);
                }
                continue;
            }
            Err(e) => return Err(e.into()),
        };
        let after = timing.frame(begun);
        taken += 1;
        describe(out, &frame, after, args.out.as_deref())?;
    }
    writeln!(out, "{taken} frames, {faulty} faulty{}", timing.summary())?;
    Ok(())
}

/// One line about a frame, which is written to `dir` if one is given.
fn describe(
    out: &mut impl Write,
    frame: &Frame,
    after: Duration,
    dir: Option<&Path>,
) -> Result<()> {
    let ms = after.as_secs_f64() * 1e3;
    write!(out, "{} after {ms:.1} ms: {} bytes", frame.name, frame.bytes())?;
    let picture = match frame.picture() {
        Ok(picture) => picture,
        Err(e) => return Ok(writeln!(out, ", {e}")?),
    };
    let [r, g, b] = means(&picture.pixels);
    writeln!(out, ", {}x{}, mean rgb {r:.1} {g:.1} {b:.1}", picture.width, picture.height)?;
    let Some(dir) = dir else { return Ok(()) };
    let (ending, bytes) = match &frame.content {
        Content::File(bytes) if bytes.starts_with(&[0xff, 0xd8]) => ("jpg", bytes.clone()),
        Content::File(bytes) => ("png", bytes.clone()),
        _ => ("png", image::encode_png(&picture)),
    };
    let path = dir.join(format!("{:06}.{ending}", frame.seq));
    fs::write(&path, bytes).with_context(|| format!("{}: cannot be written", path.display()))
}

fn means(pixels: &[u8]) -> [f64; 3] {
    let mut sums = [0u64; 3];
    for pixel in pixels.chunks_exact(3) {
        for (sum, sample) in sums.iter_mut().zip(pixel) {
            *sum += u64::from(*sample);
        }
    }
    sums.map(|sum| sum as f64 / (pixels.len() / 3).max(1) as f64)
}

/// When frames came.
#[derive(Default)]
struct Timing {
    first: Option<Instant>,
    last: Option<Instant>,
    /// From opening to the first frame.
    opening: Duration,
    gaps: Vec<Duration>,
}

impl Timing {
    /// Notes a frame; returns the time since the last one, or since `begun`.
    fn frame(&mut self, begun: Instant) -> Duration {
        let now = Instant::now();
        let after = now - self.last.unwrap_or(begun);
        match self.last {
            Some(_) => self.gaps.push(after),
            None => (self.first, self.opening) = (Some(now), after),
        }
        self.last = Some(now);
        after
    }

    fn summary(&mut self) -> String {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let mut text = format!("; the first after {:.0} ms", ms(self.opening));
        self.gaps.sort();
        if let (Some(first), Some(last)) = (self.first, self.last)
            && let [least, .., most] = self.gaps[..]
        {
            let fps = self.gaps.len() as f64 / (last - first).as_secs_f64();
            let median = ms(self.gaps[self.gaps.len() / 2]);
            text += &format!(
                ", then {fps:.2} fps: {:.1} to {:.1} ms apart, median {median:.1}",
                ms(least),
                ms(most)
            );
        }
        text
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(seconds),
        _ => Err("a number of seconds, more than 0 and at most a day".to_string()),
    }
}
