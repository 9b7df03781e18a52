//! Things that do not belong on the belt.

use super::part::metal;
use super::plane::{V2, v};
use super::shape::{Prim, Shape};
use super::show::Kind;
use super::solid::{Body, Crown, Finish, Layer, Material};
use crate::random::Random;

const ORIGIN: V2 = v(0.0, 0.0);

/// The object of a `kind` that lies or moves on the belt; `pace` animates what can walk.
/// Kinds that are no object give an empty body.
pub(super) fn object(kind: Kind, severity: f32, pace: u64, random: &mut Random) -> Body {
    let size = 0.75 + 0.35 * severity;
    match kind {
        Kind::Glove => glove(size, random),
        Kind::Insect => insect(size, pace, random),
        Kind::Leaf => leaf(size * 36.0, random),
        Kind::Wrench => wrench(size, random),
        Kind::Coin => coin(size * 20.0, random),
        Kind::Cable => cable(size, random),
        _ => Body::default(),
    }
}

fn matter(color: [f32; 3], gloss: f32, grain: f32, random: &mut Random) -> Material {
    Material { color, gloss, finish: Finish::Cast, grain, seed: random.next_u64() as u32 }
}

fn pick<T: Copy>(choices: &[T], random: &mut Random) -> T {
    choices[random.below(choices.len() as u64) as usize]
}

/// A gloved hand that reaches along +x, with the forearm behind it.
fn glove(size: f32, random: &mut Random) -> Body {
    let color = pick(&[[0.04, 0.17, 0.52], [0.62, 0.22, 0.02], [0.55, 0.53, 0.46]], random);
    let latex = matter(color, 0.25, 0.10, random);
    let sleeve = matter([0.055, 0.06, 0.08], 0.05, 0.25, random);
    let side = pick(&[-1.0, 1.0], random);
    let at = |x: f32, y: f32| v(x * size, y * size * side);
    let bent = random.range(0.75, 1.0) as f32;
    let mut hand = vec![
        Prim::bar(at(0.0, 0.0), v(19.0, 18.0) * size, 10.0 * size),
        Prim::capsule(at(-14.0, 0.0), at(-46.0, 0.0), 13.0 * size),
        Prim::capsule(at(-9.0, 13.0), at(9.0, 27.0), 6.2 * size),
        Prim::capsule(at(9.0, 27.0), at(24.0, 29.0), 5.4 * size),
    ];
    for (y, length) in [(-13.0, 21.0), (-4.6, 28.0), (4.4, 30.0), (13.0, 26.0)] {
        let tip = 15.0 + length * bent;
        hand.push(Prim::capsule(at(13.0, y), at(tip, y * 1.45), 5.0 * size));
    }
    let arm = vec![Prim::capsule(at(-52.0, 0.0), at(-150.0, 0.0), 19.0 * size)];
    let cuff = vec![Prim::bar(at(-40.0, 0.0), v(3.0, 16.0) * size, 2.0)];
    let dome = Crown::Round(7.0 * size);
    Body {
        layers: vec![
            Layer::new(Shape::new(arm), sleeve, Crown::Round(14.0 * size), 12.0),
            Layer::new(Shape::new(hand).blended(5.0 * size), latex, dome, 10.0),
            Layer::new(Shape::new(cuff), latex, Crown::Round(3.0), 2.0),
        ],
    }
}

/// A ladybird, a wasp or a dung beetle.
fn insect(size: f32, pace: u64, random: &mut Random) -> Body {
    let s = size * 1.25;
    let black = matter([0.015, 0.014, 0.014], 0.5, 0.2, random);
    let species = random.below(3);
    let (back, mark) = [
        ([0.50, 0.035, 0.015], [0.012; 3]),
        ([0.62, 0.36, 0.02], [0.015; 3]),
        ([0.10, 0.045, 0.018], [0.03, 0.014, 0.008]),
    ][species as usize];
    let shell = matter(back, 0.7, 0.08, random);
    let spots = matter(mark, 0.3, 0.1, random);
    let wide = if species == 1 { 7.0 } else { 11.5 };
    let abdomen = vec![Prim::ellipse(v(-4.0 * s, 0.0), v(15.0, wide) * s)];
    let chest = vec![Prim::ellipse(v(10.0 * s, 0.0), v(6.0, wide * 0.66) * s)];
    let head = vec![Prim::disc(v(17.0 * s, 0.0), 4.2 * s)];
    let mut marks = Vec::new();
    match species {
        0 => {
            for (x, y) in [(-12.0, 5.0), (-3.0, 6.5), (4.0, 3.5)] {
                marks.push(Prim::disc(v(x, y) * s, 2.4 * s));
                marks.push(Prim::disc(v(x, -y) * s, 2.4 * s));
            }
            marks.push(Prim::capsule(v(-19.0, 0.0) * s, v(9.0, 0.0) * s, 0.5 * s));
        }
        1 => {
            for x in [-15.0, -9.0, -3.0, 3.0] {
                marks.push(Prim::bar(v(x * s, 0.0), v(1.5, 9.0) * s, 0.0));
            }
        }
        _ => marks.push(Prim::capsule(v(-19.0, 0.0) * s, v(6.0, 0.0) * s, 0.7 * s)),
    }
    let marks = Shape::new(marks).within(abdomen.clone());
    let mut layers = vec![
        Layer::new(Shape::new(legs(s, wide, pace)), black, Crown::Round(0.8), 2.5),
        Layer::new(Shape::new(abdomen), shell, Crown::Round(wide * 0.8 * s), 5.0),
        Layer::new(marks, spots, Crown::Flat(0.0), 0.0).faint(0.92),
        Layer::new(Shape::new(chest), black, Crown::Round(5.0 * s), 1.0),
        Layer::new(Shape::new(head), black, Crown::Round(3.5 * s), 1.0),
    ];
    if species == 1 {
        let membrane = matter([0.55, 0.52, 0.42], 0.3, 0.35, random);
        let wings = Shape::new(
            [-1.0, 1.0]
                .map(|side| Prim::Ellipse {
                    center: v(-3.0, 10.0 * side) * s,
                    radii: v(14.0, 4.6) * s,
                    axis: V2::polar(1.0, -0.085 * side),
                })
                .to_vec(),
        );
        layers.push(Layer::new(wings, membrane, Crown::Flat(0.8), 1.0).faint(0.62));
    }
    Body { layers }
}

/// Six legs in a walking tripod, and two feelers.
fn legs(s: f32, wide: f32, pace: u64) -> Vec<Prim> {
    let mut legs = Vec::new();
    for (i, (hip, foot)) in [(12.0, 20.0), (7.0, 4.0), (1.0, -13.0)].into_iter().enumerate() {
        for side in [-1.0, 1.0] {
            let ahead = (i as u64 + pace + u64::from(side > 0.0)).is_multiple_of(2);
            let step = if ahead { 2.5 } else { -2.5 };
            let knee = v((hip + foot) / 2.0 + step, side * (wide + 4.0)) * s;
            legs.push(Prim::capsule(v(hip, 0.0) * s, knee, 1.1 * s));
            legs.push(Prim::capsule(knee, v(foot + step, side * (wide + 10.0)) * s, 0.85 * s));
        }
    }
    for side in [-1.0, 1.0] {
        legs.push(Prim::capsule(v(18.0, 1.5 * side) * s, v(27.0, 7.0 * side) * s, 0.7 * s));
    }
    legs
}

/// One side of a maple leaf, from the tip along +x to the stem.
const MAPLE: [(f32, f32); 16] = [
    (1.00, 0.00),
    (0.80, 0.10),
    (0.74, 0.21),
    (0.62, 0.16),
    (0.30, 0.15),
    (0.42, 0.36),
    (0.52, 0.42),
    (0.46, 0.54),
    (0.48, 0.82),
    (0.26, 0.70),
    (0.16, 0.76),
    (0.10, 0.56),
    (-0.10, 0.26),
    (-0.14, 0.52),
    (-0.34, 0.40),
    (-0.50, 0.10),
];

fn leaf(radius: f32, random: &mut Random) -> Body {
    let color = pick(
        &[[0.52, 0.16, 0.02], [0.48, 0.05, 0.02], [0.58, 0.38, 0.03], [0.14, 0.34, 0.04]],
        random,
    );
    let blade = matter(color, 0.12, 0.35, random);
    let vein = Material { color: color.map(|c| (c * 1.35 + 0.06).min(0.8)), ..blade };
    let point = |&(x, y): &(f32, f32), side: f32| v(x * radius, y * side * radius);
    let mut outline: Vec<V2> = MAPLE.iter().map(|p| point(p, 1.0)).collect();
    outline.extend(MAPLE.iter().skip(1).rev().map(|p| point(p, -1.0)));
    let outline = vec![Prim::polygon(outline, 0.8)];
    let base = v(-0.45 * radius, 0.0);
    let mut veins = vec![Prim::capsule(base, v(0.9 * radius, 0.0), 0.9)];
    for side in [-1.0, 1.0] {
        for (x, y) in [(0.42, 0.70), (-0.26, 0.38)] {
            veins.push(Prim::capsule(base, v(x, y * side) * radius, 0.7));
        }
    }
    let stem = Shape::new(vec![Prim::capsule(base, v(-1.0, 0.12) * radius, 1.2)]);
    Body {
        layers: vec![
            Layer::new(stem, vein, Crown::Round(1.0), 2.0),
            Layer::new(Shape::new(outline.clone()), blade, Crown::Flat(4.0), 3.5),
            Layer::new(Shape::new(veins).within(outline), vein, Crown::Round(0.8), 0.0).faint(0.8),
        ],
    }
}

/// A combination spanner.
fn wrench(size: f32, random: &mut Random) -> Body {
    let chrome = Material {
        color: [0.50, 0.52, 0.55],
        gloss: 0.9,
        finish: Finish::Brushed,
        grain: 0.06,
        seed: random.next_u64() as u32,
    };
    let s = size;
    let add = vec![
        Prim::bar(ORIGIN, v(40.0, 5.5) * s, 4.0 * s),
        Prim::disc(v(44.0, 0.0) * s, 15.0 * s),
        Prim::disc(v(-44.0, 0.0) * s, 12.5 * s),
    ];
    let jaw = V2::polar(1.0, 0.045);
    let hex = (0..6).map(|i| v(-44.0, 0.0) * s + V2::polar(7.6 * s, i as f32 / 6.0)).collect();
    let cut = vec![
        Prim::Bar {
            center: v(44.0, 0.0) * s + jaw * (9.0 * s),
            half: v(14.0, 7.0) * s,
            round: 3.0 * s,
            axis: jaw,
        },
        Prim::polygon(hex, 0.0),
    ];
    let forging = Shape::new(add).without(cut).blended(4.0 * s);
    let panel = Shape::new(vec![Prim::bar(ORIGIN, v(24.0, 2.6) * s, 2.4 * s)]);
    let recess = Material { color: chrome.color.map(|c| c * 0.6), ..chrome };
    Body {
        layers: vec![
            Layer::new(forging, chrome, Crown::Flat(2.6), 5.0),
            Layer::new(panel, recess, Crown::Sunk(1.4), 0.0),
        ],
    }
}

/// A two-colour coin with a star in relief.
fn coin(radius: f32, random: &mut Random) -> Body {
    let mut alloy = metal(random);
    alloy.finish = Finish::Cast;
    let gold = Material { color: [0.62, 0.43, 0.12], gloss: 0.8, ..alloy };
    let silver = Material { color: [0.55, 0.56, 0.57], gloss: 0.8, ..alloy };
    let (outer, inner) = pick(&[(gold, silver), (silver, gold), (gold, gold)], random);
    let blank = Shape::new(vec![Prim::disc(ORIGIN, radius)]);
    let field = Shape::new(vec![Prim::disc(ORIGIN, radius * 0.72)]);
    let star = (0..10)
        .map(|i| V2::polar(if i % 2 == 0 { 0.52 } else { 0.22 } * radius, i as f32 / 10.0))
        .collect();
    let pearls = (0..12)
        .map(|i| Prim::disc(V2::polar(radius * 0.85, i as f32 / 12.0), radius * 0.05))
        .collect();
    let bright = Material { color: inner.color.map(|c| (c * 1.4).min(0.85)), ..inner };
    Body {
        layers: vec![
            Layer::new(blank, outer, Crown::Flat(1.5), 2.5),
            Layer::new(field, inner, Crown::Sunk(1.6), 0.0),
            Layer::new(Shape::new(pearls), bright, Crown::Round(1.2), 0.6),
            Layer::new(Shape::new(vec![Prim::polygon(star, 0.0)]), bright, Crown::Flat(1.6), 0.8),
        ],
    }
}

/// A looped cable with a plug.
fn cable(size: f32, random: &mut Random) -> Body {
    let color = pick(&[[0.55, 0.03, 0.02], [0.60, 0.60, 0.57], [0.02, 0.02, 0.02]], random);
    let sheath = matter(color, 0.35, 0.05, random);
    let steel = matter([0.55, 0.56, 0.58], 0.9, 0.08, random);
    let loops = random.range(1.0, 1.6) as f32;
    let wobble = random.range(-6.0, 6.0) as f32;
    let at = |t: f32| {
        let swing = V2::polar(1.0, t * loops + 0.25);
        v(-46.0 + 92.0 * t - 24.0 * swing.x, 20.0 * swing.y + wobble * t) * size
    };
    const PIECES: usize = 24;
    let points: Vec<V2> = (0..=PIECES).map(|i| at(i as f32 / PIECES as f32)).collect();
    let run = points.windows(2).map(|ends| Prim::capsule(ends[0], ends[1], 2.9 * size)).collect();
    let (end, before) = (points[PIECES], points[PIECES - 1]);
    let axis = (end - before) * (1.0 / (end - before).len().max(1e-6));
    let block = |along: f32, half: V2, round: f32| {
        Shape::new(vec![Prim::Bar {
            center: end + axis * (along * size),
            half: half * size,
            round,
            axis,
        }])
    };
    Body {
        layers: vec![
            Layer::new(Shape::new(run), sheath, Crown::Round(2.9 * size), 3.0),
            Layer::new(block(8.0, v(9.0, 6.0), 2.0), sheath, Crown::Round(4.0), 4.0),
            Layer::new(block(21.0, v(6.0, 4.6), 0.5), steel, Crown::Flat(1.2), 3.0),
            Layer::new(block(21.0, v(3.0, 1.4), 0.0), sheath, Crown::Flat(0.0), 0.0),
        ],
    }
}
