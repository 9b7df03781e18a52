//! A multi-layer perceptron from a row to one number.

use std::ops::Range;

use super::{Dense, Real, leaky_relu, leaky_relu_backward};

/// Where the parameters of a stack lie: for each layer its weights (outputs × inputs), then its biases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    layers: Vec<Layer>,
    order: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Layer {
    inputs: usize,
    outputs: usize,
    /// Of the layer's first parameter.
    start: usize,
}

impl Layer {
    fn weights(&self) -> Range<usize> {
        self.start..self.start + self.inputs * self.outputs
    }

    fn biases(&self) -> Range<usize> {
        let end = self.weights().end;
        end..end + self.outputs
    }
}

impl Layout {
    /// Layers of these inputs and outputs, applied in `order`; a layer that occurs more than once is
    /// tied.
    ///
    /// Panics when sizes do not fit together or the last layer has not one output.
    pub fn new(sizes: &[(usize, usize)], order: Vec<usize>) -> Layout {
        let mut start = 0;
        let place = |&(inputs, outputs): &(usize, usize)| {
            let layer = Layer { inputs, outputs, start };
            start = layer.biases().end;
            layer
        };
        let layers: Vec<Layer> = sizes.iter().map(place).collect();
        for pair in order.windows(2) {
            assert_eq!(layers[pair[0]].outputs, layers[pair[1]].inputs, "sizes of layers {pair:?}");
        }
        assert_eq!(order.last().map(|&last| layers[last].outputs), Some(1), "one output");
        Layout { layers, order }
    }

    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.biases().end)
    }

    /// Length of an input row.
    pub fn width(&self) -> usize {
        self.layers[self.order[0]].inputs
    }

    /// Which layer is applied when.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// Inputs, outputs, and where the weights and the biases of each layer lie.
    pub fn layers(
        &self,
    ) -> impl ExactSizeIterator<Item = (usize, usize, Range<usize>, Range<usize>)> + '_ {
        self.layers.iter().map(|l| (l.inputs, l.outputs, l.weights(), l.biases()))
    }

    /// Multiply-accumulates of one row forward.
    pub fn products(&self) -> usize {
        self.order.iter().map(|&i| self.layers[i].weights().len()).sum()
    }
}

/// A perceptron with leaky ReLU after each application but the last.
#[derive(Clone, Debug)]
pub struct Stack<T> {
    layout: Layout,
    parameters: Vec<T>,
}

/// What the forward pass leaves for the backward pass, for one block of rows.
#[derive(Clone, Debug, Default)]
pub struct Trace<T> {
    /// Outputs of each application, after leaky ReLU.
    outputs: Vec<Vec<T>>,
    /// Gradients with respect to the outputs of the application that is looked at, and of the one before.
    gradients: [Vec<T>; 2],
}

impl<T: Real> Trace<T> {
    /// The number that each row became.
    pub fn energies(&self) -> &[T] {
        self.outputs.last().map_or(&[], |last| last)
    }

    /// What each application took; `rows` are those that were traced.
    pub fn inputs<'a>(&'a self, rows: &'a [T]) -> impl Iterator<Item = &'a [T]> {
        std::iter::once(rows).chain(self.outputs.iter().map(|outputs| &outputs[..]))
    }
}

impl<T: Real> Stack<T> {
    /// Panics when the number of parameters is not the layout's.
    pub fn new(layout: Layout, parameters: Vec<T>) -> Stack<T> {
        assert_eq!(layout.parameters(), parameters.len(), "parameters of a stack");
        Stack { layout, parameters }
    }

    /// Where the parameters lie.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// All parameters.
    pub fn parameters(&self) -> &[T] {
        &self.parameters
    }

    /// The same, to be changed.
    pub fn parameters_mut(&mut self) -> &mut [T] {
        &mut self.parameters
    }

    fn dense(&self, layer: &Layer) -> Dense<'_, T> {
        let weights = &self.parameters[layer.weights()];
        Dense { weights, biases: &self.parameters[layer.biases()] }
    }

    /// Writes the trace of these rows.
    pub fn forward(&self, rows: &[T], trace: &mut Trace<T>) {
        let count = rows.len() / self.layout.width();
        let applications = self.layout.order.len();
        trace.outputs.resize_with(applications, Vec::new);
        for (i, &index) in self.layout.order.iter().enumerate() {
            let layer = &self.layout.layers[index];
            let (before, after) = trace.outputs.split_at_mut(i);
            let input = before.last().map_or(rows, |outputs| outputs);
            let out = &mut after[0];
            out.resize(count * layer.outputs, T::zero());
            let dense = self.dense(layer);
            if i + 1 == applications {
                dense.forward(input, out);
            } else {
                dense.forward_unbiased(input, out);
                leaky_relu(out, dense.biases);
            }
        }
    }

    /// The gradient with respect to the rows that [`Stack::forward`] traced, of `scale` times the sum of
    /// their numbers.
    pub fn backward(&self, trace: &mut Trace<T>, scale: T, out: &mut [T]) {
        let Trace { outputs, gradients: [after, before] } = trace;
        after.clear();
        after.resize(outputs.last().map_or(0, Vec::len), scale);
        for (i, &index) in self.layout.order.iter().enumerate().rev() {
            let layer = &self.layout.layers[index];
            let dense = self.dense(layer);
            if i == 0 {
                dense.backward(after, out);
                return;
            }
            self.pass(dense, &outputs[i - 1], after, before);
            std::mem::swap(after, before);
        }
    }

    /// Adds to `parameters` the gradient of `Σ_rows upstream · number`.
    pub fn backward_parameters(
        &self,
        rows: &[T],
        trace: &mut Trace<T>,
        upstream: &[T],
        parameters: &mut [T],
    ) {
        let Trace { outputs, gradients: [after, before] } = trace;
        after.clear();
        after.extend_from_slice(upstream);
        for (i, &index) in self.layout.order.iter().enumerate().rev() {
            let layer = &self.layout.layers[index];
            let input = if i == 0 { rows } else { &outputs[i - 1] };
            let own = &mut parameters[layer.start..layer.biases().end];
            let (weights, biases) = own.split_at_mut(layer.inputs * layer.outputs);
            Dense::backward_parameters(input, after, weights, biases);
            if i > 0 {
                self.pass(self.dense(layer), &outputs[i - 1], after, before);
                std::mem::swap(after, before);
            }
        }
    }

    /// From the gradient behind a layer to the one before the activation that fed it.
    fn pass(&self, dense: Dense<T>, input: &[T], after: &[T], before: &mut Vec<T>) {
        before.resize(input.len(), T::zero());
        dense.backward(after, before);
        leaky_relu_backward(input, before);
    }
}
