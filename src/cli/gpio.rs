//! `oddsight gpio`: which lines there are, and driving them by hand or from a service's last breath.

use std::fs;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use oddsight::gpio::{self, Backend, Button, Level, LineSpec};

mod tables;

/// Arguments of `oddsight gpio`.
#[derive(Args)]
pub struct GpioArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the GPIO chips of this machine and who uses their lines.
    List,
    /// Drive a line.
    Set {
        #[command(flatten)]
        line: LineArgs,
        /// high or low.
        level: Level,
        /// Hold it for so long before letting go of the line, in seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 0)]
        hold: u64,
    },
    /// Give each output line of a configuration its safe level: for ExecStopPost= of the service.
    Safe {
        /// The configuration file. Only its [[gpio]] sections are read, so that a mistake elsewhere leaves no line
        /// driven.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Wait for presses of a button between a line and ground.
    Button {
        /// The chip's device or label.
        #[arg(long, value_name = "CHIP", default_value = "/dev/gpiochip0")]
        chip: PathBuf,
        /// Line of the chip.
        #[arg(long, value_name = "N")]
        line: u32,
        /// How many presses.
        #[arg(long, value_name = "N", default_value_t = 1)]
        presses: u32,
        /// Give up when none comes for so long, in seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        timeout: u64,
    },
}

#[derive(Args)]
struct LineArgs {
    /// auto, rppal, gpiocdev or sim:PATH.
    #[arg(long, value_name = "BACKEND", default_value = "auto")]
    backend: Backend,
    /// The chip's device or label, for gpiocdev.
    #[arg(long, value_name = "CHIP", default_value = "/dev/gpiochip0")]
    chip: PathBuf,
    /// Line of the chip; on a Raspberry Pi the BCM number.
    #[arg(long, value_name = "N")]
    line: u32,
}

/// Runs `oddsight gpio`.
pub fn run(args: &GpioArgs) -> Result<ExitCode> {
    match &args.command {
        Command::List => list(&mut stdout().lock())?,
        Command::Set { line, level, hold } => set(line, *level, Duration::from_secs(*hold))?,
        Command::Safe { config } => return safe(config),
        Command::Button { chip, line, presses, timeout } => {
            return button(chip, *line, *presses, Duration::from_secs(*timeout));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(out: &mut impl Write) -> Result<()> {
    let chips = gpio::chips();
    if chips.is_empty() {
        writeln!(out, "no GPIO chips")?;
    }
    for chip in chips {
        let chip = match chip {
            Ok(chip) => chip,
            Err(e) => {
                writeln!(out, "{e}")?;
                continue;
            }
        };
        writeln!(out, "{}  {}, {} lines", chip.path.display(), chip.label, chip.lines.len())?;
        for line in chip.lines.iter().filter(|line| !line.name.is_empty() || !line.user.is_empty())
        {
            let direction = if line.is_output { "output" } else { "input" };
            let user = match line.user.as_str() {
                "" => String::new(),
                user => format!(", used by {user}"),
            };
            writeln!(out, "    {:>3}  {:20} {direction}{user}", line.line, line.name)?;
        }
    }
    Ok(())
}

fn set(line: &LineArgs, level: Level, hold: Duration) -> Result<()> {
    let LineArgs { backend, chip, line } = line;
    let spec = LineSpec { backend: backend.clone(), chip: chip.clone(), line: *line };
    let line = spec.open(level)?;
    let read = line.level()?;
    writeln!(stdout(), "{spec}: set {level}, reads {read}")?;
    std::thread::sleep(hold);
    Ok(())
}

/// Makes every line safe that can be, and fails if one could not.
fn safe(config: &Path) -> Result<ExitCode> {
    let text = fs::read_to_string(config)
        .with_context(|| format!("{}: cannot be read", config.display()))?;
    let tables = tables::gpio(&text, std::env::vars());
    let mut code = ExitCode::SUCCESS;
    for mistake in &tables.mistakes {
        eprintln!("error: {}: {mistake}", config.display());
        code = ExitCode::FAILURE;
    }
    for (index, settings) in tables.lines.into_iter().enumerate() {
        let done = settings.and_then(|settings| Ok((settings.make_safe()?, settings)));
        match done {
            Ok((stays, settings)) => {
                let after = match stays {
                    true => "",
                    false => "; from here on up to the driver of the chip",
                };
                writeln!(stdout(), "{}: {}{after}", settings.line_spec(), settings.safe)?;
            }
            Err(e) => {
                eprintln!("error: {}: gpio.{index}: {e:#}", config.display());
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

fn button(chip: &Path, line: u32, presses: u32, timeout: Duration) -> Result<ExitCode> {
    let mut button = Button::open(chip, line)?;
    writeln!(stdout(), "waiting")?;
    for press in 1..=presses {
        if !button.pressed(timeout)? {
            eprintln!("error: no press within {} s", timeout.as_secs());
            return Ok(ExitCode::FAILURE);
        }
        writeln!(stdout(), "press {press}")?;
    }
    Ok(ExitCode::SUCCESS)
}
