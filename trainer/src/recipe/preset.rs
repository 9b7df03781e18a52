//! Constants to start from: ours, and those of HEAT's authors.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::heat::{Constants, PriorScore, Proposal, Sampler, StackKind};

/// Constants that were chosen together.
///
/// [`Field`](Preset::Field) is ours; the others are what the authors of HEAT published for a data set. Their configuration files and their shell scripts differ in places, and the scripts' values are taken:
/// 20 epochs and not 10 on CIFAR-10; for `heat-el` on CIFAR-100 a learning rate of 1e-5 and not 5e-6, and
/// batches of 1024 and not 256; on ImageNet 8 epochs and not 10, for `heat-gmm` 10 Langevin steps and not
/// none with a squared-energy weight of 10 and not 20, for `heat-gmm-std` no Langevin step and not 10
/// with a step size of 1e-4 and not 1e-7.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// What did best on validation pictures that were made of training pictures (docs/training.md), with
    /// residuals small enough for a board and trained within minutes.
    #[default]
    Field,
    /// Some ten classes, some thousand small pictures each.
    Cifar10,
    /// A hundred classes, some hundred small pictures each.
    Cifar100,
    /// A thousand classes, some thousand pictures each, 2048 features.
    Imagenet,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Preset; 4] =
        [Preset::Field, Preset::Cifar10, Preset::Cifar100, Preset::Imagenet];

    /// `field`, `cifar10`, `cifar100` or `imagenet`.
    pub fn name(self) -> &'static str {
        match self {
            Preset::Field => "field",
            Preset::Cifar10 => "cifar10",
            Preset::Cifar100 => "cifar100",
            Preset::Imagenet => "imagenet",
        }
    }

    /// Of `heat-gmm`, `heat-gmm-std` and `heat-el`, in this order.
    pub fn constants(self) -> [Constants; 3] {
        match self {
            Preset::Field => field(),
            Preset::Cifar10 => cifar10(),
            Preset::Cifar100 => cifar100(),
            Preset::Imagenet => imagenet(),
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

fn field() -> [Constants; 3] {
    let std = Constants {
        hidden: 256,
        learning_rate: 1e-3,
        prior_temperature: 300.0,
        steps: 1,
        ..common()
    };
    let gmm = Constants {
        proposal: Proposal::PriorTemperature,
        steps: 10,
        epochs: 10,
        milestones: vec![5],
        ..std.clone()
    };
    let el = Constants {
        hidden: 256,
        learning_rate: 1e-4,
        proposal: Proposal::Data,
        steps: 20,
        noise: 1e-1,
        l2: 0.1,
        epochs: 5,
        milestones: vec![3],
        ..common_el()
    };
    [gmm, std, el]
}

/// What every configuration of the authors has; the rest is that of `heat-gmm` on CIFAR-10.
fn common() -> Constants {
    Constants {
        normalize: true,
        hidden: 1024,
        depth: 4,
        stack: StackKind::Tied,
        spectral_norm: false,
        temperature: 1.0,
        prior_temperature: 1e3,
        prior: PriorScore::Mixture,
        proposal: Proposal::Prior,
        batch_classes: false,
        labelled_prior: false,
        sampler: Sampler::Sgld,
        steps: 40,
        step_size: 1e-4,
        noise: 5e-3,
        anneal: 0.1,
        relu: true,
        keep_start: true,
        replay: 0,
        replay_restart: 0.1,
        data_noise: 1e-4,
        l2: 10.0,
        epochs: 20,
        batch: 1024,
        accumulate: 1,
        learning_rate: 1e-5,
        beta1: 0.0,
        beta2: 0.999,
        milestones: vec![10],
        gamma: 0.1,
    }
}

/// `heat-el` has no mixture to draw from, and takes features as they are.
fn common_el() -> Constants {
    Constants {
        normalize: false,
        prior_temperature: 1.0,
        proposal: Proposal::Normal,
        step_size: 1e-1,
        batch: 256,
        ..common()
    }
}

fn cifar10() -> [Constants; 3] {
    let std = Constants { steps: 1, ..common() };
    let el = Constants { steps: 50, noise: 1e-1, l2: 0.1, ..common_el() };
    [common(), std, el]
}

fn cifar100() -> [Constants; 3] {
    let gmm = Constants { steps: 20, step_size: 2e-4, noise: 1e-3, l2: 20.0, ..common() };
    let el = Constants {
        steps: 200,
        noise: 1e-2,
        replay_restart: 0.5,
        l2: 1.0,
        epochs: 8,
        batch: 1024,
        ..common_el()
    };
    [gmm.clone(), gmm, el]
}

fn imagenet() -> [Constants; 3] {
    let gmm = Constants {
        depth: 6,
        stack: StackKind::Tapering,
        prior_temperature: 5e3,
        proposal: Proposal::PriorTemperature,
        batch_classes: true,
        labelled_prior: true,
        steps: 10,
        step_size: 1e-7,
        noise: 1e-4,
        epochs: 8,
        batch: 256,
        accumulate: 20,
        learning_rate: 1e-4,
        milestones: vec![1],
        ..common()
    };
    let std = Constants { steps: 0, step_size: 1e-4, l2: 40.0, ..gmm.clone() };
    let el = Constants {
        stack: StackKind::Tapering,
        prior_temperature: 5e2,
        steps: 40,
        step_size: 1e3,
        noise: 1e-3,
        replay_restart: 0.5,
        l2: 20.0,
        epochs: 8,
        accumulate: 10,
        milestones: vec![1000],
        gamma: 0.9,
        ..common_el()
    };
    [gmm, std, el]
}
