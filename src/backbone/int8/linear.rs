//! `QuantizeLinear` and `DequantizeLinear` as ONNX defines them.
//!
//! They take the place of tract's own on import: these keep scales and zero points to the bit, keep
//! int8 weights int8 instead of folding them to floats, and refuse numbers that mean nothing. The rewrite
//! pass removes them; what it leaves is evaluated here.

use std::sync::Arc;

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// One grid for a tensor, or one for each entry of an axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grids {
    /// Positive and finite; one, or one per entry of `axis`.
    pub scales: Arc<[f32]>,
    /// As many as scales, each within the tensor's type.
    pub zero_points: Arc<[i32]>,
    pub axis: usize,
}

impl Eq for Grids {}

impl Grids {
    /// The scale and zero point of a tensor that has one of each.
    pub fn single(&self) -> Option<(f32, i32)> {
        match (&*self.scales, &*self.zero_points) {
            (&[scale], &[zero_point]) => Some((scale, zero_point)),
            _ => None,
        }
    }

    /// Which grid the `i`-th value of a tensor of this shape is on.
    pub fn indexer(&self, shape: &[usize]) -> impl Fn(usize) -> usize + use<> {
        let inner: usize = shape.iter().skip(self.axis + 1).product();
        let (inner, along) = (inner.max(1), self.scales.len());
        move |i| if along == 1 { 0 } else { i / inner % along }
    }

    /// Reads and checks the constants of a node whose tensor has `shape`.
    fn read(
        scales: &Tensor,
        zero_points: Option<&Tensor>,
        axis: i64,
        shape: &[TDim],
    ) -> TractResult<Grids> {
        let scales = scales.cast_to::<f32>()?;
        let scales = scales.to_plain_array_view::<f32>()?.iter().copied().collect::<Vec<_>>();
        if let Some(bad) = scales.iter().find(|s| !(s.is_finite() && **s > 0.0)) {
            bail!(
                "its scale is {bad}; a scale must be positive and finite: quantise the model again"
            );
        }
        let zero_points = match zero_points {
            Some(zeros) => {
                let zeros = zeros.cast_to::<i32>()?;
                zeros.to_plain_array_view::<i32>()?.iter().copied().collect()
            }
            None => vec![0; scales.len()],
        };
        let rank = shape.len() as i64;
        let axis = if axis < 0 { axis + rank } else { axis }.clamp(0, rank.max(1) - 1) as usize;
        let along = shape.get(axis).and_then(|side| side.to_usize().ok());
        if zero_points.len() != scales.len() || (scales.len() != 1 && along != Some(scales.len())) {
            let sides: Vec<String> = shape.iter().map(|side| side.to_string()).collect();
            bail!(
                "it has {} scales and {} zero points for a tensor of shape {}; one of each is \
                 wanted, or one per entry of axis {axis}",
                scales.len(),
                zero_points.len(),
                sides.join("×")
            );
        }
        Ok(Grids { scales: scales.into(), zero_points: zero_points.into(), axis })
    }
}

/// Float to `u8` or `i8`: `saturate(rne(x / scale) + zero_point)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Quantize {
    pub grids: Grids,
    pub to: DatumType,
}

/// `u8`, `i8` or `i32` to float: `(x − zero_point) · scale`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dequantize {
    pub grids: Grids,
}

/// Either node as ONNX spells it.
#[derive(Clone, Debug)]
struct Spelt {
    quantizes: bool,
    has_zero_point: bool,
    axis: i64,
    /// Type of the result of a QuantizeLinear that has no zero point.
    default_type: DatumType,
}

/// Makes tract import both operators as this module has them.
pub(in crate::backbone) fn register(onnx: &mut tract_onnx::Onnx) {
    onnx.op_register.insert("QuantizeLinear", |_, node| spelt(node, true));
    onnx.op_register.insert("DequantizeLinear", |_, node| spelt(node, false));
}

fn spelt(node: &NodeProto, quantizes: bool) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    if node.get_attr_opt::<i64>("block_size")?.unwrap_or(0) != 0 {
        bail!("quantisation in blocks is not supported; quantise per tensor or per channel");
    }
    // TensorProto.DataType INT8 is 3; everything else that opset 21 adds is refused by its zero point.
    let default_type = match node.get_attr_opt::<i64>("output_dtype")? {
        Some(3) => DatumType::I8,
        _ => DatumType::U8,
    };
    let has_zero_point = node.input.len() == 3 && !node.input[2].is_empty();
    let axis = node.get_attr_opt("axis")?.unwrap_or(1);
    Ok((expand(Spelt { quantizes, has_zero_point, axis, default_type }), vec![]))
}

impl Expansion for Spelt {
    fn name(&self) -> StaticName {
        if self.quantizes { "QuantizeLinear" } else { "DequantizeLinear" }.into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2 + usize::from(self.has_zero_point))?;
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[0].shape, &outputs[0].shape)?;
        match (self.quantizes, self.has_zero_point) {
            (true, true) => s.equals(&outputs[0].datum_type, &inputs[2].datum_type),
            (true, false) => s.equals(&outputs[0].datum_type, self.default_type),
            (false, _) => s.equals(&outputs[0].datum_type, f32::datum_type()),
        }
    }

    fn wire(
        &self,
        prefix: &str,
        target: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let constant = |input: usize, what: &str| {
            let konst = target.outlet_fact(inputs[input])?.konst.clone();
            konst.with_context(|| format!("node `{prefix}`: its {what} is not a constant"))
        };
        let scales = constant(1, "scale")?;
        let zeros = match self.has_zero_point {
            true => Some(constant(2, "zero point")?),
            false => None,
        };
        let fact = target.outlet_fact(inputs[0])?;
        let is_int8 = |dt| matches!(dt, DatumType::U8 | DatumType::I8);
        let to = zeros.as_ref().map_or(self.default_type, |zeros| zeros.datum_type());
        if self.quantizes && !is_int8(to) {
            bail!("node `{prefix}`: it quantises to {to:?}; only 8-bit integers are supported");
        }
        let from = fact.datum_type;
        let readable = is_int8(from) || from == DatumType::I32;
        if !self.quantizes && (!readable || zeros.as_ref().is_some_and(|_| to != from)) {
            bail!(
                "node `{prefix}`: a tensor of {from:?} with a zero point of {to:?} is no 8-bit grid"
            );
        }
        let grids = Grids::read(&scales, zeros.as_deref(), self.axis, &fact.shape)
            .map_err(|e| anyhow!("node `{prefix}`: {e}"))?;
        if self.quantizes {
            return target.wire_node(prefix, Quantize { grids, to }, &inputs[..1]);
        }
        // Short constants (biases, statistics of a batch norm) are read by tract's own operators.
        let short = fact.konst.clone().filter(|q| q.rank() <= 1);
        match short {
            Some(q) => Ok(tvec!(target.add_const(prefix, Dequantize { grids }.apply(&q)?)?)),
            None => target.wire_node(prefix, Dequantize { grids }, &inputs[..1]),
        }
    }

    fn runs_out_of_plan(&self) -> bool {
        false
    }
}

impl Op for Quantize {
    fn name(&self) -> StaticName {
        "QuantizeLinear".into()
    }
    op_as_typed_op!();
}

impl EvalOp for Quantize {
    not_out_of_plan!();
    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Ok(tvec!(self.apply(&inputs[0])?.into_tvalue()))
    }
}

impl TypedOp for Quantize {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(self.to.fact(inputs[0].shape.clone())))
    }
    as_op!();
}

impl Quantize {
    /// The quantised tensor.
    pub fn apply(&self, x: &Tensor) -> TractResult<Tensor> {
        let grid = self.grids.indexer(x.shape());
        let x = x.cast_to::<f32>()?;
        let (low, high) = if self.to == DatumType::U8 { (0, 255) } else { (-128, 127) };
        let q = x.to_plain_array_view::<f32>()?.into_iter().enumerate().map(|(i, x)| {
            let g = grid(i);
            // NaN becomes 0, as in a cast.
            let t = (x / self.grids.scales[g]).round_ties_even() as i64;
            t.saturating_add(i64::from(self.grids.zero_points[g])).clamp(low, high)
        });
        match self.to {
            DatumType::U8 => shaped(x.shape(), q.map(|q| q as u8)),
            _ => shaped(x.shape(), q.map(|q| q as i8)),
        }
    }
}

impl Op for Dequantize {
    fn name(&self) -> StaticName {
        "DequantizeLinear".into()
    }
    op_as_typed_op!();
}

impl EvalOp for Dequantize {
    not_out_of_plan!();
    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Ok(tvec!(self.apply(&inputs[0])?.into_tvalue()))
    }
}

impl TypedOp for Dequantize {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::datum_type().fact(inputs[0].shape.clone())))
    }
    as_op!();
}

impl Dequantize {
    /// The real values of a quantised tensor.
    pub fn apply(&self, q: &Tensor) -> TractResult<Tensor> {
        let grid = self.grids.indexer(q.shape());
        let q = q.cast_to::<i32>()?;
        let x = q.to_plain_array_view::<i32>()?.into_iter().enumerate().map(|(i, q)| {
            let g = grid(i);
            (i64::from(*q) - i64::from(self.grids.zero_points[g])) as f32 * self.grids.scales[g]
        });
        shaped(q.shape(), x)
    }
}

fn shaped<T: Datum>(shape: &[usize], values: impl Iterator<Item = T>) -> TractResult<Tensor> {
    Ok(tract_ndarray::ArrayD::from_shape_vec(shape, values.collect())?.into())
}
