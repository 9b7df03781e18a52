//! A timeline with known troubles: what the demonstration plays, and what it is judged by.

use std::fmt;

use super::noise::stream;
use super::world::{Trouble, World};
use crate::image::Rgb;
use crate::random::Random;

/// Where a trouble comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Something that does not belong on the belt.
    Foreign,
    /// A part that is not as it should be.
    Damage,
    /// Dirt on the lens.
    Lens,
    /// The lamp fails or blinds.
    Light,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Glove,
    Insect,
    Leaf,
    Wrench,
    Coin,
    Cable,
    Broken,
    Cracked,
    MissingTeeth,
    Bent,
    Scratched,
    Smear,
    Droplets,
    Dark,
    Glare,
}

impl Kind {
    /// Every kind, in the order of the groups.
    pub const ALL: [Kind; 15] = [
        Kind::Glove,
        Kind::Insect,
        Kind::Leaf,
        Kind::Wrench,
        Kind::Coin,
        Kind::Cable,
        Kind::Broken,
        Kind::Cracked,
        Kind::MissingTeeth,
        Kind::Bent,
        Kind::Scratched,
        Kind::Smear,
        Kind::Droplets,
        Kind::Dark,
        Kind::Glare,
    ];

    /// Where it comes from.
    pub fn group(self) -> Group {
        match self {
            Kind::Glove | Kind::Insect | Kind::Leaf | Kind::Wrench | Kind::Coin | Kind::Cable => {
                Group::Foreign
            }
            Kind::Broken | Kind::Cracked | Kind::MissingTeeth | Kind::Bent | Kind::Scratched => {
                Group::Damage
            }
            Kind::Smear | Kind::Droplets => Group::Lens,
            Kind::Dark | Kind::Glare => Group::Light,
        }
    }

    /// Whether it travels with the belt, in the place of a part.
    pub(super) fn lies_on_belt(self) -> bool {
        self != Kind::Glove && matches!(self.group(), Group::Foreign | Group::Damage)
    }
}

/// What a person would say that they see.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Glove => "gloved hand",
            Kind::Insect => "insect",
            Kind::Leaf => "leaf",
            Kind::Wrench => "wrench",
            Kind::Coin => "coin",
            Kind::Cable => "cable",
            Kind::Broken => "broken part",
            Kind::Cracked => "cracked part",
            Kind::MissingTeeth => "gear with missing teeth",
            Kind::Bent => "bent part",
            Kind::Scratched => "scratched part",
            Kind::Smear => "smear on the lens",
            Kind::Droplets => "drops on the lens",
            Kind::Dark => "light failure",
            Kind::Glare => "overexposure",
        })
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Group::Foreign => "foreign object",
            Group::Damage => "damage",
            Group::Lens => "lens",
            Group::Light => "light",
        })
    }
}

/// One trouble and the frames in which any of it can be seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    pub kind: Kind,
    /// First frame in which it can be seen.
    pub start: u64,
    /// First frame in which it can no longer be seen.
    pub end: u64,
    /// From 0 (barely there) to 1.
    pub severity: f64,
    seed: u64,
    slot: i64,
}

/// A conveyor on which things go wrong at known times; everything follows from the seed.
#[derive(Clone, Debug)]
pub struct Show {
    pub(super) world: World,
    episodes: Vec<Episode>,
    frames: u64,
}

/// Normal frames before the first episode, in which a viewer learns what normal looks like.
const LEAD_IN: u64 = 16;
const TAIL: u64 = 8;

mod purpose {
    pub const WORLD: u64 = 101;
    pub const PLAN: u64 = 102;
}

impl Show {
    /// The show of a seed.
    pub fn new(seed: u64) -> Show {
        let mut world = World::new(stream(seed, purpose::WORLD, 0).next_u64());
        let mut random = stream(seed, purpose::PLAN, 0);
        let mut episodes: Vec<Episode> = Vec::new();
        let mut cursor = LEAD_IN;
        for kind in cast(&mut random) {
            let earliest = if episodes.is_empty() { cursor } else { cursor + 9 + random.below(6) };
            let episode = schedule(kind, earliest, &mut random);
            if kind.lies_on_belt() {
                world.take(episode.slot);
            }
            cursor = episode.end;
            episodes.push(episode);
        }
        Show { world, episodes, frames: cursor + TAIL }
    }

    /// Number of frames.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// What goes wrong, in order of time; episodes never overlap.
    pub fn episodes(&self) -> &[Episode] {
        &self.episodes
    }

    /// What is wrong in `frame`, if anything.
    pub fn truth(&self, frame: u64) -> Option<&Episode> {
        self.episodes.iter().find(|episode| (episode.start..episode.end).contains(&frame))
    }

    /// Draws `frame`; the belt runs on after the last one.
    pub fn draw(&self, frame: u64) -> Rgb {
        let trouble = self.truth(frame).map(|episode| episode.trouble(frame));
        self.world.render(frame, trouble.as_ref())
    }
}

/// The kinds of one show: every group appears, foreign objects and damage most often.
fn cast(random: &mut Random) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for (group, count) in
        [(Group::Foreign, 4), (Group::Damage, 2), (Group::Lens, 1), (Group::Light, 1)]
    {
        let mut choices: Vec<Kind> =
            Kind::ALL.into_iter().filter(|kind| kind.group() == group).collect();
        for _ in 0..count {
            kinds.push(choices.swap_remove(random.below(choices.len() as u64) as usize));
        }
    }
    for i in (1..kinds.len()).rev() {
        kinds.swap(i, random.below(i as u64 + 1) as usize);
    }
    kinds
}

/// An episode of `kind` that starts at `earliest` or as soon after it as a slot comes into view.
fn schedule(kind: Kind, earliest: u64, random: &mut Random) -> Episode {
    let severity = random.range(0.4, 1.0);
    let seed = random.next_u64();
    let length = if kind == Kind::Glove { 12 } else { 9 };
    let mut episode =
        Episode { kind, start: earliest, end: earliest + length, severity, seed, slot: 0 };
    if kind.lies_on_belt() {
        loop {
            let (start, end) = World::visible(&episode.trouble(earliest));
            if start >= earliest {
                (episode.start, episode.end) = (start, end);
                break;
            }
            episode.slot += 1;
        }
    }
    episode
}

impl Episode {
    pub(super) fn trouble(&self, frame: u64) -> Trouble {
        Trouble {
            kind: self.kind,
            severity: self.severity as f32,
            seed: self.seed,
            slot: self.slot,
            age: frame.saturating_sub(self.start),
            left: self.end.saturating_sub(frame),
        }
    }
}
