//! Outlines as signed distances: negative inside, positive outside, in pixels.

use super::plane::{V2, v};

/// A building block of an outline.
#[derive(Clone, Debug)]
pub(super) enum Prim {
    Disc {
        center: V2,
        radius: f32,
    },
    /// A rectangle with rounded corners; `axis` is the unit vector of its length.
    Bar {
        center: V2,
        half: V2,
        round: f32,
        axis: V2,
    },
    /// All points within `radius` of a segment.
    Capsule {
        from: V2,
        to: V2,
        radius: f32,
    },
    Ellipse {
        center: V2,
        radii: V2,
        axis: V2,
    },
    /// A simple polygon grown by `round`; it lies within `reach` of `middle`.
    Polygon {
        points: Vec<V2>,
        round: f32,
        middle: V2,
        reach: f32,
    },
}

impl Prim {
    pub fn disc(center: V2, radius: f32) -> Prim {
        Prim::Disc { center, radius }
    }

    pub fn bar(center: V2, half: V2, round: f32) -> Prim {
        Prim::Bar { center, half, round, axis: v(1.0, 0.0) }
    }

    pub fn capsule(from: V2, to: V2, radius: f32) -> Prim {
        Prim::Capsule { from, to, radius }
    }

    pub fn ellipse(center: V2, radii: V2) -> Prim {
        Prim::Ellipse { center, radii, axis: v(1.0, 0.0) }
    }

    pub fn polygon(points: Vec<V2>, round: f32) -> Prim {
        let sum = points.iter().fold(v(0.0, 0.0), |sum, &point| sum + point);
        let middle = sum * (1.0 / points.len() as f32);
        let reach = points.iter().map(|&point| (point - middle).len()).fold(0.0, f32::max);
        Prim::Polygon { points, round, middle, reach: reach + round }
    }

    /// A lower bound of the distance that is cheap where the distance is not.
    fn bound(&self, p: V2) -> f32 {
        match self {
            Prim::Polygon { middle, reach, .. } => (p - *middle).len() - reach,
            _ => f32::MIN,
        }
    }

    fn distance(&self, p: V2) -> f32 {
        match self {
            Prim::Disc { center, radius } => (p - *center).len() - radius,
            Prim::Bar { center, half, round, axis } => {
                let q = (p - *center).back(*axis);
                let (dx, dy) = (q.x.abs() - (half.x - round), q.y.abs() - (half.y - round));
                v(dx.max(0.0), dy.max(0.0)).len() + dx.max(dy).min(0.0) - round
            }
            Prim::Capsule { from, to, radius } => segment(p, *from, *to) - radius,
            Prim::Ellipse { center, radii, axis } => ellipse((p - *center).back(*axis), *radii),
            Prim::Polygon { points, round, .. } => polygon(p, points) - round,
        }
    }

    /// Discs whose union has the same bounds as the block.
    fn hull(&self, mut disc: impl FnMut(V2, f32)) {
        match self {
            Prim::Disc { center, radius } => disc(*center, *radius),
            Prim::Bar { center, half, round, axis } => {
                for (sx, sy) in [(-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)] {
                    let corner = v(sx * (half.x - round), sy * (half.y - round));
                    disc(*center + corner.by(*axis), *round);
                }
            }
            Prim::Capsule { from, to, radius } => {
                disc(*from, *radius);
                disc(*to, *radius);
            }
            Prim::Ellipse { center, radii, .. } => disc(*center, radii.x.max(radii.y)),
            Prim::Polygon { points, round, .. } => points.iter().for_each(|p| disc(*p, *round)),
        }
    }
}

fn segment(p: V2, from: V2, to: V2) -> f32 {
    let (along, q) = (to - from, p - from);
    let t = (q.dot(along) / along.dot(along).max(1e-12)).clamp(0.0, 1.0);
    (q - along * t).len()
}

/// First-order distance to an ellipse: exact on the outline, good near it.
fn ellipse(p: V2, radii: V2) -> f32 {
    let k1 = v(p.x / radii.x, p.y / radii.y).len();
    let k2 = v(p.x / (radii.x * radii.x), p.y / (radii.y * radii.y)).len();
    if k2 < 1e-6 { -radii.x.min(radii.y) } else { k1 * (k1 - 1.0) / k2 }
}

/// Exact distance to a simple polygon; the crossing rule gives the sign.
fn polygon(p: V2, points: &[V2]) -> f32 {
    let mut nearest = f32::MAX;
    let mut inside = false;
    let mut before = points[points.len() - 1];
    for &point in points {
        let (along, q) = (before - point, p - point);
        let t = (q.dot(along) / along.dot(along).max(1e-12)).clamp(0.0, 1.0);
        let off = q - along * t;
        nearest = nearest.min(off.dot(off));
        if (point.y > p.y) != (before.y > p.y) {
            let x = point.x + (p.y - point.y) / (before.y - point.y) * (before.x - point.x);
            inside ^= p.x < x;
        }
        before = point;
    }
    if inside { -nearest.sqrt() } else { nearest.sqrt() }
}

/// An outline: the union of `add`, without `cut`, inside `keep`, seen through a bend.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    pub add: Vec<Prim>,
    pub cut: Vec<Prim>,
    pub keep: Vec<Prim>,
    /// Radius in pixels over which the blocks of `add` flow into each other.
    pub blend: f32,
    /// How far the outline sags, in pixels at one pixel from the middle (grows with the square).
    pub bend: f32,
}

impl Shape {
    pub fn new(add: Vec<Prim>) -> Shape {
        Shape { add, ..Shape::default() }
    }

    pub fn without(mut self, cut: Vec<Prim>) -> Shape {
        self.cut.extend(cut);
        self
    }

    pub fn within(mut self, keep: Vec<Prim>) -> Shape {
        self.keep.extend(keep);
        self
    }

    pub fn blended(mut self, blend: f32) -> Shape {
        self.blend = blend;
        self
    }

    /// Signed distance in pixels at `p`, in the shape's own coordinates.
    pub fn distance(&self, mut p: V2) -> f32 {
        p.y += self.bend * p.x * p.x;
        let mut d = f32::MAX;
        for prim in &self.add {
            if prim.bound(p) < d + self.blend {
                d = soft_min(d, prim.distance(p), self.blend);
            }
        }
        for prim in &self.cut {
            d = d.max(-prim.distance(p));
        }
        if !self.keep.is_empty() {
            let kept = self.keep.iter().map(|prim| prim.distance(p)).fold(f32::MAX, f32::min);
            d = d.max(kept);
        }
        d
    }

    /// Radius of a disc around the origin that holds the shape.
    pub fn reach(&self) -> f32 {
        let mut reach = 0.0f32;
        for prim in &self.add {
            prim.hull(|center, radius| reach = reach.max(center.len() + radius));
        }
        reach + self.blend + self.bend.abs() * reach * reach
    }

    /// Leftmost and rightmost x of the shape when it is rotated by the unit vector `axis`.
    pub fn span(&self, axis: V2) -> (f32, f32) {
        let (mut left, mut right) = (f32::MAX, f32::MIN);
        for prim in &self.add {
            prim.hull(|center, radius| {
                // A parabola lies under its chords: straight and bent ends together hold the block.
                let far = center.x.abs() + radius;
                let sag = v(0.0, self.bend * far * far);
                for center in [center, center - sag] {
                    let x = center.by(axis).x;
                    left = left.min(x - radius - self.blend);
                    right = right.max(x + radius + self.blend);
                }
            });
        }
        (left, right)
    }
}

/// The polynomial smooth minimum (Quilez 2013): equals `min` where the two differ by `blend` or more.
fn soft_min(a: f32, b: f32, blend: f32) -> f32 {
    let nearer = a.min(b);
    if blend <= 0.0 {
        return nearer;
    }
    let h = (blend - (a - b).abs()).max(0.0) / blend;
    nearer - h * h * blend * 0.25
}
