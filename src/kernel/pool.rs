//! Pooling on int8 maps: maxima over windows, and exact moments over the whole map.

use std::ops::Range;

use super::choice::Kernel;
use super::error::KernelError;
use super::quantise::{Grid, Multiplier};
use super::window::{Map, Window};

/// Maximum over a sliding window; padding never wins. The grid stays that of the input.
#[derive(Clone, Debug)]
pub struct MaxPool {
    kernel: Kernel,
    input: Map,
    output: Map,
    window: Window,
}

impl MaxPool {
    /// Errors: `Shape` when no window fits, or when one could lie in the padding alone.
    pub fn new(kernel: Kernel, input: Map, window: Window) -> Result<MaxPool, KernelError> {
        let [height, width] = window.output(input)?;
        let pool = MaxPool { kernel, input, output: Map { height, width, ..input }, window };
        let empty_row = (0..height).any(|y| pool.taps(0, y).next().is_none());
        let empty_column = (0..width).any(|x| pool.taps(1, x).next().is_none());
        if empty_row || empty_column {
            return Err(KernelError::shape(format!(
                "padding {:?} leaves a pooling window of {:?} without any value",
                window.pad, window.kernel
            )));
        }
        Ok(pool)
    }

    /// The map that [`MaxPool::run`] makes.
    pub fn output(&self) -> Map {
        self.output
    }

    /// Computes the output rows `rows` from the whole `input` map into `output`, those rows alone.
    ///
    /// Panics when a slice has another length.
    pub fn run(&self, input: &[i8], rows: Range<usize>, output: &mut [i8]) {
        assert_eq!(input.len(), self.input.len(), "length of the input map");
        assert!(rows.end <= self.output.height, "rows {rows:?}");
        assert_eq!(output.len(), rows.len() * self.output.row_len(), "length of the output rows");
        #[cfg(target_arch = "x86_64")]
        if self.kernel.has_avx2() {
            #[target_feature(enable = "avx2")]
            fn avx2(pool: &MaxPool, input: &[i8], rows: Range<usize>, output: &mut [i8]) {
                pool.body(input, rows, output);
            }
            // SAFETY: the kernel proves that the machine has AVX2.
            return unsafe { avx2(self, input, rows, output) };
        }
        self.body(input, rows, output);
    }

    #[inline(always)]
    fn body(&self, input: &[i8], rows: Range<usize>, output: &mut [i8]) {
        let channels = self.input.channels;
        for (y, out_row) in rows.zip(output.chunks_exact_mut(self.output.row_len())) {
            out_row.fill(i8::MIN);
            for iy in self.taps(0, y) {
                let in_row = &input[iy * self.input.row_len()..][..self.input.row_len()];
                for (x, out) in out_row.chunks_exact_mut(channels).enumerate() {
                    for ix in self.taps(1, x) {
                        let values = &in_row[ix * channels..][..channels];
                        for (out, &value) in out.iter_mut().zip(values) {
                            *out = (*out).max(value);
                        }
                    }
                }
            }
        }
    }

    /// Input rows (axis 0) or columns (axis 1) under output row or column `at`, without padding.
    #[inline(always)]
    fn taps(&self, axis: usize, at: usize) -> impl Iterator<Item = usize> + use<> {
        let extent = [self.input.height, self.input.width][axis];
        let (first, dilation) = (at * self.window.stride[axis], self.window.dilation[axis]);
        let pad = self.window.pad[axis];
        (0..self.window.kernel[axis])
            .filter_map(move |k| (first + k * dilation).checked_sub(pad))
            .filter(move |&i| i < extent)
    }
}

/// Exact sums over all pixels of a map, per channel: what global average pooling and its
/// standard deviation are made of.
///
/// With `n` pixels, `mean = (Σx/n − z)·s` and the unbiased variance is `(n·Σx² − (Σx)²) / (n·(n−1)) · s²`,
/// which the zero point `z` does not enter.
#[derive(Clone, Debug, Default)]
pub struct Moments {
    pixels: usize,
    sum: Vec<i32>,
    sum_sq: Vec<i32>,
}

impl Moments {
    /// Most pixels of a map: `2¹⁷ − 1` squares of at most `2¹⁴` stay below `2³¹`.
    pub const MOST_PIXELS: usize = (1 << 17) - 1;

    /// Room for the moments of maps with `channels` channels.
    pub fn new(channels: usize) -> Moments {
        Moments { pixels: 0, sum: vec![0; channels], sum_sq: vec![0; channels] }
    }

    /// Takes the sums over `map`, of the shape `[pixels][channels]`.
    ///
    /// Panics when the map is empty, not made of whole pixels, or has more than
    /// [`MOST_PIXELS`](Moments::MOST_PIXELS).
    pub fn take(&mut self, kernel: Kernel, map: &[i8]) {
        let channels = self.sum.len();
        assert!(!map.is_empty() && map.len().is_multiple_of(channels), "length of the map");
        self.pixels = map.len() / channels;
        assert!(self.pixels <= Self::MOST_PIXELS, "{} pixels", self.pixels);
        self.sum.fill(0);
        self.sum_sq.fill(0);
        #[cfg(target_arch = "x86_64")]
        if kernel.has_avx2() {
            #[target_feature(enable = "avx2")]
            fn avx2(moments: &mut Moments, map: &[i8]) {
                moments.body(map);
            }
            // SAFETY: the kernel proves that the machine has AVX2.
            return unsafe { avx2(self, map) };
        }
        let _ = kernel;
        self.body(map);
    }

    #[inline(always)]
    fn body(&mut self, map: &[i8]) {
        for pixel in map.chunks_exact(self.sum.len()) {
            for ((sum, sum_sq), &x) in self.sum.iter_mut().zip(&mut self.sum_sq).zip(pixel) {
                *sum += i32::from(x);
                *sum_sq += i32::from(x) * i32::from(x);
            }
        }
    }

    /// Pixels that were summed.
    pub fn pixels(&self) -> usize {
        self.pixels
    }

    /// `Σ x` of each channel, zero point included.
    pub fn sum(&self) -> &[i32] {
        &self.sum
    }

    /// `Σ x²` of each channel, zero point included.
    pub fn sum_sq(&self) -> &[i32] {
        &self.sum_sq
    }

    /// `Σ (x − zero_point)` of each channel: the mean in units of `s / pixels`.
    pub fn centred(&self, zero_point: i8) -> impl Iterator<Item = i32> {
        let offset = self.pixels as i32 * i32::from(zero_point);
        self.sum.iter().map(move |sum| sum - offset)
    }

    /// `n·Σx² − (Σx)²` of each channel: the unbiased variance in units of `s² / (n·(n−1))`.
    pub fn spread(&self) -> impl Iterator<Item = i64> {
        let n = self.pixels as i64;
        self.sum
            .iter()
            .zip(&self.sum_sq)
            .map(move |(&sum, &sum_sq)| n * i64::from(sum_sq) - i64::from(sum) * i64::from(sum))
    }

    /// Global average pooling as `QuantizeLinear(GlobalAveragePool(DequantizeLinear(x)))` defines it:
    /// `y = output.quantise(f32(Σ (x − zero_point)) · m)`, with `m = s_input / (pixels · s_output)`.
    ///
    /// Panics when `output` has not one value per channel.
    pub fn quantise(&self, zero_point: i8, m: Multiplier, grid: Grid, output: &mut [i8]) {
        assert_eq!(output.len(), self.sum.len(), "length of the pooled vector");
        for (out, sum) in output.iter_mut().zip(self.centred(zero_point)) {
            *out = grid.quantise(sum as f32 * m.get());
        }
    }
}
