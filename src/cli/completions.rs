//! `oddsight completions`: what makes a shell complete the commands.

use std::io::{Write as _, stdout};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Command};
use clap_complete::{Shell, generate};

/// Arguments of `oddsight completions`.
#[derive(Args)]
#[command(after_help = "\
Where it goes:
  bash   oddsight completions bash > ~/.local/share/bash-completion/completions/oddsight
  zsh    oddsight completions zsh > \"${fpath[1]}/_oddsight\"
  fish   oddsight completions fish > ~/.config/fish/completions/oddsight.fish")]
pub struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// Prints the shell's script for `command`.
pub fn run(args: &CompletionsArgs, command: &mut Command) -> Result<ExitCode> {
    // By way of memory: `generate` panics when nobody reads what it writes.
    let mut script = Vec::new();
    let name = command.get_name().to_string();
    generate(args.shell, command, name, &mut script);
    stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}
