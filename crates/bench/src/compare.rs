//! Two results, figure by figure: what has become better or worse.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::measure::{Interval, difference_interval, median};
use crate::results::{Better, Cell, Event, METRICS, Results, Run, repeats};

/// Two results, cell by cell.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The part by which a figure may be worse.
    pub threshold: f64,
    /// Cells that are in both.
    pub cells: Vec<CellCompared>,
    /// Cells that are in one alone.
    pub unmatched: Vec<String>,
    /// How many of these are missing after.
    pub vanished: usize,
}

/// One cell in both results.
#[derive(Clone, Debug, Serialize)]
pub struct CellCompared {
    /// Which.
    pub cell: Cell,
    /// Repeats before and after.
    pub repeats: (usize, usize),
    /// Each figure that both have.
    pub figures: Vec<FigureCompared>,
}

/// One figure before and after.
#[derive(Clone, Debug, Serialize)]
pub struct FigureCompared {
    /// Its name, with its unit.
    pub name: String,
    /// The median before …
    pub before: f64,
    /// … and after.
    pub after: f64,
    /// After minus before.
    pub difference: Interval,
    /// What it means.
    pub finding: Finding,
}

/// What a difference means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// The interval holds zero, or is within the threshold.
    Same,
    /// Better beyond the threshold, and so is the whole interval beyond zero.
    Better,
    /// Worse beyond the threshold, likewise.
    Worse,
    /// It would be better or worse, but there are too few repeats for an interval.
    TooFewRepeats,
}

/// With fewer repeats an interval says nothing.
const LEAST_REPEATS: usize = 3;

impl Comparison {
    /// Compares `after` with `before`; `threshold` is the part by which a figure may be worse.
    ///
    /// # Errors
    ///
    /// When they have no cell in common, or are of different catalogues or lengths.
    pub fn of(before: &Results, after: &Results, threshold: f64) -> Result<Self> {
        ensure!(
            before.data_set == after.data_set,
            "the two results are of different catalogues, and so cannot be compared: {:?} before, {:?} \
             after",
            before.data_set,
            after.data_set
        );
        let (events_before, events_after) = (&before.events, &after.events);
        let (before, after) = (repeats(&before.runs), repeats(&after.runs));
        let (mut cells, mut unmatched, mut vanished) = (Vec::new(), Vec::new(), 0);
        for (cell, old) in &before {
            let Some((_, new)) = after.iter().find(|(other, _)| other == cell) else {
                vanished += 1;
                unmatched.push(format!("only before: {}, {}", cell.label(), cell.workload));
                continue;
            };
            let planned = |runs: &[&Run]| runs.first().and_then(|run| run.planned_seconds);
            let (was, is) = (planned(old), planned(new));
            ensure!(
                was == is,
                "{}, {}: measured for {} before and for {} after, and so cannot be compared: choose \
                 the same matrix.seconds",
                cell.label(),
                cell.workload,
                seconds(was),
                seconds(is)
            );
            let figures = METRICS.iter().filter_map(|(name, better, of)| {
                let values =
                    |runs: &[&_]| -> Option<Vec<f64>> { runs.iter().map(|run| of(run)).collect() };
                Some(FigureCompared::of(name, *better, &values(old)?, &values(new)?, threshold))
            });
            let mut figures: Vec<FigureCompared> = figures.collect();
            for (name, was) in costs(events_before, cell) {
                let is = costs(events_after, cell).remove(&name);
                let Some(is) = is else {
                    vanished += 1;
                    unmatched.push(format!(
                        "only before: {name}, {}, {}",
                        cell.label(),
                        cell.workload
                    ));
                    continue;
                };
                figures.push(FigureCompared::of(&name, Better::Less, &was, &is, threshold));
            }
            cells.push(CellCompared {
                cell: cell.clone(),
                repeats: (old.len(), new.len()),
                figures,
            });
        }
        for (cell, _) in &after {
            if !before.iter().any(|(other, _)| other == cell) {
                unmatched.push(format!("only after: {}, {}", cell.label(), cell.workload));
            }
        }
        ensure!(
            !cells.is_empty(),
            "the two results have no run in common that was repeated: compare two runs of the same \
             scenario ({})",
            if unmatched.is_empty() { "neither has any".to_owned() } else { unmatched.join("; ") }
        );
        Ok(Self { threshold, cells, unmatched, vanished })
    }

    /// How many figures are worse.
    #[must_use]
    pub fn regressions(&self) -> usize {
        let figures = self.cells.iter().flat_map(|cell| &cell.figures);
        figures.filter(|figure| figure.finding == Finding::Worse).count()
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for CellCompared { cell, repeats, figures } in &self.cells {
            let (old, new) = repeats;
            let name = cell.label();
            let sure = figures.first().map(|figure| figure.difference.confidence());
            let sure = sure.map_or_else(String::new, |sure| format!(", {sure} intervals"));
            let _ = writeln!(text, "{name}, {} ({old} and {new} repeats{sure})", cell.workload);
            for figure in figures {
                let Interval { low, high, .. } = figure.difference;
                let word = match figure.finding {
                    Finding::Same => "",
                    Finding::Better => "  better",
                    Finding::Worse => "  WORSE",
                    Finding::TooFewRepeats => "  too few repeats to tell",
                };
                let _ = writeln!(
                    text,
                    "  {:<36} {:>12.3} -> {:>12.3}  difference {:+.3} ({low:+.3} to {high:+.3}){word}",
                    figure.name, figure.before, figure.after, figure.difference.median
                );
            }
        }
        for cell in &self.unmatched {
            let _ = writeln!(text, "{cell}");
        }
        let worse = self.regressions();
        let part = self.threshold * 100.0;
        let _ = writeln!(text, "{worse} figures are worse by more than {part:.0} %");
        if self.vanished > 0 {
            let _ = writeln!(text, "{} cells are MISSING after", self.vanished);
        }
        text
    }
}

fn seconds(planned: Option<f64>) -> String {
    planned.map_or_else(|| "as long as it takes".to_owned(), |seconds| format!("{seconds} s"))
}

/// What each event in `cell` cost, in each repeat, by the name of the figure.
fn costs(events: &[Event], cell: &Cell) -> BTreeMap<String, Vec<f64>> {
    let mut costs: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.cell == *cell) {
        costs.entry(event.figure()).or_default().push(event.cost_queries as f64);
    }
    costs
}

impl FigureCompared {
    fn of(name: &str, better: Better, old: &[f64], new: &[f64], threshold: f64) -> Self {
        let difference = difference_interval(old, new);
        let (before, after) = (median(old), median(new));
        let beyond = difference.median.abs() > threshold * before.abs();
        // Zero in between: it may be chance.
        let clear = difference.low > 0.0 || difference.high < 0.0;
        let worse = (difference.median > 0.0) == (better == Better::Less);
        // A floor is what the load was, not what the cache did.
        let finding = if !beyond || !clear || name == "floor" {
            Finding::Same
        } else if old.len().min(new.len()) < LEAST_REPEATS {
            Finding::TooFewRepeats
        } else if worse {
            Finding::Worse
        } else {
            Finding::Better
        };
        Self { name: name.to_owned(), before, after, difference, finding }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(better: Better, old: &[f64], new: &[f64]) -> Finding {
        FigureCompared::of("p99_ms", better, old, new, 0.1).finding
    }

    #[test]
    fn only_what_is_clear_and_beyond_the_threshold_is_a_finding() {
        let old = [10.0, 10.2, 9.8, 10.1, 9.9];
        let slower = old.map(|value| value * 1.5);
        assert_eq!(finding(Better::Less, &old, &slower), Finding::Worse);
        assert_eq!(finding(Better::More, &old, &slower), Finding::Better);
        assert_eq!(finding(Better::Less, &slower, &old), Finding::Better);
        // Clear, but within the threshold.
        assert_eq!(finding(Better::Less, &old, &old.map(|value| value * 1.05)), Finding::Same);
        // Beyond it, but as likely chance.
        assert_eq!(finding(Better::Less, &old, &[9.0, 30.0, 8.0, 12.0, 7.0]), Finding::Same);
        assert_eq!(finding(Better::Less, &[10.0], &[20.0]), Finding::TooFewRepeats);
        // From nothing, anything is beyond the threshold: one error is a regression.
        assert_eq!(finding(Better::Less, &[0.0; 5], &[3.0; 5]), Finding::Worse);
    }
}
