//! What is written down: the names in these types are those in `results.json`.

use std::path::Path;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::load::Outcome;
use crate::measure::{Counts, Cpu, Interval};

/// Everything about one call of the benchmark.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    /// The command that made it.
    pub command: String,
    /// When it began.
    pub started_at: jiff::Timestamp,
    /// What it ran on.
    pub machine: Machine,
    /// What was asked for.
    pub data_set: String,
    /// The statement behind a product page.
    pub statement: String,
    /// What that statement costs uncached: mean of Postgres's own times, in milliseconds.
    pub statement_mean_ms: Option<f64>,
    /// Each run.
    pub runs: Vec<Run>,
    /// Ratios within this call, of paired rounds.
    pub ratios: Vec<Ratio>,
    /// What must hold.
    pub checks: Vec<Check>,
}

/// The machine and its software.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Its cores.
    pub cores: usize,
    /// Its memory.
    pub memory_bytes: u64,
    /// Its kernel.
    pub kernel: String,
    /// Postgres's version.
    pub postgres: String,
    /// Redis's or Valkey's.
    pub redis: String,
    /// This program's.
    pub larder: String,
}

/// One run of one workload under one strategy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// The strategy.
    pub strategy: String,
    /// The tiers.
    pub tiers: String,
    /// What was asked for, and how.
    pub workload: String,
    /// API processes.
    pub replicas: u32,
    /// Requests answered.
    pub requests: u64,
    /// Answers other than 2xx, and requests without one.
    pub errors: u64,
    /// Of those, shed with 503 and Retry-After.
    pub shed: u64,
    /// Requests a second that were scheduled; none in a closed loop.
    pub offered_rps: Option<f64>,
    /// Answers a second.
    pub achieved_rps: f64,
    /// Latency: from the intended send time in an open loop.
    pub latency_ms: LatencyMs,
    /// Statements.
    pub db_queries: DbQueries,
    /// Commands sent to Redis.
    pub redis_round_trips: u64,
    /// Lookups answered by each tier.
    pub hit_ratio: HitRatio,
    /// Age of wrong answers; not measured by this version.
    pub staleness_ms: Option<serde_json::Value>,
    /// Wrong answers; not measured by this version.
    pub stale_reads: Option<u64>,
    /// Processor seconds, by part.
    pub cpu_seconds: Cpu,
    /// Resident memory of the API at the end.
    pub rss_bytes: u64,
    /// 99th percentile of the generator's own lateness; none in a closed loop.
    pub pacing_p99_ms: Option<f64>,
}

/// Latency in milliseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of the quantiles")]
pub struct LatencyMs {
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// Statements of a run.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct DbQueries {
    /// As the application counted them.
    pub counted: u64,
    /// As Postgres did.
    pub pg_stat_statements: u64,
    /// The fewest loads that any cache could have done from cold, where that is known.
    pub floor: Option<u64>,
    /// Of the counted, loads.
    pub loads: u64,
    /// Of unknown outcome.
    pub unknown: u64,
    /// Refused or never sent.
    pub failed: u64,
}

/// Lookups answered by each tier.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct HitRatio {
    /// In process; not in this version.
    pub l1: Option<f64>,
    /// Redis Cluster; none where it was not asked.
    pub l2: Option<f64>,
}

/// A ratio of throughputs, measured in paired rounds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ratio {
    /// What is compared.
    pub name: String,
    /// The ratio.
    pub ratio: Interval,
    /// Throughput above the line, of each round.
    pub numerator_rps: Vec<f64>,
    /// Throughput below the line, of each round.
    pub denominator_rps: Vec<f64>,
    /// Processor microseconds per request above the line (API, Postgres, Redis, generator).
    pub numerator_cpu_us: Cpu,
    /// The same below the line.
    pub denominator_cpu_us: Cpu,
    /// What the ratio must reach, where it must.
    pub bar: Option<f64>,
}

/// Something that must hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Check {
    /// What.
    pub name: String,
    /// What was found.
    pub found: String,
    /// Whether it holds.
    pub holds: bool,
}

impl LatencyMs {
    /// The figures of a load.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Self {
        Self::of_micros(&outcome.latency)
    }

    /// The figures of a histogram of microseconds.
    #[must_use]
    pub fn of_micros(latency: &Histogram<u64>) -> Self {
        let at = |quantile: f64| latency.value_at_quantile(quantile) as f64 / 1_000.0;
        Self {
            mean: latency.mean() / 1_000.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: latency.max() as f64 / 1_000.0,
        }
    }
}

impl DbQueries {
    /// The figures of a run whose floor is `floor`.
    #[must_use]
    pub const fn of(counts: &Counts, floor: Option<u64>) -> Self {
        Self {
            counted: counts.counted,
            pg_stat_statements: counts.postgres,
            floor,
            loads: counts.loads,
            unknown: counts.unknown,
            failed: counts.failed,
        }
    }
}

impl Results {
    /// Writes `results.json` and `results.csv` into `folder`.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let json = folder.join("results.json");
        std::fs::write(&json, serde_json::to_vec_pretty(self)?)
            .with_context(|| json.display().to_string())?;
        let path = folder.join("results.csv");
        let mut csv = csv::Writer::from_path(&path).with_context(|| path.display().to_string())?;
        csv.write_record([
            "strategy",
            "tiers",
            "workload",
            "replicas",
            "requests",
            "errors",
            "offered_rps",
            "achieved_rps",
            "mean_ms",
            "p50_ms",
            "p90_ms",
            "p99_ms",
            "p999_ms",
            "max_ms",
            "db_counted",
            "db_pg_stat_statements",
            "db_floor",
            "redis_round_trips",
            "hit_ratio_l1",
            "hit_ratio_l2",
            "cpu_api_s",
            "cpu_postgres_s",
            "cpu_redis_s",
            "cpu_generator_s",
            "rss_bytes",
        ])?;
        for run in &self.runs {
            let (latency, queries, cpu) = (&run.latency_ms, &run.db_queries, &run.cpu_seconds);
            let optional = |value: Option<f64>| value.map_or(String::new(), |v| format!("{v:.4}"));
            csv.write_record([
                run.strategy.clone(),
                run.tiers.clone(),
                run.workload.clone(),
                run.replicas.to_string(),
                run.requests.to_string(),
                run.errors.to_string(),
                optional(run.offered_rps),
                format!("{:.1}", run.achieved_rps),
                format!("{:.3}", latency.mean),
                format!("{:.3}", latency.p50),
                format!("{:.3}", latency.p90),
                format!("{:.3}", latency.p99),
                format!("{:.3}", latency.p999),
                format!("{:.3}", latency.max),
                queries.counted.to_string(),
                queries.pg_stat_statements.to_string(),
                queries.floor.map_or(String::new(), |floor| floor.to_string()),
                run.redis_round_trips.to_string(),
                optional(run.hit_ratio.l1),
                optional(run.hit_ratio.l2),
                format!("{:.2}", cpu.api),
                format!("{:.2}", cpu.postgres),
                format!("{:.2}", cpu.redis),
                format!("{:.2}", cpu.generator),
                run.rss_bytes.to_string(),
            ])?;
        }
        csv.flush()?;
        Ok(())
    }

    /// Reads `results.json` from `folder`.
    ///
    /// # Errors
    ///
    /// When it is not there, or not ours.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("results.json");
        let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
        serde_json::from_slice(&text).with_context(|| path.display().to_string())
    }
}
