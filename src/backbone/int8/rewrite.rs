//! Builds the model that tract runs: int8 steps where they were recognised, the graph's own nodes
//! elsewhere.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::konst::Const;

use super::recipe::{FloatTail, Layer, Read, Recipe, plan_product, plan_shift, plan_tail};
use super::recognise::{Base, Meaning, Real, Recognised, real_constant};
use super::step::{Int8Op, Last, Leave, LeaveTo, Step};
use crate::kernel::{Kernel, KernelError};

/// Rewrites a model as imported for `kernel`.
///
/// Weights leave the graph as they are packed, so that loading does not hold all of them twice.
pub(in crate::backbone) fn rewrite(
    mut model: TypedModel,
    kernel: Kernel,
) -> TractResult<TypedModel> {
    let mut recognised = Recognised::of(&model)?;
    if recognised.values.is_empty() {
        return Ok(model);
    }
    let needed = Needed::of(&model, &recognised);
    needed.drop_the_rest(&mut model, &mut recognised);
    let mut target = TypedModel { symbols: model.symbols.clone(), ..TypedModel::default() };
    let mut floats = HashMap::new();
    for source in &model.inputs {
        let node = model.node(source.node);
        floats.insert(*source, target.add_source(&*node.name, node.outputs[0].fact.clone())?);
    }
    let mut rewrite =
        Rewrite { model: &model, recognised, kernel, target, floats, steps: HashMap::new() };
    let mut values: Vec<usize> = needed.values.iter().copied().collect();
    values.sort_unstable_by(|a, b| b.cmp(a));
    // A node comes after all that it reads. Values were numbered in this very order.
    for id in model.eval_order()? {
        while let Some(value) = values.pop_if(|value| rewrite.recognised.values[*value].node == id)
        {
            rewrite.make_step(value)?;
        }
        for slot in 0..model.node(id).outputs.len() {
            let outlet = OutletId::new(id, slot);
            if needed.originals.contains(&outlet) && !rewrite.floats.contains_key(&outlet) {
                let wire = rewrite.make_original(outlet)?;
                rewrite.floats.insert(outlet, wire);
            }
        }
    }
    let outputs = model.outputs.iter().map(|output| rewrite.original(*output));
    let outputs = outputs.collect::<TractResult<Vec<_>>>()?;
    let mut target = rewrite.target;
    target.select_output_outlets(&outputs)?;
    Ok(target)
}

/// How a tensor of the original graph comes about in the rewritten one.
#[derive(Clone)]
enum Origin {
    /// From an int8 value.
    Leave(usize, LeaveTo),
    /// By a final layer with real results.
    Product(Arc<Layer>),
    MeanProduct(Arc<FloatTail>),
    Shift(Read, Arc<[f32]>),
    Constant,
    /// By the node that computes it in the original.
    Copy,
}

impl Recognised {
    fn origin(&self, model: &TypedModel, outlet: OutletId) -> Origin {
        let is_row = model.node(outlet.node).outputs[outlet.slot].fact.rank() == 2;
        match self.meanings.get(&outlet) {
            Some(Meaning::Int8(value)) if self.values[*value].unsigned => {
                Origin::Leave(*value, LeaveTo::U8)
            }
            Some(Meaning::Int8(value)) => Origin::Leave(*value, LeaveTo::I8),
            Some(Meaning::Constant(_) | Meaning::Weights(..)) => Origin::Constant,
            Some(Meaning::Real(real @ Real { base, .. })) if real.is_plain() => match base {
                Base::Read(Read { value, scale, zero_point }) => {
                    let to = LeaveTo::Real { scale: *scale, zero_point: *zero_point };
                    Origin::Leave(*value, to)
                }
                Base::Product(layer) if is_row => Origin::Product(layer.clone()),
                Base::MeanProduct(tail) if is_row => Origin::MeanProduct(tail.clone()),
                Base::Shifted(read, offsets) if is_row => Origin::Shift(*read, offsets.clone()),
                _ => Origin::Copy,
            },
            _ => Origin::Copy,
        }
    }
}

/// What the outputs are made of.
#[derive(Default)]
struct Needed {
    originals: HashSet<OutletId>,
    values: HashSet<usize>,
}

impl Needed {
    fn of(model: &TypedModel, recognised: &Recognised) -> Needed {
        let mut needed = Needed::default();
        let mut originals = model.outputs.clone();
        let mut values = Vec::new();
        loop {
            if let Some(outlet) = originals.pop() {
                if needed.originals.insert(outlet) {
                    match recognised.origin(model, outlet) {
                        Origin::Leave(value, _) => values.push(value),
                        Origin::Product(layer) => values.push(layer.input.value),
                        Origin::MeanProduct(tail) => values.push(tail.input.value),
                        Origin::Shift(read, _) => values.push(read.value),
                        Origin::Constant => {}
                        Origin::Copy => originals.extend(&model.node(outlet.node).inputs),
                    }
                }
            } else if let Some(value) = values.pop() {
                if needed.values.insert(value) {
                    values.extend(recognised.values[value].inputs());
                    if let Recipe::Enter { from, .. } = recognised.values[value].recipe {
                        originals.push(from);
                    }
                }
            } else {
                return needed;
            }
        }
    }

    /// Forgets all that is not needed, above all the weights that steps will pack.
    fn drop_the_rest(&self, model: &mut TypedModel, recognised: &mut Recognised) {
        recognised.meanings.retain(|outlet, _| self.originals.contains(outlet));
        for (index, value) in recognised.values.iter_mut().enumerate() {
            if !self.values.contains(&index) {
                value.recipe = Recipe::Planned;
            }
        }
        for node in &mut model.nodes {
            if node.op_is::<Const>() && !self.originals.contains(&node.id.into()) {
                node.op = Box::new(tract_onnx::tract_core::ops::identity::Identity);
                node.outputs[0].fact.konst = None;
                node.outputs[0].fact.uniform = None;
            }
        }
    }
}

struct Rewrite<'a> {
    model: &'a TypedModel,
    recognised: Recognised,
    kernel: Kernel,
    target: TypedModel,
    /// Tensors of the original graph, as they are in `target`.
    floats: HashMap<OutletId, OutletId>,
    /// Int8 values by index.
    steps: HashMap<usize, OutletId>,
}

/// A step that was recognised can be planned; if not, the graph is refused.
fn refused(name: &str) -> impl Fn(KernelError) -> TractError + '_ {
    move |why| anyhow!("node `{name}`: {why}")
}

impl Rewrite<'_> {
    /// A tensor of the original graph that was made.
    fn original(&self, outlet: OutletId) -> TractResult<OutletId> {
        self.floats.get(&outlet).copied().context("a tensor is made before it is read")
    }

    /// The output of the step that computes an int8 value, and that was made.
    fn step(&self, value: usize) -> TractResult<OutletId> {
        self.steps.get(&value).copied().context("a value is made before it is read")
    }

    fn make_original(&mut self, outlet: OutletId) -> TractResult<OutletId> {
        let node = self.model.node(outlet.node);
        Ok(match self.recognised.origin(self.model, outlet) {
            Origin::Leave(value, to) => self.leave(outlet, value, to)?,
            Origin::Product(layer) => {
                let product = plan_product(self.kernel, &layer).map_err(refused(&node.name))?;
                self.last(node, Last::Product(product), layer.input.value)?
            }
            Origin::MeanProduct(tail) => {
                let last = Last::MeanProduct(plan_tail(self.kernel, &tail));
                self.last(node, last, tail.input.value)?
            }
            Origin::Shift(read, offsets) => {
                self.last(node, Last::Shift(plan_shift(read, &offsets)), read.value)?
            }
            Origin::Constant => {
                let tensor = self.recognised.meanings.get(&outlet).and_then(real_constant);
                self.target.add_const(&*node.name, tensor.context("a constant")?)?
            }
            Origin::Copy => {
                let inputs = node.inputs.iter().map(|input| self.original(*input));
                let inputs = inputs.collect::<TractResult<TVec<_>>>()?;
                let wires = self.target.wire_node(&*node.name, node.op.clone(), &inputs)?;
                for (slot, wire) in wires.iter().enumerate() {
                    self.floats.insert(OutletId::new(node.id, slot), *wire);
                }
                wires[outlet.slot]
            }
        })
    }

    /// A final layer with real results.
    fn last(&mut self, node: &TypedNode, last: Last, input: usize) -> TractResult<OutletId> {
        let input = self.step(input)?;
        Ok(self.target.wire_node(&*node.name, Int8Op(Arc::new(Step::Last(last))), &[input])?[0])
    }

    fn leave(&mut self, outlet: OutletId, value: usize, to: LeaveTo) -> TractResult<OutletId> {
        let input = self.step(value)?;
        let fact = self.model.outlet_fact(outlet)?;
        let shape = fact.shape.as_concrete().context("a fixed shape")?.into();
        let op = Leave { map: self.recognised.values[value].map, shape, to };
        let name = format!("{}.leave", self.model.node(outlet.node).name);
        Ok(self.target.wire_node(name, op, &[input])?[0])
    }

    fn make_step(&mut self, value: usize) -> TractResult<()> {
        let inputs: TVec<OutletId> = match self.recognised.values[value].recipe {
            Recipe::Enter { from, .. } => tvec!(self.original(from)?),
            _ => {
                let inputs = self.recognised.values[value].inputs();
                inputs.into_iter().map(|input| self.step(input)).collect::<TractResult<_>>()?
            }
        };
        let values = &mut self.recognised.values;
        let name = values[value].name.clone();
        let step = values[value].plan(self.kernel, values).map_err(refused(&name))?;
        values[value].recipe = Recipe::Planned;
        let wire = self.target.wire_node(name, Int8Op(Arc::new(step)), &inputs)?[0];
        self.steps.insert(value, wire);
        Ok(())
    }
}
