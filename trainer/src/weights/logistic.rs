//! Logistic regression with weights that are not negative.
//!
//! With `z = w·v + b`, N normal and U unusual rows, minimises over `w ≥ 0` and `b`
//!
//! ```text
//! J(w, b) = 1/(2N) Σ_normal log(1 + e^z) + 1/(2U) Σ_unusual log(1 + e^−z) + λ/2 |w|²
//! ```
//!
//! by Newton's method on the weights that no bound holds (projected Newton: Bertsekas 1982). J is convex, and
//! strictly so in `w`: there is one minimum. Sums run over the rows in their order.

use nalgebra::{DMatrix, DVector};

use super::{Energies, WeightsError, WeightsErrorKind};

/// Newton steps that are tried; some ten are needed.
const MOST_STEPS: usize = 200;
/// Halvings of one step.
const MOST_HALVINGS: usize = 60;
/// Largest entry of the projected gradient at the minimum. Rounding leaves some 1e-16 of it.
const TOLERANCE: f64 = 1e-10;
/// Added to the curvature along `b`, which vanishes when every row is far from the boundary.
const LEAST_CURVATURE: f64 = 1e-12;
/// Share of the predicted decrease that a step must make (Armijo 1966).
const SUFFICIENT: f64 = 1e-4;

/// What is minimised.
pub(super) struct Problem<'a> {
    pub normal: &'a Energies,
    pub unusual: &'a Energies,
    /// λ
    pub penalty: f64,
}

/// Where the minimum is.
#[derive(Debug)]
pub(super) struct Solution {
    /// The weights, then b, which changes no ranking.
    pub point: DVector<f64>,
    /// J without the penalty.
    pub log_loss: f64,
}

/// J, its gradient and Hessian at a point; the last coordinate is b.
pub(super) struct Expansion {
    pub value: f64,
    pub gradient: DVector<f64>,
    pub hessian: DMatrix<f64>,
}

impl Problem<'_> {
    fn heads(&self) -> usize {
        self.normal.heads
    }

    /// Rows with what one of them counts, and +1 where unusual, −1 where normal.
    fn rows(&self) -> impl Iterator<Item = (&[f64], f64, f64)> {
        let share = |energies: &Energies| 0.5 / energies.len() as f64;
        let (normal, unusual) = (share(self.normal), share(self.unusual));
        let normal = self.normal.rows().map(move |row| (row, normal, -1.0));
        normal.chain(self.unusual.rows().map(move |row| (row, unusual, 1.0)))
    }

    fn log_loss(&self, point: &DVector<f64>) -> f64 {
        self.rows().map(|(row, share, sign)| share * softplus(-sign * margin(point, row))).sum()
    }

    pub(super) fn value(&self, point: &DVector<f64>) -> f64 {
        let weights = point.rows(0, self.heads());
        self.log_loss(point) + 0.5 * self.penalty * weights.norm_squared()
    }

    pub(super) fn expand(&self, point: &DVector<f64>) -> Expansion {
        let heads = self.heads();
        let mut gradient = DVector::zeros(heads + 1);
        let mut hessian = DMatrix::zeros(heads + 1, heads + 1);
        for (row, share, sign) in self.rows() {
            // d/dz log(1 + e^(−sz)) = −s σ(−sz); the second derivative is σ(z) σ(−z).
            let miss = sigmoid(-sign * margin(point, row));
            let (slope, curvature) = (-sign * share * miss, share * miss * (1.0 - miss));
            let along = |k: usize| if k < heads { row[k] } else { 1.0 };
            for j in 0..=heads {
                gradient[j] += slope * along(j);
                for k in 0..=j {
                    hessian[(j, k)] += curvature * along(j) * along(k);
                }
            }
        }
        for k in 0..heads {
            gradient[k] += self.penalty * point[k];
            hessian[(k, k)] += self.penalty;
        }
        hessian[(heads, heads)] += LEAST_CURVATURE;
        hessian.fill_upper_triangle_with_lower_triangle();
        Expansion { value: self.value(point), gradient, hessian }
    }

    /// Errors: `NotConverged`.
    pub(super) fn minimise(&self) -> Result<Solution, WeightsError> {
        let heads = self.heads();
        let mut point = DVector::zeros(heads + 1);
        for _ in 0..MOST_STEPS {
            let at = self.expand(&point);
            let free: Vec<usize> = (0..=heads)
                .filter(|&k| k == heads || point[k] > 0.0 || at.gradient[k] < 0.0)
                .collect();
            let steepest = free.iter().map(|&k| at.gradient[k].abs()).fold(0.0, f64::max);
            if steepest <= TOLERANCE {
                return Ok(self.solution(&point));
            }
            match self.descend(&point, &at, &free) {
                Some(next) => point = next,
                // No smaller value can be told from this one: the minimum, as far as numbers go.
                None if steepest <= TOLERANCE.sqrt() => return Ok(self.solution(&point)),
                None => break,
            }
        }
        let message = "the weights of the composition do not settle: energies of the known unusual \
                       pictures may be extreme; leave --known-unusual or the head with such energies out";
        Err(WeightsError::new(WeightsErrorKind::NotConverged, message.into()))
    }

    /// A point of smaller value along Newton's direction in the `free` coordinates, bent at the bounds.
    fn descend(
        &self,
        point: &DVector<f64>,
        at: &Expansion,
        free: &[usize],
    ) -> Option<DVector<f64>> {
        let gradient = at.gradient.select_rows(free);
        let hessian = at.hessian.select_rows(free).select_columns(free);
        let newton = hessian.cholesky()?.solve(&gradient);
        let mut step = 1.0;
        for _ in 0..MOST_HALVINGS {
            let mut next = point.clone();
            for (&k, direction) in free.iter().zip(&newton) {
                let moved = point[k] - step * direction;
                next[k] = if k < self.heads() { moved.max(0.0) } else { moved };
            }
            let predicted = at.gradient.dot(&(&next - point));
            if predicted < 0.0 && self.value(&next) <= at.value + SUFFICIENT * predicted {
                return Some(next);
            }
            step *= 0.5;
        }
        None
    }

    fn solution(&self, point: &DVector<f64>) -> Solution {
        Solution { point: point.clone(), log_loss: self.log_loss(point) }
    }
}

fn margin(point: &DVector<f64>, row: &[f64]) -> f64 {
    row.iter().zip(point).fold(point[row.len()], |z, (v, w)| z + v * w)
}

/// `log(1 + e^z)` without overflow.
fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

/// `1 / (1 + e^−z)`; accurate also where it is close to 0.
fn sigmoid(z: f64) -> f64 {
    if z < 0.0 { z.exp() / (1.0 + z.exp()) } else { 1.0 / (1.0 + (-z).exp()) }
}
