//! Stein variational gradient descent (Liu and Wang 2016).

use crate::autodiff::{Matrix, Real, multiply};

use super::draws::Draws;
use super::hybrid::{Hybrid, Schedule, Scratch};

/// Moves all rows together, in place: `z_i ← P(z_i + λ φ_i + ε ξ_i)` with
/// `φ_i = (1/N) Σ_j k(z_j, z_i) s_j + ∇_{z_j} k(z_j, z_i)`, s the score `−∇E`, and the kernel
/// `k(x, y) = exp(−‖x−y‖²/(2h))` of bandwidth `h = median ‖z_i−z_j‖² / (2 log(N+1))`.
///
/// The second term drives rows apart; in the authors' code it has the opposite sign.
pub fn svgd<T: Real>(
    hybrid: &Hybrid<T>,
    rows: &mut [T],
    schedule: &Schedule,
    draws: &mut [Draws],
    scratch: &mut Scratch<T>,
) {
    let width = hybrid.stack.layout().width();
    let count = rows.len() / width;
    let (mut gradient, mut noise) = (Vec::new(), vec![T::zero(); width]);
    for &[step_size, deviation] in schedule.steps() {
        hybrid.gradient(rows, None, scratch, &mut gradient);
        let (kernel, bandwidth) = kernel(rows, width);
        // Σ_j k_ij (−∇E_j) and Σ_j k_ij (z_i − z_j)/h = (z_i Σ_j k_ij − Σ_j k_ij z_j)/h.
        let mut pull = vec![T::zero(); rows.len()];
        multiply(&mut pull, Matrix::new(&kernel, count), Matrix::new(&gradient, width), false);
        let mut near = vec![T::zero(); rows.len()];
        multiply(&mut near, Matrix::new(&kernel, count), Matrix::new(rows, width), false);
        let step = T::of(step_size / count as f64);
        for (i, row) in rows.chunks_exact_mut(width).enumerate() {
            let total: T = kernel[i * count..(i + 1) * count].iter().copied().sum();
            if deviation > 0.0 {
                draws[i].normal(&mut noise);
            }
            let at = i * width..(i + 1) * width;
            let moves = pull[at.clone()].iter().zip(&near[at]).zip(&noise);
            for (z, ((&pull, &near), &xi)) in row.iter_mut().zip(moves) {
                let push = (*z * total - near) / bandwidth;
                *z = *z + step * (push - pull) + T::of(deviation) * xi;
            }
        }
        hybrid.project(rows);
    }
}

/// N × N kernel values, and the bandwidth.
fn kernel<T: Real>(rows: &[T], width: usize) -> (Vec<T>, T) {
    let count = rows.len() / width;
    let mut kernel = vec![T::zero(); count * count];
    multiply(&mut kernel, Matrix::new(rows, width), Matrix::new(rows, width).t(), false);
    let squares: Vec<T> = (0..count).map(|i| kernel[i * count + i]).collect();
    for (i, row) in kernel.chunks_exact_mut(count).enumerate() {
        for (j, x) in row.iter_mut().enumerate() {
            *x = (squares[i] + squares[j] - *x - *x).max(T::zero());
        }
        // Exactly so, whatever rounding says.
        row[i] = T::zero();
    }
    let mut sorted = kernel.clone();
    let middle = (sorted.len() - 1) / 2;
    let order = |a: &T, b: &T| a.wide().total_cmp(&b.wide());
    let (_, &mut median, _) = sorted.select_nth_unstable_by(middle, order);
    // The floor is the authors'; it keeps rows that coincide from dividing by zero.
    let log = T::of(2.0 * (count as f64 + 1.0).ln());
    let bandwidth = median / log + T::of(0.5e-8);
    let scale = -(bandwidth + bandwidth).recip();
    kernel.iter_mut().for_each(|x| *x = (*x * scale).exp());
    (kernel, bandwidth)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the authors' kernel, 6 significant digits.
    #[test]
    fn golden_kernel() {
        let g = |i: f64, j: f64| (1.5 + 0.7 * i + 1.3 * j + 0.37 * i * j).sin() as f32;
        let rows: Vec<f64> = (0..5)
            .flat_map(|i| (0..4).map(move |j| f64::from(2.0 * g(i.into(), j.into()))))
            .collect();
        let (kernel, _) = kernel(&rows, 4);
        let expected = [1.0, 0.199181, 0.071156, 0.0907985, 0.117723];
        for (found, expected) in kernel.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{kernel:?}");
        }
    }
}
