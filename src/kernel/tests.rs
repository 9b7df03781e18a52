//! Every kernel, and a model of every kernel, against the reference; the reference against the float
//! pipeline that it stands for.

use proptest::prelude::*;

use super::choice::Engine;
use super::conv::Method;
use super::portable::{Plain, PlainWords};
use super::winograd::{Winograd, WinogradEngine};
use super::*;
use crate::random::Random;

/// Plain-Rust models with the operand order of AVX2, AVX-512 VNNI, NEON and the dot product: the packing,
/// tiling and zero-point algebra of each is tested on every machine.
fn models() -> [Engine; 4] {
    [
        Engine::of::<Plain<8, 2, 0, 6, 2>>(),
        Engine::of::<Plain<16, 4, 128, 6, 4>>(),
        Engine::of::<Plain<4, 2, 0, 4, 4>>(),
        Engine::of::<Plain<4, 4, 0, 4, 4>>(),
    ]
}

/// Winograd's method with each kernel of this machine that has it, and with models of AVX2's and NEON's.
fn winograds() -> Vec<WinogradEngine> {
    let kernels = Kernel::available().into_iter().filter_map(|kernel| kernel.winograd());
    let models = [
        WinogradEngine::of::<PlainWords<8, 2, 6, 2>>(),
        WinogradEngine::of::<PlainWords<4, 1, 4, 4>>(),
    ];
    kernels.chain(models).collect()
}

/// Where bytes come from: extremes must not hide among averages.
#[derive(Clone, Copy, Debug)]
enum Bytes {
    Uniform,
    Lowest,
    Extremes,
    Small,
}

impl Bytes {
    fn draw(self, random: &mut Random, n: usize) -> Vec<i8> {
        (0..n)
            .map(|_| match self {
                Bytes::Uniform => random.next_u64() as i8,
                Bytes::Lowest => -128,
                Bytes::Extremes => [-128, 127, -127][random.below(3) as usize],
                Bytes::Small => random.below(9) as i8 - 4,
            })
            .collect()
    }
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        4 => Just(Bytes::Uniform),
        1 => Just(Bytes::Lowest),
        2 => Just(Bytes::Extremes),
        2 => Just(Bytes::Small),
    ]
}

/// A convolution with all that it needs.
#[derive(Clone, Debug)]
struct Case {
    input: Map,
    window: Window,
    groups: usize,
    out_channels: usize,
    zero_point: i8,
    map: Vec<i8>,
    weights: Vec<i8>,
    bias: Vec<i32>,
    multipliers: Vec<Multiplier>,
    /// 0: none, 1: direct, 2: rounded.
    residual: u8,
    relu: bool,
    seed: u64,
}

impl Case {
    fn spec(&self) -> ConvSpec<'_> {
        let mut random = Random::new(self.seed ^ 1);
        let mut grid = || Grid::new(random.next_u64() as i8);
        let (output, own) = (grid(), grid());
        let mut factor = || Multiplier::new(random.range(-5.0, 2.0).exp2()).unwrap();
        let (multiplier, own_multiplier) = (factor(), factor());
        let zero_point = random.next_u64() as i8;
        ConvSpec {
            input: self.input,
            input_zero_point: self.zero_point,
            window: self.window,
            groups: self.groups,
            out_channels: self.out_channels,
            weights: &self.weights,
            bias: &self.bias,
            multipliers: &self.multipliers,
            residual: match self.residual {
                0 => Residual::None,
                1 => Residual::Direct { zero_point, multiplier },
                _ => Residual::Rounded { own, own_multiplier, zero_point, multiplier },
            },
            output: if self.relu { output.relu() } else { output },
        }
    }

    fn residual_map(&self, len: usize) -> Vec<i8> {
        let len = if self.residual == 0 { 0 } else { len };
        Bytes::Uniform.draw(&mut Random::new(self.seed ^ 2), len)
    }
}

fn window() -> impl Strategy<Value = Window> {
    let pair = |low, high| prop::array::uniform2(low..=high);
    let usual = prop_oneof![
        Just(Window::square(3, 1, 1)),
        Just(Window::square(3, 2, 1)),
        Just(Window::square(1, 1, 0)),
        Just(Window::square(1, 2, 0)),
        Just(Window::square(7, 2, 3)),
    ];
    let any = (pair(1usize, 5), pair(1usize, 3), pair(1usize, 3), prop::array::uniform4(0usize..4))
        .prop_map(|(kernel, stride, dilation, pad)| Window { kernel, stride, dilation, pad });
    prop_oneof![usual, any]
}

fn case(window: impl Strategy<Value = Window>) -> impl Strategy<Value = Case> {
    let shape = (1usize..20, 1usize..20, 1usize..=5, 1usize..=24, 1usize..=70);
    let looks = (any::<i8>(), bytes(), bytes(), 0u8..3, any::<bool>(), any::<u64>());
    (shape, window, looks).prop_filter_map("the window fits", |(shape, window, looks)| {
        let (height, width, groups, per_group, out_channels) = shape;
        let groups = if groups > 3 { 1 } else { groups };
        let input = Map { height, width, channels: per_group * groups };
        let out_channels = out_channels.next_multiple_of(groups);
        window.output(input).ok()?;
        let (zero_point, of_map, of_weights, residual, relu, seed) = looks;
        let mut random = Random::new(seed);
        let reduction = per_group * window.kernel[0] * window.kernel[1];
        let map = of_map.draw(&mut random, input.len());
        let weights = of_weights.draw(&mut random, out_channels * reduction);
        let bias = (0..out_channels).map(|_| random.below(1 << 20) as i32 - (1 << 19)).collect();
        // Mostly of a size that uses the output's range, sometimes far out of it.
        let usual = -6.0 - (reduction as f64).log2() / 2.0;
        let multipliers = (0..out_channels)
            .map(|_| {
                let spread = if random.below(8) == 0 { 60.0 } else { 4.0 };
                let exponent = usual + random.range(-spread, spread);
                Multiplier::new(exponent.min(59.0).exp2()).unwrap()
            })
            .collect();
        Some(Case {
            input,
            window,
            groups,
            out_channels,
            zero_point,
            map,
            weights,
            bias,
            multipliers,
            residual,
            relu,
            seed,
        })
    })
}

/// Runs `conv` over rows split at `splits`.
fn run(conv: &Conv, map: &[i8], residual: &[i8], splits: &[usize]) -> Vec<i8> {
    let out = conv.output();
    let mut result = vec![0x55; out.len()];
    let mut scratch = Scratch::new();
    conv.reserve(&mut scratch);
    let mut bounds: Vec<usize> = splits.iter().map(|s| s % (out.height + 1)).collect();
    bounds.extend([0, out.height]);
    bounds.sort_unstable();
    for rows in bounds.windows(2) {
        let part = &mut result[rows[0] * out.row_len()..rows[1] * out.row_len()];
        conv.run(map, residual, rows[0]..rows[1], part, &mut scratch);
    }
    result
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_convolution_equals_the_reference(case in case(window()), split: [usize; 2]) {
        let spec = case.spec();
        let reference = Conv::new(Kernel::REFERENCE, &spec).unwrap();
        let residual = case.residual_map(reference.output().len());
        let want = run(&reference, &case.map, &residual, &[]);
        for kernel in Kernel::available() {
            let conv = Conv::new(kernel, &spec).unwrap();
            prop_assert_eq!(&run(&conv, &case.map, &residual, &split), &want, "{}", kernel);
        }
        for (i, engine) in models().into_iter().enumerate() {
            let conv = Conv::with_method(Method::Direct(engine), &spec).unwrap();
            prop_assert_eq!(&run(&conv, &case.map, &residual, &split), &want, "model {}", i);
        }
    }

    #[test]
    fn winograd_equals_the_reference(
        case in case(prop::array::uniform4(0usize..4).prop_map(|pad| Window { pad, ..Window::square(3, 1, 0) })),
        split: [usize; 2],
    ) {
        let case = Case { groups: 1, weights: case.weights.repeat(case.groups), ..case };
        let spec = case.spec();
        let reference = Conv::new(Kernel::REFERENCE, &spec).unwrap();
        let residual = case.residual_map(reference.output().len());
        let want = run(&reference, &case.map, &residual, &[]);
        prop_assert!(Winograd::fits(&spec));
        for (i, engine) in winograds().into_iter().enumerate() {
            let conv = Conv::with_method(Method::Winograd(engine), &spec).unwrap();
            prop_assert_eq!(&run(&conv, &case.map, &residual, &split), &want, "engine {}", i);
        }
    }

    #[test]
    fn every_product_equals_the_reference(
        rows in 1usize..130, columns in 1usize..300, zero_point: i8, of_x in bytes(), of_w in bytes(), seed: u64,
    ) {
        let mut random = Random::new(seed);
        let weights = of_w.draw(&mut random, rows * columns);
        let bias: Vec<i32> = (0..rows).map(|_| random.next_u64() as i32 >> 2).collect();
        let x = of_x.draw(&mut random, columns);
        let y = of_x.draw(&mut random, columns);
        let mut scratch = Scratch::new();
        let mut results = Kernel::available().into_iter().map(|kernel| {
            let gemm = Gemm::new(kernel, &weights, &bias, zero_point).unwrap();
            gemm.reserve(&mut scratch);
            let [mut out, mut other] = [(); 2].map(|()| vec![0; rows]);
            gemm.run(&x, &mut out, &mut scratch);
            gemm.run(&y, &mut other, &mut scratch);
            [out, other]
        });
        let want = results.next().unwrap();
        for result in results {
            prop_assert_eq!(&result, &want);
        }
    }

    /// Also where sums leave the 32 bits that words are added up in.
    #[test]
    fn every_product_of_words_is_exact(
        rows in 1usize..100, columns in 1usize..1500, of_x in bytes(), of_w in bytes(), backwards: bool,
        seed: u64,
    ) {
        let mut random = Random::new(seed);
        let weights = of_w.draw(&mut random, rows * columns);
        let high = of_x.draw(&mut random, columns).iter().map(|&x| x.max(-127)).collect();
        let input = Planes { high, low: of_x.draw(&mut random, columns) };
        let words = || input.high.iter().zip(&input.low).map(|(&h, &l)| 256 * i64::from(h) + i64::from(l));
        let products = |row: &[i8]| row.iter().zip(words()).map(|(&w, x)| i64::from(w) * x).sum();
        let want: Vec<i64> = weights.chunks(columns).map(products).collect();
        let mut scratch = Scratch::new();
        for kernel in Kernel::available() {
            let gemm = Gemm::new(kernel, &weights, &vec![0; rows], 0).unwrap();
            gemm.reserve(&mut scratch);
            let [mut high, mut low] = [(); 2].map(|()| vec![7; rows]);
            gemm.run_planes(&input, [&mut high, &mut low], backwards, &mut scratch);
            let joined: Vec<i64> =
                high.iter().zip(&low).map(|(&h, &l)| 256 * i64::from(h) + i64::from(l)).collect();
            prop_assert_eq!(&joined, &want, "{}", kernel);
        }
    }

    #[test]
    fn pooling_equals_plain_loops(
        height in 1usize..12, width in 1usize..12, channels in 1usize..40, window in window(), seed: u64,
    ) {
        let input = Map { height, width, channels };
        let map = Bytes::Uniform.draw(&mut Random::new(seed), input.len());
        for kernel in Kernel::available() {
            let mut moments = Moments::new(channels);
            moments.take(kernel, &map);
            for c in 0..channels {
                let values: Vec<i32> = map[c..].iter().step_by(channels).map(|&x| x.into()).collect();
                prop_assert_eq!(moments.sum()[c], values.iter().sum::<i32>());
                prop_assert_eq!(moments.sum_sq()[c], values.iter().map(|x| x * x).sum::<i32>());
            }
            let Ok(pool) = MaxPool::new(kernel, input, window) else { continue };
            let out = pool.output();
            let mut result = vec![0; out.len()];
            pool.run(&map, 0..out.height, &mut result);
            for (i, &got) in result.iter().enumerate() {
                let (y, x, c) = (i / out.row_len(), i / channels % out.width, i % channels);
                prop_assert_eq!(Some(got), maximum(input, &map, &window, [y, x, c]));
            }
        }
    }

    #[test]
    fn addition_equals_the_definition(len in 0usize..300, zero_points: [i8; 2], z: i8, seed: u64) {
        let mut random = Random::new(seed);
        let a = Bytes::Uniform.draw(&mut random, len);
        let b = Bytes::Uniform.draw(&mut random, len);
        let multipliers = [0; 2].map(|_| Multiplier::new(random.range(-6.0, 3.0).exp2()).unwrap());
        let output = Grid::new(z).relu();
        for kernel in Kernel::available() {
            let mut result = vec![0; len];
            Add { kernel, zero_points, multipliers, output }.run(&a, &b, &mut result);
            for i in 0..len {
                let term = |x: i8, z: i8, m: Multiplier| f32::from(i16::from(x) - i16::from(z)) * m.get();
                let t = term(a[i], zero_points[0], multipliers[0]) + term(b[i], zero_points[1], multipliers[1]);
                let rounded = t.clamp(-1000.0, 1000.0).round_ties_even() as i32 + i32::from(z);
                prop_assert_eq!(i32::from(result[i]), rounded.clamp(z.into(), 127));
            }
        }
    }
}

/// The largest value under a window.
fn maximum(input: Map, map: &[i8], window: &Window, [y, x, c]: [usize; 3]) -> Option<i8> {
    let mut values = Vec::new();
    for ky in 0..window.kernel[0] {
        for kx in 0..window.kernel[1] {
            let iy = (y * window.stride[0] + ky * window.dilation[0]).wrapping_sub(window.pad[0]);
            let ix = (x * window.stride[1] + kx * window.dilation[1]).wrapping_sub(window.pad[1]);
            if iy < input.height && ix < input.width {
                values.push(map[(iy * input.width + ix) * input.channels + c]);
            }
        }
    }
    values.into_iter().max()
}

/// Real-valued scales of a quantised layer.
struct Scales {
    input: f64,
    weights: Vec<f64>,
    residual: f64,
    output: f64,
}

/// `DequantizeLinear → Conv → Add → Relu → QuantizeLinear` in f64, for one image.
fn float_pipeline(spec: &ConvSpec<'_>, scales: &Scales, map: &[i8], residual: &[i8]) -> Vec<i8> {
    let out = spec.output_map().unwrap();
    let mut result = Vec::with_capacity(out.len());
    for i in 0..out.len() {
        let (y, x, o) = (i / out.row_len(), i / out.channels % out.width, i % out.channels);
        let mut sum = f64::from(spec.bias[o]) * (scales.input * scales.weights[o]);
        for ky in 0..spec.window.kernel[0] {
            for kx in 0..spec.window.kernel[1] {
                let iy = (y * spec.window.stride[0] + ky).wrapping_sub(spec.window.pad[0]);
                let ix = (x * spec.window.stride[1] + kx).wrapping_sub(spec.window.pad[1]);
                if iy >= spec.input.height || ix >= spec.input.width {
                    continue;
                }
                for c in 0..spec.input.channels {
                    let q = map[(iy * spec.input.width + ix) * spec.input.channels + c];
                    let real = (f64::from(q) - f64::from(spec.input_zero_point)) * scales.input;
                    sum += real * f64::from(spec.weight(o, ky, kx, c)) * scales.weights[o];
                }
            }
        }
        if let Residual::Direct { zero_point, .. } = spec.residual {
            sum += (f64::from(residual[i]) - f64::from(zero_point)) * scales.residual;
        }
        let rounded = (sum.max(0.0) / scales.output).round_ties_even();
        let q = rounded + f64::from(spec.output.zero_point());
        result.push(q.clamp(-128.0, 127.0) as i8);
    }
    result
}

#[test]
fn the_reference_is_the_float_pipeline() {
    let mut random = Random::new(41);
    let (mut all, mut different) = (0, 0);
    for layer in 0..24 {
        let input = Map { height: 9, width: 8, channels: [3, 16, 40][layer % 3] };
        let (window, out_channels) = (Window::square([1, 3][layer % 2], 1, layer % 2), 24);
        let reduction = input.channels * window.kernel[0] * window.kernel[1];
        let map = Bytes::Uniform.draw(&mut random, input.len());
        let weights = Bytes::Uniform.draw(&mut random, out_channels * reduction);
        let scales = Scales {
            input: random.range(0.005, 0.05),
            weights: (0..out_channels).map(|_| random.range(0.0005, 0.01)).collect(),
            residual: random.range(0.005, 0.05),
            output: random.range(0.02, 0.2),
        };
        let own: Vec<f64> =
            scales.weights.iter().map(|w| scales.input * w / scales.output).collect();
        let spec = ConvSpec {
            input,
            input_zero_point: random.next_u64() as i8,
            window,
            groups: 1,
            out_channels,
            weights: &weights,
            bias: &(0..out_channels)
                .map(|_| random.below(40_000) as i32 - 20_000)
                .collect::<Vec<_>>(),
            multipliers: &own.iter().map(|&m| Multiplier::new(m).unwrap()).collect::<Vec<_>>(),
            residual: Residual::Direct {
                zero_point: random.next_u64() as i8,
                multiplier: Multiplier::new(scales.residual / scales.output).unwrap(),
            },
            output: Grid::new(-128 + random.below(60) as i8).relu(),
        };
        let reference = Conv::new(Kernel::REFERENCE, &spec).unwrap();
        let residual = Bytes::Uniform.draw(&mut random, reference.output().len());
        let got = run(&reference, &map, &residual, &[]);
        let want = float_pipeline(&spec, &scales, &map, &residual);
        for (got, want) in got.iter().zip(&want) {
            assert!((i32::from(*got) - i32::from(*want)).abs() <= 1, "off by more than 1");
            all += 1;
            different += usize::from(got != want);
        }
    }
    assert!(different * 1000 <= all, "{different} of {all} values differ");
}

/// A residual block and a pooled head give these bytes on every machine and architecture.
#[test]
fn a_small_network_has_one_result() {
    let mut random = Random::new(2024);
    let input = Map { height: 16, width: 16, channels: 3 };
    let picture = Bytes::Uniform.draw(&mut random, input.len());
    let stem = Bytes::Uniform.draw(&mut random, 48 * 27);
    let block = Bytes::Uniform.draw(&mut random, 48 * 48 * 9);
    let multipliers: Vec<_> =
        (0..48).map(|_| Multiplier::new(random.range(0.0005, 0.002)).unwrap()).collect();
    for kernel in Kernel::available() {
        let mut spec = ConvSpec {
            input,
            input_zero_point: 3,
            window: Window::square(3, 1, 1),
            groups: 1,
            out_channels: 48,
            weights: &stem,
            bias: &[77; 48],
            multipliers: &multipliers,
            residual: Residual::None,
            output: Grid::new(-128).relu(),
        };
        let stem = Conv::new(kernel, &spec).unwrap();
        let map = run(&stem, &picture, &[], &[]);
        spec.input = stem.output();
        spec.input_zero_point = -128;
        spec.weights = &block;
        spec.residual =
            Residual::Direct { zero_point: -128, multiplier: Multiplier::new(0.7).unwrap() };
        let map = run(&Conv::new(kernel, &spec).unwrap(), &map, &map, &[5]);
        let mut moments = Moments::new(48);
        moments.take(kernel, &map);
        let mut sum = 0xcbf2_9ce4_8422_2325_u64; // FNV-1a
        let values = map.iter().map(|&x| x as u8 as i64).chain(moments.spread());
        for byte in values.flat_map(i64::to_le_bytes) {
            sum = (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        assert_eq!(sum, 15_301_447_698_968_334_381, "{kernel}");
    }
}

#[test]
fn moments_become_mean_and_deviation() {
    let mut moments = Moments::new(2);
    moments.take(Kernel::detect(), &[1, -128, 2, -128, 3, -128, 6, -128]);
    assert_eq!(moments.centred(-2).collect::<Vec<_>>(), [20, -504]);
    // Unbiased variance of 1, 2, 3, 6 is 14/3.
    assert_eq!(moments.spread().collect::<Vec<_>>(), [14 * 4, 0]);
    let mut mean = [0; 2];
    let m = Multiplier::new(0.25 / 0.5).unwrap();
    moments.quantise(-2, m, Grid::new(1), &mut mean);
    assert_eq!(mean, [11, -128]);
}

#[test]
fn a_table_changes_the_grid() {
    let table = requantise_table(-128, Multiplier::new(0.5).unwrap(), Grid::new(0));
    assert_eq!(table[-128i8 as u8 as usize], 0);
    assert_eq!(table[-123i8 as u8 as usize], 2);
    assert_eq!(table[127], 127);
}

#[test]
fn what_cannot_be_planned_is_refused() {
    let weights = vec![127; 8 * 16];
    let good = ConvSpec {
        input: Map { height: 4, width: 4, channels: 16 },
        input_zero_point: 0,
        window: Window::square(1, 1, 0),
        groups: 1,
        out_channels: 8,
        weights: &weights,
        bias: &[0; 8],
        multipliers: &[Multiplier::new(0.01).unwrap(); 8],
        residual: Residual::None,
        output: Grid::new(0),
    };
    let kind = |spec: ConvSpec<'_>| Conv::new(Kernel::detect(), &spec).err().map(|e| e.kind());
    assert_eq!(kind(good), None);
    let shape = Some(KernelErrorKind::Shape);
    assert_eq!(kind(ConvSpec { groups: 3, ..good }), shape);
    assert_eq!(kind(ConvSpec { groups: 0, ..good }), shape);
    assert_eq!(kind(ConvSpec { bias: &[0; 7], ..good }), shape);
    assert_eq!(kind(ConvSpec { window: Window::square(5, 1, 0), ..good }), shape);
    assert_eq!(kind(ConvSpec { window: Window::square(1, 0, 0), ..good }), shape);
    for bias in [i32::MAX, i32::MIN] {
        let spec = ConvSpec { bias: &[bias; 8], ..good };
        assert_eq!(kind(spec), Some(KernelErrorKind::Overflow));
    }
    let empty = Map { height: 0, width: 4, channels: 16 };
    assert_eq!(kind(ConvSpec { input: empty, ..good }), shape);
    let far = Window { pad: [2, 2, 0, 0], ..Window::square(1, 1, 0) };
    assert!(MaxPool::new(Kernel::detect(), good.input, far).is_err());
    assert!(Gemm::new(Kernel::detect(), &[1, 2, 3], &[0, 0], 0).is_err());
}

#[test]
fn kernels_have_names() {
    for kernel in Kernel::available() {
        assert_eq!(kernel.to_string().parse(), Ok(kernel));
    }
    let error = "mmx".parse::<Kernel>().unwrap_err();
    assert_eq!(error.kind(), KernelErrorKind::Unavailable);
    assert!(error.to_string().contains("portable"), "{error}");
}
