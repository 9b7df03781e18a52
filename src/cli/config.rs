//! `oddsight config`: writing, checking and showing the configuration.

use std::io::{ErrorKind, Write as _, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use oddsight::config::{self, Config, ConfigError, Explained};
use oddsight::logger::harmless;

/// What a program ends with whose configuration is wrong (`EX_CONFIG` of BSD's sysexits.h): a unit that knows it does not
/// start the program again.
pub const CONFIG_EXIT: u8 = 78;

/// Arguments of `oddsight config`.
#[derive(Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Write a file with every key, its default and a comment.
    Init(InitArgs),
    /// Name everything that is wrong with some files; exit code 78 if anything is.
    Check(CheckArgs),
    /// Print what is in force, and where each value comes from.
    Show(ShowArgs),
}

/// Arguments of `oddsight config init`.
#[derive(Args)]
struct InitArgs {
    /// Where to write it, in place of standard output; an existing file is left alone.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The short file of a board, in place of the one with every key.
    #[arg(long, value_name = "NAME")]
    board: Option<Board>,
}

/// Boards that there are files for.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Board {
    #[value(name = "pi-zero-2")]
    PiZero2,
    #[value(name = "pi-3")]
    Pi3,
    #[value(name = "pi-4")]
    Pi4,
    #[value(name = "pi-5")]
    Pi5,
    JetsonNano,
    JetsonOrin,
}

impl Board {
    fn file(self) -> &'static str {
        macro_rules! board {
            ($name:literal) => {
                include_str!(concat!("../../firmware-config/boards/", $name, ".toml"))
            };
        }
        match self {
            Board::PiZero2 => board!("pi-zero-2"),
            Board::Pi3 => board!("pi-3"),
            Board::Pi4 => board!("pi-4"),
            Board::Pi5 => board!("pi-5"),
            Board::JetsonNano => board!("jetson-nano"),
            Board::JetsonOrin => board!("jetson-orin"),
        }
    }
}

/// Arguments of `oddsight config check`.
#[derive(Args)]
struct CheckArgs {
    /// Configurations.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Arguments of `oddsight config show`.
#[derive(Args)]
struct ShowArgs {
    /// The configuration.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Runs one of the commands.
pub fn run(args: &ConfigArgs) -> Result<ExitCode> {
    match &args.command {
        ConfigCommand::Init(args) => init(args).map(|()| ExitCode::SUCCESS),
        ConfigCommand::Check(args) => check(&args.files),
        ConfigCommand::Show(args) => show(&args.file).map(|()| ExitCode::SUCCESS),
    }
}

/// Says on standard error why the program ends, and with which code.
pub fn failure(e: &anyhow::Error) -> ExitCode {
    match e.downcast_ref::<ConfigError>() {
        Some(e) => {
            eprint!("{}", e.explain());
            ExitCode::from(CONFIG_EXIT)
        }
        None => {
            eprintln!("error: {}", harmless(&format!("{e:#}")));
            ExitCode::FAILURE
        }
    }
}

fn init(args: &InitArgs) -> Result<()> {
    let text = args.board.map_or(config::INIT, Board::file);
    let Some(out) = &args.out else {
        return Ok(stdout().write_all(text.as_bytes())?);
    };
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(out);
    let mut file = match file {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            bail!("{}: exists already; it is left alone", out.display())
        }
        file => file.with_context(|| out.display().to_string())?,
    };
    file.write_all(text.as_bytes()).with_context(|| out.display().to_string())?;
    let name = out.display();
    writeln!(
        stdout(),
        "{name} is written. Set model.dir and camera.source in it, then: oddsight config check {name}"
    )?;
    Ok(())
}

fn check(files: &[PathBuf]) -> Result<ExitCode> {
    let env = config::environment();
    let mut code = ExitCode::SUCCESS;
    for file in files {
        match Explained::load(file, &env) {
            Ok(explained) => {
                eprint!("{}", explained.explain_warnings());
                writeln!(stdout(), "{}: ok: {}", file.display(), summary(&explained.config))?;
            }
            Err(e) => {
                eprint!("{}", e.explain());
                code = ExitCode::from(CONFIG_EXIT);
            }
        }
    }
    Ok(code)
}

/// What a configuration does, on one line.
fn summary(config: &Config) -> String {
    let mut outlets = Vec::new();
    let mut add = |count: usize, one: &str| match count {
        0 => {}
        1 => outlets.push(one.to_string()),
        count => outlets.push(format!("{count} × {one}")),
    };
    add(config.journal.dir.iter().count(), "journal");
    add(config.evidence.dir.iter().count(), "evidence");
    add(config.gpio.len(), "gpio");
    add(config.mqtt.iter().count(), "mqtt");
    add(config.webhooks.len(), "webhook");
    add(config.hooks.len(), "hook");
    add(config.http.iter().count(), "http");
    let outlets = if outlets.is_empty() { "no outlet".to_string() } else { outlets.join(", ") };
    let scheme = config.camera.source.to_string();
    let scheme = scheme.split(':').next().unwrap_or_default();
    let regions = match config.regions.len() {
        1 => "1 region".to_string(),
        count => format!("{count} regions"),
    };
    format!("{scheme} camera, {regions}, {outlets}")
}

fn show(file: &Path) -> Result<()> {
    let explained = Explained::load(file, &config::environment())?;
    eprint!("{}", explained.explain_warnings());
    stdout().write_all(explained.show().as_bytes())?;
    Ok(())
}
