//! Rows of unit length.

use super::fixed::round_shift_narrow;

/// Fractional bits of an entry of a unit row: signed Q0.31, in which 1 is `i32::MAX`.
pub(super) const UNIT_BITS: u32 = 31;

/// Divides a row by its L2 norm; an all-zero row stays zero.
///
/// `row` holds at most 2¹⁶ features, none of them [`NOT_A_NUMBER`](crate::backbone::NOT_A_NUMBER).
/// Every entry is within 2⁻³⁰ of the exact quotient.
pub(super) fn normalise(row: &[i32], out: &mut Vec<i32>) {
    out.clear();
    // Each square is below 2⁶², their sum below 2⁷⁸.
    let square: u128 = row.iter().map(|&x| u128::from(u64::from(x.unsigned_abs()).pow(2))).sum();
    if square == 0 {
        out.resize(row.len(), 0);
        return;
    }
    // norm = ‖row‖ · 2^half, in 2⁶³ … 2⁶⁴, with an even number of bits shifted in under the root.
    let half = square.leading_zeros() / 2;
    let norm = (square << (2 * half)).isqrt();
    // 2⁹⁵ / norm, in 2³¹ … 2³²: each product with an entry is below 2⁶³.
    let reciprocal = ((1u128 << 95) / norm) as i64;
    // x / ‖row‖ · 2³¹ = x · reciprocal · 2^(half + 31 − 95); half is 25 to 63.
    let shift = 95 - UNIT_BITS - half;
    out.extend(row.iter().map(|&x| {
        let entry = round_shift_narrow(i64::from(x) * reciprocal, shift);
        entry.clamp(-i64::from(i32::MAX), i64::from(i32::MAX)) as i32
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(row: &[i32]) {
        let norm = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        let mut out = Vec::new();
        normalise(row, &mut out);
        for (&x, &y) in row.iter().zip(&out) {
            let (exact, found) = (f64::from(x) / norm, f64::from(y) / (1u64 << UNIT_BITS) as f64);
            assert!((found - exact).abs() <= 1.0 / (1 << 30) as f64, "{row:?}: {found} {exact}");
        }
    }

    #[test]
    fn extreme_rows() {
        let mut out = vec![7];
        normalise(&[0; 3], &mut out);
        assert_eq!(out, [0; 3]);
        check(&[1]);
        check(&[-i32::MAX]);
        check(&[0, 0, 5, 0]);
        check(&vec![i32::MAX; 1 << 16]);
        check(&vec![-1; 1 << 16]);
    }

    proptest! {
        #[test]
        fn rows_have_unit_length(row in prop::collection::vec(-i32::MAX..=i32::MAX, 1..40), size in 0u32..31) {
            let row: Vec<i32> = row.iter().map(|x| x >> size).collect();
            if row.iter().any(|&x| x != 0) {
                check(&row);
            }
        }
    }
}
