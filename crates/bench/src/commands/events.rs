//! What a rolling restart of the processes, and the loss of a Redis node, cost in statements.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::Session;
use super::matrix::{Cell, Ground, requests};
use crate::bed::{Bed, Replicas};
use crate::load::{OpenLoop, open_loop, poisson};
use crate::measure::{Counts, Snapshot, redis_nodes};
use crate::results::{self, DbQueries, Event, LatencyMs};
use crate::scenario::{EventKind, span};

/// The stream of requests of all loads around events: the same each time.
const STREAM: u64 = 1 << 60;

/// Sends one schedule first to fill the cache, then undisturbed, and then once for each event of the
/// scenario; what the event cost is what it took more than the undisturbed one.
pub(super) async fn events(
    session: &mut Session,
    ground: &Ground<'_>,
    cell: &Cell<'_>,
    rate: f64,
    repeat: u32,
    replicas: &mut Replicas,
) -> Result<()> {
    let Some(matrix) = &ground.scenario.matrix else { return Ok(()) };
    if matrix.events.is_empty() {
        return Ok(());
    }
    let length = span(matrix.event_seconds);
    let around = Around { ground, cell, rate, repeat, length };
    let name = format!("{}, {}, around events", cell.contender.name(), cell.workload());
    let fill = around.pass(&session.bed, replicas, None).await?;
    session.counted(&name, &DbQueries::of(&fill.counts, None));
    let steady = around.pass(&session.bed, replicas, None).await?;
    session.counted(&name, &DbQueries::of(&steady.counts, None));
    // The lost node last: it is not back before the processes have ended.
    let mut kinds = matrix.events.clone();
    kinds.sort_by_key(|kind| *kind == EventKind::RedisNodeLoss);
    for kind in kinds {
        let disturbed = around.pass(&session.bed, replicas, Some(kind)).await?;
        let name = format!("{name}: {}", kind.as_str());
        session.counted(&name, &DbQueries::of(&disturbed.counts, None));
        session.event(around.event(kind, &steady, &disturbed, session.bed.db_latency()));
    }
    Ok(())
}

struct Around<'a> {
    ground: &'a Ground<'a>,
    cell: &'a Cell<'a>,
    rate: f64,
    repeat: u32,
    length: Duration,
}

/// One pass of the schedule.
struct Pass {
    counts: Counts,
    open: OpenLoop,
}

impl Around<'_> {
    async fn pass(
        &self,
        bed: &Bed,
        replicas: &mut Replicas,
        happens: Option<EventKind>,
    ) -> Result<Pass> {
        let load = &self.ground.scenario.load;
        let stream = STREAM + u64::from(self.repeat);
        let due = poisson(self.rate, self.length, load.seed ^ stream);
        let requests = requests(self.ground, self.cell, due.len(), stream);
        let mut earlier = Vec::new();
        for api in replicas.apis() {
            earlier.push(Snapshot::take(std::slice::from_ref(api)).await?);
        }
        let loop_ = open_loop(replicas.targets(), load.connections, due, requests);
        let action = async {
            match happens {
                None => Ok(Counts::default()),
                Some(EventKind::RollingRestart) => self.restart(bed, replicas, &mut earlier).await,
                Some(EventKind::RedisNodeLoss) => {
                    tokio::time::sleep(self.length / 4).await;
                    lose_a_primary(bed).await.map(|()| Counts::default())
                }
            }
        };
        let (open, ended) = tokio::join!(loop_, action);
        let (open, mut counts) = (open?, ended?);
        for (api, before) in replicas.apis().iter().zip(&earlier) {
            counts = counts.plus(&Snapshot::take(std::slice::from_ref(api)).await?.since(before));
        }
        Ok(Pass { counts, open })
    }

    /// Replaces every process, spread over the middle half of the load; what the old ones counted.
    async fn restart(
        &self,
        bed: &Bed,
        replicas: &mut Replicas,
        earlier: &mut [Snapshot],
    ) -> Result<Counts> {
        let count = u32::try_from(replicas.apis().len()).unwrap_or(1);
        tokio::time::sleep(self.length / 4).await;
        let mut ended = Counts::default();
        for (index, before) in earlier.iter_mut().enumerate() {
            let began = tokio::time::Instant::now();
            let new = replicas.start_another(bed).await?;
            let start = Snapshot::take(std::slice::from_ref(&new)).await?;
            let old = replicas.replace(index, new).await;
            let last = Snapshot::take(std::slice::from_ref(&old)).await?;
            ended = ended.plus(&last.since(before));
            *before = start;
            old.stop().await;
            tokio::time::sleep_until(began + self.length / 2 / count).await;
        }
        Ok(ended)
    }

    fn event(
        &self,
        kind: EventKind,
        steady: &Pass,
        disturbed: &Pass,
        db_latency: Option<Duration>,
    ) -> Event {
        let queries = |pass: &Pass| pass.counts.counted - pass.counts.sampled;
        let latency = |pass: &Pass| LatencyMs::of(&pass.open.outcome);
        let contender = self.cell.contender;
        let outcome = &disturbed.open.outcome;
        Event {
            name: kind.as_str().to_owned(),
            cell: results::Cell {
                strategy: contender.strategy.clone(),
                tiers: contender.tiers.clone(),
                ttl_ms: contender.ttl_ms,
                l1_ttl_ms: contender.l1_ttl_ms,
                replicas: self.cell.replicas,
                workload: self.cell.workload(),
                db_latency_ms: db_latency.map(|latency| latency.as_secs_f64() * 1e3),
            },
            repeat: self.repeat,
            seconds: self.length.as_secs_f64(),
            steady_queries: queries(steady),
            queries: queries(disturbed),
            cost_queries: queries(disturbed).cast_signed() - queries(steady).cast_signed(),
            unknown: disturbed.counts.unknown,
            requests: outcome.answered,
            errors: outcome.errors,
            steady_p99_ms: latency(steady).p99,
            p99_ms: latency(disturbed).p99,
            max_ms: latency(disturbed).max,
        }
    }
}

/// Ends the first primary of the bed's own cluster, as a crash would.
async fn lose_a_primary(bed: &Bed) -> Result<()> {
    let nodes = redis_nodes(bed).await?;
    let primary = nodes.iter().find(|node| node.primary).context("a cluster has a primary")?;
    let pid = Pid::from_raw(primary.pid).context("a process has an id")?;
    kill_process(pid, Signal::KILL).with_context(|| format!("ending {}", primary.name))
}
