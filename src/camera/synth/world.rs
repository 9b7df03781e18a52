//! The conveyor as a function of time: which part lies where, and how light and camera drift.

use super::SIDE;
use super::belt::Belt;
use super::canvas::{Canvas, Lamp, Optics};
use super::damage::wreck;
use super::foreign::object;
use super::lens::{droplets, smear};
use super::noise::{drift, fade, lattice, stream};
use super::part::{Part, PartKind};
use super::plane::{V2, v};
use super::show::{Group, Kind};
use super::solid::{Body, Pose, Sun};
use crate::image::Rgb;

/// How far the belt moves from one frame to the next, in pixels.
pub(super) const BELT_STEP_PX: f64 = 16.0;
/// Mean distance between two parts on the belt, in pixels.
const PITCH_PX: f64 = 86.0;
/// Nothing that lies in a slot reaches further than this from the slot's middle, in pixels.
const SLOT_REACH_PX: f64 = 170.0;

/// Blur, vibration and moving legs spread an object by less than this, in pixels.
const FRINGE_PX: f32 = 8.0;

/// What the streams of `noise::stream` are for.
mod purpose {
    pub const WORLD: u64 = 1;
    pub const SLOT: u64 = 2;
    pub const SENSOR: u64 = 3;
    pub const TROUBLE: u64 = 4;
}

/// One conveyor with its own wear and its own parts; `seed` decides all of it.
#[derive(Clone, Debug)]
pub(super) struct World {
    seed: u64,
    belt: Belt,
    drift_seed: u32,
    /// Slots without a part of their own: something else lies there.
    taken: Vec<i64>,
}

/// Something wrong, as the renderer sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trouble {
    pub kind: Kind,
    pub severity: f32,
    pub seed: u64,
    /// The slot of the belt that it takes, for what lies on the belt.
    pub slot: i64,
    /// Frames since it began, and frames until it ends.
    pub age: u64,
    pub left: u64,
}

/// What lies in one slot of the belt.
struct Lying {
    body: Body,
    /// Middle, relative to the slot's place on the belt.
    center: V2,
    axis: V2,
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut random = stream(seed, purpose::WORLD, 0);
        let level = random.range(0.94, 1.06) as f32;
        let belt = Belt {
            seed: random.next_u64() as u32,
            color: [0.052, 0.098, 0.088].map(|c| c * level),
        };
        World { seed, belt, drift_seed: random.next_u64() as u32, taken: Vec::new() }
    }

    /// Keeps a slot free of parts.
    pub fn take(&mut self, slot: i64) {
        self.taken.push(slot);
    }

    /// Draws `frame`, with `trouble` if there is any.
    pub fn render(&self, frame: u64, trouble: Option<&Trouble>) -> Rgb {
        let mut canvas = Canvas::new();
        let sun = self.sun(frame);
        let shake = self.shake(frame);
        self.belt.draw(&mut canvas, travel_px(frame), shake);
        for slot in slots_near(frame) {
            if let Some(lying) = self.part(slot) {
                lying.draw(&mut canvas, slot_x(slot, frame), shake, sun);
            }
        }
        let optics = self.optics(frame);
        if let Some(trouble) = trouble {
            self.draw_trouble(&mut canvas, frame, trouble, shake, sun);
        }
        canvas.light(&lit(self.lamp(frame), trouble));
        canvas.drag(optics.motion_px);
        canvas.soften(optics.focus_px);
        if let Some(trouble) = trouble {
            let mut random = stream(trouble.seed, purpose::TROUBLE, 1);
            match trouble.kind {
                Kind::Smear => smear(&mut canvas, trouble.amount(), &mut random),
                Kind::Droplets => droplets(&mut canvas, trouble.amount(), &mut random),
                _ => {}
            }
        }
        canvas.develop(optics.read_noise, &mut stream(self.seed, purpose::SENSOR, frame))
    }

    /// First frame in which anything of what lies in `trouble`'s slot can be seen, its shadow
    /// included, and the first frame without it.
    pub fn visible(trouble: &Trouble) -> (u64, u64) {
        let (mut left, mut right) = (f32::MAX, f32::MIN);
        for lying in trouble.lying(0) {
            let (from, to) = lying.body.span(lying.axis);
            left = left.min(lying.center.x + from);
            right = right.max(lying.center.x + to);
        }
        let enters = slot_entry(trouble.slot) - f64::from(right + FRINGE_PX);
        let leaves = slot_entry(trouble.slot) + f64::from(SIDE) - f64::from(left - FRINGE_PX);
        let frame = |way: f64| (way / BELT_STEP_PX).ceil().max(0.0) as u64;
        (frame(enters), frame(leaves))
    }

    /// The part in a slot; some slots are empty.
    fn part(&self, slot: i64) -> Option<Lying> {
        let mut random = stream(self.seed, purpose::SLOT, slot as u64);
        if random.unit() < 0.10 || self.taken.contains(&slot) {
            return None;
        }
        let kind = PartKind::ALL[random.below(PartKind::ALL.len() as u64) as usize];
        let center = v(
            random.range(-5.0, 5.0) as f32,
            (random.range(-20.0, 20.0) + f64::from(SIDE) / 2.0) as f32,
        );
        let axis = V2::polar(1.0, random.unit() as f32);
        Some(Lying { body: Part::new(kind, &mut random).body, center, axis })
    }

    fn draw_trouble(
        &self,
        canvas: &mut Canvas,
        frame: u64,
        trouble: &Trouble,
        shake: V2,
        sun: Sun,
    ) {
        if trouble.kind == Kind::Glove {
            trouble.reach_in().draw(canvas, 0.0, shake, sun);
        } else {
            for lying in trouble.lying(frame) {
                lying.draw(canvas, slot_x(trouble.slot, frame), shake, sun);
            }
        }
    }

    fn drift(&self, which: u32, frame: u64, period: f64) -> f32 {
        drift(self.drift_seed.wrapping_add(which), frame as f64, period)
    }

    fn sun(&self, frame: u64) -> Sun {
        let [x, y] = [-0.45 + 0.05 * self.drift(1, frame, 160.0), -0.55];
        Sun { direction: [x, y, (1.0 - x * x - y * y).sqrt()] }
    }

    /// Vibration of the camera, in pixels.
    fn shake(&self, frame: u64) -> V2 {
        v(self.drift(2, frame, 1.0), self.drift(3, frame, 1.0)) * 0.6
    }

    fn lamp(&self, frame: u64) -> Lamp {
        let flicker = lattice(self.drift_seed, frame as i32, 9) - 0.5;
        Lamp {
            brightness: 1.5 * (1.0 + 0.16 * self.drift(4, frame, 90.0) + 0.03 * flicker),
            warmth: 0.02 + 0.06 * self.drift(5, frame, 120.0),
            center: v(
                70.0 + 14.0 * self.drift(6, frame, 130.0),
                62.0 + 12.0 * self.drift(7, frame, 110.0),
            ),
        }
    }

    fn optics(&self, frame: u64) -> Optics {
        Optics {
            focus_px: 0.60 + 0.15 * self.drift(8, frame, 70.0),
            motion_px: 1.8 + 0.7 * self.drift(9, frame, 80.0),
            read_noise: 0.0035 + 0.001 * self.drift(10, frame, 100.0),
        }
    }
}

impl Lying {
    fn draw(&self, canvas: &mut Canvas, x: f32, shake: V2, sun: Sun) {
        let center = self.center + v(x, 0.0) + shake;
        self.body.draw(canvas, Pose { center, axis: self.axis }, sun);
    }
}

impl Trouble {
    /// How strong it is now: it comes and goes over three frames.
    fn amount(&self) -> f32 {
        let eased = (self.age + 1).min(self.left).min(3) as f32 / 3.0;
        self.severity * eased
    }

    /// What lies in the slot, at `frame`.
    fn lying(&self, frame: u64) -> Vec<Lying> {
        let mut random = stream(self.seed, purpose::TROUBLE, 0);
        let middle = SIDE as f32 / 2.0;
        let mut center = v(0.0, middle + random.range(-20.0, 20.0) as f32);
        let mut turns = random.unit() as f32;
        match self.kind.group() {
            Group::Damage => {
                let wreck = wreck(self.kind, self.severity, &mut random);
                let axis = V2::polar(1.0, turns);
                let mut all = vec![Lying { body: wreck.body, center, axis }];
                if let Some((body, slide)) = wreck.fragment {
                    let axis = V2::polar(1.0, turns + 0.02);
                    all.push(Lying { body, center: center + slide.by(axis), axis });
                }
                all
            }
            Group::Foreign => {
                if matches!(self.kind, Kind::Wrench | Kind::Cable) {
                    // Long things lie across the belt or along it, not over the rails.
                    turns = random.range(-0.11, 0.11) as f32;
                    center.y = middle + random.range(-12.0, 12.0) as f32;
                }
                let body = object(self.kind, self.severity, frame, &mut random);
                vec![Lying { body, center, axis: V2::polar(1.0, turns) }]
            }
            Group::Lens | Group::Light => Vec::new(),
        }
    }

    /// The hand comes over the rail, stays a moment and goes.
    fn reach_in(&self) -> Lying {
        let mut random = stream(self.seed, purpose::TROUBLE, 0);
        let from_top = random.below(2) == 0;
        let x = random.range(55.0, 105.0) as f32;
        let turns = random.range(-0.05, 0.05) as f32;
        let body = object(self.kind, self.severity, 0, &mut random);
        let eased = fade((self.age + 1).min(self.left) as f32 / 4.0);
        let depth = -38.0 + eased * (70.0 + 25.0 * self.severity);
        let side = SIDE as f32;
        let (y, heading) = if from_top { (depth, 0.25) } else { (side - depth, 0.75) };
        Lying { body, center: v(x, y), axis: V2::polar(1.0, heading + turns) }
    }
}

/// The lamp, with its trouble.
fn lit(lamp: Lamp, trouble: Option<&Trouble>) -> Lamp {
    let factor = match trouble {
        Some(t) if t.kind == Kind::Dark => {
            1.0 - (0.62 + 0.35 * t.severity) * t.amount() / t.severity
        }
        Some(t) if t.kind == Kind::Glare => 1.0 + 4.0 * t.amount(),
        _ => 1.0,
    };
    Lamp { brightness: lamp.brightness * factor, ..lamp }
}

/// Way of the belt since the start.
fn travel_px(frame: u64) -> f64 {
    frame as f64 * BELT_STEP_PX
}

/// Way of the belt when the middle of `slot` crosses the left border.
fn slot_entry(slot: i64) -> f64 {
    slot as f64 * PITCH_PX
}

fn slot_x(slot: i64, frame: u64) -> f32 {
    (travel_px(frame) - slot_entry(slot)) as f32
}

/// The slots that may be seen, the leading one first.
fn slots_near(frame: u64) -> impl Iterator<Item = i64> {
    let travel = travel_px(frame);
    let first = ((travel - f64::from(SIDE) - SLOT_REACH_PX) / PITCH_PX).floor() as i64;
    let last = ((travel + SLOT_REACH_PX) / PITCH_PX).ceil() as i64;
    first..=last
}
