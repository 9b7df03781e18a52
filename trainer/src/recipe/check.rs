//! Which constants make sense.

use oddsight::energy::HeadId;

use crate::heat::{Constants, Proposal, Sampler, StackKind};

/// Widest hidden layer that a device takes.
const MOST_HIDDEN: usize = 1 << 13;
/// Deepest stack that it takes: 64 layers with the first and the last one.
const MOST_DEPTH: usize = 62;

/// Largest count of what is done or held one by one: beyond it is a slip of the pen.
const MOST: usize = 1 << 24;

/// A key and what is wrong with its value.
pub type Refusal = (&'static str, String);

/// Refuses constants that [`crate::heat`] could not train with, for the head `id`.
pub fn constants(id: HeadId, c: &Constants) -> Result<(), Refusal> {
    numbers(c)?;
    network(c)?;
    chains(id, c)?;
    if c.replay > 0 && c.replay < c.batch {
        return Err((
            "replay",
            format!("must be 0, for no buffer, or hold a batch, {} rows, at least", c.batch),
        ));
    }
    if !c.milestones.is_sorted_by(|a, b| a < b) || c.milestones.first() == Some(&0) {
        return refuse("milestones", "must rise from 1: epochs after which gamma is applied");
    }
    Ok(())
}

fn refuse(key: &'static str, why: &str) -> Result<(), Refusal> {
    Err((key, why.to_string()))
}

fn numbers(c: &Constants) -> Result<(), Refusal> {
    let positive = [
        ("temperature", c.temperature),
        ("prior-temperature", c.prior_temperature),
        ("learning-rate", c.learning_rate),
        ("gamma", c.gamma),
    ];
    for (key, value) in positive {
        if !(value > 0.0 && value.is_finite()) {
            return refuse(key, "must be more than 0 and finite");
        }
    }
    let not_negative = [
        ("step-size", c.step_size),
        ("noise", c.noise),
        ("data-noise", c.data_noise),
        ("l2", c.l2),
    ];
    for (key, value) in not_negative {
        if !(value >= 0.0 && value.is_finite()) {
            return refuse(key, "must be 0 or more and finite");
        }
    }
    for (key, value) in [("anneal", c.anneal), ("replay-restart", c.replay_restart)] {
        if !(0.0..=1.0).contains(&value) {
            return refuse(key, "must be between 0 and 1");
        }
    }
    for (key, value) in [("beta1", c.beta1), ("beta2", c.beta2)] {
        if !(0.0..1.0).contains(&value) {
            return refuse(key, "must be 0 or more and less than 1");
        }
    }
    for (key, value) in [("epochs", c.epochs), ("batch", c.batch), ("accumulate", c.accumulate)] {
        if value == 0 {
            return refuse(key, "must be at least 1");
        }
    }
    for (key, value) in [("epochs", c.epochs), ("steps", c.steps), ("replay", c.replay)] {
        if value > MOST {
            return Err((key, format!("must be at most {MOST}")));
        }
    }
    Ok(())
}

fn network(c: &Constants) -> Result<(), Refusal> {
    if !(1..=MOST_HIDDEN).contains(&c.hidden) {
        return Err(("hidden", format!("must be between 1 and {MOST_HIDDEN}")));
    }
    if !(1..=MOST_DEPTH).contains(&c.depth) {
        return Err(("depth", format!("must be between 1 and {MOST_DEPTH}")));
    }
    // Each block halves the width.
    if c.stack == StackKind::Tapering && (c.hidden.trailing_zeros() as usize) < c.depth {
        let why = format!(
            "a tapering stack of depth {} halves it {} times: give a multiple of 2^{}, or less depth",
            c.depth, c.depth, c.depth
        );
        return Err(("hidden", why));
    }
    Ok(())
}

fn chains(id: HeadId, c: &Constants) -> Result<(), Refusal> {
    let from_mixture = matches!(c.proposal, Proposal::Prior | Proposal::PriorTemperature);
    if id == HeadId::HeatEl {
        if c.normalize {
            return refuse("normalize", "logits are those of rows as they are: must be false");
        }
        if from_mixture {
            return refuse(
                "proposal",
                "the energy of logits is no mixture to draw from: use \"normal\" or \"data\"",
            );
        }
        return Ok(());
    }
    if c.proposal == Proposal::Normal {
        let why = "chains that start from \"normal\" have no component: set it to false, or another \
                   proposal";
        for (key, given) in
            [("batch-classes", c.batch_classes), ("labelled-prior", c.labelled_prior)]
        {
            if given {
                return refuse(key, why);
            }
        }
    }
    if c.proposal == Proposal::Data && c.batch_classes != c.labelled_prior {
        let why = "with proposal \"data\" a chain has the component of its row where both batch-classes and \
                   labelled-prior are true; one alone has no effect: set both to the same, or another proposal";
        return refuse(if c.batch_classes { "batch-classes" } else { "labelled-prior" }, why);
    }
    if c.labelled_prior && (c.replay > 0 || c.sampler == Sampler::Svgd) {
        return refuse(
            "labelled-prior",
            "rows of a replay buffer, and those that svgd moves together, have no component: set it to false, \
             or replay to 0 and sampler to \"sgld\"",
        );
    }
    Ok(())
}
