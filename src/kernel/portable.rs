//! Plain Rust behind the tile: for processors without a kernel of their own, and, with other
//! parameters, a model of each kernel's arithmetic and packing that runs everywhere.

use super::isa::{Isa, Layout, Tile, run_tile};
use super::quantise::Grid;
use super::winograd::{self, Words};

/// Vector operations on arrays of `$lanes` values.
macro_rules! arrays {
    ($x:ty, $lanes:expr) => {
        type X = $x;
        type I32 = [i32; $lanes];
        type F32 = [f32; $lanes];

        unsafe fn tile<const P: usize, const V: usize>(t: &Tile<'_, $x>) {
            // SAFETY: the caller's promise; plain Rust asks for no instruction set.
            unsafe { run_tile::<Self, P, V>(t) }
        }

        #[inline(always)]
        unsafe fn load_i32(from: *const i32) -> [i32; $lanes] {
            // SAFETY: the caller's promise.
            unsafe { from.cast::<[i32; $lanes]>().read() }
        }
        #[inline(always)]
        unsafe fn store_i32(to: *mut i32, v: [i32; $lanes]) {
            // SAFETY: the caller's promise.
            unsafe { to.cast::<[i32; $lanes]>().write(v) }
        }
        #[inline(always)]
        unsafe fn to_f32(v: [i32; $lanes]) -> [f32; $lanes] {
            v.map(|v| v as f32)
        }
        #[inline(always)]
        unsafe fn load_i8(from: *const i8) -> [f32; $lanes] {
            // SAFETY: the caller's promise.
            unsafe { from.cast::<[i8; $lanes]>().read() }.map(f32::from)
        }
        #[inline(always)]
        unsafe fn load_f32(from: *const f32) -> [f32; $lanes] {
            // SAFETY: the caller's promise.
            unsafe { from.cast::<[f32; $lanes]>().read() }
        }
        #[inline(always)]
        unsafe fn splat(v: f32) -> [f32; $lanes] {
            [v; $lanes]
        }
        #[inline(always)]
        unsafe fn add(a: [f32; $lanes], b: [f32; $lanes]) -> [f32; $lanes] {
            std::array::from_fn(|i| a[i] + b[i])
        }
        #[inline(always)]
        unsafe fn mul(a: [f32; $lanes], b: [f32; $lanes]) -> [f32; $lanes] {
            std::array::from_fn(|i| a[i] * b[i])
        }
        #[inline(always)]
        unsafe fn min(a: [f32; $lanes], b: [f32; $lanes]) -> [f32; $lanes] {
            std::array::from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
        }
        #[inline(always)]
        unsafe fn max(a: [f32; $lanes], b: [f32; $lanes]) -> [f32; $lanes] {
            std::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
        }
        #[inline(always)]
        unsafe fn store<const V: usize>(to: *mut i8, t: [[f32; $lanes]; V], grid: &Grid) {
            for v in 0..V {
                let bytes = t[v].map(|t| grid.quantise(t));
                // SAFETY: the caller's promise.
                unsafe { to.add(v * $lanes).cast::<[i8; $lanes]>().write(bytes) };
            }
        }
    };
}
#[cfg(target_arch = "arm")]
pub(super) use arrays;

/// The kernel `portable`: small tiles, for processors with few registers.
pub(super) type Portable = Plain<4, 2, 0, 2, 2>;

/// Winograd tiles of the kernel `portable`.
pub(super) type PortableWords = PlainWords<4, 2, 2, 2>;

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
    arrays!(i8, LANES);
    const LAYOUT: Layout = Layout {
        lanes: LANES,
        group: GROUP,
        offset: OFFSET,
        pixels: PIXELS,
        vectors: VECTORS,
        weight_bytes: 1,
        in_place: OFFSET == 0,
    };

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
}

/// The same with 16-bit weights and activations.
pub(super) struct PlainWords<
    const LANES: usize,
    const GROUP: usize,
    const PIXELS: usize,
    const VECTORS: usize,
>;

impl<const LANES: usize, const GROUP: usize, const PIXELS: usize, const VECTORS: usize> Isa
    for PlainWords<LANES, GROUP, PIXELS, VECTORS>
{
    arrays!(i16, LANES);
    const LAYOUT: Layout = Layout {
        lanes: LANES,
        group: GROUP,
        offset: 0,
        pixels: PIXELS,
        vectors: VECTORS,
        weight_bytes: 2,
        in_place: false,
    };

    #[inline(always)]
    unsafe fn multiply<const P: usize, const V: usize>(
        acc: &mut [[[i32; LANES]; V]; P],
        x: [*const i16; P],
        weights: *const i8,
        groups: usize,
    ) {
        let weights = weights.cast::<i16>();
        for g in 0..groups {
            for v in 0..V {
                for p in 0..P {
                    for lane in 0..LANES {
                        let w = ((g * V + v) * LANES + lane) * GROUP;
                        for j in 0..GROUP {
                            // SAFETY: the caller's promise.
                            let (x, w) = unsafe { (*x[p].add(g * GROUP + j), *weights.add(w + j)) };
                            let product = i32::from(x) * i32::from(w);
                            acc[p][v][lane] = acc[p][v][lane].wrapping_add(product);
                        }
                    }
                }
            }
        }
    }
}

impl<const LANES: usize, const GROUP: usize, const PIXELS: usize, const VECTORS: usize> Words
    for PlainWords<LANES, GROUP, PIXELS, VECTORS>
{
    #[inline(always)]
    unsafe fn add_i32(a: [i32; LANES], b: [i32; LANES]) -> [i32; LANES] {
        std::array::from_fn(|i| a[i].wrapping_add(b[i]))
    }
    #[inline(always)]
    unsafe fn sub_i32(a: [i32; LANES], b: [i32; LANES]) -> [i32; LANES] {
        std::array::from_fn(|i| a[i].wrapping_sub(b[i]))
    }
    unsafe fn transform_input(band: &[i16], from: &winograd::Tiles, to: &mut [i16]) {
        winograd::transform_input(band, from, to);
    }
    unsafe fn transform_output<const V: usize>(panel: winograd::OutputPanel<'_>) {
        // SAFETY: the caller's promise.
        unsafe { winograd::transform_output::<Self, V>(panel) }
    }
}
