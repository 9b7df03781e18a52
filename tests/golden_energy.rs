//! A frame has one energy: seeded pictures give these numbers on every instruction set, with every kernel.
//!
//! The numbers were computed once, on x86-64 by the scalar reference. They are the contract between the
//! machine that fits a model and every device that runs it: a change of one is a change of the product.
//! `scripts/emulate` runs this file on emulated devices.

use oddsight::backbone::{Backbone, Features, Normalise, Threads};
use oddsight::energy::{self, Scores};
use oddsight::image::{Preprocess, Resize, Rgb, prepare};
use oddsight::kernel::{
    Add, Conv, ConvSpec, Gemm, Grid, Kernel, Map, MaxPool, Moments, Multiplier, Residual, Scratch,
    Window, requantise_table,
};
use oddsight::model::self_test::picture;
use oddsight::random::Random;

#[path = "support/directory.rs"]
mod directory;
#[path = "support/tiny.rs"]
mod tiny;

/// Seed and size of a picture, how it is prepared, and the CRC-32 of the prepared pixels.
type Prepared = (u64, [u32; 2], Resize, [u32; 2], u32);

const PREPARED: [Prepared; 6] = [
    (1, [32, 32], Resize::Shorter(32), [32, 32], 0xf36f6bc8),
    (2, [640, 480], Resize::Shorter(256), [224, 224], 0xc8e183e8),
    (3, [123, 457], Resize::Shorter(40), [32, 32], 0xf8b5a9d7),
    (4, [17, 9], Resize::Shorter(64), [64, 64], 0xbb8242ec),
    (5, [301, 200], Resize::Stretch(48, 96), [48, 96], 0x9f85d9ca),
    (6, [1, 1], Resize::Stretch(5, 3), [5, 3], 0xe29297f6),
];

#[test]
fn prepared_pictures_have_one_form() {
    let found = PREPARED.map(|(seed, size, resize, crop, _)| {
        let prepared = prepare(&picture(seed, size), &Preprocess { resize, crop }).unwrap();
        crc32fast::hash(&prepared.pixels)
    });
    assert_eq!(found, PREPARED.map(|row| row.4));
}

/// Seed and size of a picture, and the CRC-32 of what the network makes of it.
const NETWORK: [(u64, [u32; 2], u32); 3] =
    [(11, [64, 64], 0x9ed6447d), (12, [320, 240], 0x3b2f5dc8), (13, [50, 71], 0x3191c65b)];

#[test]
fn an_int8_network_has_one_result_with_every_kernel() {
    let preprocess = Preprocess { resize: Resize::Shorter(64), crop: [64, 64] };
    let pictures =
        NETWORK.map(|(seed, size, _)| prepare(&picture(seed, size), &preprocess).unwrap());
    let kernels = Kernel::available();
    for &kernel in &kernels {
        for rows_at_once in [1, 5, 64] {
            let found = pictures.each_ref().map(|p| Network::new(kernel, rows_at_once).run(p));
            assert_eq!(found, NETWORK.map(|row| row.2), "{kernel}, {rows_at_once} rows at once");
        }
    }
    // Read by scripts/emulate, which knows what each device must have.
    let names: Vec<_> = kernels.iter().map(|kernel| kernel.name()).collect();
    println!("kernels that agree: {}", names.join(" "));
}

/// A network of `tests/onnx`, the CRC-32 of the features of a picture, and the picture's energy by the
/// heads that format 2 of the heads file has, and by the refined ones.
const MODELS: [(&str, u32, [i64; 2]); 4] = [
    ("oddsight-basic", 0x0d3f58dc, [566515, 108950]),
    ("oddsight-bottleneck", 0xbf3c72a7, [11628361, 1350764]),
    ("qdq-odd-widths-not-square", 0xa2a0ca22, [2191038, 339296]),
    ("qdq-dilated", 0x6f569c31, [229014, 67438]),
];

#[test]
fn a_frame_has_one_energy_with_every_kernel_and_number_of_threads() {
    for kernel in Kernel::available() {
        for threads in [1, 3] {
            let found = MODELS.map(|(name, ..)| {
                let features = features(name, kernel, Threads::new(threads).unwrap());
                let values = [&features.avg, &features.std, &features.logits];
                let bytes: Vec<u8> =
                    values.into_iter().flatten().flat_map(|v| v.to_le_bytes()).collect();
                let width = features.avg.len();
                let heads = [directory::heads_of_format_2(width), directory::refined_heads(width)];
                let energies = heads.map(|heads| {
                    let (mut heads, mut scores) = (heads.fix().unwrap(), Scores::default());
                    heads.pack(kernel);
                    heads.score(&features, &mut energy::Scratch::default(), &mut scores);
                    scores.energy_q16
                });
                (name, crc32fast::hash(&bytes), energies)
            });
            assert_eq!(found, MODELS, "{kernel}, {threads} threads");
        }
    }
}

fn features(network: &str, kernel: Kernel, threads: Threads) -> Features {
    let path = format!("{}/tests/onnx/{network}.onnx", env!("CARGO_MANIFEST_DIR"));
    let backbone = Backbone::load_for(path.as_ref(), None, kernel).unwrap();
    assert!(backbone.is_integer(), "{network}");
    let crop = backbone.crop();
    let preprocess = Preprocess { resize: Resize::Stretch(crop[0], crop[1]), crop };
    let picture = prepare(&picture(21, [90, 70]), &preprocess).unwrap();
    backbone.state_on(&Normalise::CIFAR10, threads).unwrap().run(&picture).unwrap()
}

/// A network of seeded layers with the shapes of both ResNet stems, both kinds of block and grouped and
/// dilated windows; all bytes of all its maps go into one sum.
struct Network {
    kernel: Kernel,
    rows_at_once: usize,
    random: Random,
    scratch: Scratch,
    sum: crc32fast::Hasher,
}

/// The zero point of maps that a ReLU ends.
const RELU: i8 = -128;

/// What a layer is made of, besides the shape of its input.
struct Layer {
    window: Window,
    groups: usize,
    channels: usize,
    input_zero_point: i8,
    residual: Residual,
    output: Grid,
}

impl Layer {
    fn relu(window: Window, channels: usize) -> Layer {
        let (residual, output) = (Residual::None, Grid::new(RELU).relu());
        Layer { window, groups: 1, channels, input_zero_point: RELU, residual, output }
    }
}

impl Network {
    fn new(kernel: Kernel, rows_at_once: usize) -> Network {
        let (random, scratch) = (Random::new(2026), Scratch::new());
        Network { kernel, rows_at_once, random, scratch, sum: crc32fast::Hasher::new() }
    }

    fn run(mut self, picture: &Rgb) -> u32 {
        let [height, width] = [picture.height as usize, picture.width as usize];
        let input: Vec<i8> = picture.pixels.iter().map(|&p| (p ^ 0x80) as i8).collect();
        let stem = Layer { input_zero_point: -7, ..Layer::relu(Window::square(7, 2, 3), 64) };
        let map = self.conv((Map { height, width, channels: 3 }, &input), &stem, &[]);
        let map = self.pool(map);
        let map = self.basic_block(map, 64, 1);
        let map = self.basic_block(map, 88, 2);
        let map = self.bottleneck(map);
        self.head(map)
    }

    /// Two 3×3 convolutions with a way past them, which is a 1×1 convolution where the shape changes.
    fn basic_block(&mut self, (map, x): Tensor, channels: usize, stride: usize) -> Tensor {
        let first = Layer::relu(Window::square(3, stride, 1), channels);
        let (inner, y) = self.conv((map, &x), &first, &[]);
        let multiplier = self.multiplier(0.7);
        let mut last = Layer::relu(Window::square(3, 1, 1), channels);
        if stride == 1 {
            last.residual = Residual::Direct { zero_point: RELU, multiplier };
            return self.conv((inner, &y), &last, &x);
        }
        let mut shortcut = Layer::relu(Window::square(1, stride, 0), channels);
        shortcut.output = Grid::new(9);
        let (_, past) = self.conv((map, &x), &shortcut, &[]);
        let (own, own_multiplier) = (Grid::new(-4), self.multiplier(0.8));
        last.residual = Residual::Rounded { own, own_multiplier, zero_point: 9, multiplier };
        self.conv((inner, &y), &last, &past)
    }

    /// 1×1, grouped and dilated 3×3, 1×1, and an addition of its own.
    fn bottleneck(&mut self, (map, x): Tensor) -> Tensor {
        let narrow = Layer::relu(Window::square(1, 1, 0), 36);
        let narrow = self.conv((map, &x), &narrow, &[]);
        let dilated = Window { dilation: [2, 2], ..Window::square(3, 1, 2) };
        let grouped = Layer { groups: 4, ..Layer::relu(dilated, 20) };
        let grouped = self.conv((narrow.0, &narrow.1), &grouped, &[]);
        let wide =
            Layer { output: Grid::new(-20), ..Layer::relu(Window::square(1, 1, 0), map.channels) };
        let (map, wide) = self.conv((grouped.0, &grouped.1), &wide, &[]);
        let multipliers = [self.multiplier(0.9), self.multiplier(0.6)];
        let output = Grid::new(RELU).relu();
        let add = Add { kernel: self.kernel, zero_points: [-20, RELU], multipliers, output };
        let mut out = vec![0; map.len()];
        add.run(&wide, &x, &mut out);
        let table = requantise_table(RELU, self.multiplier(0.8), Grid::new(-100));
        let out: Vec<i8> = out.iter().map(|&q| table[usize::from(q as u8)]).collect();
        self.take(&out);
        (map, out)
    }

    /// Moments, global average pool and final product.
    fn head(mut self, (map, x): Tensor) -> u32 {
        let mut moments = Moments::new(map.channels);
        moments.take(self.kernel, &x);
        for (mean, spread) in moments.centred(-100).zip(moments.spread()) {
            self.sum.update(&mean.to_le_bytes());
            self.sum.update(&spread.to_le_bytes());
        }
        let mut pooled = vec![0; map.channels];
        let multiplier = Multiplier::new(2.0 / moments.pixels() as f64).unwrap();
        moments.quantise(-100, multiplier, Grid::new(-50), &mut pooled);
        self.take(&pooled);
        let weights = self.weights(10 * map.channels);
        let gemm = Gemm::new(self.kernel, &weights, &[-3; 10], -50).unwrap();
        gemm.reserve(&mut self.scratch);
        let mut logits = [0; 10];
        gemm.run(&pooled, &mut logits, &mut self.scratch);
        logits.iter().for_each(|logit| self.sum.update(&logit.to_le_bytes()));
        self.sum.finalize()
    }

    /// A convolution with seeded numbers; `past` is added where it is not empty.
    fn conv(&mut self, (map, x): (Map, &[i8]), layer: &Layer, past: &[i8]) -> Tensor {
        let [height, width] = layer.window.kernel;
        let reduction = map.channels / layer.groups * height * width;
        let weights = self.weights(layer.channels * reduction);
        let bias: Vec<i32> =
            (0..layer.channels).map(|_| self.random.below(20_000) as i32 - 10_000).collect();
        // Products of uniform bytes have a deviation near 5000: half of the grid is used.
        let usual = 60.0 / (5000.0 * (reduction as f64).sqrt());
        let multipliers: Vec<_> = (0..layer.channels).map(|_| self.multiplier(usual)).collect();
        let spec = ConvSpec {
            input: map,
            input_zero_point: layer.input_zero_point,
            window: layer.window,
            groups: layer.groups,
            out_channels: layer.channels,
            weights: &weights,
            bias: &bias,
            multipliers: &multipliers,
            residual: layer.residual,
            output: layer.output,
        };
        let conv = Conv::new(self.kernel, &spec).unwrap();
        conv.reserve(&mut self.scratch);
        let map = conv.output();
        let mut out = vec![0; map.len()];
        for (i, rows) in out.chunks_mut(self.rows_at_once * map.row_len()).enumerate() {
            let first = i * self.rows_at_once;
            let past = past.get(..map.len()).unwrap_or_default();
            let last = first + rows.len() / map.row_len();
            conv.run(x, past, first..last, rows, &mut self.scratch);
        }
        self.take(&out);
        (map, out)
    }

    fn pool(&mut self, (map, x): Tensor) -> Tensor {
        let pool = MaxPool::new(self.kernel, map, Window::square(3, 2, 1)).unwrap();
        let map = pool.output();
        let mut out = vec![0; map.len()];
        pool.run(&x, 0..map.height, &mut out);
        self.take(&out);
        (map, out)
    }

    /// Takes a map into the sum. A map that sits at one end of its grid would prove nothing.
    fn take(&mut self, map: &[i8]) {
        let inside = map.iter().filter(|&&q| q > -128 && q < 127).count();
        assert!(inside * 4 > map.len(), "{inside} of {} values are inside of the grid", map.len());
        self.sum.update(&map.iter().map(|&q| q as u8).collect::<Vec<_>>());
    }

    /// Some layers have weights of −128, which plain NEON runs by another loop, and some have not.
    fn weights(&mut self, n: usize) -> Vec<i8> {
        let lowest = if self.random.below(2) == 0 { -128 } else { -127 };
        (0..n).map(|_| (self.random.next_u64() as i8).max(lowest)).collect()
    }

    /// A multiplier near `usual`.
    fn multiplier(&mut self, usual: f64) -> Multiplier {
        Multiplier::new(usual * self.random.range(0.7, 1.4)).unwrap()
    }
}

/// The shape of a map, and its values.
type Tensor = (Map, Vec<i8>);
