//! `kill -9` at random moments of a process that writes evidence and a journal and swaps a folder as a model is swapped.
//!
//! The test starts itself as the writer (`--write`), which says on its standard output what it was promised; kills it; and
//! looks at what is left. `ODDSIGHT_KILLS` sets how often, 1,000 by default. scripts/power-cut cuts the power of a file
//! system under the same writer, and has the same look (`--check`); scripts/card-writes has it write at a camera's pace
//! (`--pace`).

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use oddsight::random::Random;

#[path = "kill9/check.rs"]
mod check;
#[path = "kill9/writer.rs"]
mod writer;

use check::{Found, Promises};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[1..] {
        ["--write", dir, first, seed] => {
            writer::write(Path::new(dir), number(first), number(seed));
        }
        ["--open", dir] => drop(writer::open(Path::new(dir))),
        ["--pace", dir, fps, seconds, event_s, fsync] => {
            writer::pace(Path::new(dir), number(fps), number(seconds), number(event_s), fsync);
        }
        ["--check", dir, said] => {
            let mut promises = Promises::default();
            let text = std::fs::read_to_string(said).expect("what the writer said can be read");
            promises.take(&text);
            println!("{}", check::look(Path::new(dir), &promises));
        }
        _ => {
            let trials = vec![
                Trial::test("killed_writers_leave_nothing_half_done_on_the_disk", || {
                    kill_often(&tempfile::tempdir()?, 1)
                }),
                Trial::test("killed_writers_leave_nothing_half_done_in_memory", || {
                    let memory = Path::new("/dev/shm");
                    let memory = if memory.is_dir() { memory } else { Path::new(".") };
                    kill_often(&tempfile::tempdir_in(memory)?, 2)
                }),
            ];
            libtest_mimic::run(&Arguments::from_args(), trials).exit();
        }
    }
}

fn number(text: &str) -> u64 {
    text.parse().expect("a whole number")
}

/// Half of the kills: each of the two trials has a disk of its own.
fn kills() -> u64 {
    std::env::var("ODDSIGHT_KILLS").map_or(1000, |text| number(&text)).div_ceil(2)
}

/// A writer that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(60);

fn kill_often(dir: &tempfile::TempDir, seed: u64) -> Result<(), Failed> {
    let mut random = Random::new(seed);
    let mut promises = Promises::default();
    let mut last = Found::default();
    let (mut torn, mut leftovers, mut early) = (0, 0, 0);
    let started = Instant::now();
    for kill in 0..kills() {
        let (mut child, said) = start(dir.path(), kill, seed)?;
        // A third of the kills hit the start, which tidies up after the kill before.
        let is_early = random.below(3) == 0;
        let mut text = String::new();
        if !is_early {
            while text != "ready\n" {
                text +=
                    &said.recv_timeout(PATIENCE).map_err(|e| format!("no writer is ready: {e}"))?;
            }
        }
        std::thread::sleep(Duration::from_micros(random.below(if is_early {
            12_000
        } else {
            40_000
        })));
        child.kill()?;
        child.wait()?;
        text.extend(said);
        early += u64::from(!text.contains("ready"));
        promises.take(&text);
        last = check::look(dir.path(), &promises);
        torn = torn.max(last.torn);
        leftovers += u64::from(last.leftovers > 0);
        if last.torn > kill + 1 {
            return Err(format!("{} torn lines after {} kills", last.torn, kill + 1).into());
        }
    }
    // A last start that is let be tidies up.
    let opened = Command::new(std::env::current_exe()?)
        .arg("--open")
        .arg(dir.path())
        .stdout(Stdio::null())
        .status()?;
    let tidy = check::look(dir.path(), &promises);
    if !opened.success() || tidy.leftovers > 0 {
        return Err(format!("the last start ended with {opened} and left {tidy}").into());
    }
    println!(
        "{} kills in {:.0} s, {early} of them before the writer was ready; {leftovers} left temporary files, {torn} torn \
         lines stood in the journal at once; promised: {promises}; at the end: {last}",
        kills(),
        started.elapsed().as_secs_f64(),
    );
    if promises.is_empty() {
        return Err("the writers wrote nothing".into());
    }
    Ok(())
}

/// A writer, and the lines that it says.
fn start(dir: &Path, kill: u64, seed: u64) -> Result<(Child, Receiver<String>), Failed> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("--write")
        .arg(dir)
        .args([(kill * 100_000 + 1).to_string(), (kill ^ seed << 32).to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = BufReader::new(child.stdout.take().ok_or("the writer has no output")?);
    let (give, take) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        while said.read_line(&mut line).is_ok_and(|read| read > 0) {
            if give.send(std::mem::take(&mut line)).is_err() {
                break;
            }
        }
    });
    Ok((child, take))
}
