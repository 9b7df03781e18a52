//! A residual while it is trained.

use std::ops::Range;

use oddsight::energy::float::{Dense, Residual};

use super::constants::{Constants, StackKind};
use super::draws::{Purpose, Seed};
use crate::autodiff::{Layout, Real, Spectral, Stack, Trace};

/// Where the parameters of the residual of these constants lie.
pub fn layout(constants: &Constants, width: usize) -> Layout {
    let Constants { hidden, depth, stack, .. } = *constants;
    let (mut sizes, mut order) = (vec![(width, hidden)], vec![0]);
    match stack {
        StackKind::Tied => {
            if depth > 0 {
                sizes.push((hidden, hidden));
            }
            order.extend(std::iter::repeat_n(1, depth));
        }
        StackKind::Untied => {
            sizes.extend(std::iter::repeat_n((hidden, hidden), depth));
            order.extend(1..=depth);
        }
        StackKind::Tapering => {
            for block in 0..depth {
                let width = hidden >> block;
                sizes.extend([(width, width), (width, width), (width, width / 2)]);
            }
            order.extend(1..=3 * depth);
        }
    }
    let last = sizes[sizes.len() - 1].1;
    order.push(sizes.len());
    sizes.push((last, 1));
    Layout::new(&sizes, order)
}

/// Parameters before training: uniform in `±1/√inputs` for weights and biases of each layer, PyTorch's
/// default.
pub fn initial<T: Real>(layout: &Layout, seed: Seed) -> Vec<T> {
    let mut parameters = Vec::with_capacity(layout.parameters());
    for (i, (inputs, _, weights, biases)) in layout.layers().enumerate() {
        let mut draws = seed.stream(Purpose::Initial, 0, 0, i);
        let bound = (inputs as f64).sqrt().recip();
        let count = weights.len() + biases.len();
        parameters.extend((0..count).map(|_| T::of(bound * (2.0 * draws.unit() - 1.0))));
    }
    parameters
}

/// Parameters that Adam changes, and the stack that they make: the same, or spectrally normalised.
#[derive(Clone, Debug)]
pub struct Network<T> {
    parameters: Vec<T>,
    stack: Stack<T>,
    /// Of all layers but the last; empty without normalisation.
    spectral: Vec<Spectral<T>>,
    /// The left singular vectors that its power iteration started from.
    starts: Vec<Vec<T>>,
}

impl<T: Real> Network<T> {
    /// Without spectral normalisation `singular` is empty; with it, it holds an estimate of the left
    /// singular vector of each layer but the last, one after the other.
    pub fn new(layout: Layout, parameters: Vec<T>, singular: &[T]) -> Network<T> {
        let stack = Stack::new(layout, parameters.clone());
        let mut network = Network { parameters, stack, spectral: Vec::new(), starts: Vec::new() };
        let (mut rest, mut lefts) = (singular, Vec::new());
        if !singular.is_empty() {
            let inner = network.stack.layout().layers().len() - 1;
            for (_, outputs, ..) in network.stack.layout().layers().take(inner) {
                let (left, next) = rest.split_at(outputs);
                lefts.push(left.to_vec());
                rest = next;
            }
        }
        network.normalise(lefts);
        network
    }

    /// The residual.
    pub fn stack(&self) -> &Stack<T> {
        &self.stack
    }

    /// What is learnt.
    pub fn parameters(&self) -> &[T] {
        &self.parameters
    }

    /// The left singular vectors that [`Network::new`] needs to make this network again.
    pub fn singular(&self) -> Vec<T> {
        self.starts.concat()
    }

    /// Turns the gradient with respect to the stack's parameters into that with respect to what is
    /// learnt, and lets `step` change the latter by it. One power iteration follows.
    pub fn update(&mut self, gradient: &mut [T], step: impl FnOnce(&mut [T], &[T])) {
        for ((_, _, weights, _), spectral) in self.stack.layout().layers().zip(&self.spectral) {
            spectral.backward(&self.parameters[weights.clone()], &mut gradient[weights]);
        }
        step(&mut self.parameters, gradient);
        let starts = std::mem::take(&mut self.spectral).into_iter().map(|s| s.left).collect();
        self.normalise(starts);
    }

    fn normalise(&mut self, starts: Vec<Vec<T>>) {
        self.stack.parameters_mut().copy_from_slice(&self.parameters);
        let ranges: Vec<_> = self.stack.layout().layers().map(|layer| layer.2).collect();
        for (weights, left) in ranges.into_iter().zip(&starts) {
            let spectral = Spectral::of(&self.parameters[weights.clone()], left);
            let scale = spectral.scale();
            self.stack.parameters_mut()[weights].iter_mut().for_each(|w| *w *= scale);
            self.spectral.push(spectral);
        }
        self.starts = starts;
    }

    /// The finished residual. Its ranges are those of the stack on `rows`.
    pub fn residual(&self, rows: &[T]) -> Residual {
        let layout = self.stack.layout();
        let narrow =
            |range: Range<usize>| self.stack.parameters()[range].iter().map(|x| x.wide() as f32);
        let layers = layout.layers().map(|(inputs, outputs, weights, biases)| Dense {
            inputs: inputs as u32,
            outputs: outputs as u32,
            weights: narrow(weights).collect(),
            biases: narrow(biases).collect(),
        });
        let mut ranges = vec![0.0f32; layout.order().len()];
        let mut trace = Trace::default();
        for block in rows.chunks(256 * layout.width()) {
            self.stack.forward(block, &mut trace);
            for (range, inputs) in ranges.iter_mut().zip(trace.inputs(block)) {
                *range = inputs.iter().fold(*range, |most, x| most.max(x.wide().abs() as f32));
            }
        }
        let order = layout.order().iter().map(|&i| i as u32).collect();
        Residual { layers: layers.collect(), order, ranges }
    }
}
