//! Plain Rust behind the tile: for processors without a kernel of their own, and, with other
//! parameters, a model of each kernel's arithmetic and packing that runs everywhere.

use super::isa::{Isa, Layout, Tile, run_tile};
use super::quantise::Grid;

/// The kernel `portable`: small tiles, for processors with few registers.
pub(super) type Portable = Plain<4, 2, 0, 2, 2>;

/// `LANES` output channels per vector, k-groups of `GROUP`, activations stored with `OFFSET` added (as
/// unsigned bytes when it is 128), tiles of `PIXELS` × `VECTORS`.
pub(super) struct Plain<
    const LANES: usize,
    const GROUP: usize,
    const OFFSET: i32,
    const PIXELS: usize,
    const VECTORS: usize,
>;

impl<
    const LANES: usize,
    const GROUP: usize,
    const OFFSET: i32,
    const PIXELS: usize,
    const VECTORS: usize,
> Isa for Plain<LANES, GROUP, OFFSET, PIXELS, VECTORS>
{
    type X = i8;
    type I32 = [i32; LANES];
    type F32 = [f32; LANES];
    const LAYOUT: Layout = Layout {
        lanes: LANES,
        group: GROUP,
        offset: OFFSET,
        pixels: PIXELS,
        vectors: VECTORS,
        in_place: OFFSET == 0,
    };

    unsafe fn tile<const P: usize, const V: usize>(t: &Tile<'_, i8>) {
        // SAFETY: the caller's promise; there is no instruction set to ask for.
        unsafe { run_tile::<Self, P, V>(t) }
    }

    #[inline(always)]
    unsafe fn multiply<const P: usize, const V: usize>(
        acc: &mut [[[i32; LANES]; V]; P],
        x: [*const i8; P],
        weights: *const i8,
        groups: usize,
    ) {
        for g in 0..groups {
            for v in 0..V {
                for p in 0..P {
                    for lane in 0..LANES {
                        let w = ((g * V + v) * LANES + lane) * GROUP;
                        for j in 0..GROUP {
                            // SAFETY: the caller's promise.
                            let (x, w) = unsafe { (*x[p].add(g * GROUP + j), *weights.add(w + j)) };
                            let x = if OFFSET == 0 { i32::from(x) } else { i32::from(x as u8) };
                            acc[p][v][lane] = acc[p][v][lane].wrapping_add(x * i32::from(w));
                        }
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn load_i32(from: *const i32) -> [i32; LANES] {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<[i32; LANES]>().read() }
    }
    #[inline(always)]
    unsafe fn store_i32(to: *mut i32, v: [i32; LANES]) {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<[i32; LANES]>().write(v) }
    }
    #[inline(always)]
    unsafe fn to_f32(v: [i32; LANES]) -> [f32; LANES] {
        v.map(|v| v as f32)
    }
    #[inline(always)]
    unsafe fn load_i8(from: *const i8) -> [f32; LANES] {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<[i8; LANES]>().read() }.map(f32::from)
    }
    #[inline(always)]
    unsafe fn load_f32(from: *const f32) -> [f32; LANES] {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<[f32; LANES]>().read() }
    }
    #[inline(always)]
    unsafe fn splat(v: f32) -> [f32; LANES] {
        [v; LANES]
    }
    #[inline(always)]
    unsafe fn add(a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn mul(a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    unsafe fn min(a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn max(a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn store<const V: usize>(to: *mut i8, t: [[f32; LANES]; V], grid: &Grid) {
        for v in 0..V {
            let bytes = t[v].map(|t| grid.quantise(t));
            // SAFETY: the caller's promise.
            unsafe { to.add(v * LANES).cast::<[i8; LANES]>().write(bytes) };
        }
    }
}
