//! One measured run: a load, and everything counted around it.

use std::future::Future;

use anyhow::Result;

use super::counts::Snapshot;
use super::process::rss_bytes;
use crate::bed::{Api, Bed};
use crate::load::{OpenLoop, Outcome};
use crate::results::{DbQueries, HitRatio, LatencyMs, Run};

/// What a run is, beside its figures.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// What was asked for, and how.
    pub workload: String,
    /// The fewest loads that any cache could have done, where that is known.
    pub floor: Option<u64>,
    /// Requests a second that are scheduled; none in a closed loop.
    pub offered_rps: Option<f64>,
}

/// What a load met with, and how late its generator was.
#[derive(Clone, Debug)]
pub struct Loaded {
    outcome: Outcome,
    pacing_p99_ms: Option<f64>,
}

impl From<Outcome> for Loaded {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, pacing_p99_ms: None }
    }
}

impl From<OpenLoop> for Loaded {
    fn from(open: OpenLoop) -> Self {
        Self { outcome: open.outcome, pacing_p99_ms: Some(open.pacing_p99_ms) }
    }
}

/// Runs `load` against `api` and counts around it.
///
/// # Errors
///
/// When a counter cannot be read, or the two counts of statements disagree.
pub async fn measured<L: Into<Loaded>>(
    bed: &Bed,
    api: &Api,
    labels: Labels,
    load: impl Future<Output = L>,
) -> Result<Run> {
    let before = Snapshot::take(api).await?;
    let cpu = bed.cpu(api);
    let Loaded { outcome, pacing_p99_ms } = load.await.into();
    let cpu = bed.cpu(api).since(cpu);
    let counts = Snapshot::take(api).await?.since(&before);
    counts.agree()?;
    let settings = api.settings();
    Ok(Run {
        strategy: settings.strategy.clone(),
        tiers: settings.tiers.clone(),
        workload: labels.workload,
        replicas: 1,
        requests: outcome.answered,
        errors: outcome.errors,
        shed: outcome.shed,
        offered_rps: labels.offered_rps,
        achieved_rps: outcome.rate(),
        latency_ms: LatencyMs::of(&outcome),
        db_queries: DbQueries::of(&counts, labels.floor),
        redis_round_trips: counts.round_trips,
        hit_ratio: HitRatio { l1: counts.l1.hit_ratio(), l2: counts.l2.hit_ratio() },
        staleness_ms: None,
        stale_reads: None,
        cpu_seconds: cpu,
        rss_bytes: rss_bytes(api.pid()),
        pacing_p99_ms,
    })
}
