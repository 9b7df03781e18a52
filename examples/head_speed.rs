//! Prints what scoring costs per frame and head, for mixtures of ten components, one thread.
//!
//!     cargo run --release --example head_speed
//!
//! Times are medians of many short runs, after the fastest in brackets: on a shared machine the two
//! tell how much it was disturbed.

use std::time::{Duration, Instant};

use oddsight::backbone::{Features, to_feature};
use oddsight::energy::float::{Composition, Gmm, GmmScore, Head, Heads, Knn, Term, project};
use oddsight::energy::{Rule, Scores, Scratch};
use oddsight::random::Random;

const CLASSES: usize = 10;
const BANK_ROWS: usize = 3072;

fn main() {
    println!("nanoseconds per frame");
    for width in [128, 256, 512] {
        let mut random = Random::new(1);
        let gmm = mixture(width, &mut random);
        let knn = bank(width, &mut random);
        let composed = vec![Head::Gmm(gmm.clone()), Head::GmmStd(gmm.clone()), Head::El];
        for (name, heads) in [
            ("el", vec![Head::El]),
            ("msp", vec![Head::Msp]),
            ("gmm", vec![Head::Gmm(gmm)]),
            ("gmm + gmm-std + el", composed),
            ("knn of 3072 rows", vec![Head::Knn(knn)]),
        ] {
            let (median, best) = measure(heads, width);
            println!("width {width}, {name}: {median} ({best})");
        }
    }
}

fn mixture(width: usize, random: &mut Random) -> Gmm {
    let mut draw = |n: usize| -> Vec<f64> { (0..n).map(|_| random.range(-20.0, 20.0)).collect() };
    let mut whitener = draw(width * (width + 1) / 2);
    (0..width).for_each(|i| whitener[i * (i + 3) / 2] = 1.0);
    Gmm {
        normalize: true,
        score: GmmScore::Mixture,
        width: width as u32,
        whitener,
        whitened_means: draw(CLASSES * width),
        log_weights: vec![-(CLASSES as f64).ln(); CLASSES],
        half_log_det: 0.0,
        ridge: 0.0,
    }
}

/// Rows around ten centres, of unit length like the query.
fn bank(width: usize, random: &mut Random) -> Knn {
    let centres: Vec<f64> = (0..CLASSES * width).map(|_| random.range(0.0, 2.0)).collect();
    let (mut rows, mut unit) = (Vec::new(), Vec::new());
    for i in 0..BANK_ROWS {
        let centre = &centres[i % CLASSES * width..][..width];
        let row: Vec<f64> = centre.iter().map(|c| c + random.range(-0.5, 0.5)).collect();
        project(&row, true, &mut unit);
        rows.extend(unit.iter().map(|&x| x as f32));
    }
    Knn { normalize: true, k: 8, width: width as u32, rows }
}

/// Median and least nanoseconds of one frame.
fn measure(heads: Vec<Head>, width: usize) -> (u128, u128) {
    let terms = (0..heads.len() as u32)
        .map(|head| Term { head, mean: 0.0, std: 1.0, weight: 1.0 })
        .collect();
    let composition = Composition { rule: Rule::Sum, terms };
    let heads = Heads { heads, composition }.fix().expect("the numbers are in range");
    let mut random = Random::new(2);
    let mut draw = |n: usize| (0..n).map(|_| to_feature(random.range(0.0, 2.0))).collect();
    let features = Features { avg: draw(width), std: draw(width), logits: draw(CLASSES) };
    let (mut scratch, mut scores) = (Scratch::default(), Scores::default());
    let start = Instant::now();
    let mut times = Vec::new();
    while start.elapsed() < Duration::from_millis(300) {
        let start = Instant::now();
        heads.score(std::hint::black_box(&features), &mut scratch, &mut scores);
        times.push(start.elapsed().as_nanos());
    }
    times.sort_unstable();
    (times[times.len() / 2], times[0])
}
