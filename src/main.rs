//! The device program.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    /// Score the frames of a source: one line of JSON each.
    Run(cli::run::RunArgs),
    /// Say what a journal says happened.
    Events(cli::events::EventsArgs),
    /// Say in words what a model directory, a heads file or a backbone holds.
    Inspect(cli::inspect::InspectArgs),
    /// Say what this machine runs a model with: each node, its kernel, its share of the time.
    Doctor(cli::doctor::DoctorArgs),
    /// Time the stages of a frame on this machine.
    Bench(cli::bench::BenchArgs),
}

fn main() -> ExitCode {
    let args = Args::parse();
    oddsight::logger::start(args.verbose);
    let done = match args.command {
        Command::Demo(args) => cli::demo::run(args).map(|()| ExitCode::SUCCESS),
        Command::Score(args) => cli::score::run(&args),
        Command::Run(args) => cli::run::run(&args),
        Command::Events(args) => cli::events::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Doctor(args) => cli::doctor::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Bench(args) => cli::bench::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Inspect(args) => cli::inspect::run(&args).map(|()| ExitCode::SUCCESS),
    };
    match done {
        Ok(code) => code,
        // `oddsight … | head` closes the pipe: the reader has what it wanted.
        Err(e) if is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(e: &anyhow::Error) -> bool {
    e.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
