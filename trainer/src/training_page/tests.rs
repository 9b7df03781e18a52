use oddsight::energy::HeadId;

use super::*;
use crate::recipe::Preset;

#[path = "../../../tests/support/html.rs"]
mod html;

use html::balanced;

fn curves_of(epochs: usize) -> Vec<Curve> {
    (0..epochs)
        .map(|epoch| {
            let part = 1.0 - (-(epoch as f64) / 4.0).exp();
            let (data_energy, sample_energy) = (-0.041 * part, 0.038 * part);
            Curve { loss: 0.02 - 0.07 * part, data_energy, sample_energy, moved: 0.3 + 0.1 * part }
        })
        .collect()
}

pub fn facts() -> Facts {
    let [gmm, _, el] = Preset::Cifar10.constants();
    let run = |head, constants, epochs, resumed_at| Run {
        head,
        constants,
        curves: curves_of(epochs),
        resumed_at,
    };
    let wave = |n: usize, shift: f64| -> Vec<f64> {
        (0..n).map(|i| shift + (i as f64).sin() + (i as f64 * 0.7).sin()).collect()
    };
    let spread = |name: &str, threshold| Spread {
        name: name.into(),
        fitted: wave(5000, 3.0),
        held_out: wave(700, 3.4),
        threshold,
    };
    let terms = ["heat-gmm", "heat-el"]
        .map(|head| Term { head: head.into(), mean: -3.25, factor: 0.12 })
        .to_vec();
    Facts {
        made_by: "oddsight-train 0.1.0".into(),
        date: "2026-01-02".into(),
        data: "<belt> & co".into(),
        fitted_to: 5000,
        preset: "cifar10".into(),
        seed: 3,
        runs: vec![run(HeadId::HeatGmm, gmm, 20, None), run(HeadId::HeatEl, el, 7, Some(5))],
        result: Ok(Fitted {
            spreads: vec![spread("heat-gmm", None), spread("composed", Some(4.0))],
            rule: "sum".into(),
            terms,
            calibrated_with: 700,
            alpha: 0.05,
        }),
    }
}

#[test]
fn the_page_is_whole_and_needs_nothing() {
    let page = render(&facts());
    assert!(balanced(&page) > 100);
    for outside in ["http", "<script", "<link", "url(", "@import", "src=", "NaN"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert_eq!(page.matches("<polyline").count(), 2 * 4, "four curves for each refined head");
    assert!(page.contains("&lt;belt&gt; &amp; co") && page.contains("7 of 20"));
    assert!(page.contains("<dt>step-size</dt><dd>0.0001</dd>"), "all constants");
}

#[test]
fn a_fit_that_stopped_says_where_and_why() {
    let mut facts = facts();
    facts.result = Err("heat-el: the loss is NaN; give a smaller learning-rate".into());
    facts.runs[1].curves.clear();
    let page = render(&facts);
    balanced(&page);
    assert!(page.contains("Stopped:") && page.contains("the loss is NaN"));
    assert!(page.contains("0 of 20") && page.contains("No epoch was finished"));
    assert!(!page.contains("<polygon"), "no heads, no energies");
}

#[test]
fn curves_leave_out_what_cannot_be_drawn() {
    let one = |values| Series { name: "loss", class: "one", values };
    for values in [vec![], vec![f64::NAN], vec![2.0], vec![1.0, f64::INFINITY, -3.0], vec![5.0; 4]]
    {
        let svg = curves(&[one(values.clone())]);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{values:?}: {svg}");
    }
    let svg = curves(&[one(vec![1.0, 2.0]), one(vec![1.0, 2.0])]);
    let heights: Vec<&str> = svg.split("<text class=\"one\"").skip(1).collect();
    let y = |text: &str| text.split("y=\"").nth(1).unwrap().split('"').next().unwrap().to_string();
    let y: Vec<f64> = heights.iter().map(|text| y(text).parse().unwrap()).collect();
    assert!((y[0] - y[1]).abs() >= 20.0, "names of equal ends stand apart: {y:?}");
}

#[test]
fn ticks_close_together_have_texts_of_their_own() {
    let texts = |low, high| {
        let axis = chart::Axis::of([low, high].into_iter());
        axis.ticks.iter().map(|value| axis.text(*value)).collect::<Vec<_>>()
    };
    assert_eq!(texts(0.1659, 0.1664), ["0.1658", "0.1660", "0.1662", "0.1664"]);
    assert_eq!(texts(-1.0, 1.0), ["-1.0", "-0.5", "0", "0.5", "1.0"]);
    assert_eq!(texts(0.0, 3000.0), ["0", "1000", "2000", "3000"]);
}

#[test]
fn axes_have_few_round_ticks_that_cover_all() {
    for (low, high) in [(0.0, 1.0), (-0.041, 0.038), (43.9, 44.2), (-1e-9, 1e-9), (7.0, 7.0)] {
        let axis = chart::Axis::of([low, high].into_iter());
        let (first, last) = (axis.ticks[0], *axis.ticks.last().unwrap());
        assert!(first <= low && last >= high && last > first, "{low} {high}: {:?}", axis.ticks);
        assert!((2..=8).contains(&axis.ticks.len()), "{low} {high}: {:?}", axis.ticks);
    }
}

#[test]
fn numbers_are_short() {
    let numbers = [0.0, 1.0, -0.04123, 44.1145, 12345.6, 1e-6, 0.5, 3.0e7, 0.00021, -1e-30, 100.0];
    let texts = [
        "0", "1", "-0.04123", "44.11", "12346", "1.0e-6", "0.5", "3.0e7", "0.00021", "-1.0e-30",
        "100",
    ];
    for (value, text) in numbers.into_iter().zip(texts) {
        assert_eq!(chart::number(value), text);
    }
}
