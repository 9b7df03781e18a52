//! The host program.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod command;

/// Fits, evaluates and packs what the oddsight device runs.
#[derive(Parser)]
#[command(name = "oddsight-train", version, max_term_width = 100)]
struct Args {
    /// Say more on standard error; twice for debugging.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fit heads to normal pictures and pack a model directory.
    Fit(command::fit::FitArgs),
    /// Print the recipe of a fit, with all keys.
    Recipe(command::recipe::RecipeArgs),
    /// Extract a backbone's features of all pictures into one file.
    Features(command::features::FeaturesArgs),
    /// Measure how well a model tells unusual pictures from normal ones.
    Eval(command::eval::EvalArgs),
    /// Quantise a float backbone to int8, calibrated on pictures.
    Quantize(command::quantize::QuantizeArgs),
}

fn main() -> ExitCode {
    let args = Args::parse();
    oddsight::logger::start(args.verbose);
    let done = match args.command {
        Command::Fit(args) => command::fit::run(&args),
        Command::Recipe(args) => command::recipe::run(&args),
        Command::Features(args) => command::features::run(&args),
        Command::Eval(args) => command::eval::run(&args),
        Command::Quantize(args) => command::quantize::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}
