//! What the rewrite pass has recognised, before anything is packed for a kernel.

use std::sync::Arc;

use tract_onnx::tract_core::internal::*;

use super::linear::Grids;
use super::step::{Average, Enter, MeanProduct, Product, Shift, Step, Table};
use crate::kernel::{
    Add, Conv, ConvSpec, Gemm, Grid, Kernel, KernelError, Map, MaxPool, Multiplier, Residual,
    Window, check_sums,
};

/// An int8 tensor of the graph: the output of one step.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub map: Map,
    /// The graph stores it as `u8`; here its top bit is flipped.
    pub unsigned: bool,
    pub recipe: Recipe,
    /// The node of the graph whose output it is, and its name.
    pub node: usize,
    pub name: String,
    /// Nodes of the graph that read it.
    pub readers: usize,
}

/// An int8 tensor on the grid that one reader of it gives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Read {
    /// Index of the [`Value`].
    pub value: usize,
    pub scale: f32,
    /// Of the value as stored here, top bit flipped.
    pub zero_point: i8,
}

/// The grid that a result is rounded to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub scale: f32,
    pub grid: Grid,
}

/// How a [`Value`] is computed.
#[derive(Clone, Debug)]
pub(super) enum Recipe {
    Enter {
        from: OutletId,
        target: Target,
    },
    Conv {
        layer: Arc<Layer>,
        target: Target,
        joined: Option<Joined>,
    },
    MaxPool {
        input: usize,
        window: Window,
    },
    Add {
        operands: [Read; 2],
        target: Target,
    },
    Table {
        input: Read,
        target: Target,
    },
    Shift {
        input: Read,
        offsets: Arc<[f32]>,
        target: Target,
    },
    Average {
        input: Read,
        target: Target,
    },
    Product {
        layer: Arc<Layer>,
        target: Target,
    },
    /// It is a step by now, or is not wanted.
    Planned,
}

/// What a convolution adds before it stores.
#[derive(Clone, Copy, Debug)]
pub(super) struct Joined {
    pub residual: Read,
    /// The convolution's own grid, where the graph rounds to it before the addition.
    pub own: Option<Target>,
}

/// A convolution or a matrix product with constant int8 weights.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub input: Read,
    pub weights: Weights,
    /// One per output channel, in units of `s_input · s_weight[c]`.
    pub bias: Vec<i32>,
    pub window: Window,
    pub groups: usize,
}

/// Symmetric int8 weights, `[out][in / groups][height][width]`, or `[out][in]` for a product.
///
/// They stay in the graph's tensor until they are packed: a second copy of all weights would double the
/// memory that loading takes.
#[derive(Clone, Debug)]
pub(super) struct Weights {
    q: Arc<Tensor>,
    grids: Grids,
}

impl Weights {
    /// Weights with one scale, or one per output channel (axis 0), that fit `i8` without their zero
    /// points; nothing when they are not such.
    pub fn new(q: &Arc<Tensor>, grids: &Grids) -> Option<Weights> {
        let along_channels = grids.scales.len() == 1 || grids.axis == 0;
        let weights = Weights { q: q.clone(), grids: grids.clone() };
        (along_channels && weights.values()?.all(|w| w.is_some())).then_some(weights)
    }

    /// Output channels.
    pub fn channels(&self) -> usize {
        self.q.shape()[0]
    }

    fn scale(&self, channel: usize) -> f32 {
        self.grids.scales[if self.grids.scales.len() == 1 { 0 } else { channel }]
    }

    /// `q − zero_point` of each, where it fits.
    fn values(&self) -> Option<impl Iterator<Item = Option<i8>>> {
        let zero = self.grids.indexer(self.q.shape());
        let symmetric =
            move |i: usize, q: i32| i8::try_from(q - self.grids.zero_points[zero(i)]).ok();
        let bytes: &[u8] = match self.q.datum_type() {
            DatumType::I8 | DatumType::U8 => self.q.as_bytes(),
            _ => return None,
        };
        let signed = self.q.datum_type() == DatumType::I8;
        let q = bytes.iter().map(move |&q| if signed { i32::from(q as i8) } else { i32::from(q) });
        Some(q.enumerate().map(move |(i, q)| symmetric(i, q)))
    }

    fn to_vec(&self) -> Vec<i8> {
        self.values().into_iter().flatten().flatten().collect()
    }
}

/// A final layer that multiplies the mean of a map, which the graph does not quantise, by a constant
/// matrix.
#[derive(Clone, Debug)]
pub(super) struct FloatTail {
    pub input: Read,
    pub map: Map,
    /// `[out][in]`
    pub weights: Vec<f32>,
    pub bias: Vec<f32>,
}

impl Layer {
    /// `s_input · s_weight[c]`.
    pub fn unit(&self, channel: usize) -> f64 {
        f64::from(self.input.scale) * f64::from(self.weights.scale(channel))
    }

    /// Refuses sums that could leave 32 bits.
    pub fn check(&self) -> Result<(), KernelError> {
        check_sums(&self.weights.to_vec(), &self.bias, self.input.zero_point)
    }

    fn multipliers(&self, scale: f32) -> Result<Vec<Multiplier>, KernelError> {
        (0..self.bias.len()).map(|c| Multiplier::new(self.unit(c) / f64::from(scale))).collect()
    }
}

fn ratio(read: Read, target: Target) -> Result<Multiplier, KernelError> {
    Multiplier::new(f64::from(read.scale) / f64::from(target.scale))
}

impl Value {
    /// The values that are read, in the order in which [`Step::run`] takes them.
    pub fn inputs(&self) -> Vec<usize> {
        match &self.recipe {
            Recipe::Enter { .. } | Recipe::Planned => vec![],
            Recipe::Conv { layer, joined, .. } => {
                let residual = joined.iter().map(|joined| joined.residual.value);
                std::iter::once(layer.input.value).chain(residual).collect()
            }
            Recipe::MaxPool { input, .. } => vec![*input],
            Recipe::Add { operands, .. } => operands.iter().map(|read| read.value).collect(),
            Recipe::Table { input, .. }
            | Recipe::Shift { input, .. }
            | Recipe::Average { input, .. } => vec![input.value],
            Recipe::Product { layer, .. } => vec![layer.input.value],
        }
    }

    /// Refuses what [`Value::plan`] would refuse, without packing anything.
    pub fn check(&self, values: &[Value]) -> Result<(), KernelError> {
        match &self.recipe {
            Recipe::Conv { layer, target, joined } => {
                layer.check()?;
                residual(*target, *joined)?;
                layer.multipliers(scale_of_sums(*target, *joined)).map(drop)
            }
            Recipe::Product { layer, target } => {
                layer.check()?;
                layer.multipliers(target.scale).map(drop)
            }
            _ => self.plan(Kernel::REFERENCE, values).map(drop),
        }
    }

    /// Plans it for a kernel; `values` are all values of the graph.
    pub fn plan(&self, kernel: Kernel, values: &[Value]) -> Result<Step, KernelError> {
        Ok(match &self.recipe {
            Recipe::Enter { target, .. } => {
                Step::Enter(Enter { map: self.map, scale: target.scale, grid: target.grid })
            }
            Recipe::Conv { layer, target, joined } => {
                let input = values[layer.input.value].map;
                Step::Conv(plan_conv(kernel, layer, input, *target, *joined)?)
            }
            Recipe::MaxPool { input, window } => {
                Step::MaxPool(MaxPool::new(kernel, values[*input].map, *window)?)
            }
            Recipe::Add { operands: [a, b], target } => Step::Add(
                self.map,
                Add {
                    kernel,
                    zero_points: [a.zero_point, b.zero_point],
                    multipliers: [ratio(*a, *target)?, ratio(*b, *target)?],
                    output: target.grid,
                },
            ),
            Recipe::Table { input, target } => Step::Table(Table::new(
                self.map,
                input.zero_point,
                ratio(*input, *target)?,
                target.grid,
            )),
            Recipe::Shift { input, offsets, target } => {
                Step::Shift(plan_shift(*input, offsets), target.grid, target.scale)
            }
            Recipe::Average { input, target } => {
                let from = values[input.value].map;
                let pixels = (from.height * from.width) as f64;
                let m = f64::from(input.scale) / (pixels * f64::from(target.scale));
                Step::Average(Average {
                    kernel,
                    channels: from.channels,
                    zero_point: input.zero_point,
                    multiplier: Multiplier::new(m)?,
                    grid: target.grid,
                })
            }
            Recipe::Planned => unreachable!("a value is planned once"),
            Recipe::Product { layer, target } => {
                let multipliers = layer.multipliers(target.scale)?;
                Step::Product(plan_product(kernel, layer)?, multipliers, target.grid)
            }
        })
    }
}

/// The matrix product of a layer, real results.
pub(super) fn plan_product(kernel: Kernel, layer: &Layer) -> Result<Product, KernelError> {
    let gemm = Gemm::new(kernel, &layer.weights.to_vec(), &layer.bias, layer.input.zero_point)?;
    Ok(Product::new(gemm, (0..layer.bias.len()).map(|c| layer.unit(c)).collect()))
}

/// A vector and its constants, real results.
pub(super) fn plan_shift(input: Read, offsets: &[f32]) -> Shift {
    let Read { scale, zero_point, .. } = input;
    Shift { zero_point, scale, offsets: offsets.to_vec() }
}

/// The final layer of a mean.
pub(super) fn plan_tail(kernel: Kernel, tail: &FloatTail) -> MeanProduct {
    MeanProduct {
        kernel,
        channels: tail.map.channels,
        zero_point: tail.input.zero_point,
        // One IEEE division of exact numbers: the same everywhere.
        unit: f64::from(tail.input.scale) / (tail.map.height * tail.map.width) as f64,
        weights: tail.weights.clone(),
        bias: tail.bias.clone(),
    }
}

/// The scale of the grid that a convolution's own sums lead to.
fn scale_of_sums(target: Target, joined: Option<Joined>) -> f32 {
    joined.and_then(|joined| joined.own).map_or(target.scale, |own| own.scale)
}

fn residual(target: Target, joined: Option<Joined>) -> Result<Residual, KernelError> {
    Ok(match joined {
        None => Residual::None,
        Some(Joined { residual, own: None }) => Residual::Direct {
            zero_point: residual.zero_point,
            multiplier: ratio(residual, target)?,
        },
        Some(Joined { residual, own: Some(own) }) => Residual::Rounded {
            own: own.grid,
            own_multiplier: Multiplier::new(f64::from(own.scale) / f64::from(target.scale))?,
            zero_point: residual.zero_point,
            multiplier: ratio(residual, target)?,
        },
    })
}

fn plan_conv(
    kernel: Kernel,
    layer: &Layer,
    input: Map,
    target: Target,
    joined: Option<Joined>,
) -> Result<Conv, KernelError> {
    Conv::new(
        kernel,
        &ConvSpec {
            input,
            input_zero_point: layer.input.zero_point,
            window: layer.window,
            groups: layer.groups,
            out_channels: layer.bias.len(),
            weights: &layer.weights.to_vec(),
            bias: &layer.bias,
            multipliers: &layer.multipliers(scale_of_sums(target, joined))?,
            residual: residual(target, joined)?,
            output: target.grid,
        },
    )
}
