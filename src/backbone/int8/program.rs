//! A network of int8 steps alone, run without tract: from a picture to integer features.
//!
//! The plan is tract's: the nodes of the rewritten model, in tract's order. All maps lie in one arena
//! whose places are given out once, so a frame allocates nothing.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::source::TypedSource;

use super::NodeListing;
use super::arena::{Tenant, places};
use super::step::{Enter, Int8Op, Leave, LeaveTo, Step, Workspace};
use super::threads::{Threads, run_rows};
use crate::backbone::{Features, Int8Map, MapShape, to_feature};
use crate::image::Rgb;
use crate::kernel::{Kernel, Map, Moments};

/// Where a map lies in the arena.
type Place = Range<usize>;

/// A planned network.
pub(in crate::backbone) struct Program {
    kernel: Kernel,
    steps: Vec<Planned>,
    arena_len: usize,
    map: Tap,
    logits: Logits,
}

/// A step and where its maps lie.
struct Planned {
    name: String,
    step: Arc<Step>,
    inputs: [Place; 2],
    output: Place,
}

/// An int8 map that features are read from.
struct Tap {
    place: Place,
    map: Map,
    scale: f32,
    zero_point: i8,
}

enum Logits {
    /// Real results of the final layer, which reads this place.
    Real(String, Arc<Step>, Place),
    Int8(Tap),
}

impl Program {
    /// The program of a rewritten model with the outputs `[logits, map]`; nothing when it has a node
    /// that is no int8 step.
    pub fn of(model: &TypedModel, kernel: Kernel) -> TractResult<Option<Program>> {
        let [logits, map] = model.outputs[..] else { return Ok(None) };
        let Some(order) = steps_of(model, [logits.node, map.node])? else { return Ok(None) };
        let (steps, real): (Vec<_>, Vec<_>) =
            order.into_iter().partition(|(_, step)| !step.is_real());
        let enters = steps.iter().filter(|(_, step)| matches!(**step, Step::Enter(_))).count();
        let begins = matches!(steps.first(), Some((_, step)) if matches!(**step, Step::Enter(_)));
        if enters != 1 || !begins || real.iter().any(|(node, _)| node.id != logits.node) {
            return Ok(None);
        }

        let index: HashMap<usize, usize> =
            steps.iter().enumerate().map(|(i, (node, _))| (node.id, i)).collect();
        let last = steps.len();
        let tenants: Vec<Tenant> = steps
            .iter()
            .enumerate()
            .map(|(i, (node, step))| {
                let readers = node.outputs[0].successors.iter();
                let to = readers.map(|reader| *index.get(&reader.node).unwrap_or(&last)).max();
                Tenant { len: step.output().len(), from: i, to: to.unwrap_or(i) }
            })
            .collect();
        let (places, arena_len) = places(&tenants);
        let place = |outlet: OutletId| index.get(&outlet.node).map(|i| places[*i].clone());
        let tap = |node: &TypedNode| match node.op_as::<Leave>() {
            Some(Leave { map, to: LeaveTo::Real { scale, zero_point }, .. }) => {
                let place = place(node.inputs[0])?;
                Some(Tap { place, map: *map, scale: *scale, zero_point: *zero_point })
            }
            _ => None,
        };
        let logits = match real.first() {
            Some((node, step)) => {
                let name = node.name.clone();
                place(node.inputs[0]).map(|place| Logits::Real(name, step.clone(), place))
            }
            None => tap(model.node(logits.node)).map(Logits::Int8),
        };
        let map = tap(model.node(map.node))
            .filter(|tap| tap.map.height * tap.map.width <= Moments::MOST_PIXELS);
        let (Some(logits), Some(map)) = (logits, map) else { return Ok(None) };
        let steps = steps.iter().enumerate().map(|(i, (node, step))| {
            let input = |k: usize| node.inputs.get(k).and_then(|o| place(*o)).unwrap_or(0..0);
            let inputs = [input(0), input(1)];
            let name = node.name.clone();
            Planned { name, step: step.clone(), inputs, output: places[i].clone() }
        });
        Ok(Some(Program { kernel, steps: steps.collect(), arena_len, map, logits }))
    }

    /// Memory to run it with.
    pub fn memory(&self, levels: &[[f32; 256]; 3], threads: Threads) -> Memory {
        let mut workspaces: Vec<Workspace> =
            (0..threads.count()).map(|_| Workspace::default()).collect();
        for workspace in &mut workspaces {
            self.steps.iter().for_each(|planned| planned.step.reserve(workspace));
            if let Logits::Real(_, step, _) = &self.logits {
                step.reserve(workspace);
            }
        }
        let quantised = match self.steps.first().map(|planned| &*planned.step) {
            Some(Step::Enter(enter)) => quantised_levels(levels, enter),
            _ => [[0; 256]; 3],
        };
        Memory {
            arena: vec![0; self.arena_len],
            workspaces,
            moments: Moments::new(self.map.map.channels),
            levels: quantised,
            threads,
        }
    }

    /// Runs a picture of the network's size; after the first frame nothing is allocated. `after` is told
    /// the place in [`Program::listing`] of each step that has run.
    pub fn run(
        &self,
        memory: &mut Memory,
        picture: &Rgb,
        features: &mut Features,
        after: &mut (dyn FnMut(usize) + Send),
    ) {
        let threads = memory.threads.clone();
        threads.install(|| self.run_steps(memory, picture, features, after));
    }

    fn run_steps(
        &self,
        memory: &mut Memory,
        picture: &Rgb,
        features: &mut Features,
        after: &mut (dyn FnMut(usize) + Send),
    ) {
        let Memory { arena, workspaces, moments, levels, .. } = memory;
        for (i, planned) in self.steps.iter().enumerate() {
            let (inputs, output) = around(arena, &planned.inputs, &planned.output);
            match &*planned.step {
                Step::Enter(_) => {
                    for (out, rgb) in output.chunks_exact_mut(3).zip(picture.pixels.chunks_exact(3))
                    {
                        for c in 0..3 {
                            out[c] = levels[c][usize::from(rgb[c])];
                        }
                    }
                }
                step => run_rows(step, inputs, output, workspaces),
            }
            after(i);
        }
        self.features(arena, &mut workspaces[0], moments, features);
        after(self.steps.len());
    }

    fn features(
        &self,
        arena: &[i8],
        workspace: &mut Workspace,
        moments: &mut Moments,
        features: &mut Features,
    ) {
        let Tap { place, map, scale, zero_point } = &self.map;
        moments.take(self.kernel, &arena[place.clone()]);
        features.avg.clear();
        features.std.clear();
        features.logits.clear();
        // Every factor and quotient below is one IEEE operation, in this order, on every machine.
        let (scale, pixels) = (f64::from(*scale), (map.height * map.width) as f64);
        features.avg.extend(
            moments.centred(*zero_point).map(|sum| to_feature(f64::from(sum) / pixels * scale)),
        );
        let pairs = (pixels * (pixels - 1.0)).max(1.0);
        features
            .std
            .extend(moments.spread().map(|s| to_feature((s as f64 / pairs).sqrt() * scale)));
        match &self.logits {
            Logits::Real(_, step, place) => {
                let logits = &mut features.logits;
                step.reals(&arena[place.clone()], workspace, |x| logits.push(to_feature(x)));
            }
            Logits::Int8(Tap { place, scale, zero_point, .. }) => {
                let real =
                    |q: &i8| f64::from(i32::from(*q) - i32::from(*zero_point)) * f64::from(*scale);
                features.logits.extend(arena[place.clone()].iter().map(|q| to_feature(real(q))));
            }
        }
    }

    /// What runs each node, in order; reading the features comes last.
    pub fn listing(&self) -> Vec<NodeListing> {
        let steps = self.steps.iter();
        let mut nodes: Vec<NodeListing> = steps
            .map(|planned| NodeListing::of(&planned.name, &planned.step, self.kernel))
            .collect();
        nodes.push(match &self.logits {
            Logits::Real(name, step, _) => NodeListing::of(name, step, self.kernel),
            Logits::Int8(tap) => NodeListing::features(tap.map, self.kernel),
        });
        nodes
    }

    /// The last feature map that was run.
    pub fn last_map<'m>(&self, memory: &'m Memory) -> Int8Map<'m> {
        let Tap { place, map: Map { height, width, channels }, scale, zero_point } = &self.map;
        Int8Map {
            shape: MapShape { channels: *channels, height: *height, width: *width },
            values: &memory.arena[place.clone()],
            scale: *scale,
            zero_point: *zero_point,
        }
    }
}

/// A model's int8 steps in tract's order; nothing when it has other nodes than those, the input, and
/// the two `outputs`.
#[allow(clippy::type_complexity, reason = "a node and what it is")]
fn steps_of(
    model: &TypedModel,
    outputs: [usize; 2],
) -> TractResult<Option<Vec<(&TypedNode, Arc<Step>)>>> {
    let mut steps = Vec::new();
    for id in model.eval_order()? {
        let node = model.node(id);
        match node.op_as::<Int8Op>() {
            Some(op) => steps.push((node, op.0.clone())),
            None if node.op_is::<TypedSource>() || outputs.contains(&id) => {}
            None => return Ok(None),
        }
    }
    Ok(Some(steps))
}

/// The network's input for each value of a pixel.
fn quantised_levels(levels: &[[f32; 256]; 3], enter: &Enter) -> [[i8; 256]; 3] {
    levels.map(|channel| channel.map(|x| enter.quantise(x)))
}

/// The maps that a step reads, and the one that it writes.
fn around<'m>(
    arena: &'m mut [i8],
    inputs: &[Place; 2],
    output: &Place,
) -> ([&'m [i8]; 2], &'m mut [i8]) {
    let (before, rest) = arena.split_at_mut(output.start);
    let (output_map, after) = rest.split_at_mut(output.len());
    let (before, after) = (&*before, &*after);
    let map = |place: &Place| match place.start < output.start || place.is_empty() {
        true => &before[place.start.min(before.len())..place.end.min(before.len())],
        false => &after[place.start - output.end..place.end - output.end],
    };
    ([map(&inputs[0]), map(&inputs[1])], output_map)
}

/// What one thread of frames needs to run a [`Program`].
pub(in crate::backbone) struct Memory {
    arena: Vec<i8>,
    /// One per thread.
    workspaces: Vec<Workspace>,
    moments: Moments,
    /// `levels[channel][pixel value]`
    levels: [[i8; 256]; 3],
    threads: Threads,
}
