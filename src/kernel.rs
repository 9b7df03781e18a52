//! Int8 kernels: convolution with everything that follows it, pooling, addition, the final product.
//!
//! **Maps.** An activation map is NHWC, one `i8` per value, one zero point per map; every function
//! here works on one image. An unsigned map with zero point `z` is the same map stored as `i8` with
//! zero point `z − 128`: flip the top bit once at the border. Weights are symmetric `i8` with one scale
//! per output channel; the whole range −128..=127 is exact.
//!
//! **Numbers.** Products are summed exactly in `i32` (a plan whose sums could leave `i32` is refused).
//! What happens to a sum afterwards is defined once, in [`Grid`]; the operations are IEEE-exact and
//! never fused, so each kernel returns the same bytes as the scalar reference, on every
//! instruction set and for every split into rows.
//!
//! **Plans.** [`Conv`], [`Gemm`], [`Add`] and [`MaxPool`] check shapes and numbers and pack weights
//! once. Running a plan neither allocates nor fails; only a slice of the wrong length panics, which
//! is a mistake of the caller and not of a model.

#![allow(
    clippy::needless_range_loop,
    reason = "an index of pixels or lanes runs over several arrays"
)]

mod band;
mod choice;
mod conv;
mod elementwise;
mod error;
mod gemm;
mod isa;
mod pack;
mod planes;
mod pool;
mod portable;
mod quantise;
mod reference;
#[cfg(test)]
mod tests;
mod wide;
mod window;
mod winograd;

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "arm")]
mod armv7;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

pub use band::Scratch;
pub use choice::Kernel;
pub use conv::{Conv, ConvSpec};
pub use elementwise::{Add, requantise_table};
pub use error::{KernelError, KernelErrorKind};
pub use gemm::Gemm;
pub(crate) use pack::check_sums;
pub use planes::{Leaky, Planes};
pub use pool::{MaxPool, Moments};
pub use quantise::{Grid, Multiplier, Residual};
pub use wide::{Triangle, squared_distances};
pub use window::{Map, Window};
