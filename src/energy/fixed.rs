//! Fixed-point numbers: rounding, saturation, scales.

use serde::{Deserialize, Serialize};

/// Fractional bits of a head's energy: signed Q31.32.
pub(super) const HEAD_BITS: u32 = 32;
/// Fractional bits of a composed energy: signed Q47.16.
pub(super) const COMPOSED_BITS: u32 = 16;

/// The energy +∞, of broken frames.
pub const BROKEN: i64 = i64::MAX;
/// The largest energy of a frame that is not broken: what is larger saturates here.
pub(super) const LARGEST: i64 = i64::MAX - 1;

/// The nearest energy that is not broken.
pub(super) fn saturate(value: i128) -> i64 {
    value.clamp(i128::from(i64::MIN), i128::from(LARGEST)) as i64
}

/// `value / 2^shift`, rounded half up; for a shift of 0 to 126.
pub(super) fn round_shift(value: i128, shift: u32) -> i128 {
    match shift {
        0 => value,
        // The last bit that is shifted out says whether to round up; no sum can overflow.
        _ => (value >> shift) + (value >> (shift - 1) & 1),
    }
}

/// The same in 64 bits; for a shift of 0 to 63.
pub(super) fn round_shift_narrow(value: i64, shift: u32) -> i64 {
    match shift {
        0 => value,
        _ => (value >> shift) + (value >> (shift - 1) & 1),
    }
}

/// A Q31.32 number as Q47.16, rounded half to even; [`BROKEN`] stays what it is.
pub(super) fn q16_of_q32(value: i64) -> i64 {
    const DROPPED: u32 = HEAD_BITS - COMPOSED_BITS;
    if value == BROKEN {
        return BROKEN;
    }
    let (floor, rest) = (value >> DROPPED, value & ((1 << DROPPED) - 1));
    let half = 1 << (DROPPED - 1);
    floor + i64::from(rest > half || (rest == half && floor & 1 == 1))
}

/// The number that a head's energy (signed Q31.32) stands for; `+∞` for a broken frame.
pub fn from_q32(energy_q32: i64) -> f64 {
    number(energy_q32, HEAD_BITS)
}

/// The number that a composed energy (signed Q47.16) stands for; `+∞` for a broken frame.
pub fn from_q16(energy_q16: i64) -> f64 {
    number(energy_q16, COMPOSED_BITS)
}

fn number(value: i64, bits: u32) -> f64 {
    if value == BROKEN { f64::INFINITY } else { value as f64 / (1u64 << bits) as f64 }
}

/// A finite number with `bits` fractional bits, rounded half to even; `None` when its size reaches
/// `2^limit` in the steps of the result.
pub(super) fn to_fixed(value: f64, bits: u32, limit: u32) -> Option<i64> {
    let scaled = (value * power_of_two(bits as i32)).round_ties_even();
    (scaled.abs() < power_of_two(limit as i32)).then_some(scaled as i64)
}

/// `2^exponent`, exactly, for an exponent of −1022 to 1023.
pub(super) fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

/// A positive factor, `mantissa · 2^-shift`, exact to 2⁻³² of its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scale {
    /// 2³¹ … 2³² − 1
    mantissa: u32,
    /// [`Scale::SHIFTS`]
    shift: i8,
}

impl Scale {
    /// Shifts of the factors 2⁻⁶⁴ to 2⁶⁴. Beyond them a factor turns any two energies that differ
    /// into equal ones or into saturated ones, so it is taken for the nearest of these.
    const SHIFTS: std::ops::RangeInclusive<i8> = -33..=95;

    /// The scale nearest to a positive number.
    pub(super) fn of(factor: f64) -> Scale {
        const FRACTION: u64 = (1 << 52) - 1;
        // factor = 1.fraction · 2^exponent; +∞ has the largest exponent, subnormals the smallest.
        let exponent = (factor.to_bits() >> 52) as i32 - 1023;
        let significand = factor.to_bits() & FRACTION | (FRACTION + 1);
        let rounded = (significand + (1 << 20)) >> 21;
        let (mantissa, exponent) = match u32::try_from(rounded) {
            Ok(mantissa) => (mantissa, exponent),
            Err(_) => (1 << 31, exponent + 1),
        };
        let (least, most) = (i32::from(*Scale::SHIFTS.start()), i32::from(*Scale::SHIFTS.end()));
        Scale { mantissa, shift: (31 - exponent).clamp(least, most) as i8 }
    }

    /// Whether the stored numbers are in range.
    pub(super) fn is_valid(self) -> bool {
        self.mantissa >= 1 << 31 && Scale::SHIFTS.contains(&self.shift)
    }

    /// The factor.
    pub fn factor(self) -> f64 {
        f64::from(self.mantissa) * power_of_two(-i32::from(self.shift))
    }

    /// `value · factor`, rounded half up and saturated. `value` is a sum or difference of two `i64`:
    /// below 2⁶⁵ in size, so that the product is below 2⁹⁷ and, shifted left by 33, at most 2¹³⁰:
    /// the left shift is done in two parts.
    pub(super) fn apply(self, value: i128) -> i64 {
        let product = value * i128::from(self.mantissa);
        match u32::try_from(self.shift) {
            Ok(shift) => saturate(round_shift(product, shift)),
            Err(_) => saturate(i128::from(saturate(product)) << -self.shift),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn q16_rounds_half_to_even() {
        let half = 1 << 15;
        let cases =
            [(half, 0), (3 * half, 2), (-half, 0), (-3 * half, -2), (half + 1, 1), (-half - 1, -1)];
        for (value, expected) in cases {
            assert_eq!(q16_of_q32(value), expected, "{value}");
        }
        assert_eq!(q16_of_q32(BROKEN), BROKEN);
        assert!(q16_of_q32(LARGEST) < BROKEN);
    }

    #[test]
    fn scales_saturate_without_overflow() {
        let extreme = i128::from(i64::MAX) - i128::from(i64::MIN);
        for factor in [f64::MIN_POSITIVE, 1e-300, 1.0, 1e300, f64::INFINITY] {
            let scale = Scale::of(factor);
            assert!(scale.is_valid());
            for value in [extreme, -extreme, 1, 0] {
                let scaled = scale.apply(value);
                assert!(scaled != BROKEN && (scaled == 0 || (scaled > 0) == (value > 0)));
            }
        }
        assert_eq!(Scale::of(1e300).apply(1), LARGEST);
        assert_eq!(Scale::of(1e-300).apply(extreme), 1);
    }

    proptest! {
        #[test]
        fn a_scale_multiplies(factor in 1e-6..1e6f64, value in -(1i64 << 40)..1 << 40) {
            let scaled = Scale::of(factor).apply(value.into()) as f64;
            let exact = value as f64 * factor;
            prop_assert!((scaled - exact).abs() <= 0.5 + exact.abs() * power_of_two(-31));
        }

        #[test]
        fn shifts_round(value in any::<i64>(), shift in 0u32..40) {
            let exact = value as f64 / power_of_two(shift as i32);
            prop_assert!((round_shift(value.into(), shift) as f64 - exact).abs() <= 0.5 + exact.abs() * 1e-15);
        }
    }
}
