//! The points of a curve: the repeats of each together.

use serde::{Deserialize, Serialize};

use super::{Cell, REPEATS_FOR_A_CLAIM, Run};
use crate::measure::{Interval, median_interval};

/// One strategy at one rate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CurvePoint {
    /// The strategy, and how it was asked.
    pub cell: Cell,
    /// Requests a second that were offered; none: as many as it answers, in a closed loop.
    pub offered_rps: Option<f64>,
    /// How often it was measured.
    pub repeats: usize,
    /// Whether that is often enough, the load generator vouches for each, and every request was answered.
    pub claim: bool,
    /// Errors in all repeats.
    #[serde(default)]
    pub errors: u64,
    /// Answers a second.
    pub achieved_rps: Interval,
    /// Mean latency in milliseconds.
    pub mean_ms: Interval,
    /// 99th percentile of the latency in milliseconds.
    pub p99_ms: Interval,
}

/// The runs of each point, in the order in which points first appear.
fn points(runs: &[Run]) -> Vec<Vec<&Run>> {
    let mut points: Vec<Vec<&Run>> = Vec::new();
    for run in runs.iter().filter(|run| run.is_of_a_curve()) {
        let is_of =
            |known: &&Run| known.offered_rps == run.offered_rps && Cell::of(known) == Cell::of(run);
        match points.iter_mut().find(|point| point.first().is_some_and(is_of)) {
            Some(point) => point.push(run),
            None => points.push(vec![run]),
        }
    }
    points
}

/// Sums up every point of `runs`.
#[must_use]
pub fn curve_points(runs: &[Run]) -> Vec<CurvePoint> {
    points(runs).into_iter().map(|runs| CurvePoint::of(&runs)).collect()
}

impl CurvePoint {
    fn of(runs: &[&Run]) -> Self {
        let over = |of: fn(&Run) -> f64| {
            median_interval(&runs.iter().map(|run| of(run)).collect::<Vec<_>>())
        };
        let certified = runs.iter().all(|run| run.generator.not_certified.is_none());
        let errors = runs.iter().map(|run| run.errors).sum();
        Self {
            cell: Cell::of(runs[0]),
            offered_rps: runs[0].offered_rps,
            repeats: runs.len(),
            claim: certified && errors == 0 && runs.len() >= REPEATS_FOR_A_CLAIM,
            errors,
            achieved_rps: over(|run| run.achieved_rps),
            mean_ms: over(|run| run.latency_ms.mean),
            p99_ms: over(|run| run.latency_ms.p99),
        }
    }
}
