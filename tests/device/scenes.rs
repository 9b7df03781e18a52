//! Pictures that the tiny model calls normal, and others that it does not.

use std::path::Path;
use std::sync::OnceLock;

use jpeg_encoder::{ColorType, Encoder};
use oddsight::image::{Rgb, decode};
use oddsight::model::self_test::picture;
use oddsight::model::store::{MANIFEST_FILE, Manifest};
use oddsight::model::{BACKBONE_FILE, HEADS_FILE, HeadsBlob, Model};

use crate::directory;
use crate::tiny::{self, Tail};

/// Width and height of all frames.
pub const SIZE: [u32; 2] = [32, 24];

pub struct Scenes {
    onnx: Vec<u8>,
    blob: HeadsBlob,
    /// JPEG files, the least unusual first.
    pub normal: Vec<Vec<u8>>,
    pub unusual: Vec<Vec<u8>>,
}

/// Half of the calibration lies between the two, so no p-value is near a threshold: a normal frame has 0.5 or more, an
/// unusual one the smallest that there is.
pub fn scenes() -> &'static Scenes {
    static SCENES: OnceLock<Scenes> = OnceLock::new();
    SCENES.get_or_init(|| {
        let onnx = tiny::onnx(Tail::Legacy);
        let mut blob = directory::blob(&onnx, &directory::heads());
        let backbone = oddsight::backbone::Backbone::from_bytes(&onnx, "tiny.onnx", None).unwrap();
        let model = Model::assemble(backbone, blob.clone(), Path::new("test")).unwrap();
        let mut scorer = model.scorer().unwrap();
        let mut files: Vec<(i64, Vec<u8>)> = (100..148)
            .map(|seed| {
                let file = jpeg(&picture(seed, SIZE));
                let verdict = scorer.score(&decode(&file).unwrap()).unwrap();
                (verdict.energy_q16, file)
            })
            .collect();
        files.sort();
        let (least, last, first) = (files[0].0, files[7].0, files[40].0);
        assert!(first - last > 1000, "the pictures are too alike: {last} and {first}");
        blob.calibration_q16 = [vec![least; 100], vec![(last + first) / 2; 100]].concat();
        let mut files = files.into_iter().map(|(_, file)| file);
        let normal = files.by_ref().take(8).collect();
        Scenes { onnx, blob, normal, unusual: files.skip(32).collect() }
    })
}

/// The picture as a JPEG file.
pub fn jpeg(picture: &Rgb) -> Vec<u8> {
    let mut file = Vec::new();
    let (width, height) = (picture.width as u16, picture.height as u16);
    Encoder::new(&mut file, 95).encode(&picture.pixels, width, height, ColorType::Rgb).unwrap();
    file
}

/// A picture of one grey.
pub fn grey(size: [u32; 2], level: u8) -> Vec<u8> {
    let pixels = vec![level; (size[0] * size[1] * 3) as usize];
    jpeg(&Rgb { width: size[0], height: size[1], pixels })
}

/// Which frames a model calls unusual.
#[derive(Clone, Copy, PartialEq)]
pub enum Taste {
    /// Those that are.
    Good,
    /// None.
    Blind,
    /// It does not pass its self-test.
    Broken,
    /// Its calibration has 19 frames, which carries an alpha of 0.05 and no smaller one.
    Coarse,
}

/// Writes a model directory of this version.
pub fn write_model(dir: &Path, version: u64, taste: Taste) {
    let scenes = scenes();
    let mut blob = scenes.blob.clone();
    match taste {
        Taste::Good => {}
        Taste::Blind => blob.calibration_q16 = vec![i64::MAX / 4; 200],
        Taste::Broken => blob.self_test.frames[0].energy_q16 += 1,
        Taste::Coarse => {
            blob.calibration_q16 = blob.calibration_q16[91..110].to_vec();
        }
    }
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join(BACKBONE_FILE), &scenes.onnx).unwrap();
    std::fs::write(dir.join(HEADS_FILE), blob.to_bytes()).unwrap();
    let manifest = serde_json::to_string(&Manifest::of(dir, version).unwrap()).unwrap();
    std::fs::write(dir.join(MANIFEST_FILE), manifest).unwrap();
}
