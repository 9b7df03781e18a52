//! The one written definition of requantisation.

use super::error::{KernelError, KernelErrorKind};

/// The int8 grid that a result is rounded to, and the part of it that may be used.
///
/// A real number `t`, already divided by the scale of the output, becomes
///
/// ```text
/// y = zero_point + rne(clamp(t, min − zero_point, max − zero_point))
/// ```
///
/// with `rne` rounding to the nearest integer, ties to even. Bounds are integers, so this equals
/// ONNX's `QuantizeLinear` (round, add the zero point, saturate) followed by the clamp; and ReLU followed by
/// `QuantizeLinear` is the same with `min = zero_point`.
///
/// For a convolution with the exact 32-bit sum `acc` (bias included, zero point of the input taken
/// out) and the multiplier `m[c] = s_input · s_weight[c] / s_output`
///
/// ```text
/// t = f32(acc) · m[c]                                          no residual
/// t = f32(acc) · m[c] + f32(r − z_r) · m_r                     Residual::Direct
/// t = f32(q − z_q) · m_q + f32(r − z_r) · m_r                  Residual::Rounded, q from acc on its own grid
/// ```
///
/// where the conversion, each product and each sum are rounded to f32 (ties to even) on their own.
/// [`Multiplier`] keeps every intermediate clear of subnormals, infinities and NaN, so that hardware
/// that flushes subnormals to zero agrees too.
///
/// The float pipeline `DequantizeLinear → Conv → Relu → QuantizeLinear` differs only in how its
/// f32 sums are rounded, a relative error near 2⁻²²: results differ by at most 1, and only next to a tie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    zero_point: i8,
    min: i8,
    max: i8,
}

impl Grid {
    /// The whole range −128..=127 around `zero_point`.
    pub fn new(zero_point: i8) -> Grid {
        Grid { zero_point, min: i8::MIN, max: i8::MAX }
    }

    /// The same grid with results below zero set to zero.
    pub fn relu(self) -> Grid {
        let min = self.min.max(self.zero_point);
        Grid { min, max: self.max.max(min), ..self }
    }

    /// The same grid with results outside `min..=max` (grid values, such as a quantised 6 for
    /// ReLU6) set to the nearer bound. Refuses an empty range.
    pub fn clamp(self, min: i8, max: i8) -> Result<Grid, KernelError> {
        let grid = Grid { min: self.min.max(min), max: self.max.min(max), ..self };
        if grid.min > grid.max {
            return Err(KernelError::new(
                KernelErrorKind::Scale,
                format!("the output range {}..={} is empty", grid.min, grid.max),
            ));
        }
        Ok(grid)
    }

    /// The grid value that stands for 0.
    pub fn zero_point(&self) -> i8 {
        self.zero_point
    }

    /// Smallest value of a result.
    pub fn min(&self) -> i8 {
        self.min
    }

    /// Largest value of a result.
    pub fn max(&self) -> i8 {
        self.max
    }

    /// `zero_point + rne(clamp(t))`, as defined above. `t` is not NaN.
    #[inline(always)]
    pub fn quantise(&self, t: f32) -> i8 {
        // Adding 1.5·2²³ leaves no fraction bits: the addition itself rounds to nearest even, and the
        // low bits of the sum are the integer. Exact for |t| < 2²², and here |t| ≤ 255.
        const ROUND: f32 = 12_582_912.0;
        let t = if t < self.low() { self.low() } else { t };
        let t = if t > self.high() { self.high() } else { t };
        let rounded = (t + ROUND).to_bits() as i32 - ROUND.to_bits() as i32;
        (rounded + i32::from(self.zero_point)) as i8
    }

    /// `min − zero_point`: the clamp's lower bound before rounding.
    #[inline(always)]
    pub(super) fn low(&self) -> f32 {
        f32::from(self.min) - f32::from(self.zero_point)
    }

    /// `max − zero_point`: the clamp's upper bound before rounding.
    #[inline(always)]
    pub(super) fn high(&self) -> f32 {
        f32::from(self.max) - f32::from(self.zero_point)
    }
}

/// A ratio of scales by which an integer is brought to the output's grid.
///
/// Either 0 or within 2⁻⁹⁸..=2⁶⁰: a product of it, or of a quarter of it, with an integer below 2³¹ is then
/// 0 or normal and finite, and so is the sum of two such products.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Multiplier(f32);

impl Multiplier {
    const SMALLEST: f64 = 1.0 / (1u128 << 98) as f64;
    const LARGEST: f64 = (1u64 << 60) as f64;

    /// Rounds `ratio`, the quotient of positive scales, to f32. A ratio below 2⁻⁹⁸ becomes 0, which
    /// changes no result. Refuses zero, negative, infinite, NaN and those above 2⁶⁰.
    pub fn new(ratio: f64) -> Result<Multiplier, KernelError> {
        if !(ratio > 0.0 && ratio <= Self::LARGEST) {
            return Err(KernelError::new(
                KernelErrorKind::Scale,
                format!("the ratio of scales is {ratio}; scales must be positive and finite"),
            ));
        }
        Ok(Multiplier(if ratio < Self::SMALLEST { 0.0 } else { ratio as f32 }))
    }

    /// The factor.
    pub fn get(self) -> f32 {
        self.0
    }
}

/// A second map that is added to a convolution's result before it is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Residual {
    /// Nothing is added.
    None,
    /// The sum is formed from the convolution's unrounded result.
    Direct {
        /// Zero point of the residual map.
        zero_point: i8,
        /// `s_residual / s_output`.
        multiplier: Multiplier,
    },
    /// The graph quantises the convolution on a grid of its own before the sum is formed. The
    /// convolution's multipliers then lead to that grid: `s_input · s_weight[c] / s_own`.
    Rounded {
        /// The convolution's own grid.
        own: Grid,
        /// `s_own / s_output`.
        own_multiplier: Multiplier,
        /// Zero point of the residual map.
        zero_point: i8,
        /// `s_residual / s_output`.
        multiplier: Multiplier,
    },
}

impl Residual {
    /// The value of `t` for one output, from the exact sum and the residual map's value.
    #[inline(always)]
    pub(super) fn join(&self, acc: i32, multiplier: f32, r: i8) -> f32 {
        let t = acc as f32 * multiplier;
        match *self {
            Residual::None => t,
            Residual::Direct { zero_point, multiplier: m } => t + scaled(r, zero_point, m),
            Residual::Rounded { own, own_multiplier, zero_point, multiplier } => {
                scaled(own.quantise(t), own.zero_point(), own_multiplier)
                    + scaled(r, zero_point, multiplier)
            }
        }
    }
}

/// `f32(q − zero_point) · m`.
#[inline(always)]
pub(super) fn scaled(q: i8, zero_point: i8, m: Multiplier) -> f32 {
    (i32::from(q) - i32::from(zero_point)) as f32 * m.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_ties_to_even_and_saturates() {
        let grid = Grid::new(-3);
        for (t, y) in [
            (0.5, -3),
            (1.5, -1),
            (2.5, -1),
            (-0.5, -3),
            (-1.5, -5),
            (0.500_000_06, -2),
            (1e30, 127),
            (-1e30, -128),
            (f32::MIN_POSITIVE, -3),
        ] {
            assert_eq!(grid.quantise(t), y, "{t}");
        }
    }

    #[test]
    fn equals_round_add_saturate() {
        for zero_point in [-128, -1, 0, 5, 127] {
            let grid = Grid::new(zero_point);
            for i in -3000..3000 {
                let t = i as f32 / 8.0;
                let want = (t.round_ties_even() as i32 + i32::from(zero_point)).clamp(-128, 127);
                assert_eq!(i32::from(grid.quantise(t)), want, "{t} at {zero_point}");
                assert_eq!(
                    i32::from(grid.relu().quantise(t)),
                    want.max(i32::from(zero_point)),
                    "relu of {t} at {zero_point}"
                );
            }
        }
    }

    #[test]
    fn refuses_bad_scales() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e30] {
            let kind = Multiplier::new(bad).map_err(|e| e.kind());
            assert_eq!(kind, Err(KernelErrorKind::Scale), "{bad}");
        }
        assert_eq!(Multiplier::new(1e-40).unwrap().get(), 0.0);
        assert!(Grid::new(0).clamp(5, 4).is_err());
    }
}
