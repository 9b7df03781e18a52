//! One pass over a picture's pixels, for all that the gate asks of them.

use crate::image::Rgb;

/// Columns and rows of the grid of cells.
pub(super) const COLUMNS: usize = 32;
pub(super) const ROWS: usize = 24;

/// A picture's brightness: how often each level occurs, and the mean of each cell of a 32 × 24 grid.
///
/// Luma is `(77 R + 150 G + 29 B + 128) / 256`, the weights of BT.601 in 8 bits, rounded to nearest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    histogram: [u32; 256],
    /// Mean luma of each cell in 1/256 of a grey level, rounded down; 0 for a cell without pixels.
    cells_q8: Vec<u16>,
}

impl Look {
    /// Looks at all of a picture.
    pub fn at(picture: &Rgb) -> Look {
        let (width, height) = (picture.width as usize, picture.height as usize);
        let mut histogram = [0u32; 256];
        let mut sums = vec![0u64; COLUMNS * ROWS];
        // The pixels x with x · COLUMNS / width = column, rounded down, begin here.
        let begin = |column: usize| (column * width).div_ceil(COLUMNS) * 3;
        let rows = picture.pixels.chunks_exact((width * 3).max(1)).take(height);
        for (y, row) in rows.enumerate() {
            let first = y * ROWS / height * COLUMNS;
            for (column, sum) in sums[first..first + COLUMNS].iter_mut().enumerate() {
                for pixel in row[begin(column)..begin(column + 1)].chunks_exact(3) {
                    let luma = luma(pixel);
                    histogram[usize::from(luma)] += 1;
                    *sum += u64::from(luma);
                }
            }
        }
        let pixels_of = |cell: usize| {
            let across = (begin(cell % COLUMNS + 1) - begin(cell % COLUMNS)) / 3;
            let row = cell / COLUMNS;
            let down = ((row + 1) * height).div_ceil(ROWS) - (row * height).div_ceil(ROWS);
            (across * down) as u64
        };
        let mean = |(cell, sum): (usize, &u64)| (sum * 256 / pixels_of(cell).max(1)) as u16;
        Look { histogram, cells_q8: sums.iter().enumerate().map(mean).collect() }
    }

    /// How many pixels the picture has.
    pub fn pixels(&self) -> u64 {
        self.histogram.iter().map(|&count| u64::from(count)).sum()
    }

    /// How many pixels are darker than `level`.
    pub fn below(&self, level: u8) -> u64 {
        self.histogram[..usize::from(level)].iter().map(|&count| u64::from(count)).sum()
    }

    /// How many pixels are brighter than `level`.
    pub fn above(&self, level: u8) -> u64 {
        self.histogram[usize::from(level) + 1..].iter().map(|&count| u64::from(count)).sum()
    }

    /// Mean luma in 1/256 of a grey level, rounded down; 0 without pixels.
    pub fn mean_q8(&self) -> u32 {
        let sum: u64 = (0u64..).zip(&self.histogram).map(|(level, &n)| level * u64::from(n)).sum();
        (sum * 256 / self.pixels().max(1)) as u32
    }

    /// Mean luma of each cell in 1/256 of a grey level, row by row.
    pub(super) fn cells_q8(&self) -> &[u16] {
        &self.cells_q8
    }
}

fn luma(pixel: &[u8]) -> u8 {
    let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
    ((77 * r + 150 * g + 29 * b + 128) >> 8) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, pixel by pixel.
    fn cells_by_definition(picture: &Rgb) -> Vec<u16> {
        let (width, height) = (picture.width as usize, picture.height as usize);
        let mut cells = vec![(0u64, 0u64); COLUMNS * ROWS];
        for (i, pixel) in picture.pixels.chunks_exact(3).enumerate() {
            let (x, y) = (i % width, i / width);
            let cell = &mut cells[y * ROWS / height * COLUMNS + x * COLUMNS / width];
            *cell = (cell.0 + u64::from(luma(pixel)), cell.1 + 1);
        }
        cells.iter().map(|&(sum, count)| (sum * 256 / count.max(1)) as u16).collect()
    }

    #[test]
    fn levels_are_counted() {
        let pixels = [[0; 3], [255; 3], [255, 0, 0], [16; 3]].concat();
        let look = Look::at(&Rgb { width: 2, height: 2, pixels });
        assert_eq!((look.pixels(), look.below(16), look.below(17)), (4, 1, 2));
        assert_eq!((look.above(250), look.above(76), look.above(255)), (1, 2, 0));
        assert_eq!(look.mean_q8(), (255 + 77 + 16) * 256 / 4);
    }

    #[test]
    fn nothing_to_look_at_is_no_panic() {
        for (width, height) in [(0, 0), (0, 3), (3, 0), (4, 4)] {
            let look = Look::at(&Rgb { width, height, pixels: Vec::new() });
            assert_eq!((look.pixels(), look.mean_q8()), (0, 0));
        }
    }

    proptest! {
        #[test]
        fn cells_are_means_of_their_pixels(width in 1u32..80, height in 1u32..60, seed: u64) {
            let mut random = crate::random::Random::new(seed);
            let pixels = (0..width * height * 3).map(|_| random.next_u64() as u8).collect();
            let picture = Rgb { width, height, pixels };
            let look = Look::at(&picture);
            prop_assert_eq!(look.cells_q8(), cells_by_definition(&picture));
            prop_assert_eq!(look.pixels(), u64::from(width * height));
            prop_assert_eq!(look.below(100) + look.above(99), look.pixels());
        }
    }
}
