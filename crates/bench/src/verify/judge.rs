//! From a history to what is reported of it.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::check::{Path, Verdict, check};
use super::history::{Answer, History, Phase};
use super::outcome::{Distribution, LongTransaction, Reads, Run, histogram, ms};
use super::{cases, fleet::Setup};
use crate::results::{Check, LatencyMs};

/// How long a write may take to be seen by all but one of a hundred, in milliseconds: through
/// the API, and by the change feed.
const API_BAR_MS: f64 = 50.0;
const FEED_BAR_MS: f64 = 250.0;
/// Below this part of answered reads a run says little.
const LEAST_ANSWERED: f64 = 0.99;

/// What a scenario did, before it is judged.
pub(super) struct Happened<'a> {
    pub(super) scenario: &'static str,
    pub(super) setup: &'a Setup,
    pub(super) seconds: f64,
    pub(super) offered: (f64, f64),
    /// In microseconds.
    pub(super) bound: i64,
    /// When the load began.
    pub(super) start: i64,
    /// Of the load's reads, in microseconds.
    pub(super) latency: Histogram<u64>,
    pub(super) pacing_p99_ms: f64,
    pub(super) writes: BTreeMap<super::writers::Operation, super::writers::Tally>,
    /// Postgres's id of the long transaction, and how many seconds it was open.
    pub(super) long: Option<(i64, f64)>,
    pub(super) history: History,
}

/// Checks the history and sums it up; `bars` says whether the percentiles have bars, too.
pub(super) fn judge(happened: Happened<'_>, bars: bool) -> Run {
    let history = &happened.history;
    let verdict = check(history, happened.bound);
    let lags = by_path(verdict.lags.iter().map(|lag| (lag.path, lag.lag)));
    let stale = verdict.staleness.iter().filter_map(|(age, path)| Some(((*path)?, *age)));
    let stale = by_path(stale);
    let all: Vec<i64> = verdict.staleness.iter().map(|(age, _)| *age).collect();
    let distributions = |by: &BTreeMap<Path, Vec<i64>>| -> BTreeMap<Path, Distribution> {
        by.iter().map(|(path, micros)| (*path, Distribution::of(micros.clone()))).collect()
    };
    let mut violations = BTreeMap::new();
    for found in &verdict.violations {
        *violations.entry(found.kind).or_default() += 1;
    }
    let (offered_reads, offered_writes) = happened.offered;
    let mut run = Run {
        scenario: happened.scenario,
        strategy: happened.setup.strategy.clone(),
        tiers: happened.setup.tiers.clone(),
        processes: happened.setup.processes,
        regions: happened.setup.regions.len(),
        seconds: happened.seconds,
        offered_reads,
        offered_writes,
        bound_ms: ms(happened.bound),
        reads: count(history),
        latency_ms: LatencyMs::of_micros(&happened.latency),
        pacing_p99_ms: happened.pacing_p99_ms,
        writes: happened.writes,
        transactions: history.writes.len(),
        histogram: histogram(&all, &lags),
        staleness_ms: Distribution::of(all),
        stale_reads_ms: distributions(&stale),
        visibility_ms: distributions(&lags),
        slowest_writes: cases::slowest(history, &verdict, happened.start),
        long_transaction: happened.long.map(|long| long_transaction(long, history, &verdict)),
        went_back: verdict.went_back,
        violations,
        checks: Vec::new(),
        cases: cases::tell(history, &verdict, happened.start),
    };
    run.checks = checks(&run, bars);
    run
}

fn by_path(values: impl Iterator<Item = (Path, i64)>) -> BTreeMap<Path, Vec<i64>> {
    let mut by: BTreeMap<Path, Vec<i64>> = BTreeMap::new();
    for (path, value) in values {
        by.entry(path).or_default().push(value);
    }
    by
}

fn count(history: &History) -> Reads {
    let mut reads = Reads::default();
    for read in &history.reads {
        reads.sent += 1;
        match read.answer {
            Answer::Found(_) => reads.found += 1,
            Answer::Absent => reads.absent += 1,
            Answer::Failed(status) => *reads.errors.entry(status).or_default() += 1,
        }
        match read.phase {
            Phase::Load => {}
            Phase::Session => reads.by_writers += 1,
            Phase::Sweep => reads.swept += 1,
        }
    }
    reads
}

fn long_transaction(long: (i64, f64), history: &History, verdict: &Verdict) -> LongTransaction {
    let (txid, open_seconds) = long;
    let of_it = verdict.lags.iter().filter(|lag| history.writes[lag.write as usize].txid == txid);
    LongTransaction { txid, open_seconds, lag_ms: of_it.map(|lag| lag.lag).max().map(ms) }
}

fn checks(run: &Run, bars: bool) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut must = |name: String, found: String, holds: bool| {
        checks.push(Check::exact(name, found, holds));
    };
    let wrong: u64 = run.violations.values().sum();
    must("no read is wrong".to_owned(), format!("{wrong} violations"), wrong == 0);
    let longest = run.visibility_ms.values().map(|lags| lags.max).fold(0.0, f64::max);
    must(
        format!("every write is seen by everybody within {} ms", run.bound_ms),
        format!("{longest:.1} ms"),
        longest <= run.bound_ms,
    );
    if bars {
        for (path, lags) in &run.visibility_ms {
            let (what, bar) = match path {
                Path::Api => ("writes through the API", API_BAR_MS),
                Path::Sql => ("writes in SQL", FEED_BAR_MS),
                Path::OtherRegion => ("writes through the other region's API", FEED_BAR_MS),
            };
            must(
                format!("{what}: 99 of 100 are seen by everybody within {bar} ms"),
                format!("{:.1} ms", lags.p99),
                lags.p99 <= bar,
            );
        }
    }
    if let Some(LongTransaction { lag_ms, open_seconds, .. }) = run.long_transaction {
        must(
            format!("a transaction that was open for {open_seconds:.0} s is seen once it commits"),
            lag_ms.map_or("nobody looked".to_owned(), |lag| format!("after {lag:.1} ms")),
            lag_ms.is_some_and(|lag| lag <= run.bound_ms),
        );
    }
    let answered = (run.reads.found + run.reads.absent) as f64 / run.reads.sent.max(1) as f64;
    must(
        "reads are answered".to_owned(),
        format!("{:.2} % of {}", answered * 100.0, run.reads.sent),
        answered >= LEAST_ANSWERED,
    );
    let (done, failed) = run
        .writes
        .values()
        .fold((0, 0), |(done, failed), tally| (done + tally.done, failed + tally.failed));
    if done + failed > 0 {
        let part = done as f64 / (done + failed) as f64;
        let found = format!("{:.2} % of {}", part * 100.0, done + failed);
        must("writes are done".to_owned(), found, part >= LEAST_ANSWERED);
        let looked = run.reads.by_writers;
        let found = format!("{looked} reads with Larder-Min-Version");
        must(
            "writers look at what they wrote".to_owned(),
            found,
            looked > 0 || run.scenario == "bulk",
        );
    }
    checks
}
