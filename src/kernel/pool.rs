//! Pooling on int8 maps: maxima over windows, and exact moments over the whole map.

use std::ops::Range;

use super::choice::{Kernel, compiled_for};
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
        let empty_row = (0..height).any(|y| pool.taps(0, y).1 == 0);
        let empty_column = (0..width).any(|x| pool.taps(1, x).1 == 0);
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
        let pool = self;
        compiled_for!(self.kernel, maxima, pool: &MaxPool, input: &[i8], rows: Range<usize>, output: &mut [i8])
    }

    /// First input row (axis 0) or column (axis 1) under output row or column `at`, and the number of
    /// them, one dilation apart; padding is left out.
    #[inline(always)]
    fn taps(&self, axis: usize, at: usize) -> (usize, usize) {
        let extent = [self.input.height, self.input.width][axis];
        let dilation = self.window.dilation[axis];
        let (corner, pad) = (at * self.window.stride[axis], self.window.pad[axis]);
        let skipped = pad.saturating_sub(corner).div_ceil(dilation);
        let first = corner + skipped * dilation - pad;
        let inside = extent.saturating_sub(first).div_ceil(dilation);
        (first, inside.min(self.window.kernel[axis].saturating_sub(skipped)))
    }
}

/// Channels whose maxima are held in registers.
const CHUNK: usize = 32;

/// The loops of [`MaxPool::run`].
#[inline(always)]
fn maxima(pool: &MaxPool, input: &[i8], rows: Range<usize>, output: &mut [i8]) {
    let channels = pool.input.channels;
    for (y, out_row) in rows.zip(output.chunks_exact_mut(pool.output.row_len())) {
        for (x, out) in out_row.chunks_exact_mut(channels).enumerate() {
            let whole = channels / CHUNK * CHUNK;
            for at in (0..whole).step_by(CHUNK) {
                let most = window_maxima::<CHUNK>(pool, input, [y, x], at);
                out[at..at + CHUNK].copy_from_slice(&most);
            }
            for at in whole..channels {
                out[at] = window_maxima::<1>(pool, input, [y, x], at)[0];
            }
        }
    }
}

/// The maxima under one window of `N` channels from `at` on.
#[inline(always)]
fn window_maxima<const N: usize>(
    pool: &MaxPool,
    input: &[i8],
    [y, x]: [usize; 2],
    at: usize,
) -> [i8; N] {
    let ((top, down), (left, across)) = (pool.taps(0, y), pool.taps(1, x));
    let [dy, dx] = pool.window.dilation;
    let mut most = [i8::MIN; N];
    for iy in (0..down).map(|k| top + k * dy) {
        for ix in (0..across).map(|k| left + k * dx) {
            let pixel = (iy * pool.input.width + ix) * pool.input.channels;
            let values = &input[pixel + at..][..N];
            for i in 0..N {
                most[i] = most[i].max(values[i]);
            }
        }
    }
    most
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
        let moments = self;
        compiled_for!(kernel, sums, moments: &mut Moments, map: &[i8])
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

/// The loops of [`Moments::take`].
#[inline(always)]
fn sums(moments: &mut Moments, map: &[i8]) {
    for pixel in map.chunks_exact(moments.sum.len()) {
        for ((sum, sum_sq), &x) in moments.sum.iter_mut().zip(&mut moments.sum_sq).zip(pixel) {
            *sum += i32::from(x);
            *sum_sq += i32::from(x) * i32::from(x);
        }
    }
}
