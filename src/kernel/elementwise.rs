//! Operations on each value alone: addition of two maps, and change of grid.

use super::choice::{Kernel, compiled_for};
use super::quantise::{Grid, Multiplier, scaled};

/// Addition of two maps of one shape, each on a grid of its own:
/// `y = output.quantise(f32(a − z_a) · m_a + f32(b − z_b) · m_b)`.
#[derive(Clone, Copy, Debug)]
pub struct Add {
    /// What runs it.
    pub kernel: Kernel,
    /// Zero point of each operand.
    pub zero_points: [i8; 2],
    /// `s_a / s_output` and `s_b / s_output`.
    pub multipliers: [Multiplier; 2],
    /// The grid of the sum, with the clamp that follows.
    pub output: Grid,
}

impl Add {
    /// Adds `a` and `b` into `output`. Any split into parts gives the same bytes.
    ///
    /// Panics when the lengths differ.
    pub fn run(&self, a: &[i8], b: &[i8], output: &mut [i8]) {
        assert_eq!((a.len(), b.len()), (output.len(), output.len()), "lengths of the maps");
        let add = self;
        compiled_for!(self.kernel, sums, add: &Add, a: &[i8], b: &[i8], output: &mut [i8])
    }
}

/// The loops of [`Add::run`].
#[inline(always)]
fn sums(add: &Add, a: &[i8], b: &[i8], output: &mut [i8]) {
    let ([za, zb], [ma, mb]) = (add.zero_points, add.multipliers);
    for ((out, &a), &b) in output.iter_mut().zip(a).zip(b) {
        *out = add.output.quantise(scaled(a, za, ma) + scaled(b, zb, mb));
    }
}

/// Every value of the change from one grid to another: `y = output.quantise(f32(q − zero_point) · m)`
/// stands at index `q as u8`. `multiplier` is `s_input / s_output`.
pub fn requantise_table(zero_point: i8, multiplier: Multiplier, output: Grid) -> [i8; 256] {
    std::array::from_fn(|q| output.quantise(scaled(q as u8 as i8, zero_point, multiplier)))
}
