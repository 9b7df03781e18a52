//! The int8 engine: quantised ONNX graphs on integer kernels.
//!
//! ```text
//! ONNX file ─ spell_out ─▶ QDQ spelling ─ tract ─▶ typed model ─ recognise ─▶ recipes
//!           ─ rewrite ─▶ typed model with int8 operators ─┬─▶ Program  (int8 from picture to logits)
//!                                                         └─▶ tract    (anything else is left in it)
//! ```
//!
//! A quantised graph states real arithmetic between `DequantizeLinear` and `QuantizeLinear` nodes. Each such
//! neighbourhood (a convolution, what is added to it, its ReLU) becomes one [`step::Step`] that goes from int8 to
//! int8 without a float map between; [`crate::kernel`] defines its numbers. What is not recognised runs
//! through tract as the graph states it.

mod arena;
mod linear;
mod program;
mod recipe;
mod recognise;
mod rewrite;
mod spelling;
mod step;
mod threads;

use std::collections::HashMap;

use tract_onnx::tract_core::internal::*;

pub(super) use linear::register;
pub(super) use program::{Memory, Program};
pub(super) use rewrite::rewrite;
pub(super) use spelling::spell_out;
pub use threads::Threads;

use crate::kernel::{Kernel, Map};
use step::{Int8Op, Step};

/// What runs one node of a planned network.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct NodeListing {
    /// The node's name in the ONNX file; of several that were joined, the last.
    pub name: String,
    /// The operation.
    pub op: String,
    /// How a convolution is computed: its window, stride and method; empty for other operations.
    pub how: String,
    /// The int8 kernel, or `tract`.
    pub kernel: String,
    /// Shape of the result, as tract writes it.
    pub shape: String,
    /// Multiply-accumulates of one frame; 0 where they are not counted.
    pub macs: u64,
}

impl NodeListing {
    fn of(name: &str, step: &Step, kernel: Kernel) -> NodeListing {
        let map = step.output();
        NodeListing {
            name: name.into(),
            op: step.name().into(),
            how: step.how(),
            kernel: kernel.name().into(),
            shape: format!("{}×{}×{}", map.height, map.width, map.channels),
            macs: step.macs(),
        }
    }

    fn features(map: Map, kernel: Kernel) -> NodeListing {
        NodeListing {
            name: "logits".into(),
            op: "Features".into(),
            how: String::new(),
            kernel: kernel.name().into(),
            shape: map.channels.to_string(),
            macs: 0,
        }
    }
}

/// What runs each node of a model that tract runs, and the place of each node in that list.
pub(super) fn listing(
    model: &TypedModel,
    kernel: Kernel,
) -> TractResult<(Vec<NodeListing>, HashMap<usize, usize>)> {
    let (mut nodes, mut places) = (Vec::new(), HashMap::new());
    for id in model.eval_order()? {
        let node = model.node(id);
        if node.inputs.is_empty() {
            continue; // a constant, or the input
        }
        places.insert(id, nodes.len());
        nodes.push(match node.op_as::<Int8Op>() {
            Some(op) => NodeListing::of(&node.name, &op.0, kernel),
            None => NodeListing {
                name: node.name.clone(),
                op: node.op.name().into_owned(),
                how: String::new(),
                kernel: "tract".into(),
                shape: format!("{:?}", node.outputs[0].fact.shape),
                macs: 0,
            },
        });
    }
    Ok((nodes, places))
}
