//! The tile: a few output pixels times a panel of output channels, kept in registers from the bias to
//! the stored bytes. Written once; an instruction set supplies the vector operations.

use super::band::Activation;
use super::quantise::{Grid, Residual};

/// Most pixels in a tile, over all instruction sets.
pub(super) const MAX_PIXELS: usize = 6;
/// Most output channels in a panel, over all instruction sets.
pub(super) const MAX_WIDTH: usize = 64;

/// How an instruction set wants its operands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Output channels in one vector.
    pub lanes: usize,
    /// Neighbouring input channels that one instruction multiplies and sums: the k-group.
    pub group: usize,
    /// Added to each activation in the band: 128 where the hardware wants them unsigned.
    pub offset: i32,
    /// Pixels of a full tile.
    pub pixels: usize,
    /// Vectors side by side in a full panel: a power of two.
    pub vectors: usize,
    /// Bytes of a packed weight: 1, or 2 for a tile that multiplies 16-bit words.
    pub weight_bytes: usize,
    /// Whether the band can be the input map itself when nothing is padded.
    pub in_place: bool,
}

/// One tile's operands. Pixel `i` reads `groups·GROUP` activations from `x + bases[i] + run` on for each
/// run, and writes (and reads of the residual) one panel at `i · pitch`.
pub(super) struct Tile<'a, X> {
    pub x: *const X,
    /// Offsets of the first tap of each output pixel, one per pixel of the tile.
    pub bases: &'a [usize],
    /// Offsets of the contiguous runs of activations under a window.
    pub runs: &'a [usize],
    /// k-groups in a run.
    pub groups: usize,
    /// The panel: `runs · groups` k-groups of one vector row each.
    pub weights: *const i8,
    /// One per channel of the panel.
    pub bias: *const i32,
    pub end: End<'a>,
}

/// What becomes of a tile's sums.
pub(super) enum End<'a> {
    /// Sums are stored as they are, `pitch` apart.
    Sums { out: *mut i32, pitch: usize },
    /// Sums are requantised.
    Bytes {
        /// One per channel of the panel.
        multipliers: *const f32,
        grid: &'a Grid,
        residual: &'a Residual,
        /// The residual map under the tile; read unless `residual` is `None`.
        r: *const i8,
        out: *mut i8,
        pitch: usize,
    },
}

/// An instruction set. One `I32` or `F32` holds `LAYOUT.lanes` output channels.
///
/// Every method is unsafe for one reason: it may only run where the instruction set exists. Pointers
/// must be good for the vector (or for what is said).
pub(super) trait Isa: Sized {
    type X: Activation;
    type I32: Copy;
    type F32: Copy;
    const LAYOUT: Layout;

    /// `run_tile::<Self, P, V>`, compiled for this instruction set.
    unsafe fn tile<const P: usize, const V: usize>(t: &Tile<'_, Self::X>);

    /// Adds the products of `groups` k-groups: activations at `x[p]` times the panel rows at `weights`.
    unsafe fn multiply<const P: usize, const V: usize>(
        acc: &mut [[Self::I32; V]; P],
        x: [*const Self::X; P],
        weights: *const i8,
        groups: usize,
    );

    unsafe fn load_i32(from: *const i32) -> Self::I32;
    unsafe fn store_i32(to: *mut i32, v: Self::I32);
    /// Rounds to nearest, ties to even.
    unsafe fn to_f32(v: Self::I32) -> Self::F32;
    /// Loads as many bytes as there are lanes.
    unsafe fn load_i8(from: *const i8) -> Self::F32;
    unsafe fn load_f32(from: *const f32) -> Self::F32;
    unsafe fn splat(v: f32) -> Self::F32;
    unsafe fn add(a: Self::F32, b: Self::F32) -> Self::F32;
    unsafe fn mul(a: Self::F32, b: Self::F32) -> Self::F32;
    unsafe fn min(a: Self::F32, b: Self::F32) -> Self::F32;
    unsafe fn max(a: Self::F32, b: Self::F32) -> Self::F32;
    /// `grid.quantise` of each lane, stored as one byte per lane.
    unsafe fn store<const V: usize>(to: *mut i8, t: [Self::F32; V], grid: &Grid);
}

/// Computes one tile of `P` pixels and `V` vectors of channels.
///
/// # Safety
/// The caller runs on `S`, and `t` is as [`Tile`] says.
#[inline(always)]
pub(super) unsafe fn run_tile<S: Isa, const P: usize, const V: usize>(t: &Tile<'_, S::X>) {
    let lanes = S::LAYOUT.lanes;
    // SAFETY: there are P bases; each panel holds V vectors of bias and `runs · groups` rows of V vectors of
    // k-groups; activations and outputs are the caller's promise.
    unsafe {
        let mut acc = [[S::load_i32(t.bias); V]; P];
        for v in 1..V {
            let bias = S::load_i32(t.bias.add(v * lanes));
            for row in &mut acc {
                row[v] = bias;
            }
        }
        let row = V * lanes * S::LAYOUT.group * S::LAYOUT.weight_bytes;
        let mut weights = t.weights;
        for &run in t.runs {
            let mut x = [t.x; P];
            for p in 0..P {
                x[p] = t.x.add(*t.bases.get_unchecked(p) + run);
            }
            S::multiply::<P, V>(&mut acc, x, weights, t.groups);
            weights = weights.add(t.groups * row);
        }
        finish::<S, P, V>(&acc, &t.end);
    }
}

/// Stores the sums of a tile, requantised or not.
///
/// # Safety
/// As for [`run_tile`].
#[inline(always)]
pub(super) unsafe fn finish<S: Isa, const P: usize, const V: usize>(
    acc: &[[S::I32; V]; P],
    end: &End<'_>,
) {
    let lanes = S::LAYOUT.lanes;
    // SAFETY: pixel p owns V vectors at p · pitch in `out`, and in `r` when there is a residual.
    unsafe {
        match *end {
            End::Sums { out, pitch } => {
                for p in 0..P {
                    for v in 0..V {
                        S::store_i32(out.add(p * pitch + v * lanes), acc[p][v]);
                    }
                }
            }
            End::Bytes { multipliers, grid, residual, r, out, pitch } => {
                for p in 0..P {
                    let mut t = [S::splat(0.0); V];
                    for v in 0..V {
                        let m = S::load_f32(multipliers.add(v * lanes));
                        t[v] = S::mul(S::to_f32(acc[p][v]), m);
                    }
                    join::<S, V>(&mut t, residual, r.wrapping_add(p * pitch));
                    S::store::<V>(out.add(p * pitch), t, grid);
                }
            }
        }
    }
}

/// [`Residual::join`] from the first product on.
///
/// # Safety
/// As for [`run_tile`]; `r` points to V vectors of bytes unless `residual` is `None`.
#[inline(always)]
unsafe fn join<S: Isa, const V: usize>(t: &mut [S::F32; V], residual: &Residual, r: *const i8) {
    // Adding and taking away 1.5·2²³ rounds to the nearest integer, ties to even, as `Grid` explains.
    const ROUND: f32 = 12_582_912.0;
    // SAFETY: the caller's promise.
    unsafe {
        let (zero_point, multiplier) = match *residual {
            Residual::None => return,
            Residual::Direct { zero_point, multiplier } => (zero_point, multiplier),
            Residual::Rounded { own, own_multiplier, zero_point, multiplier } => {
                for t in &mut *t {
                    let inside = S::min(S::max(*t, S::splat(own.low())), S::splat(own.high()));
                    let rounded = S::add(S::add(inside, S::splat(ROUND)), S::splat(-ROUND));
                    *t = S::mul(rounded, S::splat(own_multiplier.get()));
                }
                (zero_point, multiplier)
            }
        };
        let zero = S::splat(-f32::from(zero_point));
        let m = S::splat(multiplier.get());
        for v in 0..V {
            let r = S::add(S::load_i8(r.add(v * S::LAYOUT.lanes)), zero);
            t[v] = S::add(t[v], S::mul(r, m));
        }
    }
}

/// Divides pixels into tiles of at most `most`, of equal size but for one pixel.
pub(super) fn divide(pixels: &[usize], most: usize) -> impl Iterator<Item = &[usize]> {
    let tiles = pixels.len().div_ceil(most);
    let (smallest, larger) = (pixels.len() / tiles, pixels.len() % tiles);
    let mut rest = pixels;
    (0..tiles).map(move |i| {
        let (tile, later) = rest.split_at(smallest + usize::from(i < larger));
        rest = later;
        tile
    })
}

/// Calls `S::tile` for a tile of as many pixels as it has bases, on panels of `vectors` vectors.
///
/// # Safety
/// As for [`run_tile`].
pub(super) unsafe fn dispatch<S: Isa>(vectors: usize, t: &Tile<'_, S::X>) {
    // SAFETY: passed on.
    unsafe {
        match vectors {
            1 => dispatch_pixels::<S, 1>(t),
            2 => dispatch_pixels::<S, 2>(t),
            _ => dispatch_pixels::<S, 4>(t),
        }
    }
}

/// # Safety
/// As for [`run_tile`].
#[inline(always)]
unsafe fn dispatch_pixels<S: Isa, const V: usize>(t: &Tile<'_, S::X>) {
    if V > S::LAYOUT.vectors {
        return; // never packed; a constant, so that no code is made for it
    }
    // SAFETY: passed on.
    unsafe {
        match t.bases.len() {
            1 => S::tile::<1, V>(t),
            2 => S::tile::<2, V>(t),
            3 => S::tile::<3, V>(t),
            4 => S::tile::<4, V>(t),
            5 if S::LAYOUT.pixels > 4 => S::tile::<5, V>(t),
            _ if S::LAYOUT.pixels > 4 => S::tile::<6, V>(t),
            _ => {}
        }
    }
}
