//! A camera as a program: motion JPEG of 640×480 on standard output, at the pace of a camera.
//!
//!     mjpeg_camera FPS SECONDS LOG
//!
//! Into LOG goes a line for each frame: its number, and when its writing began, in milliseconds of the monotonic clock.

use std::fs::File;
use std::io::{Write as _, stdout};
use std::time::{Duration, Instant};

use jpeg_encoder::{ColorType, Encoder};
use oddsight::camera::synth::{SIDE, Show};
use oddsight::clock::{Clock as _, System};
use oddsight::image::Rgb;

const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;
/// Different frames; they are played again and again.
const FRAMES: u64 = 300;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [fps, seconds, log] = &arguments[..] else {
        return Err("FPS SECONDS LOG are wanted".into());
    };
    let (fps, seconds): (u64, u64) = (fps.parse()?, seconds.parse()?);
    let show = Show::new(1);
    let frames = (0..FRAMES.min(show.frames())).map(|frame| encode(&show.draw(frame)));
    let frames = frames.collect::<Result<Vec<_>, _>>()?;
    let mut log = File::create(log)?;
    let mut out = stdout().lock();
    let start = Instant::now();
    for seq in 0..fps * seconds {
        let due = Duration::from_micros(seq * 1_000_000 / fps);
        std::thread::sleep(due.saturating_sub(start.elapsed()));
        log.write_all(format!("{seq} {}\n", System.now().mono_ms).as_bytes())?;
        out.write_all(&frames[(seq % frames.len() as u64) as usize])?;
        out.flush()?;
    }
    Ok(())
}

/// The picture, four times as large, its top cut off.
fn encode(picture: &Rgb) -> Result<Vec<u8>, jpeg_encoder::EncodingError> {
    let scale = WIDTH / SIDE;
    let top = SIDE - HEIGHT / scale;
    let mut pixels = Vec::with_capacity((WIDTH * HEIGHT * 3) as usize);
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            let at = ((top + y / scale) * SIDE + x / scale) as usize * 3;
            pixels.extend_from_slice(&picture.pixels[at..at + 3]);
        }
    }
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes, 85).encode(&pixels, WIDTH as u16, HEIGHT as u16, ColorType::Rgb)?;
    Ok(bytes)
}
