//! The page is whole, needs nothing, and believes no text.

use super::html::balanced;
use super::*;
use crate::event::Phase;
use crate::status::State;
use crate::status::sample::{self, STALE, at, lively};

fn text(response: Response) -> String {
    String::from_utf8(response.body.bytes().to_vec()).unwrap()
}

fn page_of(board: &Board, now: Stamp) -> String {
    let status = board.status(now, STALE);
    text(page(board, &status, &Request::default(), now, &policy()))
}

/// A page without what is no markup.
fn without_script(page: &str) -> String {
    let (before, rest) = page.split_once("<script>").unwrap();
    let (style, after) = before.split_once("<style>").unwrap();
    let (_, after) = after.split_once("</style>").unwrap();
    format!("{style}{after}{}", rest.split_once("</script>").unwrap().1)
}

#[test]
fn the_page_is_whole_and_needs_nothing() {
    let (board, now) = lively();
    let page = page_of(&board, now);
    let markup = without_script(&page).replace("autofocus=\"autofocus\"", "");
    assert!(balanced(&markup) > 150);
    assert!(!markup.contains("style=") && !markup.contains("onclick") && !markup.contains("://me"));
    for outside in ["http://", "https://", "//cdn", "@import", "url(h"] {
        let found = page.replace("http://www.w3.org/2000/svg", "").contains(outside);
        assert!(!found, "{outside}");
    }
    assert_eq!(page.matches("<script").count(), 1);
}

#[test]
fn everything_that_goes_on_is_on_the_page() {
    let (board, now) = lively();
    let page = page_of(&board, now);
    for text in [
        "data-state=\"camera_fault\"",
        "Camera fault: frozen",
        "50 equal frames &lt;img&gt;",
        "connection refused",
        "<div class=\"value\">62 °C</div>",
        "<div class=\"value\">48 MB</div>",
        "250 MB of 1.0 GB",
        "12 GB free",
        "dock &lt;3&gt;",
        "gear &lt;b&gt;",
        "left &quot;a\\b&quot;",
        "snapshot.jpg?frame=39",
        "energy up to 7.70",
        "<div class=\"value\">38\u{a0}%</div>",
        "rtsp://…@cam/1",
    ] {
        assert!(page.contains(text), "{text} is not in\n{page}");
    }
    for hidden in ["secret", "<3>", "<img>", "<b>, nearest"] {
        assert!(!without_script(&page).contains(hidden), "{hidden}");
    }
}

#[test]
fn the_headline_follows_the_state() {
    let board = Board::new(sample::identity(), at(0));
    let headline = |ms| {
        let page = page_of(&board, at(ms));
        let (_, rest) = page.split_once("<p class=\"headline\">").unwrap();
        rest.split_once("</p>").unwrap().0.to_string()
    };
    assert_eq!(headline(1_000), "Starting: no frame scored yet");
    assert_eq!(headline(75_000), "Nobody is watching: no frame scored for 1 min 15 s");
    let score = |ms, energy| {
        let verdicts = [sample::verdict(energy), sample::verdict(0.1)];
        board.scored(at(ms), &sample::frame(0, 9), &verdicts, std::time::Duration::ZERO);
    };
    score(102_000, 0.5);
    assert_eq!(headline(102_100), "Everything looks normal");
    score(103_000, 9.0);
    board.event(&sample::message(Phase::Start, 103_000, 0, sample::unusual(9.0)));
    assert_eq!(headline(103_000), "Something is unusual in left &quot;a\\b&quot;, for 0.5 s");
}

#[test]
fn parts_are_those_of_the_page() {
    let (board, now) = lively();
    let status = board.status(now, STALE);
    let page = page_of(&board, now);
    for part in live::parts(&status) {
        assert!(page.contains(&part));
    }
    assert_eq!(text(parts(&status)).matches(" id=\"live-").count(), 4);
}

#[test]
fn the_policy_holds_the_hashes_of_what_is_inside() {
    let policy = policy();
    assert_eq!(policy.matches("'sha256-").count(), 2);
    let (board, now) = lively();
    let page = page_of(&board, now);
    let script = page.split_once("<script>").unwrap().1.split_once("</script>").unwrap().0;
    assert!(policy.contains(&base64::encode(&Sha256::digest(script))));
}

#[test]
fn tabs_lead_to_the_other_views() {
    let (board, now) = lively();
    let query = vec![("view".into(), "p".into()), ("range".into(), "1h".into())];
    let request = Request { query, ..Request::default() };
    let page = text(page(&board, &board.status(now, STALE), &request, now, ""));
    assert!(page.contains("data-view=\"p\" aria-current=\"true\""));
    assert!(page.contains("data-range=\"1h\" aria-current=\"true\""));
    assert!(page.contains("href=\"?view=p&amp;range=24h#plot\""));
}

#[test]
fn icons_and_the_form_are_whole() {
    for state in [None, Some("normal"), Some("blind"), Some("\"><script>")] {
        let svg = text(icon(state));
        assert!(svg.starts_with("<svg xmlns=") && !svg.contains("script"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 9);
    }
    assert_eq!(State::Blind.name(), "blind");
    let form = text(ask_for_token(""));
    let (before, rest) = form.split_once("<style>").unwrap();
    balanced(&format!("{before}{}", rest.split_once("</style>").unwrap().1));
}
