//! x86-64 with AVX2: `vpmaddwd` on 16-bit operands.
//!
//! `vpmaddubsw` would multiply twice as many bytes at once, but it saturates pair sums at 16 bits and is
//! therefore inexact. The band holds activations as `i16`, so that one broadcast yields a pair.

use std::arch::x86_64::*;

use super::isa::{Isa, Layout, Tile, run_tile};
use super::quantise::Grid;
use super::winograd::{self, Words};

/// Tiles of 6 pixels × 16 channels: 12 of the 16 registers hold sums. Weights stay bytes in memory
/// and are widened once per tile.
pub(super) struct Avx2;

/// The same tiles with 16-bit weights.
pub(super) struct Avx2Words;

/// The operations that both share.
macro_rules! vectors {
    () => {
        type X = i16;
        type I32 = __m256i;
        type F32 = __m256;

        #[target_feature(enable = "avx2")]
        unsafe fn tile<const P: usize, const V: usize>(t: &Tile<'_, i16>) {
            // SAFETY: the caller's promise.
            unsafe { run_tile::<Self, P, V>(t) }
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        unsafe fn load_i32(from: *const i32) -> __m256i {
            // SAFETY: the caller's promise.
            unsafe { _mm256_loadu_si256(from.cast()) }
        }
        #[inline]
        #[target_feature(enable = "avx2")]
        unsafe fn store_i32(to: *mut i32, v: __m256i) {
            // SAFETY: the caller's promise.
            unsafe { _mm256_storeu_si256(to.cast(), v) }
        }
        #[inline]
        #[target_feature(enable = "avx2")]
        unsafe fn to_f32(v: __m256i) -> __m256 {
            _mm256_cvtepi32_ps(v)
        }
        #[inline]
        #[target_feature(enable = "avx2")]
        unsafe fn load_i8(from: *const i8) -> __m256 {
            // SAFETY: the caller's promise.
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(unsafe { _mm_loadl_epi64(from.cast()) }))
        }
        #[inline]
        #[target_feature(enable = "avx2")]
        unsafe fn load_f32(from: *const f32) -> __m256 {
            // SAFETY: the caller's promise.
            unsafe { _mm256_loadu_ps(from) }
        }
        #[inline]
        #[target_feature(enable = "avx2")]
        unsafe fn splat(v: f32) -> __m256 {
            _mm256_set1_ps(v)
        }
        #[inline]
        #[target_feature(enable = "avx2")]
        unsafe fn add(a: __m256, b: __m256) -> __m256 {
            _mm256_add_ps(a, b)
        }
        #[inline]
        #[target_feature(enable = "avx2")]
        unsafe fn mul(a: __m256, b: __m256) -> __m256 {
            _mm256_mul_ps(a, b)
        }
        #[inline]
        #[target_feature(enable = "avx2")]
        unsafe fn min(a: __m256, b: __m256) -> __m256 {
            _mm256_min_ps(a, b)
        }
        #[inline]
        #[target_feature(enable = "avx2")]
        unsafe fn max(a: __m256, b: __m256) -> __m256 {
            _mm256_max_ps(a, b)
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        unsafe fn store<const V: usize>(to: *mut i8, t: [__m256; V], grid: &Grid) {
            // Conversion makes i32::MIN of what is too large: right for negative numbers alone, hence the bound
            // above. Saturating to 16 bits, adding the zero point and saturating to 8 then clamps as
            // the grid does, for its bounds lie within 8 bits.
            let high = _mm256_set1_ps(32767.0);
            let zero_point = _mm_set1_epi16(i16::from(grid.zero_point()));
            for v in 0..V {
                let rounded = _mm256_cvtps_epi32(_mm256_min_ps(t[v], high));
                let halves =
                    (_mm256_castsi256_si128(rounded), _mm256_extracti128_si256::<1>(rounded));
                let words = _mm_adds_epi16(_mm_packs_epi32(halves.0, halves.1), zero_point);
                let bytes = _mm_packs_epi16(words, words);
                let bytes = _mm_max_epi8(bytes, _mm_set1_epi8(grid.min()));
                let bytes = _mm_min_epi8(bytes, _mm_set1_epi8(grid.max()));
                // SAFETY: the caller's promise.
                unsafe { _mm_storel_epi64(to.add(v * 8).cast(), bytes) };
            }
        }
    };
}

impl Isa for Avx2 {
    vectors!();
    const LAYOUT: Layout = Layout {
        lanes: 8,
        group: 2,
        offset: 0,
        pixels: 6,
        vectors: 2,
        weight_bytes: 1,
        in_place: false,
    };

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn multiply<const P: usize, const V: usize>(
        acc: &mut [[__m256i; V]; P],
        x: [*const i16; P],
        weights: *const i8,
        groups: usize,
    ) {
        for g in 0..groups {
            // SAFETY: `groups` pairs lie at each x, `groups` rows of V half vectors at `weights`.
            unsafe {
                let row = weights.add(g * V * 16).cast::<__m128i>();
                let mut w = [_mm256_setzero_si256(); V];
                for v in 0..V {
                    w[v] = _mm256_cvtepi8_epi16(_mm_load_si128(row.add(v)));
                }
                for p in 0..P {
                    let pair = _mm256_set1_epi32(x[p].add(2 * g).cast::<i32>().read_unaligned());
                    for v in 0..V {
                        acc[p][v] = _mm256_add_epi32(acc[p][v], _mm256_madd_epi16(pair, w[v]));
                    }
                }
            }
        }
    }
}

impl Isa for Avx2Words {
    vectors!();
    const LAYOUT: Layout = Layout { weight_bytes: 2, ..Avx2::LAYOUT };

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn multiply<const P: usize, const V: usize>(
        acc: &mut [[__m256i; V]; P],
        x: [*const i16; P],
        weights: *const i8,
        groups: usize,
    ) {
        for g in 0..groups {
            // SAFETY: `groups` pairs lie at each x, `groups` rows of V vectors at `weights`.
            unsafe {
                let row = weights.add(g * V * 32).cast::<__m256i>();
                let mut w = [_mm256_setzero_si256(); V];
                for v in 0..V {
                    w[v] = _mm256_load_si256(row.add(v));
                }
                for p in 0..P {
                    let pair = _mm256_set1_epi32(x[p].add(2 * g).cast::<i32>().read_unaligned());
                    for v in 0..V {
                        acc[p][v] = _mm256_add_epi32(acc[p][v], _mm256_madd_epi16(pair, w[v]));
                    }
                }
            }
        }
    }
}

impl Words for Avx2Words {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn add_i32(a: __m256i, b: __m256i) -> __m256i {
        _mm256_add_epi32(a, b)
    }
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn sub_i32(a: __m256i, b: __m256i) -> __m256i {
        _mm256_sub_epi32(a, b)
    }
    #[target_feature(enable = "avx2")]
    unsafe fn transform_input(band: &[i16], from: &winograd::Tiles, to: &mut [i16]) {
        winograd::transform_input(band, from, to);
    }
    #[target_feature(enable = "avx2")]
    unsafe fn transform_output<const V: usize>(panel: winograd::OutputPanel<'_>) {
        // SAFETY: the caller's promise.
        unsafe { winograd::transform_output::<Self, V>(panel) }
    }
}
