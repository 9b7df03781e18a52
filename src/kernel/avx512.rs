//! x86-64 with AVX-512 VNNI: `vpdpbusd`.
//!
//! The instruction multiplies unsigned by signed bytes, four at a time, and adds them exactly. The
//! band therefore holds activations with 128 added; the bias takes `128 · Σ w` away again.

use std::arch::x86_64::*;

use super::isa::{Isa, Layout, Tile, run_tile};
use super::quantise::Grid;

/// Tiles of 6 pixels × 64 channels: 24 of the 32 registers hold sums.
pub(super) struct Vnni;

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
        for g in 0..groups {
            // SAFETY: `groups` quadruples lie at each x, `groups` rows of V vectors at `weights`.
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
