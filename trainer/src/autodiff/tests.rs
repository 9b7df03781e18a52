//! Each backward function against central differences of its forward function, in `f64`.

use oddsight::energy::float::{Gmm, GmmScore};
use oddsight::random::Random;

use super::*;

/// Numbers in −1 … 1.
fn draw(random: &mut Random, count: usize) -> Vec<f64> {
    (0..count).map(|_| random.range(-1.0, 1.0)).collect()
}

/// Holds `gradient` to the differences of `value` at `at`. The step balances rounding (ε/h) against
/// curvature (h²).
fn check(at: &[f64], gradient: &[f64], mut value: impl FnMut(&[f64]) -> f64) {
    const STEP: f64 = 1e-5;
    let mut moved = at.to_vec();
    for i in 0..at.len() {
        moved[i] = at[i] + STEP;
        let above = value(&moved);
        moved[i] = at[i] - STEP;
        let below = value(&moved);
        moved[i] = at[i];
        let difference = (above - below) / (2.0 * STEP);
        let tolerance = 1e-7 * (1.0 + difference.abs());
        assert!((difference - gradient[i]).abs() < tolerance, "{i}: {difference} {}", gradient[i]);
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn products_of_transposes() {
    let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let b = [1.0, 0.0, 2.0, 1.0, 0.0, 3.0];
    let mut out = [0.0; 4];
    multiply(&mut out, Matrix::new(&a, 3), Matrix::new(&b, 2), false);
    assert_eq!(out, [5.0, 11.0, 14.0, 23.0]);
    multiply(&mut out, Matrix::new(&a, 3), Matrix::new(&b, 3).t(), true);
    assert_eq!(out, [5.0 + 7.0, 11.0 + 10.0, 14.0 + 16.0, 23.0 + 22.0]);
    let mut square = [0.0; 9];
    multiply(&mut square, Matrix::new(&a, 3).t(), Matrix::new(&b, 3), false);
    assert_eq!(square, [5.0, 0.0, 14.0, 7.0, 0.0, 19.0, 9.0, 0.0, 24.0]);
}

#[test]
fn dense() {
    let mut random = Random::new(1);
    let (rows, weights, biases) =
        (draw(&mut random, 6), draw(&mut random, 12), draw(&mut random, 4));
    let upstream = draw(&mut random, 8);
    let value = |rows: &[f64], weights: &[f64], biases: &[f64]| {
        let mut out = [0.0; 8];
        Dense { weights, biases }.forward(rows, &mut out);
        dot(&out, &upstream)
    };
    let mut to_rows = [0.0; 6];
    Dense { weights: &weights, biases: &biases }.backward(&upstream, &mut to_rows);
    check(&rows, &to_rows, |rows| value(rows, &weights, &biases));
    let (mut to_weights, mut to_biases) = ([0.0; 12], [0.0; 4]);
    Dense::backward_parameters(&rows, &upstream, &mut to_weights, &mut to_biases);
    check(&weights, &to_weights, |weights| value(&rows, weights, &biases));
    check(&biases, &to_biases, |biases| value(&rows, &weights, biases));
}

#[test]
fn leaky_relu_has_two_slopes() {
    let (rows, biases) = ([-1.0, 0.5, 2.0, -0.25], [0.25, -0.125]);
    let value = |rows: &[f64], upstream: &[f64]| {
        let mut out = rows.to_vec();
        leaky_relu(&mut out, &biases);
        dot(&out, upstream)
    };
    let mut outputs = rows;
    leaky_relu(&mut outputs, &biases);
    assert_eq!(outputs[..2], [-0.75 * SLOPE, 0.375]);
    let upstream = [1.0, -2.0, 3.0, 4.0];
    let mut gradient = upstream;
    leaky_relu_backward(&outputs, &mut gradient);
    check(&rows, &gradient, |rows| value(rows, &upstream));
}

#[test]
fn log_sum_exp_of_large_numbers() {
    assert_eq!(super::log_sum_exp(&[1000.0, 1000.0]), 1000.0 + 2f64.ln());
    let row = draw(&mut Random::new(2), 5);
    let mut gradient = row.clone();
    log_sum_exp_backward(&mut gradient, 0.5);
    check(&row, &gradient, |row| 0.5 * super::log_sum_exp(row));
}

#[test]
fn unit_rows() {
    let mut zero = [0.0; 9];
    assert_eq!(super::unit(&mut zero), 0.0);
    assert_eq!(zero, [0.0; 9]);
    let row = draw(&mut Random::new(3), 19);
    let mut unit = row.clone();
    let norm = super::unit(&mut unit);
    assert!((norm * norm - dot(&row, &row)).abs() < 1e-12);
    assert!(unit.iter().zip(&row).all(|(u, x)| (u * norm - x).abs() < 1e-12), "{unit:?}");
}

/// With singular vectors that have converged, the gradient is that of the exact scale.
#[test]
fn spectral() {
    let mut random = Random::new(4);
    for size in [1.0, 30.0] {
        let weights: Vec<f64> = draw(&mut random, 12).iter().map(|w| w * size).collect();
        let upstream = draw(&mut random, 12);
        let converged = |weights: &[f64]| {
            let mut left = vec![1.0; 3];
            for _ in 0..2000 {
                left = Spectral::of(weights, &left).left;
            }
            Spectral::of(weights, &left)
        };
        let spectral = converged(&weights);
        assert_eq!(spectral.scale() < 1.0, size > 1.0);
        let mut gradient = upstream.clone();
        spectral.backward(&weights, &mut gradient);
        check(&weights, &gradient, |weights| converged(weights).scale() * dot(weights, &upstream));
    }
}

fn mixture(random: &mut Random) -> Mixture<f64> {
    let whitener = vec![1.5, 0.25, 0.75, -0.5, 0.125, 2.0];
    Mixture::new(&Gmm {
        normalize: false,
        score: GmmScore::Mixture,
        width: 3,
        half_log_det: -(1.5f64.ln() + 0.75f64.ln() + 2f64.ln()),
        whitener,
        whitened_means: draw(random, 6),
        log_weights: vec![0.25f64.ln(), 0.75f64.ln()],
        ridge: 0.0,
    })
}

#[test]
fn mixture_gradients() {
    let mut random = Random::new(5);
    let mixture = mixture(&mut random);
    let rows = draw(&mut random, 12);
    let mut scratch = MixtureScratch::default();
    for pull in [Pull::All, Pull::Nearest, Pull::Labels(&[0, 1, 1, 0])] {
        let mut gradient = vec![1.0; 12];
        mixture.add_gradient(&rows, pull, 0.5, &mut scratch, &mut gradient);
        check(&rows, &gradient, |rows| {
            let mut energies = [0.0; 4];
            mixture.energies(rows, pull, &mut scratch, &mut energies);
            0.5 * energies.iter().sum::<f64>() + rows.iter().sum::<f64>()
        });
    }
}

#[test]
fn deviations_have_the_covariance_of_the_mixture() {
    let mixture = mixture(&mut Random::new(6));
    // Whitening what was coloured gives back the normal numbers.
    let normal = [0.5, -1.0, 2.0];
    let mut row = [0.0; 3];
    mixture.colour(&normal, &mut row);
    let mut energies = [0.0];
    let mean = mixture.mean(1).to_vec();
    row.iter_mut().zip(&mean).for_each(|(x, m)| *x += m);
    let mut scratch = MixtureScratch::default();
    mixture.energies(&row, Pull::Labels(&[1]), &mut scratch, &mut energies);
    let mut at_mean = [0.0];
    mixture.energies(&mean, Pull::Labels(&[1]), &mut scratch, &mut at_mean);
    assert!((energies[0] - at_mean[0] - 0.5 * 5.25).abs() < 1e-12);
}

#[test]
fn stacks() {
    let mut random = Random::new(7);
    let sizes = [(3, 5), (5, 5), (5, 1)];
    for order in [vec![0, 2], vec![0, 1, 2], vec![0, 1, 1, 1, 2]] {
        let layout = Layout::new(&sizes, order);
        let parameters = draw(&mut random, layout.parameters());
        let (rows, upstream) = (draw(&mut random, 12), draw(&mut random, 4));
        let value = |rows: &[f64], parameters: &[f64]| {
            let mut trace = Trace::default();
            Stack::new(layout.clone(), parameters.to_vec()).forward(rows, &mut trace);
            trace.energies().to_vec()
        };
        let stack = Stack::new(layout.clone(), parameters.clone());
        let mut trace = Trace::default();
        stack.forward(&rows, &mut trace);
        let mut to_rows = vec![0.0; 12];
        stack.backward(&mut trace, 0.5, &mut to_rows);
        check(&rows, &to_rows, |rows| 0.5 * value(rows, &parameters).iter().sum::<f64>());
        let mut to_parameters = vec![0.0; parameters.len()];
        stack.backward_parameters(&rows, &mut trace, &upstream, &mut to_parameters);
        check(&parameters, &to_parameters, |parameters| dot(&value(&rows, parameters), &upstream));
    }
}

#[test]
fn curvature_is_that_of_the_narrowest_direction() {
    // Σ⁻¹ = WᵀW of W = [[3, 0], [4, 5]] is [[25, 20], [20, 25]]: eigenvalues 45 and 5.
    let mixture = Mixture::<f64>::new(&Gmm {
        normalize: true,
        score: GmmScore::Mixture,
        width: 2,
        whitener: vec![3.0, 4.0, 5.0],
        whitened_means: vec![0.0; 2],
        log_weights: vec![0.0],
        half_log_det: 0.0,
        ridge: 0.0,
    });
    assert!((mixture.curvature() - 45.0).abs() < 1e-9);
}
