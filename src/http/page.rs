//! The status page: one file with its style and script inside, nothing fetched from elsewhere.
//!
//! The server makes all of it, so that it can be read without scripts; with them, `page.js` fetches the parts that
//! change again and draws the plot.

mod below;
mod live;
mod plot;
mod words;

use sha2::{Digest, Sha256};

use super::energy::Range;
use super::request::Request;
use super::response::{CSP, Response};
use crate::base64;
use crate::clock::Stamp;
use crate::status::{Board, Status};
use plot::View;
use words::escape;

const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// What the page may load and run: itself.
pub(super) fn policy() -> String {
    let hash = |text: &str| base64::encode(&Sha256::digest(text));
    format!(
        "default-src 'none'; img-src 'self'; connect-src 'self'; style-src 'sha256-{}'; \
         script-src 'sha256-{}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT),
    )
}

/// The whole page, as the query wants the plot.
pub(super) fn page(
    board: &Board,
    status: &Status,
    request: &Request,
    now: Stamp,
    policy: &str,
) -> Response {
    let range = request.query("range").and_then(Range::named).unwrap_or_default();
    let view = View::of(request.query("view"));
    let device = escape(&status.identity.device);
    let [banner, camera, numbers, rest] = live::parts(status);
    let state = status.health.state.name();
    let mut page = head(&device, state, true);
    page.push_str(&format!(
        "<body data-run=\"{}\" data-state=\"{state}\">\n<header class=\"top\"><span class=\"brand\">{}oddsight</span>\
         <h1>{device}</h1><span class=\"link\" id=\"link\">as of the last reload</span></header>\n<main>\n{banner}\
         <div class=\"stage\">\n{camera}{numbers}</div>\n",
        escape(&status.run),
        logo("logo"),
    ));
    page.push_str(&plot_section(board, range, view, now));
    page.push_str(&rest);
    page.push_str(
        "<footer><p>Energy says how unlike the normal pictures a frame is: larger is more unusual. p is the share \
         of normal frames at least as unusual, and a frame is unusual when p is at most alpha.</p>\n<p>For programs: \
         <a href=\"status.json\">status.json</a> <a href=\"energy.json\">energy.json</a> \
         <a href=\"metrics\">metrics</a> <a href=\"healthz\">healthz</a> \
         <a href=\"snapshot.jpg\">snapshot.jpg</a></p></footer>\n</main>\n",
    );
    page.push_str(&format!("<script>{SCRIPT}</script>\n</body>\n</html>\n"));
    Response::new("text/html; charset=utf-8", page).with(CSP, policy)
}

/// The parts that change, one after the other.
pub(super) fn parts(status: &Status) -> Response {
    Response::new("text/html; charset=utf-8", live::parts(status).concat())
}

/// What a browser without a token sees.
pub(super) fn ask_for_token(policy: &str) -> Response {
    let mut page = head("token needed", "starting", false);
    page.push_str(&format!(
        "<body class=\"ask\">\n<main>\n<form action=\"\" method=\"get\">{}<h1>oddsight</h1>\n\
         <label>Token <input name=\"token\" type=\"password\" autocomplete=\"current-password\" \
         autofocus=\"autofocus\"/></label>\n<button>Open</button>\n<p class=\"note\">It is in the file that \
         <code>http.token_file</code> of the device names. Programs send it as \
         <code>Authorization: Bearer</code>.</p></form>\n</main>\n</body>\n</html>\n",
        logo("logo"),
    ));
    let response = Response::new("text/html; charset=utf-8", page).with(CSP, policy);
    Response { status: 401, ..response }.with("WWW-Authenticate", "Bearer realm=\"oddsight\"")
}

fn head(title: &str, state: &str, reloads: bool) -> String {
    let reload = "<noscript><meta http-equiv=\"refresh\" content=\"10\"/></noscript>\n";
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n<title>{title} \u{b7} oddsight</title>\n\
         <link rel=\"icon\" id=\"icon\" href=\"icon.svg?state={state}\"/>\n{}<style>{STYLE}</style>\n</head>\n",
        if reloads { reload } else { "" },
    )
}

fn plot_section(board: &Board, range: Range, view: View, now: Stamp) -> String {
    let tab = |href: String, text: &str, key: &str, name: &str, current: bool| {
        let current = if current { " aria-current=\"true\"" } else { "" };
        format!("<a href=\"{href}#plot\" data-{key}=\"{name}\"{current}>{text}</a>")
    };
    let views: String = [(View::Energy, "energy"), (View::PValue, "p-value")]
        .map(|(one, text)| {
            let href = format!("?view={}&amp;range={}", one.name(), range.name());
            tab(href, text, "view", one.name(), one == view)
        })
        .concat();
    let ranges: String = Range::ALL
        .map(|one| {
            let href = format!("?view={}&amp;range={}", view.name(), one.name());
            tab(href, one.title(), "range", one.name(), one == range)
        })
        .concat();
    format!(
        "<section class=\"card plot\" id=\"plot\" data-view=\"{}\">\n<div class=\"plot-head\"><nav class=\"tabs\" id=\"views\" \
         aria-label=\"What is drawn\">{views}</nav><nav class=\"tabs\" id=\"ranges\" aria-label=\"How far back\">\
         {ranges}</nav></div>\n<div class=\"plot-body\" id=\"plot-body\">{}</div>\n<p class=\"legend\">\
         <span class=\"key over\"></span>above the limit <span class=\"key unusual\"></span>unusual event \
         <span class=\"key fault\"></span>camera fault <span class=\"key drift\"></span>drift \
         <span class=\"scale-note\">Linear up to the threshold, logarithmic above it.</span></p>\n</section>\n",
        view.name(),
        plot::svg(board, range, view, now)
    )
}

/// Nine dots, one of which is odd.
fn logo(class: &str) -> String {
    let mut svg = format!("<svg class=\"{class}\" viewBox=\"0 0 24 24\" aria-hidden=\"true\">");
    for i in 0..9 {
        let (x, y) = (4 + i % 3 * 8, 4 + i / 3 * 8);
        let (odd, radius) = if i == 5 { (" class=\"odd\"", "3.4") } else { ("", "2.4") };
        svg.push_str(&format!("<circle{odd} cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"/>"));
    }
    svg + "</svg>"
}

/// The picture in a browser's tab: the odd dot has the colour of the state.
pub(super) fn icon(state: Option<&str>) -> Response {
    let colour = match state {
        Some("normal") => "#17a673",
        Some("unusual" | "blind") => "#e5484d",
        Some("camera_fault") => "#e59a1c",
        _ => "#8a938f",
    };
    let svg = logo("")
        .replacen(
            "<svg class=\"\"",
            "<svg xmlns=\"http://www.w3.org/2000/svg\" fill=\"#8a938f\"",
            1,
        )
        .replace(" class=\"odd\"", &format!(" fill=\"{colour}\""))
        .replace("r=\"3.4\"", "r=\"4.6\"");
    Response::new("image/svg+xml", svg)
}

#[cfg(test)]
#[path = "../../tests/support/html.rs"]
mod html;

#[cfg(test)]
mod tests;
