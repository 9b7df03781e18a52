//! Training of one residual.

use std::fmt;

use anyhow::{Result, ensure};
use oddsight::energy::float::Residual;

use super::adam::Adam;
use super::constants::Constants;
use super::data::{Batch, Data};
use super::draws::{Purpose, Seed};
use super::hybrid::{Hybrid, Prior};
use super::loss::{Lane, Loss, Scale, loss};
use super::negatives::{Chains, Negatives, Place};
use super::network::{Network, initial, layout};
use super::state::{Curve, Event, State, Step};
use crate::autodiff::Layout;

/// Rows of data, and as many negatives, that the ranges of a finished residual are taken from.
const RANGE_ROWS: usize = 4096;

/// Hears how training goes on; an error ends it.
pub type EachEvent<'a> = &'a mut dyn FnMut(Event) -> Result<()>;

/// Why a training was stopped: its network has energies that no such network should have.
#[derive(Clone, Debug, PartialEq)]
pub struct Diverged {
    why: String,
}

impl fmt::Display for Diverged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Diverged {}

/// Root mean square of energies e beyond which a training has diverged.
///
/// At the optimum of the loss no energy is beyond ±1/(2 l2). While a network learns, its energies overshoot
/// that, by a few times; a hundred times says that it does not come back. With little or no l2 there is no such
/// range. Then 100 is the bound: e corrects a log-density, and a factor of exp(100) on a density is no
/// correction that any number of rows could teach. And whatever l2 is, a fresh network may do as it likes: the
/// weights and the bias of its last layer lie within ±1/√inputs, and so its energies within about 1/T.
fn limit(l2: f64, temperature: f64) -> f64 {
    (100.0 * (0.5 / l2).min(1.0)).max(temperature.recip())
}

/// Trains the residual over `prior` on the rows of `data`, from the beginning or from `resume`, and
/// returns it with the state that it ended in.
///
/// The result depends on data, prior, constants and seed, not on the number of threads of the current
/// rayon pool, nor on where a run was stopped. A batch is no larger than the data.
///
/// Errors: a state of other constants; [`Diverged`]; rows that cannot be read; an error of `each`.
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
    each(Event::Start)?;
    while run.state.epochs < constants.epochs {
        run.epoch(each)?;
        each(Event::Epoch(&run.state))?;
    }
    let residual = run.residual()?;
    each(Event::Done)?;
    Ok((residual, run.state))
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
        let mut last = [Vec::new(), Vec::new()];
        for index in 0..batches {
            self.data.read(index * batch_rows, batch_rows, &mut batch)?;
            let place = Place { seed: self.seed, epoch, batch: index };
            let step;
            (step, last) = self.batch(&batch, place, batches)?;
            let share = 1.0 / batches as f64;
            curve.loss += step.loss * share;
            curve.data_energy += step.data_energy * share;
            curve.sample_energy += step.sample_energy * share;
            curve.moved += step.moved * share;
            each(Event::Step(&step))?;
        }
        // The step that nothing has looked at yet: a checkpoint holds no network that has diverged.
        self.check_rows(last.each_ref().map(Vec::as_slice), epoch)?;
        self.state.epochs += 1;
        self.state.curves.push(curve);
        self.save();
        Ok(())
    }

    /// One batch: negatives, loss, and a step of Adam when enough batches have been seen. Also returns the
    /// data and negatives that the loss is of.
    fn batch(
        &mut self,
        batch: &Batch,
        place: Place,
        batches: usize,
    ) -> Result<(Step, [Vec<f32>; 2])> {
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
        self.check(&found, place.epoch)?;
        if (place.batch + 1).is_multiple_of(accumulate) || place.batch + 1 == batches {
            let learning_rate = self.learning_rate(place.epoch);
            let adam = &mut self.adam;
            self.network.update(&mut self.gradient, |parameters, gradient| {
                adam.step(parameters, gradient, learning_rate);
            });
            self.gradient.fill(0.0);
        }
        Ok((step, noisy))
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

    /// Refuses to go on with a network that has diverged, by what it says of a batch.
    fn check(&self, found: &Loss, epoch: usize) -> Result<(), Diverged> {
        let Constants { l2, temperature, .. } = *self.constants;
        let root = (found.squares / 2.0).sqrt();
        let limit = limit(l2, temperature);
        // Infinity and what is not a number fail, too.
        if found.total(l2).is_finite() && root <= limit {
            return Ok(());
        }
        let why = format!(
            "training diverged in epoch {}: loss {:.3e}, mean energy of data {:.3e}, of samples {:.3e}, root \
             mean square {root:.3e}, at most {limit:.3e} is sound; lower learning-rate or step-size, or raise l2 \
             or prior-temperature (chains of a narrow prior need a small step-size / prior-temperature)",
            epoch + 1,
            found.total(l2),
            found.data,
            found.samples,
        );
        Err(Diverged { why })
    }

    /// The same, by what it now says of data and negatives.
    fn check_rows(&self, sets: [&[f32]; 2], epoch: usize) -> Result<(), Diverged> {
        let temperature = self.constants.temperature;
        self.check(&Loss::measure(self.network.stack(), sets, temperature), epoch)
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
            // What the finished network makes of chains of its own was never looked at.
            self.check_rows([&batch.rows, &negatives.rows], epoch - 1)?;
            rows.extend_from_slice(&batch.rows);
            rows.extend(negatives.rows);
        }
        Ok(self.network.residual(&rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_far_from_the_range_of_l2_and_from_a_fresh_network() {
        assert_eq!([10.0, 40.0, 0.5].map(|l2| limit(l2, 1.0)), [5.0, 1.25, 100.0]);
        assert_eq!([0.1, 0.0].map(|l2| limit(l2, 1.0)), [100.0, 100.0]);
        assert_eq!((limit(1e3, 1.0), limit(10.0, 0.01)), (1.0, 100.0));
    }
}
