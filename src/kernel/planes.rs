//! Activations of 16 bits as two planes of bytes, and what lies between two layers that take them.

use super::choice::{Kernel, compiled_for};

/// A vector of activations, `256 · high + low`, with the balanced remainder −128 … 127 as the low byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planes {
    pub high: Vec<i8>,
    pub low: Vec<i8>,
}

impl Planes {
    /// Largest activation: what is larger saturates here. Its two bytes are both 127.
    pub const LIMIT: i64 = 127 * 256 + 127;

    /// Takes a vector whose entries have `shift` fractional bits more, 0 … 62: rounded half up, saturating.
    pub fn fill(&mut self, kernel: Kernel, entries: &[i32], shift: u32) {
        self.resize(entries.len());
        let planes = self;
        compiled_for!(kernel, fill, planes: &mut Planes, entries: &[i32], shift: u32)
    }

    fn resize(&mut self, len: usize) {
        self.high.resize(len, 0);
        self.low.resize(len, 0);
    }
}

/// The bytes of an activation.
#[inline(always)]
fn split(activation: i64) -> [i8; 2] {
    [((activation + 128) >> 8) as i8, activation as i8]
}

/// The loop of [`Planes::fill`].
#[inline(always)]
fn fill(planes: &mut Planes, entries: &[i32], shift: u32) {
    let half = 1i64 << shift >> 1;
    let bytes = planes.high.iter_mut().zip(&mut planes.low);
    for ((high, low), &entry) in bytes.zip(entries) {
        let entry = (i64::from(entry) + half) >> shift;
        [*high, *low] = split(entry.clamp(-Planes::LIMIT, Planes::LIMIT));
    }
}

/// From the exact sums of one layer to the activations that the next one takes.
///
/// Row r has `y = (256 · high + low) · multipliers[r] + (biases[r] << finer)`, leaky ReLU of slope 0.2 with
/// the quotient rounded to zero, and a step that is `2^(shifts[r] + coarser)` times as large, rounded half
/// up; then it saturates.
#[derive(Clone, Copy, Debug)]
pub struct Leaky<'a> {
    /// Below 2²⁵.
    pub multipliers: &'a [u32],
    /// With `coarser`, 1 … 62.
    pub shifts: &'a [i8],
    /// y stays below 2⁶¹ in size.
    pub biases: &'a [i64],
    pub finer: u32,
    pub coarser: i32,
}

impl Leaky<'_> {
    /// Panics when a slice has another length than the others.
    pub fn run(&self, kernel: Kernel, sums: [&[i32]; 2], out: &mut Planes) {
        let rows = self.biases.len();
        let lengths = [self.multipliers.len(), self.shifts.len(), sums[0].len(), sums[1].len()];
        assert_eq!(lengths, [rows; 4], "numbers per row");
        out.resize(rows);
        let leaky = self;
        compiled_for!(kernel, activate, leaky: &Leaky<'_>, sums: [&[i32]; 2], out: &mut Planes)
    }
}

/// The loop of [`Leaky::run`], without branches and without a quotient of 64 bits.
///
/// With `a = |y|`, `h` half a step of size `2^s`: a positive y becomes `⌊(a + h) / 2^s⌋`. A negative one
/// becomes `⌊(h − ⌊a/5⌋) / 2^s⌋ = −⌊(⌊a/5⌋ + h − 1) / 2^s⌋ = −⌊⌊(a + 5(h − 1)) / 2^s⌋ / 5⌋`, whose outer
/// quotient is one of small numbers, for larger ones saturate.
#[inline(always)]
fn activate(leaky: &Leaky<'_>, [high, low]: [&[i32]; 2], out: &mut Planes) {
    /// The first quotient whose fifth is above the limit, less one.
    const MOST: u64 = 5 * Planes::LIMIT as u64 + 4;
    let sums = high.iter().zip(low);
    let scales = leaky.multipliers.iter().zip(leaky.shifts).zip(leaky.biases);
    let bytes = out.high.iter_mut().zip(&mut out.low);
    for (((&high, &low), ((&multiplier, &shift), &bias)), (out_high, out_low)) in
        sums.zip(scales).zip(bytes)
    {
        // Two products of 32 bits, which vectors have, in place of one of 64.
        let multiplier = i64::from(multiplier as i32);
        let products = 256 * (i64::from(high) * multiplier) + i64::from(low) * multiplier;
        let y = products + (bias << leaky.finer);
        let shift = (i32::from(shift) + leaky.coarser) as u32 & 63;
        let half = 1u64 << (shift.wrapping_sub(1) & 63);
        // Below 2⁶¹ + 5 · 2⁶¹.
        let up = if y < 0 { 5 * (half - 1) } else { half };
        let steps = ((y.unsigned_abs() + up) >> shift).min(MOST);
        // 52429 / 2¹⁸ is 1/5 and a 2⁻¹⁸th of a fifth: exact below 2¹⁸.
        let fifth = ((steps * 52_429) >> 18) as i64;
        let activation = if y < 0 { -fifth } else { (steps as i64).min(Planes::LIMIT) };
        [*out_high, *out_low] = split(activation);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, in 128 bits.
    fn expected(y: i128, shift: u32) -> [i8; 2] {
        let y = if y < 0 { y / 5 } else { y };
        let limit = i128::from(Planes::LIMIT);
        split(((y + (1 << (shift - 1))) >> shift).clamp(-limit, limit) as i64)
    }

    /// Two sums, multiplier, bias, shift.
    type Row = ([i32; 2], u32, i64, i8);

    /// One row per sum, bias and shift, with every kernel.
    fn check(rows: &[Row], finer: u32, coarser: i32) {
        let column = |f: fn(&Row) -> i32| rows.iter().map(f).collect();
        let (high, low): (Vec<i32>, Vec<i32>) = (column(|row| row.0[0]), column(|row| row.0[1]));
        let multipliers: Vec<u32> = rows.iter().map(|row| row.1).collect();
        let biases: Vec<i64> = rows.iter().map(|row| row.2).collect();
        let shifts: Vec<i8> = rows.iter().map(|row| row.3).collect();
        let leaky =
            Leaky { multipliers: &multipliers, shifts: &shifts, biases: &biases, finer, coarser };
        for kernel in Kernel::available() {
            let mut out = Planes::default();
            leaky.run(kernel, [&high, &low], &mut out);
            for (i, &([high, low], multiplier, bias, shift)) in rows.iter().enumerate() {
                let products = 256 * i128::from(high) + i128::from(low);
                let y = products * i128::from(multiplier) + (i128::from(bias) << finer);
                let shift = (i32::from(shift) + coarser) as u32;
                let found = [out.high[i], out.low[i]];
                assert_eq!(found, expected(y, shift), "{kernel}: {y} by 2^{shift}");
            }
        }
    }

    /// Around every activation that the quotient by 5 could get wrong, and far beyond them.
    #[test]
    fn entries_are_rounded_and_saturate() {
        let entries: Vec<i32> = (-70..70)
            .chain([i32::MAX, -i32::MAX, 32_639, 32_640, -32_640, 65_278, 65_279])
            .collect();
        for (kernel, shift) in
            Kernel::available().into_iter().flat_map(|k| [0, 1, 2, 16, 47].map(|s| (k, s)))
        {
            let mut out = Planes::default();
            out.fill(kernel, &entries, shift);
            for (i, &entry) in entries.iter().enumerate() {
                let scaled = f64::from(entry) / (1u64 << shift) as f64;
                let expected = (scaled + 0.5).floor().clamp(-32_639.0, 32_639.0);
                let found = 256 * i32::from(out.high[i]) + i32::from(out.low[i]);
                assert_eq!(f64::from(found), expected, "{kernel}: {entry} by 2^{shift}");
            }
        }
    }

    #[test]
    fn small_numbers_and_ends() {
        for shift in [1i8, 2, 3, 16] {
            let around = |step: i64| {
                let middle = step << shift;
                (-12..12).map(move |off| ([0, 0], 1, middle + off, shift))
            };
            let steps = (-200i64..200).chain(-163_300..-163_100).chain(32_600..32_700);
            check(&steps.flat_map(around).collect::<Vec<_>>(), 0, 0);
        }
        let most = (1i64 << 61) - 1;
        let ends = [0, 1, -1, most, -most];
        let rows = ends.iter().flat_map(|&y| (1..=62).map(move |s| ([0, 0], 1, y, s)));
        check(&rows.collect::<Vec<_>>(), 0, 0);
    }

    proptest! {
        #[test]
        fn random_rows(
            rows in prop::collection::vec(
                ((-(1 << 26)..1 << 26, -(1 << 26)..1 << 26), 1u32..=1 << 24, -(1i64 << 57)..1 << 57, 4i8..=50),
                1..70,
            ),
            finer in 0u32..3,
            coarser in -3i32..12,
        ) {
            let rows: Vec<_> =
                rows.into_iter().map(|((high, low), m, bias, s)| ([high, low], m, bias, s)).collect();
            check(&rows, finer, coarser);
        }
    }
}
