//! A frozen convolutional network: from an RGB picture to features.

/// What the backbone says of one frame.
///
/// `avg` and `std` have one entry per channel of the last feature map, `logits` one per class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    /// Spatial mean of the map: what the final layer sees.
    pub avg: Vec<f32>,
    /// Unbiased (divide by HW − 1) spatial standard deviation of the map.
    pub std: Vec<f32>,
    /// Output of the final layer.
    pub logits: Vec<f32>,
}
