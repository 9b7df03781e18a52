//! Parts of a frame that are scored by themselves.

use std::borrow::Cow;

use super::{GateError, GateErrorKind};
use crate::image::Rgb;

/// A section `[[region]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionSettings {
    /// What messages call it.
    pub name: String,
    /// Left, top, width and height as shares of the frame's width and height.
    pub at: [f64; 4],
    /// Columns and rows that it is cut into; each tile is scored by itself.
    pub tiles: [u32; 2],
}

impl Default for RegionSettings {
    fn default() -> RegionSettings {
        RegionSettings { name: "frame".into(), at: [0.0, 0.0, 1.0, 1.0], tiles: [1, 1] }
    }
}

/// Most tiles of a region: each costs the time of a frame, and a part of alpha.
pub const MOST_TILES: u32 = 64;

/// Shares are kept as multiples of 2⁻³², so that pixels are found in integers.
const ONE: f64 = (1u64 << 32) as f64;

/// A part of the frame, cut into tiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    name: String,
    /// Left, top, right, bottom in 2⁻³² of the frame's side.
    edges_q32: [u64; 4],
    tiles: [u32; 2],
}

/// A rectangle of pixels; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
}

impl Region {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`GateErrorKind::Place`] if the region is not inside of the frame or has no area, [`GateErrorKind::Tiles`] for
    /// no tiles or more than [`MOST_TILES`].
    pub fn new(settings: &RegionSettings) -> Result<Region, GateError> {
        let RegionSettings { name, at, tiles } = settings;
        let [left, top, width, height] = *at;
        // A third and two thirds may add up to a little more than one.
        let inside =
            |start: f64, length: f64| start >= 0.0 && length > 0.0 && start + length <= 1.0 + 1e-6;
        if !(inside(left, width) && inside(top, height)) {
            let why = format!(
                "region `{name}`: {at:?} is no part of a frame; give left, top, width and height as shares, as in \
                 [0.5, 0.0, 0.5, 1.0] for the right half"
            );
            return Err(GateError::new(GateErrorKind::Place, why));
        }
        let count = u64::from(tiles[0]) * u64::from(tiles[1]);
        if count == 0 || count > u64::from(MOST_TILES) {
            let why = format!(
                "region `{name}`: {} x {} tiles; give 1 to {MOST_TILES} in all, as in [2, 2]",
                tiles[0], tiles[1]
            );
            return Err(GateError::new(GateErrorKind::Tiles, why));
        }
        let edges = [left, top, left + width, top + height];
        let edges_q32 = edges.map(|share| (share.min(1.0) * ONE).round() as u64);
        Ok(Region { name: name.clone(), edges_q32, tiles: *tiles })
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many tiles it is cut into.
    pub fn tiles(&self) -> u32 {
        self.tiles[0] * self.tiles[1]
    }

    /// The tiles of a frame of this size, row by row.
    ///
    /// Edges lie at the nearest pixel border, so that regions and tiles that touch share no pixel and leave none out.
    /// Only where there are fewer pixels than tiles do tiles overlap: each has at least one pixel.
    pub fn rects(&self, width: u32, height: u32) -> impl Iterator<Item = Rect> + use<> {
        let [left, top, right, bottom] = self.edges_q32;
        let across = span(left, right, width);
        let down = span(top, bottom, height);
        let [columns, rows] = self.tiles;
        (0..rows).flat_map(move |row| {
            let (top, height) = cut(down, row, rows);
            (0..columns).map(move |column| {
                let (left, width) = cut(across, column, columns);
                Rect { left, top, width, height }
            })
        })
    }

    /// The region's tiles of a picture; the picture itself, not a copy, where the only tile is all of it.
    ///
    /// # Panics
    ///
    /// If the picture's pixels are fewer than its size says, or it has none.
    pub fn crops<'p>(&self, picture: &'p Rgb) -> impl Iterator<Item = Cow<'p, Rgb>> + use<'p> {
        self.rects(picture.width, picture.height).map(move |rect| rect.crop(picture))
    }
}

impl Rect {
    /// This part of a picture.
    ///
    /// # Panics
    ///
    /// If it is not inside of the picture, or the picture's pixels are fewer than its size says.
    pub fn crop(self, picture: &Rgb) -> Cow<'_, Rgb> {
        let Rect { left, top, width, height } = self;
        if (width, height) == (picture.width, picture.height) {
            return Cow::Borrowed(picture);
        }
        let mut pixels = Vec::with_capacity(width as usize * height as usize * 3);
        for y in top..top + height {
            let start = (y as usize * picture.width as usize + left as usize) * 3;
            pixels.extend_from_slice(&picture.pixels[start..start + width as usize * 3]);
        }
        Cow::Owned(Rgb { width, height, pixels })
    }
}

/// First pixel and number of pixels between two edges, at least one, of a side of `length` pixels.
fn span(start_q32: u64, end_q32: u64, length: u32) -> (u32, u32) {
    let nearest = |q32: u64| ((q32 * u64::from(length) + (1 << 31)) >> 32) as u32;
    let start = nearest(start_q32).min(length.saturating_sub(1));
    (start, nearest(end_q32).saturating_sub(start).max(1))
}

/// First pixel and number of pixels of the `index`th of `count` parts of a span.
fn cut((start, length): (u32, u32), index: u32, count: u32) -> (u32, u32) {
    let border = |i: u32| (u64::from(length) * u64::from(i) / u64::from(count)) as u32;
    let first = border(index).min(length - 1);
    (start + first, border(index + 1).saturating_sub(first).max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn region(at: [f64; 4], tiles: [u32; 2]) -> Region {
        Region::new(&RegionSettings { name: "r".into(), at, tiles }).unwrap()
    }

    fn rects(at: [f64; 4], tiles: [u32; 2], width: u32, height: u32) -> Vec<[u32; 4]> {
        let rects = region(at, tiles).rects(width, height);
        rects.map(|r| [r.left, r.top, r.width, r.height]).collect()
    }

    #[test]
    fn shares_become_pixels() {
        assert_eq!(rects([0.0, 0.0, 1.0, 1.0], [1, 1], 640, 480), [[0, 0, 640, 480]]);
        assert_eq!(rects([0.5, 0.25, 0.5, 0.5], [1, 1], 641, 480), [[321, 120, 320, 240]]);
        let third = 1.0 / 3.0;
        assert_eq!(rects([0.0, 0.0, third, 1.0], [1, 1], 100, 10), [[0, 0, 33, 10]]);
        assert_eq!(rects([third, 0.0, third, 1.0], [1, 1], 100, 10), [[33, 0, 34, 10]]);
        assert_eq!(rects([2.0 * third, 0.0, third, 1.0], [1, 1], 100, 10), [[67, 0, 33, 10]]);
        let tiles = [[0, 0, 3, 2], [3, 0, 4, 2], [0, 2, 3, 3], [3, 2, 4, 3]];
        assert_eq!(rects([0.0, 0.0, 1.0, 1.0], [2, 2], 7, 5), tiles);
    }

    #[test]
    fn what_is_no_part_of_a_frame_is_refused() {
        let refused = |at, tiles| {
            Region::new(&RegionSettings { name: "door".into(), at, tiles }).unwrap_err()
        };
        for at in [
            [-0.1, 0.0, 0.5, 0.5],
            [0.6, 0.0, 0.5, 0.5],
            [0.0, 0.0, 0.0, 1.0],
            [f64::NAN, 0.0, 1.0, 1.0],
            [0.0, 0.0, f64::INFINITY, 1.0],
        ] {
            let error = refused(at, [1, 1]);
            assert_eq!(error.kind(), GateErrorKind::Place);
            assert!(error.to_string().contains("`door`"), "{error}");
        }
        for tiles in [[0, 1], [65, 1], [u32::MAX, u32::MAX]] {
            assert_eq!(refused([0.0, 0.0, 1.0, 1.0], tiles).kind(), GateErrorKind::Tiles);
        }
    }

    #[test]
    fn the_whole_picture_is_not_copied() {
        let picture = Rgb { width: 2, height: 2, pixels: (0..12).collect() };
        let whole: Vec<_> = region([0.0, 0.0, 1.0, 1.0], [1, 1]).crops(&picture).collect();
        assert!(matches!(whole[..], [Cow::Borrowed(same)] if std::ptr::eq(same, &picture)));
        let right: Vec<_> = region([0.5, 0.0, 0.5, 1.0], [1, 2]).crops(&picture).collect();
        assert_eq!(right[0].pixels, [3, 4, 5]);
        assert_eq!(right[1].pixels, [9, 10, 11]);
    }

    proptest! {
        #[test]
        fn tiles_cover_their_region_once_where_there_are_pixels_for_all(
            (left, width) in (0.0f64..0.9).prop_flat_map(|l| (Just(l), 0.05..1.0 - l)),
            (top, height) in (0.0f64..0.9).prop_flat_map(|t| (Just(t), 0.05..1.0 - t)),
            tiles in [1u32..8, 1u32..8],
            size in (1u32..200, 1u32..200),
        ) {
            let at = [left, top, width, height];
            let whole = rects(at, [1, 1], size.0, size.1)[0];
            let mut covered = vec![0u32; (size.0 * size.1) as usize];
            for [l, t, w, h] in rects(at, tiles, size.0, size.1) {
                prop_assert!(w > 0 && h > 0 && l + w <= size.0 && t + h <= size.1);
                for y in t..t + h {
                    for x in l..l + w {
                        covered[(y * size.0 + x) as usize] += 1;
                    }
                }
            }
            let enough = whole[2] >= tiles[0] && whole[3] >= tiles[1];
            for (i, &times) in covered.iter().enumerate() {
                let (x, y) = (i as u32 % size.0, i as u32 / size.0);
                let inside = (whole[0]..whole[0] + whole[2]).contains(&x)
                    && (whole[1]..whole[1] + whole[3]).contains(&y);
                prop_assert_eq!(times >= 1, inside);
                prop_assert!(times <= 1 || !enough);
            }
        }
    }
}
