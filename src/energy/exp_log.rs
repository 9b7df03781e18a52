//! Exponential and logarithm in integers.
//!
//! `exp` comes from its power series on [0, log 2), `log` from that of the inverse hyperbolic tangent
//! on [√½, √2); with the 15 and 10 terms taken here, what is left out is below 2⁻⁴⁸ and 2⁻⁵⁶. The tests
//! compare both with `libm`.

use super::fixed::{HEAD_BITS, round_shift, saturate};

/// Fractional bits of [`exp`].
pub(super) const EXP_BITS: u32 = 56;
const ONE: u64 = 1 << EXP_BITS;

/// log 2 with 56 and with 60 fractional bits.
const LOG_2_Q56: u64 = 49_946_518_145_322_874;
const LOG_2_Q60: i64 = 799_144_290_325_165_979;

/// `2⁵⁶ / n!`
const SERIES: [u64; 15] = {
    let mut terms = [ONE; 15];
    let mut n = 1;
    while n < terms.len() {
        terms[n] = terms[n - 1] / n as u64;
        n += 1;
    }
    terms
};

/// `exp(−depth)` for a depth with 32 fractional bits; the result has 56, and an error below 2⁻⁴⁶.
pub(super) fn exp(depth_q32: u64) -> u64 {
    // exp(−56 log 2) is the resolution of the result.
    const DEEPEST: u64 = 56 * (LOG_2_Q56 >> (EXP_BITS - HEAD_BITS));
    if depth_q32 >= DEEPEST {
        return 0;
    }
    // depth = halvings · log 2 − rest with a rest in (0, log 2]; below 2⁶² all along.
    let depth = depth_q32 << (EXP_BITS - HEAD_BITS);
    let halvings = depth / LOG_2_Q56 + 1;
    let rest = halvings * LOG_2_Q56 - depth;
    // Horner's rule; every partial sum is below exp(log 2) = 2.
    let power = SERIES
        .iter()
        .rev()
        .fold(0, |sum, term| term + ((u128::from(sum) * u128::from(rest)) >> EXP_BITS) as u64);
    power >> halvings
}

/// Natural logarithm of a number of at least 1 with 56 fractional bits, as Q31.32; error below 2⁻³².
pub(super) fn log(value_q56: u128) -> i64 {
    // value = mantissa · 2^exponent with a mantissa in [√½, √2), which has 60 fractional bits.
    const SQRT_2_Q60: i64 = 1_630_477_228_166_597_777;
    let top = 127 - value_q56.max(1).leading_zeros();
    let mut exponent = i64::from(top) - i64::from(EXP_BITS);
    let mut mantissa =
        if top >= 60 { value_q56 >> (top - 60) } else { value_q56 << (60 - top) } as i64;
    if mantissa >= SQRT_2_Q60 {
        mantissa >>= 1;
        exponent += 1;
    }
    // log m = 2 artanh z with z = (m − 1)/(m + 1), |z| < 0.172: 2 (z + z³/3 + z⁵/5 + …).
    let one = 1i64 << 60;
    let z = ((i128::from(mantissa - one) << 60) / i128::from(mantissa + one)) as i64;
    let times = |a: i64, b: i64| ((i128::from(a) * i128::from(b)) >> 60) as i64;
    let square = times(z, z);
    let series = (0..10).rev().fold(0, |sum, k| one / (2 * k + 1) + times(sum, square));
    let log_q60 = i128::from(exponent) * i128::from(LOG_2_Q60) + 2 * i128::from(times(z, series));
    round_shift(log_q60, 60 - HEAD_BITS) as i64
}

/// `Σ exp(value − largest)` of Q31.32 values: at least 1, with 56 fractional bits.
pub(super) fn sum_of_exp(largest: i64, values: impl Iterator<Item = i64>) -> u128 {
    values.map(|value| u128::from(exp(largest.abs_diff(value)))).sum()
}

/// `log Σ exp(values)` of at least one Q31.32 value; saturated. The error is below 2⁻³¹ for up to
/// 2¹⁴ values.
pub(super) fn log_sum_exp(values: impl Iterator<Item = i64> + Clone) -> i64 {
    let largest = values.clone().max().unwrap_or(i64::MIN);
    saturate(i128::from(largest) + i128::from(log(sum_of_exp(largest, values))))
}

#[cfg(test)]
mod tests {
    use super::super::fixed::power_of_two;
    use super::*;
    use proptest::prelude::*;

    fn check_exp(depth_q32: u64) {
        let exact = libm::exp(-(depth_q32 as f64) / power_of_two(32));
        let found = exp(depth_q32) as f64 / power_of_two(56);
        assert!((found - exact).abs() <= power_of_two(-46), "{depth_q32}: {found} {exact}");
    }

    fn check_log(value_q56: u128) {
        let exact = libm::log(value_q56 as f64 / power_of_two(56));
        let found = log(value_q56) as f64 / power_of_two(32);
        assert!((found - exact).abs() <= power_of_two(-32), "{value_q56}: {found} {exact}");
    }

    #[test]
    fn ends_and_seams_are_within_the_bounds() {
        let log_2 = LOG_2_Q56 >> 24;
        for halvings in 0..58 {
            (0..3).for_each(|off| check_exp((halvings * log_2 + off).saturating_sub(1)));
        }
        check_exp(u64::MAX);
        assert_eq!(log(1 << 56), 0);
        for power in 56..120 {
            let one = 1u128 << power;
            [one, one + 1, 2 * one - 1, one + (one >> 2) + (one >> 3), one * 181 / 128]
                .into_iter()
                .for_each(check_log);
        }
        // Of nothing and of a zero, which no caller asks for: a number, not a panic.
        assert!(log(0) < 0 && log(u128::MAX) > 0);
        assert_eq!(
            log_sum_exp([i64::MIN, i64::MIN].into_iter()),
            i64::MIN + (LOG_2_Q56 >> 24) as i64 + 1
        );
    }

    proptest! {
        #[test]
        fn exp_is_within_its_bound(depth in 0u64..1 << 38) {
            check_exp(depth);
        }

        #[test]
        fn log_is_within_its_bound(value in 1u64 << 56.., more in 0u32..60) {
            check_log(u128::from(value) << more);
        }
    }
}
