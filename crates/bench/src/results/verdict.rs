//! What caching gained: every cell against the first strategy under the same load.

use serde::{Deserialize, Serialize};

use super::{Cell, REPEATS_FOR_A_CLAIM, Run, repeats};
use crate::measure::{Interval, median_interval};

/// One cell against the cell of the first strategy under the same workload. Repeats are paired:
/// they ran after each other.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// What is compared …
    pub cell: Cell,
    /// … with what.
    pub baseline: Cell,
    /// The part of the database's statements that was saved, for the same number of requests; none: there were
    /// none to save.
    pub queries_saved: Option<Interval>,
    /// The most of them that any cache could have saved, with these writes and this TTL: what is left then is the
    /// floor, and the statements that are no loads. None where the floor is not known.
    #[serde(default)]
    pub most_saved: Option<Interval>,
    /// Errors of this one, and of what it is compared with, over the repeats. A refusal is quick, and asks
    /// nothing: figures of a cell with errors are no claim.
    #[serde(default)]
    pub errors: (u64, u64),
    /// How many times as fast the mean answer is.
    pub times_faster_mean: Interval,
    /// How many times as fast the 99th percentile is.
    pub times_faster_p99: Interval,
    /// How many times the throughput was; 1 in an open loop that both carried.
    pub times_throughput: Interval,
    /// Staleness of sampled answers, 99th percentile in milliseconds: the worst repeat; none:
    /// nothing was sampled.
    pub staleness_p99_ms: Option<f64>,
    /// The longest staleness of a sampled answer.
    pub staleness_max_ms: Option<f64>,
    /// 99th percentile of the sampled staleness in milliseconds, over the repeats; none: nothing was
    /// sampled.
    #[serde(default)]
    pub staleness_p99: Option<Interval>,
    /// The part of the sampled answers that was wrong, over the repeats.
    #[serde(default)]
    pub stale_part: Option<Interval>,
    /// Whether an answer was older than the service's histogram tells: then the longest staleness is the
    /// least that it can be.
    #[serde(default)]
    pub staleness_beyond: bool,
    /// Sampled answers that were wrong, and all sampled, over the repeats.
    pub stale_of_sampled: Option<(u64, u64)>,
    /// Repeats of each.
    pub repeats: usize,
    /// Whether there are enough of them, the load generator vouches for all, and every request was answered.
    pub claim: bool,
}

/// The verdicts over `runs`; the first strategy to appear is what all others are compared with.
#[must_use]
pub fn verdicts(runs: &[Run]) -> Vec<Verdict> {
    let cells = repeats(runs);
    let Some(first) = cells.first().map(|(cell, _)| (cell.strategy.clone(), cell.tiers.clone()))
    else {
        return Vec::new();
    };
    let is_first = |cell: &Cell| (&cell.strategy, &cell.tiers) == (&first.0, &first.1);
    let baseline_of = |cell: &Cell| {
        cells.iter().find(|(other, _)| {
            is_first(other) && other.workload == cell.workload && other.replicas == cell.replicas
        })
    };
    cells
        .iter()
        .filter(|(cell, _)| !is_first(cell))
        .filter_map(|(cell, runs)| {
            let (baseline, others) = baseline_of(cell)?;
            Verdict::of(cell, runs, baseline, others)
        })
        .collect()
}

impl Verdict {
    fn of(cell: &Cell, runs: &[&Run], baseline: &Cell, others: &[&Run]) -> Option<Self> {
        let pairs: Vec<(&Run, &Run)> = runs
            .iter()
            .filter_map(|run| {
                let other = others.iter().find(|other| other.repeat == run.repeat)?;
                Some((*run, *other))
            })
            .collect();
        if pairs.is_empty() {
            return None;
        }
        let over = |of: fn(&Run, &Run) -> f64| {
            let values: Vec<f64> = pairs.iter().map(|(run, other)| of(run, other)).collect();
            median_interval(&values)
        };
        let certified =
            pairs.iter().flat_map(|(a, b)| [a, b]).all(|run| run.generator.not_certified.is_none());
        let worst = |of: fn(&Run) -> Option<f64>| {
            pairs.iter().filter_map(|(run, _)| of(run)).max_by(f64::total_cmp)
        };
        let over_known = |of: fn(&Run) -> Option<f64>| {
            let known: Option<Vec<f64>> = pairs.iter().map(|(run, _)| of(run)).collect();
            known.map(|values| median_interval(&values))
        };
        let saved = |of: fn(&Run) -> Option<f64>| {
            let each: Option<Vec<f64>> = pairs
                .iter()
                .map(|(run, other)| {
                    let baseline = other.queries_per_1000();
                    (baseline > 0.0).then(|| of(run).map(|queries| 1.0 - queries / baseline))?
                })
                .collect();
            each.map(|values| median_interval(&values))
        };
        let errors = pairs.iter().fold((0, 0), |(ours, theirs), (run, other)| {
            (ours + run.errors, theirs + other.errors)
        });
        let sampled: u64 = pairs.iter().filter_map(|(run, _)| run.sampled_reads).sum();
        let stale: u64 = pairs.iter().filter_map(|(run, _)| run.stale_reads).sum();
        Some(Self {
            cell: cell.clone(),
            baseline: baseline.clone(),
            queries_saved: saved(|run| Some(run.queries_per_1000())),
            most_saved: saved(Run::fewest_queries_per_1000),
            errors,
            times_faster_mean: over(|run, other| {
                other.latency_ms.mean / run.latency_ms.mean.max(1e-9)
            }),
            times_faster_p99: over(|run, other| {
                other.latency_ms.p99 / run.latency_ms.p99.max(1e-9)
            }),
            times_throughput: over(|run, other| run.achieved_rps / other.achieved_rps.max(1e-9)),
            staleness_p99_ms: worst(|run| run.staleness_ms.p99),
            staleness_max_ms: worst(|run| run.staleness_ms.max),
            staleness_p99: over_known(|run| run.staleness_ms.p99),
            stale_part: over_known(|run| {
                let sampled = run.sampled_reads.filter(|sampled| *sampled > 0)?;
                Some(run.stale_reads? as f64 / sampled as f64)
            }),
            staleness_beyond: pairs.iter().any(|(run, _)| run.staleness_ms.beyond > 0),
            stale_of_sampled: (sampled > 0).then_some((stale, sampled)),
            repeats: pairs.len(),
            claim: certified && errors == (0, 0) && pairs.len() >= REPEATS_FOR_A_CLAIM,
        })
    }
}
