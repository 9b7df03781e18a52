//! A folder to run the program in, and what it said.

use std::path::PathBuf;
use std::process::{Command, Output};

use oddsight::image::{Rgb, encode_png};
use oddsight::model::self_test::picture;

#[path = "../../../tests/support/tiny.rs"]
pub mod tiny;

use tiny::{SIDE, Tail};

pub struct Bench {
    pub dir: tempfile::TempDir,
}

impl Bench {
    /// A folder with the tiny network and `data/{dark,light}` of 60 pictures each.
    pub fn new() -> Bench {
        let bench = Bench { dir: tempfile::tempdir().unwrap() };
        std::fs::write(bench.path("tiny.onnx"), tiny::onnx(Tail::Legacy)).unwrap();
        for seed in 0..60 {
            bench.picture(&format!("data/dark/{seed:02}.png"), &tinted(seed, 1));
            bench.picture(&format!("data/light/{seed:02}.png"), &tinted(seed + 1000, 2));
        }
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn picture(&self, name: &str, picture: &Rgb) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, encode_png(picture)).unwrap();
    }

    pub fn run(&self, args: &str) -> Output {
        let program = env!("CARGO_BIN_EXE_oddsight-train");
        let args = args.split_whitespace();
        Command::new(program).current_dir(self.dir.path()).args(args).output().unwrap()
    }
}

/// A seeded picture whose levels are multiplied: the two classes differ in brightness.
pub fn tinted(seed: u64, brightness: u8) -> Rgb {
    let mut picture = picture(seed, [SIDE + (seed % 5) as u32, SIDE]);
    picture.pixels.iter_mut().for_each(|level| *level = *level / 4 * brightness);
    picture
}

pub fn success(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn failure(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(text.contains("error: ") && !text.contains("panicked"), "{text}");
    text
}
