//! Builds the model that tract runs: int8 steps where they were recognised, the graph's own nodes
//! elsewhere.

use std::collections::HashMap;
use std::sync::Arc;

use tract_onnx::tract_core::internal::*;

use super::recipe::{Recipe, plan_product, plan_shift, plan_tail};
use super::recognise::{Base, Meaning, Real, Recognised, real_constant};
use super::step::{Int8Op, Leave, LeaveTo, Step};
use crate::kernel::{Kernel, KernelError};

/// Rewrites a model as imported for `kernel`.
///
/// An int8 step that cannot be planned (sums that could leave 32 bits, say) is left to tract, with a
/// warning that names its node.
pub(in crate::backbone) fn rewrite(model: TypedModel, kernel: Kernel) -> TractResult<TypedModel> {
    let mut recognised = Recognised::of(&model)?;
    if recognised.values.is_empty() {
        return Ok(model);
    }
    let model = &model;
    loop {
        let mut rewrite = Rewrite {
            model,
            recognised: &recognised,
            kernel,
            target: TypedModel { symbols: model.symbols.clone(), ..TypedModel::default() },
            floats: HashMap::new(),
            steps: HashMap::new(),
            refused: None,
        };
        for source in &model.inputs {
            let node = model.node(source.node);
            let wire = rewrite.target.add_source(&*node.name, node.outputs[0].fact.clone())?;
            rewrite.floats.insert(*source, wire);
        }
        let outputs: TractResult<Vec<_>> =
            model.outputs.iter().map(|output| rewrite.original(*output)).collect();
        match (outputs, rewrite.refused.take()) {
            (Ok(outputs), None) => {
                let mut target = rewrite.target;
                target.select_output_outlets(&outputs)?;
                return Ok(target);
            }
            (_, Some((refused, why))) => {
                log::warn!("node `{}` is left to tract: {why}", recognised.name_of(&refused));
                recognised.forget(&refused);
            }
            (Err(e), None) => return Err(e),
        }
    }
}

/// What could not be planned.
#[derive(Clone, Debug)]
enum Refused {
    Value(usize),
    Outlet(OutletId, String),
}

impl Recognised {
    fn name_of(&self, refused: &Refused) -> String {
        match refused {
            Refused::Value(value) => self.values[*value].name.clone(),
            Refused::Outlet(_, name) => name.clone(),
        }
    }

    /// Leaves what was refused, and all that reads it, to tract.
    fn forget(&mut self, refused: &Refused) {
        let value = match refused {
            Refused::Outlet(outlet, _) => {
                self.meanings.remove(outlet);
                return;
            }
            Refused::Value(value) => *value,
        };
        let mut gone = vec![false; self.values.len()];
        gone[value] = true;
        for later in value + 1..self.values.len() {
            gone[later] = self.values[later].inputs().iter().any(|input| gone[*input]);
        }
        self.meanings.retain(|_, meaning| match meaning {
            Meaning::Int8(value) => !gone[*value],
            Meaning::Real(Real { base, .. }) => !base.values().iter().any(|value| gone[*value]),
            Meaning::Constant(_) | Meaning::Weights(..) => true,
        });
    }
}

impl Base {
    /// The int8 values that it is made of.
    fn values(&self) -> Vec<usize> {
        match self {
            Base::Read(a)
            | Base::Pooled(a, _)
            | Base::Shifted(a, _)
            | Base::SpatialSum(a)
            | Base::Mean(a) => {
                vec![a.value]
            }
            Base::Conv(layer, _) | Base::Product(layer) => vec![layer.input.value],
            Base::MeanProduct(tail) => vec![tail.input.value],
            Base::Joined(layer, read, _) => vec![layer.input.value, read.value],
            Base::Sum(a, b) => vec![a.value, b.value],
        }
    }
}

struct Rewrite<'a> {
    model: &'a TypedModel,
    recognised: &'a Recognised,
    kernel: Kernel,
    target: TypedModel,
    /// Tensors of the original graph, as they are in `target`.
    floats: HashMap<OutletId, OutletId>,
    /// Int8 values by index.
    steps: HashMap<usize, OutletId>,
    refused: Option<(Refused, KernelError)>,
}

impl Rewrite<'_> {
    /// The tensor of the original graph.
    ///
    /// Recursion goes as deep as the network: some hundred calls.
    fn original(&mut self, outlet: OutletId) -> TractResult<OutletId> {
        if let Some(wire) = self.floats.get(&outlet) {
            return Ok(*wire);
        }
        let node = self.model.node(outlet.node);
        let wire = match self.recognised.meanings.get(&outlet) {
            Some(Meaning::Int8(value)) => {
                let unsigned = self.recognised.values[*value].unsigned;
                self.leave(outlet, *value, if unsigned { LeaveTo::U8 } else { LeaveTo::I8 })?
            }
            Some(Meaning::Real(real @ Real { base: Base::Read(read), .. })) if real.is_plain() => {
                let to = LeaveTo::Real { scale: read.scale, zero_point: read.zero_point };
                self.leave(outlet, read.value, to)?
            }
            Some(Meaning::Real(real @ Real { base: Base::Product(layer), .. }))
                if real.is_plain() && node.outputs[0].fact.rank() == 2 =>
            {
                let product = plan_product(self.kernel, layer).map_err(|why| {
                    self.refused = Some((Refused::Outlet(outlet, node.name.clone()), why));
                    anyhow!("refused")
                })?;
                self.last(node, Step::Product(product), layer.input.value)?
            }
            Some(Meaning::Real(real @ Real { base: Base::MeanProduct(tail), .. }))
                if real.is_plain() && node.outputs[0].fact.rank() == 2 =>
            {
                let step = Step::MeanProduct(plan_tail(self.kernel, tail));
                self.last(node, step, tail.input.value)?
            }
            Some(Meaning::Real(real @ Real { base: Base::Shifted(read, offsets), .. }))
                if real.is_plain() && node.outputs[0].fact.rank() == 2 =>
            {
                self.last(node, Step::Shift(plan_shift(*read, offsets)), read.value)?
            }
            Some(constant @ (Meaning::Constant(_) | Meaning::Weights(..))) => {
                let tensor = real_constant(constant).context("a constant")?;
                self.target.add_const(&*node.name, tensor)?
            }
            _ => {
                let inputs = node.inputs.iter().map(|input| self.original(*input));
                let inputs = inputs.collect::<TractResult<TVec<_>>>()?;
                let wires = self.target.wire_node(&*node.name, node.op.clone(), &inputs)?;
                for (slot, wire) in wires.iter().enumerate() {
                    self.floats.insert(OutletId::new(node.id, slot), *wire);
                }
                wires[outlet.slot]
            }
        };
        self.floats.insert(outlet, wire);
        Ok(wire)
    }

    /// A final layer with real results.
    fn last(&mut self, node: &TypedNode, step: Step, input: usize) -> TractResult<OutletId> {
        let input = self.step(input)?;
        Ok(self.target.wire_node(&*node.name, Int8Op(Arc::new(step)), &[input])?[0])
    }

    fn leave(&mut self, outlet: OutletId, value: usize, to: LeaveTo) -> TractResult<OutletId> {
        let input = self.step(value)?;
        let fact = self.model.outlet_fact(outlet)?;
        let shape = fact.shape.as_concrete().context("a fixed shape")?.into();
        let op = Leave { map: self.recognised.values[value].map, shape, to };
        let name = format!("{}.leave", self.model.node(outlet.node).name);
        Ok(self.target.wire_node(name, op, &[input])?[0])
    }

    /// The output of the step that computes an int8 value.
    fn step(&mut self, value: usize) -> TractResult<OutletId> {
        if let Some(wire) = self.steps.get(&value) {
            return Ok(*wire);
        }
        let values = &self.recognised.values;
        let inputs: TVec<OutletId> = match &values[value].recipe {
            Recipe::Enter { from, .. } => tvec!(self.original(*from)?),
            _ => {
                let inputs = values[value].inputs();
                inputs.into_iter().map(|input| self.step(input)).collect::<TractResult<_>>()?
            }
        };
        match values[value].plan(self.kernel, values) {
            Ok(step) => {
                let op = Int8Op(Arc::new(step));
                let wire = self.target.wire_node(&*values[value].name, op, &inputs)?[0];
                self.steps.insert(value, wire);
                Ok(wire)
            }
            Err(why) => {
                self.refused = Some((Refused::Value(value), why));
                bail!("refused")
            }
        }
    }
}
