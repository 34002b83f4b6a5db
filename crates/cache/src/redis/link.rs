//! The link to the cluster: a deadline on every command, a breaker per shard, and a watchdog.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use deadpool_redis::cluster::{ClusterClient, ClusterConnection};
use futures_util::future::join_all;
use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::breaker::Breaker;
use super::connection::{SharedPool, connect, share};
use super::evictions::{self, Evictions};
use super::options::{RedisOptions, RedisOptionsError};
use super::shards::{Shards, SlotRange};
use super::subscription;
use crate::tier::{TierError, Wakes};

/// Timeouts since the last rebuild that make the watchdog build new connections: the client
/// asks a frozen node again and again, and never learns that another took its place.
const TIMEOUTS_BEFORE_REBUILD: u32 = 2;

/// How many pauses lie between rebuilds while a shard does not answer.
const PAUSES_WITH_DEAD_SHARD: u32 = 3;

/// How many times the limit of one connect a rebuild may take: with a node that is frozen, the
/// client waits for that one while it connects, and again while it learns the slots.
const CONNECTS_PER_REBUILD: u32 = 4;
/// How many nodes are asked for the shards before a rebuild has failed.
const NODES_ASKED: usize = 3;

/// A link to the cluster that comes back by itself.
///
/// The watchdog task owns the making of connections: a request never waits for one. While
/// there is none, or nothing gets through to a key's shard, commands answer
/// [`TierError::Open`] at once.
pub(crate) struct Link {
    shared: Arc<Shared>,
    wakes: Arc<Wakes>,
    evictions: Arc<Evictions>,
    tasks: Vec<AbortHandle>,
}

struct Shared {
    client: ClusterClient,
    options: RedisOptions,
    pool: ArcSwapOption<SharedPool>,
    shards: ArcSwap<Shards>,
    timeouts: AtomicU32,
    rebuild: Notify,
    round_trips: AtomicU64,
}

impl Link {
    /// Starts to connect, in the background, on the current Tokio runtime.
    pub(crate) fn new(options: RedisOptions) -> Result<Self, RedisOptionsError> {
        let wakes = Arc::new(Wakes::default());
        let client = options.client()?;
        // Who takes no leases waits for nobody.
        let heard = (!options.read_only)
            .then(|| tokio::spawn(subscription::listen(options.clone(), Arc::clone(&wakes))));
        let evictions = Arc::new(Evictions::default());
        let counted = tokio::spawn(evictions::watch(options.clone(), Arc::clone(&evictions)));
        let shared = Arc::new(Shared {
            client,
            options,
            pool: ArcSwapOption::empty(),
            shards: ArcSwap::from_pointee(Shards::unknown()),
            timeouts: AtomicU32::new(0),
            rebuild: Notify::new(),
            round_trips: AtomicU64::new(0),
        });
        let watchdog = tokio::spawn(watch(Arc::clone(&shared)));
        let tasks = [Some(watchdog), Some(counted), heard].into_iter().flatten();
        let tasks = tasks.map(|task| task.abort_handle()).collect();
        Ok(Self { shared, wakes, evictions, tasks })
    }

    /// Runs `command`, which is about `key`, on a shared connection, within the overall
    /// deadline.
    ///
    /// `command` must be idempotent: the client sends it again after a lost connection.
    pub(crate) async fn run<T, F>(
        &self,
        key: &str,
        command: impl FnOnce(ClusterConnection) -> F,
    ) -> Result<T, TierError>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let shared = &*self.shared;
        // The guards are dropped before the wait: they would pin what is swapped out.
        let Some(pool) = shared.pool.load().as_deref().cloned() else {
            return Err(TierError::Open);
        };
        let breaker = Arc::clone(shared.shards.load().breaker(key));
        if breaker.is_open() {
            return Err(TierError::Open);
        }
        shared.round_trips.fetch_add(1, Ordering::Relaxed);
        let deadline = shared.options.overall_timeout;
        let answer = timeout(deadline, async { command(share(&pool).await?).await }).await;
        match answer {
            Ok(Ok(value)) => {
                breaker.succeeded();
                Ok(value)
            }
            Ok(Err(error)) => Err(shared.failed(&breaker, error)),
            Err(_elapsed) => Err(shared.timed_out(&breaker)),
        }
    }

    /// A shared connection, if there is one, with nothing around it.
    pub(crate) async fn connection(&self) -> Option<ClusterConnection> {
        let pool = self.shared.pool.load().as_deref().cloned()?;
        share(&pool).await.ok()
    }

    pub(crate) fn options(&self) -> &RedisOptions {
        &self.shared.options
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.shared.options.read_only
    }

    pub(crate) fn is_available(&self) -> bool {
        self.shared.shards.load().any_closed()
    }

    pub(crate) fn breakers_open(&self) -> usize {
        self.shared.shards.load().count_open()
    }

    pub(crate) fn round_trips(&self) -> u64 {
        self.shared.round_trips.load(Ordering::Relaxed)
    }

    pub(crate) fn evictions(&self) -> &Evictions {
        &self.evictions
    }

    pub(crate) fn wakes(&self) -> &Wakes {
        &self.wakes
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("available", &self.is_available()).finish_non_exhaustive()
    }
}

impl Shared {
    fn failed(&self, breaker: &Breaker, error: RedisError) -> TierError {
        if error.is_timeout() {
            return self.timed_out(breaker);
        }
        // A refusal of one command (a wrong type, a right that is missing) is an answer.
        let refused = [ServerErrorKind::ResponseError, ServerErrorKind::NoPerm];
        let refused = refused.into_iter().any(|kind| error.kind() == ErrorKind::Server(kind));
        let error = TierError::Redis(error);
        if refused {
            breaker.succeeded();
        } else {
            self.count_failure(breaker, &error);
        }
        error
    }

    fn timed_out(&self, breaker: &Breaker) -> TierError {
        let error = TierError::Timeout(self.options.overall_timeout);
        self.count_failure(breaker, &error);
        if self.timeouts.fetch_add(1, Ordering::AcqRel) + 1 >= TIMEOUTS_BEFORE_REBUILD {
            self.rebuild.notify_one();
        }
        error
    }

    fn count_failure(&self, breaker: &Breaker, error: &TierError) {
        if breaker.failed() {
            tracing::warn!(%error, "a redis shard fails: its keys are read from the origin");
        }
        if breaker.is_open() {
            self.rebuild.notify_one();
        }
    }

    /// Builds new connections, puts them in the place of the old ones, and learns the shards.
    ///
    /// What may not be answered is asked on a connection that no request shares: while the
    /// client tries to reach a node again, nothing else gets through on that connection.
    async fn rebuild(&self) -> Result<(), TierError> {
        let limit = self.options.connect_timeout * CONNECTS_PER_REBUILD;
        let built = timeout(limit, async {
            let (pool, scout) = tokio::try_join!(
                connect(self.client.clone(), self.options.connections),
                connect(self.client.clone(), 1),
            )?;
            let scout = share(&scout).await?;
            let ranges = slot_ranges(scout.clone()).await?;
            RedisResult::Ok((pool, scout, ranges))
        });
        let (pool, scout, ranges) = built.await.map_err(|_elapsed| TierError::Timeout(limit))??;
        let before = self.shards.load_full();
        let shards = Shards::of(&ranges, &before);
        if !before.any_closed() && shards.any_closed() {
            tracing::info!("connected to redis");
        }
        self.pool.store(Some(Arc::new(pool)));
        self.shards.store(Arc::new(shards));
        self.timeouts.store(0, Ordering::Release);
        self.probe(scout).await;
        Ok(())
    }

    /// Asks every shard that is not being asked whether it answers again.
    async fn probe(&self, scout: ClusterConnection) {
        let open = self.shards.load().open();
        let probes = open.into_iter().map(async |(key, breaker)| {
            let mut scout = scout.clone();
            let mut command = redis::cmd("GET");
            let answer = command.arg(key).query_async::<redis::Value>(&mut scout);
            let answered = timeout(self.options.response_timeout, answer).await;
            if matches!(answered, Ok(Ok(_))) && breaker.close() {
                tracing::info!("a redis shard answers again");
            }
        });
        join_all(probes).await;
    }
}

/// Asks a node at random for the shards; when that one does not answer, others.
async fn slot_ranges(mut connection: ClusterConnection) -> RedisResult<Vec<SlotRange>> {
    let mut answer = Ok(Vec::new());
    for _ in 0..NODES_ASKED {
        answer = redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await;
        if answer.is_ok() {
            break;
        }
    }
    answer
}

/// Connects, and connects again whenever that is asked for, until it is aborted.
async fn watch(link: Arc<Shared>) {
    let pause: Duration = link.options.probe_interval;
    loop {
        match link.rebuild().await {
            // A shard is dead: another primary may take its slots at any time.
            Ok(()) if link.shards.load().any_open() => sleep(pause * PAUSES_WITH_DEAD_SHARD).await,
            Ok(()) => {
                // At most one rebuild per pause: a node that stays frozen must not turn the
                // watchdog into a load of its own.
                sleep(pause).await;
                link.rebuild.notified().await;
            }
            Err(error) => {
                tracing::debug!(%error, "redis is not reachable yet");
                sleep(pause).await;
            }
        }
    }
}
