//! `max(x, 0.2 x)`.

use super::Real;

/// Slope for negative numbers, as in the authors' code.
pub const SLOPE: f64 = 0.2;

/// Adds the biases to each row and applies the function, in place.
pub fn leaky_relu<T: Real>(rows: &mut [T], biases: &[T]) {
    let slope = T::of(SLOPE);
    for row in rows.chunks_exact_mut(biases.len()) {
        for (x, &bias) in row.iter_mut().zip(biases) {
            let biased = *x + bias;
            let low = biased * slope;
            *x = if biased > low { biased } else { low };
        }
    }
}

/// Turns the gradient with respect to the outputs into that with respect to the inputs, in place. The
/// sign of an output is that of its input. At 0 the slope is that of negative numbers.
pub fn leaky_relu_backward<T: Real>(outputs: &[T], gradient: &mut [T]) {
    let slope = T::of(SLOPE);
    for (g, &y) in gradient.iter_mut().zip(outputs) {
        *g = if y > T::zero() { *g } else { *g * slope };
    }
}
