//! The device program.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

mod cli;

/// Teaches a camera what normal looks like and flags everything else.
#[derive(Parser)]
#[command(name = "oddsight", version, max_term_width = 100)]
struct Args {
    /// Say more on standard error; twice for debugging.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Play the shipped model on a simulated camera and print an honest scorecard.
    Demo(cli::demo::DemoArgs),
    /// Score pictures: one line each.
    Score(cli::score::ScoreArgs),
    /// Run the camera box of a configuration, or print the verdicts on a source: one line of JSON each.
    Run(cli::run::RunArgs),
    /// Say what other settings would have made of a journal, or of pictures.
    Replay(cli::replay::ReplayArgs),
    /// Watch a camera and write a model for which what it shows is normal.
    Learn(cli::learn::LearnArgs),
    /// Install models on this device, list them, go back.
    Model(cli::model::ModelArgs),
    /// Say what a journal says happened.
    Events(cli::events::EventsArgs),
    /// Say in words what a model directory, a heads file or a backbone holds.
    Inspect(cli::inspect::InspectArgs),
    /// Say what this machine runs a model with: each node, its kernel, its share of the time.
    Doctor(cli::doctor::DoctorArgs),
    /// Time the stages of a frame on this machine.
    Bench(cli::bench::BenchArgs),
    /// List the cameras of this machine, set their controls, take frames.
    #[cfg(target_os = "linux")]
    Camera(cli::camera::CameraArgs),
    /// List GPIO lines, drive one, make all of a configuration safe.
    #[cfg(target_os = "linux")]
    Gpio(cli::gpio::GpioArgs),
    /// Write, check or show the configuration of a device.
    Config(cli::config::ConfigArgs),
    /// Print what makes a shell complete the commands of this program.
    Completions(cli::completions::CompletionsArgs),
}

fn main() -> ExitCode {
    let args = Args::parse();
    oddsight::logger::start(args.verbose);
    let done = match args.command {
        Command::Demo(args) => cli::demo::run(args).map(|()| ExitCode::SUCCESS),
        Command::Score(args) => cli::score::run(&args),
        Command::Run(args) => cli::run::run(&args),
        Command::Replay(args) => cli::replay::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Learn(args) => cli::learn::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Model(args) => cli::model::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Events(args) => cli::events::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Doctor(args) => cli::doctor::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Bench(args) => cli::bench::run(&args).map(|()| ExitCode::SUCCESS),
        #[cfg(target_os = "linux")]
        Command::Camera(args) => cli::camera::run(&args),
        #[cfg(target_os = "linux")]
        Command::Gpio(args) => cli::gpio::run(&args),
        Command::Inspect(args) => cli::inspect::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Config(args) => cli::config::run(&args),
        Command::Completions(args) => cli::completions::run(&args, &mut Args::command()),
    };
    match done {
        Ok(code) => code,
        // `oddsight … | head` closes the pipe: the reader has what it wanted.
        Err(e) if is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => cli::config::failure(&e),
    }
}

fn is_broken_pipe(e: &anyhow::Error) -> bool {
    e.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
