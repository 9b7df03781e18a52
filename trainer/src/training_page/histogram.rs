//! How energies spread, as inline SVG.

use std::fmt::Write as _;

use super::chart::{Axis, BOTTOM, LEFT, TOP, WIDTH, open, tick, title};
use super::escape;

const RIGHT: f64 = WIDTH - 12.0;
const BINS: usize = 48;
/// Share of energies to each side that the outermost bins stand for: one far picture would make a
/// single bar of all others.
const TAIL: f64 = 0.002;

/// Energies of pictures, fitted and held out, by one head.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    /// The head, or the composition.
    pub name: String,
    /// Finite energies of pictures that the head was fitted to.
    pub fitted: Vec<f64>,
    /// Of pictures that it was not fitted to.
    pub held_out: Vec<f64>,
    /// Frames above are unusual; the composition has one.
    pub threshold: Option<f64>,
}

impl Spread {
    /// Both spreads over one axis, each as shares of its own pictures.
    pub fn svg(&self) -> String {
        let (low, high) = self.range();
        let of = |energies: &[f64]| shares(energies, low, high);
        let (fitted, held_out) = (of(&self.fitted), of(&self.held_out));
        let most = fitted.iter().chain(&held_out).copied().fold(0.0, f64::max);
        let x = |share: f64| LEFT + share * (RIGHT - LEFT);
        let y = |share: f64| BOTTOM - share / most.max(1e-12) * (BOTTOM - TOP);
        let mut svg = open(&format!("Energies of head {}", escape(&self.name)));
        outline(&mut svg, "fitted", &fitted, x, y);
        outline(&mut svg, "held-out", &held_out, x, y);
        let _ = writeln!(
            svg,
            "<line class=\"base\" x1=\"{LEFT}\" y1=\"{BOTTOM}\" x2=\"{RIGHT}\" y2=\"{BOTTOM}\"/>\
             <text class=\"faint\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{:.0} %</text>",
            LEFT - 6.0,
            TOP + 8.0,
            100.0 * most
        );
        let position = |energy: f64| (energy - low) / (high - low);
        let axis = Axis::of([low, high].into_iter());
        for &value in axis.ticks.iter().filter(|&&value| (0.0..=1.0).contains(&position(value))) {
            tick(&mut svg, x(position(value)), &axis.text(value));
        }
        title(&mut svg, (LEFT + RIGHT) / 2.0, "energy");
        if let Some(threshold) = self.threshold {
            let x = x(position(threshold).clamp(0.0, 1.0));
            let _ = writeln!(
                svg,
                "<line class=\"threshold\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" \
                 y2=\"{BOTTOM}\"/>"
            );
        }
        svg.push_str("</svg>");
        svg
    }

    fn range(&self) -> (f64, f64) {
        let mut all: Vec<f64> = self.fitted.iter().chain(&self.held_out).copied().collect();
        all.sort_by(f64::total_cmp);
        let at = |share: f64| all.get((share * all.len() as f64) as usize).copied();
        let (low, high) = (at(TAIL).unwrap_or(0.0), at(1.0 - TAIL).unwrap_or(1.0));
        if high > low { (low, high) } else { (low - 0.5, low + 0.5) }
    }
}

/// The share of energies in each bin; the outermost ones also hold what lies beyond.
fn shares(energies: &[f64], low: f64, high: f64) -> Vec<f64> {
    let mut shares = vec![0.0; BINS];
    for energy in energies {
        // Saturating: below the range is 0.
        let bin = ((energy - low) / (high - low) * BINS as f64) as usize;
        shares[bin.min(BINS - 1)] += 1.0 / energies.len() as f64;
    }
    shares
}

/// A stepped line over the bins, closed at the base.
fn outline(
    svg: &mut String,
    class: &str,
    shares: &[f64],
    x: impl Fn(f64) -> f64,
    y: impl Fn(f64) -> f64,
) {
    let mut points = format!("{:.1},{BOTTOM}", x(0.0));
    for (bin, share) in shares.iter().enumerate() {
        let edge = |bin: usize| x(bin as f64 / BINS as f64);
        let (from, to, height) = (edge(bin), edge(bin + 1), y(*share));
        let _ = write!(points, " {from:.1},{height:.1} {to:.1},{height:.1}");
    }
    let _ =
        writeln!(svg, "<polygon class=\"{class}\" points=\"{points} {:.1},{BOTTOM}\"/>", x(1.0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_hold_the_tails() {
        let energies: Vec<f64> = (0..1000).map(f64::from).chain([1e9, -1e9]).collect();
        let spread = Spread {
            name: "gmm".into(),
            fitted: energies.clone(),
            held_out: vec![],
            threshold: None,
        };
        let (low, high) = spread.range();
        assert!(low > -1.0 && high < 1000.0, "{low} {high}");
        let shares = shares(&energies, low, high);
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert!(shares[0] > shares[1] && shares[BINS - 1] > shares[1]);
        spread.svg();
    }

    #[test]
    fn equal_energies_have_a_range() {
        let spread = Spread {
            name: "el".into(),
            fitted: vec![2.0; 5],
            held_out: vec![2.0; 3],
            threshold: Some(2.0),
        };
        assert_eq!(spread.range(), (1.5, 2.5));
        assert!(!spread.svg().contains("NaN"));
    }
}
