//! One measured run: a load, and everything counted around it.

use std::future::Future;
use std::time::Duration;

use anyhow::Result;

use super::connections::ConnectionCount;
use super::counts::{Counts, Snapshot};
use super::generator::Generator;
use super::process::Cpu;
use super::pulse::Pulse;
use super::redis::{RedisNode, redis_nodes};
use super::sampler::{ProcessUse, Sampler, Watched};
use super::staleness::StalenessMs;
use crate::bed::{Api, Bed};
use crate::load::{OpenLoop, Outcome, Sent};
use crate::results::{
    Coalesced, DbConnections, DbQueries, HitRatio, LatencyMs, Memory, Run, TierLookups,
};

/// What a run is, beside its figures.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// What was asked for, and how.
    pub workload: String,
    /// The fewest loads that any cache could have done, where that is known.
    pub floor: Option<u64>,
    /// Requests a second that are scheduled; none in a closed loop.
    pub offered_rps: Option<f64>,
    /// Users of a closed loop.
    pub users: Option<u32>,
    /// How long the load is to take, in seconds; none: as long as its requests do.
    pub planned_seconds: Option<f64>,
    /// Bytes of data in all Redis nodes before the processes were started, where that is known.
    pub redis_before_bytes: Option<u64>,
}

/// What a load met with, and how late its generator was.
#[derive(Clone, Debug)]
pub struct Loaded {
    outcome: Outcome,
    late_p99_ms: Option<f64>,
}

/// A run, and the sequence that was sent.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The figures.
    pub run: Run,
    /// Every request that was answered, in no order.
    pub sent: Vec<Sent>,
}

impl From<Outcome> for Loaded {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, late_p99_ms: None }
    }
}

impl From<OpenLoop> for Loaded {
    fn from(open: OpenLoop) -> Self {
        Self { outcome: open.outcome, late_p99_ms: Some(open.late_p99_ms) }
    }
}

/// Runs `load` against `api` and counts around it.
///
/// # Errors
///
/// As [`measured_by`].
pub async fn measured<L: Into<Loaded>>(
    bed: &Bed,
    api: &Api,
    labels: Labels,
    load: impl Future<Output = Result<L>>,
) -> Result<Run> {
    let measured = measured_by(bed, std::slice::from_ref(api), labels, load).await?;
    Ok(measured.run)
}

/// Runs `load` against `apis` and counts around it.
///
/// # Errors
///
/// When the load cannot begin, or a counter cannot be read. Two counts of statements that disagree are
/// in the run: [`DbQueries::agree`].
pub async fn measured_by<L: Into<Loaded>>(
    bed: &Bed,
    apis: &[Api],
    labels: Labels,
    load: impl Future<Output = Result<L>>,
) -> Result<Measured> {
    let settings = apis[0].settings();
    let redis_before = redis_nodes(bed).await?;
    let before = Snapshot::take(apis).await?;
    let sampler = Sampler::start(watched(bed, apis, &redis_before));
    let roles: Vec<String> = apis.iter().map(|api| api.role().to_owned()).collect();
    let connections = ConnectionCount::start(&settings.admin_url, roles.clone());
    let pulse = Pulse::start(&settings.admin_url, roles);
    let Loaded { outcome, late_p99_ms } = load.await?.into();
    let processes = sampler.stop();
    let connections_peak = connections.stop().await?;
    let busiest = pulse.stop().await?;
    let counts = Snapshot::take(apis).await?.since(&before);
    let redis_after = redis_nodes(bed).await?;

    let cpu_seconds = Cpu::of(&processes);
    let uncached = settings.tiers == "none";
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let peak = |of: &str| {
        let chosen = processes.iter().filter(|process| process.name.starts_with(of));
        chosen.map(|process| process.peak_rss_bytes).sum::<u64>()
    };
    let run = Run {
        strategy: settings.strategy.clone(),
        tiers: settings.tiers.clone(),
        ttl_ms: settings.ttl_ms,
        l1_ttl_ms: settings.l1_ttl_ms,
        workload: labels.workload,
        replicas: u32::try_from(apis.len()).unwrap_or(u32::MAX),
        db_latency_ms: bed.db_latency().map(|latency: Duration| latency.as_secs_f64() * 1e3),
        users: labels.users,
        repeat: 0,
        curve_repeat: 0,
        requests: outcome.answered,
        errors: outcome.errors,
        shed: outcome.shed,
        hits: outcome.hits,
        stale_answers: outcome.stale,
        seconds: outcome.seconds,
        planned_seconds: labels.planned_seconds,
        offered_rps: labels.offered_rps,
        achieved_rps: outcome.rate(),
        latency_ms: LatencyMs::of(&outcome),
        db_queries: DbQueries::of(&counts, labels.floor),
        query_efficiency: None,
        db_busiest: busiest,
        db_rows: counts.rows,
        db_connections: DbConnections {
            peak: connections_peak,
            bound: apis.iter().map(Api::pool_bound).sum(),
        },
        redis_round_trips: counts.round_trips,
        redis_bytes: bytes_between(&redis_before, &redis_after),
        hit_ratio: HitRatio { l1: counts.l1.hit_ratio(), l2: counts.l2.hit_ratio() },
        lookups: TierLookups { l1: counts.l1.count(), l2: counts.l2.count() },
        coalesced: Coalesced {
            process: counts.coalesced_process,
            cluster: counts.coalesced_cluster,
        },
        // What nothing is kept for is as new as Postgres.
        staleness_ms: if uncached { StalenessMs::fresh() } else { counts.staleness.millis() },
        stale_reads: sampled(&counts).map(|_| counts.staleness.stale()).or(uncached.then_some(0)),
        sampled_reads: sampled(&counts),
        cpu_seconds,
        rss_bytes: peak("api"),
        memory: Memory {
            l1_bytes: counts.l1_bytes,
            l2_bytes: labels
                .redis_before_bytes
                .map(|before| used(&redis_after).saturating_sub(before)),
            api_peak_bytes: peak("api"),
            postgres_peak_bytes: peak("postgres"),
            redis_peak_bytes: peak("redis"),
        },
        generator: Generator::judge(cpu_seconds.generator, outcome.seconds, cores, late_p99_ms),
        processes,
        command: None,
    };
    let run = run.with_floor(labels.floor);
    Ok(Measured { run, sent: outcome.sent })
}

/// Bytes of data in all `nodes`.
#[must_use]
pub fn used(nodes: &[RedisNode]) -> u64 {
    nodes.iter().map(|node| node.used_bytes).sum()
}

/// Staleness is known only where answers were sampled.
fn sampled(counts: &Counts) -> Option<u64> {
    Some(counts.staleness.sampled()).filter(|sampled| *sampled > 0)
}

fn bytes_between(before: &[RedisNode], after: &[RedisNode]) -> u64 {
    let then = |name: &str| {
        before.iter().find(|node| node.name == name).map_or(0, |node| node.client_bytes)
    };
    after.iter().map(|node| node.client_bytes.saturating_sub(then(&node.name))).sum()
}

fn watched(bed: &Bed, apis: &[Api], redis: &[RedisNode]) -> Vec<Watched> {
    let one = |name: String, pid: i32| Watched { name, pid };
    let own = i32::try_from(std::process::id()).unwrap_or(-1);
    let apis = apis.iter().enumerate().map(|(n, api)| one(format!("api-{n}"), api.pid()));
    let redis = redis.iter().map(|node| one(node.name.clone(), node.pid));
    apis.chain([one("postgres".into(), bed.postgres_pid())])
        .chain(redis)
        .chain([one("generator".into(), own)])
        .collect()
}

impl Cpu {
    /// Of all processes, by part.
    #[must_use]
    pub fn of(processes: &[ProcessUse]) -> Self {
        let part = |of: &str| {
            let chosen = processes.iter().filter(|process| process.name.starts_with(of));
            chosen.map(|process| process.cpu_seconds).sum()
        };
        Self {
            api: part("api"),
            postgres: part("postgres"),
            redis: part("redis"),
            generator: part("generator"),
        }
    }
}
