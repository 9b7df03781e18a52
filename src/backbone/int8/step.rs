//! One planned step of an int8 network, and the tract operator that it is.

use std::ops::Range;
use std::sync::Arc;

use tract_onnx::tract_core::internal::*;

use crate::kernel::{
    Add, Conv, Gemm, Grid, Kernel, Map, MaxPool, Moments, Multiplier, Scratch, requantise_table,
};

/// A thread's working memory: what the steps of a network need beside their maps.
#[derive(Default)]
pub(super) struct Workspace {
    pub scratch: Scratch,
    pub moments: Moments,
    sums: Vec<i32>,
}

/// A fused int8 operation on NHWC maps of one image.
///
/// As a tract operator it takes and gives tensors of `i8` and of shape `1×H×W×C`, except that
/// [`Step::Enter`] takes a float `N×C×H×W` tensor, and that [`Step::Last`] gives floats.
pub(super) enum Step {
    Enter(Enter),
    Conv(Conv),
    MaxPool(MaxPool),
    Add(Map, Add),
    Table(Table),
    /// Rounded to a grid of this scale.
    Shift(Shift, Grid, f32),
    Average(Average),
    /// Rounded to a grid by a multiplier for each row.
    Product(Product, Vec<Multiplier>, Grid),
    /// A final layer with real results.
    Last(Last),
}

/// A final layer whose results are real numbers.
pub(super) enum Last {
    Product(Product),
    MeanProduct(MeanProduct),
    Shift(Shift),
}

/// Quantises a float map.
#[derive(Clone, Debug)]
pub(super) struct Enter {
    pub map: Map,
    pub scale: f32,
    pub grid: Grid,
}

impl Enter {
    /// `QuantizeLinear` of one value.
    pub fn quantise(&self, x: f32) -> i8 {
        let t = x / self.scale;
        self.grid.quantise(if t.is_nan() { 0.0 } else { t })
    }

    /// From `C×H×W` floats to an NHWC map.
    fn run(&self, x: &[f32], output: &mut [i8]) {
        let area = self.map.height * self.map.width;
        for (pixel, out) in output.chunks_exact_mut(self.map.channels).enumerate() {
            for (c, out) in out.iter_mut().enumerate() {
                *out = self.quantise(x[c * area + pixel]);
            }
        }
    }
}

/// A change of grid, value by value.
pub(super) struct Table {
    map: Map,
    table: Box<[i8; 256]>,
}

impl Table {
    pub fn new(map: Map, zero_point: i8, multiplier: Multiplier, output: Grid) -> Table {
        Table { map, table: Box::new(requantise_table(zero_point, multiplier, output)) }
    }
}

/// A vector plus a constant for each channel: `(q − zero_point) · scale + offset[c]`.
pub(super) struct Shift {
    pub zero_point: i8,
    pub scale: f32,
    /// Finite.
    pub offsets: Vec<f32>,
}

impl Shift {
    fn reals(&self, input: &[i8]) -> impl Iterator<Item = f64> {
        let unit = f64::from(self.scale);
        input.iter().zip(&self.offsets).map(move |(&q, &offset)| {
            f64::from(i32::from(q) - i32::from(self.zero_point)) * unit + f64::from(offset)
        })
    }
}

/// Global average pooling.
pub(super) struct Average {
    pub kernel: Kernel,
    pub channels: usize,
    pub zero_point: i8,
    pub multiplier: Multiplier,
    pub grid: Grid,
}

/// The final layer.
pub(super) struct Product {
    gemm: Gemm,
    /// `s_input · s_weight[row]`.
    units: Vec<f64>,
}

impl Product {
    pub fn new(gemm: Gemm, units: Vec<f64>) -> Product {
        Product { gemm, units }
    }

    /// Exact sums of each row and their unit.
    fn sums<'w>(
        &'w self,
        input: &[i8],
        workspace: &'w mut Workspace,
    ) -> impl Iterator<Item = (i32, f64)> + use<'w> {
        let sums = &mut workspace.sums[..self.gemm.rows()];
        self.gemm.run(input, sums, &mut workspace.scratch);
        sums.iter().copied().zip(self.units.iter().copied())
    }
}

/// The final layer on the exact mean of a map: `logit[r] = bias[r] + Σ_c mean[c] · weight[r][c]`.
pub(super) struct MeanProduct {
    pub kernel: Kernel,
    pub channels: usize,
    pub zero_point: i8,
    /// What a sum over the map's pixels is multiplied by.
    pub unit: f64,
    pub weights: Vec<f32>,
    pub bias: Vec<f32>,
}

impl MeanProduct {
    fn rows<'w>(
        &'w self,
        input: &[i8],
        workspace: &'w mut Workspace,
    ) -> impl Iterator<Item = f64> + use<'w> {
        workspace.moments.take(self.kernel, input);
        let moments = &workspace.moments;
        self.weights.chunks_exact(self.channels).zip(&self.bias).map(|(row, bias)| {
            // One sum in the order of the channels: IEEE fixes each of its steps.
            let products = moments.centred(self.zero_point).zip(row);
            let sum = products.fold(0.0, |sum, (x, &w)| sum + f64::from(x) * f64::from(w));
            sum * self.unit + f64::from(*bias)
        })
    }
}

impl Step {
    /// What it is called in a listing.
    pub fn name(&self) -> &'static str {
        match self {
            Step::Enter(_) => "Int8Quantize",
            Step::Conv(_) => "Int8Conv",
            Step::MaxPool(_) => "Int8MaxPool",
            Step::Add(..) => "Int8Add",
            Step::Table(_) => "Int8Requantize",
            Step::Shift(..) | Step::Last(Last::Shift(_)) => "Int8AddConstant",
            Step::Average(_) => "Int8GlobalAveragePool",
            Step::Product(..) | Step::Last(Last::Product(_)) => "Int8Gemm",
            Step::Last(Last::MeanProduct(_)) => "Int8MeanGemm",
        }
    }

    /// How it is computed, where there is something to say.
    pub fn how(&self) -> String {
        match self {
            Step::Conv(conv) => conv.describe(),
            _ => String::new(),
        }
    }

    /// The map that it makes.
    pub fn output(&self) -> Map {
        let vector = |channels| Map { height: 1, width: 1, channels };
        match self {
            Step::Enter(enter) => enter.map,
            Step::Conv(conv) => conv.output(),
            Step::MaxPool(pool) => pool.output(),
            Step::Add(map, _) => *map,
            Step::Table(table) => table.map,
            Step::Shift(shift, ..) | Step::Last(Last::Shift(shift)) => vector(shift.offsets.len()),
            Step::Average(average) => vector(average.channels),
            Step::Product(product, ..) | Step::Last(Last::Product(product)) => {
                vector(product.gemm.rows())
            }
            Step::Last(Last::MeanProduct(tail)) => vector(tail.bias.len()),
        }
    }

    /// Multiply-accumulates of one frame.
    pub fn macs(&self) -> u64 {
        match self {
            Step::Conv(conv) => conv.macs(),
            Step::Product(product, ..) | Step::Last(Last::Product(product)) => {
                (product.gemm.rows() * product.gemm.columns()) as u64
            }
            Step::Last(Last::MeanProduct(tail)) => tail.weights.len() as u64,
            _ => 0,
        }
    }

    /// Whether results are real numbers and not int8.
    pub fn is_real(&self) -> bool {
        matches!(self, Step::Last(_))
    }

    /// The real results of the final layer, in f64: exact products of integers and scales, or sums whose
    /// order is fixed.
    pub fn reals(&self, input: &[i8], workspace: &mut Workspace, mut take: impl FnMut(f64)) {
        let Step::Last(last) = self else { return };
        match last {
            Last::Product(product) => {
                product.sums(input, workspace).for_each(|(sum, unit)| take(f64::from(sum) * unit));
            }
            Last::MeanProduct(tail) => tail.rows(input, workspace).for_each(take),
            Last::Shift(shift) => shift.reals(input).for_each(take),
        }
    }

    /// Grows `workspace` to what [`Step::run`] needs.
    pub fn reserve(&self, workspace: &mut Workspace) {
        match self {
            Step::Conv(conv) => conv.reserve(&mut workspace.scratch),
            Step::Average(Average { channels, .. })
            | Step::Last(Last::MeanProduct(MeanProduct { channels, .. })) => {
                if workspace.moments.sum().len() != *channels {
                    workspace.moments = Moments::new(*channels);
                }
            }
            Step::Product(product, ..) | Step::Last(Last::Product(product)) => {
                product.gemm.reserve(&mut workspace.scratch);
                let rows = product.gemm.rows();
                workspace.sums.resize(workspace.sums.len().max(rows), 0);
            }
            Step::Enter(_)
            | Step::MaxPool(_)
            | Step::Add(..)
            | Step::Table(_)
            | Step::Shift(..)
            | Step::Last(Last::Shift(_)) => {}
        }
    }

    /// Computes the output rows `rows` from whole input maps; every split gives the same bytes.
    ///
    /// Not for [`Step::Enter`], whose input is no int8 map, nor for a product with real results.
    pub fn run(
        &self,
        inputs: [&[i8]; 2],
        rows: Range<usize>,
        output: &mut [i8],
        workspace: &mut Workspace,
    ) {
        let [input, second] = inputs;
        let part = |map: Map| rows.start * map.row_len()..rows.end * map.row_len();
        match self {
            Step::Conv(conv) => conv.run(input, second, rows, output, &mut workspace.scratch),
            Step::MaxPool(pool) => pool.run(input, rows, output),
            Step::Add(map, add) => add.run(&input[part(*map)], &second[part(*map)], output),
            Step::Table(table) => {
                for (out, &q) in output.iter_mut().zip(&input[part(table.map)]) {
                    *out = table.table[usize::from(q as u8)];
                }
            }
            Step::Shift(shift, grid, scale) => {
                for (out, x) in output.iter_mut().zip(shift.reals(input)) {
                    *out = grid.quantise((x / f64::from(*scale)) as f32);
                }
            }
            Step::Average(average) => {
                let Average { kernel, zero_point, multiplier, grid, .. } = average;
                workspace.moments.take(*kernel, input);
                workspace.moments.quantise(*zero_point, *multiplier, *grid, output);
            }
            Step::Product(product, multipliers, grid) => {
                let rows = multipliers.iter().zip(output);
                for ((m, out), (sum, _)) in rows.zip(product.sums(input, workspace)) {
                    *out = grid.quantise(sum as f32 * m.get());
                }
            }
            Step::Enter(_) | Step::Last(_) => unreachable!("not from int8 to int8"),
        }
    }
}

/// A [`Step`] as an operator of tract.
#[derive(Clone)]
pub(super) struct Int8Op(pub Arc<Step>);

impl std::fmt::Debug for Int8Op {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name())
    }
}

impl PartialEq for Int8Op {
    fn eq(&self, other: &Int8Op) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Int8Op {}

impl Op for Int8Op {
    fn name(&self) -> StaticName {
        self.0.name().into()
    }
    op_as_typed_op!();
}

impl EvalOp for Int8Op {
    not_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let step = &*self.0;
        let map = step.output();
        if let Step::Enter(enter) = step {
            let mut output = vec![0; map.len()];
            let x = inputs[0].to_plain_array_view::<f32>()?;
            enter.run(x.as_slice().context("a dense tensor")?, &mut output);
            return Ok(tvec!(nhwc(map, output)?.into_tvalue()));
        }
        let views = inputs.iter().map(|input| input.to_plain_array_view::<i8>());
        let views = views.collect::<TractResult<TVec<_>>>()?;
        let slice = |i: usize| views.get(i).and_then(|view| view.as_slice()).unwrap_or(&[]);
        let mut workspace = Workspace::default();
        step.reserve(&mut workspace);
        if step.is_real() {
            let mut reals = Vec::with_capacity(map.channels);
            step.reals(slice(0), &mut workspace, |x| reals.push(x as f32));
            return Ok(tvec!(
                tract_ndarray::Array2::from_shape_vec((1, reals.len()), reals)?.into_tvalue()
            ));
        }
        let mut output = vec![0; map.len()];
        step.run([slice(0), slice(1)], 0..map.height, &mut output, &mut workspace);
        Ok(tvec!(nhwc(map, output)?.into_tvalue()))
    }
}

fn nhwc(map: Map, values: Vec<i8>) -> TractResult<Tensor> {
    let shape = (1, map.height, map.width, map.channels);
    Ok(tract_ndarray::Array4::from_shape_vec(shape, values)?.into())
}

impl TypedOp for Int8Op {
    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let map = self.0.output();
        Ok(tvec!(match self.0.is_real() {
            true => f32::fact([1, map.channels]),
            false => i8::fact([1, map.height, map.width, map.channels]),
        }))
    }
    as_op!();
}

/// From an int8 NHWC map back to the tensor of the original graph.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Leave {
    pub map: Map,
    pub shape: TVec<usize>,
    pub to: LeaveTo,
}

/// What [`Leave`] makes of each value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum LeaveTo {
    I8,
    U8,
    /// `(q − zero_point) · scale`
    Real {
        scale: f32,
        zero_point: i8,
    },
}

impl Eq for Leave {}

impl Op for Leave {
    fn name(&self) -> StaticName {
        "Int8Dequantize".into()
    }
    op_as_typed_op!();
}

impl EvalOp for Leave {
    not_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let q = inputs[0].to_plain_array_view::<i8>()?;
        let q = q.as_slice().context("a dense tensor")?;
        let (area, channels) = (self.map.height * self.map.width, self.map.channels);
        let planes = (0..q.len()).map(|i| q[i % area * channels + i / area]);
        let shape = &*self.shape;
        let output: Tensor = match self.to {
            LeaveTo::I8 => tract_ndarray::ArrayD::from_shape_vec(shape, planes.collect())?.into(),
            LeaveTo::U8 => {
                let planes = planes.map(|q| q as u8 ^ 128).collect();
                tract_ndarray::ArrayD::<u8>::from_shape_vec(shape, planes)?.into()
            }
            LeaveTo::Real { scale, zero_point } => {
                let real = |q: i8| (i32::from(q) - i32::from(zero_point)) as f32 * scale;
                let planes = planes.map(real).collect();
                tract_ndarray::ArrayD::<f32>::from_shape_vec(shape, planes)?.into()
            }
        };
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Leave {
    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let datum_type = match self.to {
            LeaveTo::I8 => i8::datum_type(),
            LeaveTo::U8 => u8::datum_type(),
            LeaveTo::Real { .. } => f32::datum_type(),
        };
        Ok(tvec!(datum_type.fact(&*self.shape)))
    }
    as_op!();
}
