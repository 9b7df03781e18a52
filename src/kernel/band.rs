//! A band: the input rows under a few output rows, padded, in the form that the tile wants.

use super::window::{Map, Window};

/// Working memory of a thread. It grows to what the largest plan needs and is then reused.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    narrow: Vec<i8>,
    pub(super) wide: Vec<i16>,
    pub(super) sums: Vec<i32>,
}

impl Scratch {
    /// Empty; every plan that will use it must be named to its `reserve` first.
    pub fn new() -> Scratch {
        Scratch::default()
    }

    /// Makes room for so many 16-bit words and 32-bit sums.
    pub(super) fn reserve_words(&mut self, [words, sums]: [usize; 2]) {
        self.wide.resize(self.wide.len().max(words), 0);
        self.sums.resize(self.sums.len().max(sums), 0);
    }
}

/// How a band stores one activation.
pub(super) trait Activation: Copy + 'static {
    /// `x + offset`, in this type's bits.
    fn from_i8(x: i8, offset: i32) -> Self;
    fn buffer(scratch: &mut Scratch) -> &mut Vec<Self>;
    /// The map itself as a band, if the form is the same.
    fn in_place(input: &[i8]) -> Option<&[Self]>;
}

impl Activation for i8 {
    #[inline(always)]
    fn from_i8(x: i8, offset: i32) -> i8 {
        x.wrapping_add(offset as i8)
    }
    fn buffer(scratch: &mut Scratch) -> &mut Vec<i8> {
        &mut scratch.narrow
    }
    fn in_place(input: &[i8]) -> Option<&[i8]> {
        Some(input)
    }
}

impl Activation for i16 {
    #[inline(always)]
    fn from_i8(x: i8, _: i32) -> i16 {
        i16::from(x)
    }
    fn buffer(scratch: &mut Scratch) -> &mut Vec<i16> {
        &mut scratch.wide
    }
    fn in_place(_: &[i8]) -> Option<&[i16]> {
        None
    }
}

/// Where a convolution's windows lie in a band.
pub(super) struct BandPlan {
    /// Columns of a band row: what the windows of one output row reach, no more.
    pub columns: usize,
    /// Output rows per band.
    pub rows: usize,
    /// Values from one band row to the next.
    pub pitch: usize,
    /// The input map serves as the band.
    pub in_place: bool,
}

/// A tile may read this many values behind the last run: less than a k-group.
const SLACK: usize = 8;

impl BandPlan {
    /// Values in a band of the greatest height, slack included.
    pub fn len(&self, window: &Window) -> usize {
        if self.in_place { 0 } else { self.input_rows(window, self.rows) * self.pitch + SLACK }
    }

    /// Input rows under `output_rows` output rows.
    fn input_rows(&self, window: &Window, output_rows: usize) -> usize {
        (output_rows - 1) * window.stride[0] + window.span(0)
    }

    /// Copies the rows under `rows` output rows, from output row `first` on, into `band`.
    pub fn fill<X: Activation>(
        &self,
        band: &mut [X],
        input: &[i8],
        map: Map,
        window: &Window,
        (first, rows): (usize, usize),
        (zero_point, offset): (i8, i32),
    ) {
        let padding = X::from_i8(zero_point, offset);
        let left = window.pad[1].min(self.columns);
        let copied = map.width.min(self.columns - left) * map.channels;
        for i in 0..self.input_rows(window, rows) {
            let row = &mut band[i * self.pitch..][..self.pitch];
            let y = (first * window.stride[0] + i).wrapping_sub(window.pad[0]);
            if y >= map.height {
                row.fill(padding);
                continue;
            }
            let (before, rest) = row.split_at_mut(left * map.channels);
            let (inside, after) = rest.split_at_mut(copied);
            before.fill(padding);
            after.fill(padding);
            for (to, &x) in inside.iter_mut().zip(&input[y * map.row_len()..][..copied]) {
                *to = X::from_i8(x, offset);
            }
        }
    }
}
