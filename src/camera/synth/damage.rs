//! What can happen to a part before it reaches the camera.

use super::part::{Part, PartKind, break_teeth};
use super::plane::{V2, v};
use super::shape::{Prim, Shape};
use super::show::Kind;
use super::solid::{Body, Crown, Finish, Layer, Material};
use crate::random::Random;

/// A damaged part: its body, and what came off it, still lying beside it.
pub(super) struct Wreck {
    pub body: Body,
    /// The fragment and how far it slid, in the part's own coordinates.
    pub fragment: Option<(Body, V2)>,
}

/// A part that a `kind` of damage can happen to.
fn intact(kind: Kind, random: &mut Random) -> Part {
    let candidates: &[PartKind] = match kind {
        Kind::MissingTeeth => &[PartKind::Gear],
        Kind::Bent => &[PartKind::Bracket, PartKind::Bushing, PartKind::Flange],
        _ => &PartKind::ALL,
    };
    Part::new(candidates[random.below(candidates.len() as u64) as usize], random)
}

/// A part after a `kind` of damage with a `severity` in `(0, 1]`.
pub(super) fn wreck(kind: Kind, severity: f32, random: &mut Random) -> Wreck {
    let Part { radius, mut body } = intact(kind, random);
    let mut fragment = None;
    match kind {
        Kind::Broken => fragment = Some(snap(&mut body, radius, severity, random)),
        Kind::Cracked => crack(&mut body, radius, severity, random),
        Kind::MissingTeeth => break_teeth(&mut body, 2 + (severity * 4.0) as usize, random),
        Kind::Bent => bend(&mut body, severity),
        _ => scratch(&mut body, radius, severity, random),
    }
    Wreck { body, fragment }
}

/// Breaks a piece off along a jagged chord; the piece lies a little aside.
fn snap(body: &mut Body, radius: f32, severity: f32, random: &mut Random) -> (Body, V2) {
    let axis = V2::polar(1.0, random.unit() as f32);
    let chord = radius * (0.50 - 0.55 * severity);
    let mut edge = Vec::new();
    for i in -6..=6 {
        let jag = random.range(-0.11, 0.11) as f32 * radius;
        edge.push(v(chord + jag, i as f32 * radius / 4.5).by(axis));
    }
    edge.push(v(radius * 3.0, radius * 1.4).by(axis));
    edge.push(v(radius * 3.0, radius * -1.4).by(axis));
    let piece = Prim::polygon(edge, 0.0);
    let mut fragment = body.clone();
    for layer in &mut fragment.layers {
        layer.shape.keep.push(piece.clone());
    }
    body.cut(&[piece]);
    let slide = v(radius * random.range(0.22, 0.4) as f32, random.range(-5.0, 5.0) as f32);
    (fragment, slide.by(axis))
}

/// A jagged line through `radius` on both sides of the middle.
fn jagged(radius: f32, width: f32, random: &mut Random) -> Vec<Prim> {
    let axis = V2::polar(1.0, random.unit() as f32);
    let mut at = v(-1.1 * radius, random.range(-0.3, 0.3) as f32 * radius);
    let mut line = Vec::new();
    for i in 1..=8 {
        let x = (-1.1 + 2.2 * i as f32 / 8.0) * radius;
        let next = v(x, at.y + random.range(-0.16, 0.16) as f32 * radius);
        line.push(Prim::capsule(at.by(axis), next.by(axis), width));
        at = next;
    }
    line
}

fn crack(body: &mut Body, radius: f32, severity: f32, random: &mut Random) {
    let mut cut = jagged(radius, 0.6 + 1.3 * severity, random);
    if severity > 0.5 {
        cut.extend(jagged(radius, 0.5 + 0.7 * severity, random).into_iter().take(4));
    }
    body.cut(&cut);
}

fn bend(body: &mut Body, severity: f32) {
    for layer in &mut body.layers {
        layer.shape.bend = 0.007 + 0.016 * severity;
    }
}

/// Deep bright scores across the part, a burr beside each.
fn scratch(body: &mut Body, radius: f32, severity: f32, random: &mut Random) {
    let outline: Shape = body.layers[0].shape.clone();
    let strokes = 2 + (severity * 3.0) as usize;
    let turns = random.unit() as f32;
    for _ in 0..strokes {
        let axis = V2::polar(1.0, turns + random.range(-0.05, 0.05) as f32);
        let y = random.range(-0.7, 0.7) as f32 * radius;
        let (from, to) = (v(-radius, y).by(axis), v(radius, y).by(axis));
        let width = 0.35 + 0.5 * severity * random.unit() as f32;
        for (shift, color) in [(0.8, [0.06; 3]), (-0.4, [0.75, 0.75, 0.73])] {
            let aside = v(0.0, shift).by(axis);
            let mut shape = Shape::new(vec![Prim::capsule(from + aside, to + aside, width)])
                .within(outline.add.clone())
                .without(outline.cut.clone());
            shape.bend = outline.bend;
            let material =
                Material { color, gloss: 0.0, finish: Finish::Cast, grain: 0.3, seed: 5 };
            body.layers.push(Layer::new(shape, material, Crown::Flat(0.0), 0.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::canvas::Canvas;
    use super::super::solid::{Pose, Sun};
    use super::*;

    fn drawn(body: &Body) -> Canvas {
        let mut canvas = Canvas::new();
        let pose = Pose { center: v(80.0, 80.0), axis: v(1.0, 0.0) };
        body.draw(&mut canvas, pose, Sun { direction: [-0.45, -0.55, 0.7] });
        canvas
    }

    #[test]
    fn damage_changes_the_part_more_the_worse_it_is() {
        let kinds = [Kind::Broken, Kind::Cracked, Kind::MissingTeeth, Kind::Bent, Kind::Scratched];
        for kind in kinds {
            let mut changes = [0.0f32; 2];
            for (severity, change) in [0.4, 1.0].into_iter().zip(&mut changes) {
                for seed in 0..6 {
                    let whole = drawn(&intact(kind, &mut Random::new(seed)).body);
                    let broken = drawn(&wreck(kind, severity, &mut Random::new(seed)).body);
                    let pairs = whole.pixels.iter().flatten().zip(broken.pixels.iter().flatten());
                    let changed: f32 = pairs.map(|(a, b)| (a - b).abs()).sum();
                    assert!(changed > 25.0, "{kind} {severity} {seed}: {changed}");
                    *change += changed;
                }
            }
            assert!(changes[1] > changes[0] * 1.1, "{kind}: {changes:?}");
        }
    }
}
