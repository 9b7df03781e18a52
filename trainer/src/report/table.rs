//! The terminal table, at most [`WIDTH`] columns wide, and the same in Markdown.

use super::{Report, SetScores};
use crate::metrics::AVERAGE;
use std::fmt::Write as _;

/// Columns of the terminal table, at most.
const WIDTH: usize = 100;

const HEADINGS: [&str; 8] =
    ["head", "set", "frames", "AUROC", "FPR-ood", "FPR-id", "AUPR-in", "AUPR-out"];

/// Columns that a set's name gets at least, however long the heads' names are.
const SET_NAME_LEAST: usize = 12;

type Cells = [String; 8];

impl Report {
    /// For a terminal: percents, the heads in groups, the composition last, then the backbone's
    /// accuracy and the false alarms. Set names that do not fit are cut.
    pub fn table(&self) -> String {
        let groups = self.groups();
        let mut widths = HEADINGS.map(|heading| heading.chars().count());
        for cells in groups.iter().flatten() {
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
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
        for note in self.legend().iter().chain(&self.findings()) {
            text += note;
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
        text += "|---|---|---:|---:|---:|---:|---:|---:|\n";
        for cells in self.groups().iter().flatten() {
            text += &row(cells);
        }
        let _ = write!(text, "\n{}\n\n", self.legend().join(" "));
        for finding in self.findings() {
            let _ = writeln!(text, "- {finding}");
        }
        text
    }

    /// One group of rows per head; the average only where there is more than one set.
    fn groups(&self) -> Vec<Vec<Cells>> {
        let heads = self.scores.0.iter().map(|(head, sets)| {
            let rows = sets.0.iter().filter(|(set, _)| set != AVERAGE || sets.0.len() > 2);
            rows.map(|(set, scores)| cells(head, set, scores)).collect()
        });
        heads.collect()
    }

    fn legend(&self) -> [String; 5] {
        [
            "All in percent.".into(),
            format!("AUROC with its 95 % bootstrap interval, {} resamples.", self.resamples),
            "FPR-ood: unusual frames accepted when 95 % of the normal ones are.".into(),
            "FPR-id: normal frames flagged when 95 % of the unusual ones are.".into(),
            "AUPR: average precision, finding the normal (in) or the unusual (out) frames.".into(),
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
    ]
}

/// Names to the left, numbers to the right.
fn line(cells: &Cells, widths: &[usize; 8]) -> String {
    let padded = cells.iter().zip(widths).enumerate().map(|(column, (cell, &width))| {
        if column < 2 { format!("{:width$}", cut(cell, width)) } else { format!("{cell:>width$}") }
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
