//! The final layer of a backbone.

use oddsight::backbone::FinalLayer;

use super::dot;
use oddsight::fit::{FitError, FitErrorKind};

/// `W z + b`, in `f64`.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearHead {
    width: usize,
    /// K × D, class by class.
    weights: Vec<f64>,
    biases: Vec<f64>,
}

impl LinearHead {
    /// Of K × D weights, class by class, and K biases. Errors: none, sizes that do not fit, a number that
    /// is not finite.
    pub fn new(weights: Vec<f64>, biases: Vec<f64>) -> Result<LinearHead, FitError> {
        let classes = biases.len().max(1);
        let width = weights.len() / classes;
        if biases.is_empty() || width == 0 || weights.len() != width * classes {
            let message = format!("{} weights are no layer of {classes} classes", weights.len());
            return Err(FitError::new(FitErrorKind::Width, message));
        }
        if !weights.iter().chain(&biases).all(|x| x.is_finite()) {
            let message = "the final layer holds a number that is not finite: export it again";
            return Err(FitError::new(FitErrorKind::NonFinite, message.into()));
        }
        Ok(LinearHead { width, weights, biases })
    }

    /// D
    pub fn width(&self) -> usize {
        self.width
    }

    /// K
    pub fn classes(&self) -> usize {
        self.biases.len()
    }

    /// The weights of each class.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> + Clone {
        self.weights.chunks_exact(self.width)
    }

    /// The weights of one class.
    pub fn row(&self, class: usize) -> &[f64] {
        &self.weights[class * self.width..][..self.width]
    }

    /// b
    pub fn biases(&self) -> &[f64] {
        &self.biases
    }

    /// All weights, class by class.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// `W z + b`. Panics when the row has another width.
    pub fn logits(&self, row: &[f64]) -> Vec<f64> {
        assert_eq!(row.len(), self.width, "width of a row");
        self.rows().zip(&self.biases).map(|(weights, bias)| dot(weights, row) + bias).collect()
    }

    pub(super) fn check(&self, width: usize) -> Result<(), FitError> {
        if width == self.width {
            return Ok(());
        }
        let message = format!(
            "rows have {width} features, the final layer takes {}: extract them with this backbone",
            self.width
        );
        Err(FitError::new(FitErrorKind::Width, message))
    }
}

impl TryFrom<&FinalLayer> for LinearHead {
    type Error = FitError;

    fn try_from(layer: &FinalLayer) -> Result<LinearHead, FitError> {
        let wide = |values: &[f32]| values.iter().map(|&x| x.into()).collect();
        LinearHead::new(wide(&layer.weight), wide(&layer.bias))
    }
}
