//! Resize and centre crop, bit-equal with Pillow and torchvision.
//!
//! The filter is Pillow's `Image.resize(size, BILINEAR)`: a triangle, widened by the scale when the
//! picture shrinks (antialiasing), sampled in f64 and then rounded to 22 fractional bits; rows
//! first, then columns, each rounded to 8 bits (`src/libImaging/Resample.c`). Pillow since 13.0
//! begins with the columns when the height shrinks much more than the width; rows come first here
//! always, as in every Pillow before. Sizes and offsets are those of torchvision's `Resize(n)` and
//! `CenterCrop`. Pixels outside of the crop are never computed.

use super::{ImageError, ImageErrorKind, Preprocess, Resize, Rgb, check_size};

/// Pillow's `PRECISION_BITS` of 8-bit pictures.
const FRACTION_BITS: u32 = 32 - 8 - 2;

/// Longest side of a crop, in pixels; no backbone comes near it.
const MAX_CROP_SIDE: u32 = 4096;

/// Resizes a picture and cuts out its centre.
///
/// The result is `how.crop[0]` pixels wide and `how.crop[1]` high. With [`Resize::Shorter`] the
/// longer side becomes `floor(n × long / short)`; a crop offset that falls between two pixels is
/// rounded to the even one.
///
/// # Errors
///
/// [`ImageErrorKind::Geometry`] if a size is 0, if `picture.pixels` does not have the length that
/// its sides ask for, or if the crop is larger than the resized picture: a black border in every
/// frame is never what was meant. [`ImageErrorKind::TooLarge`] for crops of more than 4096 pixels
/// a side and for pictures that [`decode`](super::decode) would refuse by their size.
pub fn prepare(picture: &Rgb, how: &Preprocess) -> Result<Rgb, ImageError> {
    if !picture.is_consistent() {
        return Err(ImageError::new(
            ImageErrorKind::Geometry,
            format!(
                "a picture of {} × {} pixels cannot have {} bytes",
                picture.width,
                picture.height,
                picture.pixels.len()
            ),
        ));
    }
    check_size(picture.width, picture.height)?;
    let [crop_width, crop_height] = how.crop;
    let (width, height) = resized_size(picture, how.resize);
    check_crop(how.crop, width, height)?;
    let columns = Taps::new(picture.width, width, crop_width);
    let rows = Taps::new(picture.height, height, crop_height);
    let pixels = resample(picture, &columns, &rows);
    Ok(Rgb { width: crop_width, height: crop_height, pixels })
}

/// Width and height after the resize, before the crop.
fn resized_size(picture: &Rgb, resize: Resize) -> (u64, u64) {
    let (width, height) = (u64::from(picture.width), u64::from(picture.height));
    match resize {
        Resize::Stretch(width, height) => (u64::from(width), u64::from(height)),
        Resize::Shorter(n) if width <= height => (n.into(), u64::from(n) * height / width),
        Resize::Shorter(n) => (u64::from(n) * width / height, n.into()),
    }
}

fn check_crop(crop: [u32; 2], width: u64, height: u64) -> Result<(), ImageError> {
    let [crop_width, crop_height] = crop;
    let complain = |kind, rule: &str| {
        let sizes = format!("crop {crop_width} × {crop_height} of {width} × {height} pixels");
        Err(ImageError::new(kind, format!("{sizes}: {rule}")))
    };
    if [width, height, crop_width.into(), crop_height.into()].contains(&0) {
        return complain(ImageErrorKind::Geometry, "every size must be at least 1");
    }
    if crop_width.max(crop_height) > MAX_CROP_SIDE {
        return complain(ImageErrorKind::TooLarge, "a crop may have 4096 pixels a side");
    }
    if u64::from(crop_width) > width || u64::from(crop_height) > height {
        return complain(
            ImageErrorKind::Geometry,
            "the crop is larger than the resized picture; resize to at least the crop",
        );
    }
    Ok(())
}

/// torchvision's `int(round((length - crop) / 2.0))`; Python rounds halves to even.
fn crop_offset(length: u64, crop: u32) -> u64 {
    let margin = length - u64::from(crop);
    let down = margin / 2;
    down + (margin & 1 & (down & 1))
}

/// What each pixel of one output axis is made of.
struct Taps {
    outputs: Vec<Tap>,
    weights: Vec<i32>,
}

/// `count` source pixels from `first` on, with the weights from `at` on.
struct Tap {
    first: usize,
    at: usize,
    count: usize,
}

impl Taps {
    /// The centre `crop` pixels of an axis that is resized from `from` to `to` pixels.
    ///
    /// Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc`, operation by operation: IEEE fixes
    /// each result, so the weights are the same on every machine.
    fn new(from: u32, to: u64, crop: u32) -> Taps {
        let scale = f64::from(from) / to as f64;
        // The triangle reaches `support` source pixels to either side; never less than one.
        let support = if scale < 1.0 { 1.0 } else { scale };
        let narrowing = 1.0 / support;
        let offset = crop_offset(to, crop);
        let mut taps = Taps { outputs: Vec::with_capacity(crop as usize), weights: Vec::new() };
        let mut triangle = Vec::new();
        for x in offset..offset + u64::from(crop) {
            let center = (x as f64 + 0.5) * scale;
            // A cast truncates towards zero and saturates, so negative ends become 0.
            let first = (center - support + 0.5) as u32;
            let end = ((center + support + 0.5) as u32).min(from);
            triangle.clear();
            triangle.extend((first..end).map(|source| {
                let distance = (f64::from(source) - center + 0.5) * narrowing;
                (1.0 - distance.abs()).max(0.0)
            }));
            taps.push(first as usize, &triangle);
        }
        taps
    }

    fn push(&mut self, first: usize, triangle: &[f64]) {
        let sum = triangle.iter().fold(0.0, |sum, weight| sum + weight);
        let at = self.weights.len();
        let one = f64::from(1 << FRACTION_BITS);
        self.weights.extend(triangle.iter().map(|weight| {
            let share = if sum == 0.0 { *weight } else { weight / sum };
            (0.5 + share * one) as i32
        }));
        // A weight of zero adds nothing; dropping those at the end makes an unchanged axis a copy.
        while self.weights.len() > at + 1 && self.weights.last() == Some(&0) {
            self.weights.pop();
        }
        self.outputs.push(Tap { first, at, count: self.weights.len() - at });
    }

    fn weights(&self, tap: &Tap) -> &[i32] {
        &self.weights[tap.at..tap.at + tap.count]
    }
}

/// Filters rows, then columns. Source rows are filtered when the first output row needs them and
/// kept in a ring for as long as one does.
fn resample(picture: &Rgb, columns: &Taps, rows: &Taps) -> Vec<u8> {
    let source_stride = picture.width as usize * 3;
    let stride = columns.outputs.len() * 3;
    let capacity = rows.outputs.iter().map(|tap| tap.count).max().unwrap_or(0);
    let mut ring = vec![0; capacity * stride];
    let mut pixels = Vec::with_capacity(rows.outputs.len() * stride);
    let mut sums = vec![0; stride];
    let mut next = 0;
    for tap in &rows.outputs {
        for y in tap.first.max(next)..tap.first + tap.count {
            let source = &picture.pixels[y * source_stride..][..source_stride];
            filter_row(source, columns, &mut ring[y % capacity * stride..][..stride]);
        }
        next = next.max(tap.first + tap.count);
        sums.fill(HALF);
        for (y, &weight) in (tap.first..).zip(rows.weights(tap)) {
            let row = &ring[y % capacity * stride..][..stride];
            for (sum, &sample) in sums.iter_mut().zip(row) {
                *sum += weight * i32::from(sample);
            }
        }
        pixels.extend(sums.iter().map(|&sum| to_sample(sum)));
    }
    pixels
}

/// One half in fixed point: sums start from it, so that dropping the fraction rounds.
const HALF: i32 = 1 << (FRACTION_BITS - 1);

fn filter_row(source: &[u8], columns: &Taps, out: &mut [u8]) {
    for (tap, out) in columns.outputs.iter().zip(out.chunks_exact_mut(3)) {
        let mut sums = [HALF; 3];
        let pixels = source[tap.first * 3..].chunks_exact(3);
        for (pixel, &weight) in pixels.zip(columns.weights(tap)) {
            sums[0] += weight * i32::from(pixel[0]);
            sums[1] += weight * i32::from(pixel[1]);
            sums[2] += weight * i32::from(pixel[2]);
        }
        for (sample, sum) in out.iter_mut().zip(sums) {
            *sample = to_sample(sum);
        }
    }
}

fn to_sample(sum: i32) -> u8 {
    (sum >> FRACTION_BITS).clamp(0, 255) as u8
}
