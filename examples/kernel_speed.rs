//! Prints the speed of each int8 kernel on the layer shapes of ResNet-18, one thread.
//!
//!     cargo run --release --example kernel_speed [KERNEL ...]
//!
//! Times are medians of many short runs, after the fastest in brackets: on a shared machine the two
//! tell how much it was disturbed.

use std::time::{Duration, Instant};

use oddsight::kernel::{Conv, ConvSpec, Grid, Kernel, Map, Multiplier, Residual, Scratch, Window};
use oddsight::random::Random;

/// Height and width, channels in and out, kernel, stride, padding, layers of this shape in the network.
type Shape = (usize, [usize; 2], usize, usize, usize, u32);

/// ResNet-18 with the 3×3 stem, for 32×32 pictures.
const SMALL: [Shape; 11] = [
    (32, [3, 64], 3, 1, 1, 1),
    (32, [64, 64], 3, 1, 1, 4),
    (32, [64, 128], 3, 2, 1, 1),
    (32, [64, 128], 1, 2, 0, 1),
    (16, [128, 128], 3, 1, 1, 3),
    (16, [128, 256], 3, 2, 1, 1),
    (16, [128, 256], 1, 2, 0, 1),
    (8, [256, 256], 3, 1, 1, 3),
    (8, [256, 512], 3, 2, 1, 1),
    (8, [256, 512], 1, 2, 0, 1),
    (4, [512, 512], 3, 1, 1, 3),
];

/// ResNet-18 with the 7×7 stem, for 224×224 pictures.
const LARGE: [Shape; 11] = [
    (224, [3, 64], 7, 2, 3, 1),
    (56, [64, 64], 3, 1, 1, 4),
    (56, [64, 128], 3, 2, 1, 1),
    (56, [64, 128], 1, 2, 0, 1),
    (28, [128, 128], 3, 1, 1, 3),
    (28, [128, 256], 3, 2, 1, 1),
    (28, [128, 256], 1, 2, 0, 1),
    (14, [256, 256], 3, 1, 1, 3),
    (14, [256, 512], 3, 2, 1, 1),
    (14, [256, 512], 1, 2, 0, 1),
    (7, [512, 512], 3, 1, 1, 3),
];

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
    let (side, [cin, cout], k, stride, pad, layers) = shape;
    let mut random = Random::new(7);
    let mut bytes = |n: usize| -> Vec<i8> { (0..n).map(|_| random.next_u64() as i8).collect() };
    let input = Map { height: side, width: side, channels: cin };
    let weights: Vec<i8> = bytes(cout * cin * k * k).iter().map(|w| w.max(&-127) / 2).collect();
    let spec = ConvSpec {
        input,
        input_zero_point: -128,
        window: Window::square(k, stride, pad),
        groups: 1,
        out_channels: cout,
        weights: &weights,
        bias: &vec![100; cout],
        multipliers: &vec![Multiplier::new(0.001).expect("a positive number"); cout],
        residual: Residual::None,
        output: Grid::new(-128).relu(),
    };
    let conv = Conv::new(kernel, &spec).unwrap_or_else(|e| panic!("{e}"));
    let (map, mut scratch) = (bytes(input.len()), Scratch::new());
    let out = conv.output();
    let mut output = vec![0; out.len()];
    conv.reserve(&mut scratch);
    let mut times = Vec::new();
    let begin = Instant::now();
    while times.len() < 5 || (begin.elapsed() < Duration::from_millis(300) && times.len() < 1000) {
        let start = Instant::now();
        conv.run(&map, &[], 0..out.height, &mut output, &mut scratch);
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let (median, best, macs) = (times[times.len() / 2], times[0], conv.macs() as f64);
    print!("  {layers} x {cin:3} -> {cout:3} @ {:3}, {k}x{k}/{stride}", out.height);
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
