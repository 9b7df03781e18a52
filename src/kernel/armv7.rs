//! armv7 with NEON. Its intrinsics are not stable, so the products are one assembly routine; what follows
//! them is plain Rust.

use std::arch::naked_asm;

use super::isa::{Isa, Layout, Tile, run_tile};
use super::portable::{Plain, arrays};
use super::quantise::Grid;

/// `vmull`, `vmlal`, `vpadal` on tiles of 2 pixels × 16 channels, as `aarch64::Neon` explains; no weight may
/// be −128.
pub(super) struct Neon;

/// The same layout in plain Rust.
type Same = Plain<4, 2, 0, 2, 4>;

/// Whether this processor has NEON, by the kernel's word.
pub(super) fn has_neon() -> bool {
    const AT_HWCAP: u32 = 16;
    const HWCAP_NEON: u32 = 1 << 12;
    let auxv = std::fs::read("/proc/self/auxv").unwrap_or_default();
    auxv.chunks_exact(8).any(|entry| {
        let word =
            |i: usize| u32::from_ne_bytes([entry[i], entry[i + 1], entry[i + 2], entry[i + 3]]);
        word(0) == AT_HWCAP && word(4) & HWCAP_NEON != 0
    })
}

impl Isa for Neon {
    arrays!(i8, 4);
    const LAYOUT: Layout = Same::LAYOUT;

    #[inline]
    unsafe fn multiply<const P: usize, const V: usize>(
        acc: &mut [[[i32; 4]; V]; P],
        x: [*const i8; P],
        weights: *const i8,
        groups: usize,
    ) {
        let (pairs, mut done) = (groups / 2, 0);
        if V == 4 && pairs > 0 {
            let mut sums = [[[0; 4]; 4]; 2];
            for p in 0..P {
                sums[p].copy_from_slice(&acc[p]);
            }
            // SAFETY: the caller runs on NEON; `2 · pairs` k-groups lie at each x and at `weights`.
            unsafe { multiply_2x4(&mut sums, x[0], x[P - 1], weights, pairs) };
            for p in 0..P {
                acc[p].copy_from_slice(&sums[p]);
            }
            done = 2 * pairs;
        }
        // SAFETY: the rest of what the caller promises.
        unsafe {
            let x = x.map(|x| x.add(done * 2));
            Same::multiply::<P, V>(acc, x, weights.add(done * V * 8), groups - done);
        }
    }
}

/// Adds the products of `pairs` times two k-groups: `acc[p][v]` += `xₚ` times panel rows.
///
/// Arguments lie in r0 to r3 and on the stack; q4 to q7 and r4 belong to the caller.
///
/// # Safety
/// The processor has NEON; `4 · pairs` bytes lie at `x0` and `x1`, `64 · pairs` at `weights`; `pairs` > 0.
#[unsafe(naked)]
unsafe extern "C" fn multiply_2x4(
    acc: &mut [[[i32; 4]; 4]; 2],
    x0: *const i8,
    x1: *const i8,
    weights: *const i8,
    pairs: usize,
) {
    /// Two k-groups of the pixel at `$x`, summed into four registers.
    macro_rules! pixel {
        ($x:literal $s0:literal $s1:literal $s2:literal $s3:literal) => {
            concat!(
                "vld1.16 {{d8[]}}, [",
                $x,
                "]!\n",
                "vld1.16 {{d9[]}}, [",
                $x,
                "]!\n",
                "vmull.s8 q5, d8, d0\n",
                "vmull.s8 q6, d8, d1\n",
                "vmull.s8 q7, d8, d2\n",
                "vmlal.s8 q5, d9, d4\n",
                "vmlal.s8 q6, d9, d5\n",
                "vmlal.s8 q7, d9, d6\n",
                "vpadal.s16 ",
                $s0,
                ", q5\n",
                "vmull.s8 q5, d8, d3\n",
                "vpadal.s16 ",
                $s1,
                ", q6\n",
                "vmlal.s8 q5, d9, d7\n",
                "vpadal.s16 ",
                $s2,
                ", q7\n",
                "vpadal.s16 ",
                $s3,
                ", q5\n",
            )
        };
    }
    naked_asm!(
        ".fpu neon",
        "push {{r4, lr}}",
        "vpush {{d8-d15}}",
        "ldr r4, [sp, #72]", // behind 64 bytes of d8 to d15 and two registers
        "mov r12, r0",
        "vld1.32 {{d16-d19}}, [r12]!",
        "vld1.32 {{d20-d23}}, [r12]!",
        "vld1.32 {{d24-d27}}, [r12]!",
        "vld1.32 {{d28-d31}}, [r12]",
        "2:",
        "vld1.8 {{d0-d3}}, [r3]!",
        "vld1.8 {{d4-d7}}, [r3]!",
        "subs r4, r4, #1",
        pixel!("r1" "q8" "q9" "q10" "q11"),
        pixel!("r2" "q12" "q13" "q14" "q15"),
        "bne 2b",
        "vst1.32 {{d16-d19}}, [r0]!",
        "vst1.32 {{d20-d23}}, [r0]!",
        "vst1.32 {{d24-d27}}, [r0]!",
        "vst1.32 {{d28-d31}}, [r0]",
        "vpop {{d8-d15}}",
        "pop {{r4, pc}}",
    )
}
