//! One run, as it is written down.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::load::Outcome;
use crate::measure::{Counts, Cpu, Generator, ProcessUse, StalenessMs, apart};

/// One run of one workload under one strategy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// The strategy.
    pub strategy: String,
    /// The tiers.
    pub tiers: String,
    /// Life of an entry in milliseconds; 0: unbounded.
    #[serde(default)]
    pub ttl_ms: u64,
    /// How many milliseconds L1 serves an entry without asking L2; 0: not known.
    #[serde(default)]
    pub l1_ttl_ms: u64,
    /// What was asked for, and how.
    pub workload: String,
    /// API processes.
    pub replicas: u32,
    /// What was added to each round trip to Postgres, in milliseconds; none: nothing.
    #[serde(default)]
    pub db_latency_ms: Option<f64>,
    /// Concurrent users of a closed loop; none in an open one.
    #[serde(default)]
    pub users: Option<u32>,
    /// Which repeat of its cell this is, from 1; 0: it has none.
    #[serde(default)]
    pub repeat: u32,
    /// Which repeat of its point of a curve this is, from 1; 0: it is of none.
    #[serde(default)]
    pub curve_repeat: u32,
    /// Requests answered.
    pub requests: u64,
    /// Answers other than 2xx, and requests without one.
    pub errors: u64,
    /// Of those, shed with 503 and Retry-After.
    pub shed: u64,
    /// Answers from the cache, by their `Cache-Status`.
    #[serde(default)]
    pub hits: u64,
    /// Of those, values past their time.
    #[serde(default)]
    pub stale_answers: u64,
    /// How long it took, in seconds.
    #[serde(default)]
    pub seconds: f64,
    /// How long it was to take, in seconds; none: as long as its requests do.
    #[serde(default)]
    pub planned_seconds: Option<f64>,
    /// Requests a second that were scheduled; none in a closed loop.
    pub offered_rps: Option<f64>,
    /// Answers a second.
    pub achieved_rps: f64,
    /// Latency: from the intended send time in an open loop.
    pub latency_ms: LatencyMs,
    /// Statements.
    pub db_queries: DbQueries,
    /// Floor divided by loads: 1 is what no cache can exceed. None where there is no floor.
    #[serde(default)]
    pub query_efficiency: Option<f64>,
    /// The most statements that Postgres completed within a quarter of a second.
    #[serde(default)]
    pub db_busiest: u64,
    /// Rows that Postgres returned or changed.
    #[serde(default)]
    pub db_rows: u64,
    /// Connections to Postgres.
    #[serde(default)]
    pub db_connections: DbConnections,
    /// Commands sent to Redis.
    pub redis_round_trips: u64,
    /// Bytes to and from Redis's clients.
    #[serde(default)]
    pub redis_bytes: u64,
    /// Lookups answered by each tier.
    pub hit_ratio: HitRatio,
    /// Lookups in each tier, by the service's own count.
    #[serde(default)]
    pub lookups: TierLookups,
    /// Loads that were saved because another was under way.
    #[serde(default)]
    pub coalesced: Coalesced,
    /// Age of sampled answers, right ones being 0.
    pub staleness_ms: StalenessMs,
    /// Sampled answers that were wrong; none: nothing was sampled.
    pub stale_reads: Option<u64>,
    /// Answers that were compared with Postgres.
    #[serde(default)]
    pub sampled_reads: Option<u64>,
    /// Processor seconds, by part.
    pub cpu_seconds: Cpu,
    /// Resident memory of all API processes at its highest.
    pub rss_bytes: u64,
    /// Memory by part.
    #[serde(default)]
    pub memory: Memory,
    /// Each process.
    #[serde(default)]
    pub processes: Vec<ProcessUse>,
    /// What the load generator says of itself.
    #[serde(default)]
    pub generator: Generator,
    /// The command line that makes this run again.
    #[serde(default)]
    pub command: Option<String>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbQueries {
    /// As the application counted them.
    pub counted: u64,
    /// As Postgres did.
    pub pg_stat_statements: u64,
    /// The fewest loads that any cache could have done on the sequence that was sent, where that
    /// is known.
    pub floor: Option<u64>,
    /// Of the counted, loads.
    pub loads: u64,
    /// Of the counted, those that only found out how old sampled answers were.
    #[serde(default)]
    pub sampled: u64,
    /// Of unknown outcome.
    pub unknown: u64,
    /// Refused or never sent.
    pub failed: u64,
    /// By how many statements both counts disagree, process by process.
    #[serde(default)]
    pub apart: u64,
    /// Statements of the processes' change feeds, under roles of their own: in no other figure.
    #[serde(default)]
    pub relay: u64,
}

/// Lookups answered by each tier.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct HitRatio {
    /// In the service's processes; none where they were not asked.
    pub l1: Option<f64>,
    /// Redis Cluster; none where it was not asked.
    pub l2: Option<f64>,
}

/// Lookups in each tier.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct TierLookups {
    /// In the service's processes.
    pub l1: u64,
    /// In Redis Cluster.
    pub l2: u64,
}

/// Loads that were saved because another was under way.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Coalesced {
    /// Requests that joined a load in their own process.
    pub process: u64,
    /// Loads that waited for one in another process instead.
    pub cluster: u64,
}

/// Connections to Postgres.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct DbConnections {
    /// The most at any moment, counted four times a second.
    pub peak: u64,
    /// What the pools of all processes may hold.
    pub bound: u64,
}

/// Memory by part, in bytes.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    /// Entries in the L1 of all processes at the end, as they reckon them.
    pub l1_bytes: u64,
    /// What the data in all Redis nodes, replicas included, grew by since before the processes
    /// were started; none where that was not looked at.
    pub l2_bytes: Option<u64>,
    /// Resident, all API processes, at the highest.
    pub api_peak_bytes: u64,
    /// Resident, Postgres.
    pub postgres_peak_bytes: u64,
    /// Resident, all Redis nodes.
    pub redis_peak_bytes: u64,
}

impl Run {
    /// The same with the fewest loads that any cache could have done.
    #[must_use]
    pub fn with_floor(mut self, floor: Option<u64>) -> Self {
        let loads = self.db_queries.loads;
        self.db_queries.floor = floor;
        self.query_efficiency = floor.map(|floor| match (floor, loads) {
            (0, 0) => 1.0,
            (floor, loads) => floor as f64 / loads.max(1) as f64,
        });
        self
    }

    /// Which repeat of its cell, or of its point of a curve, it is; none: it has none.
    #[must_use]
    pub fn any_repeat(&self) -> Option<u32> {
        [self.repeat, self.curve_repeat].into_iter().find(|repeat| *repeat > 0)
    }

    /// Whether it is a point of a curve. Points that were measured once have no repeat.
    #[must_use]
    pub const fn is_of_a_curve(&self) -> bool {
        self.curve_repeat > 0 || (self.repeat == 0 && self.offered_rps.is_some())
    }

    /// Statements for each thousand requests, without those of the measurement.
    #[must_use]
    pub fn queries_per_1000(&self) -> f64 {
        let queries = self.db_queries.counted - self.db_queries.sampled;
        queries as f64 * 1_000.0 / self.requests.max(1) as f64
    }

    /// The same if no more had been loaded than the floor; none where that is not known.
    #[must_use]
    pub fn fewest_queries_per_1000(&self) -> Option<f64> {
        let DbQueries { counted, sampled, loads, floor, .. } = self.db_queries;
        let fewest = (counted - sampled).saturating_sub(loads) + floor?.min(loads);
        Some(fewest as f64 * 1_000.0 / self.requests.max(1) as f64)
    }
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
            sampled: counts.sampled,
            unknown: counts.unknown,
            failed: counts.failed,
            apart: counts.apart,
            relay: counts.relay,
        }
    }

    /// Whether Postgres counted as many statements as the application, for each process: all that it
    /// completed, and some of those of unknown outcome.
    #[must_use]
    pub const fn agree(&self) -> bool {
        self.apart == 0 && apart(self.counted, self.unknown, self.pg_stat_statements) == 0
    }

    /// Whether both counts are equal, for each process: as they must be where nothing was broken on purpose.
    #[must_use]
    pub const fn equal(&self) -> bool {
        self.agree() && self.counted == self.pg_stat_statements
    }

    /// Both counts, for people.
    #[must_use]
    pub fn both(&self) -> String {
        let Self { counted, pg_stat_statements, unknown, apart, .. } = self;
        format!(
            "{counted} counted (and {unknown} of unknown outcome), {pg_stat_statements} by Postgres, \
             {apart} apart, process by process"
        )
    }
}
