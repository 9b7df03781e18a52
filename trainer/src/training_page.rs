//! A fit as one page: no scripts, nothing fetched, opens from a file.

use std::fmt::Write as _;

use oddsight::energy::HeadId;

use crate::heat::{Constants, Curve};

mod chart;
mod histogram;
#[cfg(test)]
mod tests;

use chart::{Series, curves};
pub use histogram::Spread;

const STYLE: &str = include_str!("training_page/page.css");

/// What the page tells.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Program and version that fitted.
    pub made_by: String,
    /// When, as YYYY-MM-DD.
    pub date: String,
    /// Name of the pictures.
    pub data: String,
    /// Pictures that heads were fitted to.
    pub fitted_to: usize,
    /// Name of the preset under the recipe.
    pub preset: String,
    /// Seed of every random choice.
    pub seed: u64,
    /// Refined heads, as far as their training came.
    pub runs: Vec<Run>,
    /// What came of them; the error where the fit ended without heads.
    pub result: Result<Fitted, String>,
}

/// The training of one refined head.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The head.
    pub head: HeadId,
    /// All its constants.
    pub constants: Constants,
    /// One entry per finished epoch.
    pub curves: Vec<Curve>,
    /// Finished epochs of the checkpoint that it went on from.
    pub resumed_at: Option<usize>,
}

/// Heads that were fitted.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// Energies of each head, and of the composition last.
    pub spreads: Vec<Spread>,
    /// The rule of the composition.
    pub rule: String,
    /// Its terms.
    pub terms: Vec<Term>,
    /// Pictures that verdicts are calibrated with.
    pub calibrated_with: usize,
    /// Per-frame false-alarm rate.
    pub alpha: f64,
}

/// One term of the composition.
#[derive(Clone, Debug)]
pub struct Term {
    /// The head.
    pub head: String,
    /// Mean of its energy on training rows.
    pub mean: f64,
    /// What the distance to the mean is multiplied by.
    pub factor: f64,
}

/// The whole page.
pub fn render(facts: &Facts) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <title>oddsight fit of {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
        escape(&facts.data)
    );
    head(&mut page, facts);
    tiles(&mut page, facts);
    for run in &facts.runs {
        section(&mut page, run);
    }
    if let Ok(fitted) = &facts.result {
        energies(&mut page, fitted);
        composition(&mut page, fitted);
    }
    foot(&mut page, facts);
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn head(page: &mut String, facts: &Facts) {
    let _ = write!(
        page,
        "<header>\n<h1>oddsight fit</h1>\n<p class=\"lead\">Heads fitted to <strong>{}</strong> \
         pictures of <strong>{}</strong>; preset {}, seed {}.</p>\n",
        facts.fitted_to,
        escape(&facts.data),
        escape(&facts.preset),
        facts.seed,
    );
    if let Err(why) = &facts.result {
        let _ = writeln!(page, "<p class=\"stopped\"><b>Stopped:</b> {}</p>", escape(why));
    }
    page.push_str("</header>\n");
}

fn tiles(page: &mut String, facts: &Facts) {
    page.push_str("<section class=\"tiles\">\n");
    for run in &facts.runs {
        let done = run.curves.len();
        let value = format!("{done} of {}", run.constants.epochs);
        let note = match run.resumed_at {
            Some(epoch) => format!("epochs; went on from a checkpoint after {epoch}"),
            None => "epochs".to_string(),
        };
        tile(page, run.head.name(), &value, &note);
    }
    if let Ok(fitted) = &facts.result {
        let note = format!("pictures to calibrate with; alpha {}", fitted.alpha);
        tile(page, "held out", &fitted.calibrated_with.to_string(), &note);
    }
    page.push_str("</section>\n");
}

fn tile(page: &mut String, name: &str, value: &str, note: &str) {
    let _ = writeln!(
        page,
        "<div class=\"tile\"><div class=\"name\">{name}</div><div class=\"value\">{value}</div>\
         <div class=\"note\">{note}</div></div>"
    );
}

fn section(page: &mut String, run: &Run) {
    let Run { head, curves: epochs, .. } = run;
    let _ = writeln!(page, "<section>\n<h2>{head}</h2>");
    if epochs.is_empty() {
        page.push_str("<p class=\"note\">No epoch was finished.</p>\n");
    } else {
        let of = |name, class, value: fn(&Curve) -> f64| Series {
            name,
            class,
            values: epochs.iter().map(value).collect(),
        };
        let loss = [of("loss", "one", |curve| curve.loss)];
        let energies = [
            of("samples", "two", |curve| curve.sample_energy),
            of("data", "one", |curve| curve.data_energy),
        ];
        let moved = [of("moved", "one", |curve| curve.moved)];
        page.push_str("<div class=\"charts\">\n");
        figure(page, "loss", "", &curves(&loss));
        figure(page, "residual energy", "of data and of negative samples", &curves(&energies));
        figure(page, "distance moved", "from start to end of a chain", &curves(&moved));
        page.push_str("</div>\n");
    }
    constants(page, &run.constants);
    page.push_str("</section>\n");
}

fn figure(page: &mut String, title: &str, note: &str, svg: &str) {
    let _ = writeln!(page, "<figure><figcaption><b>{title}</b> {note}</figcaption>{svg}</figure>");
}

fn constants(page: &mut String, constants: &Constants) {
    let table = toml::Table::try_from(constants).unwrap_or_default();
    page.push_str("<dl>\n");
    for (key, value) in &table {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_string);
        let _ = writeln!(page, "<div><dt>{key}</dt><dd>{}</dd></div>", escape(&value));
    }
    page.push_str("</dl>\n");
}

fn energies(page: &mut String, fitted: &Fitted) {
    page.push_str(
        "<section>\n<h2>Energies <span class=\"note\">of pictures that heads were fitted to, and of \
         pictures held out</span></h2>\n<div class=\"charts\">\n",
    );
    for spread in &fitted.spreads {
        figure(page, &escape(&spread.name), "", &spread.svg());
    }
    page.push_str(
        "</div>\n<p class=\"legend\"><span class=\"key fitted\"></span> fitted \
         <span class=\"key held-out\"></span> held out <span class=\"key threshold\"></span> unusual \
         above</p>\n</section>\n",
    );
}

fn composition(page: &mut String, fitted: &Fitted) {
    let _ = write!(
        page,
        "<section>\n<h2>Composition <span class=\"note\">{}</span></h2>\n<div \
         class=\"scroll\"><table>\n<thead><tr><th>head</th><th class=\"number\">mean on training \
         rows</th><th class=\"number\">factor</th></tr></thead>\n<tbody>\n",
        escape(&fitted.rule)
    );
    for Term { head, mean, factor } in &fitted.terms {
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td class=\"number\">{mean:.4}</td><td \
             class=\"number\">{factor:.4}</td></tr>",
            escape(head)
        );
    }
    page.push_str("</tbody>\n</table></div>\n</section>\n");
}

fn foot(page: &mut String, facts: &Facts) {
    let _ = write!(
        page,
        "<section class=\"foot\">\n<h2>How to read this</h2>\n\
         <p>The <b>energy</b> of a picture says how unlike the normal ones it is: larger is more \
         unusual. A refined head adds a residual to the energy of its prior. Training lowers the \
         residual energy of data and raises that of <b>negative samples</b>, which Langevin chains \
         draw from the head as it is; the loss is their difference plus a penalty on their squares. The \
         two energies part and then stay apart. When they run away, or the loss grows, give a \
         smaller <code>learning-rate</code> or a larger <code>l2</code>; when chains do not move, \
         larger <code>step-size</code> and <code>noise</code>.</p>\n\
         <p>Held-out pictures that lie further to the right than fitted ones are those that the head has \
         learnt less well than its own: alarms are calibrated with them.</p>\n\
         <p>{}, {}</p>\n</section>\n",
        escape(&facts.made_by),
        escape(&facts.date)
    );
}

/// Text for element content and attribute values.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
