//! A Gaussian mixture with one shared covariance, in integers.
//!
//! The whitened row `w = L⁻¹ z` is a linear layer with a bias: weights are `i32` with a power-of-two
//! scale per row, products are summed exactly, and only the result is rounded, to 24 fractional bits.
//! Weights of 16 bits would do for the mixtures of our own networks, but barely, and not for an
//! ill-conditioned covariance (docs/heads.md has the numbers).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::exp_log::log_sum_exp;
use super::fixed::{HEAD_BITS, power_of_two, round_shift_narrow, saturate, to_fixed};
use super::ready::Ready;
use super::unit::{self, UNIT_BITS};
use super::{EnergyError, EnergyErrorKind, GmmScore, HeadId, Scratch, float};
use crate::backbone::FEATURE_BITS;
use crate::kernel::{self, Kernel, Triangle};

/// Fractional bits of a whitened row.
pub(super) const WHITENED_BITS: u32 = 24;
/// Bits of the largest whitened number: 2²⁸ standard deviations. What is larger is taken for that.
const WHITENED_LIMIT: u32 = WHITENED_BITS + 28;
/// Bits of the sum of the sizes of a row's weights. An entry and its centre differ by less than 2³²,
/// so the whitened row stays below 2⁶³.
const WEIGHT_LIMIT: u32 = 31;
/// Largest shift from a row's products to whitened bits.
const MOST_SHIFT: u8 = 62;
/// Most features that a row may have: sums of squares stay below 2¹²¹, and the size of the triangle
/// fits a 32-bit `usize`.
const MOST_FEATURES: usize = 1 << 15;
/// Bits of the constants that an energy is made of.
const CONSTANT_LIMIT: u32 = 62;
/// Added to a signed entry to make it an unsigned one; see [`Triangle`].
const OFFSET: u32 = 1 << 31;

/// A Gaussian mixture over feature rows; see [`float::Gmm`] for its meaning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gmm {
    /// Whether rows are L2-normalised first. An entry has 31 fractional bits then, else 20.
    pub(super) normalize: bool,
    pub(super) score: GmmScore,
    /// D
    pub(super) width: u32,
    /// Lower triangle of `L⁻¹`, row by row, offset by 2³¹; `Σ_j |weight_ij| < 2³¹` without it.
    pub(super) weights: Vec<u32>,
    /// `Σ_j weight_ij (centre_j + 2³¹)`, modulo 2⁶⁴, D numbers: `centre` is the mean of the mixture,
    /// so that the rounding of a weight acts on a difference; 2³¹ undoes that of [`OFFSET`].
    pub(super) biases: Vec<i64>,
    /// How far a row's products are shifted to have 24 fractional bits, D numbers.
    pub(super) shifts: Vec<u8>,
    /// `L⁻¹ (μ_c − centre)`, K × D, row by row, 24 fractional bits.
    pub(super) means: Vec<i64>,
    /// `log π_c`, Q31.32, K numbers.
    pub(super) log_weights_q32: Vec<i64>,
    /// `(D log 2π)/2 + ½ log det Σ`, Q31.32.
    pub(super) log_volume_q32: i64,
    /// What was added to the diagonal of the covariance; for information only.
    pub(super) ridge: f64,
    /// The kernel, and the weights as it reads them; shared by clones.
    #[serde(skip)]
    packed: Ready<(Kernel, Arc<Triangle>)>,
}

impl Gmm {
    /// D, the length of a feature row.
    pub fn width(&self) -> usize {
        self.width as usize
    }

    /// K, the number of components.
    pub fn components(&self) -> usize {
        self.log_weights_q32.len()
    }

    /// Whether rows are L2-normalised first.
    pub fn normalises(&self) -> bool {
        self.normalize
    }

    /// Which number this head gives.
    pub fn score(&self) -> GmmScore {
        self.score
    }

    /// What was added to the diagonal of the covariance to make it positive definite; 0 as a rule.
    pub fn ridge(&self) -> f64 {
        self.ridge
    }

    /// Energy of one row of D features, signed Q31.32; leaves the squared distances in `scratch`.
    pub(super) fn energy_q32(&self, row: &[i32], scratch: &mut Scratch) -> i64 {
        self.measure(row, scratch);
        let distances = &scratch.distances;
        match self.score {
            GmmScore::MinMahalanobis => {
                let least = distances.iter().copied().min().unwrap_or(u128::MAX);
                saturate(
                    i128::try_from(least >> (2 * WHITENED_BITS - HEAD_BITS)).unwrap_or(i128::MAX),
                )
            }
            GmmScore::Mixture => {
                // −log Σ_c π_c N_c with log N_c = −m_c/2 − log_volume.
                let halved = distances
                    .iter()
                    .map(|m| saturate((m >> (2 * WHITENED_BITS + 1 - HEAD_BITS)) as i128));
                let weighted = halved.zip(&self.log_weights_q32);
                let log_sum =
                    log_sum_exp(weighted.map(|(half, weight)| weight.saturating_sub(half)));
                saturate(i128::from(self.log_volume_q32) - i128::from(log_sum))
            }
        }
    }

    /// Squared Mahalanobis distance to each component, 48 fractional bits.
    fn measure(&self, row: &[i32], scratch: &mut Scratch) {
        let entries = match self.normalize {
            true => {
                unit::normalise(row, &mut scratch.row);
                &scratch.row[..]
            }
            false => row,
        };
        scratch.offset.clear();
        scratch.offset.extend(entries.iter().map(|&x| (x as u32) ^ OFFSET));
        let (kernel, triangle) = self.packed.get_or_init(|| self.packed_for(Kernel::detect()));
        scratch.products.resize(row.len(), 0);
        triangle.multiply(&self.weights, &scratch.offset, &mut scratch.products);
        self.round(&scratch.offset, &scratch.products, &mut scratch.whitened);
        scratch.distances.resize(self.components(), 0);
        // Both are below 2⁵² in size.
        let (whitened, distances) = (&scratch.whitened, &mut scratch.distances);
        kernel::squared_distances(*kernel, whitened, &self.means, distances);
    }

    /// `out = L⁻¹ (row − centre)` with 24 fractional bits, from the products of a row of offset entries.
    fn round(&self, row: &[u32], products: &[u64], out: &mut Vec<i64>) {
        const LIMIT: i64 = (1 << WHITENED_LIMIT) - 1;
        let mut sum = 0u64;
        let rounded = row.iter().zip(products).zip(self.biases.iter().zip(&self.shifts)).map(
            |((&entry, &products), (&bias, &shift))| {
                // That of the entries which the number is made of.
                sum += u64::from(entry);
                // Everything wraps; the result is below 2⁶³ in size, and so is right.
                let exact = (products.wrapping_sub(sum << 31) as i64).wrapping_sub(bias);
                round_shift_narrow(exact, shift.into()).clamp(-LIMIT, LIMIT)
            },
        );
        out.clear();
        out.extend(rounded);
    }

    pub(super) fn pack(&mut self, kernel: Kernel) {
        self.packed = Ready::of(self.packed_for(kernel));
    }

    fn packed_for(&self, kernel: Kernel) -> (Kernel, Arc<Triangle>) {
        (kernel, Arc::new(Triangle::new(kernel, &self.weights, self.width())))
    }
}

impl Gmm {
    /// The integer form of a fitted mixture. `head` names it in errors: contents that
    /// [`float::Gmm`] cannot have, or numbers out of the range of the integers.
    pub(super) fn fix(gmm: &float::Gmm, head: HeadId) -> Result<Gmm, EnergyError> {
        gmm.check(head, gmm.width as usize)?;
        let width = gmm.width as usize;
        let out_of_range = |what: &str| {
            let message = format!("head {head}: {what} is out of range: fit other features");
            EnergyError::new(EnergyErrorKind::Value, message)
        };
        if width > MOST_FEATURES {
            return Err(out_of_range("the number of features"));
        }
        let entry_bits = if gmm.normalize { UNIT_BITS } else { FEATURE_BITS };
        let centre = centre(gmm, entry_bits);
        let mut layer = Layer::default();
        let mut centre_whitened = Vec::with_capacity(width);
        let mut rest = &gmm.whitener[..];
        for i in 0..width {
            let (row, next) = rest.split_at(i + 1);
            rest = next;
            layer.push(row, &centre, entry_bits).ok_or_else(|| out_of_range("the whitener"))?;
            let entry = |&c: &i32| f64::from(c) * power_of_two(-(entry_bits as i32));
            centre_whitened.push(row.iter().zip(&centre).map(|(w, c)| w * entry(c)).sum::<f64>());
        }
        let mean = |(i, m): (usize, &f64)| {
            to_fixed(m - centre_whitened[i % width], WHITENED_BITS, WHITENED_LIMIT)
        };
        let means: Option<Vec<i64>> = gmm.whitened_means.iter().enumerate().map(mean).collect();
        let constant = |x: f64| to_fixed(x, HEAD_BITS, CONSTANT_LIMIT);
        let log_weights: Option<Vec<i64>> = gmm.log_weights.iter().map(|&w| constant(w)).collect();
        let log_volume = 0.5 * float::LOG_2_PI * width as f64 + gmm.half_log_det;
        Ok(Gmm {
            normalize: gmm.normalize,
            score: gmm.score,
            width: gmm.width,
            weights: layer.weights,
            biases: layer.biases,
            shifts: layer.shifts,
            means: means.ok_or_else(|| out_of_range("a mean"))?,
            log_weights_q32: log_weights.ok_or_else(|| out_of_range("a weight"))?,
            log_volume_q32: constant(log_volume).ok_or_else(|| out_of_range("the determinant"))?,
            ridge: gmm.ridge,
            packed: Ready::default(),
        })
    }

    /// Refuses contents that do not belong together; what passes is scored without overflow.
    pub(super) fn check(&self, head: HeadId, width: usize) -> Result<(), EnergyError> {
        use EnergyErrorKind::{Shape, Value};
        let wrong = |kind, what: &str| {
            let message = format!("head {head}: {what}: fit the heads again");
            Err(EnergyError::new(kind, message))
        };
        let (d, k) = (self.width(), self.components());
        if d == 0 || d != width {
            return wrong(Shape, &format!("fitted for {d} features, the backbone has {width}"));
        }
        if d > MOST_FEATURES || k == 0 {
            return wrong(Shape, &format!("{k} components of {d} features"));
        }
        let lengths = [
            ("weights", self.weights.len(), Some(d * (d + 1) / 2)),
            ("biases", self.biases.len(), Some(d)),
            ("shifts", self.shifts.len(), Some(d)),
            ("means", self.means.len(), k.checked_mul(d)),
        ];
        for (field, length, expected) in lengths {
            if Some(length) != expected {
                let what = format!("{field} has {length} numbers, not those of {d} features");
                return wrong(Shape, &what);
            }
        }
        let size = |row: &[u32]| row.iter().map(|w| u64::from(w.abs_diff(OFFSET))).sum::<u64>();
        let rows = (0..d).map(|i| &self.weights[i * (i + 1) / 2..][..=i]);
        if rows.map(size).any(|size| size >= 1 << WEIGHT_LIMIT) {
            return wrong(Value, "a row of weights is too large");
        }
        if self.shifts.iter().any(|&shift| shift > MOST_SHIFT) {
            return wrong(Value, "a shift is too large");
        }
        if self.means.iter().any(|m| m.unsigned_abs() >= 1 << WHITENED_LIMIT) {
            return wrong(Value, "a mean is too large");
        }
        let constants = self.log_weights_q32.iter().chain([&self.log_volume_q32]);
        if constants.into_iter().any(|x| x.unsigned_abs() >= 1 << CONSTANT_LIMIT) {
            return wrong(Value, "a logarithm is too large");
        }
        // 2⁻¹⁶: far above rounding, far below any use of weights.
        if log_sum_exp(self.log_weights_q32.iter().copied()).unsigned_abs() >= 1 << (HEAD_BITS - 16)
        {
            return wrong(Value, "weights do not add up to one");
        }
        if !self.ridge.is_finite() || self.ridge < 0.0 {
            return wrong(Value, "the ridge is not finite or negative");
        }
        Ok(())
    }
}

/// The mean of a mixture as a row of entries, from its whitened one by forward substitution. Any
/// centre is a right one, so a number that does not fit may be anything.
pub(super) fn centre(gmm: &float::Gmm, entry_bits: u32) -> Vec<i32> {
    let width = gmm.width as usize;
    let mut mean = vec![0.0; width];
    for (component, weight) in gmm.whitened_means.chunks_exact(width).zip(&gmm.log_weights) {
        mean.iter_mut().zip(component).for_each(|(sum, m)| *sum += libm::exp(*weight) * m);
    }
    let mut rest = &gmm.whitener[..];
    for i in 0..width {
        let (row, next) = rest.split_at(i + 1);
        rest = next;
        let known: f64 = row[..i].iter().zip(&mean).map(|(w, x)| w * x).sum();
        mean[i] = (mean[i] - known) / row[i];
    }
    let scale = power_of_two(entry_bits as i32);
    mean.iter().map(|x| (x * scale).round_ties_even() as i32).collect()
}

/// The linear layer of a mixture while it is made.
#[derive(Default)]
struct Layer {
    weights: Vec<u32>,
    biases: Vec<i64>,
    shifts: Vec<u8>,
}

impl Layer {
    /// Adds a row of `L⁻¹` at the largest scale that keeps the bound on its sum; `None` when it is
    /// too large at every scale.
    fn push(&mut self, row: &[f64], centre: &[i32], entry_bits: u32) -> Option<()> {
        let size: f64 = row.iter().map(|w| w.abs()).sum();
        // Rounding adds up to ½ per weight.
        let most = power_of_two(WEIGHT_LIMIT as i32) - row.len() as f64;
        let excess = WHITENED_BITS as i32 - entry_bits as i32;
        let fits = |shift: &u8| size * power_of_two(i32::from(*shift) + excess) <= most;
        let shift = (0..=MOST_SHIFT).rev().find(fits)?;
        let scale = power_of_two(i32::from(shift) + excess);
        let weights = row.iter().map(|w| (w * scale).round_ties_even() as i32);
        let products = weights
            .clone()
            .zip(centre)
            .map(|(w, &c)| i64::from(w) * (i64::from(c) + i64::from(OFFSET)));
        self.biases.push(products.fold(0, i64::wrapping_add));
        self.weights.extend(weights.map(|w| (w as u32) ^ OFFSET));
        self.shifts.push(shift);
        Some(())
    }
}
