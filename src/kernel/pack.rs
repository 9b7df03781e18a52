//! Weights in the order in which tiles read them.

use super::error::{KernelError, KernelErrorKind};
use super::isa::Layout;

/// A cache line of weights, so that panels begin on one.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([i8; 64]);

/// The products under one window: `runs` contiguous runs of `run_len` activations each.
pub(super) struct Reduction<'a, W> {
    pub runs: usize,
    pub run_len: usize,
    /// Weight of output channel `o` at element `e` of run `r`: `weight(o, r, e)`.
    pub weight: W,
    /// What the sum of each output channel begins with: see [`fold_bias`].
    pub bias: &'a [i32],
    pub multipliers: &'a [f32],
}

/// Bias of each output channel with the zero point (and layout offset) of the input folded in:
/// `bias − zero_point · Σ w`, from weights of one output channel after the other.
///
/// Folding may wrap, and so may partial sums; the whole sum cannot (see [`check_sums`]).
pub(super) fn fold_bias(weights: &[i8], bias: &[i32], zero_point: i32) -> Vec<i32> {
    let channels = weights.chunks(weights.len() / bias.len());
    let sums = channels.map(|weights| weights.iter().map(|&w| i32::from(w)).sum::<i32>());
    sums.zip(bias).map(|(sum, &bias)| bias.wrapping_sub(sum.wrapping_mul(zero_point))).collect()
}

/// Refuses weights (of one output channel after the other) whose sums could leave 32 bits for some input.
pub(crate) fn check_sums(
    weights: &[i8],
    bias: &[i32],
    input_zero_point: i8,
) -> Result<(), KernelError> {
    match widest_sum(weights, bias, input_zero_point) {
        (sum, o) if sum > i64::from(i32::MAX) => Err(KernelError::new(
            KernelErrorKind::Overflow,
            format!("sums of output channel {o} can leave 32 bits; its bias is {}", bias[o]),
        )),
        _ => Ok(()),
    }
}

/// A bound on the magnitude of every sum, and the output channel that it comes from.
pub(super) fn widest_sum(weights: &[i8], bias: &[i32], input_zero_point: i8) -> (i64, usize) {
    let zero_point = i64::from(input_zero_point);
    let furthest = (127 - zero_point).max(zero_point + 128);
    let channels = weights.chunks(weights.len() / bias.len()).zip(bias).enumerate();
    channels.fold((0, 0), |widest, (o, (weights, &bias))| {
        let magnitude: i64 = weights.iter().map(|&w| i64::from(w).abs()).sum();
        widest.max((magnitude * furthest + i64::from(bias).abs(), o))
    })
}

/// All weights of a layer, packed once.
///
/// A panel holds `width` output channels: for each run, for each k-group, for each channel, the
/// `group` weights that belong to neighbouring input channels. Runs are padded to whole groups, panels
/// to whole vectors, with zeros.
pub(super) struct Panels {
    /// Vectors side by side in a panel.
    pub vectors: usize,
    /// Output channels in a panel.
    pub width: usize,
    /// Panels in one channel group of the convolution.
    pub per_group: usize,
    /// k-groups in a run.
    pub groups: usize,
    /// All panels, and one line more: a kernel may fetch the line behind a panel before it knows of its end.
    lines: Vec<Line>,
    lines_per_panel: usize,
    bias: Vec<i32>,
    multipliers: Vec<f32>,
}

impl Panels {
    /// Packs `channels` output channels, divided into `channel_groups` equal groups.
    pub fn new<W: Fn(usize, usize, usize) -> i16>(
        layout: Layout,
        channels: usize,
        channel_groups: usize,
        from: &Reduction<'_, W>,
    ) -> Panels {
        let group_channels = channels / channel_groups;
        let vectors = group_channels.div_ceil(layout.lanes).next_power_of_two().min(layout.vectors);
        let width = vectors * layout.lanes;
        let per_group = group_channels.div_ceil(width);
        let groups = from.run_len.div_ceil(layout.group);
        let panel_bytes = from.runs * groups * width * layout.group * layout.weight_bytes;
        let lines_per_panel = panel_bytes.div_ceil(64);
        let panels = channel_groups * per_group;
        let mut packed = Panels {
            vectors,
            width,
            per_group,
            groups,
            lines: vec![Line([0; 64]); panels * lines_per_panel + 1],
            lines_per_panel,
            bias: vec![0; panels * width],
            multipliers: vec![0.0; panels * width],
        };
        for o in 0..channels {
            let (g, within) = (o / group_channels, o % group_channels);
            let panel = g * per_group + within / width;
            packed.fill_channel(layout, o, panel, within % width, from);
        }
        packed
    }

    /// Packs output channel `o` as channel `lane` of `panel`.
    fn fill_channel<W: Fn(usize, usize, usize) -> i16>(
        &mut self,
        layout: Layout,
        o: usize,
        panel: usize,
        lane: usize,
        from: &Reduction<'_, W>,
    ) {
        let bytes = layout.weight_bytes;
        for run in 0..from.runs {
            for e in 0..from.run_len {
                let k_group = run * self.groups + e / layout.group;
                let at = (k_group * self.width + lane) * layout.group + e % layout.group;
                let w = (from.weight)(o, run, e);
                // A word's bytes in the machine's order; or the byte that the word fits into.
                let word = w.to_ne_bytes().map(|b| b as i8);
                let stored = if bytes == 1 { &[w as i8][..] } else { &word[..] };
                let line = &mut self.lines[panel * self.lines_per_panel + at * bytes / 64];
                line.0[at * bytes % 64..][..bytes].copy_from_slice(stored);
            }
        }
        let at = panel * self.width + lane;
        self.bias[at] = from.bias[o];
        self.multipliers[at] = from.multipliers[o];
    }

    /// The weights of one panel.
    pub fn weights(&self, panel: usize) -> *const i8 {
        self.lines[panel * self.lines_per_panel..][..self.lines_per_panel].as_ptr().cast()
    }

    /// The bias of each channel of one panel.
    pub fn bias(&self, panel: usize) -> &[i32] {
        &self.bias[panel * self.width..][..self.width]
    }

    /// The multiplier of each channel of one panel.
    pub fn multipliers(&self, panel: usize) -> &[f32] {
        &self.multipliers[panel * self.width..][..self.width]
    }

    /// Bytes that the packed weights take.
    pub fn bytes(&self) -> usize {
        self.lines.len() * 64
    }
}
