//! Arithmetic on rows, in an order that never changes.

/// Independent partial sums: without them every addition waits for the one before. Their number is
/// part of the result, so it is the same on every machine.
const LANES: usize = 8;

/// A norm below this is taken for this, so that an all-zero row stays zero.
const SMALLEST_NORM: f64 = 1e-12;

/// Writes `features` to `out`, divided by `max(‖features‖₂, 1e-12)` when `normalize` is set.
///
/// Fitting and scoring share this: heads that normalise see exactly these rows.
pub fn project(features: &[f64], normalize: bool, out: &mut Vec<f64>) {
    out.clear();
    out.extend_from_slice(features);
    if normalize {
        let norm = dot(out, out).sqrt().max(SMALLEST_NORM);
        out.iter_mut().for_each(|x| *x /= norm);
    }
}

/// Sum of the products of two rows of one length.
pub(super) fn dot<T: Copy + Into<f64>>(a: &[f64], b: &[T]) -> f64 {
    sum_of(a, b, |x, y| x * y.into())
}

/// Squared Euclidean distance of two rows of one length.
pub(super) fn squared_distance<T: Copy + Into<f64>>(a: &[f64], b: &[T]) -> f64 {
    sum_of(a, b, |x, y| {
        let d = x - y.into();
        d * d
    })
}

fn sum_of<T: Copy>(a: &[f64], b: &[T], term: impl Fn(f64, T) -> f64) -> f64 {
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..LANES {
            sums[lane] += term(x[lane], y[lane]);
        }
    }
    for (sum, (&x, &y)) in sums.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *sum += term(x, y);
    }
    sums.iter().fold(0.0, |total, sum| total + sum)
}

/// Index of the smallest value; the first of equals, `None` of nothing.
pub(super) fn argmin(values: &[f64]) -> Option<u32> {
    let mut best: Option<usize> = None;
    for (i, value) in values.iter().enumerate() {
        if best.is_none_or(|b| *value < values[b]) {
            best = Some(i);
        }
    }
    best.and_then(|i| u32::try_from(i).ok())
}

/// The largest value; −∞ of nothing. Comparisons, because `f64::max` of +0 and −0 is either.
pub(super) fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::NEG_INFINITY, |largest, x| if x > largest { x } else { largest })
}

/// `log Σ exp(values)` of at least one value, stable: the largest is taken out of the sum.
pub(super) fn log_sum_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = largest(values.clone());
    largest + libm::log(values.fold(0.0, |sum, value| sum + libm::exp(value - largest)))
}
