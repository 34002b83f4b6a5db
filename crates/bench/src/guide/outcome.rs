//! What the steps came to: `step-by-step.json` holds it field by field.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::foretell::Foretold;
use crate::measure::StalenessMs;
use crate::results::{DbQueries, Machine};

/// All steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// When the last of them was measured.
    pub measured_at: Timestamp,
    /// On what.
    pub machine: Machine,
    /// The catalogue.
    pub data_set: String,
    /// Each step, in order; one that was not yet measured is left out.
    pub steps: Vec<StepResult>,
    /// What `advise` foretells for each step from a log of the first.
    pub foretold: Vec<Foretold>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepResult {
    /// Its name.
    pub name: String,
    /// The settings under which it ran, as `larder.toml` has them.
    pub settings: BTreeMap<String, String>,
    /// Loads while each product was asked for once, before anything was measured.
    pub fill_loads: u64,
    /// With everything up.
    pub calm: Phase,
    /// With an outage of Postgres.
    pub outage: Phase,
}

/// The figures of one load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Requests answered.
    pub requests: u64,
    /// Of those, errors.
    pub errors: u64,
    /// Reads that were answered as they should be.
    pub reads: u64,
    /// Of those, reads that the cache did not answer.
    pub waited: u64,
    /// Of those, reads answered with a value past its time, and marked so.
    pub stale_answers: u64,
    /// Statements.
    pub db_queries: DbQueries,
    /// The most statements within a quarter of a second.
    pub busiest: u64,
    /// Median latency, from when requests were due.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Commands to Redis.
    pub redis_round_trips: u64,
    /// Answers whose age was found out, and those of them that were old.
    pub sampled_reads: u64,
    /// See above.
    pub stale_reads: u64,
    /// How old they were.
    pub staleness_ms: StalenessMs,
    /// Why the load generator does not vouch for it; none: it does.
    pub not_certified: Option<String>,
}

impl Measured {
    /// The step of that name, if it was measured.
    #[must_use]
    pub fn step(&self, name: &str) -> Option<&StepResult> {
        self.steps.iter().find(|step| step.name == name)
    }
}

impl StepResult {
    /// Its essentials on one line.
    #[must_use]
    pub fn line(&self) -> String {
        let Phase { requests, errors, p50_ms, p99_ms, .. } = &self.calm;
        format!(
            "{}: {} queries, {} by Postgres, {requests} requests, {errors} errors, p50 {p50_ms:.2} ms, \
             p99 {p99_ms:.1} ms; {} errors and {} stale answers with an outage",
            self.name,
            self.calm.queries(),
            self.calm.queries_by_postgres(),
            self.outage.errors,
            self.outage.stale_answers
        )
    }
}

impl Phase {
    /// Statements by the service's count, those apart that only found out how old answers were.
    #[must_use]
    pub const fn queries(&self) -> u64 {
        self.db_queries.counted - self.db_queries.sampled
    }

    /// The same by Postgres's count.
    #[must_use]
    pub const fn queries_by_postgres(&self) -> u64 {
        self.db_queries.pg_stat_statements.saturating_sub(self.db_queries.sampled)
    }

    /// Statements that are no loads: of writes, and of what keeps them.
    #[must_use]
    pub const fn other_queries(&self) -> u64 {
        self.queries() - self.db_queries.loads
    }

    /// The part of the loads that no cache could have done without.
    #[must_use]
    pub fn efficiency(&self) -> Option<f64> {
        let floor = self.db_queries.floor?;
        Some(floor as f64 / self.db_queries.loads.max(1) as f64)
    }
}
