//! The gradient of a stack with respect to its rows, for the sampler: in `f32`, with weights that stay the
//! same over many calls.
//!
//! Weights are packed once, in tiles of outputs ([`Shape`]). Numbers of examples lie in panels: a panel has
//! two SIMD vectors of examples, one example per lane, and all features of these, feature by feature. A tile
//! of a product stays in registers from the first input to the last, and is written, after biases and
//! activation, exactly where and how the next product reads it.

use pulp::{Arch, Simd, WithSimd};

use super::{Layout, SLOPE, Stack};

/// Vectors of examples of a panel.
const VECTORS: usize = 2;
/// Floats of a cache line.
const LINE: usize = 16;

/// A stack's weights, packed, and the factor that its gradient is multiplied by.
#[derive(Debug)]
pub struct Fused {
    arch: Arch,
    shape: Shape,
    /// Of all layers but the last.
    layers: Vec<PackedLayer>,
    /// Which layer is applied when, without the last.
    order: Vec<usize>,
    /// Weights of the last layer times the factor, tile by tile.
    last: Vec<f32>,
}

/// What suits a processor.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// Examples of a panel.
    examples: usize,
    /// Outputs of a tile: with two vectors of examples, 12 sums where there are 16 registers, 16 where
    /// there are 32. Either covers the latency of a multiply-add, and 16 needs fewer loads for each.
    tile: usize,
    /// Inputs that a product sums up before it goes on to the next tile.
    ///
    /// With AVX2, the weights of a tile (6 KB) and a panel's numbers (16 KB) fit in the first cache together.
    /// With AVX-512 they would not, and a second cache feeds these tiles faster than sums can be put aside.
    slab: usize,
}

/// Whether sums take 32 registers.
const fn is_wide<S: Simd>() -> bool {
    S::REGISTER_COUNT >= 32
}

impl WithSimd for GetShape {
    type Output = Shape;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Shape {
        let (tile, slab) = if is_wide::<S>() { (8, usize::MAX) } else { (6, 256) };
        Shape { examples: VECTORS * S::F32_LANES, tile, slab }
    }
}

struct GetShape;

#[derive(Debug)]
struct PackedLayer {
    forward: Factor,
    backward: Factor,
    /// Filled up to whole tiles.
    biases: Vec<f32>,
}

/// The constant factor of a product: for each tile of outputs, for each input, the weights of the tile.
#[derive(Debug)]
struct Factor {
    inputs: usize,
    /// In whole tiles.
    padded: usize,
    weights: Lines,
}

/// Buffers of one block of rows.
#[derive(Clone, Debug, Default)]
pub struct Panels {
    rows: Lines,
    /// Outputs of each application but the last two, after leaky ReLU.
    activations: Vec<Lines>,
    /// Gradients behind the application that is looked at, and before it.
    gradients: [Lines; 2],
}

impl Fused {
    /// Whether this processor has vectors that the products are made for (AVX2 with FMA, NEON).
    pub fn is_vectorised() -> bool {
        Arch::new().dispatch(GetShape).examples > VECTORS
    }

    /// Packs a stack; gradients are `scale` times those of its numbers.
    ///
    /// Panics when the stack applies fewer than two layers.
    pub fn new(stack: &Stack<f32>, scale: f32) -> Fused {
        Fused::packed(Arch::new(), stack, scale)
    }

    fn packed(arch: Arch, stack: &Stack<f32>, scale: f32) -> Fused {
        let layout: &Layout = stack.layout();
        let parameters = stack.parameters();
        let order = layout.order();
        assert!(order.len() > 1, "a stack of two or more layers");
        let shape = arch.dispatch(GetShape);
        let all: Vec<_> = layout.layers().collect();
        let (last, inner) = all.split_last().expect("a stack has layers");
        let layers = inner.iter().map(|(inputs, outputs, weights, biases)| {
            let (inputs, outputs, w) = (*inputs, *outputs, &parameters[weights.clone()]);
            let mut padded = parameters[biases.clone()].to_vec();
            padded.resize(outputs.next_multiple_of(shape.tile), 0.0);
            PackedLayer {
                forward: Factor::new(inputs, outputs, shape.tile, |i, o| w[o * inputs + i]),
                backward: Factor::new(outputs, inputs, shape.tile, |i, o| w[i * inputs + o]),
                biases: padded,
            }
        });
        let mut scaled: Vec<f32> = parameters[last.2.clone()].iter().map(|w| scale * w).collect();
        scaled.resize(last.0.next_multiple_of(shape.tile), 0.0);
        Fused {
            arch,
            shape,
            layers: layers.collect(),
            order: order[..order.len() - 1].to_vec(),
            last: scaled,
        }
    }

    /// Writes the gradient with respect to each of the rows. A row's gradient does not depend on the
    /// others.
    pub fn gradient(&self, rows: &[f32], panels: &mut Panels, out: &mut [f32]) {
        let width = self.layers[self.order[0]].forward.inputs;
        assert_eq!(rows.len(), out.len(), "as many gradients as rows");
        let examples = self.shape.examples;
        let count = (rows.len() / width).div_ceil(examples);
        let Panels { rows: input, activations, gradients: [after, before] } = panels;
        self.pack(rows, width, input.resized(count * examples * width));
        let applications = self.order.len();
        activations.resize_with(applications - 1, Lines::default);
        for (i, &index) in self.order.iter().enumerate() {
            let layer = &self.layers[index];
            let (known, next) = activations.split_at_mut(i);
            let input = known.last().unwrap_or(input).floats();
            let biases = &layer.biases[..];
            // The last activations count for the gradient by their signs only.
            let (out, epilogue) = match next.first_mut() {
                Some(next) => (next, Epilogue::Activate { biases }),
                None => (&mut *after, Epilogue::Turn { biases, last: &self.last }),
            };
            self.multiply(&layer.forward, count, input, out, epilogue);
        }
        for (i, &index) in self.order.iter().enumerate().rev() {
            let epilogue = match i {
                0 => Epilogue::None,
                _ => Epilogue::Mask { outputs: activations[i - 1].floats() },
            };
            self.multiply(&self.layers[index].backward, count, after.floats(), before, epilogue);
            std::mem::swap(after, before);
        }
        self.unpack(after.floats(), width, out);
    }

    fn multiply(
        &self,
        factor: &Factor,
        panels: usize,
        input: &[f32],
        out: &mut Lines,
        epilogue: Epilogue,
    ) {
        let out = out.resized(panels * self.shape.examples * factor.padded);
        let slab = self.shape.slab;
        self.arch.dispatch(Product { factor, panels, slab, input, out, epilogue });
    }

    /// Rows to panels; examples that fill up the last panel keep what was there, which goes nowhere.
    fn pack(&self, rows: &[f32], width: usize, panels: &mut [f32]) {
        let size = self.shape.examples * width;
        for (rows, panel) in rows.chunks(size).zip(panels.chunks_exact_mut(size)) {
            for (example, row) in rows.chunks_exact(width).enumerate() {
                let lane = panel[example..].iter_mut().step_by(self.shape.examples);
                lane.zip(row).for_each(|(to, &x)| *to = x);
            }
        }
    }

    /// Panels of padded rows to rows.
    fn unpack(&self, panels: &[f32], width: usize, rows: &mut [f32]) {
        let Shape { examples, tile, .. } = self.shape;
        let padded = examples * width.next_multiple_of(tile);
        for (rows, panel) in rows.chunks_mut(examples * width).zip(panels.chunks_exact(padded)) {
            for (example, row) in rows.chunks_exact_mut(width).enumerate() {
                let lane = panel[example..].iter().step_by(self.shape.examples);
                row.iter_mut().zip(lane).for_each(|(to, &x)| *to = x);
            }
        }
    }
}

impl Factor {
    fn new(
        inputs: usize,
        outputs: usize,
        tile: usize,
        weight: impl Fn(usize, usize) -> f32,
    ) -> Factor {
        let padded = outputs.next_multiple_of(tile);
        let mut weights = Lines::default();
        let packed = weights.resized(inputs * padded);
        for (first, weights) in (0..).step_by(tile).zip(packed.chunks_exact_mut(inputs * tile)) {
            for (input, weights) in weights.chunks_exact_mut(tile).enumerate() {
                for (output, to) in (first..outputs).zip(weights) {
                    *to = weight(input, output);
                }
            }
        }
        Factor { inputs, padded, weights }
    }
}

/// Floats that begin at a cache line, so that no vector lies in two.
#[derive(Clone, Debug, Default)]
struct Lines(Vec<f32>);

impl Lines {
    /// The same buffer with `len` floats; what they are is left open, but new ones are 0.
    fn resized(&mut self, len: usize) -> &mut [f32] {
        self.0.resize(len + LINE - 1, 0.0);
        let start = self.start();
        &mut self.0[start..start + len]
    }

    fn floats(&self) -> &[f32] {
        &self.0[self.start()..][..self.0.len() + 1 - LINE]
    }

    fn start(&self) -> usize {
        self.0.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE - 1)
    }
}

/// What happens to the sums of a tile before they are written.
#[derive(Clone, Copy)]
enum Epilogue<'a> {
    None,
    /// Leaky ReLU of the sums plus biases.
    Activate {
        biases: &'a [f32],
    },
    /// The gradient before leaky ReLU when `last` is that behind it.
    Turn {
        biases: &'a [f32],
        last: &'a [f32],
    },
    /// The gradient before leaky ReLU, whose outputs these are, when the sums are that behind it.
    Mask {
        outputs: &'a [f32],
    },
}

/// One layer on some panels, in one direction.
struct Product<'a> {
    factor: &'a Factor,
    panels: usize,
    slab: usize,
    input: &'a [f32],
    out: &'a mut [f32],
    epilogue: Epilogue<'a>,
}

// Closures would be compiled without the instructions that the caller has been given: hence plain loops.
impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match is_wide::<S>() {
            true => self.run::<S, 8>(simd),
            false => self.run::<S, 6>(simd),
        }
    }
}

impl Product<'_> {
    /// With tiles of N outputs.
    #[inline(always)]
    fn run<S: Simd, const N: usize>(self, simd: S) {
        let Product { factor, panels, slab, input, out, epilogue } = self;
        let (inputs, padded) = (factor.inputs, factor.padded);
        let weights = factor.weights.floats().as_chunks::<N>().0;
        // A panel's stride is the padded width of whatever wrote it.
        let stride = input.len() / (panels * VECTORS * S::F32_LANES);
        let input = S::as_simd_f32s(input).0.as_chunks::<VECTORS>().0;
        let out = S::as_mut_simd_f32s(out).0.as_chunks_mut::<VECTORS>().0;
        let tiles = padded / N;
        for from in (0..inputs).step_by(slab.min(inputs)) {
            let to = inputs.min(from.saturating_add(slab));
            let epilogue = if to == inputs { epilogue } else { Epilogue::None };
            for i in 0..tiles * panels {
                // In slabs, a tile's weights stay in the first cache; else, a panel in the second.
                let (tile, panel) = match slab < inputs {
                    true => (i / panels, i % panels),
                    false => (i % tiles, i / tiles),
                };
                let weights = &weights[tile * inputs..][from..to];
                let x = &input[panel * stride..][from..to];
                let at = panel * padded + tile * N;
                let out = &mut out[at..at + N];
                let mut sums = [[simd.splat_f32s(0.0); VECTORS]; N];
                if from > 0 {
                    sums.copy_from_slice(out);
                }
                let sums = add(simd, weights, x, sums);
                finish(simd, epilogue, tile * N, at, sums, out);
            }
        }
    }
}

type Tile<S, const N: usize> = [[<S as Simd>::f32s; VECTORS]; N];

/// Adds the products of these inputs.
#[allow(clippy::needless_range_loop)] // As in `finish`.
#[inline(always)]
fn add<S: Simd, const N: usize>(
    simd: S,
    weights: &[[f32; N]],
    input: &[[S::f32s; VECTORS]],
    mut sums: Tile<S, N>,
) -> Tile<S, N> {
    for (weights, x) in weights.iter().zip(input) {
        for r in 0..N {
            let weight = simd.splat_f32s(weights[r]);
            for v in 0..VECTORS {
                sums[r][v] = simd.mul_add_f32s(weight, x[v], sums[r][v]);
            }
        }
    }
    sums
}

/// Writes the tile whose first output is `output`, which lies at `at` in its buffer.
#[allow(clippy::needless_range_loop)] // All indices are constants once the loops are unrolled.
#[inline(always)]
fn finish<S: Simd, const N: usize>(
    simd: S,
    epilogue: Epilogue,
    output: usize,
    at: usize,
    sums: Tile<S, N>,
    out: &mut [[S::f32s; VECTORS]],
) {
    let slope = simd.splat_f32s(SLOPE as f32);
    let zero = simd.splat_f32s(0.0);
    for r in 0..N {
        for v in 0..VECTORS {
            let sum = sums[r][v];
            out[r][v] = match epilogue {
                Epilogue::None => sum,
                Epilogue::Activate { biases } => {
                    let y = simd.add_f32s(sum, simd.splat_f32s(biases[output + r]));
                    simd.max_f32s(y, simd.mul_f32s(y, slope))
                }
                Epilogue::Turn { biases, last } => {
                    let y = simd.add_f32s(sum, simd.splat_f32s(biases[output + r]));
                    let gradient = simd.splat_f32s(last[output + r]);
                    let low = simd.mul_f32s(gradient, slope);
                    simd.select_f32s(simd.greater_than_f32s(y, zero), gradient, low)
                }
                Epilogue::Mask { outputs } => {
                    let y = S::as_simd_f32s(outputs).0[(at + r) * VECTORS + v];
                    let low = simd.mul_f32s(sum, slope);
                    simd.select_f32s(simd.greater_than_f32s(y, zero), sum, low)
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use oddsight::random::Random;

    use super::*;
    use crate::autodiff::Trace;

    fn draw(random: &mut Random, count: usize) -> Vec<f32> {
        (0..count).map(|_| random.range(-1.0, 1.0) as f32).collect()
    }

    /// The instruction sets of this machine, not the best alone.
    fn archs() -> Vec<Arch> {
        let mut archs = vec![Arch::Scalar, Arch::new()];
        #[cfg(target_arch = "x86_64")]
        archs.extend(pulp::x86::V3::try_new().map(Arch::V3));
        archs
    }

    /// Inputs and outputs of each layer, and the order in which they are applied.
    type Sizes<'a> = (&'a [(usize, usize)], &'a [usize]);

    /// Tied, untied and tapering stacks of widths that are no whole tiles, for rows that are no whole panels.
    #[test]
    fn gradients_are_those_of_the_stack() {
        let mut random = Random::new(1);
        let stacks: [Sizes; 7] = [
            (&[(3, 1), (1, 1)], &[0, 1]),
            (&[(5, 13), (13, 1)], &[0, 1]),
            // More inputs than a slab has, in both directions.
            (&[(300, 270), (270, 1)], &[0, 1]),
            (&[(7, 1), (1, 1), (1, 1)], &[0, 1, 1, 2]),
            (&[(4, 18), (18, 18), (18, 1)], &[0, 1, 1, 1, 1, 2]),
            (&[(19, 25), (25, 25), (25, 25), (25, 1)], &[0, 1, 2, 3]),
            (&[(9, 16), (16, 16), (16, 16), (16, 8), (8, 1)], &[0, 1, 2, 3, 4]),
        ];
        let mut panels = Panels::default();
        for (sizes, order) in stacks {
            let layout = Layout::new(sizes, order.to_vec());
            let parameters = draw(&mut random, layout.parameters());
            let width = layout.width();
            let stack = Stack::new(layout, parameters);
            for (arch, count) in archs().into_iter().flat_map(|a| [1, 16, 37].map(|n| (a, n))) {
                let fused = Fused::packed(arch, &stack, 0.25);
                let rows = draw(&mut random, count * width);
                let mut expected = vec![0.0; rows.len()];
                let mut trace = Trace::default();
                stack.forward(&rows, &mut trace);
                stack.backward(&mut trace, 0.25, &mut expected);
                let mut found = vec![f32::NAN; rows.len()];
                fused.gradient(&rows, &mut panels, &mut found);
                let largest = expected.iter().fold(0f32, |most, x| most.max(x.abs()));
                for (found, expected) in found.iter().zip(&expected) {
                    let off = (found - expected).abs();
                    assert!(
                        off <= 1e-5 * largest,
                        "{sizes:?}, {arch:?}: {found} instead of {expected}"
                    );
                }
                let mut alone = vec![0.0; width];
                let last = rows.len() - width;
                fused.gradient(&rows[last..], &mut panels, &mut alone);
                assert_eq!(alone, found[last..], "a row alone");
            }
        }
    }
}
