//! 100,000 heads files that mean no good: each is refused, or scores.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use oddsight::backbone::{Backbone, Features};
use oddsight::energy::{Scores, Scratch};
use oddsight::model::self_test::picture;
use oddsight::model::{HeadsBlob, Model};
use oddsight::random::Random;

#[path = "support/directory.rs"]
mod directory;
#[path = "support/tiny.rs"]
mod tiny;

const CASES: u64 = 100_000;

/// Magic, version and length before the payload; a checksum behind it.
const HEADER: usize = 14;
const CRC: usize = 4;

/// A file of each format, and of this one with each kind of head.
fn files() -> Vec<Vec<u8>> {
    let onnx = tiny::onnx(tiny::Tail::Legacy);
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let old = ["heads-v1.postcard", "heads-v2.postcard", "heads-v3.postcard"];
    let mut files: Vec<Vec<u8>> =
        old.iter().map(|name| std::fs::read(data.join(name)).unwrap()).collect();
    let heads = [
        directory::heads(),
        directory::every_head(tiny::WIDTH),
        directory::refined_heads(tiny::WIDTH),
        directory::heads_of_format_2(tiny::WIDTH),
    ];
    files.extend(heads.iter().map(|heads| directory::blob(&onnx, heads).to_bytes()));
    files
}

/// Gives the file the length and the checksum that it should have.
fn frame(file: &mut Vec<u8>) {
    if file.len() < HEADER + CRC {
        return;
    }
    let payload = (file.len() - HEADER - CRC) as u32;
    file[10..HEADER].copy_from_slice(&payload.to_le_bytes());
    file.truncate(file.len() - CRC);
    let crc = crc32fast::hash(file);
    file.extend(crc.to_le_bytes());
}

/// A number as postcard writes it, at most ten bytes; most are far beyond what is there.
fn varint(random: &mut Random) -> Vec<u8> {
    let mut number = random.next_u64() >> random.below(64);
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn damage(file: &mut Vec<u8>, others: &[Vec<u8>], random: &mut Random) {
    let place = |random: &mut Random, file: &[u8]| random.below(file.len() as u64) as usize;
    // Lengths and tags stand near the start, and at places that depend on them.
    let early = |random: &mut Random, file: &[u8]| {
        random.below((file.len() as u64).min(HEADER as u64 + 400)) as usize
    };
    for _ in 0..=random.below(3) {
        if file.is_empty() {
            return;
        }
        match random.below(8) {
            0 => {
                let at = place(random, file);
                file[at] ^= 1 << random.below(8);
            }
            1 => {
                let at = early(random, file);
                file[at] = random.next_u64() as u8;
            }
            2 => file.truncate(place(random, file)),
            3 => {
                let at = early(random, file);
                let number = varint(random);
                let end = (at + number.len()).min(file.len());
                file.splice(at..end, number);
            }
            4 => {
                let at = early(random, file);
                file.splice(at..at, varint(random));
            }
            5 => {
                let from = place(random, file);
                let to = (from + random.below(64) as usize).min(file.len());
                file.drain(from..to);
            }
            6 => {
                let other = &others[random.below(others.len() as u64) as usize];
                let at = place(random, file).min(other.len());
                file.truncate(at);
                file.extend_from_slice(&other[at..]);
            }
            _ => {
                let from = place(random, file);
                let to = (from + 1 + random.below(16) as usize).min(file.len());
                for byte in &mut file[from..to] {
                    *byte = [0, 0xff, 0x7f, 0x80][random.below(4) as usize];
                }
            }
        }
    }
}

/// Reads a file, and scores with what was accepted; says how far it came.
fn take(bytes: &[u8], backbone: &Arc<Backbone>, features: &Features) -> usize {
    let Ok(blob) = HeadsBlob::from_bytes(bytes) else { return 0 };
    // What is read is written as it was meant.
    let again = HeadsBlob::from_bytes(&blob.to_bytes()).expect("what was read can be written");
    assert!(again == blob || blob.alpha.is_nan() || format!("{again:?}") == format!("{blob:?}"));
    let Ok(model) = Model::assemble(backbone.clone(), blob, Path::new("test")) else { return 1 };
    let (mut scratch, mut scores) = (Scratch::default(), Scores::default());
    model.blob().heads.score(features, &mut scratch, &mut scores);
    let p_value = model.calibration().p_value(scores.energy_q16);
    assert!(p_value > 0.0 && p_value <= 1.0);
    2
}

#[test]
fn hostile_files_neither_panic_nor_take_memory_without_bound() {
    let files = files();
    let onnx = tiny::onnx(tiny::Tail::Legacy);
    let backbone = Arc::new(Backbone::from_bytes(&onnx, "tiny.onnx", None).unwrap());
    let good = HeadsBlob::from_bytes(&files[3]).unwrap();
    let model = Model::assemble(backbone.clone(), good, Path::new("test")).unwrap();
    let features = model.scorer().unwrap().features(&picture(1, [16, 16])).unwrap();
    let mut came = [0u64; 3];
    for case in 0..CASES {
        let mut random = Random::new(case);
        let mut file = files[random.below(files.len() as u64) as usize].clone();
        if random.below(50) == 0 {
            let length = random.below(2000) as usize;
            let random_bytes = (0..length).map(|_| random.next_u64() as u8);
            file.truncate(HEADER);
            file.extend(random_bytes);
        } else {
            damage(&mut file, &files, &mut random);
        }
        // Without the right checksum nothing behind it would ever be looked at.
        if random.below(20) > 0 {
            frame(&mut file);
        }
        let mut far = 0;
        let memory = allocation_counter::measure(|| {
            let taken = catch_unwind(AssertUnwindSafe(|| take(&file, &backbone, &features)));
            far = taken.unwrap_or_else(|_| panic!("case {case}"));
        });
        let most = 40 * file.len() as u64 + (4 << 20);
        assert!(memory.bytes_max < most, "case {case}: {memory:?} for {} bytes", file.len());
        came[far] += 1;
    }
    println!("refused, of another backbone or senseless, scored: {came:?}");
    assert!(came.iter().all(|count| *count > CASES / 100), "{came:?}");
}
