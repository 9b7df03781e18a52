//! tract alone as a peer of `scripts/bench-peers`: float arithmetic, whatever the file says.
//!
//!     tract_float MODEL.onnx INPUT WIDTH HEIGHT
//!
//! INPUT holds 3 × HEIGHT × WIDTH little-endian floats. This build of tract has one thread.

use anyhow::{Context as _, Result};
use tract_onnx::prelude::*;

#[path = "support/serve.rs"]
mod serve;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, input, width, height] = &args[..] else {
        anyhow::bail!("usage: tract_float MODEL.onnx INPUT WIDTH HEIGHT");
    };
    let shape = [1, 3, height.parse()?, width.parse()?];
    let bytes = std::fs::read(input).with_context(|| input.clone())?;
    let floats: Vec<f32> =
        bytes.as_chunks().0.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect();
    let input: TValue = Tensor::from_shape(&shape, &floats)?.into();
    // Read at once and freed: glibc's allocator then keeps large buffers from run to run, as it does
    // after `Backbone::load`. With `model_for_path` tract spends half of its time in page faults.
    let network = std::fs::read(model).with_context(|| model.clone())?;
    let plan = tract_onnx::onnx()
        .model_for_read(&mut &network[..])?
        .with_input_fact(0, f32::fact(shape).into())?
        .into_optimized()?
        .into_runnable()?;
    drop(network);
    let mut state = plan.spawn()?;
    serve::serve(|| {
        let outputs = state.run(tvec!(input.clone())).expect("the plan runs");
        let logits = outputs[0].to_plain_array_view::<f32>().expect("the output is float");
        logits.iter().map(|&v| f64::from(v)).collect()
    })?;
    Ok(())
}
