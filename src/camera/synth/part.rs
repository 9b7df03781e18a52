//! The machined and moulded parts that belong on the belt.

use super::plane::{V2, v};
use super::shape::{Prim, Shape};
use super::solid::{Body, Crown, Finish, Layer, Material};
use crate::random::Random;

/// What kind of part it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PartKind {
    Gear,
    Flange,
    HexNut,
    Bracket,
    Knob,
    Bushing,
}

impl PartKind {
    pub const ALL: [PartKind; 6] = [
        PartKind::Gear,
        PartKind::Flange,
        PartKind::HexNut,
        PartKind::Bracket,
        PartKind::Knob,
        PartKind::Bushing,
    ];
}

/// One part: everything about it but its place.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Half its largest extent, in pixels.
    pub radius: f32,
    pub body: Body,
}

const ORIGIN: V2 = v(0.0, 0.0);

impl Part {
    /// A part of `kind`; its size, finish and details come from `random`.
    pub fn new(kind: PartKind, random: &mut Random) -> Part {
        let radius = random.range(31.0, 34.0) as f32;
        let body = match kind {
            PartKind::Gear => gear(radius, metal(random), random),
            PartKind::Flange => flange(radius, metal(random), random),
            PartKind::HexNut => hex_nut(radius, metal(random)),
            PartKind::Bracket => bracket(radius, metal(random)),
            PartKind::Knob => knob(radius, plastic(random)),
            PartKind::Bushing => bushing(radius, metal(random)),
        };
        Part { radius, body }
    }
}

/// Steel, zinc, brass or blackened steel, as it comes from the machine.
pub(super) fn metal(random: &mut Random) -> Material {
    const COLORS: [[f32; 3]; 4] =
        [[0.46, 0.48, 0.50], [0.58, 0.58, 0.55], [0.55, 0.42, 0.17], [0.40, 0.44, 0.50]];
    let color = COLORS[random.below(COLORS.len() as u64) as usize];
    let finish = [Finish::Brushed, Finish::Turned, Finish::Cast][random.below(3) as usize];
    let level = random.range(0.88, 1.12) as f32;
    Material {
        color: color.map(|c| c * level),
        gloss: random.range(0.4, 0.9) as f32,
        finish,
        grain: random.range(0.08, 0.2) as f32,
        seed: random.next_u64() as u32,
    }
}

fn plastic(random: &mut Random) -> Material {
    const COLORS: [[f32; 3]; 3] = [[0.05, 0.14, 0.42], [0.50, 0.14, 0.03], [0.56, 0.52, 0.42]];
    let color = COLORS[random.below(COLORS.len() as u64) as usize];
    let level = random.range(0.88, 1.12) as f32;
    Material {
        color: color.map(|c| c * level),
        gloss: random.range(0.15, 0.35) as f32,
        finish: Finish::Cast,
        grain: 0.05,
        seed: random.next_u64() as u32,
    }
}

/// The same material with another brightness.
fn toned(material: Material, level: f32) -> Material {
    Material { color: material.color.map(|c| c * level), ..material }
}

/// `count` blocks around the origin, made by `block` from the direction of each.
fn ring_of(count: u64, block: impl Fn(V2) -> Prim) -> Vec<Prim> {
    (0..count).map(|i| block(V2::polar(1.0, i as f32 / count as f32))).collect()
}

/// The tooth of a spur gear that points along `axis`.
fn tooth(radius: f32, count: u64, axis: V2) -> Prim {
    let pitch = radius * std::f32::consts::TAU / count as f32;
    let corner = |along: f32, across: f32| v(along * radius, across * pitch).by(axis);
    let points =
        vec![corner(0.70, -0.29), corner(1.0, -0.15), corner(1.0, 0.15), corner(0.70, 0.29)];
    Prim::polygon(points, 0.5)
}

fn gear(radius: f32, material: Material, random: &mut Random) -> Body {
    let count = 11 + random.below(4);
    let mut add = vec![Prim::disc(ORIGIN, radius * 0.79)];
    add.extend(ring_of(count, |axis| tooth(radius, count, axis)));
    let bore = [
        Prim::disc(ORIGIN, radius * 0.20),
        Prim::bar(v(radius * 0.2, 0.0), v(radius * 0.1, radius * 0.08), 0.0),
    ];
    let mut cut = bore.to_vec();
    let holes = [0, 4, 5, 6][random.below(4) as usize];
    cut.extend(ring_of(holes, |axis| Prim::disc(axis * (radius * 0.56), radius * 0.13)));
    let blank = Shape::new(add).without(cut);
    let hub = Shape::new(vec![Prim::disc(ORIGIN, radius * 0.36)]).without(bore.to_vec());
    Body {
        layers: vec![
            Layer::new(blank, toned(material, 0.92), Crown::Flat(1.8), 4.0),
            Layer::new(hub, toned(material, 1.08), Crown::Flat(1.6), 2.0),
        ],
    }
}

/// The gear `body` without some neighbouring teeth, of which ragged stumps remain.
pub(super) fn break_teeth(body: &mut Body, count: usize, random: &mut Random) {
    for layer in &mut body.layers {
        let teeth = layer.shape.add.len() - 1;
        if teeth == 0 {
            continue;
        }
        let first = random.below(teeth as u64) as usize;
        for i in 0..count {
            let index = 1 + (first + i) % teeth;
            let Prim::Polygon { points, .. } = &layer.shape.add[index] else { continue };
            let stump = random.range(0.70, 0.82) as f32;
            let points = points.iter().map(|&point| point * stump).collect();
            layer.shape.add[index] = Prim::polygon(points, 0.5);
        }
    }
}

fn flange(radius: f32, material: Material, random: &mut Random) -> Body {
    let holes = [0, 4, 6][random.below(3) as usize];
    let bore = Prim::disc(ORIGIN, radius * 0.34);
    let mut cut = vec![bore.clone()];
    cut.extend(ring_of(holes, |axis| Prim::disc(axis * (radius * 0.68), radius * 0.10)));
    let plate = Shape::new(vec![Prim::disc(ORIGIN, radius * 0.92)]).without(cut);
    let collar = Shape::new(vec![Prim::disc(ORIGIN, radius * 0.48)]).without(vec![bore]);
    let turned = Material { finish: Finish::Turned, ..material };
    Body {
        layers: vec![
            Layer::new(plate, turned, Crown::Flat(1.6), 3.0),
            Layer::new(collar, toned(turned, 1.1), Crown::Flat(1.5), 2.5),
        ],
    }
}

fn hex_nut(radius: f32, material: Material) -> Body {
    let corners = (0..6).map(|i| V2::polar(radius * 0.98, i as f32 / 6.0)).collect();
    let bore = Prim::disc(ORIGIN, radius * 0.42);
    let prism = Shape::new(vec![Prim::polygon(corners, 0.0)]).without(vec![bore]);
    let face = Shape::new(vec![Prim::disc(ORIGIN, radius * 0.80)])
        .without(vec![Prim::disc(ORIGIN, radius * 0.52)]);
    let thread = Shape::new(vec![Prim::disc(ORIGIN, radius * 0.47)])
        .without(vec![Prim::disc(ORIGIN, radius * 0.40)]);
    Body {
        layers: vec![
            Layer::new(prism, toned(material, 0.86), Crown::Flat(3.0), 7.0),
            Layer::new(face, toned(material, 1.1), Crown::Flat(1.2), 0.0),
            Layer::new(thread, toned(material, 0.45), Crown::Sunk(1.5), 0.0),
        ],
    }
}

fn bracket(radius: f32, material: Material) -> Body {
    let r = radius;
    let add = vec![
        Prim::bar(v(-0.42 * r, 0.0), v(0.32 * r, 0.86 * r), 0.14 * r),
        Prim::bar(v(0.06 * r, 0.54 * r), v(0.80 * r, 0.32 * r), 0.14 * r),
    ];
    let cut = vec![
        Prim::disc(v(-0.42 * r, -0.54 * r), 0.14 * r),
        Prim::capsule(v(-0.42 * r, -0.12 * r), v(-0.42 * r, 0.10 * r), 0.09 * r),
        Prim::disc(v(-0.42 * r, 0.54 * r), 0.14 * r),
        Prim::disc(v(0.52 * r, 0.54 * r), 0.14 * r),
    ];
    let plate = Shape::new(add).without(cut);
    let brushed = Material { finish: Finish::Brushed, ..material };
    let rib = Shape::new(vec![
        Prim::capsule(v(-0.22 * r, -0.7 * r), v(-0.22 * r, 0.30 * r), 0.05 * r),
        Prim::capsule(v(-0.22 * r, 0.30 * r), v(0.70 * r, 0.30 * r), 0.05 * r),
    ]);
    Body {
        layers: vec![
            Layer::new(plate, brushed, Crown::Flat(1.6), 3.0),
            Layer::new(rib, toned(brushed, 1.1), Crown::Round(1.4), 1.0),
        ],
    }
}

fn knob(radius: f32, material: Material) -> Body {
    let flutes = ring_of(14, |axis| Prim::disc(axis * (radius * 0.97), radius * 0.10));
    let skirt = Shape::new(vec![Prim::disc(ORIGIN, radius * 0.93)]).without(flutes);
    let dome = Shape::new(vec![Prim::disc(ORIGIN, radius * 0.66)]);
    let insert = Shape::new(vec![Prim::disc(ORIGIN, radius * 0.22)]);
    let pointer = Shape::new(vec![Prim::capsule(
        v(radius * 0.36, 0.0),
        v(radius * 0.58, 0.0),
        radius * 0.05,
    )]);
    let white = Material { color: [0.7, 0.7, 0.68], ..material };
    Body {
        layers: vec![
            Layer::new(skirt, toned(material, 0.85), Crown::Flat(2.2), 6.0),
            Layer::new(dome, material, Crown::Round(radius * 0.4), 2.5),
            Layer::new(insert, toned(material, 0.8), Crown::Sunk(2.0), 0.0),
            Layer::new(pointer, white, Crown::Flat(0.5), 0.0),
        ],
    }
}

/// A cylinder that lies on its side, with two grooves.
fn bushing(radius: f32, material: Material) -> Body {
    let r = radius;
    let tube = Shape::new(vec![Prim::bar(ORIGIN, v(0.92 * r, 0.46 * r), 1.5)]);
    let mut layers = vec![Layer::new(
        tube.clone(),
        Material { finish: Finish::Cast, ..material },
        Crown::Tube(0.46 * r),
        7.0,
    )];
    for x in [-0.52, 0.52] {
        let groove = Shape::new(vec![Prim::bar(v(x * r, 0.0), v(0.06 * r, 0.46 * r), 0.0)]);
        layers.push(Layer::new(groove, toned(material, 0.35), Crown::Flat(0.0), 0.0).faint(0.75));
    }
    let sleeve = Shape::new(vec![Prim::bar(ORIGIN, v(0.30 * r, 0.52 * r), 1.0)]);
    layers.push(Layer::new(sleeve, toned(material, 1.05), Crown::Tube(0.52 * r), 1.5));
    Body { layers }
}
