//! Points of the picture plane, in pixels, x to the right and y down.

use std::ops::{Add, Mul, Sub};

/// A point or a direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct V2 {
    pub x: f32,
    pub y: f32,
}

pub(super) const fn v(x: f32, y: f32) -> V2 {
    V2 { x, y }
}

impl V2 {
    /// `radius` at an angle in turns. The one place where a sine is taken: `libm` gives the same
    /// bits on every machine, the system's library does not.
    pub fn polar(radius: f32, turns: f32) -> V2 {
        let angle = f64::from(turns) * std::f64::consts::TAU;
        v(libm::cos(angle) as f32 * radius, libm::sin(angle) as f32 * radius)
    }

    pub fn dot(self, other: V2) -> f32 {
        self.x * other.x + self.y * other.y
    }

    pub fn len(self) -> f32 {
        self.dot(self).sqrt()
    }

    /// Rotated by the angle of the unit vector `axis`.
    pub fn by(self, axis: V2) -> V2 {
        v(self.x * axis.x - self.y * axis.y, self.x * axis.y + self.y * axis.x)
    }

    /// Rotated back by the angle of the unit vector `axis`.
    pub fn back(self, axis: V2) -> V2 {
        self.by(v(axis.x, -axis.y))
    }
}

impl Add for V2 {
    type Output = V2;
    fn add(self, other: V2) -> V2 {
        v(self.x + other.x, self.y + other.y)
    }
}

impl Sub for V2 {
    type Output = V2;
    fn sub(self, other: V2) -> V2 {
        v(self.x - other.x, self.y - other.y)
    }
}

impl Mul<f32> for V2 {
    type Output = V2;
    fn mul(self, factor: f32) -> V2 {
        v(self.x * factor, self.y * factor)
    }
}
