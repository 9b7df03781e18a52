//! Features: what the backbone hands to the heads, as integers.

/// Fractional bits of a feature: it is signed Q11.20, in steps of 2⁻²⁰ and below 2¹¹ in size.
pub const FEATURE_BITS: u32 = 20;

/// The feature that stands for "not a number": a float backbone gave NaN or an infinity. A head that
/// reads it has the energy +∞.
pub const NOT_A_NUMBER: i32 = i32::MIN;

/// 2²⁰
const ONE: f64 = (1u32 << FEATURE_BITS) as f64;

/// What the backbone says of one frame, in signed Q11.20 (see [`FEATURE_BITS`]).
///
/// `avg` and `std` have one entry per channel of the last feature map, `logits` one per class.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Features {
    /// Spatial mean of the map: what the final layer sees.
    pub avg: Vec<i32>,
    /// Unbiased (divide by HW − 1) spatial standard deviation of the map; zeros for a 1×1 map.
    pub std: Vec<i32>,
    /// Output of the final layer, before any softmax.
    pub logits: Vec<i32>,
}

impl Features {
    /// Gives the rows these lengths; allocates only when they grow. New entries are 0.
    pub fn resize(&mut self, width: usize, classes: usize) {
        self.avg.resize(width, 0);
        self.std.resize(width, 0);
        self.logits.resize(classes, 0);
    }
}

/// A number as a feature: rounded half to even, saturated at ±`i32::MAX`; NaN and infinities become
/// [`NOT_A_NUMBER`].
pub fn to_feature(value: f64) -> i32 {
    if !value.is_finite() {
        return NOT_A_NUMBER;
    }
    // The cast saturates, at one below the range that a feature has.
    ((value * ONE).round_ties_even() as i32).max(-i32::MAX)
}

/// The number that a feature stands for, exactly; NaN for [`NOT_A_NUMBER`].
pub fn from_feature(feature: i32) -> f64 {
    if feature == NOT_A_NUMBER { f64::NAN } else { f64::from(feature) / ONE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_round_half_to_even_and_saturate() {
        let half = 0.5 / ONE;
        let cases = [
            (half, 0),
            (3.0 * half, 2),
            (-half, 0),
            (-3.0 * half, -2),
            (1.0, 1 << 20),
            (2048.0, i32::MAX),
            (-2048.0, -i32::MAX),
            (-1e300, -i32::MAX),
            (f64::NAN, NOT_A_NUMBER),
            (f64::NEG_INFINITY, NOT_A_NUMBER),
        ];
        for (value, feature) in cases {
            assert_eq!(to_feature(value), feature, "{value}");
        }
    }

    #[test]
    fn a_feature_is_its_number() {
        for feature in [0, 1, -1, 12_345_678, i32::MAX, -i32::MAX] {
            assert_eq!(to_feature(from_feature(feature)), feature);
        }
        assert!(from_feature(NOT_A_NUMBER).is_nan());
    }
}
