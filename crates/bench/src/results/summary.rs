//! The repeats of each cell of a comparison, as medians with intervals, and what they come to.

use serde::{Deserialize, Serialize};

use super::Run;
use crate::measure::{Interval, median_interval};
use crate::scenario::Contender;

/// With fewer repeats a difference is no claim: no interval holds a median with 95 % then.
pub const REPEATS_FOR_A_CLAIM: usize = 6;

/// What makes two runs repeats of each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The strategy.
    pub strategy: String,
    /// The tiers.
    pub tiers: String,
    /// Life of an entry in milliseconds; 0: unbounded.
    pub ttl_ms: u64,
    /// How many milliseconds L1 serves an entry without asking L2; 0: not known.
    #[serde(default)]
    pub l1_ttl_ms: u64,
    /// API processes.
    pub replicas: u32,
    /// What was asked for, and how.
    pub workload: String,
    /// What was added to each round trip to Postgres, in milliseconds.
    pub db_latency_ms: Option<f64>,
}

/// One cell: its repeats together.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// Which.
    pub cell: Cell,
    /// How many repeats there are.
    pub repeats: usize,
    /// Whether they are enough, and the load generator vouches for all of them.
    pub claim: bool,
    /// Each figure, in the order of [`METRICS`]; those that the cell does not have are left out.
    pub metrics: Vec<Metric>,
}

/// A figure of a cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Metric {
    /// Its name, with its unit.
    pub name: String,
    /// Over the repeats.
    pub value: Interval,
}

/// Whether more of a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Throughput.
    More,
    /// Latency, statements.
    Less,
}

/// A figure: its name, whether more of it is better, and where it is in a run.
pub type Figure = (&'static str, Better, fn(&Run) -> Option<f64>);

/// The figures that are summed up and compared.
pub const METRICS: &[Figure] = &[
    ("queries_per_1000_requests", Better::Less, |run| Some(run.queries_per_1000())),
    ("loads", Better::Less, |run| Some(run.db_queries.loads as f64)),
    ("floor", Better::Less, |run| run.db_queries.floor.map(|floor| floor as f64)),
    ("query_efficiency", Better::More, |run| run.query_efficiency),
    ("achieved_rps", Better::More, |run| Some(run.achieved_rps)),
    ("mean_ms", Better::Less, |run| Some(run.latency_ms.mean)),
    ("p50_ms", Better::Less, |run| Some(run.latency_ms.p50)),
    ("p90_ms", Better::Less, |run| Some(run.latency_ms.p90)),
    ("p99_ms", Better::Less, |run| Some(run.latency_ms.p99)),
    ("p999_ms", Better::Less, |run| Some(run.latency_ms.p999)),
    ("max_ms", Better::Less, |run| Some(run.latency_ms.max)),
    ("errors", Better::Less, |run| Some(run.errors as f64)),
    ("hit_ratio_l1", Better::More, |run| run.hit_ratio.l1),
    ("hit_ratio_l2", Better::More, |run| run.hit_ratio.l2),
    ("staleness_p99_ms", Better::Less, |run| run.staleness_ms.p99),
    ("staleness_max_ms", Better::Less, |run| run.staleness_ms.max),
    ("redis_round_trips_per_1000_requests", Better::Less, |run| {
        Some(run.redis_round_trips as f64 * 1_000.0 / run.requests.max(1) as f64)
    }),
    ("cpu_us_per_request", Better::Less, |run| {
        Some(run.cpu_seconds.servers() * 1e6 / run.requests.max(1) as f64)
    }),
    ("cache_bytes", Better::Less, |run| {
        run.memory.l2_bytes.map(|l2| (l2 + run.memory.l1_bytes) as f64)
    }),
    ("api_peak_bytes", Better::Less, |run| Some(run.memory.api_peak_bytes as f64)),
];

impl Cell {
    /// That of a run.
    #[must_use]
    pub fn of(run: &Run) -> Self {
        Self {
            strategy: run.strategy.clone(),
            tiers: run.tiers.clone(),
            ttl_ms: run.ttl_ms,
            l1_ttl_ms: run.l1_ttl_ms,
            replicas: run.replicas,
            workload: run.workload.clone(),
            db_latency_ms: run.db_latency_ms,
        }
    }

    /// Strategy, tiers, TTLs (L1's where it is not the usual one) and processes, for people.
    #[must_use]
    pub fn label(&self) -> String {
        let mut label = self.strategy.clone();
        if self.tiers != "none" {
            label += &format!(" {}", self.tiers);
        }
        if self.ttl_ms > 0 {
            label += &format!(", TTL {} ms", self.ttl_ms);
        }
        let usual = [0, Contender::none().l1_ttl_ms];
        if self.tiers.contains("l1") && !usual.contains(&self.l1_ttl_ms) {
            label += &format!(", L1 {} ms", self.l1_ttl_ms);
        }
        if self.replicas != 1 {
            label += &format!(", {} processes", self.replicas);
        }
        if let Some(latency) = self.db_latency_ms {
            label += &format!(", database {latency} ms away");
        }
        label
    }
}

/// The repeats of each cell among `runs`, in the order in which cells first appear.
#[must_use]
pub fn repeats(runs: &[Run]) -> Vec<(Cell, Vec<&Run>)> {
    let mut cells: Vec<(Cell, Vec<&Run>)> = Vec::new();
    for run in runs.iter().filter(|run| run.repeat > 0) {
        let cell = Cell::of(run);
        match cells.iter_mut().find(|(known, _)| *known == cell) {
            Some((_, runs)) => runs.push(run),
            None => cells.push((cell, vec![run])),
        }
    }
    cells
}

/// Sums up every cell of `runs`.
#[must_use]
pub fn summaries(runs: &[Run]) -> Vec<Summary> {
    repeats(runs).into_iter().map(|(cell, runs)| Summary::of(cell, &runs)).collect()
}

impl Summary {
    fn of(cell: Cell, runs: &[&Run]) -> Self {
        let certified = runs.iter().all(|run| run.generator.not_certified.is_none());
        let metrics = METRICS
            .iter()
            .filter_map(|(name, _, of)| {
                let values: Vec<f64> = runs.iter().filter_map(|run| of(run)).collect();
                (values.len() == runs.len())
                    .then(|| Metric { name: (*name).to_owned(), value: median_interval(&values) })
            })
            .collect();
        let claim = certified && runs.len() >= REPEATS_FOR_A_CLAIM;
        Self { cell, repeats: runs.len(), claim, metrics }
    }

    /// How often its intervals hold the true median, for people.
    #[must_use]
    pub fn confidence(&self) -> String {
        self.metrics.first().map_or_else(String::new, |metric| metric.value.confidence())
    }

    /// The figure of that name, if the cell has it.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<Interval> {
        self.metrics.iter().find(|metric| metric.name == name).map(|metric| metric.value)
    }
}
