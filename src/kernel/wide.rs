//! Exact products of 32-bit and squares of 64-bit numbers: what mixtures are made of.
//!
//! Plain loops, which give the same bits however they are compiled.

use super::choice::{Kernel, compiled_for};

/// How to multiply a lower triangle of unsigned weights, row by row, with a vector. Weights are unsigned
/// because baseline x86-64 multiplies unsigned 32-bit numbers to 64-bit ones two at a time, and signed ones
/// one by one.
#[derive(Clone, Debug)]
pub struct Triangle {
    kernel: Kernel,
    /// The same weights once more if the kernel wants them in another order, else none.
    #[cfg(target_arch = "x86_64")]
    blocks: Vec<Block>,
}

/// The weights of sixteen rows in one column, zeros above the diagonal: row l at 2l, row l + 8 at 2l + 1.
#[cfg(target_arch = "x86_64")]
pub(super) type Block = [u32; 16];

#[cfg(target_arch = "x86_64")]
fn blocks(weights: &[u32], width: usize) -> Vec<Block> {
    let mut blocks = Vec::new();
    for first in (0..width).step_by(16) {
        let block = |column| {
            std::array::from_fn(|place| {
                let row = first + place / 2 + place % 2 * 8;
                match column <= row && row < width {
                    true => weights[row * (row + 1) / 2 + column],
                    false => 0,
                }
            })
        };
        blocks.extend((0..width.min(first + 16)).map(block));
    }
    blocks
}

impl Triangle {
    /// For the triangle of `width` rows that follow each other in `weights`.
    ///
    /// Panics when it has another size.
    pub fn new(kernel: Kernel, weights: &[u32], width: usize) -> Triangle {
        assert_eq!(weights.len(), width * (width + 1) / 2, "size of a triangle");
        Triangle {
            kernel,
            #[cfg(target_arch = "x86_64")]
            blocks: if kernel.has_avx512() { blocks(weights, width) } else { Vec::new() },
        }
    }

    /// `out[i] = Σ_{j≤i} weights_ij · entries_j`, modulo 2⁶⁴, with the weights that this was made for.
    ///
    /// Panics when sizes do not fit together.
    pub fn multiply(&self, weights: &[u32], entries: &[u32], out: &mut [u64]) {
        assert_eq!(out.len(), entries.len(), "length of a product");
        assert_eq!(weights.len(), out.len() * (out.len() + 1) / 2, "size of a triangle");
        #[cfg(target_arch = "x86_64")]
        if self.kernel.has_avx512() {
            // SAFETY: the kernel proves that the machine has AVX-512.
            return unsafe { super::avx512::triangle(&self.blocks, entries, out) };
        }
        compiled_for!(self.kernel, rows, weights: &[u32], entries: &[u32], out: &mut [u64])
    }
}

/// Rows of weights that are multiplied at once: what they share is loaded once.
const ROWS: usize = 4;

/// The loops of [`Triangle::multiply`].
#[inline(always)]
fn rows(weights: &[u32], entries: &[u32], out: &mut [u64]) {
    let mut rest = weights;
    let blocks = entries.len() / ROWS;
    for start in (0..blocks).map(|block| block * ROWS) {
        // The rows of a triangle have `start` columns in common, and up to ROWS more.
        let mut rows = [&[][..]; ROWS];
        for r in 0..ROWS {
            (rows[r], rest) = rest.split_at(start + r + 1);
        }
        let mut sums = dot(rows, &entries[..start]);
        for r in 0..ROWS {
            for j in start..=start + r {
                sums[r] = sums[r].wrapping_add(u64::from(rows[r][j]) * u64::from(entries[j]));
            }
        }
        out[start..start + ROWS].copy_from_slice(&sums);
    }
    for i in blocks * ROWS..entries.len() {
        let (row, next) = rest.split_at(i + 1);
        rest = next;
        [out[i]] = dot([row], &entries[..=i]);
    }
}

/// `Σ weight · entry`, modulo 2⁶⁴, of each row of weights.
#[inline(always)]
fn dot<const R: usize>(rows: [&[u32]; R], entries: &[u32]) -> [u64; R] {
    // Of one length, so that the loop needs no check.
    let mut of_one_length = [&[][..]; R];
    for r in 0..R {
        of_one_length[r] = &rows[r][..entries.len()];
    }
    let mut sums = [0u64; R];
    for j in 0..entries.len() {
        for r in 0..R {
            let product = u64::from(of_one_length[r][j]) * u64::from(entries[j]);
            sums[r] = sums[r].wrapping_add(product);
        }
    }
    sums
}

/// `Σ_j (row_j − mean_j)²` of each of the means, which follow each other in `means`. Differences are below
/// 2⁵³ in size.
///
/// Panics when `means` are not `out.len()` rows.
pub fn squared_distances(kernel: Kernel, row: &[i64], means: &[i64], out: &mut [u128]) {
    assert_eq!(means.len(), row.len() * out.len(), "numbers of the means");
    compiled_for!(kernel, distances, row: &[i64], means: &[i64], out: &mut [u128])
}

/// The loops of [`squared_distances`].
///
/// A difference is `a · 2²⁷ + b` with a below 2²⁶ and b below 2²⁷; its square `a² 2⁵⁴ + 2ab 2²⁷ + b²` has
/// terms below 2⁵⁴, of which 512 add up to less than 2⁶³.
#[inline(always)]
fn distances(row: &[i64], means: &[i64], out: &mut [u128]) {
    const LOW_BITS: u32 = 27;
    const TERMS: usize = 512;
    let low = |difference: u64| u64::from(difference as u32 & ((1 << LOW_BITS) - 1));
    for (out, mean) in out.iter_mut().zip(means.chunks_exact(row.len().max(1))) {
        *out = 0;
        for (row, mean) in row.chunks(TERMS).zip(mean.chunks(TERMS)) {
            let mut sums = [0u64; 3];
            for (&x, &m) in row.iter().zip(mean) {
                let difference = (x - m).unsigned_abs();
                let (a, b) = (u64::from((difference >> LOW_BITS) as u32), low(difference));
                sums[0] += a * a;
                sums[1] += a * b;
                sums[2] += b * b;
            }
            let [aa, ab, bb] = sums.map(u128::from);
            *out += (aa << (2 * LOW_BITS)) + (ab << (LOW_BITS + 1)) + bb;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn triangles_of_every_size_wrap_alike() {
        let mut random = Random::new(1);
        for width in [0, 1, 2, 3, 4, 5, 17, 64, 130] {
            let mut draw = |n: usize| -> Vec<u32> {
                (0..n).map(|_| random.next_u64() as u32 | 1 << 31).collect()
            };
            let (weights, entries) = (draw(width * (width + 1) / 2), draw(width));
            let expected: Vec<u64> = (0..width)
                .map(|i| {
                    let row = &weights[i * (i + 1) / 2..][..=i];
                    let products =
                        row.iter().zip(&entries).map(|(&w, &x)| u128::from(w) * u128::from(x));
                    products.sum::<u128>() as u64
                })
                .collect();
            for kernel in Kernel::available() {
                let mut out = vec![7; width];
                let triangle = Triangle::new(kernel, &weights, width);
                triangle.multiply(&weights, &entries, &mut out);
                assert_eq!(out, expected, "{kernel}, {width}");
            }
        }
    }

    #[test]
    fn squared_distances_are_exact_to_the_ends() {
        const MOST: i64 = (1 << 52) - 1;
        let mut random = Random::new(2);
        for width in [1, 7, 511, 512, 513, 1100] {
            let mut draw = |n: usize| -> Vec<i64> {
                let mut one = || match random.below(4) {
                    0 => MOST,
                    1 => -MOST,
                    _ => random.next_u64() as i64 >> (64 - 53),
                };
                (0..n).map(|_| one()).collect()
            };
            let (row, means) = (draw(width), draw(3 * width));
            let square = |(x, m): (&i64, &i64)| i128::from(x - m).pow(2) as u128;
            let expected: Vec<u128> =
                means.chunks(width).map(|mean| row.iter().zip(mean).map(square).sum()).collect();
            for kernel in Kernel::available() {
                let mut out = [7; 3];
                squared_distances(kernel, &row, &means, &mut out);
                assert_eq!(out[..], expected, "{kernel}, {width}");
            }
        }
    }
}
