//! The peers' side of `scripts/bench-peers`: requests on standard input, one answer per line.

use std::io::{BufRead, Write};
use std::time::Instant;

/// Says `ready`, then answers until the input ends: `run N` with the nanoseconds of N inferences,
/// `logits` with what one inference gives.
pub fn serve(mut infer: impl FnMut() -> Vec<f64>) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready")?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let answer: Vec<String> = match line.split_once(' ') {
            Some(("run", count)) => {
                let count: usize = count.parse().expect("`run` takes a number of inferences");
                (0..count).map(|_| nanoseconds(&mut infer).to_string()).collect()
            }
            _ if line == "logits" => infer().iter().map(f64::to_string).collect(),
            _ => panic!("`{line}` is no request; `run N` and `logits` are"),
        };
        writeln!(out, "{}", answer.join(" "))?;
        out.flush()?;
    }
    Ok(())
}

fn nanoseconds(infer: &mut impl FnMut() -> Vec<f64>) -> u128 {
    let start = Instant::now();
    std::hint::black_box(infer());
    start.elapsed().as_nanos()
}
