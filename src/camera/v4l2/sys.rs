//! The kernel's side of V4L2: structures, ioctls and mapped buffers.
//!
//! The only unsafe code of the camera. Structures are laid out as `linux/videodev2.h` has them; a union is written as
//! its largest member in plain integers. The number of an ioctl holds the size of its structure, so each number is
//! made from the type that goes with it and from nothing else.

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::NonNull;

/// `V4L2_BUF_TYPE_VIDEO_CAPTURE`
pub const CAPTURE: u32 = 1;
/// `V4L2_MEMORY_MMAP`
pub const MMAP: u32 = 1;

pub const CAP_VIDEO_CAPTURE: u32 = 0x1;
pub const CAP_VIDEO_CAPTURE_MPLANE: u32 = 0x1000;
pub const CAP_STREAMING: u32 = 0x0400_0000;
pub const CAP_DEVICE_CAPS: u32 = 0x8000_0000;
/// Of [`CaptureParm::capability`]: the frame rate can be set.
pub const CAP_TIMEPERFRAME: u32 = 0x1000;

pub const BUF_FLAG_ERROR: u32 = 0x40;

/// `V4L2_FIELD_NONE`: whole frames, not every other line.
pub const FIELD_NONE: u32 = 1;
/// `V4L2_FIELD_INTERLACED` and its two orders: whole frames of two half pictures.
pub const FIELDS_INTERLACED: [u32; 3] = [4, 8, 9];

pub const CTRL_FLAG_DISABLED: u32 = 0x1;
pub const CTRL_FLAG_READ_ONLY: u32 = 0x4;
pub const CTRL_FLAG_INACTIVE: u32 = 0x10;
pub const CTRL_FLAG_WRITE_ONLY: u32 = 0x40;
pub const CTRL_FLAG_NEXT_CTRL: u32 = 0x8000_0000;

/// `struct v4l2_capability`
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Capability {
    pub driver: [u8; 16],
    pub card: [u8; 32],
    pub bus_info: [u8; 32],
    pub version: u32,
    pub capabilities: u32,
    pub device_caps: u32,
    pub reserved: [u32; 3],
}

/// `struct v4l2_fmtdesc`
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct FmtDesc {
    pub index: u32,
    pub kind: u32,
    pub flags: u32,
    pub description: [u8; 32],
    pub pixelformat: u32,
    pub mbus_code: u32,
    pub reserved: [u32; 3],
}

/// `struct v4l2_pix_format`
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct PixFormat {
    pub width: u32,
    pub height: u32,
    pub pixelformat: u32,
    pub field: u32,
    pub bytesperline: u32,
    pub sizeimage: u32,
    pub colorspace: u32,
    pub private: u32,
    pub flags: u32,
    pub ycbcr_enc: u32,
    pub quantization: u32,
    pub xfer_func: u32,
}

/// Members of the kernel's union hold pointers, so it starts at their alignment.
const FORMAT_PAD: usize = size_of::<usize>() / 4 - 1;

/// `struct v4l2_format` with `fmt.pix`; the union has 200 bytes.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Format {
    pub kind: u32,
    pub pad: [u32; FORMAT_PAD],
    pub pix: PixFormat,
    pub rest: [[u32; 19]; 2],
}

/// `struct v4l2_fract`
#[repr(C)]
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Fract {
    pub numerator: u32,
    pub denominator: u32,
}

/// `struct v4l2_captureparm`
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct CaptureParm {
    pub capability: u32,
    pub capturemode: u32,
    pub timeperframe: Fract,
    pub extendedmode: u32,
    pub readbuffers: u32,
    pub reserved: [u32; 4],
}

/// `struct v4l2_streamparm` with `parm.capture`; the union has 200 bytes.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct StreamParm {
    pub kind: u32,
    pub capture: CaptureParm,
    pub rest: [[u32; 20]; 2],
}

/// `struct v4l2_frmsizeenum`
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct FrameSize {
    pub index: u32,
    pub pixel_format: u32,
    /// 1 discrete, 2 continuous, 3 stepwise.
    pub kind: u32,
    /// Discrete: width, height. Else: least, most and step of the width, then of the height.
    pub values: [u32; 6],
    pub reserved: [u32; 2],
}

/// `struct v4l2_frmivalenum`
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct FrameInterval {
    pub index: u32,
    pub pixel_format: u32,
    pub width: u32,
    pub height: u32,
    /// 1 discrete, 2 continuous, 3 stepwise.
    pub kind: u32,
    /// Discrete: the one at 0. Else: least, most and step.
    pub values: [Fract; 3],
    pub reserved: [u32; 2],
}

/// `struct v4l2_requestbuffers`
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct RequestBuffers {
    pub count: u32,
    pub kind: u32,
    pub memory: u32,
    pub capabilities: u32,
    pub flags: u32,
}

/// `struct v4l2_timecode`
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Timecode {
    kind: u32,
    flags: u32,
    rest: [u8; 8],
}

/// `union m` of [`Buffer`].
#[repr(C)]
#[derive(Clone, Copy)]
union Place {
    offset: u32,
    pointer: usize,
}

/// `struct v4l2_buffer`; its time is as long as this C library's, and so is the number of the ioctl.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Buffer {
    pub index: u32,
    pub kind: u32,
    pub bytesused: u32,
    pub flags: u32,
    pub field: u32,
    pub timestamp: libc::timeval,
    timecode: Timecode,
    pub sequence: u32,
    pub memory: u32,
    place: Place,
    pub length: u32,
    reserved2: u32,
    request_fd: i32,
}

impl Buffer {
    /// Names a mapped buffer of a capture queue.
    pub fn mapped(index: u32) -> Buffer {
        Buffer {
            index,
            kind: CAPTURE,
            bytesused: 0,
            flags: 0,
            field: 0,
            timestamp: libc::timeval { tv_sec: 0, tv_usec: 0 },
            timecode: Timecode::default(),
            sequence: 0,
            memory: MMAP,
            place: Place { pointer: 0 },
            length: 0,
            reserved2: 0,
            request_fd: 0,
        }
    }

    /// Where the device's memory has this buffer, after [`QUERYBUF`].
    fn offset(&self) -> u32 {
        // SAFETY: every bit pattern of every member of the union is an integer.
        unsafe { self.place.offset }
    }
}

/// `struct v4l2_query_ext_ctrl`
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct QueryControl {
    pub id: u32,
    pub kind: u32,
    pub name: [u8; 32],
    pub minimum: i64,
    pub maximum: i64,
    pub step: u64,
    pub default: i64,
    pub flags: u32,
    pub elem_size: u32,
    pub elems: u32,
    pub nr_of_dims: u32,
    pub dims: [u32; 4],
    pub reserved: [u32; 32],
}

/// `struct v4l2_querymenu`, which is packed; so it is here, having no padding to lose.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct QueryMenu {
    pub id: u32,
    pub index: u32,
    /// A text, or an `i64` in its first bytes.
    pub name: [u8; 32],
    pub reserved: u32,
}

/// `struct v4l2_control`
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Control {
    pub id: u32,
    pub value: i32,
}

/// An ioctl together with the type of its argument.
pub struct Request<T> {
    number: libc::Ioctl,
    argument: PhantomData<T>,
}

impl<T> Request<T> {
    /// `direction`: 1 the kernel reads the argument, 2 it writes it, 3 both.
    const fn new(direction: u32, index: u32) -> Request<T> {
        let size = size_of::<T>() as u32;
        let number = direction << 30 | size << 16 | (b'V' as u32) << 8 | index;
        Request { number: number as libc::Ioctl, argument: PhantomData }
    }
}

pub const QUERYCAP: Request<Capability> = Request::new(2, 0);
pub const ENUM_FMT: Request<FmtDesc> = Request::new(3, 2);
pub const S_FMT: Request<Format> = Request::new(3, 5);
pub const REQBUFS: Request<RequestBuffers> = Request::new(3, 8);
pub const QUERYBUF: Request<Buffer> = Request::new(3, 9);
pub const QBUF: Request<Buffer> = Request::new(3, 15);
pub const DQBUF: Request<Buffer> = Request::new(3, 17);
pub const STREAMON: Request<i32> = Request::new(1, 18);
pub const G_PARM: Request<StreamParm> = Request::new(3, 21);
pub const S_PARM: Request<StreamParm> = Request::new(3, 22);
pub const G_CTRL: Request<Control> = Request::new(3, 27);
pub const S_CTRL: Request<Control> = Request::new(3, 28);
pub const QUERYMENU: Request<QueryMenu> = Request::new(3, 37);
pub const ENUM_FRAMESIZES: Request<FrameSize> = Request::new(3, 74);
pub const ENUM_FRAMEINTERVALS: Request<FrameInterval> = Request::new(3, 75);
pub const QUERY_EXT_CTRL: Request<QueryControl> = Request::new(3, 103);

/// Makes the call, again when a signal came between.
pub fn call<T>(device: BorrowedFd<'_>, request: &Request<T>, argument: &mut T) -> io::Result<()> {
    loop {
        // SAFETY: the descriptor is open while it is borrowed. The kernel reads and writes as many bytes as the number
        // says, which are those of `T`; each `T` above is integers without pointers that the kernel would follow (a
        // buffer of a single-planar queue with mapped memory has none).
        let done = unsafe {
            libc::ioctl(device.as_raw_fd(), request.number, std::ptr::from_mut(argument))
        };
        if done >= 0 {
            return Ok(());
        }
        let e = io::Error::last_os_error();
        if e.kind() != io::ErrorKind::Interrupted {
            return Err(e);
        }
    }
}

/// A buffer of the device, mapped for reading.
pub struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread, and is only read.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps buffer `index` of `device`.
    pub fn new(device: &File, index: u32) -> io::Result<Mapping> {
        let mut buffer = Buffer::mapped(index);
        call(device.as_fd(), &QUERYBUF, &mut buffer)?;
        let length = buffer.length as usize;
        let offset = libc::off64_t::from(buffer.offset());
        // SAFETY: the kernel chooses a free address, so no memory of ours is replaced; a length of 0 is an error.
        let start = unsafe {
            libc::mmap64(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ,
                libc::MAP_SHARED,
                device.as_raw_fd(),
                offset,
            )
        };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => {
                Ok(Mapping { start, length })
            }
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Copies the first `used` bytes, or as many as there are. The buffer must have been taken from the driver
    /// (dequeued): a driver that writes to it all the same spoils the picture, not the program.
    pub fn copy(&self, used: usize) -> Vec<u8> {
        let count = used.min(self.length);
        let mut bytes = Vec::with_capacity(count);
        // SAFETY: `count` bytes lie in the mapping, which lives as long as `self`, and in the vector's capacity; the
        // vector is new, so the two do not overlap. All `count` bytes are written before the length says so.
        unsafe {
            std::ptr::copy_nonoverlapping(self.start.as_ptr(), bytes.as_mut_ptr(), count);
            bytes.set_len(count);
        }
        bytes
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what `new` mapped, and nothing borrows from it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes of the kernel's structures, from a C program on the kernel's own header.
    #[test]
    fn structures_have_the_kernels_sizes() {
        let wide = size_of::<usize>() == 8;
        assert_eq!(size_of::<Capability>(), 104);
        assert_eq!(size_of::<FmtDesc>(), 64);
        assert_eq!(size_of::<PixFormat>(), 48);
        assert_eq!(size_of::<Format>(), if wide { 208 } else { 204 });
        assert_eq!(size_of::<StreamParm>(), 204);
        assert_eq!(size_of::<FrameSize>(), 44);
        assert_eq!(size_of::<FrameInterval>(), 52);
        assert_eq!(size_of::<RequestBuffers>(), 20);
        assert_eq!(size_of::<QueryControl>(), 232);
        assert_eq!(size_of::<QueryMenu>(), 44);
        assert_eq!(size_of::<Control>(), 8);
        let short_time = size_of::<libc::timeval>() == 8;
        let narrow = if short_time { 68 } else { 80 };
        assert_eq!(size_of::<Buffer>(), if wide { 88 } else { narrow });
    }

    #[test]
    fn numbers_are_those_of_the_kernels_header() {
        assert_eq!(QUERYCAP.number as u32, 0x8068_5600);
        assert_eq!(ENUM_FMT.number as u32, 0xc040_5602);
        assert_eq!(REQBUFS.number as u32, 0xc014_5608);
        assert_eq!(STREAMON.number as u32, 0x4004_5612);
        assert_eq!(S_CTRL.number as u32, 0xc008_561c);
        assert_eq!(ENUM_FRAMESIZES.number as u32, 0xc02c_564a);
        assert_eq!(QUERY_EXT_CTRL.number as u32, 0xc0e8_5667);
        if size_of::<usize>() == 8 {
            assert_eq!(S_FMT.number as u32, 0xc0d0_5605);
            assert_eq!(DQBUF.number as u32, 0xc058_5611);
        }
    }
}
