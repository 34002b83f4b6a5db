//! What a run found: the names in these types are those in `verify.json`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::cases::{Case, Slow};
use super::check::{Kind, Path};
use super::writers::{Operation, Tally};
use crate::results::{Check, LatencyMs, Machine};

/// Everything about one call of the verifier.
#[derive(Clone, Debug, Serialize)]
pub struct Verification {
    /// The command that made it.
    pub command: String,
    /// When it began.
    pub started_at: jiff::Timestamp,
    /// What it ran on.
    pub machine: Machine,
    /// Whether every check of every run holds.
    pub holds: bool,
    /// Each run.
    pub runs: Vec<Run>,
}

/// One load, checked.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// What happened: `mixed` or `bulk`.
    pub scenario: &'static str,
    /// The strategy of both namespaces.
    pub strategy: String,
    /// The tiers of both namespaces.
    pub tiers: String,
    /// API processes …
    pub processes: u8,
    /// … over so many regions, each with a Redis Cluster of its own.
    pub regions: usize,
    /// How long the load was.
    pub seconds: f64,
    /// Reads a second that were scheduled.
    pub offered_reads: f64,
    /// Writes a second that were scheduled.
    pub offered_writes: f64,
    /// The longest that a replaced value may be seen.
    pub bound_ms: f64,
    /// The reads.
    pub reads: Reads,
    /// Latency of the load's reads, from when they were due.
    pub latency_ms: LatencyMs,
    /// 99th percentile of the load generator's own lateness.
    pub pacing_p99_ms: f64,
    /// What the writers did.
    pub writes: BTreeMap<Operation, Tally>,
    /// Committed transactions that changed something that is read.
    pub transactions: usize,
    /// How old reads were, over all of them.
    pub staleness_ms: Distribution,
    /// How old those reads were that were not current, by how the write that they missed had to
    /// reach them.
    pub stale_reads_ms: BTreeMap<Path, Distribution>,
    /// For each write that was watched: how long after its commit a read still began that had
    /// not seen it.
    pub visibility_ms: BTreeMap<Path, Distribution>,
    /// Both, in classes.
    pub histogram: Vec<Bucket>,
    /// The writes that took longest to be seen.
    pub slowest_writes: Vec<Slow>,
    /// The transaction that stayed open during the run.
    pub long_transaction: Option<LongTransaction>,
    /// Reads that saw less than one of the same key that had ended before they began.
    pub went_back: u64,
    /// Wrong reads, by what is wrong with them.
    pub violations: BTreeMap<Kind, u64>,
    /// What must hold.
    pub checks: Vec<Check>,
    /// The first wrong reads of each kind, with what happened around them.
    pub cases: Vec<Case>,
}

/// What readers were answered.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Reads {
    /// All of them.
    pub sent: u64,
    /// 200.
    pub found: u64,
    /// 404.
    pub absent: u64,
    /// Everything else, by status; 0 for no answer.
    pub errors: BTreeMap<u16, u64>,
    /// Of all, those by which a writer looked at its own write through another process.
    pub by_writers: u64,
    /// Of all, those that looked at every key after the load.
    pub swept: u64,
}

/// The transaction that stayed open during a run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LongTransaction {
    /// Its id in Postgres.
    pub txid: i64,
    /// How long it was open, in seconds.
    pub open_seconds: f64,
    /// How long after its commit a read began that had not seen it; none if nobody looked.
    pub lag_ms: Option<f64>,
}

/// Durations in milliseconds, by their quantiles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Distribution {
    /// How many.
    pub count: usize,
    /// The median.
    pub p50: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// A class of durations.
#[derive(Clone, Debug, Serialize)]
pub struct Bucket {
    /// Its upper end; none for the last.
    pub up_to_ms: Option<f64>,
    /// Reads of this staleness.
    pub reads: usize,
    /// Writes that were seen by everybody after as long, by how they had to reach the reader.
    pub writes: BTreeMap<Path, usize>,
}

/// The upper ends of the classes, in milliseconds.
const ENDS: [f64; 11] = [0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 250.0, 500.0, 1_000.0];

impl Distribution {
    /// Of durations in microseconds.
    #[must_use]
    pub fn of(mut micros: Vec<i64>) -> Self {
        micros.sort_unstable();
        let Some(last) = micros.len().checked_sub(1) else { return Self::default() };
        // The smallest value that so large a part does not exceed.
        let at = |part: f64| {
            let rank = (part * micros.len() as f64).ceil() as usize;
            ms(micros[rank.clamp(1, last + 1) - 1])
        };
        Self { count: micros.len(), p50: at(0.5), p99: at(0.99), max: ms(micros[last]) }
    }
}

/// Microseconds in milliseconds.
pub(super) fn ms(micros: i64) -> f64 {
    micros as f64 / 1_000.0
}

/// Puts staleness of reads and lags of writes, in microseconds, in classes.
pub(super) fn histogram(reads: &[i64], lags: &BTreeMap<Path, Vec<i64>>) -> Vec<Bucket> {
    let class = |micros: i64| ENDS.partition_point(|end| *end < ms(micros));
    let ends = ENDS.into_iter().map(Some).chain([None]);
    let mut buckets: Vec<Bucket> =
        ends.map(|up_to_ms| Bucket { up_to_ms, reads: 0, writes: BTreeMap::new() }).collect();
    for micros in reads {
        buckets[class(*micros)].reads += 1;
    }
    for (path, lags) in lags {
        for micros in lags {
            *buckets[class(*micros)].writes.entry(*path).or_default() += 1;
        }
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        assert_eq!(Distribution::of(Vec::new()), Distribution::default());
        let hundred = Distribution::of((1..=100).rev().map(|n| n * 1_000).collect());
        assert_eq!(hundred, Distribution { count: 100, p50: 50.0, p99: 99.0, max: 100.0 });
        let one = Distribution::of(vec![1_500]);
        assert_eq!((one.p50, one.p99, one.max), (1.5, 1.5, 1.5));
    }

    #[test]
    fn a_class_holds_its_upper_end() {
        let lags = BTreeMap::from([(Path::Sql, vec![1_000_001, 250_000])]);
        let buckets = histogram(&[0, 0, 1, 1_000, 1_001], &lags);
        let reads: Vec<usize> = buckets.iter().map(|bucket| bucket.reads).take(4).collect();
        assert_eq!(reads, [2, 2, 1, 0]);
        assert_eq!(buckets[11].writes[&Path::Sql], 1);
        assert_eq!(buckets[8].writes[&Path::Sql], 1);
    }
}
