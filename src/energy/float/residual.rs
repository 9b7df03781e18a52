//! The learnt part of a refined head: a small fully connected network (Lafon et al., ICML 2023).

use serde::{Deserialize, Serialize};

use super::row::dot;
use super::{EnergyError, EnergyErrorKind, HeadId};

/// What a negative number is multiplied by between two layers (leaky ReLU). The integers divide by 5.
const SLOPE: f64 = 0.2;
/// Most inputs or outputs of a layer: what the integer form has room for.
const MOST_WIDTH: u32 = 1 << 13;
/// Most layers, and most applications of them: bounds the time of a frame.
const MOST_LAYERS: usize = 64;

/// One fully connected layer, `y = W x + b`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dense {
    /// Length of x.
    pub inputs: u32,
    /// Length of y.
    pub outputs: u32,
    /// W, outputs × inputs, row by row.
    pub weights: Vec<f32>,
    /// b, one number per output.
    pub biases: Vec<f32>,
}

/// The residual `f : R^D → R`: layers applied one after the other, a leaky ReLU of slope 0.2 after
/// each application but the last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Residual {
    /// The distinct layers.
    pub layers: Vec<Dense>,
    /// Indices into `layers` in the order of application. The tied stack of the authors' networks for
    /// CIFAR, with a hidden layer applied n times, has three layers and the order 0, 1, …, 1, 2.
    pub order: Vec<u32>,
    /// Largest size of an input entry of each application over the rows of training, data and
    /// negatives: what the integer form makes room for, with headroom.
    pub ranges: Vec<f32>,
}

impl Residual {
    /// D, the length of a feature row; 0 of a residual without layers.
    pub fn width(&self) -> usize {
        let first = self.order.first().and_then(|&layer| self.layers.get(layer as usize));
        first.map_or(0, |layer| layer.inputs as usize)
    }

    /// `f(row)` for a row of D numbers, normalised if the residual was trained on such; NaN for
    /// another width.
    pub fn evaluate(&self, row: &[f64]) -> f64 {
        let mut x = row.to_vec();
        for (application, &layer) in self.order.iter().enumerate() {
            let Some(layer) = self.layers.get(layer as usize) else { return f64::NAN };
            if layer.inputs as usize != x.len() {
                return f64::NAN;
            }
            let rows = layer.weights.chunks_exact(x.len().max(1)).zip(&layer.biases);
            let last = application + 1 == self.order.len();
            let leaky = |y: f64| if y < 0.0 && !last { SLOPE * y } else { y };
            x = rows.map(|(weights, &bias)| leaky(dot(&x, weights) + f64::from(bias))).collect();
        }
        match x[..] {
            [f] => f,
            _ => f64::NAN,
        }
    }

    /// Refuses layers that do not follow from each other, and numbers that are not finite.
    pub(in crate::energy) fn check(&self, id: HeadId, width: usize) -> Result<(), EnergyError> {
        use EnergyErrorKind::{Shape, Value};
        let wrong = |kind, what: &str| {
            let message = format!("head {id}: {what}: fit the heads again");
            Err(EnergyError::new(kind, message))
        };
        let shapes = self.layers.iter().map(|layer| [layer.inputs, layer.outputs]);
        check_order(shapes, &self.order, id, width)?;
        for (i, Dense { inputs, outputs, weights, biases }) in self.layers.iter().enumerate() {
            if weights.len() != *inputs as usize * *outputs as usize
                || biases.len() != *outputs as usize
            {
                return wrong(Shape, &format!("layer {i} is not {outputs} × {inputs} numbers"));
            }
            if !weights.iter().chain(biases).all(|x| x.is_finite()) {
                return wrong(Value, &format!("layer {i} has a number that is not finite"));
            }
        }
        if self.ranges.len() != self.order.len() {
            let what = format!("{} ranges of {} inputs", self.ranges.len(), self.order.len());
            return wrong(Shape, &what);
        }
        match self.ranges.iter().find(|range| !range.is_finite() || **range < 0.0) {
            Some(range) => wrong(Value, &format!("the range of an input is {range}")),
            None => Ok(()),
        }
    }
}

/// Whether layers of these shapes (inputs, outputs) lead from D features to one number in this order.
pub(in crate::energy) fn check_order(
    shapes: impl ExactSizeIterator<Item = [u32; 2]>,
    order: &[u32],
    id: HeadId,
    width: usize,
) -> Result<(), EnergyError> {
    let wrong = |what: &str| {
        let message = format!("head {id}: {what}: fit the heads again");
        Err(EnergyError::new(EnergyErrorKind::Shape, message))
    };
    if order.is_empty() || order.len() > MOST_LAYERS || shapes.len() > MOST_LAYERS {
        return wrong(&format!("{} layers, applied {} times", shapes.len(), order.len()));
    }
    let shapes: Vec<[u32; 2]> = shapes.collect();
    if let Some([inputs, outputs]) =
        shapes.iter().find(|shape| shape.iter().any(|n| !(1..=MOST_WIDTH).contains(n)))
    {
        return wrong(&format!("a layer has {inputs} inputs and {outputs} outputs"));
    }
    if let Some(unused) = (0..shapes.len()).find(|&i| !order.contains(&(i as u32))) {
        return wrong(&format!("layer {unused} is never applied"));
    }
    let mut length = width;
    for (application, &layer) in order.iter().enumerate() {
        let Some([inputs, outputs]) = shapes.get(layer as usize) else {
            return wrong(&format!("there is no layer {layer}"));
        };
        if *inputs as usize != length {
            let what = format!("application {application} takes {inputs} numbers, not {length}");
            return wrong(&what);
        }
        length = *outputs as usize;
    }
    if length != 1 {
        return wrong(&format!("the last layer has {length} outputs"));
    }
    Ok(())
}
