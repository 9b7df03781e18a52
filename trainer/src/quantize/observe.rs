//! A network's activations on pictures.

use std::num::NonZeroUsize;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex};

use oddsight::backbone::Normalise;
use oddsight::image::Rgb;
use tract_onnx::pb::{ModelProto, ValueInfoProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::plan::{SimplePlan, SimpleState};

use super::error::{QuantizeError, QuantizeErrorKind};
use crate::progress::Progress;

/// One activation: its shape, batch of 1 first, and its values.
pub(super) struct Activation {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// A network that gives chosen tensors.
pub(super) struct Observer {
    plan: Arc<SimplePlan<TypedFact, Box<dyn TypedOp>>>,
    /// For each tensor asked for, its output; `None` is the network's input itself.
    outputs: Vec<Option<usize>>,
    crop: [u32; 2],
    levels: [[f32; 256]; 3],
}

impl Observer {
    /// Plans a network so that it gives the tensors of these names.
    pub fn new(
        proto: &ModelProto,
        names: &[&str],
        crop: [u32; 2],
        normalise: &Normalise,
    ) -> Result<Observer, QuantizeError> {
        let mut proto = proto.clone();
        let mut outputs = Vec::new();
        if let Some(graph) = proto.graph.as_mut() {
            let is_computed =
                |name: &str| graph.node.iter().any(|n| n.output.iter().any(|o| o == name));
            let mut computed = Vec::new();
            for &name in names {
                outputs.push(is_computed(name).then_some(computed.len()));
                if is_computed(name) {
                    computed.push(ValueInfoProto { name: name.into(), ..Default::default() });
                }
            }
            graph.output = computed;
        }
        let planned = panic::catch_unwind(AssertUnwindSafe(|| plan(&proto, crop)));
        let plan = match planned {
            Ok(planned) => planned.map_err(|e| run_error(&e))?,
            Err(_) => {
                let why = "tract panicked while planning the network: the graph is malformed";
                return Err(QuantizeError::new(QuantizeErrorKind::Run, why.into()));
            }
        };
        Ok(Observer { plan, outputs, crop, levels: normalise.levels() })
    }

    /// Runs every picture, on all threads, and adds up what `see` makes of it in one accumulator per
    /// thread. The second value has what `see` returns, in the pictures' order.
    pub fn each<A: Default + Send, T: Send>(
        &self,
        pictures: &[&Rgb],
        threads: NonZeroUsize,
        progress: &mut Progress,
        see: impl Fn(&mut A, Vec<Activation>) -> Result<T, QuantizeError> + Sync,
    ) -> Result<(Vec<A>, Vec<T>), QuantizeError> {
        let progress = Mutex::new(progress);
        let worker = |first: usize| {
            let mut state = self.plan.spawn().map_err(|e| run_error(&e))?;
            let (mut sum, mut seen) = (A::default(), Vec::new());
            for index in (first..pictures.len()).step_by(threads.get()) {
                let activations = self.run(&mut state, pictures[index])?;
                seen.push((index, see(&mut sum, activations)?));
                if let Ok(mut progress) = progress.lock() {
                    progress.tick();
                }
            }
            Ok((sum, seen))
        };
        let done = std::thread::scope(|scope| {
            let workers: Vec<_> =
                (0..threads.get()).map(|first| scope.spawn(move || worker(first))).collect();
            let join = workers.into_iter().map(|worker| worker.join());
            join.map(|done| done.unwrap_or_else(|panic| panic::resume_unwind(panic)))
                .collect::<Result<Vec<_>, QuantizeError>>()
        })?;
        let (sums, seen): (Vec<A>, Vec<Vec<(usize, T)>>) = done.into_iter().unzip();
        let mut seen: Vec<(usize, T)> = seen.into_iter().flatten().collect();
        seen.sort_by_key(|(index, _)| *index);
        Ok((sums, seen.into_iter().map(|(_, found)| found).collect()))
    }

    fn run(
        &self,
        state: &mut SimpleState<TypedFact, Box<dyn TypedOp>>,
        picture: &Rgb,
    ) -> Result<Vec<Activation>, QuantizeError> {
        let [width, height] = self.crop.map(|side| side as usize);
        let planes = self.levels.iter().enumerate().flat_map(|(channel, levels)| {
            let pixels = picture.pixels.chunks_exact(3);
            pixels.map(move |pixel| levels[usize::from(pixel[channel])])
        });
        let input = Activation { shape: vec![1, 3, height, width], values: planes.collect() };
        let tensor = Tensor::from_shape(&input.shape, &input.values).map_err(|e| run_error(&e))?;
        let found = state.run(tvec!(tensor.into())).map_err(|e| run_error(&e))?;
        let activation = |output: &Option<usize>| match output {
            None => Ok(Activation { shape: input.shape.clone(), values: input.values.clone() }),
            Some(index) => activation(&found[*index]).map_err(|e| run_error(&e)),
        };
        self.outputs.iter().map(activation).collect()
    }
}

fn activation(value: &TValue) -> TractResult<Activation> {
    let floats = value.cast_to::<f32>()?;
    let values = floats.to_plain_array_view::<f32>()?.iter().copied().collect();
    Ok(Activation { shape: value.shape().to_vec(), values })
}

fn plan(
    proto: &ModelProto,
    crop: [u32; 2],
) -> TractResult<Arc<SimplePlan<TypedFact, Box<dyn TypedOp>>>> {
    let onnx = tract_onnx::onnx().with_ignore_output_shapes(true).with_ignore_value_info(true);
    let mut model = onnx.model_for_proto_model(proto)?;
    let [width, height] = crop.map(|side| side as usize);
    model.set_input_fact(0, f32::fact([1, 3, height, width]).into())?;
    model.into_optimized()?.into_runnable()
}

fn run_error(e: &TractError) -> QuantizeError {
    QuantizeError::new(QuantizeErrorKind::Run, format!("tract cannot run the network: {e:#}"))
}
