//! The markers of a JPEG file (ITU-T T.81, annex B).

use super::frame::Frame;
use super::huffman::{Bits, Fault, Tables};
use super::scan::Scan;
use crate::image::ImageError;

/// What a complete JPEG file says of itself.
pub(super) struct Survey<'a> {
    pub width: u32,
    pub height: u32,
    /// Length of the file up to and including its end marker.
    pub end: usize,
    /// The TIFF structure of the first EXIF segment.
    pub exif: Option<&'a [u8]>,
    /// The file leaves Huffman tables out and relies on the standard ones, as motion-JPEG does.
    pub lacks_tables: bool,
}

/// Most scans of a file; progressive encoders write about ten.
const MAX_SCANS: u32 = 64;

/// Some webcams leave a stray byte between two segments; `zune-jpeg` bears with two.
const MAX_STRAY_BYTES: usize = 2;

/// Reads a whole JPEG file, from its two-byte start marker to its end marker.
pub(super) fn survey(bytes: &[u8]) -> Result<Survey<'_>, ImageError> {
    let mut walk = Walk {
        bytes,
        at: 2,
        frame: None,
        tables: Tables::default(),
        restart_interval: 0,
        scans: 0,
        exif: None,
        lacks_tables: false,
    };
    loop {
        let start = walk.at;
        match walk.marker()? {
            0xc0 | 0xc1 => walk.frame(false)?,
            0xc2 => walk.frame(true)?,
            0xc4 => walk.huffman_tables()?,
            0xc3 | 0xc5..=0xcf => {
                return Err(ImageError::unsupported("lossless, hierarchical or arithmetic JPEG"));
            }
            // Some encoders close the last restart interval with a marker as well.
            0xd0..=0xd7 if walk.scans > 0 => {}
            0xd9 => return walk.finish(),
            0xda => walk.scan()?,
            0xdc => return Err(ImageError::unsupported("a JPEG that gives its height last")),
            0xdd => walk.restart_interval()?,
            0xe1 => walk.application_1()?,
            0xdb | 0xe0..=0xef | 0xfe => {
                walk.segment()?;
            }
            code => {
                return Err(ImageError::malformed(format_args!(
                    "JPEG marker ff {code:02x} at byte {start} has no place there"
                )));
            }
        }
    }
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    frame: Option<Frame>,
    tables: Tables,
    /// Minimum coded units between two restart markers; 0 for none.
    restart_interval: u32,
    scans: u32,
    exif: Option<&'a [u8]>,
    lacks_tables: bool,
}

impl<'a> Walk<'a> {
    /// Moves past a marker and gives its code.
    fn marker(&mut self) -> Result<u8, ImageError> {
        let rest = &self.bytes[self.at..];
        let stray = rest.iter().take_while(|&&byte| byte != 0xff).count();
        if stray > MAX_STRAY_BYTES {
            return Err(ImageError::malformed(format_args!(
                "no JPEG marker at byte {}, where one must be",
                self.at
            )));
        }
        let rest = &rest[stray..];
        // Any number of ff bytes may precede the code.
        let fill = rest.iter().take_while(|&&byte| byte == 0xff).count();
        let &code = rest.get(fill).ok_or_else(|| self.cut())?;
        self.at += stray + fill + 1;
        Ok(code)
    }

    /// Moves past the segment that follows a marker and gives its content.
    fn segment(&mut self) -> Result<&'a [u8], ImageError> {
        let rest = &self.bytes[self.at..];
        let &[high, low] = rest.first_chunk().ok_or_else(|| self.cut())?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length < 2 {
            return Err(self.bad_segment("a length below 2"));
        }
        let content = rest.get(2..length).ok_or_else(|| self.cut())?;
        self.at += length;
        Ok(content)
    }

    fn cut(&self) -> ImageError {
        ImageError::truncated(format_args!(
            "the JPEG ends after {} bytes, before its end marker",
            self.bytes.len()
        ))
    }

    fn bad_segment(&self, what: &str) -> ImageError {
        ImageError::malformed(format_args!("JPEG segment before byte {} has {what}", self.at))
    }

    fn frame(&mut self, progressive: bool) -> Result<(), ImageError> {
        let content = self.segment()?;
        if self.frame.is_some() {
            return Err(self.bad_segment("a second frame header"));
        }
        self.frame = Some(Frame::parse(content, progressive)?);
        Ok(())
    }

    fn huffman_tables(&mut self) -> Result<(), ImageError> {
        let content = self.segment()?;
        self.tables.define(content).ok_or_else(|| self.bad_segment("an impossible Huffman table"))
    }

    fn restart_interval(&mut self) -> Result<(), ImageError> {
        let &[high, low] = self.segment()? else {
            return Err(self.bad_segment("no restart interval"));
        };
        self.restart_interval = u32::from(u16::from_be_bytes([high, low]));
        Ok(())
    }

    fn application_1(&mut self) -> Result<(), ImageError> {
        if let Some(tiff) = self.segment()?.strip_prefix(b"Exif\0\0") {
            self.exif.get_or_insert(tiff);
        }
        Ok(())
    }

    fn scan(&mut self) -> Result<(), ImageError> {
        let content = self.segment()?;
        let Some(mut frame) = self.frame.take() else {
            return Err(self.bad_segment("a scan without a frame"));
        };
        let scan = Scan::parse(content, &frame)
            .ok_or_else(|| self.bad_segment("an impossible scan header"))?;
        self.scans += 1;
        if self.scans > MAX_SCANS {
            return Err(ImageError::unsupported("a JPEG of more than 64 scans"));
        }
        if !frame.progressive && (self.scans > 1 || scan.parts.len() < frame.components.len()) {
            return Err(ImageError::unsupported("sequential JPEG of several scans"));
        }
        if scan.lacks_tables(&self.tables) {
            self.tables.add_standard();
            self.lacks_tables = true;
        }
        let mut bits = Bits::new(self.bytes, self.at);
        let outcome = scan.read(&mut bits, &self.tables, &mut frame, self.restart_interval);
        self.at = bits.position();
        self.frame = Some(frame);
        outcome.map_err(|fault| self.lost_data(fault))
    }

    fn lost_data(&self, fault: Fault) -> ImageError {
        let at = self.at;
        match fault {
            Fault::Short if at == self.bytes.len() => self.cut(),
            Fault::Short => {
                ImageError::truncated(format_args!("JPEG picture data is missing before byte {at}"))
            }
            Fault::Corrupt(what) => {
                ImageError::malformed(format_args!("JPEG picture data near byte {at} has {what}"))
            }
        }
    }

    fn finish(self) -> Result<Survey<'a>, ImageError> {
        let Some(frame) = self.frame else {
            return Err(ImageError::malformed("the JPEG has no frame header"));
        };
        if frame.components.iter().any(|component| component.lowest_bit != [0; 64]) {
            return Err(ImageError::truncated("the JPEG lacks some of its scans"));
        }
        Ok(Survey {
            width: frame.width,
            height: frame.height,
            end: self.at,
            exif: self.exif,
            lacks_tables: self.lacks_tables,
        })
    }
}
