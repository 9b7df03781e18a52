//! Solids seen from above: outlines with a height profile, a material, and a shadow.

use super::canvas::Canvas;
use super::noise::{cloud, fade, lattice};
use super::plane::{V2, v};
use super::shape::{Prim, Shape};

/// Where the light comes from, for everything in one frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sun {
    /// Unit vector towards the light: x, y in the picture plane, z towards the camera.
    pub direction: [f32; 3],
}

/// The machining marks of a surface.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Finish {
    /// Straight fine lines along the local x axis.
    Brushed,
    /// Concentric lines of a lathe, with the bow-tie highlight that they give.
    Turned,
    /// Speckled, without direction.
    Cast,
}

/// What a surface looks like: linear-light reflectance, gloss and texture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Material {
    pub color: [f32; 3],
    /// Strength of the highlight.
    pub gloss: f32,
    pub finish: Finish,
    /// Relative contrast of the finish.
    pub grain: f32,
    pub seed: u32,
}

/// How the height falls towards the outline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Crown {
    /// A flat top with a chamfer this many pixels wide.
    Flat(f32),
    /// A quarter-round this many pixels wide: a dome, a tube, a finger.
    Round(f32),
    /// A cylinder of this radius that lies along the local x axis.
    Tube(f32),
    /// A hollow with a chamfer this many pixels wide.
    Sunk(f32),
}

/// One outline of one material at one height.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub shape: Shape,
    pub material: Material,
    pub crown: Crown,
    /// Height above what lies below, in pixels: the length of the shadow. Zero casts none.
    pub lift: f32,
    /// Share of the light that the layer stops: 1 is opaque.
    pub opacity: f32,
}

impl Layer {
    pub fn new(shape: Shape, material: Material, crown: Crown, lift: f32) -> Layer {
        Layer { shape, material, crown, lift, opacity: 1.0 }
    }

    pub fn faint(mut self, opacity: f32) -> Layer {
        self.opacity = opacity;
        self
    }
}

/// A place and a rotation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pose {
    pub center: V2,
    /// Unit vector that the local x axis points along.
    pub axis: V2,
}

/// A thing made of layers, lowest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Body {
    pub layers: Vec<Layer>,
}

impl Body {
    pub fn draw(&self, canvas: &mut Canvas, pose: Pose, sun: Sun) {
        for layer in &self.layers {
            cast(canvas, layer, pose, sun);
            paint(canvas, layer, pose, sun);
        }
    }

    /// Leftmost and rightmost x of the body and its shadow around its centre when rotated by `axis`.
    pub fn span(&self, axis: V2) -> (f32, f32) {
        let (mut left, mut right) = (0.0f32, 0.0f32);
        for layer in &self.layers {
            // The offset of a thrown shadow is below 0.8 of the lift.
            let shadow =
                if layer.lift > 0.0 { 0.8 * layer.lift + 2.0 * softness(layer) } else { 0.0 };
            let (from, to) = layer.shape.span(axis);
            left = left.min(from - shadow);
            right = right.max(to + shadow);
        }
        (left, right)
    }

    /// Takes `cut` out of every layer.
    pub fn cut(&mut self, cut: &[Prim]) {
        for layer in &mut self.layers {
            layer.shape.cut.extend_from_slice(cut);
        }
    }
}

/// Darkens what lies below: a sharp-ish shadow away from the light and a contact shadow all around.
fn cast(canvas: &mut Canvas, layer: &Layer, pose: Pose, sun: Sun) {
    if layer.lift <= 0.0 {
        return;
    }
    let [lx, ly, lz] = sun.direction;
    let offset = v(-lx / lz, -ly / lz) * layer.lift;
    let soft = softness(layer);
    let shift = offset.back(pose.axis);
    let reach = layer.shape.reach() + offset.len() + soft * 2.0;
    canvas.each_near(pose.center, reach, |pixel, at| {
        let p = (at - pose.center).back(pose.axis);
        let thrown = fade(0.5 - layer.shape.distance(p - shift) / (2.0 * soft));
        let contact = fade(0.5 - layer.shape.distance(p) / (4.0 * soft));
        let light = 1.0 - layer.opacity * (0.55 * thrown + 0.25 * contact).min(0.7);
        pixel.iter_mut().for_each(|c| *c *= light);
    });
}

/// Half the width of the shadow's edge, in pixels.
fn softness(layer: &Layer) -> f32 {
    1.5 + layer.lift * 0.35
}

fn paint(canvas: &mut Canvas, layer: &Layer, pose: Pose, sun: Sun) {
    let [lx, ly, lz] = sun.direction;
    let flat = v(lx, ly).back(pose.axis);
    let light = [flat.x, flat.y, lz];
    canvas.each_near(pose.center, layer.shape.reach() + 1.0, |pixel, at| {
        let p = (at - pose.center).back(pose.axis);
        let d = layer.shape.distance(p);
        let cover = (0.5 - d).clamp(0.0, 1.0) * layer.opacity;
        if cover > 0.0 {
            let color = shade(layer, p, d, light);
            for (under, over) in pixel.iter_mut().zip(color) {
                *under += (over - *under) * cover;
            }
        }
    });
}

/// Lambert and Blinn shading; a flat top has brightness 1.
fn shade(layer: &Layer, p: V2, d: f32, light: [f32; 3]) -> [f32; 3] {
    let tilt = tilt(layer, p, d);
    let length = (tilt.dot(tilt) + 1.0).sqrt();
    let facing = (tilt.x * light[0] + tilt.y * light[1] + light[2]) / length;
    let diffuse = 0.35 + 0.65 * (facing / light[2]).max(0.0);
    let half = [light[0], light[1], light[2] + 1.0];
    let half_length = (half[0] * half[0] + half[1] * half[1] + half[2] * half[2]).sqrt();
    let mirror = (tilt.x * half[0] + tilt.y * half[1] + half[2]) / (length * half_length);
    let mut highlight = mirror.max(0.0);
    for _ in 0..5 {
        highlight *= highlight;
    }
    let material = &layer.material;
    let body = diffuse * texture(material, p, light);
    let shine = highlight * material.gloss;
    material.color.map(|c| c * body + shine * (0.5 + 0.5 * c))
}

/// Gradient of the height, downhill, at `p` on a surface `-d` deep under the outline.
fn tilt(layer: &Layer, p: V2, d: f32) -> V2 {
    let depth = (-d).max(0.0);
    let slope = match layer.crown {
        Crown::Flat(width) if depth < width => 1.1 * (1.0 - depth / width),
        Crown::Sunk(width) if depth < width => -1.1 * (1.0 - depth / width),
        Crown::Round(width) if depth < width => quarter_round(1.0 - depth / width),
        Crown::Tube(radius) => {
            let across = (p.y + layer.shape.bend * p.x * p.x) / radius;
            let (end, side) = if depth < 1.2 { (0.5, 0.5) } else { (0.0, 1.0) };
            let round = v(0.0, quarter_round(across.abs()) * across.signum()) * side;
            return round + gradient(&layer.shape, p, d) * end;
        }
        _ => return v(0.0, 0.0),
    };
    gradient(&layer.shape, p, d) * slope
}

/// Steepness of a unit circle at `across` from its middle.
fn quarter_round(across: f32) -> f32 {
    (across / (1.0 - across * across).max(0.05).sqrt()).min(3.0)
}

fn gradient(shape: &Shape, p: V2, d: f32) -> V2 {
    const STEP: f32 = 0.25;
    let slope = v(shape.distance(p + v(STEP, 0.0)) - d, shape.distance(p + v(0.0, STEP)) - d);
    slope * (1.0 / slope.len().max(1e-6))
}

fn texture(material: &Material, p: V2, light: [f32; 3]) -> f32 {
    let Material { seed, grain, .. } = *material;
    match material.finish {
        Finish::Brushed => 1.0 + grain * cloud(seed, p.x * 0.12, p.y * 0.9),
        Finish::Cast => 1.0 + grain * cloud(seed, p.x * 0.55, p.y * 0.55),
        Finish::Turned => {
            let across = v(light[0], light[1]);
            let aligned = p.dot(across) / (p.len() * across.len()).max(1e-6);
            let lobes = aligned * aligned * aligned * aligned;
            let ring = lattice(seed, (p.len() * 1.3) as i32, 0) - 0.5;
            0.78 + 0.55 * lobes + grain * ring
        }
    }
}
