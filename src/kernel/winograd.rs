//! 3×3 convolution with stride 1 by Winograd's minimal filtering, exact in integers.
//!
//! F(2×2, 3×3) of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016), equation 8,
//! computes 2×2 outputs `Y` from a 4×4 tile `d` of the input and a filter `g`:
//!
//! ```text
//! Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A
//! ```
//!
//! 16 products instead of 36. `Bᵀ` and `Aᵀ` hold 0 and ±1; `G` holds halves, so `2G` is used: the
//! transformed filter is an integer of at most 9·128, the transformed tile of at most 4·128, both fit into
//! 16 bits, and the sums are 4 times the convolution's. Division by 4 moves into the multiplier, where it
//! is exact. The stored bytes are those of the direct convolution.
//!
//! It pays where 16-bit products are not slower than 8-bit ones (AVX2, NEON without `sdot`), and while
//! the transformed weights, 3.6 times as large, stay in the caches.

use super::band::{BandPlan, Scratch};
use super::conv::{Conv, ConvSpec, Job};
use super::isa::{End, Isa, Layout, MAX_WIDTH, Tile, dispatch, divide, finish};
use super::pack::{Panels, Reduction, fold_bias, widest_sum};
use super::window::{Map, Window};

/// Elements of a transformed tile, each the subject of a matrix product of its own.
const POSITIONS: usize = 16;
/// Channels that are transformed together.
const CHUNK: usize = 16;
/// Tiles that a band should hold, so that weights, which are read once per band, cost little.
const BAND_TILES: usize = 24;
/// Largest transformed weights: what lies in a second- or third-level cache.
const MOST_WEIGHT_BYTES: usize = 1 << 21;
/// Values between the planes of two positions: whole cache lines, so that the 16 planes, which are read and
/// written side by side, do not fall into the same lines of a cache when their length is a power of 2.
const APART: usize = 48;
/// The element of the transformed tile that counts once, positively, in each of the four outputs.
const CENTRE: usize = 5;

/// An instruction set with tiles of 16-bit weights and activations.
pub(super) trait Words: Isa<X = i16> {
    unsafe fn add_i32(a: Self::I32, b: Self::I32) -> Self::I32;
    unsafe fn sub_i32(a: Self::I32, b: Self::I32) -> Self::I32;
    /// [`transform_input`], compiled for this instruction set.
    unsafe fn transform_input(band: &[i16], from: &Tiles, to: &mut [i16]);
    /// [`transform_output`], compiled for this instruction set.
    unsafe fn transform_output<const V: usize>(panel: OutputPanel<'_>);
}

/// The code of one instruction set.
#[derive(Clone, Copy)]
pub(super) struct WinogradEngine {
    pub layout: Layout,
    pub conv: unsafe fn(&Conv, &Winograd, Job<'_>, &mut Scratch),
}

impl WinogradEngine {
    pub fn of<S: Words>() -> WinogradEngine {
        WinogradEngine { layout: S::LAYOUT, conv: drive::<S> }
    }
}

/// Which tiles a band holds.
#[derive(Clone, Copy)]
pub(super) struct Tiles {
    /// Tiles side by side: two output columns each.
    across: usize,
    /// Rows of tiles: two output rows each.
    down: usize,
    /// Channels of the input.
    channels: usize,
    /// Values from one row of the band to the next.
    pitch: usize,
}

impl Tiles {
    fn count(&self) -> usize {
        self.across * self.down
    }

    /// Transformed values from one position to the next.
    fn plane(&self) -> usize {
        self.count() * self.depth() + APART
    }

    /// Sums of panels of `width` channels from one position to the next.
    fn sums(&self, width: usize) -> usize {
        self.count() * width + APART
    }

    /// Transformed channels of a tile: `channels` in whole chunks. What lies in the others meets weights
    /// that are zero.
    fn depth(&self) -> usize {
        self.channels.next_multiple_of(CHUNK)
    }
}

/// A convolution prepared for this method.
pub(super) struct Winograd {
    pub engine: WinogradEngine,
    pub panels: Panels,
    /// A band of the greatest height.
    tiles: Tiles,
    band: BandPlan,
    /// Offsets of the tiles among the transformed values of one position.
    bases: Vec<usize>,
}

impl Winograd {
    /// Whether the method computes this convolution at all.
    pub fn fits(spec: &ConvSpec<'_>) -> bool {
        let Window { kernel, stride, dilation, .. } = spec.window;
        let (sum, _) = widest_sum(spec.weights, spec.bias, spec.input_zero_point);
        (kernel, stride, dilation, spec.groups) == ([3; 2], [1; 2], [1; 2], 1)
            && 4 * sum <= i64::from(i32::MAX)
    }

    /// Whether it is worth while: enough channels and tiles, and weights that stay near.
    pub fn pays(spec: &ConvSpec<'_>, output: Map) -> bool {
        let channels = spec.input.channels.min(output.channels);
        let tiles = output.height.div_ceil(2) * output.width.div_ceil(2);
        let bytes = POSITIONS * spec.input.channels * output.channels * 2;
        channels >= 32 && tiles >= 12 && bytes <= MOST_WEIGHT_BYTES
    }

    pub fn new(engine: WinogradEngine, spec: &ConvSpec<'_>, output: Map) -> Winograd {
        let across = output.width.div_ceil(2);
        let down = BAND_TILES.div_ceil(across).min(output.height.div_ceil(2));
        let channels = spec.input.channels;
        let columns = 2 * across + 2;
        let tiles = Tiles { across, down, channels, pitch: columns * channels };
        let mut bias = fold_bias(spec.weights, spec.bias, i32::from(spec.input_zero_point));
        bias.iter_mut().for_each(|bias| *bias = bias.wrapping_mul(4));
        let multipliers: Vec<f32> = spec.multipliers.iter().map(|m| m.get() / 4.0).collect();
        let reduction = Reduction {
            runs: POSITIONS,
            run_len: tiles.depth(),
            weight: |o, position, c| {
                if c < channels { transformed_weight(spec, o, c, position) } else { 0 }
            },
            bias: &bias,
            multipliers: &multipliers,
        };
        Winograd {
            engine,
            panels: Panels::new(engine.layout, spec.out_channels, 1, &reduction),
            tiles,
            band: BandPlan { columns, rows: 2 * down, pitch: tiles.pitch, in_place: false },
            bases: (0..tiles.count()).map(|tile| tile * tiles.depth()).collect(),
        }
    }

    /// Lengths of the buffers: 16-bit words (band and transformed tiles) and 32-bit sums.
    pub fn scratch(&self, window: &Window) -> [usize; 2] {
        let words = self.band_len(window) + POSITIONS * self.tiles.plane();
        [words, POSITIONS * self.tiles.sums(self.panels.width)]
    }

    /// Length of the band; the last chunk of the last tile may read beyond the map's channels.
    fn band_len(&self, window: &Window) -> usize {
        self.band.len(window) + CHUNK
    }
}

/// Element `position` of `(2G) g (2G)ᵀ`, for output channel `o` and input channel `c`.
fn transformed_weight(spec: &ConvSpec<'_>, o: usize, c: usize, position: usize) -> i16 {
    const G: [[i16; 3]; 4] = [[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]];
    let (down, across) = (G[position / 4], G[position % 4]);
    let mut sum = 0;
    for ky in 0..3 {
        for kx in 0..3 {
            sum += down[ky] * across[kx] * i16::from(spec.weight(o, ky, kx, c));
        }
    }
    sum
}

/// `Bᵀ d B` of every tile of a band: `to` is `[position][tile][depth]`.
#[inline(always)]
pub(super) fn transform_input(band: &[i16], from: &Tiles, to: &mut [i16]) {
    let depth = from.depth();
    let plane = from.plane();
    let (rows, columns) = (2 * from.down + 2, 2 * from.across + 2);
    let last = (rows - 1) * from.pitch + (columns - 1) * from.channels + depth;
    assert!(last <= band.len() && POSITIONS * plane <= to.len());
    let (band, to) = (band.as_ptr(), to.as_mut_ptr());
    for down in 0..from.down {
        for chunk in (0..depth).step_by(CHUNK) {
            let at =
                |x: usize| band.wrapping_add(2 * down * from.pitch + x * from.channels + chunk);
            // SAFETY: rows and columns end at `last`, which lies in the band. Neighbouring tiles share
            // two columns.
            let (mut a, mut b) = unsafe { (column(at(0), from.pitch), column(at(1), from.pitch)) };
            for across in 0..from.across {
                let next = 2 * across + 2;
                // SAFETY: likewise.
                let c = unsafe { column(at(next), from.pitch) };
                // SAFETY: likewise.
                let d = unsafe { column(at(next + 1), from.pitch) };
                let tile = (down * from.across + across) * depth + chunk;
                for y in 0..4 {
                    let row = filter(&a[y], &b[y], &c[y], &d[y]);
                    for x in 0..4 {
                        let to = to.wrapping_add((4 * y + x) * plane + tile);
                        // SAFETY: a chunk of one tile of one position.
                        unsafe { to.cast::<[i16; CHUNK]>().write_unaligned(row[x]) };
                    }
                }
                (a, b) = (c, d);
            }
        }
    }
}

/// One column of `Bᵀ d`.
///
/// # Safety
/// Chunks of the column's values lie at `top` and three times `pitch` further on.
#[inline(always)]
unsafe fn column(top: *const i16, pitch: usize) -> [[i16; CHUNK]; 4] {
    let mut d = [[0; CHUNK]; 4];
    for y in 0..4 {
        // SAFETY: the caller's promise.
        d[y] = unsafe { top.add(y * pitch).cast::<[i16; CHUNK]>().read_unaligned() };
    }
    filter(&d[0], &d[1], &d[2], &d[3])
}

/// `Bᵀ (a, b, c, d)ᵀ`.
#[inline(always)]
fn filter(
    a: &[i16; CHUNK],
    b: &[i16; CHUNK],
    c: &[i16; CHUNK],
    d: &[i16; CHUNK],
) -> [[i16; CHUNK]; 4] {
    let mut out = [[0; CHUNK]; 4];
    for i in 0..CHUNK {
        out[0][i] = a[i] - c[i];
        out[1][i] = b[i] + c[i];
        out[2][i] = c[i] - b[i];
        out[3][i] = b[i] - d[i];
    }
    out
}

/// One panel of channels of all tiles of a band, after the products.
pub(super) struct OutputPanel<'a> {
    conv: &'a Conv,
    tiles: Tiles,
    /// `[position][tile][width]`.
    sums: &'a [i32],
    multipliers: &'a [f32],
    /// First channel, and how many of the panel's exist.
    first: usize,
    valid: usize,
    /// The band's rows of the residual map (empty without) and of the output map.
    residual: &'a [i8],
    out: &'a mut [i8],
}

/// `Aᵀ M A` of every tile, then what [`Grid`](super::Grid) says, stored.
///
/// # Safety
/// The caller runs on `S`, and a panel has `V` vectors.
#[inline(always)]
pub(super) unsafe fn transform_output<S: Words, const V: usize>(panel: OutputPanel<'_>) {
    let OutputPanel { conv, tiles, sums, multipliers, first, valid, residual, out } = panel;
    let (width, map) = (V * S::LAYOUT.lanes, conv.output());
    let (row, rows) = (map.row_len(), out.len() / map.row_len());
    let stride = tiles.sums(width);
    assert!(multipliers.len() == width && sums.len() >= POSITIONS * stride);
    for tile in 0..tiles.count() {
        let (y, x) = (2 * (tile / tiles.across), 2 * (tile % tiles.across));
        if y >= rows {
            break;
        }
        // SAFETY: `sums` holds 16 elements of `stride` sums, as was just checked.
        let outputs = unsafe { combined::<S, V>(sums.as_ptr().add(tile * width), stride) };
        for (i, acc) in outputs.into_iter().enumerate() {
            let (y, x) = (y + i / 2, x + i % 2);
            if y >= rows || x >= map.width {
                continue;
            }
            let at = y * row + x * map.channels + first;
            let (mut r, mut edge) = ([0; MAX_WIDTH], [0; MAX_WIDTH]);
            let whole = valid == width;
            if !whole && !residual.is_empty() {
                r[..valid].copy_from_slice(&residual[at..at + valid]);
            }
            let end = End::Bytes {
                multipliers: multipliers.as_ptr(),
                grid: &conv.grid,
                residual: &conv.residual,
                r: if whole { residual.get(at..).unwrap_or(&[]).as_ptr() } else { r.as_ptr() },
                out: if whole { out[at..at + width].as_mut_ptr() } else { edge.as_mut_ptr() },
                pitch: 0,
            };
            // SAFETY: both buffers hold a panel of one pixel.
            unsafe { finish::<S, 1, V>(&[acc], &end) };
            if !whole {
                out[at..at + valid].copy_from_slice(&edge[..valid]);
            }
        }
    }
}

/// The four outputs `Aᵀ M A`, row by row, from elements of M that lie `stride` apart.
///
/// # Safety
/// The caller runs on `S`; 16 elements of `V` vectors lie at `m`.
#[inline(always)]
unsafe fn combined<S: Words, const V: usize>(m: *const i32, stride: usize) -> [[S::I32; V]; 4] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut out = [[S::load_i32(m); V]; 4];
        for v in 0..V {
            let at =
                |y: usize, x: usize| S::load_i32(m.add((4 * y + x) * stride + v * S::LAYOUT.lanes));
            let mut rows = [[at(0, 0); 2]; 4];
            for (y, row) in rows.iter_mut().enumerate() {
                *row = pair::<S>([at(y, 0), at(y, 1), at(y, 2), at(y, 3)]);
            }
            for x in 0..2 {
                let column = pair::<S>([rows[0][x], rows[1][x], rows[2][x], rows[3][x]]);
                out[x][v] = column[0];
                out[2 + x][v] = column[1];
            }
        }
        out
    }
}

/// `Aᵀ (a, b, c, d)ᵀ`.
///
/// # Safety
/// The caller runs on `S`.
#[inline(always)]
unsafe fn pair<S: Words>([a, b, c, d]: [S::I32; 4]) -> [S::I32; 2] {
    // SAFETY: the caller's promise.
    unsafe { [S::add_i32(S::add_i32(a, b), c), S::sub_i32(S::sub_i32(b, c), d)] }
}

/// Computes a job band by band.
///
/// # Safety
/// The caller runs on `S`, and `plan` was packed for it.
unsafe fn drive<S: Words>(conv: &Conv, plan: &Winograd, job: Job<'_>, scratch: &mut Scratch) {
    let [words, sums] = plan.scratch(&conv.window);
    let (words, sums) = (&mut scratch.wide[..words], &mut scratch.sums[..sums]);
    let (band, transformed) = words.split_at_mut(plan.band_len(&conv.window));
    let row = conv.output().row_len();
    let Job { input, mut residual, rows, mut output } = job;
    let mut first = rows.start;
    while first < rows.end {
        let count = plan.band.rows.min(rows.end - first);
        let tiles = Tiles { down: count.div_ceil(2), ..plan.tiles };
        let (out, rest) = output.split_at_mut(count * row);
        output = rest;
        let padding = (conv.input_zero_point, 0);
        plan.band.fill(band, input, conv.input, &conv.window, (first, 2 * tiles.down), padding);
        // SAFETY: the caller runs on S.
        unsafe {
            S::transform_input(band, &tiles, transformed);
            panels::<S>(conv, plan, tiles, transformed, sums, residual, out);
        }
        residual = residual.get(count * row..).unwrap_or(&[]);
        first += count;
    }
}

/// Products and outputs of one band, panel by panel.
///
/// # Safety
/// As for [`drive`].
unsafe fn panels<S: Words>(
    conv: &Conv,
    plan: &Winograd,
    tiles: Tiles,
    transformed: &[i16],
    sums: &mut [i32],
    residual: &[i8],
    out: &mut [i8],
) {
    let (panels, count) = (&plan.panels, tiles.count());
    let (plane, stride) = (tiles.plane(), tiles.sums(panels.width));
    let row = panels.groups * panels.width * S::LAYOUT.group * S::LAYOUT.weight_bytes;
    assert!(transformed.len() >= POSITIONS * plane && sums.len() >= POSITIONS * stride);
    for panel in 0..panels.per_group {
        for position in 0..POSITIONS {
            let bias = if position == CENTRE { panels.bias(panel) } else { &[0; MAX_WIDTH] };
            let mut to = position * stride;
            for bases in divide(&plan.bases[..count], S::LAYOUT.pixels) {
                let tile = Tile {
                    x: transformed[position * plane..].as_ptr(),
                    bases,
                    runs: &[0],
                    groups: panels.groups,
                    weights: panels.weights(panel).wrapping_add(position * row),
                    bias: bias.as_ptr(),
                    end: End::Sums { out: sums[to..].as_mut_ptr(), pitch: panels.width },
                };
                // SAFETY: the caller runs on S. `transformed` and `sums` hold all tiles of all positions,
                // as was just checked; the panel was packed for as many positions and k-groups.
                unsafe { dispatch::<S>(panels.vectors, &tile) };
                to += bases.len() * panels.width;
            }
        }
        let first = panel * panels.width;
        let output = OutputPanel {
            conv,
            tiles,
            sums,
            multipliers: panels.multipliers(panel),
            first,
            valid: panels.width.min(conv.output().channels - first),
            residual,
            out,
        };
        // SAFETY: the caller runs on S.
        unsafe {
            match panels.vectors {
                1 => S::transform_output::<1>(output),
                2 => S::transform_output::<2>(output),
                _ => S::transform_output::<4>(output),
            }
        }
    }
}
