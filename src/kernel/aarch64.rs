//! aarch64: NEON without and with the dot-product instructions.

use std::arch::aarch64::*;
use std::arch::asm;

use super::isa::{Isa, Layout, Tile, run_tile};
use super::quantise::Grid;
use super::winograd::{self, Words};

/// Plain NEON (Cortex-A53, A57, A72): `smull`, `smlal`, `sadalp`.
///
/// A k-group is a pair of input channels, repeated over four output channels. Two products fit into the
/// 16 bits of a lane unless both are (−128)·(−128): so `STEP` is 2 k-groups (`smull`, `smlal`, `sadalp`)
/// when no weight is −128, and else 1 (`smull`, `sadalp`).
pub(super) struct Neon<const STEP: usize>;

/// NEON with `sdot` (Cortex-A76, A78, Neoverse N1): four products per lane at once.
pub(super) struct DotProd;

/// Plain NEON on 16-bit words: `smlal` by element.
pub(super) struct NeonWords;

/// The operations that all share.
macro_rules! vectors {
    () => {
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
            let bytes = vreinterpret_s8_u32(vdup_n_u32(four));
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
            let zero_point = vdupq_n_s16(i16::from(grid.zero_point()));
            let (low, high) = (vdupq_n_s8(grid.min()), vdupq_n_s8(grid.max()));
            let words = |v: usize| {
                let lower = vqmovn_s32(vcvtnq_s32_f32(t[v]));
                let whole = match t.get(v + 1) {
                    Some(&t) => vqmovn_high_s32(lower, vcvtnq_s32_f32(t)),
                    None => vcombine_s16(lower, lower),
                };
                vqaddq_s16(whole, zero_point)
            };
            let bytes = vqmovn_s16(words(0));
            let bytes =
                if V == 4 { vqmovn_high_s16(bytes, words(2)) } else { vcombine_s8(bytes, bytes) };
            let bytes = vminq_s8(vmaxq_s8(bytes, low), high);
            // SAFETY: the caller's promise; a panel has 1, 2 or 4 vectors.
            unsafe {
                match V {
                    1 => vst1q_lane_s32::<0>(to.cast(), vreinterpretq_s32_s8(bytes)),
                    2 => vst1_s8(to, vget_low_s8(bytes)),
                    _ => vst1q_s8(to, bytes),
                }
            }
        }
    };
}

impl<const STEP: usize> Isa for Neon<STEP> {
    vectors!();
    type X = i8;
    const LAYOUT: Layout = Layout {
        lanes: 4,
        group: 2,
        offset: 0,
        pixels: 4,
        vectors: 4,
        weight_bytes: 1,
        in_place: true,
    };

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
            if STEP == 2 && P == 4 && V == 4 && groups >= 8 {
                let x = [x[0], x[1 % P], x[2 % P], x[3 % P]];
                let acc = &mut *acc.as_mut_ptr().cast::<[[int32x4_t; 4]; 4]>();
                multiply_4x4(acc, x, weights, groups / 8);
                g = groups / 8 * 8;
            }
            while g + 2 <= groups {
                let row = weights.add(g * V * 8);
                for p in 0..P {
                    let a = vdup_n_s16(x[p].add(2 * g).cast::<i16>().read_unaligned());
                    let b = vdup_n_s16(x[p].add(2 * g + 2).cast::<i16>().read_unaligned());
                    let (a, b) = (vreinterpret_s8_s16(a), vreinterpret_s8_s16(b));
                    for v in 0..V {
                        let w = [vld1_s8(row.add(v * 8)), vld1_s8(row.add((V + v) * 8))];
                        let mut product = vmull_s8(a, w[0]);
                        if STEP == 2 {
                            product = vmlal_s8(product, b, w[1]);
                        } else {
                            acc[p][v] = vpadalq_s16(acc[p][v], product);
                            product = vmull_s8(b, w[1]);
                        }
                        acc[p][v] = vpadalq_s16(acc[p][v], product);
                    }
                }
                g += 2;
            }
            if g < groups {
                for p in 0..P {
                    let pair = vdup_n_s16(x[p].add(2 * g).cast::<i16>().read_unaligned());
                    for v in 0..V {
                        let w = vld1_s8(weights.add((g * V + v) * 8));
                        let product = vmull_s8(vreinterpret_s8_s16(pair), w);
                        acc[p][v] = vpadalq_s16(acc[p][v], product);
                    }
                }
            }
        }
    }
}

/// `Neon::<2>::multiply` for a full tile and `blocks` times eight k-groups. In assembly, because the
/// compiler's order of these instructions spills a third of the sums.
///
/// # Safety
/// As for [`Isa::multiply`].
#[inline]
#[target_feature(enable = "neon")]
unsafe fn multiply_4x4(
    acc: &mut [[int32x4_t; 4]; 4],
    x: [*const i8; 4],
    weights: *const i8,
    blocks: usize,
) {
    /// Repeats lanes `$i` and `$j` of `$x` over the registers `$a` and `$b`.
    macro_rules! spread {
        ($x:literal $i:literal $j:literal $a:literal $b:literal) => {
            concat!(
                "dup {", $a, "}.8h, {", $x, "}.h[", $i, "]\n", "dup {", $b, "}.8h, {", $x, "}.h[",
                $j, "]\n",
            )
        };
    }
    /// Two k-groups, spread over `$a` and `$b`, of one pixel. An in-order core would wait for what the next
    /// pixel needs: `$early` and `$late` fetch it in time.
    macro_rules! pixel {
        ($a:literal $b:literal $s0:literal $s1:literal $s2:literal $s3:literal $early:expr, $late:expr) => {
            concat!(
                "smull {t0}.8h, {",
                $a,
                "}.8b, {w0}.8b\n",
                "smull2 {t1}.8h, {",
                $a,
                "}.16b, {w0}.16b\n",
                "smull {t2}.8h, {",
                $a,
                "}.8b, {w1}.8b\n",
                "smull2 {t3}.8h, {",
                $a,
                "}.16b, {w1}.16b\n",
                $early,
                "smlal {t0}.8h, {",
                $b,
                "}.8b, {w2}.8b\n",
                "smlal2 {t1}.8h, {",
                $b,
                "}.16b, {w2}.16b\n",
                "smlal {t2}.8h, {",
                $b,
                "}.8b, {w3}.8b\n",
                "smlal2 {t3}.8h, {",
                $b,
                "}.16b, {w3}.16b\n",
                $late,
                "sadalp {",
                $s0,
                ":v}.4s, {t0}.8h\n",
                "sadalp {",
                $s1,
                ":v}.4s, {t1}.8h\n",
                "sadalp {",
                $s2,
                ":v}.4s, {t2}.8h\n",
                "sadalp {",
                $s3,
                ":v}.4s, {t3}.8h\n",
            )
        };
    }
    /// Two k-groups, at lanes `$i` and `$j`, of all four pixels. `$next` is the first pixel's next spread.
    macro_rules! step {
        ($i:literal $j:literal $next:expr) => {
            concat!(
                pixel!("a0" "b0" "s00" "s01" "s02" "s03" spread!("x1" $i $j "a1" "b1"), ""),
                pixel!("a1" "b1" "s10" "s11" "s12" "s13" spread!("x2" $i $j "a0" "b0"), ""),
                pixel!("a0" "b0" "s20" "s21" "s22" "s23" spread!("x3" $i $j "a1" "b1"), ""),
                pixel!("a1" "b1" "s30" "s31" "s32" "s33"
                    concat!("ldp {w0:q}, {w1:q}, [{w}], #32\n", $next),
                    "ldp {w2:q}, {w3:q}, [{w}], #32\n"),
            )
        };
    }
    let [[s00, s01, s02, s03], [s10, s11, s12, s13], [s20, s21, s22, s23], [s30, s31, s32, s33]] =
        acc;
    // SAFETY: reads 16 bytes at each x and 256 of weights per block, as the caller promises, and 64 bytes
    // behind the last block, which every panel has behind it.
    unsafe {
        asm!(
            "ldp {w0:q}, {w1:q}, [{w}], #32",
            "ldp {w2:q}, {w3:q}, [{w}], #32",
            "2:",
            "ldr {x0:q}, [{p0}], #16",
            "ldr {x1:q}, [{p1}], #16",
            "ldr {x2:q}, [{p2}], #16",
            "ldr {x3:q}, [{p3}], #16",
            "subs {n}, {n}, #1",
            spread!("x0" "0" "1" "a0" "b0"),
            step!("0" "1" spread!("x0" "2" "3" "a0" "b0")),
            step!("2" "3" spread!("x0" "4" "5" "a0" "b0")),
            step!("4" "5" spread!("x0" "6" "7" "a0" "b0")),
            step!("6" "7" ""),
            "b.ne 2b",
            p0 = inout(reg) x[0] => _, p1 = inout(reg) x[1] => _,
            p2 = inout(reg) x[2] => _, p3 = inout(reg) x[3] => _,
            w = inout(reg) weights => _, n = inout(reg) blocks => _,
            x0 = out(vreg) _, x1 = out(vreg) _, x2 = out(vreg) _, x3 = out(vreg) _,
            w0 = out(vreg) _, w1 = out(vreg) _, w2 = out(vreg) _, w3 = out(vreg) _,
            a0 = out(vreg) _, b0 = out(vreg) _, a1 = out(vreg) _, b1 = out(vreg) _,
            t0 = out(vreg) _, t1 = out(vreg) _, t2 = out(vreg) _, t3 = out(vreg) _,
            s00 = inout(vreg) *s00, s01 = inout(vreg) *s01, s02 = inout(vreg) *s02, s03 = inout(vreg) *s03,
            s10 = inout(vreg) *s10, s11 = inout(vreg) *s11, s12 = inout(vreg) *s12, s13 = inout(vreg) *s13,
            s20 = inout(vreg) *s20, s21 = inout(vreg) *s21, s22 = inout(vreg) *s22, s23 = inout(vreg) *s23,
            s30 = inout(vreg) *s30, s31 = inout(vreg) *s31, s32 = inout(vreg) *s32, s33 = inout(vreg) *s33,
            options(nostack, readonly)
        );
    }
}

impl Isa for NeonWords {
    vectors!();
    type X = i16;
    const LAYOUT: Layout = Layout {
        lanes: 4,
        group: 1,
        offset: 0,
        pixels: 4,
        vectors: 4,
        weight_bytes: 2,
        in_place: false,
    };

    #[target_feature(enable = "neon")]
    unsafe fn tile<const P: usize, const V: usize>(t: &Tile<'_, i16>) {
        // SAFETY: the caller's promise.
        unsafe { run_tile::<Self, P, V>(t) }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn multiply<const P: usize, const V: usize>(
        acc: &mut [[int32x4_t; V]; P],
        x: [*const i16; P],
        weights: *const i8,
        groups: usize,
    ) {
        let weights = weights.cast::<i16>();
        // SAFETY: `groups` words lie at each x, `groups` rows of V half vectors at `weights`. Groups come
        // in whole chunks, of more than 8.
        unsafe {
            for g in (0..groups).step_by(8) {
                let mut eight = [vdupq_n_s16(0); P];
                for p in 0..P {
                    eight[p] = vld1q_s16(x[p].add(g));
                }
                macro_rules! step {
                    ($($lane:literal)*) => { $(
                        let row = weights.add((g + $lane) * V * 4);
                        for v in (0..V).step_by(2) {
                            if V == 1 {
                                let w = vld1_s16(row);
                                for p in 0..P {
                                    acc[p][v] = vmlal_laneq_s16::<$lane>(acc[p][v], w, eight[p]);
                                }
                                continue;
                            }
                            let w = vld1q_s16(row.add(v * 4));
                            for p in 0..P {
                                let [a, b] = [acc[p][v], acc[p][v + 1]];
                                acc[p][v] = vmlal_laneq_s16::<$lane>(a, vget_low_s16(w), eight[p]);
                                acc[p][v + 1] = vmlal_high_laneq_s16::<$lane>(b, w, eight[p]);
                            }
                        }
                    )* };
                }
                step!(0 1 2 3 4 5 6 7);
            }
        }
    }
}

impl Words for NeonWords {
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn add_i32(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        vaddq_s32(a, b)
    }
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn sub_i32(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        vsubq_s32(a, b)
    }
    #[target_feature(enable = "neon")]
    unsafe fn transform_input(band: &[i16], from: &winograd::Tiles, to: &mut [i16]) {
        winograd::transform_input(band, from, to);
    }
    #[target_feature(enable = "neon")]
    unsafe fn transform_output<const V: usize>(panel: winograd::OutputPanel<'_>) {
        // SAFETY: the caller's promise.
        unsafe { winograd::transform_output::<Self, V>(panel) }
    }
}

impl Isa for DotProd {
    vectors!();
    type X = i8;
    const LAYOUT: Layout = Layout {
        lanes: 4,
        group: 4,
        offset: 0,
        pixels: 4,
        vectors: 4,
        weight_bytes: 1,
        in_place: true,
    };

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
