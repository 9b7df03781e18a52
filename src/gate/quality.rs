//! Whether a frame shows anything. One that does not is a fault of the camera, never an anomaly.

use super::Look;
use crate::event::FaultKind;
use crate::image::{ImageError, ImageErrorKind, Rgb};

/// Section `[quality]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QualitySettings {
    /// So many frames in a row that are the same to the last bit are a frozen camera; 0 looks for none.
    pub frozen_frames: u32,
    /// A frame of which 99 % of the pixels are darker than this luma is black; 0 looks for none.
    pub black: u8,
    /// A frame of which 99 % of the pixels are brighter than this luma is saturated; 255 looks for none.
    pub saturated: u8,
    /// So many faulty frames in a row start a `camera_fault` …
    pub bad_frames: u32,
    /// … and so many good ones in a row end it.
    pub good_frames: u32,
}

impl Default for QualitySettings {
    fn default() -> QualitySettings {
        QualitySettings {
            frozen_frames: 50,
            black: 16,
            saturated: 250,
            bad_frames: 3,
            good_frames: 3,
        }
    }
}

/// Judges frames one after the other.
#[derive(Clone, Debug)]
pub struct Quality {
    settings: QualitySettings,
    size: Option<(u32, u32)>,
    /// The size of the last frames and how many had it, while it is not known which size is the right one.
    found: Option<Found>,
    /// CRC-32 of the last frame's pixels.
    last_crc: Option<u32>,
    /// Frames in a row, the last one included, that are the same.
    same: u32,
}

/// So many frames in a row of one size say what the camera's size is: one frame alone may be damaged.
const ONE_SIZE: u32 = 3;

#[derive(Clone, Copy, Debug)]
struct Found {
    size: (u32, u32),
    frames: u32,
}

impl Quality {
    /// `size` is the width and height that the camera promised, if it promised any.
    pub fn new(settings: &QualitySettings, size: Option<(u32, u32)>) -> Quality {
        Quality { settings: settings.clone(), size, found: None, last_crc: None, same: 0 }
    }

    /// From now on frames must have one size: that of the first ones, if none was promised.
    pub fn of_one_size(mut self) -> Quality {
        self.found = Some(Found { size: (0, 0), frames: 0 });
        self
    }

    /// Judges the next frame; `look` is of the same picture.
    ///
    /// # Errors
    ///
    /// What is wrong with the frame, and the same for people: the first that holds of wrong size, black, saturated,
    /// frozen.
    pub fn check(&mut self, picture: &Rgb, look: &Look) -> Result<(), (FaultKind, String)> {
        self.count_same(picture);
        let QualitySettings { frozen_frames, black, saturated, .. } = self.settings;
        let (width, height) = (picture.width, picture.height);
        self.learn_size((width, height));
        if let Some((w, h)) = self.size
            && (width, height) != (w, h)
        {
            let why = format!("a frame of {width}x{height} pixels, but the camera's are {w}x{h}");
            return Err((FaultKind::WrongSize, why));
        }
        let nearly_all = |count: u64| look.pixels() > 0 && count * 100 >= look.pixels() * 99;
        if nearly_all(look.below(black)) {
            let why =
                format!("99 % of the pixels are darker than {black}: lens covered, or no light");
            return Err((FaultKind::Black, why));
        }
        if nearly_all(look.above(saturated)) {
            let why =
                format!("99 % of the pixels are brighter than {saturated}: light into the lens");
            return Err((FaultKind::Saturated, why));
        }
        if frozen_frames > 0 && self.same >= frozen_frames.max(2) {
            let why = format!(
                "{} frames in a row are the same to the last bit: the camera hangs",
                self.same
            );
            return Err((FaultKind::Frozen, why));
        }
        Ok(())
    }

    fn learn_size(&mut self, size: (u32, u32)) {
        let Some(found) = self.found.as_mut().filter(|_| self.size.is_none()) else { return };
        let frames = if found.size == size { found.frames + 1 } else { 1 };
        *found = Found { size, frames };
        if frames >= ONE_SIZE {
            self.size = Some(size);
        }
    }

    /// Pixels are compared, not bytes of the file: a camera that hangs may still write a new time into each header.
    fn count_same(&mut self, picture: &Rgb) {
        if self.settings.frozen_frames == 0 {
            return;
        }
        let crc = crc32fast::hash(&picture.pixels);
        self.same = if self.last_crc == Some(crc) { self.same.saturating_add(1) } else { 1 };
        self.last_crc = Some(crc);
    }

    /// Forgets the last frames: the camera was opened anew, with a size that may be another.
    pub fn reopened(&mut self, size: Option<(u32, u32)>) {
        let found = self.found.map(|_| Found { size: (0, 0), frames: 0 });
        *self = Quality { found, ..Quality::new(&self.settings, size) };
    }
}

/// The fault of a frame that could not be decoded.
pub fn fault_kind(error: &ImageError) -> FaultKind {
    match error.kind() {
        ImageErrorKind::Empty | ImageErrorKind::Truncated => FaultKind::Truncated,
        ImageErrorKind::Geometry => FaultKind::WrongSize,
        ImageErrorKind::UnknownFormat
        | ImageErrorKind::Malformed
        | ImageErrorKind::TooLarge
        | ImageErrorKind::Unsupported => FaultKind::Undecodable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image;

    /// Ten by ten pixels of one level, but for the first `others`, which have another.
    fn picture(level: u8, others: usize, other: u8) -> Rgb {
        let mut pixels = vec![level; 300];
        pixels[..others * 3].fill(other);
        Rgb { width: 10, height: 10, pixels }
    }

    fn judge(quality: &mut Quality, picture: &Rgb) -> Result<(), FaultKind> {
        quality.check(picture, &Look::at(picture)).map_err(|(kind, _)| kind)
    }

    #[test]
    fn ninety_nine_percent_decide() {
        let mut quality = Quality::new(&QualitySettings::default(), None);
        for (picture, fault) in [
            (picture(15, 1, 100), Some(FaultKind::Black)),
            (picture(15, 2, 100), None),
            (picture(16, 0, 0), None),
            (picture(251, 1, 100), Some(FaultKind::Saturated)),
            (picture(251, 2, 100), None),
            (picture(250, 0, 0), None),
        ] {
            assert_eq!(judge(&mut quality, &picture).err(), fault);
        }
        let off = QualitySettings { black: 0, saturated: 255, ..QualitySettings::default() };
        let mut quality = Quality::new(&off, None);
        assert_eq!(judge(&mut quality, &picture(0, 0, 0)), Ok(()));
        assert_eq!(judge(&mut quality, &picture(255, 0, 0)), Ok(()));
    }

    #[test]
    fn the_same_picture_again_and_again_is_frozen_until_it_changes() {
        let settings = QualitySettings { frozen_frames: 4, ..QualitySettings::default() };
        let mut quality = Quality::new(&settings, None);
        let faults: Vec<bool> = [1, 1, 1, 2, 2, 2, 2, 2, 3, 2]
            .map(|other| judge(&mut quality, &picture(100, other, 50)).is_err())
            .into();
        let frozen = [false, false, false, false, false, false, true, true, false, false];
        assert_eq!(faults, frozen);
        quality.reopened(None);
        assert!((0..3).all(|_| judge(&mut quality, &picture(100, 2, 50)).is_ok()));
        assert_eq!(judge(&mut quality, &picture(100, 2, 50)), Err(FaultKind::Frozen));
    }

    #[test]
    fn frozen_frames_of_nothing_looks_for_none() {
        let settings = QualitySettings { frozen_frames: 0, ..QualitySettings::default() };
        let mut quality = Quality::new(&settings, None);
        assert!((0..1000).all(|_| judge(&mut quality, &picture(100, 0, 0)).is_ok()));
    }

    #[test]
    fn another_size_than_promised_is_a_fault() {
        let mut quality = Quality::new(&QualitySettings::default(), Some((10, 11)));
        let fault = judge(&mut quality, &picture(100, 0, 0));
        assert_eq!(fault, Err(FaultKind::WrongSize));
    }

    #[test]
    fn the_first_frames_say_which_size_is_the_right_one() {
        let small = Rgb { width: 5, height: 5, pixels: vec![100; 75] };
        let mut quality = Quality::new(&QualitySettings::default(), None);
        let mixed = [small.clone(), picture(100, 0, 0)];
        assert!((0..20).all(|i| judge(&mut quality, &mixed[i % 2]).is_ok()), "any size will do");
        let mut quality = quality.of_one_size();
        // A damaged frame at the start does not decide.
        for _ in 0..2 {
            assert_eq!(judge(&mut quality, &small), Ok(()));
            assert!((0..3).all(|level| judge(&mut quality, &picture(100 + level, 0, 0)).is_ok()));
            assert_eq!(judge(&mut quality, &small), Err(FaultKind::WrongSize));
            assert_eq!(judge(&mut quality, &picture(100, 0, 0)), Ok(()));
            quality.reopened(None);
        }
    }

    #[test]
    fn a_file_that_is_no_picture_is_a_fault_of_its_kind() {
        let whole = image::encode_png(&picture(100, 5, 7));
        let kind = |bytes: &[u8]| fault_kind(&image::decode(bytes).unwrap_err());
        assert_eq!(kind(&whole[..whole.len() / 2]), FaultKind::Truncated);
        assert_eq!(kind(&[]), FaultKind::Truncated);
        assert_eq!(kind(b"GIF89a, which is no picture here"), FaultKind::Undecodable);
    }
}
