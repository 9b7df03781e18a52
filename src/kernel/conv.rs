//! Convolution with bias, residual addition, activation and requantisation in one pass.

use std::ops::Range;

use super::band::{Activation, BandPlan, Scratch};
use super::choice::{Engine, Kernel};
use super::error::KernelError;
use super::isa::{End, Isa, Layout, MAX_PIXELS, MAX_WIDTH, Tile, dispatch, divide};
use super::pack::{Panels, Reduction, check_sums, fold_bias};
use super::quantise::{Grid, Multiplier, Residual};
use super::reference;
use super::window::{Map, Window, bounded_len};
use super::winograd::{Winograd, WinogradEngine};

/// Output pixels that a band should hold: enough that weights, which are read once per band, cost
/// little, and few enough that the band of a 3×3 window stays near the size of a first-level cache.
const BAND_PIXELS: usize = 64;

/// A quantised convolution as a model states it.
#[derive(Clone, Copy, Debug)]
pub struct ConvSpec<'a> {
    /// Shape of the input map.
    pub input: Map,
    /// The input's value that stands for 0, and that padding inserts.
    pub input_zero_point: i8,
    /// Kernel size, stride, dilation and padding.
    pub window: Window,
    /// Input channels per group times `groups` is `input.channels`; divides `out_channels`.
    pub groups: usize,
    /// Channels of the output map.
    pub out_channels: usize,
    /// `[out_channels][input.channels / groups][kernel height][kernel width]`, as in ONNX.
    pub weights: &'a [i8],
    /// One per output channel, in units of `s_input · s_weight[c]`.
    pub bias: &'a [i32],
    /// One per output channel: see [`Grid`] and [`Residual`].
    pub multipliers: &'a [Multiplier],
    /// What is added before the result is stored.
    pub residual: Residual,
    /// The grid of the result, with the clamp that follows.
    pub output: Grid,
}

impl ConvSpec<'_> {
    /// The output map; an error when sizes do not fit together.
    pub fn output_map(&self) -> Result<Map, KernelError> {
        let [height, width] = self.window.output(self.input)?;
        let (groups, channels) = (self.groups, self.out_channels);
        if groups == 0 || channels == 0 || self.input.channels % groups + channels % groups != 0 {
            return Err(KernelError::shape(format!(
                "{} input and {channels} output channels do not divide into {groups} groups",
                self.input.channels
            )));
        }
        let output = Map { height, width, channels };
        let [kernel_height, kernel_width] = self.window.kernel;
        let per_channel = [self.input.channels / groups, kernel_height, kernel_width];
        let weights = bounded_len("weights", &[&[channels][..], &per_channel].concat())?;
        bounded_len("output values", &[height, width, channels])?;
        for (what, have, want) in [
            ("weights", self.weights.len(), weights),
            ("bias values", self.bias.len(), channels),
            ("multipliers", self.multipliers.len(), channels),
        ] {
            if have != want {
                return Err(KernelError::shape(format!("{have} {what} where {want} are needed")));
            }
        }
        Ok(output)
    }

    /// Products summed for one output.
    pub(super) fn reduction_len(&self) -> usize {
        self.input.channels / self.groups * self.window.kernel[0] * self.window.kernel[1]
    }

    /// The weight of output channel `o` at tap (`ky`, `kx`) and channel `c` of its group's input.
    pub(super) fn weight(&self, o: usize, ky: usize, kx: usize, c: usize) -> i8 {
        let [height, width] = self.window.kernel;
        let channels = self.input.channels / self.groups;
        self.weights[((o * channels + c) * height + ky) * width + kx]
    }
}

/// A planned convolution: weights packed for one kernel, geometry fixed.
pub struct Conv {
    pub(super) input: Map,
    output: Map,
    pub(super) input_zero_point: i8,
    pub(super) window: Window,
    groups: usize,
    macs: u64,
    pub(super) residual: Residual,
    pub(super) grid: Grid,
    body: Body,
}

/// What runs a [`Conv`].
enum Body {
    Reference { weights: Vec<i8>, bias: Vec<i32>, multipliers: Vec<Multiplier> },
    Tiled(Tiled),
    Winograd(Winograd),
}

/// How a [`Conv`] is computed.
#[derive(Clone, Copy)]
pub(super) enum Method {
    Reference,
    Direct(Engine),
    Winograd(WinogradEngine),
}

/// The packed form of a convolution.
pub(super) struct Tiled {
    engine: Engine,
    panels: Panels,
    band: BandPlan,
    /// Offsets in the band of the contiguous runs of activations under a window.
    runs: Vec<usize>,
    /// Offset in the band of the first tap of each output pixel.
    bases: Vec<usize>,
}

impl Conv {
    /// Checks `spec` and packs its weights for `kernel`.
    ///
    /// Errors: `Shape` when sizes do not fit together, `Overflow` when a sum could leave 32 bits.
    pub fn new(kernel: Kernel, spec: &ConvSpec<'_>) -> Result<Conv, KernelError> {
        let output = spec.output_map()?;
        // The only products that two steps of 16-bit sums cannot hold are (−128)·(−128).
        let extreme = spec.weights.contains(&i8::MIN);
        let method = match (kernel.winograd(), kernel.engine(extreme)) {
            (Some(engine), _) if Winograd::fits(spec) && Winograd::pays(spec, output) => {
                Method::Winograd(engine)
            }
            (_, Some(engine)) => Method::Direct(engine),
            (_, None) => Method::Reference,
        };
        Conv::with_method(method, spec)
    }

    /// As [`Conv::new`], with a given method, which must fit.
    pub(super) fn with_method(method: Method, spec: &ConvSpec<'_>) -> Result<Conv, KernelError> {
        let output = spec.output_map()?;
        check_sums(spec.weights, spec.bias, spec.input_zero_point)?;
        let body = match method {
            Method::Direct(engine) => Body::Tiled(Tiled::new(engine, spec, output)),
            Method::Winograd(engine) => Body::Winograd(Winograd::new(engine, spec, output)),
            Method::Reference => Body::Reference {
                weights: spec.weights.to_vec(),
                bias: spec.bias.to_vec(),
                multipliers: spec.multipliers.to_vec(),
            },
        };
        Ok(Conv {
            input: spec.input,
            output,
            input_zero_point: spec.input_zero_point,
            window: spec.window,
            groups: spec.groups,
            macs: (output.len() * spec.reduction_len()) as u64,
            residual: spec.residual,
            grid: spec.output,
            body,
        })
    }

    /// The map that [`Conv::run`] makes.
    pub fn output(&self) -> Map {
        self.output
    }

    /// Multiply-accumulates of one whole map, padding included.
    pub fn macs(&self) -> u64 {
        self.macs
    }

    /// How it is computed: window, stride, dilation and groups where not 1, Winograd's method, what is added.
    pub fn describe(&self) -> String {
        let Window { kernel: [height, width], stride, dilation, .. } = self.window;
        let pair = |sign: &str, [y, x]: [usize; 2]| match (y, x) {
            (1, 1) => String::new(),
            (y, x) if y == x => format!("{sign}{y}"),
            (y, x) => format!("{sign}{y}×{x}"),
        };
        let groups =
            if self.groups > 1 { format!(" in {} groups", self.groups) } else { "".into() };
        let method = if matches!(self.body, Body::Winograd(_)) { " Winograd" } else { "" };
        let added = if self.residual == Residual::None { "" } else { " + residual" };
        let (stride, dilation) = (pair("/", stride), pair(" dilated ", dilation));
        format!("{height}×{width}{stride}{dilation}{groups}{method}{added}")
    }

    /// Bytes of packed weights.
    pub fn weight_bytes(&self) -> usize {
        match &self.body {
            Body::Reference { weights, .. } => weights.len(),
            Body::Tiled(tiled) => tiled.panels.bytes(),
            Body::Winograd(winograd) => winograd.panels.bytes(),
        }
    }

    /// Grows `scratch` to what [`Conv::run`] needs, so that running does not allocate.
    pub fn reserve(&self, scratch: &mut Scratch) {
        match &self.body {
            Body::Reference { .. } => {}
            Body::Tiled(tiled) => (tiled.engine.reserve)(scratch, tiled.band.len(&self.window)),
            Body::Winograd(winograd) => scratch.reserve_words(winograd.scratch(&self.window)),
        }
    }

    /// Computes the output rows `rows`.
    ///
    /// `input` is the whole input map, `residual` the whole residual map of the output's shape (empty
    /// without a residual), `output` those rows alone. Every split of the rows gives the same bytes.
    ///
    /// Panics when a slice has another length, and when `scratch` was not [reserved](Conv::reserve).
    pub fn run(
        &self,
        input: &[i8],
        residual: &[i8],
        rows: Range<usize>,
        output: &mut [i8],
        scratch: &mut Scratch,
    ) {
        let row = self.output.row_len();
        let joined = if self.residual == Residual::None { 0 } else { self.output.len() };
        assert_eq!(input.len(), self.input.len(), "length of the input map");
        assert_eq!(residual.len(), joined, "length of the residual map");
        assert!(rows.start <= rows.end && rows.end <= self.output.height, "rows {rows:?}");
        assert_eq!(output.len(), rows.len() * row, "length of the output rows");
        let residual = if joined == 0 { residual } else { &residual[rows.start * row..] };
        let job = Job { input, residual, rows, output };
        match &self.body {
            Body::Reference { weights, bias, multipliers } => {
                let spec = self.spec(weights, bias, multipliers);
                reference::conv(&spec, self.output, job);
            }
            // SAFETY: an engine comes from a kernel that this machine was seen to run.
            Body::Tiled(tiled) => unsafe { (tiled.engine.conv)(self, tiled, job, scratch) },
            // SAFETY: likewise.
            Body::Winograd(plan) => unsafe { (plan.engine.conv)(self, plan, job, scratch) },
        }
    }

    fn spec<'a>(
        &self,
        weights: &'a [i8],
        bias: &'a [i32],
        multipliers: &'a [Multiplier],
    ) -> ConvSpec<'a> {
        ConvSpec {
            input: self.input,
            input_zero_point: self.input_zero_point,
            window: self.window,
            groups: self.groups,
            out_channels: self.output.channels,
            weights,
            bias,
            multipliers,
            residual: self.residual,
            output: self.grid,
        }
    }
}

/// Some output rows to compute.
pub(super) struct Job<'a> {
    pub input: &'a [i8],
    /// From the first of `rows` on; empty without a residual.
    pub residual: &'a [i8],
    pub rows: Range<usize>,
    pub output: &'a mut [i8],
}

impl Tiled {
    fn new(engine: Engine, spec: &ConvSpec<'_>, output: Map) -> Tiled {
        let layout = engine.layout;
        let [height, width] = spec.window.kernel;
        let channels = spec.input.channels / spec.groups;
        // Neighbouring taps of a row lie next to each other, so a kernel row is one run. This is what
        // makes a 3-channel stem fast: 7 runs of 21 values and not 49 of 3.
        let fused = spec.groups == 1 && spec.window.dilation[1] == 1;
        let taps = if fused { 1 } else { width };
        let run_len = channels * width / taps;
        let reduction = Reduction {
            runs: height * taps,
            run_len,
            weight: |o, run: usize, e: usize| {
                i16::from(spec.weight(o, run / taps, run % taps + e / channels, e % channels))
            },
            bias: &fold_bias(
                spec.weights,
                spec.bias,
                i32::from(spec.input_zero_point) + layout.offset,
            ),
            multipliers: &spec.multipliers.iter().map(|m| m.get()).collect::<Vec<_>>(),
        };
        let panels = Panels::new(layout, spec.out_channels, spec.groups, &reduction);
        let band = plan_band(layout, spec, output, run_len);
        let runs = (0..height * taps)
            .map(|run| {
                let down = run / taps * spec.window.dilation[0] * band.pitch;
                down + run % taps * spec.window.dilation[1] * spec.input.channels
            })
            .collect();
        let across = spec.window.stride[1] * spec.input.channels;
        let down = spec.window.stride[0] * band.pitch;
        let bases = (0..band.rows * output.width)
            .map(|pixel| pixel / output.width * down + pixel % output.width * across)
            .collect();
        Tiled { engine, panels, band, runs, bases }
    }
}

fn plan_band(layout: Layout, spec: &ConvSpec<'_>, output: Map, run_len: usize) -> BandPlan {
    let columns = (output.width - 1) * spec.window.stride[1] + spec.window.span(1);
    let in_place =
        layout.in_place && spec.window.pad == [0; 4] && run_len.is_multiple_of(layout.group);
    let columns = if in_place { spec.input.width } else { columns };
    BandPlan {
        columns,
        rows: BAND_PIXELS.div_ceil(output.width).min(output.height),
        pitch: columns * spec.input.channels,
        in_place,
    }
}

/// Computes a job band by band.
///
/// # Safety
/// The caller runs on `S`, and `tiled` was packed for it.
pub(super) unsafe fn drive<S: Isa>(
    conv: &Conv,
    tiled: &Tiled,
    job: Job<'_>,
    scratch: &mut Scratch,
) {
    let (window, row) = (&conv.window, conv.output.row_len());
    let Job { input, mut residual, rows, mut output } = job;
    let mut first = rows.start;
    while first < rows.end {
        let count = tiled.band.rows.min(rows.end - first);
        let (out, rest) = output.split_at_mut(count * row);
        output = rest;
        let in_place = if tiled.band.in_place { S::X::in_place(input) } else { None };
        let band = match in_place {
            Some(map) => &map[first * window.stride[0] * tiled.band.pitch..],
            None => {
                let padding = (conv.input_zero_point, S::LAYOUT.offset);
                let band = &mut S::X::buffer(scratch)[..];
                tiled.band.fill(band, input, conv.input, window, (first, count), padding);
                &*band
            }
        };
        // SAFETY: passed on.
        unsafe { band_tiles::<S>(conv, tiled, band, residual, out) };
        residual = residual.get(count * row..).unwrap_or(&[]);
        first += count;
    }
}

/// Computes the output rows over one band: panel by panel, so that a panel's weights stay in the
/// first-level cache while the tiles of the band pass by.
///
/// # Safety
/// As for [`drive`].
unsafe fn band_tiles<S: Isa>(
    conv: &Conv,
    tiled: &Tiled,
    band: &[S::X],
    residual: &[i8],
    out: &mut [i8],
) {
    let (panels, runs) = (&tiled.panels, &tiled.runs[..]);
    let channels = conv.output.channels;
    let (in_group, out_group) = (conv.input.channels / conv.groups, channels / conv.groups);
    let bases = &tiled.bases[..out.len() / channels];
    let reach = (conv.groups - 1) * in_group
        + bases[bases.len() - 1]
        + runs[runs.len() - 1]
        + panels.groups * S::LAYOUT.group;
    assert!(reach <= band.len(), "scratch was not reserved for this plan");

    for panel in 0..conv.groups * panels.per_group {
        let (g, within) = (panel / panels.per_group, panel % panels.per_group * panels.width);
        let valid = panels.width.min(out_group - within);
        let run = |bases, r: *const i8, out: *mut i8, pitch: usize| {
            let tile = Tile {
                x: band[g * in_group..].as_ptr(),
                bases,
                runs,
                groups: panels.groups,
                weights: panels.weights(panel),
                bias: panels.bias(panel).as_ptr(),
                end: End::Bytes {
                    multipliers: panels.multipliers(panel).as_ptr(),
                    grid: &conv.grid,
                    residual: &conv.residual,
                    r,
                    out,
                    pitch,
                },
            };
            // SAFETY: the caller runs on S. The last activation read is before `reach`; the slices of a
            // panel have the panel's size; `r` and `out` are good for a tile, as seen below.
            unsafe { dispatch::<S>(panels.vectors, &tile) };
        };
        let mut at = g * out_group + within;
        for now in divide(bases, S::LAYOUT.pixels) {
            if valid == panels.width {
                let r = residual.get(at..).unwrap_or(&[]).as_ptr();
                run(now, r, out[at..].as_mut_ptr(), channels);
            } else {
                edge_tile(residual, out, at, channels, (now.len(), valid), |r, out, pitch| {
                    run(now, r, out, pitch)
                });
            }
            at += now.len() * channels;
        }
    }
}

/// Runs a tile of the last panel of a group, of which only `valid` channels exist, beside the maps.
fn edge_tile(
    residual: &[i8],
    out: &mut [i8],
    at: usize,
    channels: usize,
    (pixels, valid): (usize, usize),
    run: impl FnOnce(*const i8, *mut i8, usize),
) {
    let mut r = [[0i8; MAX_WIDTH]; MAX_PIXELS];
    let mut to = [[0i8; MAX_WIDTH]; MAX_PIXELS];
    if !residual.is_empty() {
        for p in 0..pixels {
            r[p][..valid].copy_from_slice(&residual[at + p * channels..][..valid]);
        }
    }
    run(r.as_ptr().cast(), to.as_mut_ptr().cast(), MAX_WIDTH);
    for p in 0..pixels {
        out[at + p * channels..][..valid].copy_from_slice(&to[p][..valid]);
    }
}
