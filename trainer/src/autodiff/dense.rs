//! A fully connected layer.

use super::{Matrix, Real, multiply};

/// `y = x Wᵀ + b` for rows x of `inputs` numbers: borrowed parameters.
#[derive(Clone, Copy, Debug)]
pub struct Dense<'a, T> {
    /// W, outputs × inputs.
    pub weights: &'a [T],
    /// b, one per output.
    pub biases: &'a [T],
}

impl<T: Real> Dense<'_, T> {
    /// Length of an input row.
    pub fn inputs(&self) -> usize {
        self.weights.len() / self.biases.len()
    }

    /// Writes the outputs without the biases, which the caller adds with what it does to each output
    /// anyway.
    pub fn forward_unbiased(&self, rows: &[T], out: &mut [T]) {
        let inputs = self.inputs();
        multiply(out, Matrix::new(rows, inputs), Matrix::new(self.weights, inputs).t(), false);
    }

    /// Writes the outputs.
    pub fn forward(&self, rows: &[T], out: &mut [T]) {
        self.forward_unbiased(rows, out);
        for row in out.chunks_exact_mut(self.biases.len()) {
            row.iter_mut().zip(self.biases).for_each(|(y, &b)| *y += b);
        }
    }

    /// The gradient with respect to the input, `dx = dy W`.
    pub fn backward(&self, gradient: &[T], out: &mut [T]) {
        let weights = Matrix::new(self.weights, self.inputs());
        multiply(out, Matrix::new(gradient, self.biases.len()), weights, false);
    }

    /// Adds the gradients with respect to the parameters, `dW += dyᵀ x` and `db += Σ dy`.
    pub fn backward_parameters(rows: &[T], gradient: &[T], weights: &mut [T], biases: &mut [T]) {
        let inputs = weights.len() / biases.len();
        let transposed = Matrix::new(gradient, biases.len()).t();
        multiply(weights, transposed, Matrix::new(rows, inputs), true);
        for row in gradient.chunks_exact(biases.len()) {
            biases.iter_mut().zip(row).for_each(|(sum, &g)| *sum += g);
        }
    }
}
