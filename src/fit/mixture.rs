//! The Gaussian mixture of unlabelled rows, by expectation maximisation with one shared covariance.
//!
//! Two identities make an iteration cheap. For any centre, with rows and means taken relative to it,
//! the shared covariance that maximises the likelihood is `S = T − Σ π_c μ_c μ_cᵀ`, where `T`, the
//! second moment of the rows, never changes. And in a log density the part `zᵀ S⁻¹ z` is common to
//! all components, and its mean over the rows is `tr(S⁻¹T) = D + Σ π_c μ_cᵀ S⁻¹ μ_c`. So a row costs
//! K·D: its scores are `μ_cᵀ S⁻¹ z − ½ μ_cᵀ S⁻¹ μ_c + log π_c`, as in linear discriminant analysis.

use crate::energy::float::{Gmm, GmmScore};
use crate::random::Random;
use nalgebra::{DMatrix, DMatrixView, DVector};

use super::class::{GmmOptions, assemble};
use super::covariance::{Block, Factor, Scatter, raised};
use super::lloyd::{Clusters, cluster};
use super::table::reservoir;
use super::{FitError, FitErrorKind, Projected, Rows, SAMPLE_ROWS, Table, same};

/// EM ends when the mean log-likelihood of a row grows by less than this (nats) …
const LEAST_GAIN: f64 = 1e-3;
/// … or after this many iterations.
const ITERATIONS: usize = 100;
/// A component that explains less than one row in all is dropped.
const LEAST_ROWS: f64 = 1.0;
/// Numbers of components that are compared when none is given.
const LADDER: [usize; 6] = [1, 2, 4, 8, 16, 32];

/// How an unlabelled mixture is fitted.
#[derive(Clone, Debug, PartialEq)]
pub struct MixtureOptions {
    /// L2-normalise rows first.
    pub normalize: bool,
    /// Which number the head gives.
    pub score: GmmScore,
    /// Number of components.
    pub components: Components,
    /// Seed of the sample and of k-means++.
    pub seed: u64,
}

impl Default for MixtureOptions {
    /// As [`GmmOptions`], with the number of components chosen by BIC.
    fn default() -> MixtureOptions {
        let GmmOptions { normalize, score } = GmmOptions::default();
        MixtureOptions { normalize, score, components: Components::Bic, seed: 0 }
    }
}

/// Number of mixture components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Components {
    /// This many, or fewer if some stay empty.
    Exactly(usize),
    /// 1, 2, 4, … 32, as long as the Bayesian information criterion (Schwarz 1978) improves.
    Bic,
}

/// An unlabelled mixture and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixture {
    /// The head.
    pub gmm: Gmm,
    /// The numbers of components that were tried on the sample, in that order.
    pub candidates: Vec<Candidate>,
    /// Mean log-likelihood of a row (nats) at each EM iteration over all rows.
    pub log_likelihoods: Vec<f64>,
}

/// One number of components, as it did on the sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Components that were not empty.
    pub components: usize,
    /// Mean log-likelihood of a row, nats.
    pub log_likelihood: f64,
    /// Bayesian information criterion; smaller is better.
    pub bic: f64,
}

/// Fits a Gaussian mixture with a shared covariance; labels are ignored. One component is the
/// Gaussian of all rows.
///
/// k-means++, Lloyd's algorithm, EM and the choice by BIC see a uniform sample of at most
/// [`SAMPLE_ROWS`] rows; a last EM runs over all rows, streamed. Empty k-means clusters are re-seeded
/// with the farthest row, empty mixture components are dropped. The log-likelihood does not decrease
/// while no component is dropped. When a ridge is needed, it belongs to the second moment from the
/// start, and log-likelihoods are those with the penalty `−½ ridge·tr(S⁻¹)` per row.
///
/// Errors: fewer than two rows, or fewer than components; all rows the same; a row of a wrong width or
/// not finite.
pub fn fit_mixture(rows: &dyn Rows, options: &MixtureOptions) -> Result<Mixture, FitError> {
    let all = Projected::new(rows, options.normalize, &[])?;
    let (sample, total) = reservoir(&all, SAMPLE_ROWS, options.seed)?;
    refuse_degenerate(&sample, options)?;
    // The sample is projected already.
    let sampled = Projected::new(&sample, false, &[])?;
    let centre = mean(&sampled)?;
    let (start, candidates) = choose(&sample, &sampled, &centre, options)?;
    let moment = SecondMoment::of(&all, centre)?;
    log::debug!("mixture: {} components over {total} rows", start.weights.len());
    let (statistics, _) = expect(&all, &moment.centre, &start)?;
    let (density, log_likelihoods) = maximise(&all, &moment, statistics)?;
    let ridge = moment.ridge + density.factor.ridge;
    density.factor.warn_of_ridge(ridge);
    let mut means = density.means.clone();
    means.column_iter_mut().for_each(|mut mean| mean += &moment.centre);
    let form = GmmOptions { normalize: options.normalize, score: options.score };
    let gmm = assemble(&density.factor, ridge, means.as_slice(), &density.weights, &form)?;
    Ok(Mixture { gmm, candidates, log_likelihoods })
}

fn refuse_degenerate(sample: &Table, options: &MixtureOptions) -> Result<(), FitError> {
    let least = match options.components {
        Components::Exactly(k) if k == 0 || k > SAMPLE_ROWS => {
            let message = format!("{k} components: ask for 1 to {SAMPLE_ROWS}");
            return Err(FitError::new(FitErrorKind::Option, message));
        }
        Components::Exactly(k) => k.max(2),
        Components::Bic => 2,
    };
    if sample.len() < least {
        let message = format!("there are {} rows, the mixture needs {least}", sample.len());
        return Err(FitError::new(FitErrorKind::TooFew, message + ": add pictures"));
    }
    if (1..sample.len()).all(|i| same(sample.row(0), sample.row(i))) {
        let message = format!(
            "all {} rows are the same: are they copies of one picture? Add others",
            sample.len()
        );
        return Err(FitError::new(FitErrorKind::Identical, message));
    }
    Ok(())
}

/// Fits the sample with the given or the best number of components.
fn choose(
    sample: &Table,
    rows: &Projected,
    centre: &DVector<f64>,
    options: &MixtureOptions,
) -> Result<(Density, Vec<Candidate>), FitError> {
    let moment = SecondMoment::of(rows, centre.clone())?;
    let ladder = match options.components {
        Components::Exactly(k) => vec![k],
        Components::Bic => LADDER.into_iter().filter(|&k| k <= sample.len()).collect(),
    };
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut best: Option<(f64, Density)> = None;
    for k in ladder {
        let mut random = Random::new(options.seed);
        let clusters = cluster(sample, k, &mut random);
        let statistics = Statistics::of_clusters(rows, centre, &clusters)?;
        let (density, history) = maximise(rows, &moment, statistics)?;
        let log_likelihood = history.last().copied().unwrap_or(f64::NEG_INFINITY);
        let bic = density.bic(log_likelihood, sample.len());
        let components = density.weights.len();
        log::debug!(
            "mixture: {components} components on {} rows: log-likelihood {log_likelihood:.4} per \
             row, BIC {bic:.0}",
            sample.len()
        );
        candidates.push(Candidate { components, log_likelihood, bic });
        if best.as_ref().is_some_and(|(least, _)| bic >= *least) {
            break;
        }
        best = Some((bic, density));
    }
    let none = || FitError::new(FitErrorKind::Option, "no number of components to try".into());
    Ok((best.ok_or_else(none)?.1, candidates))
}

fn mean(rows: &Projected) -> Result<DVector<f64>, FitError> {
    let mut sum = DVector::zeros(rows.width());
    let mut count = 0u64;
    rows.visit(&mut |_, row, _| {
        sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        count += 1;
        Ok(())
    })?;
    Ok(sum / count.max(1) as f64)
}

/// `T + ridge·I`: the second moment of rows about a centre.
struct SecondMoment {
    centre: DVector<f64>,
    matrix: DMatrix<f64>,
    ridge: f64,
}

impl SecondMoment {
    fn of(rows: &Projected, centre: DVector<f64>) -> Result<SecondMoment, FitError> {
        let mut scatter = Scatter::new(rows.width());
        let mut count = 0;
        rows.visit(&mut |_, row, _| {
            scatter.push(row, centre.as_slice());
            count += 1;
            Ok(())
        })?;
        let matrix = scatter.covariance();
        let ridge = Factor::of(&matrix, count)?.ridge;
        Ok(SecondMoment { centre, matrix: raised(matrix, ridge), ridge })
    }
}

/// What an expectation step collects for each component.
struct Statistics {
    /// Expected number of rows.
    rows: Vec<f64>,
    /// Sums of rows relative to the centre, one component per column.
    sums: DMatrix<f64>,
}

impl Statistics {
    fn new(width: usize, components: usize) -> Statistics {
        Statistics { rows: vec![0.0; components], sums: DMatrix::zeros(width, components) }
    }

    /// Adds rows, one per column, of which each component (row of `shares`) explains its share.
    fn add(&mut self, rows: &DMatrixView<f64>, shares: &DMatrix<f64>) {
        self.sums.gemm(1.0, rows, &shares.transpose(), 1.0);
        for (sum, shares) in self.rows.iter_mut().zip(shares.row_iter()) {
            *sum += shares.sum();
        }
    }

    /// Each row belongs to its cluster alone.
    fn of_clusters(
        rows: &Projected,
        centre: &DVector<f64>,
        clusters: &Clusters,
    ) -> Result<Statistics, FitError> {
        let mut statistics = Statistics::new(rows.width(), clusters.count);
        rows.visit(&mut |index, row, _| {
            let cluster = clusters.assignment[index as usize];
            statistics.rows[cluster] += 1.0;
            let mut sum = statistics.sums.column_mut(cluster);
            sum.iter_mut().zip(row.iter().zip(centre.iter())).for_each(|(s, (x, c))| *s += x - c);
            Ok(())
        })?;
        Ok(statistics)
    }

    /// Drops components that explain nothing, and says whether there were any. The little that they
    /// did explain is missing from the next maximisation, and back after the next expectation.
    fn drop_empty(&mut self) -> bool {
        let kept: Vec<usize> =
            (0..self.rows.len()).filter(|&c| self.rows[c] >= LEAST_ROWS).collect();
        let dropped = kept.len() < self.rows.len() && !kept.is_empty();
        if dropped {
            self.sums = self.sums.select_columns(&kept);
            self.rows = kept.iter().map(|&c| self.rows[c]).collect();
        }
        dropped
    }
}

/// A mixture relative to a centre.
struct Density {
    weights: Vec<f64>,
    /// μ_c, one per column.
    means: DMatrix<f64>,
    factor: Factor,
    /// S⁻¹ μ_c, one per row.
    directions: DMatrix<f64>,
    /// `log π_c − ½ μ_cᵀ S⁻¹ μ_c`
    offsets: Vec<f64>,
    /// What is common to all components in the mean log density of a row.
    constant: f64,
}

impl Density {
    /// The maximisation step.
    fn of(statistics: &Statistics, moment: &SecondMoment) -> Result<Density, FitError> {
        let total: f64 = statistics.rows.iter().sum();
        let weights: Vec<f64> = statistics.rows.iter().map(|rows| rows / total).collect();
        let mut means = statistics.sums.clone();
        for (mut mean, rows) in means.column_iter_mut().zip(&statistics.rows) {
            mean /= *rows;
        }
        let mut weighted = means.clone();
        for (mut mean, weight) in weighted.column_iter_mut().zip(&weights) {
            mean *= *weight;
        }
        let mut covariance = moment.matrix.clone();
        covariance.gemm(-1.0, &weighted, &means.transpose(), 1.0);
        let factor = Factor::of(&covariance, total.round() as u64)?;
        let directions = factor.solve(&means).ok_or_else(|| {
            let message = "the covariance of a mixture has no finite inverse: add pictures";
            FitError::new(FitErrorKind::Singular, message.to_string())
        })?;
        let squares: Vec<f64> =
            means.column_iter().zip(directions.column_iter()).map(|(m, d)| m.dot(&d)).collect();
        let offsets = weights.iter().zip(&squares).map(|(w, square)| w.ln() - 0.5 * square);
        let between: f64 = weights.iter().zip(&squares).map(|(w, square)| w * square).sum();
        let width = means.nrows() as f64;
        let log_two_pi = (2.0 * std::f64::consts::PI).ln();
        Ok(Density {
            offsets: offsets.collect(),
            constant: -0.5 * (width * log_two_pi + width + between) - factor.half_log_det(),
            weights,
            means,
            factor,
            directions: directions.transpose(),
        })
    }

    /// Adds what each component explains of rows (one per column, relative to the centre), and
    /// returns the sum of their `log Σ_c exp(score_c)`.
    fn explain(&self, rows: &DMatrixView<f64>, statistics: &mut Statistics) -> f64 {
        let mut scores = &self.directions * rows;
        let mut sum = 0.0;
        for mut column in scores.column_iter_mut() {
            column.iter_mut().zip(&self.offsets).for_each(|(score, offset)| *score += offset);
            let largest = column.max();
            let log_total = largest + column.iter().map(|s| (s - largest).exp()).sum::<f64>().ln();
            column.iter_mut().for_each(|score| *score = (*score - log_total).exp());
            sum += log_total;
        }
        statistics.add(rows, &scores);
        sum
    }

    /// BIC with K·D means, K − 1 weights and D(D+1)/2 covariances as free parameters.
    fn bic(&self, log_likelihood: f64, rows: usize) -> f64 {
        let (k, width) = (self.weights.len() as f64, self.means.nrows() as f64);
        let parameters = k * width + k - 1.0 + width * (width + 1.0) / 2.0;
        parameters * (rows as f64).ln() - 2.0 * rows as f64 * log_likelihood
    }
}

/// EM from given statistics: the density and its mean log-likelihood at each iteration. The last one
/// belongs to the density that is returned.
fn maximise(
    rows: &Projected,
    moment: &SecondMoment,
    start: Statistics,
) -> Result<(Density, Vec<f64>), FitError> {
    let mut statistics = start;
    let mut history: Vec<f64> = Vec::new();
    let mut dropped = statistics.drop_empty();
    loop {
        let density = Density::of(&statistics, moment)?;
        let (next, score) = expect(rows, &moment.centre, &density)?;
        let log_likelihood = score + density.constant;
        let gain = history.last().map_or(f64::INFINITY, |before| log_likelihood - before);
        history.push(log_likelihood);
        if (gain < LEAST_GAIN && !dropped) || history.len() == ITERATIONS {
            return Ok((density, history));
        }
        statistics = next;
        dropped = statistics.drop_empty();
    }
}

/// The expectation step: statistics, and the mean over rows of `log Σ_c exp(score_c)`.
fn expect(
    rows: &Projected,
    centre: &DVector<f64>,
    density: &Density,
) -> Result<(Statistics, f64), FitError> {
    let mut statistics = Statistics::new(rows.width(), density.weights.len());
    let mut block = Block::new(rows.width());
    let (mut sum, mut count) = (0.0, 0u64);
    rows.visit(&mut |_, row, _| {
        count += 1;
        if block.push(row, centre.as_slice()) {
            sum += density.explain(&block.take(), &mut statistics);
        }
        Ok(())
    })?;
    sum += density.explain(&block.take(), &mut statistics);
    Ok((statistics, sum / count.max(1) as f64))
}
