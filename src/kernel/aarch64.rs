//! aarch64: NEON without and with the dot-product instructions.

use std::arch::aarch64::*;
use std::arch::asm;

use super::isa::{Isa, Layout, Tile, run_tile};
use super::quantise::Grid;

/// Plain NEON (Cortex-A53, A57, A72): `smull`, `smlal`, `sadalp`.
///
/// A k-group is a pair of input channels, repeated over four output channels. Two products fit into the
/// 16 bits of a lane unless both are (−128)·(−128): so `STEP` is 2 k-groups (`smull`, `smlal`, `sadalp`)
/// when no weight is −128, and else 1 (`smull`, `sadalp`).
pub(super) struct Neon<const STEP: usize>;

/// NEON with `sdot` (Cortex-A76, A78, Neoverse N1): four products per lane at once.
pub(super) struct DotProd;

/// The operations that both share.
macro_rules! vectors {
    () => {
        type X = i8;
        type I32 = int32x4_t;
        type F32 = float32x4_t;

        #[inline]
        #[target_feature(enable = "neon")]
        unsafe fn load_i32(from: *const i32) -> int32x4_t {
            // SAFETY: the caller's promise.
            unsafe { vld1q_s32(from) }
        }
        #[inline]
        #[target_feature(enable = "neon")]
        unsafe fn store_i32(to: *mut i32, v: int32x4_t) {
            // SAFETY: the caller's promise.
            unsafe { vst1q_s32(to, v) }
        }
        #[inline]
        #[target_feature(enable = "neon")]
        unsafe fn to_f32(v: int32x4_t) -> float32x4_t {
            vcvtq_f32_s32(v)
        }
        #[inline]
        #[target_feature(enable = "neon")]
        unsafe fn load_i8(from: *const i8) -> float32x4_t {
            // SAFETY: the caller's promise.
            let four = unsafe { from.cast::<u32>().read_unaligned() };
            let bytes = vcreate_s8(u64::from(four));
            vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))))
        }
        #[inline]
        #[target_feature(enable = "neon")]
        unsafe fn load_f32(from: *const f32) -> float32x4_t {
            // SAFETY: the caller's promise.
            unsafe { vld1q_f32(from) }
        }
        #[inline]
        #[target_feature(enable = "neon")]
        unsafe fn splat(v: f32) -> float32x4_t {
            vdupq_n_f32(v)
        }
        #[inline]
        #[target_feature(enable = "neon")]
        unsafe fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t {
            vaddq_f32(a, b)
        }
        #[inline]
        #[target_feature(enable = "neon")]
        unsafe fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t {
            vmulq_f32(a, b)
        }
        #[inline]
        #[target_feature(enable = "neon")]
        unsafe fn min(a: float32x4_t, b: float32x4_t) -> float32x4_t {
            vminq_f32(a, b)
        }
        #[inline]
        #[target_feature(enable = "neon")]
        unsafe fn max(a: float32x4_t, b: float32x4_t) -> float32x4_t {
            vmaxq_f32(a, b)
        }
        #[inline]
        #[target_feature(enable = "neon")]
        unsafe fn store<const V: usize>(to: *mut i8, t: [float32x4_t; V], grid: &Grid) {
            // Every step saturates (`fcvtns`, `sqxtn`, `sqadd`), so clamping to the grid's bounds, which
            // lie within 8 bits, comes last.
            let mut words = [vdup_n_s16(0); V];
            for v in 0..V {
                let whole = vqmovn_s32(vcvtnq_s32_f32(t[v]));
                words[v] = vqadd_s16(whole, vdup_n_s16(i16::from(grid.zero_point())));
            }
            let (low, high) = (vdup_n_s8(grid.min()), vdup_n_s8(grid.max()));
            for v in (0..V).step_by(2) {
                let upper = words[if v + 1 < V { v + 1 } else { v }];
                let bytes = vqmovn_s16(vcombine_s16(words[v], upper));
                let bytes = vmin_s8(vmax_s8(bytes, low), high);
                // SAFETY: the caller's promise.
                unsafe {
                    if v + 1 < V {
                        vst1_s8(to.add(v * 4), bytes);
                    } else {
                        let four = vget_lane_u32::<0>(vreinterpret_u32_s8(bytes));
                        to.add(v * 4).cast::<u32>().write_unaligned(four);
                    }
                }
            }
        }
    };
}

impl<const STEP: usize> Isa for Neon<STEP> {
    vectors!();
    const LAYOUT: Layout =
        Layout { lanes: 4, group: 2, offset: 0, pixels: 4, vectors: 4, in_place: true };

    #[target_feature(enable = "neon")]
    unsafe fn tile<const P: usize, const V: usize>(t: &Tile<'_, i8>) {
        // SAFETY: the caller's promise.
        unsafe { run_tile::<Self, P, V>(t) }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn multiply<const P: usize, const V: usize>(
        acc: &mut [[int32x4_t; V]; P],
        x: [*const i8; P],
        weights: *const i8,
        groups: usize,
    ) {
        // SAFETY: `groups` pairs lie at each x, `groups` rows of V half vectors at `weights`.
        unsafe {
            let mut g = 0;
            while g + 8 <= groups {
                let mut sixteen = [vdupq_n_s16(0); P];
                for p in 0..P {
                    sixteen[p] = vreinterpretq_s16_s8(vld1q_s8(x[p].add(2 * g)));
                }
                let w = weights.add(g * V * 8);
                eight_groups::<STEP, P, V>(acc, &sixteen, w);
                g += 8;
            }
            while g < groups {
                for p in 0..P {
                    let pair = vdup_n_s16(x[p].add(2 * g).cast::<i16>().read_unaligned());
                    for v in 0..V {
                        let w = vld1_s8(weights.add((g * V + v) * 8));
                        let product = vmull_s8(vreinterpret_s8_s16(pair), w);
                        acc[p][v] = vpadalq_s16(acc[p][v], product);
                    }
                }
                g += 1;
            }
        }
    }
}

/// The products of eight k-groups, whose activations are `x`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn eight_groups<const STEP: usize, const P: usize, const V: usize>(
    acc: &mut [[int32x4_t; V]; P],
    x: &[int16x8_t; P],
    weights: *const i8,
) {
    // SAFETY: the caller's promise: eight rows of V half vectors.
    unsafe {
        macro_rules! step {
            ($($g:literal)*) => { $(
                let row = weights.add($g * V * 8);
                let mut w = [[vdup_n_s8(0); V]; 2];
                for v in 0..V {
                    w[0][v] = vld1_s8(row.add(v * 8));
                    w[1][v] = vld1_s8(row.add((V + v) * 8));
                }
                for p in 0..P {
                    let a = vreinterpretq_s8_s16(vdupq_laneq_s16::<$g>(x[p]));
                    let b = vreinterpretq_s8_s16(vdupq_laneq_s16::<{ $g + 1 }>(x[p]));
                    let (a, b) = (vget_low_s8(a), vget_low_s8(b));
                    for v in 0..V {
                        let mut product = vmull_s8(a, w[0][v]);
                        if STEP == 2 {
                            product = vmlal_s8(product, b, w[1][v]);
                            acc[p][v] = vpadalq_s16(acc[p][v], product);
                        } else {
                            acc[p][v] = vpadalq_s16(acc[p][v], product);
                            acc[p][v] = vpadalq_s16(acc[p][v], vmull_s8(b, w[1][v]));
                        }
                    }
                }
            )* };
        }
        step!(0 2 4 6);
    }
}

impl Isa for DotProd {
    vectors!();
    const LAYOUT: Layout =
        Layout { lanes: 4, group: 4, offset: 0, pixels: 4, vectors: 4, in_place: true };

    #[target_feature(enable = "neon,dotprod")]
    unsafe fn tile<const P: usize, const V: usize>(t: &Tile<'_, i8>) {
        // SAFETY: the caller's promise.
        unsafe { run_tile::<Self, P, V>(t) }
    }

    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    unsafe fn multiply<const P: usize, const V: usize>(
        acc: &mut [[int32x4_t; V]; P],
        x: [*const i8; P],
        weights: *const i8,
        groups: usize,
    ) {
        // SAFETY: `groups` quadruples lie at each x, `groups` rows of V vectors at `weights`.
        unsafe {
            let mut g = 0;
            while g + 4 <= groups {
                let mut sixteen = [vdupq_n_s8(0); P];
                for p in 0..P {
                    sixteen[p] = vld1q_s8(x[p].add(4 * g));
                }
                macro_rules! step {
                    ($($lane:literal)*) => { $(
                        for v in 0..V {
                            let w = vld1q_s8(weights.add(((g + $lane) * V + v) * 16));
                            for p in 0..P {
                                acc[p][v] = sdot::<$lane>(acc[p][v], w, sixteen[p]);
                            }
                        }
                    )* };
                }
                step!(0 1 2 3);
                g += 4;
            }
            while g < groups {
                let mut four = [vdupq_n_s8(0); P];
                for p in 0..P {
                    let bits = x[p].add(4 * g).cast::<u32>().read_unaligned();
                    four[p] = vreinterpretq_s8_u32(vdupq_n_u32(bits));
                }
                for v in 0..V {
                    let w = vld1q_s8(weights.add((g * V + v) * 16));
                    for p in 0..P {
                        acc[p][v] = sdot::<0>(acc[p][v], w, four[p]);
                    }
                }
                g += 1;
            }
        }
    }
}

/// `acc[i] + Σⱼ w[4i + j] · x[4·LANE + j]`. The standard library's intrinsic is not stable yet.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot<const LANE: u32>(mut acc: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
    // SAFETY: reads and writes registers alone.
    unsafe {
        asm!(
            "sdot {acc:v}.4s, {w:v}.16b, {x:v}.4b[{lane}]",
            acc = inout(vreg) acc,
            w = in(vreg) w,
            x = in(vreg) x,
            lane = const LANE,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    acc
}
