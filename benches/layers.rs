//! The int8 convolution of every layer shape of ResNet-18, one thread, with every kernel of this machine.
//!
//!     cargo bench --workspace --bench layers -- avx2          # the kernels, or shapes, whose name matches

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use oddsight::kernel::{Conv, ConvSpec, Grid, Kernel, Map, Multiplier, Residual, Scratch, Window};
use oddsight::random::Random;

/// Height and width of the input, channels in and out, kernel, stride, padding.
type Shape = (usize, [usize; 2], usize, usize, usize);

/// With the 3×3 stem, for 32×32 pictures; then with the 7×7 stem, for 224×224; then the 1×1
/// convolutions of ResNet-50's bottlenecks.
const SHAPES: [Shape; 27] = [
    (32, [3, 64], 3, 1, 1),
    (32, [64, 64], 3, 1, 1),
    (32, [64, 128], 3, 2, 1),
    (32, [64, 128], 1, 2, 0),
    (16, [128, 128], 3, 1, 1),
    (16, [128, 256], 3, 2, 1),
    (16, [128, 256], 1, 2, 0),
    (8, [256, 256], 3, 1, 1),
    (8, [256, 512], 3, 2, 1),
    (8, [256, 512], 1, 2, 0),
    (4, [512, 512], 3, 1, 1),
    (224, [3, 64], 7, 2, 3),
    (56, [64, 64], 3, 1, 1),
    (56, [64, 128], 3, 2, 1),
    (56, [64, 128], 1, 2, 0),
    (28, [128, 128], 3, 1, 1),
    (28, [128, 256], 3, 2, 1),
    (28, [128, 256], 1, 2, 0),
    (14, [256, 256], 3, 1, 1),
    (14, [256, 512], 3, 2, 1),
    (14, [256, 512], 1, 2, 0),
    (7, [512, 512], 3, 1, 1),
    (56, [64, 256], 1, 1, 0),
    (56, [256, 64], 1, 1, 0),
    (28, [512, 128], 1, 1, 0),
    (14, [256, 1024], 1, 1, 0),
    (7, [2048, 512], 1, 1, 0),
];

fn layers(criterion: &mut Criterion) {
    for kernel in Kernel::available() {
        if kernel == Kernel::REFERENCE {
            continue; // the definition, not made to be fast
        }
        let mut group = criterion.benchmark_group(kernel.name());
        for shape in SHAPES {
            let (side, [cin, cout], k, stride, pad) = shape;
            let mut layer = Layer::new(kernel, shape);
            let name = format!("{cin}x{side}x{side} to {cout}, {k}x{k} by {stride}, pad {pad}");
            group.throughput(Throughput::Elements(layer.conv.macs()));
            group.bench_function(name, |bencher| bencher.iter(|| layer.run()));
        }
    }
}

struct Layer {
    conv: Conv,
    input: Vec<i8>,
    output: Vec<i8>,
    scratch: Scratch,
}

impl Layer {
    fn new(kernel: Kernel, (side, [cin, cout], k, stride, pad): Shape) -> Layer {
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
        let mut scratch = Scratch::new();
        conv.reserve(&mut scratch);
        let output = vec![0; conv.output().len()];
        Layer { conv, input: bytes(input.len()), output, scratch }
    }

    fn run(&mut self) {
        let rows = 0..self.conv.output().height;
        self.conv.run(&self.input, &[], rows, &mut self.output, &mut self.scratch);
    }
}

criterion_group!(benches, layers);
criterion_main!(benches);
