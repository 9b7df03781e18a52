//! The rows that the authors' code was given for the golden values.

/// Length of a row.
pub const D: usize = 4;

pub fn g(i: usize, j: usize, a: f64) -> f64 {
    let (i, j) = (i as f64, j as f64);
    f64::from((1.0 + a + 0.7 * i + 1.3 * j + 0.37 * i * j).sin() as f32)
}

/// Training row i, of class i mod 3.
pub fn row(i: usize) -> Vec<f64> {
    let bump = |j: usize| if j == i % 3 { 1.5 } else { 0.0 };
    (0..D).map(|j| f64::from((g(i, j, 0.0) + bump(j)) as f32)).collect()
}

pub fn query(i: usize) -> Vec<f64> {
    (0..D).map(|j| f64::from((2.0 * g(i, j, 0.5)) as f32)).collect()
}
