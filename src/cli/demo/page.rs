//! The result as one page: no scripts, nothing fetched, opens from a file.

use std::fmt::Write as _;

use oddsight::base64;
use oddsight::event::{AlarmSettings, Rule};

use super::evidence::{Exhibit, Reason};
use super::plot::timeline;
use super::scorecard::{Said, Scorecard, Truth, percent};
use super::{Setting, seconds};

const STYLE: &str = include_str!("page.css");

/// The whole page.
pub fn render(
    setting: &Setting,
    tape: &[Said],
    scorecard: &Scorecard,
    exhibits: &[Exhibit],
) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <title>oddsight demo, seed {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
        setting.seed
    );
    head(&mut page, setting, scorecard);
    tiles(&mut page, setting, scorecard);
    normal(&mut page, exhibits);
    let _ = write!(
        page,
        "<section>\n<h2>Every frame, and what was true</h2>\n<div class=\"scroll\">{}</div>\n\
         <p class=\"legend\"><span class=\"key caught\"></span> trouble that was caught \
         <span class=\"key missed\"></span> trouble that was missed \
         <span class=\"key flag\"></span> flagged frame \
         <span class=\"key alarm\"></span> alarm \
         <span class=\"key false-alarm\"></span> false alarm</p>\n\
         <p class=\"legend\">The height is linear up to the threshold and logarithmic above it.</p>\n</section>\n",
        timeline(setting, tape, scorecard)
    );
    evidence(&mut page, tape, scorecard, exhibits);
    table(&mut page, scorecard);
    foot(&mut page, setting);
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn head(page: &mut String, setting: &Setting, scorecard: &Scorecard) {
    let shown = scorecard.outcomes.len();
    let _ = write!(
        page,
        "<header>\n<h1>oddsight demo</h1>\n<p class=\"lead\">A camera over a simulated conveyor. The \
         model learnt from normal pictures only; then things went wrong {shown} times in {:.0} \
         seconds. It caught <strong>{}</strong> of them and raised <strong>{}</strong> false \
         {}.</p>\n</header>\n",
        seconds(setting.frames),
        scorecard.caught(),
        scorecard.false_alarms.len(),
        if scorecard.false_alarms.len() == 1 { "alarm" } else { "alarms" },
    );
}

fn tiles(page: &mut String, setting: &Setting, scorecard: &Scorecard) {
    let groups: Vec<String> = scorecard
        .by_group()
        .iter()
        .map(|(group, caught, shown)| format!("{group} {caught}/{shown}"))
        .collect();
    let caught = format!("{} of {}", scorecard.caught(), scorecard.outcomes.len());
    let delay = scorecard.median_delay().map_or("none".into(), |d| format!("{:.1} s", seconds(d)));
    let measured = scorecard.measured_rate().map_or("none".into(), percent);
    let tiles = [
        ("episodes caught", caught, groups.join(", ")),
        ("median time to the alarm", delay, "from the first pixel in view".to_string()),
        (
            "false alarms",
            scorecard.false_alarms.len().to_string(),
            format!("in {:.1} s of normal running", seconds(scorecard.normal_frames)),
        ),
        (
            "normal frames flagged",
            measured,
            format!(
                "{} of {}; alpha promised {}",
                scorecard.normal_flagged,
                scorecard.normal_frames,
                percent(setting.alpha)
            ),
        ),
    ];
    page.push_str("<section class=\"tiles\">\n");
    for (name, value, note) in tiles {
        let _ = writeln!(
            page,
            "<div class=\"tile\"><div class=\"name\">{name}</div><div class=\"value\">{value}</div>\
             <div class=\"note\">{note}</div></div>"
        );
    }
    page.push_str("</section>\n");
}

fn picture(exhibit: &Exhibit) -> String {
    format!(
        "<img src=\"data:image/png;base64,{}\" width=\"160\" height=\"160\" alt=\"frame {}: {}\"/>",
        base64::encode(&exhibit.png),
        exhibit.frame,
        escape(&exhibit.title)
    )
}

fn normal(page: &mut String, exhibits: &[Exhibit]) {
    page.push_str("<section>\n<h2>What normal looks like</h2>\n<div class=\"grid\">\n");
    for exhibit in exhibits.iter().filter(|exhibit| exhibit.reason == Reason::Normal) {
        let _ = writeln!(
            page,
            "<figure>{}<figcaption>{:.1} s</figcaption></figure>",
            picture(exhibit),
            seconds(exhibit.frame)
        );
    }
    page.push_str("</div>\n</section>\n");
}

fn evidence(page: &mut String, tape: &[Said], scorecard: &Scorecard, exhibits: &[Exhibit]) {
    let sections = [
        (Reason::Caught, "Caught", "the frame of the highest energy of each episode"),
        (Reason::Missed, "Missed", "no alarm; the frame that came closest"),
        (Reason::FalseAlarm, "False alarms", "an alarm while nothing was wrong"),
    ];
    for (reason, title, note) in sections {
        let of_reason: Vec<&Exhibit> = exhibits.iter().filter(|e| e.reason == reason).collect();
        let note = if of_reason.is_empty() { "none" } else { note };
        let _ = writeln!(
            page,
            "<section>\n<h2>{title} <span class=\"note\">{note}</span></h2>\n<div class=\"grid\">"
        );
        for exhibit in of_reason {
            let said = tape[exhibit.frame as usize];
            let after = scorecard
                .outcomes
                .iter()
                .find(|outcome| {
                    outcome.truth.start <= exhibit.frame && exhibit.frame < outcome.truth.end
                })
                .and_then(|outcome| outcome.alarm_after);
            let after =
                after.map_or(String::new(), |d| format!(", alarm after {:.1} s", seconds(d)));
            let _ = writeln!(
                page,
                "<figure class=\"{}\">{}<figcaption><b>{}</b><br/>{:.1} s{after}<br/>energy {:.1}, \
                 p = {:.4}</figcaption></figure>",
                class(reason),
                picture(exhibit),
                escape(&exhibit.title),
                seconds(exhibit.frame),
                said.energy,
                said.p_value
            );
        }
        page.push_str("</div>\n</section>\n");
    }
}

fn class(reason: Reason) -> &'static str {
    match reason {
        Reason::Caught => "caught",
        Reason::Missed => "missed",
        Reason::FalseAlarm => "false-alarm",
        Reason::Normal => "normal",
    }
}

fn table(page: &mut String, scorecard: &Scorecard) {
    page.push_str(
        "<section>\n<h2>Scorecard</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th>what happened</th>\
         <th>group</th><th class=\"number\">severity</th><th class=\"number\">from</th>\
         <th class=\"number\">to</th><th class=\"number\">frames flagged</th><th>outcome</th></tr></thead>\n\
         <tbody>\n",
    );
    for outcome in &scorecard.outcomes {
        let Truth { kind, start, end, severity } = outcome.truth;
        let (class, result) = match outcome.alarm_after {
            Some(delay) => ("caught", format!("caught after {:.1} s", seconds(delay))),
            None => ("missed", "missed".to_string()),
        };
        let _ = writeln!(
            page,
            "<tr><td>{kind}</td><td>{}</td><td class=\"number\">{severity:.2}</td>\
             <td class=\"number\">{:.1} s</td><td class=\"number\">{:.1} s</td>\
             <td class=\"number\">{} of {}</td><td class=\"{class}\">{result}</td></tr>",
            kind.group(),
            seconds(start),
            seconds(end),
            outcome.flagged,
            end - start,
        );
    }
    page.push_str("</tbody>\n</table></div>\n</section>\n");
}

fn foot(page: &mut String, setting: &Setting) {
    let settings = AlarmSettings::default();
    let Rule { raise, window, clear_frames } = settings.rule();
    let _ = write!(
        page,
        "<section class=\"foot\">\n<h2>How to read this</h2>\n\
         <p>The <b>energy</b> of a frame says how unlike the normal pictures it is: larger is more \
         unusual. Its <b>p-value</b> is the share of held-out normal frames that are at least as \
         unusual. A frame is <b>flagged</b> when p is at most <b>alpha</b> = {}: of normal frames, no \
         more than that share should be, in the long run. Frames that follow each other look alike, so \
         wrongly flagged ones come in runs, and in {:.0} seconds the share can be well off. An \
         <b>alarm</b> is raised when {raise} of the last {window} frames are flagged and is over when {clear_frames} \
         frames in a row have a p-value above {}.</p>\n<p>An episode lasts from its first to its last pixel in view. It counts as caught when \
         its own frames, without any before them, raise an alarm, and as missed otherwise; an alarm that is \
         raised in any other frame is a false one. All numbers on this page were computed from the run.</p>\n\
         <p>The same run again: <code>oddsight demo --seed {} --alpha {}</code></p>\n</section>\n",
        percent(setting.alpha),
        seconds(setting.frames),
        settings.clear_p,
        setting.seed,
        setting.alpha
    );
}

/// Text for element content and attribute values.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
#[path = "../../../tests/support/html.rs"]
mod html;

#[cfg(test)]
mod tests {
    use oddsight::camera::synth::Show;

    use super::super::alarm::Debounce;
    use super::super::evidence;
    use super::super::scale::EnergyScale;
    use super::html::balanced;
    use super::*;

    /// A run of show 1 in which the second episode is missed and a false alarm is raised at once.
    fn page() -> String {
        let show = Show::new(1);
        let truths: Vec<Truth> = show.episodes().iter().map(Truth::from).collect();
        let mut debounce = Debounce::default();
        let tape: Vec<Said> = (0..show.frames())
            .map(|frame| {
                let truth = Truth::at(&truths, frame);
                let unusual = frame < 4 || truth.is_some_and(|truth| *truth != truths[1]);
                let energy = if unusual { 9.0 } else { 1.0 };
                Said { energy, p_value: 0.25, unusual, alarm: debounce.step(unusual, 0.25) }
            })
            .collect();
        let scale = EnergyScale { median: 1.0, threshold: 2.0 };
        let setting = Setting { seed: 1, alpha: 0.05, scale, frames: show.frames() };
        let scorecard = Scorecard::new(&tape, &truths);
        render(&setting, &tape, &scorecard, &evidence::collect(&show, &scorecard))
    }

    #[test]
    fn the_page_is_whole_and_needs_nothing() {
        let page = page();
        assert!(balanced(&page) > 100);
        for outside in ["http", "<script", "<link", "url(", "@import", "srcset"] {
            assert!(!page.contains(outside), "{outside}");
        }
        let sources = page.matches("src=").count();
        assert_eq!(sources, page.matches("src=\"data:image/png;base64,iVBORw0KGgo").count());
        let episodes = Show::new(1).episodes().len();
        assert_eq!(sources, episodes + 1 + 5, "episodes, a false alarm, typical frames");
        assert!(page.contains(&format!("{} of {episodes}</div>", episodes - 1)));
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(escape("a<b> & \"c\""), "a&lt;b&gt; &amp; &quot;c&quot;");
    }
}
