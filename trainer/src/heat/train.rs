//! Training of one residual.

use anyhow::{Result, bail, ensure};
use oddsight::energy::float::Residual;

use super::adam::Adam;
use super::constants::Constants;
use super::data::{Batch, Data};
use super::draws::{Purpose, Seed};
use super::hybrid::{Hybrid, Prior};
use super::loss::{Lane, Scale, loss};
use super::negatives::{Chains, Negatives, Place};
use super::network::{Network, initial, layout};
use super::state::{Curve, Event, State, Step};
use crate::autodiff::Layout;

/// Rows of data, and as many negatives, that the ranges of a finished residual are taken from.
const RANGE_ROWS: usize = 4096;

/// What is told after each batch and each epoch; an error ends the training.
pub type EachEvent<'a> = &'a mut dyn FnMut(Event) -> Result<()>;

/// Trains the residual over `prior` on the rows of `data`, from the beginning or from `resume`, and
/// returns it with the state that it ended in.
///
/// The result depends on data, prior, constants and seed, not on the number of threads of the current
/// rayon pool, nor on where a run was stopped. A batch is no larger than the data.
///
/// Errors: a state of other constants; a loss that is not finite, or energies far beyond what the squared
/// term allows; rows that cannot be read; an error of `each`.
pub fn train(
    data: &mut Data,
    prior: &Prior<f32>,
    constants: &Constants,
    seed: Seed,
    resume: Option<State>,
    each: EachEvent,
) -> Result<(Residual, State)> {
    let state = match resume {
        Some(state) => state,
        None => start(constants, prior.width(), seed),
    };
    let mut run = Run::new(data, prior, constants, seed, state)?;
    while run.state.epochs < constants.epochs {
        run.epoch(each)?;
        each(Event::Epoch(&run.state))?;
    }
    Ok((run.residual()?, run.state))
}

/// The state before the first epoch.
fn start(constants: &Constants, width: usize, seed: Seed) -> State {
    let layout = layout(constants, width);
    let parameters = initial(&layout, seed);
    let mut singular = vec![0.0; singular_len(constants, &layout)];
    seed.stream(Purpose::Initial, 1, 0, 0).normal(&mut singular);
    State {
        epochs: 0,
        first_moments: vec![0.0; parameters.len()],
        second_moments: vec![0.0; parameters.len()],
        parameters,
        updates: 0,
        singular,
        replay: Vec::new(),
        curves: Vec::new(),
    }
}

/// Numbers of all left singular vectors that spectral normalisation keeps: of each layer but the last.
fn singular_len(constants: &Constants, layout: &Layout) -> usize {
    let inner = if constants.spectral_norm { layout.layers().len() - 1 } else { 0 };
    layout.layers().take(inner).map(|(_, outputs, ..)| outputs).sum()
}

/// A training that goes on.
struct Run<'a, 'd> {
    data: &'a mut Data<'d>,
    prior: &'a Prior<f32>,
    constants: &'a Constants,
    seed: Seed,
    state: State,
    network: Network<f32>,
    adam: Adam<f32>,
    chains: Chains<'a>,
    lanes: Vec<Lane<f32>>,
    /// Of the batches since the last step of Adam.
    gradient: Vec<f32>,
}

impl<'a, 'd> Run<'a, 'd> {
    fn new(
        data: &'a mut Data<'d>,
        prior: &'a Prior<f32>,
        constants: &'a Constants,
        seed: Seed,
        mut state: State,
    ) -> Result<Run<'a, 'd>> {
        let width = prior.width();
        let layout = layout(constants, width);
        let count = layout.parameters();
        let lengths = [&state.parameters, &state.first_moments, &state.second_moments];
        ensure!(
            lengths.iter().all(|values| values.len() == count)
                && state.singular.len() == singular_len(constants, &layout)
                && state.replay.len().is_multiple_of(width),
            "the state to go on from is that of another network: start anew"
        );
        let parameters = std::mem::take(&mut state.parameters);
        let betas = [constants.beta1, constants.beta2];
        let adam = Adam {
            betas,
            first: std::mem::take(&mut state.first_moments),
            second: std::mem::take(&mut state.second_moments),
            updates: state.updates,
        };
        let chains = Chains::new(constants, width, &std::mem::take(&mut state.replay));
        let network = Network::new(layout, parameters, &state.singular);
        let (lanes, gradient) = (Vec::new(), vec![0.0; count]);
        Ok(Run { data, prior, constants, seed, state, network, adam, chains, lanes, gradient })
    }

    fn epoch(&mut self, each: EachEvent) -> Result<()> {
        let epoch = self.state.epochs;
        let batch_rows = self.constants.batch.min(self.data.len());
        let batches = self.data.len() / batch_rows;
        self.data.shuffle(self.seed, epoch);
        let mut curve = Curve::default();
        let mut batch = Batch::default();
        for index in 0..batches {
            self.data.read(index * batch_rows, batch_rows, &mut batch)?;
            let place = Place { seed: self.seed, epoch, batch: index };
            let step = self.batch(&batch, place, batches)?;
            let share = 1.0 / batches as f64;
            curve.loss += step.loss * share;
            curve.data_energy += step.data_energy * share;
            curve.sample_energy += step.sample_energy * share;
            curve.moved += step.moved * share;
            each(Event::Step(&step))?;
        }
        self.state.epochs += 1;
        self.state.curves.push(curve);
        self.save();
        Ok(())
    }

    /// One batch: negatives, loss, and a step of Adam when enough batches have been seen.
    fn batch(&mut self, batch: &Batch, place: Place, batches: usize) -> Result<Step> {
        let negatives = self.negatives(batch, place);
        let Constants { l2, accumulate, temperature, .. } = *self.constants;
        let noisy = self.noisy([&batch.rows, &negatives.rows], place);
        let found = loss(
            self.network.stack(),
            [&noisy[0], &noisy[1]],
            Scale { l2, temperature },
            1.0 / accumulate as f64,
            &mut self.lanes,
            &mut self.gradient,
        );
        let step = Step {
            epoch: place.epoch,
            epochs: self.constants.epochs,
            batch: place.batch + 1,
            batches,
            loss: found.total(l2),
            data_energy: found.data,
            sample_energy: found.samples,
            moved: negatives.moved,
        };
        self.check(&step)?;
        if (place.batch + 1).is_multiple_of(accumulate) || place.batch + 1 == batches {
            let learning_rate = self.learning_rate(place.epoch);
            let adam = &mut self.adam;
            self.network.update(&mut self.gradient, |parameters, gradient| {
                adam.step(parameters, gradient, learning_rate);
            });
            self.gradient.fill(0.0);
        }
        Ok(step)
    }

    fn negatives(&mut self, batch: &Batch, place: Place) -> Negatives {
        let Constants { temperature, prior_temperature, relu, normalize, .. } = *self.constants;
        let (stack, prior) = (self.network.stack(), self.prior);
        let hybrid = Hybrid { stack, prior, temperature, prior_temperature, relu, normalize };
        self.chains.run(&hybrid, batch, place)
    }

    /// Data and negatives with fresh noise, which is not projected.
    fn noisy(&self, sets: [&[f32]; 2], place: Place) -> [Vec<f32>; 2] {
        let width = self.prior.width();
        let deviation = self.constants.data_noise as f32;
        let mut noise = vec![0.0; width];
        let mut at = 0;
        sets.map(|rows| {
            let mut rows = rows.to_vec();
            for row in rows.chunks_exact_mut(width) {
                let Place { seed, epoch, batch } = place;
                seed.stream(Purpose::DataNoise, epoch, batch, at).normal(&mut noise);
                row.iter_mut().zip(&noise).for_each(|(x, xi)| *x += deviation * xi);
                at += 1;
            }
            rows
        })
    }

    /// The multi-step schedule: a milestone counts from its epoch on.
    fn learning_rate(&self, epoch: usize) -> f64 {
        let passed = self.constants.milestones.iter().filter(|&&milestone| milestone <= epoch);
        self.constants.learning_rate * self.constants.gamma.powf(passed.count() as f64)
    }

    /// Refuses to go on with a network that has diverged.
    fn check(&self, step: &Step) -> Result<()> {
        // The optimum of the loss lies within ±1/(2 l2); networks overshoot it, but not by this much.
        let limit = 1e4 * (0.5 / self.constants.l2).max(1.0);
        let energies = [step.data_energy, step.sample_energy];
        if step.loss.is_finite() && energies.iter().all(|energy| energy.abs() < limit) {
            return Ok(());
        }
        let Step { epoch, batch, loss, data_energy, sample_energy, .. } = step;
        bail!(
            "training diverged in epoch {}, batch {batch}: loss {loss:.3e}, mean energy of data \
             {data_energy:.3e}, of samples {sample_energy:.3e}; lower learning-rate or step-size, or \
             raise l2 or prior-temperature (chains of a narrow prior need a small step-size / \
             prior-temperature)",
            epoch + 1
        );
    }

    /// Brings the state up to date.
    fn save(&mut self) {
        self.state.parameters = self.network.parameters().to_vec();
        self.state.first_moments.clone_from(&self.adam.first);
        self.state.second_moments.clone_from(&self.adam.second);
        self.state.updates = self.adam.updates;
        self.state.singular = self.network.singular();
        self.state.replay = self.chains.replay.as_ref().map_or(Vec::new(), |replay| replay.rows());
    }

    /// The finished residual, its ranges measured on rows of one more epoch and their negatives.
    fn residual(&mut self) -> Result<Residual> {
        let epoch = self.constants.epochs;
        let batch_rows = self.constants.batch.min(self.data.len());
        self.data.shuffle(self.seed, epoch);
        let mut rows = Vec::new();
        let mut batch = Batch::default();
        for index in 0..RANGE_ROWS.div_ceil(batch_rows).min(self.data.len() / batch_rows) {
            self.data.read(index * batch_rows, batch_rows, &mut batch)?;
            let negatives = self.negatives(&batch, Place { seed: self.seed, epoch, batch: index });
            rows.extend_from_slice(&batch.rows);
            rows.extend(negatives.rows);
        }
        Ok(self.network.residual(&rows))
    }
}
