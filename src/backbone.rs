//! A frozen convolutional network: from an RGB picture to features.
//!
//! tract owns the graph, the shapes and the plan. The taps are found by structure: the
//! *map* is the input of the global average pool that feeds the final layer, *avg* and *std* are
//! its spatial mean and unbiased standard deviation, *logits* the output of the final layer.

use std::collections::HashMap;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Arc;

use tract_core::plan::{SimplePlan, SimpleState};
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;

use crate::image::Rgb;
use crate::kernel::Kernel;

mod features;
mod file;
mod int8;
mod taps;

pub use features::{FEATURE_BITS, Features, NOT_A_NUMBER, from_feature, to_feature};
pub use int8::{NodeListing, Threads};
pub use taps::{FinalLayer, Taps};

use file::{File, FileError};

/// The normalisation at the backbone's input: `(pixel / 255 − mean) / std`, per RGB channel.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Normalise {
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

impl Normalise {
    /// The CIFAR-10 statistics, used by small-input networks of the field.
    pub const CIFAR10: Normalise =
        Normalise { mean: [0.4914, 0.4822, 0.4465], std: [0.2470, 0.2435, 0.2616] };
    /// The ImageNet statistics, as torchvision and timm use them.
    pub const IMAGENET: Normalise =
        Normalise { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

    /// The statistics that networks exported for this input side are usually trained with: CIFAR-10
    /// up to 64 pixels, ImageNet above.
    pub fn usual_for(side: u32) -> Normalise {
        if side <= 64 { Normalise::CIFAR10 } else { Normalise::IMAGENET }
    }

    /// `levels[channel][pixel value]`: the network's input for each of a channel's pixel values.
    pub fn levels(&self) -> [[f32; 256]; 3] {
        std::array::from_fn(|c| {
            std::array::from_fn(|v| (v as f32 / 255.0 - self.mean[c]) / self.std[c])
        })
    }

    /// False when a value is not finite or a deviation is not positive.
    pub fn is_valid(&self) -> bool {
        self.mean.iter().all(|m| m.is_finite())
            && self.std.iter().all(|s| s.is_finite() && *s > 0.0)
    }
}

/// A loaded network, shared by all threads; each thread runs a [`State`] of its own.
pub struct Backbone {
    engine: Engine,
    kernel: Kernel,
    nodes: Vec<NodeListing>,
    digest: [u8; 32],
    exported_for: Option<[u32; 2]>,
    crop: [u32; 2],
    map: MapShape,
    taps: Taps,
    final_layer: FinalLayer,
}

/// What runs a network.
enum Engine {
    /// Int8 steps alone.
    Int8(Arc<int8::Program>),
    /// tract, with int8 steps where the graph has them; and the place of each node in the listing.
    Tract(Arc<SimplePlan<TypedFact, Box<dyn TypedOp>>>, Arc<HashMap<usize, usize>>),
}

/// Shape of the last feature map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapShape {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
}

impl Backbone {
    /// Loads an ONNX file for the fastest kernel of this machine. `crop` is the input's width and height
    /// in pixels; `None` takes it from the graph, which must then fix it.
    pub fn load(path: &Path, crop: Option<[u32; 2]>) -> Result<Backbone, BackboneError> {
        Backbone::load_for(path, crop, Kernel::detect())
    }

    /// As [`Backbone::load`], for a given kernel. Int8 networks give the same features with each.
    pub fn load_for(
        path: &Path,
        crop: Option<[u32; 2]>,
        kernel: Kernel,
    ) -> Result<Backbone, BackboneError> {
        let name = path.display().to_string();
        let unread = |e| BackboneError::new(BackboneErrorKind::Read, &name, e);
        let mut source = std::fs::File::open(path).map_err(unread)?;
        let metadata = source.metadata().map_err(unread)?;
        if !metadata.is_file() {
            let why = "not a file; an ONNX file is wanted";
            return Err(BackboneError::new(BackboneErrorKind::Read, &name, why));
        }
        let file = File::read(&mut source, metadata.len());
        Backbone::of(file, &name, crop, kernel)
    }

    /// Loads an ONNX file's bytes; `name` stands for the file in errors.
    pub fn from_bytes(
        bytes: &[u8],
        name: &str,
        crop: Option<[u32; 2]>,
    ) -> Result<Backbone, BackboneError> {
        let file = File::read(&mut &bytes[..], bytes.len() as u64);
        Backbone::of(file, name, crop, Kernel::detect())
    }

    fn of(
        file: Result<File, FileError>,
        name: &str,
        crop: Option<[u32; 2]>,
        kernel: Kernel,
    ) -> Result<Backbone, BackboneError> {
        let refuse = |kind, why: String| BackboneError::new(kind, name, why);
        let File { mut proto, digest } = file.map_err(|e| match e {
            FileError::Read(e) => refuse(BackboneErrorKind::Read, e.to_string()),
            FileError::NotOnnx(why) => refuse(BackboneErrorKind::NotOnnx, why),
        })?;
        int8::spell_out(&mut proto)
            .map_err(|e| refuse(BackboneErrorKind::Graph, format!("{e:#}")))?;
        let (taps, final_layer) = taps::find(&proto).map_err(|(kind, why)| refuse(kind, why))?;
        let exported_for = taps::input_size(&proto);
        let crop = crop
            .or(exported_for)
            .ok_or_else(|| refuse(BackboneErrorKind::InputSize, taps::NO_INPUT_SIZE.into()))?;
        if crop.iter().any(|side| !(1..=8192).contains(side)) {
            let why = format!("input size {}×{} is outside 1…8192", crop[0], crop[1]);
            return Err(refuse(BackboneErrorKind::InputSize, why));
        }
        taps::select_outputs(&mut proto, &taps);
        // tract still panics on some malformed graphs; to the user that is one more refused file.
        let planned = panic::catch_unwind(AssertUnwindSafe(|| plan(proto, crop, kernel)));
        let Planned { engine, nodes, map } = match planned {
            Ok(Ok(planned)) => planned,
            Ok(Err(e)) => return Err(refuse(BackboneErrorKind::Graph, told(&e))),
            Err(_) => {
                let why = "tract panicked while planning it: the graph is malformed".into();
                return Err(refuse(BackboneErrorKind::Graph, why));
            }
        };
        if map.channels != final_layer.width {
            let why = format!(
                "map `{}` has {} channels, but final layer `{}` takes {} features",
                taps.map, map.channels, taps.final_node, final_layer.width
            );
            return Err(refuse(BackboneErrorKind::Taps, why));
        }
        taps.check_pool(map).map_err(|why| refuse(BackboneErrorKind::Taps, why))?;
        Ok(Backbone { engine, kernel, nodes, digest, exported_for, crop, map, taps, final_layer })
    }

    /// The kernel that it was loaded for.
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// SHA-256 of the ONNX file.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Width and height of the input, in pixels.
    pub fn crop(&self) -> [u32; 2] {
        self.crop
    }

    /// Width and height of the input that the file itself fixes, in pixels.
    pub fn exported_for(&self) -> Option<[u32; 2]> {
        self.exported_for
    }

    /// Shape of the last feature map.
    pub fn map(&self) -> MapShape {
        self.map
    }

    /// Length of `avg` and of `std`.
    pub fn width(&self) -> usize {
        self.final_layer.width
    }

    /// Length of `logits`.
    pub fn classes(&self) -> usize {
        self.final_layer.classes
    }

    /// Where the features are read, by tensor name.
    pub fn taps(&self) -> &Taps {
        &self.taps
    }

    /// Weights and bias of the final layer.
    pub fn final_layer(&self) -> &FinalLayer {
        &self.final_layer
    }

    /// Whether features come from integer arithmetic alone, and so are the same on every machine.
    pub fn is_integer(&self) -> bool {
        matches!(self.engine, Engine::Int8(_))
    }

    /// What runs each node of the planned graph, in order.
    pub fn nodes(&self) -> &[NodeListing] {
        &self.nodes
    }

    /// A state to run frames with; keep one per thread and reuse it.
    pub fn state(&self, normalise: &Normalise) -> Result<State, BackboneError> {
        self.state_on(normalise, Threads::ONE)
    }

    /// A state whose frames are each computed by `threads`, where the network is an int8 one. Features do
    /// not depend on their number.
    pub fn state_on(
        &self,
        normalise: &Normalise,
        threads: Threads,
    ) -> Result<State, BackboneError> {
        let levels = normalise.levels();
        let inner = match &self.engine {
            Engine::Int8(program) => {
                Inner::Int8(program.clone(), Box::new(program.memory(&levels, threads)))
            }
            Engine::Tract(plan, places) => {
                let state = plan.spawn().map_err(|e| {
                    BackboneError::new(BackboneErrorKind::Run, "backbone", format!("{e:#}"))
                })?;
                Inner::Tract(state, places.clone())
            }
        };
        Ok(State { inner, crop: self.crop, map: self.map, levels })
    }
}

impl fmt::Debug for Backbone {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Backbone").field("crop", &self.crop).field("map", &self.map).finish()
    }
}

struct Planned {
    engine: Engine,
    nodes: Vec<NodeListing>,
    map: MapShape,
}

fn plan(proto: ModelProto, crop: [u32; 2], kernel: Kernel) -> TractResult<Planned> {
    // Shapes written into the file were computed for its own input size, which `crop` may replace.
    let mut onnx = tract_onnx::onnx().with_ignore_output_shapes(true).with_ignore_value_info(true);
    int8::register(&mut onnx);
    let mut model = onnx.model_for_proto_model(&proto)?;
    drop(proto);
    let [width, height] = crop.map(|side| side as usize);
    model.set_input_fact(0, f32::fact([1, 3, height, width]).into())?;
    let imported = model.into_typed()?;
    let fact = imported.output_fact(1)?;
    let shape = fact.shape.as_concrete().ok_or_else(|| {
        tract_onnx::tract_core::internal::anyhow!("the map has no fixed shape: {fact:?}")
    })?;
    let &[1, channels, height, width] = shape else {
        tract_onnx::tract_core::internal::bail!("the map is {shape:?}, not 1×C×H×W");
    };
    if channels * height * width == 0 {
        tract_onnx::tract_core::internal::bail!(
            "the map is {shape:?}: the input is too small for the network"
        );
    }
    let map = MapShape { channels, height, width };
    let model = int8::rewrite(imported, kernel)?;
    if let Some(program) = int8::Program::of(&model, kernel)? {
        let nodes = program.listing();
        return Ok(Planned { engine: Engine::Int8(Arc::new(program)), nodes, map });
    }
    let model = model.into_optimized()?;
    let (nodes, places) = int8::listing(&model, kernel)?;
    let engine = Engine::Tract(model.into_runnable()?, Arc::new(places));
    Ok(Planned { engine, nodes, map })
}

/// A quantised feature map: a value `q` stands for `(q − zero_point) · scale`.
#[derive(Clone, Copy, Debug)]
pub struct Int8Map<'a> {
    pub shape: MapShape,
    /// Height × width × channels, channels innermost.
    pub values: &'a [i8],
    pub scale: f32,
    /// Maps that the file stores as `u8` are kept as `i8`, 128 lower, like their zero point.
    pub zero_point: i8,
}

/// One thread's running network.
pub struct State {
    inner: Inner,
    crop: [u32; 2],
    map: MapShape,
    /// `levels[channel][pixel value]`: the normalised input.
    levels: [[f32; 256]; 3],
}

enum Inner {
    Int8(Arc<int8::Program>, Box<int8::Memory>),
    Tract(SimpleState<TypedFact, Box<dyn TypedOp>>, Arc<HashMap<usize, usize>>),
}

impl State {
    /// Runs one picture of exactly the backbone's input size.
    pub fn run(&mut self, picture: &Rgb) -> Result<Features, BackboneError> {
        let mut features = Features::default();
        self.run_into(picture, &mut features)?;
        Ok(features)
    }

    /// As [`State::run`], into features that are used again: an int8 network then allocates nothing.
    pub fn run_into(
        &mut self,
        picture: &Rgb,
        features: &mut Features,
    ) -> Result<(), BackboneError> {
        self.run_watched(picture, features, &mut |_| {})
    }

    /// As [`State::run_into`]; `after` is told the place in [`Backbone::nodes`] of each node that has run.
    pub fn run_watched(
        &mut self,
        picture: &Rgb,
        features: &mut Features,
        after: &mut (dyn FnMut(usize) + Send),
    ) -> Result<(), BackboneError> {
        if [picture.width, picture.height] != self.crop {
            let why = format!(
                "a picture of {}×{} was given to a backbone of {}×{}",
                picture.width, picture.height, self.crop[0], self.crop[1]
            );
            return Err(BackboneError::new(BackboneErrorKind::InputSize, "backbone", why));
        }
        let input = match &mut self.inner {
            Inner::Int8(program, memory) => {
                program.run(memory, picture, features, after);
                return Ok(());
            }
            Inner::Tract(..) => tvec!(self.input(picture).into()),
        };
        let Inner::Tract(inner, places) = &mut self.inner else { return Ok(()) };
        let run = |e: TractError| {
            BackboneError::new(BackboneErrorKind::Run, "backbone", format!("{e:#}"))
        };
        let outputs = inner.run_plan_with_eval(input, |context, state, node, inputs| {
            let outputs = tract_core::plan::eval(context, state, node, inputs);
            places.get(&node.id).into_iter().for_each(|place| after(*place));
            outputs
        });
        let outputs = outputs.map_err(run)?;
        let logits = floats(&outputs[0]).map_err(run)?;
        let map = floats(&outputs[1]).map_err(run)?;
        (features.avg, features.std) = pool(&map, self.map);
        features.logits = logits.iter().map(|&logit| to_feature(f64::from(logit))).collect();
        Ok(())
    }

    /// The last feature map of the last picture that an int8 network ran.
    pub fn int8_map(&self) -> Option<Int8Map<'_>> {
        match &self.inner {
            Inner::Int8(program, memory) => Some(program.last_map(memory)),
            Inner::Tract(..) => None,
        }
    }

    fn input(&self, picture: &Rgb) -> Tensor {
        let [width, height] = self.crop.map(|side| side as usize);
        let mut planes = Vec::with_capacity(3 * width * height);
        for (channel, levels) in self.levels.iter().enumerate() {
            planes.extend(
                picture.pixels.chunks_exact(3).map(|pixel| levels[usize::from(pixel[channel])]),
            );
        }
        tract_ndarray::Array4::from_shape_vec((1, 3, height, width), planes)
            .expect("a picture holds width × height × 3 bytes")
            .into()
    }
}

/// What tract says of a graph; where a node is named at the root of it, that alone.
fn told(e: &TractError) -> String {
    let root = e.root_cause().to_string();
    if root.starts_with("node `") { root } else { format!("{e:#}") }
}

fn floats(value: &TValue) -> TractResult<Vec<f32>> {
    Ok(value.cast_to::<f32>()?.to_plain_array_view::<f32>()?.iter().copied().collect())
}

/// Spatial mean and unbiased standard deviation of each channel of a C×H×W map (HEAT reference:
/// divide by HW − 1, no epsilon), in two passes so that a near-constant channel loses no digits.
fn pool(map: &[f32], shape: MapShape) -> (Vec<i32>, Vec<i32>) {
    let area = shape.height * shape.width;
    map.chunks_exact(area)
        .map(|channel| {
            let mean = channel.iter().map(|&v| f64::from(v)).sum::<f64>() / area as f64;
            let squares: f64 = channel.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum();
            let std = if area > 1 { (squares / (area - 1) as f64).sqrt() } else { 0.0 };
            (to_feature(mean), to_feature(std))
        })
        .unzip()
}

/// Why a backbone was refused or could not run.
#[derive(Debug)]
pub struct BackboneError {
    kind: BackboneErrorKind,
    subject: String,
    why: String,
}

/// The kinds of [`BackboneError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackboneErrorKind {
    /// The file could not be read.
    Read,
    /// The bytes are not an ONNX model.
    NotOnnx,
    /// Weights that are missing, stored elsewhere or not finite.
    Weights,
    /// The input size is unknown or does not fit.
    InputSize,
    /// No global average pool feeding a final linear layer.
    Taps,
    /// tract cannot run the graph.
    Graph,
    /// A frame could not be run.
    Run,
}

impl BackboneError {
    fn new(
        kind: BackboneErrorKind,
        subject: impl fmt::Display,
        why: impl fmt::Display,
    ) -> BackboneError {
        BackboneError { kind, subject: subject.to_string(), why: why.to_string() }
    }

    /// What went wrong, for programs.
    pub fn kind(&self) -> BackboneErrorKind {
        self.kind
    }
}

impl fmt::Display for BackboneError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.why)
    }
}

impl std::error::Error for BackboneError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn pooled(map: &[f32], shape: MapShape) -> (Vec<f64>, Vec<f64>) {
        let (avg, std) = pool(map, shape);
        let numbers = |row: Vec<i32>| row.into_iter().map(from_feature).collect();
        (numbers(avg), numbers(std))
    }

    /// HEAT reference, golden vector 1.
    #[test]
    fn pooling_matches_the_reference() {
        let map: Vec<f32> = (0..24).map(|v| v as f32).collect();
        let (avg, std) = pooled(&map, MapShape { channels: 2, height: 3, width: 4 });
        assert_eq!(avg, [5.5, 17.5]);
        assert!(std.iter().all(|s| (s - 3.60555).abs() < 1e-4), "{std:?}");
        let map: Vec<f32> = (0..8).map(|v| (v * v) as f32).collect();
        let (avg, std) = pooled(&map, MapShape { channels: 2, height: 2, width: 2 });
        assert_eq!(avg, [3.5, 31.5]);
        assert!((std[0] - 4.04145).abs() < 1e-4 && (std[1] - 14.2478).abs() < 1e-3, "{std:?}");
    }

    #[test]
    fn a_one_by_one_map_has_no_deviation() {
        let (avg, std) = pooled(&[2.0, 3.0], MapShape { channels: 2, height: 1, width: 1 });
        assert_eq!((avg, std), (vec![2.0, 3.0], vec![0.0, 0.0]));
    }
}
