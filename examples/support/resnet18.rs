//! The convolutions of ResNet-18, as the examples run them. Each uses a part of this file.
#![allow(dead_code)]

use oddsight::kernel::{Conv, ConvSpec, Grid, Kernel, Map, Multiplier, Residual, Scratch, Window};
use oddsight::random::Random;

/// Height and width, channels in and out, kernel, stride, padding, layers of this shape in the network.
pub type Shape = (usize, [usize; 2], usize, usize, usize, u32);

/// ResNet-18 with the 3×3 stem, for 32×32 pictures.
pub const SMALL: [Shape; 11] = [
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
pub const LARGE: [Shape; 11] = [
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

/// One convolution with seeded numbers, and the maps that it reads and writes.
pub struct Layer {
    pub conv: Conv,
    input: Vec<i8>,
    output: Vec<i8>,
    scratch: Scratch,
}

impl Layer {
    pub fn new(kernel: Kernel, (side, [cin, cout], k, stride, pad, _): Shape) -> Layer {
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
        Layer { input: bytes(input.len()), output: vec![0; conv.output().len()], conv, scratch }
    }

    /// Computes the whole output map.
    pub fn run(&mut self) {
        let rows = 0..self.conv.output().height;
        self.conv.run(&self.input, &[], rows, &mut self.output, &mut self.scratch);
    }
}
