//! Reverse-mode differentiation of what the heads are made of.
//!
//! An explicit one: each operation has a forward function, and a backward function that takes what came
//! out and the gradient with respect to it, and gives the gradient with respect to what went in, or adds
//! the one with respect to parameters. There is no tape and no graph: a caller writes the operations down
//! twice, once in each direction, and sees every buffer.
//!
//! Everything is generic over [`Real`]: training runs in `f32`, the tests hold each operation to finite
//! differences in `f64`. The exception is [`Fused`], a faster form of a stack's gradient in `f32`, which is
//! held to the stack. Matrices are slices, row by row; a row is one example.

mod dense;
mod fused;
mod leaky_relu;
mod log_sum_exp;
mod mixture;
mod product;
mod spectral;
mod stack;
#[cfg(test)]
mod tests;
mod unit;

pub use dense::Dense;
pub use fused::{Fused, Panels};
pub use leaky_relu::{SLOPE, leaky_relu, leaky_relu_backward};
pub use log_sum_exp::{log_sum_exp, log_sum_exp_backward};
pub use mixture::{Mixture, MixtureScratch, Pull};
pub use product::{Matrix, multiply};
pub use spectral::{LIMIT as SPECTRAL_LIMIT, Spectral};
pub use stack::{Layout, Stack, Trace};
pub use unit::unit;

use std::iter::Sum;
use std::ops::{AddAssign, DivAssign, MulAssign, SubAssign};

/// A real number to train in: `f32` or `f64`.
pub trait Real:
    num_traits::Float
    + Default
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + Sum
    + Send
    + Sync
    + std::fmt::Debug
    + 'static
{
    /// The nearest number of this type.
    fn of(x: f64) -> Self;
    /// The same number, exactly.
    fn wide(self) -> f64;
}

impl Real for f32 {
    fn of(x: f64) -> f32 {
        x as f32
    }

    fn wide(self) -> f64 {
        self.into()
    }
}

impl Real for f64 {
    fn of(x: f64) -> f64 {
        x
    }

    fn wide(self) -> f64 {
        self
    }
}
