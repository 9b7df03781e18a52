//! The frame header of a JPEG file (ITU-T T.81, A.1, A.2 and B.2.2).

use crate::image::{ImageError, check_size};

pub(super) struct Frame {
    pub width: u32,
    pub height: u32,
    pub progressive: bool,
    pub components: Vec<Component>,
    /// Minimum coded units of an interleaved scan: columns and rows.
    pub units: [u32; 2],
}

pub(super) struct Component {
    pub id: u8,
    /// Sampling factors: columns and rows of blocks in a minimum coded unit.
    pub sampling: [u32; 2],
    /// Columns and rows of blocks that hold picture: the units of a scan of this component alone.
    pub blocks: [u32; 2],
    /// The lowest bit of each coefficient that the scans so far have given; [`NOT_GIVEN`] for none.
    pub lowest_bit: [u8; 64],
    /// Of a progressive file: the coefficients that are not zero so far, one word a block, bit k
    /// for the k-th in zigzag order. Rows are [`stride`](Component::stride) blocks apart.
    pub nonzero: Vec<u64>,
    /// Blocks in a row, counting those that only fill up the last minimum coded unit.
    pub stride: usize,
}

/// Marks a coefficient that no scan has given.
pub(super) const NOT_GIVEN: u8 = u8::MAX;

impl Frame {
    /// Parses the content of a frame header segment.
    pub fn parse(content: &[u8], progressive: bool) -> Result<Frame, ImageError> {
        let bad = || ImageError::malformed("impossible JPEG frame header");
        let (&[precision, y1, y0, x1, x0, count], specs) =
            content.split_first_chunk().ok_or_else(bad)?;
        if precision != 8 {
            return Err(ImageError::unsupported(format_args!("JPEG of {precision} bits a sample")));
        }
        let width = u32::from(u16::from_be_bytes([x1, x0]));
        let height = u32::from(u16::from_be_bytes([y1, y0]));
        check_size(width, height)?;
        if ![1, 3, 4].contains(&count) {
            return Err(ImageError::unsupported(format_args!("JPEG of {count} components")));
        }
        if specs.len() != usize::from(count) * 3 {
            return Err(bad());
        }
        let mut components: Vec<Component> = Vec::new();
        for spec in specs.chunks_exact(3) {
            let sampling = [u32::from(spec[1] >> 4), u32::from(spec[1] & 15)];
            if sampling.iter().any(|factor| !(1..=4).contains(factor))
                || components.iter().any(|c| c.id == spec[0])
            {
                return Err(bad());
            }
            components.push(Component {
                id: spec[0],
                sampling,
                blocks: [0; 2],
                lowest_bit: [NOT_GIVEN; 64],
                nonzero: Vec::new(),
                stride: 0,
            });
        }
        let mut frame = Frame { width, height, progressive, components, units: [0; 2] };
        frame.lay_out()?;
        Ok(frame)
    }

    /// Counts units and blocks.
    fn lay_out(&mut self) -> Result<(), ImageError> {
        let size = [self.width, self.height];
        let first = self.components[0].sampling;
        // What the pixel decoder gets right: factors of 1, 2 and 4, the largest in the first component.
        if self
            .components
            .iter()
            .any(|c| (0..2).any(|axis| c.sampling[axis] == 3 || c.sampling[axis] > first[axis]))
        {
            return Err(ImageError::unsupported("JPEG with unusual chroma sampling"));
        }
        self.units = [0, 1].map(|axis| size[axis].div_ceil(8 * first[axis]));
        for component in &mut self.components {
            component.blocks = [0, 1]
                .map(|axis| (size[axis] * component.sampling[axis]).div_ceil(8 * first[axis]));
            let padded = [0, 1].map(|axis| (self.units[axis] * component.sampling[axis]) as usize);
            component.stride = padded[0];
            if self.progressive {
                component.nonzero = vec![0; padded[0] * padded[1]];
            }
        }
        Ok(())
    }
}
