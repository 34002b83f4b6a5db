//! A deadpool manager whose connections are shared, not lent.
//!
//! The stock cluster pool lends a connection to one user at a time and pings every primary
//! whenever it lends one: measured, that costs three quarters of the throughput. A
//! `ClusterConnection` is multiplexed and cheap to clone, so this pool keeps a few
//! long-lived ones and hands out clones. Whether they still work is the watchdog's business
//! (see [`Link`](super::Link)), so recycling costs nothing.

use deadpool::managed::{self, Metrics, Object, Pool, RecycleResult};
use deadpool_redis::cluster::{ClusterClient, ClusterConnection};
use futures_util::future::try_join_all;
use redis::{RedisError, RedisResult};

/// Keys in slots 15495, 3300, 7365 and 11298, so on every primary of an evenly split cluster
/// of three: one in which none of them can be read serves nobody.
const PROBE_KEYS: [&str; 4] =
    ["larder:probe:{a}", "larder:probe:{b}", "larder:probe:{c}", "larder:probe:{d}"];

/// Makes connections to the whole cluster.
pub(crate) struct SharedManager {
    client: ClusterClient,
}

/// A pool of shared connections.
pub(crate) type SharedPool = Pool<SharedManager>;

impl SharedManager {
    pub(crate) fn new(client: ClusterClient) -> Self {
        Self { client }
    }
}

impl managed::Manager for SharedManager {
    type Type = ClusterConnection;
    type Error = RedisError;

    async fn create(&self) -> Result<ClusterConnection, RedisError> {
        self.client.get_async_connection().await
    }

    async fn recycle(&self, _: &mut ClusterConnection, _: &Metrics) -> RecycleResult<Self::Error> {
        Ok(())
    }
}

/// A pool of `size` connections, each made and proven to reach a serving node.
///
/// The caller bounds the time: the client's own connect can hang.
pub(crate) async fn connect(client: ClusterClient, size: usize) -> RedisResult<SharedPool> {
    let pool = SharedPool::builder(SharedManager::new(client))
        .max_size(size)
        .build()
        .map_err(|error| RedisError::from((redis::ErrorKind::Client, "pool", error.to_string())))?;
    // Asked for together, so that the pool makes a new one each time; and a node that is frozen
    // delays them all by one timeout, not each.
    let made = (0..size).map(async |_| {
        let mut connection = pool.get().await.map_err(flatten)?;
        prove(&mut connection).await?;
        RedisResult::Ok(connection)
    });
    let _made: Vec<Object<SharedManager>> = try_join_all(made).await?;
    Ok(pool)
}

/// A clone of one of the pool's connections.
pub(crate) async fn share(pool: &SharedPool) -> RedisResult<ClusterConnection> {
    Ok(ClusterConnection::clone(&*pool.get().await.map_err(flatten)?))
}

/// Reads from several shards; one that answers is enough, for a dead one costs its own keys
/// only.
async fn prove(connection: &mut ClusterConnection) -> RedisResult<()> {
    let mut last = Ok(());
    for key in PROBE_KEYS {
        last = redis::cmd("GET").arg(key).query_async::<redis::Value>(connection).await.map(drop);
        if last.is_ok() {
            break;
        }
    }
    last
}

fn flatten(error: managed::PoolError<RedisError>) -> RedisError {
    match error {
        managed::PoolError::Backend(error) => error,
        other => RedisError::from((redis::ErrorKind::Client, "pool", other.to_string())),
    }
}
