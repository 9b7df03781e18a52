//! Reads a typed model and says which of its tensors the int8 steps can compute.
//!
//! One pass in evaluation order gives each tensor a [`Meaning`]. Real-valued results stay pending
//! ([`Real`]) until a `QuantizeLinear` reads them: there, and only there, a step comes to be. What has no
//! meaning here is left to tract.

use std::collections::HashMap;
use std::sync::Arc;

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn;
use tract_onnx::tract_core::ops::nn::DataFormat;

use super::linear::{Dequantize, Grids, Quantize};
use super::recipe::{FloatTail, Joined, Layer, Read, Recipe, Target, Value, Weights};
use crate::kernel::{Grid, Map, Moments, Window};

/// What a tensor of the graph is.
#[derive(Clone, Debug)]
pub(super) enum Meaning {
    /// A constant that is not quantised, or is small.
    Constant(Arc<Tensor>),
    /// A dequantised constant.
    Weights(Arc<Tensor>, Grids),
    /// An int8 tensor.
    Int8(usize),
    /// A real tensor of which int8 steps know the origin.
    Real(Real),
}

/// `min(max(base, low), high)`
#[derive(Clone, Debug)]
pub(super) struct Real {
    pub base: Base,
    pub low: f32,
    pub high: f32,
}

/// Where a real tensor comes from.
#[derive(Clone, Debug)]
pub(super) enum Base {
    Read(Read),
    Conv(Arc<Layer>, Map),
    /// A convolution and a map.
    Joined(Arc<Layer>, Read, Map),
    Sum(Read, Read),
    Pooled(Read, Window),
    /// A vector and a constant for each of its channels.
    Shifted(Read, Arc<[f32]>),
    SpatialSum(Read),
    Mean(Read),
    Product(Arc<Layer>),
    MeanProduct(Arc<FloatTail>),
}

impl From<Base> for Meaning {
    fn from(base: Base) -> Meaning {
        Meaning::Real(Real { base, low: f32::NEG_INFINITY, high: f32::INFINITY })
    }
}

impl Real {
    /// Whether no clamp lies on it.
    pub fn is_plain(&self) -> bool {
        self.low == f32::NEG_INFINITY && self.high == f32::INFINITY
    }
}

/// Every tensor that is understood, and how each int8 value is computed.
#[derive(Default)]
pub(super) struct Recognised {
    pub meanings: HashMap<OutletId, Meaning>,
    /// In evaluation order.
    pub values: Vec<Value>,
}

impl Recognised {
    /// Reads a model as imported, before tract rewrites it.
    pub fn of(model: &TypedModel) -> TractResult<Recognised> {
        let mut recognised = Recognised::default();
        for id in model.eval_order()? {
            let node = model.node(id);
            if let Some(meaning) = recognised.meaning_of(model, node) {
                recognised.meanings.insert(id.into(), meaning);
            }
        }
        Ok(recognised)
    }

    fn meaning_of(&mut self, model: &TypedModel, node: &TypedNode) -> Option<Meaning> {
        use tract_onnx::tract_core::ops;
        let fact = &node.outputs[0].fact;
        if let Some(constant) = node.op_as::<ops::konst::Const>() {
            return Some(Meaning::Constant(constant.val().clone()));
        }
        if let Some(quantize) = node.op_as::<Quantize>() {
            return self.quantize(model, node, quantize);
        }
        let inputs: Option<Vec<Meaning>> =
            node.inputs.iter().map(|input| self.meanings.get(input).cloned()).collect();
        let inputs = inputs?;
        if let Some(dequantize) = node.op_as::<Dequantize>() {
            return self.dequantize(&inputs[0], dequantize);
        }
        let are_constant = |m: &Meaning| matches!(m, Meaning::Constant(_) | Meaning::Weights(..));
        if !inputs.is_empty() && inputs.iter().all(are_constant) {
            return fold(node, &inputs);
        }
        if let Some(conv) = node.op_as::<cnn::Conv>() {
            return self.conv(conv, &inputs);
        }
        if let Some(pool) = node.op_as::<cnn::MaxPool>() {
            return self.max_pool(node, pool, &inputs[0]);
        }
        if let Some(pool) = node.op_as::<cnn::SumPool>() {
            return self.global_average(pool, &inputs[0]);
        }
        if let Some(reduce) = node.op_as::<ops::nn::Reduce>() {
            let spatial = reduce.reducer == ops::nn::Reducer::Sum && *reduce.axes == [2, 3];
            return match self.plain_read(&inputs[0]) {
                Some(read) if spatial => Some(Base::SpatialSum(read).into()),
                _ => None,
            };
        }
        if let Some(binary) = node.op_as::<ops::binary::TypedBinOp>() {
            return self.binary(&*binary.0, &inputs);
        }
        if let Some(einsum) = node.op_as::<ops::einsum::EinSum>() {
            return self.product(einsum, &inputs);
        }
        let passes = match node.op_as::<ops::cast::Cast>() {
            Some(cast) => cast.to == fact.datum_type && is_real(&inputs[0]),
            None => node.op_is::<ops::identity::Identity>(),
        };
        let reshapes = node.op_is::<AxisOp>() && self.is_vector(&inputs[0]);
        (inputs.len() == 1 && (passes || reshapes)).then(|| inputs[0].clone())
    }

    /// Whether the tensor has one value per channel, so that its axes do not matter.
    fn is_vector(&self, meaning: &Meaning) -> bool {
        let one = |value: usize| self.values[value].map.height * self.values[value].map.width == 1;
        match meaning {
            Meaning::Int8(value) => one(*value),
            Meaning::Real(real) => match real.base {
                Base::Read(read) => one(read.value),
                Base::SpatialSum(_) | Base::Mean(_) | Base::Product(_) | Base::MeanProduct(_) => {
                    true
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// A map read without a clamp.
    fn plain_read(&self, meaning: &Meaning) -> Option<Read> {
        match meaning {
            Meaning::Real(real @ Real { base: Base::Read(read), .. }) if real.is_plain() => {
                Some(*read)
            }
            _ => None,
        }
    }

    fn dequantize(&self, input: &Meaning, op: &Dequantize) -> Option<Meaning> {
        match input {
            Meaning::Constant(q) => Some(Meaning::Weights(q.clone(), op.grids.clone())),
            Meaning::Int8(value) => {
                let (scale, zero_point) = op.grids.single()?;
                let zero_point = self.stored(zero_point, self.values[*value].unsigned)?;
                Some(Base::Read(Read { value: *value, scale, zero_point }).into())
            }
            _ => None,
        }
    }

    /// A zero point of the graph as it is stored here.
    fn stored(&self, zero_point: i32, unsigned: bool) -> Option<i8> {
        i8::try_from(zero_point - if unsigned { 128 } else { 0 }).ok()
    }

    fn quantize(&mut self, model: &TypedModel, node: &TypedNode, op: &Quantize) -> Option<Meaning> {
        let input = node.inputs[0];
        if let Some(Meaning::Constant(x)) = self.meanings.get(&input) {
            return Some(Meaning::Constant(op.apply(x).ok()?.into_arc_tensor()));
        }
        let (scale, zero_point) = op.grids.single()?;
        let unsigned = op.to == DatumType::U8;
        let zero_point = self.stored(zero_point, unsigned)?;
        let grid = Grid::new(zero_point);
        let Some(Meaning::Real(real)) = self.meanings.get(&input).cloned() else {
            let fact = model.outlet_fact(input).ok()?;
            let map = nchw(fact)?;
            let target = Target { scale, grid };
            let recipe = Recipe::Enter { from: input, target };
            return self.value(node, map, unsigned, recipe);
        };
        let level = |x: f32| match x {
            f32::NEG_INFINITY => i8::MIN,
            f32::INFINITY => i8::MAX,
            x => grid.quantise((x / scale).clamp(-1e6, 1e6)),
        };
        let target = Target { scale, grid: grid.clamp(level(real.low), level(real.high)).ok()? };
        let same = |values: &[Value], read: &Read| {
            read.scale == scale
                && read.zero_point == zero_point
                && values[read.value].unsigned == unsigned
        };
        let (map, recipe) = match real.base {
            Base::Read(read) if same(&self.values, &read) && target.grid == grid => {
                return Some(Meaning::Int8(read.value));
            }
            Base::Read(read) => {
                (self.values[read.value].map, Recipe::Table { input: read, target })
            }
            Base::Conv(layer, map) => (map, Recipe::Conv { layer, target, joined: None }),
            Base::Joined(layer, residual, map) => {
                let joined = Some(Joined { residual, own: None });
                (map, Recipe::Conv { layer, target, joined })
            }
            Base::Sum(a, b) => (self.values[a.value].map, self.sum(model, a, b, target)),
            Base::Pooled(read, window) => {
                let [height, width] = window.output(self.values[read.value].map).ok()?;
                let map = Map { height, width, ..self.values[read.value].map };
                let from = &self.values[read.value];
                let recipe = Recipe::MaxPool { input: read.value, window };
                let name = format!("{}.pool", node.name);
                let pooled =
                    Value { map, unsigned: from.unsigned, recipe, node: node.id, name, readers: 1 };
                self.values.push(pooled);
                let pooled = Read { value: self.values.len() - 1, ..read };
                if same(&self.values, &pooled) && target.grid == grid {
                    return Some(Meaning::Int8(pooled.value));
                }
                (map, Recipe::Table { input: pooled, target })
            }
            Base::Mean(read) => {
                let channels = self.values[read.value].map.channels;
                let map = Map { height: 1, width: 1, channels };
                (map, Recipe::Average { input: read, target })
            }
            Base::Product(layer) => {
                let map = Map { height: 1, width: 1, channels: layer.bias.len() };
                (map, Recipe::Product { layer, target })
            }
            Base::Shifted(read, offsets) => {
                (self.values[read.value].map, Recipe::Shift { input: read, offsets, target })
            }
            Base::SpatialSum(_) | Base::MeanProduct(_) => return None,
        };
        self.value(node, map, unsigned, recipe)
    }

    /// A new value, when tract agrees on its shape and a kernel can compute it.
    fn value(
        &mut self,
        node: &TypedNode,
        map: Map,
        unsigned: bool,
        recipe: Recipe,
    ) -> Option<Meaning> {
        let agreed = map.height * map.width == 1 || nchw(&node.outputs[0].fact) == Some(map);
        let readers = node.outputs[0].successors.len();
        let (id, name) = (node.id, node.name.clone());
        let value = Value { map, unsigned, recipe, node: id, name, readers };
        let checked = value.check(&self.values);
        if let Err(why) = &checked {
            log::warn!("node `{}` is left to tract: {why}", node.name);
        }
        self.values.push(value);
        (agreed && checked.is_ok()).then(|| Meaning::Int8(self.values.len() - 1))
    }

    /// The addition of two maps: in the registers of a convolution where one of them is read by nothing
    /// else, on its own otherwise.
    fn sum(&self, model: &TypedModel, a: Read, b: Read, target: Target) -> Recipe {
        for (branch, residual) in [(a, b), (b, a)] {
            let Value { recipe, readers, .. } = &self.values[branch.value];
            if let Recipe::Conv { layer, target: own, joined: None } = recipe
                && *readers == 1
                && own.scale == branch.scale
                && own.grid.zero_point() == branch.zero_point
                && !self.is_wanted_elsewhere(model, branch.value)
            {
                let joined = Some(Joined { residual, own: Some(*own) });
                return Recipe::Conv { layer: layer.clone(), target, joined };
            }
        }
        Recipe::Add { operands: [a, b], target }
    }

    /// Whether an int8 value, or its dequantised form, is an output, or the latter has several readers.
    fn is_wanted_elsewhere(&self, model: &TypedModel, value: usize) -> bool {
        self.meanings.iter().any(|(outlet, meaning)| {
            let (reads, is_real) = match meaning {
                Meaning::Int8(other) => (*other == value, false),
                Meaning::Real(Real { base: Base::Read(read), .. }) => (read.value == value, true),
                _ => (false, false),
            };
            let readers = model.node(outlet.node).outputs[outlet.slot].successors.len();
            reads && (model.outputs.contains(outlet) || (is_real && readers != 1))
        })
    }

    fn conv(&self, op: &cnn::Conv, inputs: &[Meaning]) -> Option<Meaning> {
        let [input, Meaning::Weights(q, grids), bias] = inputs else { return None };
        let read = self.plain_read(input)?;
        let from = self.values[read.value].map;
        let plain = op.q_params.is_none() && op.kernel_fmt == cnn::KernelFormat::OIHW;
        if !plain || q.rank() != 4 {
            return None;
        }
        let window = window_of(&op.pool_spec, from)?;
        let layer = self.layer(read, Weights::new(q, grids)?, bias, window, op.group)?;
        let [height, width] = window.output(from).ok()?;
        let channels = layer.bias.len();
        Some(Base::Conv(Arc::new(layer), Map { height, width, channels }).into())
    }

    fn layer(
        &self,
        input: Read,
        weights: Weights,
        bias: &Meaning,
        window: Window,
        groups: usize,
    ) -> Option<Layer> {
        let channels = weights.channels();
        let mut layer = Layer { input, weights, bias: vec![], window, groups };
        layer.bias = bias_of(bias, channels, &layer)?;
        Some(layer)
    }

    fn max_pool(
        &mut self,
        node: &TypedNode,
        op: &cnn::MaxPool,
        input: &Meaning,
    ) -> Option<Meaning> {
        if op.with_index_outputs.is_some() {
            return None;
        }
        match input {
            Meaning::Int8(value) => {
                let Value { map: from, unsigned, .. } = self.values[*value];
                let window = window_of(&op.pool_spec, from)?;
                let [height, width] = window.output(from).ok()?;
                let recipe = Recipe::MaxPool { input: *value, window };
                self.value(node, Map { height, width, ..from }, unsigned, recipe)
            }
            Meaning::Real(Real { base: Base::Read(read), low, high }) => {
                let window = window_of(&op.pool_spec, self.values[read.value].map)?;
                let base = Base::Pooled(*read, window);
                Some(Meaning::Real(Real { base, low: *low, high: *high }))
            }
            _ => None,
        }
    }

    fn global_average(&self, op: &cnn::SumPool, input: &Meaning) -> Option<Meaning> {
        let read = self.plain_read(input)?;
        let from = self.values[read.value].map;
        let window = window_of(&op.pool_spec, from)?;
        let global = window.kernel == [from.height, from.width] && window.pad == [0; 4];
        match (global, op.normalize) {
            (true, true) => self.mean(read, 1.0),
            (true, false) => Some(Base::SpatialSum(read).into()),
            _ => None,
        }
    }

    /// The mean that a spatial sum becomes when it is divided by the pixels; `rest` is what the
    /// graph's divisor leaves of it.
    fn mean(&self, read: Read, rest: f32) -> Option<Meaning> {
        let map = self.values[read.value].map;
        let fits = map.height * map.width <= Moments::MOST_PIXELS;
        (fits && (rest - 1.0).abs() < 1e-6).then(|| Base::Mean(read).into())
    }

    fn binary(
        &self,
        op: &dyn tract_onnx::tract_core::ops::binary::BinMiniOp,
        inputs: &[Meaning],
    ) -> Option<Meaning> {
        use tract_onnx::tract_core::ops::math::{Add, Div, Max, Min, Mul};
        let [a, b] = inputs else { return None };
        if op.is::<Add>() {
            return self.add(a, b).or_else(|| self.add(b, a));
        }
        let (real, constant, swapped) = match (a, b) {
            (Meaning::Real(real), constant) => (real, constant, false),
            (constant, Meaning::Real(real)) => (real, constant, true),
            _ => return None,
        };
        let c = scalar(constant)?;
        if op.is::<Max>() || op.is::<Min>() {
            let clamp = |x: f32| if op.is::<Max>() { x.max(c) } else { x.min(c) };
            let (low, high) = (clamp(real.low), clamp(real.high));
            return Some(Meaning::Real(Real { base: real.base.clone(), low, high }));
        }
        match (&real.base, swapped) {
            (Base::SpatialSum(read), false) if op.is::<Div>() => {
                let map = self.values[read.value].map;
                self.mean(*read, c / (map.height * map.width) as f32)
            }
            (Base::SpatialSum(read), _) if op.is::<Mul>() => {
                let map = self.values[read.value].map;
                self.mean(*read, c * (map.height * map.width) as f32)
            }
            // The alpha of a Gemm.
            _ if op.is::<Mul>() && c == 1.0 => Some(Meaning::Real(real.clone())),
            _ => None,
        }
    }

    fn add(&self, a: &Meaning, b: &Meaning) -> Option<Meaning> {
        let Meaning::Real(real) = a else { return None };
        if !real.is_plain() {
            return None;
        }
        match (&real.base, self.plain_read(b), b) {
            (Base::Conv(layer, map), Some(read), _) if self.values[read.value].map == *map => {
                Some(Base::Joined(layer.clone(), read, *map).into())
            }
            (Base::Read(a), Some(b), _) if self.values[a.value].map == self.values[b.value].map => {
                Some(Base::Sum(*a, b).into())
            }
            (Base::Read(read), None, Meaning::Constant(_) | Meaning::Weights(..)) => {
                let map = self.values[read.value].map;
                let offsets = per_channel(b, map.channels).filter(|_| self.is_vector(a))?;
                let finite = offsets.iter().all(|offset| offset.is_finite());
                if !finite {
                    return None;
                }
                Some(Base::Shifted(*read, offsets.into()).into())
            }
            (Base::Product(layer), None, Meaning::Constant(_) | Meaning::Weights(..)) => {
                let mut layer = (**layer).clone();
                let more = bias_of(b, layer.bias.len(), &layer)?;
                for (bias, more) in layer.bias.iter_mut().zip(more) {
                    *bias = bias.checked_add(more)?;
                }
                layer.check().ok()?;
                Some(Base::Product(Arc::new(layer)).into())
            }
            (Base::MeanProduct(tail), None, Meaning::Constant(_) | Meaning::Weights(..)) => {
                let mut tail = (**tail).clone();
                let more = per_channel(b, tail.bias.len())?;
                tail.bias.iter_mut().zip(more).for_each(|(bias, more)| *bias += more);
                Some(Base::MeanProduct(Arc::new(tail)).into())
            }
            _ => None,
        }
    }

    /// The product of a vector and a constant matrix.
    fn product(
        &self,
        op: &tract_onnx::tract_core::ops::einsum::EinSum,
        inputs: &[Meaning],
    ) -> Option<Meaning> {
        let [input, weights] = inputs else { return None };
        let summed = op.axes.iter_all_axes().find(|axis| axis.outputs[0].is_empty())?;
        let &[summed_axis] = &summed.inputs[1][..] else { return None };
        let weights = if summed_axis == 1 { weights.clone() } else { turned(weights)? };
        if op.q_params.is_some() {
            return None;
        }
        if let Meaning::Real(real @ Real { base: Base::Mean(read), .. }) = input {
            let values = real_constant(&weights).filter(|_| real.is_plain())?;
            let values = values.cast_to::<f32>().ok()?;
            let &[rows, columns] = values.shape() else { return None };
            let values = values.to_plain_array_view::<f32>().ok()?.iter().copied().collect();
            let map = self.values[read.value].map;
            let tail = FloatTail { input: *read, map, weights: values, bias: vec![0.0; rows] };
            return (columns == map.channels).then(|| Base::MeanProduct(Arc::new(tail)).into());
        }
        let read = self.plain_read(input).filter(|_| self.is_vector(input))?;
        let Meaning::Weights(q, grids) = &weights else { return None };
        if q.rank() != 2 || q.shape()[1] != self.values[read.value].map.channels {
            return None;
        }
        let window = Window::square(1, 1, 0);
        let zero = Meaning::Constant(tensor0(0f32).into_arc_tensor());
        let layer = self.layer(read, Weights::new(q, grids)?, &zero, window, 1)?;
        layer.check().ok()?;
        Some(Base::Product(Arc::new(layer)).into())
    }
}

fn is_real(meaning: &Meaning) -> bool {
    matches!(meaning, Meaning::Real(_))
}

/// The map that an `1×C×H×W` or `1×C` tensor is.
fn nchw(fact: &TypedFact) -> Option<Map> {
    match *fact.shape.as_concrete()? {
        [1, channels, height, width] => Some(Map { height, width, channels }),
        [1, channels] => Some(Map { height: 1, width: 1, channels }),
        _ => None,
    }
}

/// A constant result of constant inputs, of operations that tract can evaluate alone.
fn fold(node: &TypedNode, inputs: &[Meaning]) -> Option<Meaning> {
    // A matrix of int8 weights may be turned and stay int8.
    if let ([weights @ Meaning::Weights(q, _)], Some(AxisOp::Move(from, to))) =
        (inputs, node.op_as::<AxisOp>())
        && q.rank() == 2
        && from != to
    {
        return turned(weights);
    }
    let tensors = inputs.iter().map(|input| Some(real_constant(input)?.into_tvalue()));
    let outputs = node.op.eval_out_of_plan(tensors.collect::<Option<_>>()?).ok()??;
    let [output] = &outputs[..] else { return None };
    Some(Meaning::Constant(output.clone().into_arc_tensor()))
}

/// A constant matrix with its axes exchanged.
fn turned(matrix: &Meaning) -> Option<Meaning> {
    let turn = |tensor: &Arc<Tensor>| {
        let turned = (**tensor).clone().permute_axes(&[1, 0]).ok()?;
        (tensor.rank() == 2).then(|| turned.into_arc_tensor())
    };
    match matrix {
        Meaning::Constant(tensor) => Some(Meaning::Constant(turn(tensor)?)),
        Meaning::Weights(q, grids) => {
            let axis = 1 - grids.axis.min(1);
            Some(Meaning::Weights(turn(q)?, Grids { axis, ..grids.clone() }))
        }
        _ => None,
    }
}

/// The values of a constant, dequantised where it is quantised.
pub(super) fn real_constant(meaning: &Meaning) -> Option<Arc<Tensor>> {
    match meaning {
        Meaning::Constant(tensor) => Some(tensor.clone()),
        Meaning::Weights(q, grids) => {
            Some(Dequantize { grids: grids.clone() }.apply(q).ok()?.into_arc_tensor())
        }
        _ => None,
    }
}

fn scalar(meaning: &Meaning) -> Option<f32> {
    let tensor = real_constant(meaning).filter(|tensor| tensor.len() == 1)?;
    let tensor = tensor.cast_to::<f32>().ok()?;
    tensor.to_plain_array_view::<f32>().ok()?.first().copied()
}

/// A bias of `channels` values in the units of `layer`, rounded to nearest.
fn bias_of(bias: &Meaning, channels: usize, layer: &Layer) -> Option<Vec<i32>> {
    let one = |(c, b): (usize, f32)| {
        let q = (f64::from(b) / layer.unit(c)).round_ties_even();
        (q.abs() < f64::from(i32::MAX)).then_some(q as i32)
    };
    per_channel(bias, channels)?.into_iter().enumerate().map(one).collect()
}

/// A constant with one value for all channels or one for each.
fn per_channel(constant: &Meaning, channels: usize) -> Option<Vec<f32>> {
    let values = real_constant(constant)?;
    let values = values.cast_to::<f32>().ok()?;
    let values: Vec<f32> = values.to_plain_array_view::<f32>().ok()?.iter().copied().collect();
    match values.len() {
        1 => Some(vec![values[0]; channels]),
        n => (n == channels).then_some(values),
    }
}

fn window_of(spec: &cnn::PoolSpec, from: Map) -> Option<Window> {
    let &[height, width] = &spec.kernel_shape[..] else { return None };
    if spec.data_format != DataFormat::NCHW {
        return None;
    }
    let padding = spec.computed_padding(&[from.height, from.width]);
    let [down, across] = &padding[..] else { return None };
    Some(Window {
        kernel: [height, width],
        stride: [spec.stride(0), spec.stride(1)],
        dilation: [spec.dilation(0), spec.dilation(1)],
        pad: [down.pad_before, across.pad_before, down.pad_after, across.pad_after],
    })
}
