//! What a rolling restart of the processes, and the loss of a Redis node, cost in statements.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::Session;
use super::cells::Cell;
use super::ground::Ground;
use super::loads::{Part, all_requests, schedule};
use crate::bed::{Api, Bed, Replicas};
use crate::load::{OpenLoop, open_loop};
use crate::measure::{Counts, Generator, Snapshot, redis_nodes};
use crate::results::{DbQueries, Event, LatencyMs};
use crate::scenario::{EventKind, span};

/// A node is lost after this part of the load: most of it is left for the replica to take over in, and for what
/// was lost to be asked for again.
const BEFORE_A_LOSS: u32 = 16;

/// For each event of the scenario, sends one schedule twice undisturbed, and then again with the event; what the
/// event cost is what the third took more than the second. The first makes the caches what the schedule makes
/// them: what was there before, such as what an earlier event has left, is in neither figure.
pub(super) async fn events(
    session: &mut Session,
    ground: &Ground<'_>,
    cell: &Cell<'_>,
    rate: f64,
    repeat: u32,
    replicas: &mut Replicas,
) -> Result<()> {
    // Who keeps nothing loses nothing.
    if ground.matrix.events.is_empty() || cell.contender.tiers == "none" {
        return Ok(());
    }
    let length = span(ground.matrix.event_seconds.unwrap_or(ground.matrix.seconds));
    let around = Around { ground, cell, rate, repeat, length };
    // The lost node last: it is not back before the processes have ended.
    let mut kinds = ground.matrix.events.clone();
    kinds.sort_by_key(|kind| *kind == EventKind::RedisNodeLoss);
    for kind in kinds {
        let what = format!("{}, {}, undisturbed", cell.contender.name(), cell.workload());
        let primed = around.pass(&session.bed, replicas, None).await?;
        session.counted(&what, &DbQueries::of(&primed.counts, None));
        let steady = around.pass(&session.bed, replicas, None).await?;
        session.counted(&what, &DbQueries::of(&steady.counts, None));
        let disturbed = around.pass(&session.bed, replicas, Some(kind)).await?;
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
        let (ground, stream) = (self.ground, Part::Measured.of(self.repeat));
        let all = all_requests(ground, self.cell);
        let (due, requests) = schedule(ground, self.rate, self.length, &all, stream);
        let mut new = Vec::new();
        if happens == Some(EventKind::RollingRestart) {
            for _ in replicas.apis() {
                new.push(replicas.start_another(bed).await?);
            }
        }
        let mut earlier = of_each(replicas.apis()).await?;
        let connections = ground.scenario.load.connections;
        let loop_ = open_loop(replicas.targets(), connections, due, requests);
        let action = async {
            match happens {
                None => Ok(Counts::default()),
                Some(EventKind::RollingRestart) => self.restart(replicas, new, &mut earlier).await,
                Some(EventKind::RedisNodeLoss) => {
                    sleep(self.length / BEFORE_A_LOSS).await;
                    lose_a_primary(bed).await.map(|()| Counts::default())
                }
            }
        };
        let (open, ended) = tokio::join!(loop_, action);
        let (open, mut counts) = (open?, ended?);
        for (now, before) in of_each(replicas.apis()).await?.iter().zip(&earlier) {
            counts = counts.plus(&now.since(before));
        }
        Ok(Pass { counts, open })
    }

    /// Lets the `new` processes, which run already, take the place of the old ones, one after the other,
    /// evenly over the middle half of the load; what the old ones counted. When that is depends on no
    /// machine's speed.
    async fn restart(
        &self,
        replicas: &mut Replicas,
        new: Vec<Api>,
        earlier: &mut [Snapshot],
    ) -> Result<Counts> {
        let began = Instant::now();
        let count = u32::try_from(new.len()).unwrap_or(u32::MAX);
        let starts = of_each(&new).await?;
        let mut ended = Counts::default();
        let mut stopping = JoinSet::new();
        for ((turn, new), (before, start)) in (0..).zip(new).zip(earlier.iter_mut().zip(starts)) {
            sleep_until(began + self.length / 4 + self.length * turn / (2 * count)).await;
            let old = replicas.replace(turn as usize, new).await;
            let last = Snapshot::take(std::slice::from_ref(&old)).await?;
            ended = ended.plus(&last.since(before));
            *before = start;
            // The next one's turn does not wait for it.
            stopping.spawn(old.stop());
        }
        stopping.join_all().await;
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
        let (outcome, counts) = (&disturbed.open.outcome, &disturbed.counts);
        let late = [steady, disturbed].map(|pass| pass.open.late_p99_ms);
        let late = late.into_iter().reduce(f64::max);
        let generator = Generator::judge(0.0, self.length.as_secs_f64(), 1, late);
        Event {
            name: kind.as_str().to_owned(),
            cell: self.cell.in_results(db_latency.map(|latency| latency.as_secs_f64() * 1e3)),
            repeat: self.repeat,
            seconds: self.length.as_secs_f64(),
            steady_queries: queries(steady),
            queries: queries(disturbed),
            cost_queries: queries(disturbed).cast_signed() - queries(steady).cast_signed(),
            db_queries: Some(DbQueries::of(counts, None)),
            unknown: counts.unknown,
            requests: outcome.answered,
            errors: outcome.errors,
            steady_errors: steady.open.outcome.errors,
            not_certified: generator.not_certified,
            steady_p99_ms: latency(steady).p99,
            p99_ms: latency(disturbed).p99,
            max_ms: latency(disturbed).max,
        }
    }
}

/// The counters of each of `apis` on its own.
async fn of_each(apis: &[Api]) -> Result<Vec<Snapshot>> {
    let mut each = Vec::new();
    for api in apis {
        each.push(Snapshot::take(std::slice::from_ref(api)).await?);
    }
    Ok(each)
}

/// Ends the first primary of the bed's own cluster, as a crash would.
async fn lose_a_primary(bed: &Bed) -> Result<()> {
    let nodes = redis_nodes(bed).await?;
    let primary = nodes.iter().find(|node| node.primary).context("a cluster has a primary")?;
    let pid = Pid::from_raw(primary.pid).context("a process has an id")?;
    kill_process(pid, Signal::KILL).with_context(|| format!("ending {}", primary.name))
}
