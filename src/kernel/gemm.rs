//! The product of a weight matrix with a vector of bytes or of 16-bit words: fully connected layers.

use super::band::{Activation, Scratch};
use super::choice::{Engine, Kernel, WordProduct};
use super::error::KernelError;
use super::isa::{End, Isa, MAX_WIDTH, Tile, dispatch};
use super::pack::{Panels, Reduction, check_sums, fold_bias};
use super::planes::Planes;

/// A fully connected layer with exact 32-bit results, in units of `s_input · s_weight[row]`.
pub struct Gemm {
    rows: usize,
    columns: usize,
    body: Body,
    /// Multiplies 16-bit words at once: where the instruction set does, the sums stay within 32 bits, and
    /// nothing is added to them.
    words: Option<WordProduct>,
}

enum Body {
    Reference { weights: Vec<i8>, bias: Vec<i32>, input_zero_point: i8 },
    Packed { engine: Engine, panels: Panels },
}

impl Gemm {
    /// Packs `weights` (`[rows][columns]`, as in ONNX's `Gemm` with `transB = 1`) for `kernel`; `bias`
    /// has one value per row.
    ///
    /// Errors: `Shape` when sizes do not fit together, `Overflow` when a sum could leave 32 bits.
    pub fn new(
        kernel: Kernel,
        weights: &[i8],
        bias: &[i32],
        input_zero_point: i8,
    ) -> Result<Gemm, KernelError> {
        let rows = bias.len();
        if rows == 0 || weights.is_empty() || !weights.len().is_multiple_of(rows) {
            let message = format!("{} weights do not make {rows} rows", weights.len());
            return Err(KernelError::shape(message));
        }
        check_sums(weights, bias, input_zero_point)?;
        let columns = weights.len() / rows;
        let engine = kernel.engine(weights.contains(&i8::MIN));
        let sums_fit = weights.chunks_exact(columns).all(|row| {
            let size: i64 = row.iter().map(|&w| i64::from(w).abs()).sum();
            size * (Planes::LIMIT + 1) <= i64::from(i32::MAX)
        });
        let is_plain = input_zero_point == 0 && bias.iter().all(|&bias| bias == 0);
        let words = engine.and_then(|engine| engine.words).filter(|_| sums_fit && is_plain);
        let body = match engine {
            None => {
                Body::Reference { weights: weights.to_vec(), bias: bias.to_vec(), input_zero_point }
            }
            Some(engine) => {
                let from = Reduction {
                    runs: 1,
                    run_len: columns,
                    weight: |row, _, column| i16::from(weights[row * columns + column]),
                    bias: &fold_bias(
                        weights,
                        bias,
                        i32::from(input_zero_point) + engine.layout.offset,
                    ),
                    multipliers: &vec![1.0; rows],
                };
                Body::Packed { engine, panels: Panels::new(engine.layout, rows, 1, &from) }
            }
        };
        Ok(Gemm { rows, columns, body, words })
    }

    /// Results of [`Gemm::run`].
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Values of an input vector.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Grows `scratch` to what [`Gemm::run`] and [`Gemm::run_planes`] need, so that running does not
    /// allocate.
    pub fn reserve(&self, scratch: &mut Scratch) {
        if let Body::Packed { engine, panels } = &self.body {
            (engine.reserve)(scratch, 2 * panels.groups * engine.layout.group);
        }
    }

    /// `output[row] = bias[row] + Σ (input[column] − zero_point) · weights[row][column]`.
    ///
    /// Panics when a slice has another length, and when `scratch` was not [reserved](Gemm::reserve).
    pub fn run(&self, input: &[i8], output: &mut [i32], scratch: &mut Scratch) {
        self.run_each(&[input], &mut [output], false, scratch);
    }

    /// The product with a vector of 16-bit words: `256 · output[0][row] + output[1][row]` is the sum of a
    /// row, without its bias and zero point. One pass over the weights, which take longer to read than to
    /// multiply. It goes `backwards` if wanted: who runs one layer several times and turns each time finds in the
    /// first cache what was read last.
    ///
    /// Panics as [`Gemm::run`] does.
    pub fn run_planes(
        &self,
        input: &Planes,
        outputs: [&mut [i32]; 2],
        backwards: bool,
        scratch: &mut Scratch,
    ) {
        let [high, low] = outputs;
        let Planes { high: input_high, low: input_low } = input;
        match (&self.body, self.words) {
            (Body::Packed { panels, .. }, Some(words)) => {
                assert_eq!([input_high.len(), input_low.len()], [self.columns; 2], "input");
                assert_eq!([high.len(), low.len()], [self.rows; 2], "output");
                high.fill(0);
                // SAFETY: as in `run_each`.
                unsafe { words(panels, input, low, backwards, scratch) }
            }
            _ => self.run_each(&[input_high, input_low], &mut [high, low], backwards, scratch),
        }
    }

    fn run_each(
        &self,
        inputs: &[&[i8]],
        outputs: &mut [&mut [i32]],
        backwards: bool,
        scratch: &mut Scratch,
    ) {
        for (input, output) in inputs.iter().zip(&*outputs) {
            assert_eq!(input.len(), self.columns, "length of the input vector");
            assert_eq!(output.len(), self.rows, "length of the output vector");
        }
        match &self.body {
            Body::Reference { weights, bias, input_zero_point } => {
                for (input, output) in inputs.iter().zip(outputs) {
                    let rows = weights.chunks_exact(self.columns).zip(bias);
                    for (out, (row, bias)) in output.iter_mut().zip(rows) {
                        let products = row.iter().zip(*input).map(|(&w, &x)| {
                            (i32::from(x) - i32::from(*input_zero_point)) * i32::from(w)
                        });
                        *out = bias + products.sum::<i32>();
                    }
                }
            }
            // SAFETY: an engine comes from a kernel that this machine was seen to run.
            Body::Packed { engine, panels } => unsafe {
                (engine.product)(panels, inputs, outputs, backwards, scratch)
            },
        }
    }
}

/// The sums of all panels for one vector or two: a tile has a pixel for each.
///
/// # Safety
/// The caller runs on `S`, and `panels` were packed for it.
pub(super) unsafe fn product<S: Isa>(
    panels: &Panels,
    inputs: &[&[i8]],
    outputs: &mut [&mut [i32]],
    backwards: bool,
    scratch: &mut Scratch,
) {
    let padded = panels.groups * S::LAYOUT.group;
    let band = &mut S::X::buffer(scratch)[..inputs.len() * padded];
    for (band, input) in band.chunks_exact_mut(padded).zip(inputs) {
        for (to, &x) in band.iter_mut().zip(*input) {
            *to = S::X::from_i8(x, S::LAYOUT.offset);
        }
    }
    // SAFETY: the caller's promise.
    unsafe { sums::<S>(panels, band, outputs, backwards) }
}

/// The same for a vector of words, which this instruction set multiplies as it does bytes.
///
/// # Safety
/// The caller runs on `S`, and `panels` were packed for it, with sums that stay within 32 bits.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn word_product<S: Isa<X = i16>>(
    panels: &Panels,
    input: &Planes,
    output: &mut [i32],
    backwards: bool,
    scratch: &mut Scratch,
) {
    let band = &mut i16::buffer(scratch)[..panels.groups * S::LAYOUT.group];
    for (to, (&high, &low)) in band.iter_mut().zip(input.high.iter().zip(&input.low)) {
        *to = 256 * i16::from(high) + i16::from(low);
    }
    // SAFETY: the caller's promise.
    unsafe { sums::<S>(panels, band, &mut [output], backwards) }
}

/// The sums of all panels for the vectors in a band, one after the other.
///
/// # Safety
/// As for [`product`].
#[inline(always)]
unsafe fn sums<S: Isa>(
    panels: &Panels,
    band: &[S::X],
    outputs: &mut [&mut [i32]],
    backwards: bool,
) {
    let padded = panels.groups * S::LAYOUT.group;
    let bases = &[0, padded][..outputs.len()];
    let count = outputs[0].len().div_ceil(panels.width);
    for i in 0..count {
        let panel = if backwards { count - 1 - i } else { i };
        let mut sums = [[0i32; MAX_WIDTH]; 2];
        let t = Tile {
            x: band.as_ptr(),
            bases,
            runs: &[0],
            groups: panels.groups,
            weights: panels.weights(panel),
            bias: panels.bias(panel).as_ptr(),
            end: End::Sums { out: sums.as_mut_ptr().cast(), pitch: MAX_WIDTH },
        };
        // SAFETY: the caller runs on S, whose tiles have two pixels or more. The band holds all k-groups of
        // the one run of each vector, `sums` the widest panel for each.
        unsafe { dispatch::<S>(panels.vectors, &t) };
        for (output, sums) in outputs.iter_mut().zip(&sums) {
            let out = &mut output[panel * panels.width..];
            let rows = out.len().min(panels.width);
            out[..rows].copy_from_slice(&sums[..rows]);
        }
    }
}
