//! Prints the speed of each int8 kernel on the layer shapes of ResNet-18, one thread.
//!
//!     cargo run --release --example kernel_speed [KERNEL ...]
//!
//! Times are medians of many short runs, after the fastest in brackets: on a shared machine the two
//! tell how much it was disturbed.

use std::time::{Duration, Instant};

use oddsight::kernel::Kernel;

#[path = "support/resnet18.rs"]
mod resnet18;

use resnet18::{LARGE, Layer, SMALL, Shape};

fn main() {
    let named: Vec<Kernel> = std::env::args()
        .skip(1)
        .map(|name| name.parse().unwrap_or_else(|e| panic!("{e}")))
        .collect();
    let kernels = if named.is_empty() { vec![Kernel::detect()] } else { named };
    for kernel in kernels {
        for (name, shapes) in [("32x32", SMALL), ("224x224", LARGE)] {
            println!("{kernel}, ResNet-18 at {name}: time, MMAC, GMAC/s (best)");
            let (mut median, mut best, mut macs) = (0.0, 0.0, 0.0);
            for shape in shapes {
                let (m, b, n) = measure(kernel, shape);
                median += m * f64::from(shape.5);
                best += b * f64::from(shape.5);
                macs += n * f64::from(shape.5);
            }
            println!("  all convolutions{:32}", "");
            report(median, best, macs);
        }
    }
}

/// Median and best seconds of one layer, and its multiply-accumulates.
fn measure(kernel: Kernel, shape: Shape) -> (f64, f64, f64) {
    let mut layer = Layer::new(kernel, shape);
    let mut times = Vec::new();
    let begin = Instant::now();
    while times.len() < 5 || (begin.elapsed() < Duration::from_millis(300) && times.len() < 1000) {
        let start = Instant::now();
        layer.run();
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let (median, best, macs) = (times[times.len() / 2], times[0], layer.conv.macs() as f64);
    let (_, [cin, cout], k, stride, _, layers) = shape;
    let side = layer.conv.output().height;
    print!("  {layers} x {cin:3} -> {cout:3} @ {side:3}, {k}x{k}/{stride}");
    report(median, best, macs);
    (median, best, macs)
}

fn report(median: f64, best: f64, macs: f64) {
    println!(
        " {:9.1} us {:7.1} {:6.1} ({:.1})",
        median * 1e6,
        macs / 1e6,
        macs / median / 1e9,
        macs / best / 1e9
    );
}
