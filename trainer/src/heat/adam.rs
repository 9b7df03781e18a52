//! Adam (Kingma and Ba 2015), without weight decay.

use crate::autodiff::Real;

const EPSILON: f64 = 1e-8;

/// Moments of the gradients so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Adam<T> {
    /// Decay of the first and of the second moment.
    pub betas: [f64; 2],
    /// First moments, one per parameter.
    pub first: Vec<T>,
    /// Second moments.
    pub second: Vec<T>,
    /// Steps taken.
    pub updates: u64,
}

impl<T: Real> Adam<T> {
    /// One step against `gradient`, with the moments' bias corrected (algorithm 1 of the paper).
    pub fn step(&mut self, parameters: &mut [T], gradient: &[T], learning_rate: f64) {
        self.updates += 1;
        let [beta1, beta2] = self.betas;
        let correction = |beta: f64| 1.0 - beta.powf(self.updates as f64);
        let step = T::of(learning_rate / correction(beta1));
        let second_scale = T::of(correction(beta2).sqrt().recip());
        let ([b1, c1], [b2, c2]) =
            ([beta1, 1.0 - beta1].map(T::of), [beta2, 1.0 - beta2].map(T::of));
        let epsilon = T::of(EPSILON);
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((p, &g), (m, v)) in parameters.iter_mut().zip(gradient).zip(moments) {
            *m = *m * b1 + g * c1;
            *v = *v * b2 + g * g * c2;
            *p -= step * *m / (v.sqrt() * second_scale + epsilon);
        }
    }
}
