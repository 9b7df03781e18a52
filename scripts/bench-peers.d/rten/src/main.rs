//! rten as a peer of `scripts/bench-peers`.
//!
//!     rten-peer MODEL.onnx INPUT WIDTH HEIGHT THREADS
//!
//! INPUT holds 3 × HEIGHT × WIDTH little-endian floats.

use std::error::Error;
use std::sync::Arc;

use rten::{Model, RunOptions, ThreadPool};
use rten_tensor::prelude::*;
use rten_tensor::{NdTensor, Tensor};

#[path = "../../../../examples/support/serve.rs"]
mod serve;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, input, width, height, threads] = &args[..] else {
        return Err("usage: rten-peer MODEL.onnx INPUT WIDTH HEIGHT THREADS".into());
    };
    let shape = [1, 3, height.parse()?, width.parse()?];
    let bytes = std::fs::read(input)?;
    let floats: Vec<f32> =
        bytes.as_chunks().0.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect();
    let input = NdTensor::from_data(shape, floats);
    let model = Model::load_file(model)?;
    let (from, to) = (model.input_ids()[0], model.output_ids()[0]);
    let pool = Arc::new(ThreadPool::with_num_threads(threads.parse()?));
    let options = RunOptions::default().with_thread_pool(Some(pool));
    serve::serve(|| {
        let inputs = vec![(from, input.view().into())];
        let [logits] = model.run_n(inputs, [to], Some(options.clone())).expect("the model runs");
        let logits: Tensor<f32> = logits.try_into().expect("the output is float");
        logits.iter().map(|&v| f64::from(v)).collect()
    })?;
    Ok(())
}
