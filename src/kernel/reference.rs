//! The definition of every operation, as plain loops: the oracle that all kernels equal byte for byte.

use super::conv::{ConvSpec, Job};
use super::window::Map;

/// The output rows of a job.
pub(super) fn conv(spec: &ConvSpec<'_>, output: Map, job: Job<'_>) {
    let mut values = job.output.iter_mut().enumerate();
    for y in job.rows {
        for x in 0..output.width {
            for (o, (i, out)) in (0..output.channels).zip(&mut values) {
                let acc = sum(spec, job.input, [y, x], o);
                let r = job.residual.get(i).copied().unwrap_or(0);
                let t = spec.residual.join(acc, spec.multipliers[o].get(), r);
                *out = spec.output.quantise(t);
            }
        }
    }
}

/// `bias + Σ (x − zero_point) · w` over one window; padding contributes nothing.
fn sum(spec: &ConvSpec<'_>, input: &[i8], [y, x]: [usize; 2], o: usize) -> i32 {
    let window = &spec.window;
    let in_group = spec.input.channels / spec.groups;
    let first = o / (spec.out_channels / spec.groups) * in_group;
    let mut acc = spec.bias[o];
    for ky in 0..window.kernel[0] {
        for kx in 0..window.kernel[1] {
            let iy = (y * window.stride[0] + ky * window.dilation[0]).checked_sub(window.pad[0]);
            let ix = (x * window.stride[1] + kx * window.dilation[1]).checked_sub(window.pad[1]);
            let (Some(iy), Some(ix)) = (iy, ix) else { continue };
            if iy >= spec.input.height || ix >= spec.input.width {
                continue;
            }
            let pixel = (iy * spec.input.width + ix) * spec.input.channels + first;
            for c in 0..in_group {
                let x = i32::from(input[pixel + c]) - i32::from(spec.input_zero_point);
                acc += x * i32::from(spec.weight(o, ky, kx, c));
            }
        }
    }
    acc
}
