//! Distance to the k-th nearest row of a stored bank, in integers.
//!
//! The bank holds 16-bit numbers as two planes of bytes. A scan of the high plane gives each row a
//! lower bound of its distance; only a row that could be among the k nearest is then measured in 16
//! bits. So the result is the k-th smallest 16-bit distance, in whatever order rows are looked at.

use serde::{Deserialize, Serialize};

use super::fixed::{HEAD_BITS, power_of_two, round_shift, saturate};
use super::unit::{self, UNIT_BITS};
use super::{EnergyError, EnergyErrorKind, HeadId, Scratch, float};
use crate::backbone::FEATURE_BITS;

/// Largest size of a query's entry, in the bank's steps: 128 times the bank's own range. A difference
/// to a row is below 2²³ then, and the sum of 2¹⁶ squares below 2⁶².
const QUERY_LIMIT: i64 = 1 << 22;
/// Most features that a row may have; also what keeps the sums of [`coarse_distance`] below 2³².
const MOST_FEATURES: usize = 1 << 16;
/// Range of the bank's fractional bits: neither shift of [`Knn`] leaves its type.
const BITS: std::ops::RangeInclusive<i8> = -16..=30;

/// Nearest neighbours: the squared distance to the k-th nearest row; see [`float::Knn`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Knn {
    /// Whether a query is L2-normalised first; the rows are.
    pub(super) normalize: bool,
    pub(super) k: u32,
    /// D
    pub(super) width: u32,
    /// Fractional bits of a row's entries.
    pub(super) bits: i8,
    /// High bytes of the n × D entries, row by row: an entry is `256 · high + low`.
    pub(super) high: Vec<i8>,
    /// Low bytes.
    pub(super) low: Vec<u8>,
}

impl Knn {
    /// D, the length of a feature row.
    pub fn width(&self) -> usize {
        self.width as usize
    }

    /// Which neighbour counts: 1 is the nearest.
    pub fn k(&self) -> usize {
        self.k as usize
    }

    /// Number of stored rows.
    pub fn rows(&self) -> usize {
        self.high.len() / self.width().max(1)
    }

    /// Whether rows are L2-normalised first.
    pub fn normalises(&self) -> bool {
        self.normalize
    }

    /// Energy of one row of D features, signed Q31.32.
    pub(super) fn energy_q32(&self, row: &[i32], scratch: &mut Scratch) -> i64 {
        self.query(row, scratch);
        let Scratch { row: query, coarse, nearest, .. } = scratch;
        // How far the query, and at most any row, lies from its coarse form.
        let rough =
            query.iter().zip(&*coarse).map(|(&x, &c)| (i64::from(x) - centre(c)).pow(2) as u64);
        let slack = root(rough.sum()) + root(128 * 128 * self.width() as u64);
        nearest.clear();
        let mut reach = u64::MAX;
        let rows = self.high.chunks_exact(query.len()).zip(self.low.chunks_exact(query.len()));
        for (high, low) in rows {
            if u64::from(coarse_distance(coarse, high)) > reach {
                continue;
            }
            let distance = distance(query, high, low);
            if nearest.len() == self.k() {
                match nearest.peek_mut() {
                    Some(mut farthest) if distance < *farthest => *farthest = distance,
                    _ => continue,
                }
            } else {
                nearest.push(distance);
            }
            if nearest.len() == self.k() {
                reach = nearest.peek().map_or(u64::MAX, |&farthest| self.reach(farthest, slack));
            }
        }
        let distance = i128::from(nearest.peek().copied().unwrap_or(u64::MAX));
        // Distances have twice the bits of entries.
        match u32::try_from(2 * i32::from(self.bits) - HEAD_BITS as i32) {
            Ok(shift) => saturate(round_shift(distance, shift)),
            Err(_) => saturate(distance << (HEAD_BITS as i32 - 2 * i32::from(self.bits))),
        }
    }

    /// The largest coarse distance (in steps of 256²) that a row at most `farthest` away can have:
    /// by the triangle inequality twice, `‖q̂ − r̂‖ ≤ ‖q − r‖ + ‖q − q̂‖ + ‖r − r̂‖`.
    fn reach(&self, farthest: u64, slack: u64) -> u64 {
        let most = (root(farthest) + slack) >> 7;
        // `most` has one bit below the step: 2⁸ / 2⁷.
        most.saturating_add(1).saturating_pow(2) >> 2
    }
}

impl Knn {
    /// Writes the query's entries in the bank's steps, and their coarse form.
    fn query(&self, row: &[i32], scratch: &mut Scratch) {
        let entry_bits = if self.normalize {
            unit::normalise(row, &mut scratch.row);
            UNIT_BITS
        } else {
            scratch.row.clear();
            scratch.row.extend_from_slice(row);
            FEATURE_BITS
        };
        let shift = entry_bits as i32 - i32::from(self.bits);
        for entry in &mut scratch.row {
            let steps = match u32::try_from(shift) {
                Ok(shift) => round_shift(i128::from(*entry), shift),
                Err(_) => i128::from(*entry) << -shift,
            };
            *entry = steps.clamp(-i128::from(QUERY_LIMIT), QUERY_LIMIT.into()) as i32;
        }
        scratch.coarse.clear();
        let coarse = |&x: &i32| (x >> 8).clamp(i8::MIN.into(), i8::MAX.into()) as i8;
        scratch.coarse.extend(scratch.row.iter().map(coarse));
    }

    /// The integer form of a fitted bank. `head` names it in errors: contents that [`float::Knn`]
    /// cannot have, or numbers out of the range of the integers.
    pub(super) fn fix(knn: &float::Knn, head: HeadId) -> Result<Knn, EnergyError> {
        knn.check(head, knn.width as usize)?;
        let largest = knn.rows.iter().fold(0.0, |most: f64, &x| most.max(f64::from(x).abs()));
        let fits = |bits: &i8| largest * power_of_two((*bits).into()) <= f64::from(i16::MAX);
        let Some(bits) = BITS.rev().find(fits).filter(|_| knn.width as usize <= MOST_FEATURES)
        else {
            let message = format!("head {head}: a row is out of range: fit other features");
            return Err(EnergyError::new(EnergyErrorKind::Value, message));
        };
        let scale = power_of_two(bits.into());
        let entries = knn.rows.iter().map(|&x| (f64::from(x) * scale).round_ties_even() as i16);
        Ok(Knn {
            normalize: knn.normalize,
            k: knn.k,
            width: knn.width,
            bits,
            high: entries.clone().map(|entry| (entry >> 8) as i8).collect(),
            low: entries.map(|entry| entry as u8).collect(),
        })
    }

    /// Refuses contents that do not belong together; what passes is scored without overflow.
    pub(super) fn check(&self, head: HeadId, width: usize) -> Result<(), EnergyError> {
        use EnergyErrorKind::{Shape, Value};
        let wrong = |kind, what: String| {
            let message = format!("head {head}: {what}: fit the heads again");
            Err(EnergyError::new(kind, message))
        };
        let d = self.width();
        if d == 0 || d != width {
            return wrong(Shape, format!("fitted for {d} features, the backbone has {width}"));
        }
        if d > MOST_FEATURES {
            return wrong(Shape, format!("{d} features are too many"));
        }
        if !self.high.len().is_multiple_of(d) || self.high.len() != self.low.len() {
            let (high, low) = (self.high.len(), self.low.len());
            return wrong(Shape, format!("{high} high and {low} low bytes are no rows of {d}"));
        }
        if self.k == 0 || self.k() > self.rows() {
            return wrong(Value, format!("k is {} of {} rows", self.k, self.rows()));
        }
        if !BITS.contains(&self.bits) {
            return wrong(Value, format!("{} fractional bits are out of range", self.bits));
        }
        Ok(())
    }
}

/// Square root, rounded up to an integer that is not below it.
fn root(square: u64) -> u64 {
    square.isqrt() + 1
}

/// The middle of the 16-bit numbers with this high byte: at most 128 from each.
fn centre(high: i8) -> i64 {
    256 * i64::from(high) + 128
}

/// Squared distance of the high planes: at most 255² · 2¹⁶ < 2³².
fn coarse_distance(a: &[i8], b: &[i8]) -> u32 {
    a.iter().zip(b).map(|(&a, &b)| (i32::from(a) - i32::from(b)).pow(2) as u32).sum()
}

/// Squared distance of a query to a row in 16 bits; see [`QUERY_LIMIT`].
fn distance(query: &[i32], high: &[i8], low: &[u8]) -> u64 {
    let entries = high.iter().zip(low).map(|(&high, &low)| 256 * i32::from(high) + i32::from(low));
    query.iter().zip(entries).map(|(x, entry)| u64::from(x.abs_diff(entry)).pow(2)).sum()
}
