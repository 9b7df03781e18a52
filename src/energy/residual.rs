//! The residual of a refined head, in integers.
//!
//! Weights are int8 with a scale per row, activations 16-bit with a power-of-two step per application
//! of a layer. A 16-bit activation is `256 · high + low`, both int8, so that one pass of the int8
//! product over the weights multiplies both planes; a sum of products, joined in 64 bits, is exact. It is
//! rounded once: after scale, bias and leaky ReLU, to the step of the next application.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::fixed::{HEAD_BITS, power_of_two, round_shift, saturate};
use super::ready::Ready;
use super::{EnergyError, EnergyErrorKind, HeadId, float};
use crate::kernel::{self, Gemm, Kernel, Leaky, Planes};

/// How many times as large as in training an activation may be before it saturates.
const HEADROOM: f64 = 4.0;
/// Range of the fractional bits of an activation.
const BITS: std::ops::RangeInclusive<i8> = -16..=30;
/// Largest multiplier. A row of 2¹³ products of an activation and a weight is below 2³⁵ in size, and
/// below 2⁵⁹ once multiplied.
const MOST_MULTIPLIER: u32 = 1 << 24;
/// Bits of the largest bias as it is added to multiplied products: their sum stays below 2⁶¹.
const BIAS_LIMIT: i32 = 60;
/// Largest shift of such a sum: half a step is below 2⁶², and may be added.
const MOST_SHIFT: i32 = 62;

/// A fully connected layer. Row r has the weights `weights[r, ·] · multipliers[r] · 2^-shifts[r]` and
/// the bias `biases[r] · 2^-(shifts[r] + bits)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Dense {
    inputs: u32,
    outputs: u32,
    /// outputs × inputs, row by row.
    pub(super) weights: Vec<i8>,
    /// 1 … 2²⁴
    pub(super) multipliers: Vec<u32>,
    pub(super) shifts: Vec<i8>,
    /// Fractional bits of the coarsest input that the layer is applied to.
    pub(super) bits: i8,
    pub(super) biases: Vec<i64>,
}

/// `f : R^D → R`; see [`float::Residual`] for its meaning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Residual {
    pub(super) layers: Vec<Dense>,
    /// Indices into `layers` in the order of application.
    pub(super) order: Vec<u32>,
    /// Fractional bits of the input of each application.
    pub(super) bits: Vec<i8>,
    /// The kernel, and the layers as it reads them; shared by clones.
    #[serde(skip)]
    packed: Ready<(Kernel, Arc<[Gemm]>)>,
}

/// What applying layers needs.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffers {
    input: Planes,
    /// Sums of products of the high and of the low bytes.
    sums: [Vec<i32>; 2],
    scratch: kernel::Scratch,
}

impl Residual {
    /// D, the length of a feature row.
    pub fn width(&self) -> usize {
        let first = self.order.first().and_then(|&layer| self.layers.get(layer as usize));
        first.map_or(0, |layer| layer.inputs as usize)
    }

    /// Length of the input of each application, in their order; the last one gives one number.
    pub fn widths(&self) -> Vec<usize> {
        let layers = self.order.iter().filter_map(|&layer| self.layers.get(layer as usize));
        layers.map(|layer| layer.inputs as usize).collect()
    }

    /// Number of distinct weights and biases.
    pub fn parameters(&self) -> usize {
        self.layers.iter().map(|layer| layer.weights.len() + layer.biases.len()).sum()
    }

    /// Packs the weights for a kernel.
    pub(super) fn pack(&mut self, kernel: Kernel) {
        self.packed = Ready::of(self.packed_for(kernel));
    }

    fn packed_for(&self, kernel: Kernel) -> (Kernel, Arc<[Gemm]>) {
        let pack = |layer: &Dense| {
            let no_bias = vec![0; layer.outputs as usize];
            Gemm::new(kernel, &layer.weights, &no_bias, 0)
                .expect("2¹³ checked products of bytes fit 32 bits")
        };
        (kernel, self.layers.iter().map(pack).collect())
    }

    /// `f(row)` as Q31.32, saturated, of a row of D entries with `entry_bits` fractional bits.
    pub(super) fn evaluate_q32(&self, row: &[i32], entry_bits: u32, buffers: &mut Buffers) -> i64 {
        let (kernel, packed) = self.packed.get_or_init(|| self.packed_for(Kernel::detect()));
        let Buffers { input, sums, scratch } = buffers;
        let shift = (entry_bits as i32 - i32::from(self.bits[0])) as u32;
        input.fill(*kernel, row, shift);
        for (application, &layer) in self.order.iter().enumerate() {
            let gemm = &packed[layer as usize];
            let layer = &self.layers[layer as usize];
            let bits = i32::from(self.bits[application]);
            sums.iter_mut().for_each(|sums| sums.resize(gemm.rows(), 0));
            gemm.reserve(scratch);
            let [high, low] = &mut *sums;
            let backwards = application % 2 == 1;
            gemm.run_planes(input, [high, low], backwards, scratch);
            // An input has so many more fractional bits than the biases were made for.
            let finer = (bits - i32::from(layer.bits)) as u32;
            let Some(&next) = self.bits.get(application + 1) else {
                return layer.last_q32([high[0], low[0]], finer, bits);
            };
            let leaky = Leaky {
                multipliers: &layer.multipliers,
                shifts: &layer.shifts,
                biases: &layer.biases,
                finer,
                coarser: bits - i32::from(next),
            };
            leaky.run(*kernel, [high, low], input);
        }
        0
    }
}

impl Dense {
    /// The first row of the last layer, whose inputs have `bits` fractional bits, as Q31.32.
    fn last_q32(&self, [high, low]: [i32; 2], finer: u32, bits: i32) -> i64 {
        let products = 256 * i64::from(high) + i64::from(low);
        let y = products * i64::from(self.multipliers[0]) + (self.biases[0] << finer);
        to_q32(y, i32::from(self.shifts[0]) + bits)
    }
}

/// A number with `bits` fractional bits as Q31.32.
fn to_q32(y: i64, bits: i32) -> i64 {
    match u32::try_from(bits - HEAD_BITS as i32) {
        Ok(shift) => saturate(round_shift(y.into(), shift)),
        Err(_) => saturate(i128::from(y) << (HEAD_BITS as i32 - bits)),
    }
}

impl Residual {
    /// The integer form of a trained residual over rows with `entry_bits` fractional bits, whose
    /// entries are at most `most` in size. `head` names it in errors: contents that
    /// [`float::Residual`] cannot have, or numbers out of the range of the integers.
    pub(super) fn fix(
        residual: &float::Residual,
        (entry_bits, most): (u32, f64),
        head: HeadId,
    ) -> Result<Residual, EnergyError> {
        let out_of_range = |what: String| {
            let message = format!("head {head}: {what} is out of range: fit other features");
            EnergyError::new(EnergyErrorKind::Value, message)
        };
        let mut bits = Vec::with_capacity(residual.order.len());
        for (application, &range) in residual.ranges.iter().enumerate() {
            let first = application == 0;
            let range = f64::from(range) * HEADROOM;
            let range = if first { range.min(most) } else { range };
            let fits = |bits: &i8| range * power_of_two((*bits).into()) <= Planes::LIMIT as f64;
            let found = BITS.rev().filter(|&b| !first || i64::from(b) <= entry_bits.into());
            let found = found.into_iter().find(fits);
            bits.push(found.ok_or_else(|| out_of_range(format!("input {application}")))?);
        }
        let fix = |(index, layer): (usize, &float::Dense)| {
            Dense::fix(layer, &uses(&residual.order, &bits, index as u32))
                .ok_or_else(|| out_of_range(format!("layer {index}")))
        };
        let layers = residual.layers.iter().enumerate().map(fix).collect::<Result<_, _>>()?;
        Ok(Residual { layers, order: residual.order.clone(), bits, packed: Ready::default() })
    }

    /// Refuses contents that do not belong together; what passes is evaluated without overflow.
    pub(super) fn check(
        &self,
        entry_bits: u32,
        head: HeadId,
        width: usize,
    ) -> Result<(), EnergyError> {
        let wrong = |kind, what: String| {
            let message = format!("head {head}: {what}: fit the heads again");
            Err(EnergyError::new(kind, message))
        };
        let shapes = self.layers.iter().map(|layer| [layer.inputs, layer.outputs]);
        float::check_order(shapes, &self.order, head, width)?;
        if self.bits.len() != self.order.len() {
            let what = format!("{} scales of {} inputs", self.bits.len(), self.order.len());
            return wrong(EnergyErrorKind::Shape, what);
        }
        let all_bits = self.bits.iter().chain(self.layers.iter().map(|layer| &layer.bits));
        if let Some(bits) = all_bits.into_iter().find(|bits| !BITS.contains(bits)) {
            return wrong(
                EnergyErrorKind::Value,
                format!("{bits} fractional bits are out of range"),
            );
        }
        if i64::from(self.bits[0]) > entry_bits.into() {
            return wrong(EnergyErrorKind::Value, "the first input is too fine".into());
        }
        for (index, layer) in self.layers.iter().enumerate() {
            let (rows, weights) = (layer.outputs as usize, layer.weights.len());
            let lengths = [layer.multipliers.len(), layer.shifts.len(), layer.biases.len()];
            if weights != rows * layer.inputs as usize || lengths != [rows; 3] {
                let what = format!("layer {index} has not the numbers of {rows} rows");
                return wrong(EnergyErrorKind::Shape, what);
            }
            if !layer.is_in_range(&uses(&self.order, &self.bits, index as u32)) {
                let what = format!("layer {index} has a number out of range");
                return wrong(EnergyErrorKind::Value, what);
            }
        }
        Ok(())
    }
}

/// An application of a layer: fractional bits of its input, and of the next one; `None` at the end.
type Use = (i32, Option<i32>);

/// The applications of a layer.
fn uses(order: &[u32], bits: &[i8], layer: u32) -> Vec<Use> {
    let applied = (0..order.len()).filter(|&application| order[application] == layer);
    applied.map(|a| (bits[a].into(), bits.get(a + 1).map(|&next| next.into()))).collect()
}

/// The shifts that rows of a layer may have, for all of its applications.
fn shifts(uses: &[Use]) -> std::ops::RangeInclusive<i32> {
    let least = uses.iter().map(|&(bits, next)| next.map_or(0, |next| next + 1) - bits).max();
    let most = uses.iter().map(|&(bits, next)| MOST_SHIFT + next.unwrap_or(0) - bits).min();
    least.unwrap_or(0)..=most.unwrap_or(0)
}

impl Dense {
    /// The integer form of a layer; `None` when a row is too large for its uses.
    fn fix(layer: &float::Dense, uses: &[Use]) -> Option<Dense> {
        let inputs = uses.iter().map(|&(bits, _)| bits);
        let (coarsest, finest) = (inputs.clone().min()?, inputs.max()?);
        let mut fixed = Dense {
            inputs: layer.inputs,
            outputs: layer.outputs,
            weights: Vec::with_capacity(layer.weights.len()),
            multipliers: Vec::with_capacity(layer.biases.len()),
            shifts: Vec::with_capacity(layer.biases.len()),
            bits: coarsest as i8,
            biases: Vec::with_capacity(layer.biases.len()),
        };
        for (row, &bias) in layer.weights.chunks_exact(layer.inputs as usize).zip(&layer.biases) {
            let bias = f64::from(bias);
            let largest = row.iter().fold(0.0, |most: f64, &w| most.max(f64::from(w).abs()));
            let step = largest / f64::from(i8::MAX);
            // The finest scale that the multiplier, the bias and the shifts have room for.
            let fits = |shift: &i32| {
                step * power_of_two(*shift) <= f64::from(MOST_MULTIPLIER)
                    && bias.abs() * power_of_two(shift + finest) < power_of_two(BIAS_LIMIT) - 1.0
            };
            let shift = shifts(uses).rev().find(fits)?;
            let multiplier = (step * power_of_two(shift)).ceil().max(1.0);
            let scale = power_of_two(shift) / multiplier;
            let weight = |&w: &f32| (f64::from(w) * scale).round_ties_even() as i8;
            fixed.weights.extend(row.iter().map(weight));
            fixed.multipliers.push(multiplier as u32);
            fixed.shifts.push(i8::try_from(shift).ok()?);
            fixed.biases.push((bias * power_of_two(shift + coarsest)).round_ties_even() as i64);
        }
        Some(fixed)
    }

    /// Whether no application of this layer can overflow.
    fn is_in_range(&self, uses: &[Use]) -> bool {
        let shifts = shifts(uses);
        let finer = uses.iter().map(|&(bits, _)| bits - i32::from(self.bits));
        let (least, most) = (finer.clone().min().unwrap_or(0), finer.max().unwrap_or(0));
        least >= 0
            && self.multipliers.iter().all(|multiplier| (1..=MOST_MULTIPLIER).contains(multiplier))
            && self.shifts.iter().all(|&shift| shifts.contains(&shift.into()))
            && self.biases.iter().all(|bias| bias.unsigned_abs() < 1 << (BIAS_LIMIT - most))
    }
}
