//! Shapes of maps and of the windows that slide over them.

use super::error::KernelError;

/// Extent of one NHWC map of one image. It holds `height · width · channels` values, channels innermost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Map {
    /// Rows.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// Values in a pixel.
    pub channels: usize,
}

impl Map {
    /// Values in the map.
    pub fn len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Whether the map holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Values in one row.
    pub fn row_len(&self) -> usize {
        self.width * self.channels
    }
}

/// A sliding window, in the terms of ONNX's `Conv` and `MaxPool`; each pair is `[vertical, horizontal]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Height and width.
    pub kernel: [usize; 2],
    /// Distance between neighbouring windows.
    pub stride: [usize; 2],
    /// Distance between neighbouring taps of one window.
    pub dilation: [usize; 2],
    /// Top, left, bottom, right, as in ONNX's `pads`.
    pub pad: [usize; 4],
}

impl Window {
    /// A square window with equal padding on all sides.
    pub fn square(kernel: usize, stride: usize, pad: usize) -> Window {
        Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], pad: [pad; 4] }
    }

    /// Largest entry of a window that is taken for one.
    const MOST: usize = 4096;

    /// Height and width of what the window leaves of `input`; an error when no window fits.
    pub fn output(&self, input: Map) -> Result<[usize; 2], KernelError> {
        bounded_len("input values", &[input.height, input.width, input.channels])?;
        let pairs = [self.kernel, self.stride, self.dilation];
        if let Some(n) = pairs.iter().flatten().chain(&self.pad).find(|&&n| n > Self::MOST) {
            let message = format!("a kernel, stride, dilation or padding of {n} is not supported");
            return Err(KernelError::shape(message));
        }
        if pairs.iter().flatten().any(|&n| n == 0) {
            return Err(KernelError::shape(format!(
                "kernel {:?}, stride {:?} and dilation {:?} must not be 0",
                self.kernel, self.stride, self.dilation
            )));
        }
        let padded = [
            input.height + self.pad[0] + self.pad[2], // top and bottom
            input.width + self.pad[1] + self.pad[3],
        ];
        let mut out = [0; 2];
        for axis in 0..2 {
            let span = self.span(axis);
            if input.is_empty() || padded[axis] < span {
                return Err(KernelError::shape(format!(
                    "a window of {span} does not fit into {} padded rows or columns of a {}x{}x{} map",
                    padded[axis], input.height, input.width, input.channels
                )));
            }
            out[axis] = (padded[axis] - span) / self.stride[axis] + 1;
        }
        Ok(out)
    }

    /// Rows (axis 0) or columns (axis 1) from the first to the last tap of one window.
    pub(super) fn span(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }
}

/// The product of `extents`, a number of values that every computation with sizes can hold.
pub(super) fn bounded_len(what: &str, extents: &[usize]) -> Result<usize, KernelError> {
    const MOST: usize = 1 << 30;
    extents
        .iter()
        .try_fold(1usize, |len, &n| len.checked_mul(n))
        .filter(|&len| len <= MOST)
        .ok_or_else(|| KernelError::shape(format!("{extents:?} {what} are more than {MOST}")))
}
