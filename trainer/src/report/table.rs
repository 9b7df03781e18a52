//! The terminal table, at most [`WIDTH`] columns wide, and the same in Markdown.

use super::{Named, Report, SetScores};
use crate::metrics::AVERAGE;
use std::fmt::Write as _;

/// Columns of the terminal table, at most.
const WIDTH: usize = 100;

const HEADINGS: [&str; 9] =
    ["head", "set", "frames", "AUROC", "FPR-ood", "FPR-id", "AUPR-in", "AUPR-out", "acc"];

const RANKING_HEADINGS: [&str; 3] = ["head", "average AUROC", "over composed"];

/// Columns that a set's name gets at least, however long the heads' names are.
const SET_NAME_LEAST: usize = 12;

type Cells<const N: usize = 9> = [String; N];

impl Report {
    /// For a terminal: percents, the heads in groups, the composition and then other detectors last, all
    /// of them ranked if there are others, then the backbone's accuracy and the false alarms. Set names
    /// that do not fit are cut.
    pub fn table(&self) -> String {
        let groups = self.groups();
        let mut widths = widths(&HEADINGS, groups.iter().flatten());
        let others = widths.iter().sum::<usize>() - widths[1] + 2 * (widths.len() - 1);
        widths[1] = widths[1].min(WIDTH.saturating_sub(others).max(SET_NAME_LEAST));

        let mut text = line(&HEADINGS.map(String::from), &widths);
        for group in &groups {
            text.push('\n');
            for (row, cells) in group.iter().enumerate() {
                let mut cells = cells.clone();
                if row > 0 {
                    cells[0].clear();
                }
                text += &line(&cells, &widths);
            }
        }
        text.push('\n');
        for note in self.legend() {
            text += &note;
            text.push('\n');
        }
        let ranking = self.ranking();
        if !ranking.is_empty() {
            let widths = self::widths(&RANKING_HEADINGS, &ranking);
            text += &format!("\n{}", line(&RANKING_HEADINGS.map(String::from), &widths));
            ranking.iter().for_each(|cells| text += &line(cells, &widths));
            text += &format!("{}\n\n", self.compared_note());
        }
        for finding in self.findings() {
            text += &finding;
            text.push('\n');
        }
        text
    }

    /// The same for a model card, in Markdown.
    pub fn markdown(&self) -> String {
        let row = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let mut text = row(&HEADINGS.map(String::from));
        text += "|---|---|---:|---:|---:|---:|---:|---:|---:|\n";
        for cells in self.groups().iter().flatten() {
            text += &row(cells);
        }
        let _ = write!(text, "\n{}\n\n", self.legend().join(" "));
        let ranking = self.ranking();
        if !ranking.is_empty() {
            text += &row(&RANKING_HEADINGS.map(String::from));
            text += "|---|---:|---:|\n";
            ranking.iter().for_each(|cells| text += &row(cells));
            let _ = write!(text, "\n{}\n\n", self.compared_note());
        }
        for finding in self.findings() {
            let _ = writeln!(text, "- {finding}");
        }
        text
    }

    /// One group of rows per head; the average only where there is more than one set.
    fn groups(&self) -> Vec<Vec<Cells>> {
        let heads = self.scores.0.iter().chain(&self.compared.0);
        let heads = heads.map(|(head, sets)| {
            let rows = sets.0.iter().filter(|(set, _)| set != AVERAGE || sets.0.len() > 2);
            rows.map(|(set, scores)| cells(head, set, scores)).collect()
        });
        heads.collect()
    }

    /// All heads and detectors, the best first; nothing without other detectors.
    fn ranking(&self) -> Vec<Cells<3>> {
        if self.compared.is_empty() {
            return Vec::new();
        }
        let average = |sets: &Named<SetScores>| {
            let average = sets.0.iter().find(|(set, _)| set == AVERAGE);
            average.map_or(f64::NAN, |(_, scores)| scores.auroc)
        };
        let own = self.scores.0.iter().map(|(name, sets)| (name.clone(), name, average(sets)));
        let others =
            self.compared.0.iter().map(|(name, sets)| (format!("{name} *"), name, average(sets)));
        let mut all: Vec<_> = own.chain(others).collect();
        all.sort_by(|a, b| b.2.total_cmp(&a.2));
        let cells = |(shown, name, auroc): (String, &String, f64)| {
            let over = self.auroc_over_composed.0.iter().find(|(head, _)| head == name);
            let over = over.map(|(_, over)| {
                let [value, low, high] =
                    [over.value, over.interval[0], over.interval[1]].map(|x| 100.0 * x);
                format!("{value:+.2} [{low:+.2}, {high:+.2}]")
            });
            [shown, percent(auroc, 2), over.unwrap_or_default()]
        };
        all.into_iter().map(cells).collect()
    }

    fn compared_note(&self) -> String {
        let rows =
            self.compared_fitted_to.map_or(String::new(), |n| format!(", fitted to {n} pictures"));
        format!("* not in the model{rows}. Differences: 95 % interval of the same resamples.")
    }

    fn legend(&self) -> [String; 6] {
        [
            "All in percent.".into(),
            format!("AUROC with its 95 % bootstrap interval, {} resamples.", self.resamples),
            "FPR-ood: unusual frames accepted when 95 % of the normal ones are.".into(),
            "FPR-id: normal frames flagged when 95 % of the unusual ones are.".into(),
            "AUPR: average precision, finding the normal (in) or the unusual (out) frames.".into(),
            "acc: normal frames accepted and unusual ones found, mean, at the best threshold."
                .into(),
        ]
    }

    fn findings(&self) -> [String; 2] {
        let top1 = match (self.backbone.top1, self.backbone.top1_interval) {
            (Some(rate), Some(interval)) => format!(
                "backbone top-1: {} % {} of {} labelled normal frames",
                percent(rate, 1),
                bounds(interval, 1),
                self.backbone.labelled
            ),
            _ => "backbone top-1: not measured, no normal frame carries a class label".into(),
        };
        let decimals = rate_decimals(self.alpha);
        let false_alarms = format!(
            "false alarms: {} of {} normal frames = {} % {}, promised {} %",
            self.normal.flagged,
            self.normal.count,
            percent(self.false_alarm_rate, decimals),
            bounds(self.false_alarm_rate_interval, decimals),
            shortest_percent(self.alpha)
        );
        [top1, false_alarms]
    }
}

fn cells(head: &str, set: &str, scores: &SetScores) -> Cells {
    [
        head.into(),
        set.into(),
        scores.count.map(|count| count.to_string()).unwrap_or_default(),
        format!("{} {}", percent(scores.auroc, 1), bounds(scores.auroc_interval, 1)),
        percent(scores.fpr_ood_at_95tpr_id, 1),
        percent(scores.fpr_id_at_95tpr_ood, 1),
        percent(scores.aupr_in, 1),
        percent(scores.aupr_out, 1),
        percent(scores.detection_accuracy, 1),
    ]
}

/// Characters that each column needs.
fn widths<'a, const N: usize>(
    headings: &[&str; N],
    rows: impl IntoIterator<Item = &'a Cells<N>>,
) -> [usize; N] {
    let mut widths = headings.map(|heading| heading.chars().count());
    for cells in rows {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    widths
}

/// Names to the left, numbers to the right.
fn line<const N: usize>(cells: &Cells<N>, widths: &[usize; N]) -> String {
    let names = if N == HEADINGS.len() { 2 } else { 1 };
    let padded = cells.iter().zip(widths).enumerate().map(|(column, (cell, &width))| {
        if column < names {
            format!("{:width$}", cut(cell, width))
        } else {
            format!("{cell:>width$}")
        }
    });
    let line = padded.collect::<Vec<_>>().join("  ");
    format!("{}\n", line.trim_end())
}

fn cut(name: &str, width: usize) -> String {
    if name.chars().count() <= width {
        return name.into();
    }
    name.chars().take(width - 1).chain(['…']).collect()
}

fn percent(share: f64, decimals: usize) -> String {
    format!("{:.decimals$}", 100.0 * share)
}

fn bounds([low, high]: [f64; 2], decimals: usize) -> String {
    format!("[{}, {}]", percent(low, decimals), percent(high, decimals))
}

/// One decimal, and one more for each power of ten that `alpha` lies below 1 %.
fn rate_decimals(alpha: f64) -> usize {
    1 + (-2.0 - alpha.log10()).ceil().clamp(0.0, 6.0) as usize
}

/// As many digits as the share was written with: 0.05 is 5 %, 0.0025 is 0.25 %.
fn shortest_percent(share: f64) -> f64 {
    (share * 1e12).round() / 1e10
}
