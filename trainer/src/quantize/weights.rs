//! Weights and biases as integers.

use super::range::Affine;
use super::scheme::{Bias, Layer};

/// Largest weight level: symmetric, so −128 is left out.
const LARGEST: f32 = 127.0;
/// A bias stays below this, half of what an int32 holds, so that its correction fits too.
const LARGEST_BIAS: f64 = (1u32 << 30) as f64;

/// A layer's integers. `value = level · scale`, zero points are 0.
pub(super) struct Integers {
    /// In the order of the float weights.
    pub weight: Vec<i8>,
    /// One per output channel.
    pub weight_scale: Vec<f32>,
    pub bias: Option<Biases>,
}

/// The bias of [`Integers`].
pub(super) struct Biases {
    pub levels: Vec<i32>,
    /// `input scale · weight scale`.
    pub scale: Vec<f32>,
}

/// Quantises a layer. `mean_input` is the mean of each of its input channels over the calibration
/// pictures: the bias takes up the mean error that rounding the weights makes (Nagel et al.,
/// Data-Free Quantization Through Weight Equalization and Bias Correction, 2019, eq. 13 and 14;
/// padding is not accounted for).
pub(super) fn integers(layer: &Layer, input: Affine, mean_input: &[f64]) -> Integers {
    let at = Layout::of(layer);
    let bias = match &layer.bias {
        Bias::Values(values) => values.clone(),
        Bias::Never => vec![0.0; at.channels],
    };
    let mut largest = vec![0.0f32; at.channels];
    for (i, w) in layer.weight.values.iter().enumerate() {
        let channel = at.channel(i);
        largest[channel] = largest[channel].max(w.abs());
    }
    let scales: Vec<f32> =
        largest.iter().zip(&bias).map(|(&l, &b)| weight_scale(l, b, input)).collect();
    let mut shift = vec![0.0f64; at.channels];
    let mut weight = Vec::with_capacity(layer.weight.values.len());
    for (i, &w) in layer.weight.values.iter().enumerate() {
        let channel = at.channel(i);
        let level = (w / scales[channel]).round_ties_even().clamp(-LARGEST, LARGEST);
        let error = f64::from(level) * f64::from(scales[channel]) - f64::from(w);
        shift[channel] += error * mean_input.get(at.input(i, channel)).copied().unwrap_or(0.0);
        weight.push(level as i8);
    }
    let scaled = matches!(layer.bias, Bias::Values(_)).then(|| {
        let scale: Vec<f32> = scales.iter().map(|scale| input.scale * scale).collect();
        let levels = bias.iter().zip(&shift).zip(&scale).map(|((&bias, shift), &scale)| {
            ((f64::from(bias) - shift) / f64::from(scale)).round_ties_even() as i32
        });
        Biases { levels: levels.collect(), scale }
    });
    Integers { weight, weight_scale: scales, bias: scaled }
}

/// The finest scale that represents both the largest weight and the bias.
fn weight_scale(largest: f32, bias: f32, input: Affine) -> f32 {
    let for_bias = f64::from(bias.abs()) / (f64::from(input.scale) * LARGEST_BIAS);
    let scale = (largest / LARGEST).max(for_bias as f32);
    // A channel without weights and bias: any scale represents it.
    if (scale * input.scale).is_normal() && scale.is_normal() { scale } else { 1.0 }
}

/// Which channels a weight connects.
pub(super) struct Layout {
    /// Output channels.
    pub channels: usize,
    /// Weights from one index of the output axis to the next.
    stride: usize,
    /// Kernel positions per pair of channels.
    positions: usize,
    inputs_per_group: usize,
    outputs_per_group: usize,
    output_is_last: bool,
}

impl Layout {
    pub fn of(layer: &Layer) -> Layout {
        let shape = &layer.weight.shape;
        let channels = shape[layer.axis];
        Layout {
            channels,
            stride: shape[layer.axis + 1..].iter().product::<usize>().max(1),
            positions: shape[2..].iter().product::<usize>().max(1),
            inputs_per_group: shape[1 - layer.axis],
            outputs_per_group: (channels / layer.groups).max(1),
            output_is_last: layer.axis == 1,
        }
    }

    /// Number of input channels.
    pub fn inputs(&self) -> usize {
        self.inputs_per_group * (self.channels / self.outputs_per_group)
    }

    /// Output channel of the weight at this index.
    pub fn channel(&self, i: usize) -> usize {
        i / self.stride % self.channels
    }

    /// Input channel of the weight at this index, which makes output channel `channel`.
    pub fn input(&self, i: usize, channel: usize) -> usize {
        if self.output_is_last {
            return i / self.channels;
        }
        let group = channel / self.outputs_per_group;
        group * self.inputs_per_group + i / self.positions % self.inputs_per_group.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::graph::Floats;
    use super::*;

    fn layer(
        shape: &[usize],
        axis: usize,
        groups: usize,
        values: Vec<f32>,
        bias: Vec<f32>,
    ) -> Layer {
        let weight = Floats { shape: shape.to_vec(), values };
        Layer { node: 0, site: 0, weight, axis, groups, bias: Bias::Values(bias) }
    }

    /// With a constant input the corrected layer gives what the float one gives, to half a level.
    #[test]
    fn the_bias_takes_up_the_mean_error_of_the_weights() {
        let input = Affine { scale: 0.02, zero_point: 0 };
        let weights = vec![1.0, 0.3337, -0.1114, 0.7, -2.0, 0.011, 0.022, 0.033];
        let mean = [0.5, 2.0, 1.0, 3.0];
        for (shape, axis, groups) in [([2, 4, 1, 1], 0, 1), ([4, 2, 1, 1], 0, 2)] {
            let channels = shape[axis];
            let layer = layer(&shape, axis, groups, weights.clone(), vec![0.25; channels]);
            let found = integers(&layer, input, &mean);
            let bias = found.bias.unwrap();
            for c in 0..channels {
                let first = if groups == 2 { c / 2 * 2 } else { 0 };
                let row = c * shape[1]..(c + 1) * shape[1];
                let (mut float, mut int) =
                    (0.25, f64::from(bias.levels[c]) * f64::from(bias.scale[c]));
                for (k, i) in row.enumerate() {
                    float += f64::from(weights[i]) * mean[first + k];
                    let w = f64::from(found.weight[i]) * f64::from(found.weight_scale[c]);
                    int += w * mean[first + k];
                }
                assert!((float - int).abs() <= f64::from(bias.scale[c]), "{c}: {float} {int}");
            }
        }
    }

    #[test]
    fn a_channel_without_weights_keeps_its_bias() {
        let input = Affine { scale: 0.02, zero_point: 0 };
        let layer = layer(&[3, 1, 1, 1], 0, 1, vec![0.0, 0.0, 1e-12], vec![5.0, 0.0, -3.0]);
        let found = integers(&layer, input, &[1.0]);
        let bias = found.bias.unwrap();
        for (c, wanted) in [5.0, 0.0, -3.0].into_iter().enumerate() {
            let kept = f64::from(bias.levels[c]) * f64::from(bias.scale[c]);
            assert!((kept - wanted).abs() < 1e-6, "{kept} {wanted}");
        }
    }

    #[test]
    fn the_last_axis_can_be_the_outputs() {
        let input = Affine { scale: 1.0, zero_point: 0 };
        let layer = layer(&[2, 3], 1, 1, vec![1.0, 2.0, 4.0, -1.0, 1.0, -2.0], vec![0.0; 3]);
        let found = integers(&layer, input, &[0.0, 0.0]);
        assert_eq!(found.weight, [127, 127, 127, -127, 64, -64]);
    }
}
