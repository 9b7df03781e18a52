//! Contrastive divergence with squared energies.

use rayon::prelude::*;

use crate::autodiff::{Real, Stack, Trace};

/// Most blocks that work on a batch side by side. Sums over a batch are made of one partial sum per lane, so
/// they do not depend on the number of threads.
pub const LANES: usize = 8;

/// What the loss is made of; energies are the residual's, `e = f/T`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    /// Mean energy of the data.
    pub data: f64,
    /// Mean energy of the negatives.
    pub samples: f64,
    /// Mean squared energy of the data, plus that of the negatives.
    pub squares: f64,
}

impl Loss {
    /// Of data rows and negatives, without a gradient.
    pub fn measure<T: Real>(stack: &Stack<T>, sets: [&[T]; 2], temperature: f64) -> Loss {
        let (mut loss, mut trace) = (Loss::default(), Trace::default());
        let [data, samples] = sets;
        let width = stack.layout().width();
        for block in blocks(width, data, 1.0).chain(blocks(width, samples, -1.0)) {
            stack.forward(block.rows, &mut trace);
            trace.energies().iter().for_each(|f| loss.add(f.wide() / temperature, &block));
        }
        loss
    }

    /// `mean e(z⁺) − mean e(z⁻) + l2 · (mean e(z⁺)² + mean e(z⁻)²)`
    pub fn total(&self, l2: f64) -> f64 {
        self.data - self.samples + l2 * self.squares
    }

    /// Adds the energy of one of the block's rows.
    fn add<T>(&mut self, energy: f64, block: &Block<T>) {
        match block.sign > 0.0 {
            true => self.data += energy * block.share,
            false => self.samples += energy * block.share,
        }
        self.squares += energy * energy * block.share;
    }
}

/// One lane's part of a batch.
#[derive(Clone, Debug, Default)]
pub struct Lane<T> {
    gradient: Vec<T>,
    trace: Trace<T>,
    upstream: Vec<T>,
    loss: Loss,
}

/// Weight of the squares, and T.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// l2
    pub l2: f64,
    /// T
    pub temperature: f64,
}

/// The loss of data rows and negatives, and its gradient, `scale` times that of the parameters, added to
/// `gradient`. Runs on the threads of the current rayon pool.
pub fn loss<T: Real>(
    stack: &Stack<T>,
    [data, samples]: [&[T]; 2],
    weights: Scale,
    scale: f64,
    lanes: &mut Vec<Lane<T>>,
    gradient: &mut [T],
) -> Loss {
    let width = stack.layout().width();
    let blocks = blocks(width, data, 1.0).chain(blocks(width, samples, -1.0));
    let blocks: Vec<Block<T>> = blocks.collect();
    lanes.resize_with(LANES, Lane::default);
    lanes.par_iter_mut().enumerate().for_each(|(i, lane)| {
        lane.loss = Loss::default();
        lane.gradient.clear();
        lane.gradient.resize(gradient.len(), T::zero());
        for block in blocks.iter().skip(i).step_by(LANES) {
            lane.add(stack, block, weights, scale);
        }
    });
    let mut loss = Loss::default();
    for lane in lanes.iter() {
        gradient.iter_mut().zip(&lane.gradient).for_each(|(sum, &g)| *sum += g);
        loss.data += lane.loss.data;
        loss.samples += lane.loss.samples;
        loss.squares += lane.loss.squares;
    }
    loss
}

/// Rows that are worked on together.
struct Block<'a, T> {
    rows: &'a [T],
    /// 1 of data, −1 of negatives.
    sign: f64,
    /// One over the number of rows that the mean runs over.
    share: f64,
}

fn blocks<T: Real>(width: usize, rows: &[T], sign: f64) -> impl Iterator<Item = Block<'_, T>> {
    let count = rows.len() / width;
    let share = 1.0 / count as f64;
    rows.chunks(block_rows(count) * width).map(move |rows| Block { rows, sign, share })
}

/// Rows of a block: an eighth of the batch, within what keeps products efficient and buffers in cache.
pub fn block_rows(batch: usize) -> usize {
    batch.div_ceil(LANES).clamp(32, 256)
}

impl<T: Real> Lane<T> {
    fn add(&mut self, stack: &Stack<T>, block: &Block<T>, weights: Scale, scale: f64) {
        stack.forward(block.rows, &mut self.trace);
        self.upstream.clear();
        let inverse = weights.temperature.recip();
        for f in self.trace.energies() {
            let energy = f.wide() * inverse;
            self.loss.add(energy, block);
            // ∂L/∂e = (±1 + 2 l2 e) / rows
            let by_energy = (block.sign + 2.0 * weights.l2 * energy) * block.share;
            self.upstream.push(T::of(by_energy * inverse * scale));
        }
        stack.backward_parameters(block.rows, &mut self.trace, &self.upstream, &mut self.gradient);
    }
}
