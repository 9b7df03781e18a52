//! Prints what scoring costs per frame and head, for mixtures of ten components and residuals with a
//! hidden layer applied four times, one thread.
//!
//!     cargo run --release --example head_speed [PART OF A LINE [KERNEL]]
//!
//! Times are medians of many short runs, after the fastest in brackets: on a shared machine the two
//! tell how much it was disturbed.

use std::time::{Duration, Instant};

use oddsight::backbone::{Features, to_feature};
use oddsight::energy::float::{
    Composition, Dense, Gmm, GmmScore, Head, Heads, Heat, Knn, LogitEnergy, Residual, Term, project,
};
use oddsight::energy::{Rule, Scores, Scratch};
use oddsight::kernel::Kernel;
use oddsight::random::Random;

const CLASSES: usize = 10;
const BANK_ROWS: usize = 3072;

fn main() {
    let part = std::env::args().nth(1).unwrap_or_default();
    let kernel = std::env::args().nth(2);
    let kernel = kernel.map_or(Ok(Kernel::detect()), |name| name.parse());
    let kernel = kernel.expect("a kernel of this machine");
    let show = |name: &str, heads, width| {
        if name.contains(&part) {
            let (median, best) = measure(heads, width, kernel);
            println!("{name}: {median} ({best})");
        }
    };
    println!("nanoseconds per frame, kernel {kernel}");
    for width in [128, 256, 512] {
        let mut random = Random::new(1);
        let gmm = mixture(width, &mut random);
        let knn = bank(width, &mut random);
        let composed = vec![Head::Gmm(gmm.clone()), Head::GmmStd(gmm.clone()), Head::El];
        for (name, heads) in [
            ("el", vec![Head::El]),
            ("msp", vec![Head::Msp]),
            ("gmm", vec![Head::Gmm(gmm.clone())]),
            ("gmm + gmm-std + el", composed),
            ("knn of 3072 rows", vec![Head::Knn(knn)]),
        ] {
            show(&format!("width {width}, {name}"), heads, width);
        }
        for hidden in [256, 512, 1024] {
            let mut heat_gmm = || heat(gmm.clone(), width, hidden, &mut random);
            let (avg, std) = (Head::HeatGmm(heat_gmm()), Head::HeatGmmStd(heat_gmm()));
            let el = Head::HeatEl(heat(LogitEnergy, width, hidden, &mut random));
            for (name, heads) in
                [("heat-el", vec![el.clone()]), ("all three heat heads", vec![avg, std, el])]
            {
                show(&format!("width {width}, hidden {hidden}, {name}"), heads, width);
            }
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

/// A prior with a residual as it is before training.
fn heat<P>(prior: P, width: usize, hidden: usize, random: &mut Random) -> Heat<P> {
    const DEPTH: usize = 4;
    let mut dense = |inputs: usize, outputs: usize| {
        let bound = 1.0 / (inputs as f64).sqrt();
        let mut draw = |n| (0..n).map(|_| random.range(-bound, bound) as f32).collect();
        Dense {
            inputs: inputs as u32,
            outputs: outputs as u32,
            weights: draw(inputs * outputs),
            biases: draw(outputs),
        }
    };
    let layers = vec![dense(width, hidden), dense(hidden, hidden), dense(hidden, 1)];
    let order = [&[0][..], &[1; DEPTH], &[2]].concat();
    let residual = Residual { layers, ranges: vec![0.2; order.len()], order };
    Heat { normalize: true, residual, temperature: 1.0, prior, prior_temperature: 1000.0 }
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
fn measure(heads: Vec<Head>, width: usize, kernel: Kernel) -> (u128, u128) {
    let terms = (0..heads.len() as u32)
        .map(|head| Term { head, mean: 0.0, std: 1.0, weight: 1.0 })
        .collect();
    let composition = Composition { rule: Rule::Sum, terms };
    let mut heads = Heads { heads, composition }.fix().expect("the numbers are in range");
    heads.pack(kernel);
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
