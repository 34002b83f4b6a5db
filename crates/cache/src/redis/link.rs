//! The link to the cluster: a deadline on every command, a breaker, and a watchdog.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use deadpool_redis::cluster::{ClusterClient, ClusterConnection};
use redis::{RedisError, RedisResult};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::breaker::Breaker;
use super::connection::{SharedPool, connect, share};
use super::options::{RedisOptions, RedisOptionsError};
use crate::tier::TierError;

/// Timeouts since the last rebuild that make the watchdog build new connections: the client
/// asks a frozen node again and again, and never learns that another took its place.
const TIMEOUTS_BEFORE_REBUILD: u32 = 2;

/// A link to the cluster that comes back by itself.
///
/// The watchdog task owns the making of connections: a request never waits for one. While
/// there is none, or nothing gets through, commands answer [`TierError::Open`] at once.
pub(crate) struct Link {
    shared: Arc<Shared>,
    watchdog: AbortHandle,
}

struct Shared {
    client: ClusterClient,
    options: RedisOptions,
    pool: ArcSwapOption<SharedPool>,
    breaker: Breaker,
    timeouts: AtomicU32,
    rebuild: Notify,
    round_trips: AtomicU64,
}

impl Link {
    /// Starts to connect, in the background, on the current Tokio runtime.
    pub(crate) fn new(options: RedisOptions) -> Result<Self, RedisOptionsError> {
        let shared = Arc::new(Shared {
            client: options.client()?,
            options,
            pool: ArcSwapOption::empty(),
            breaker: Breaker::open(),
            timeouts: AtomicU32::new(0),
            rebuild: Notify::new(),
            round_trips: AtomicU64::new(0),
        });
        let watchdog = tokio::spawn(watch(Arc::clone(&shared))).abort_handle();
        Ok(Self { shared, watchdog })
    }

    /// Runs `command` on a shared connection, within the overall deadline.
    ///
    /// `command` must be idempotent: the client sends it again after a lost connection.
    pub(crate) async fn run<T, F>(
        &self,
        command: impl FnOnce(ClusterConnection) -> F,
    ) -> Result<T, TierError>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let shared = &*self.shared;
        if shared.breaker.is_open() {
            return Err(TierError::Open);
        }
        // The guard is dropped before the wait: it would pin a swapped-out pool.
        let Some(pool) = shared.pool.load().as_deref().cloned() else {
            return Err(TierError::Open);
        };
        shared.round_trips.fetch_add(1, Ordering::Relaxed);
        let deadline = shared.options.overall_timeout;
        let answer = timeout(deadline, async { command(share(&pool).await?).await }).await;
        match answer {
            Ok(Ok(value)) => {
                shared.breaker.succeeded();
                Ok(value)
            }
            Ok(Err(error)) => Err(shared.failed(error)),
            Err(_elapsed) => Err(shared.timed_out()),
        }
    }

    pub(crate) fn is_available(&self) -> bool {
        !self.shared.breaker.is_open()
    }

    pub(crate) fn round_trips(&self) -> u64 {
        self.shared.round_trips.load(Ordering::Relaxed)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.watchdog.abort();
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("breaker", &self.shared.breaker).finish_non_exhaustive()
    }
}

impl Shared {
    fn failed(&self, error: RedisError) -> TierError {
        if error.is_timeout() {
            return self.timed_out();
        }
        // A refusal of one command (a wrong type, say) is an answer: the link works.
        if error.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::ResponseError) {
            self.breaker.succeeded();
        } else {
            self.count_failure();
        }
        TierError::Redis(error)
    }

    fn timed_out(&self) -> TierError {
        self.count_failure();
        if self.timeouts.fetch_add(1, Ordering::AcqRel) + 1 >= TIMEOUTS_BEFORE_REBUILD {
            self.rebuild.notify_one();
        }
        TierError::Timeout(self.options.overall_timeout)
    }

    fn count_failure(&self) {
        if self.breaker.failed() {
            tracing::warn!("redis does not answer: reads go to the origin");
            self.rebuild.notify_one();
        }
    }

    /// Builds new connections and puts them in the place of the old ones.
    async fn rebuild(&self) -> Result<(), TierError> {
        let limit = self.options.connect_timeout;
        let built = timeout(limit, connect(self.client.clone(), self.options.connections)).await;
        let pool = built.map_err(|_elapsed| TierError::Timeout(limit))??;
        self.pool.store(Some(Arc::new(pool)));
        self.timeouts.store(0, Ordering::Release);
        if self.breaker.is_open() {
            tracing::info!("connected to redis");
        }
        self.breaker.close();
        Ok(())
    }
}

/// Connects, and connects again whenever that is asked for, until it is aborted.
async fn watch(link: Arc<Shared>) {
    let pause: Duration = link.options.probe_interval;
    loop {
        match link.rebuild().await {
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
