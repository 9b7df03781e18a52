//! x86-64 with AVX-512 VNNI: `vpdpbusd`.
//!
//! The instruction multiplies unsigned by signed bytes, four at a time, and adds them exactly. The
//! band therefore holds activations with 128 added; the bias takes `128 · Σ w` away again.

use std::arch::x86_64::*;

use super::isa::{Isa, Layout, Tile, run_tile};
use super::quantise::Grid;
use super::wide::Block;

/// Tiles of 6 pixels × 64 channels: 24 of the 32 registers hold sums.
pub(super) struct Vnni;

/// Sums that are added to in turn: as many as begin while one product is under way. Fewer wait for each
/// other.
const ENOUGH_CHAINS: usize = 10;

/// Adds the products of these k-groups to the sums.
///
/// # Safety
/// As for [`Isa::multiply`], which has all of these k-groups.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn add_products<const P: usize, const V: usize>(
    acc: &mut [[__m512i; V]; P],
    x: [*const i8; P],
    weights: *const i8,
    groups: std::ops::Range<usize>,
) {
    for g in groups {
        // SAFETY: the k-groups lie at each x as quadruples, at `weights` as rows of V vectors.
        unsafe {
            let row = weights.add(g * V * 64).cast::<__m512i>();
            let mut w = [_mm512_setzero_si512(); V];
            for v in 0..V {
                w[v] = _mm512_load_si512(row.add(v));
            }
            for p in 0..P {
                let four = _mm512_set1_epi32(x[p].add(4 * g).cast::<i32>().read_unaligned());
                for v in 0..V {
                    acc[p][v] = _mm512_dpbusd_epi32(acc[p][v], four, w[v]);
                }
            }
        }
    }
}

impl Isa for Vnni {
    type X = i8;
    type I32 = __m512i;
    type F32 = __m512;
    const LAYOUT: Layout = Layout {
        lanes: 16,
        group: 4,
        offset: 128,
        pixels: 6,
        vectors: 4,
        weight_bytes: 1,
        in_place: false,
    };

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn tile<const P: usize, const V: usize>(t: &Tile<'_, i8>) {
        // SAFETY: the caller's promise.
        unsafe { run_tile::<Self, P, V>(t) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn multiply<const P: usize, const V: usize>(
        acc: &mut [[__m512i; V]; P],
        x: [*const i8; P],
        weights: *const i8,
        groups: usize,
    ) {
        if P * V > ENOUGH_CHAINS {
            // SAFETY: the caller's promise.
            unsafe { add_products::<P, V>(acc, x, weights, 0..groups) }
            return;
        }
        // Two sums of each kind, of every other k-group; adding them is exact.
        let mut others = [[_mm512_setzero_si512(); V]; P];
        let pairs = groups / 2;
        // SAFETY: the caller's promise.
        unsafe {
            for g in (0..pairs).map(|pair| 2 * pair) {
                add_products::<P, V>(acc, x, weights, g..g + 1);
                add_products::<P, V>(&mut others, x, weights, g + 1..g + 2);
            }
            add_products::<P, V>(acc, x, weights, 2 * pairs..groups);
        }
        for p in 0..P {
            for v in 0..V {
                acc[p][v] = _mm512_add_epi32(acc[p][v], others[p][v]);
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load_i32(from: *const i32) -> __m512i {
        // SAFETY: the caller's promise.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn store_i32(to: *mut i32, v: __m512i) {
        // SAFETY: the caller's promise.
        unsafe { _mm512_storeu_si512(to.cast(), v) }
    }
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn to_f32(v: __m512i) -> __m512 {
        _mm512_cvtepi32_ps(v)
    }
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load_i8(from: *const i8) -> __m512 {
        // SAFETY: the caller's promise.
        _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(unsafe { _mm_loadu_si128(from.cast()) }))
    }
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load_f32(from: *const f32) -> __m512 {
        // SAFETY: the caller's promise.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn splat(v: f32) -> __m512 {
        _mm512_set1_ps(v)
    }
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        _mm512_add_ps(a, b)
    }
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        _mm512_mul_ps(a, b)
    }
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn min(a: __m512, b: __m512) -> __m512 {
        _mm512_min_ps(a, b)
    }
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn max(a: __m512, b: __m512) -> __m512 {
        _mm512_max_ps(a, b)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn store<const V: usize>(to: *mut i8, t: [__m512; V], grid: &Grid) {
        // Clamped before rounding, as the grid defines it.
        let (low, high) = (_mm512_set1_ps(grid.low()), _mm512_set1_ps(grid.high()));
        let zero_point = _mm512_set1_epi32(i32::from(grid.zero_point()));
        for v in 0..V {
            let inside = _mm512_min_ps(_mm512_max_ps(t[v], low), high);
            let whole = _mm512_add_epi32(_mm512_cvtps_epi32(inside), zero_point);
            // SAFETY: the caller's promise.
            unsafe { _mm_storeu_si128(to.add(v * 16).cast(), _mm512_cvtepi32_epi8(whole)) };
        }
    }
}

/// The product of a lower triangle, in blocks, with a vector: see [`Triangle`](super::wide::Triangle).
///
/// One instruction multiplies the even 32-bit numbers of a vector to 64-bit products; shifted, the odd ones.
#[target_feature(enable = "avx512f")]
pub(super) fn triangle(blocks: &[Block], entries: &[u32], out: &mut [u64]) {
    let mut rest = blocks;
    for (first, out) in (0..).step_by(16).zip(out.chunks_mut(16)) {
        let (own, next) = rest.split_at(entries.len().min(first + 16));
        rest = next;
        let mut sums = [_mm512_setzero_si512(); 2];
        for (block, &entry) in own.iter().zip(entries) {
            // SAFETY: a block has the 64 bytes of a vector.
            let weights = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
            let entry = _mm512_set1_epi32(entry as i32);
            let halves = [weights, _mm512_srli_epi64::<32>(weights)];
            for (sum, weights) in sums.iter_mut().zip(halves) {
                *sum = _mm512_add_epi64(*sum, _mm512_mul_epu32(weights, entry));
            }
        }
        let mut all = [0u64; 16];
        // SAFETY: two vectors of eight.
        unsafe {
            _mm512_storeu_si512(all.as_mut_ptr().cast(), sums[0]);
            _mm512_storeu_si512(all[8..].as_mut_ptr().cast(), sums[1]);
        }
        out.copy_from_slice(&all[..out.len()]);
    }
}
