//! A Redis Cluster for tests, to be broken and mended.

use tempfile::TempDir;

use super::{SHARED_REDIS, TRIES, folder};
use crate::error::StackError;
use crate::ports::free_range;
use crate::redis_cluster::RedisCluster;
use crate::topology::Topology;

/// A Redis Cluster for tests.
#[derive(Debug)]
pub struct TestRedis {
    nodes: Vec<String>,
    own: Option<(RedisCluster, TempDir)>,
}

/// The shared Redis Cluster (whatever its topology), or a private one.
///
/// # Panics
///
/// When none can be started.
pub async fn redis_cluster(topology: Topology) -> TestRedis {
    match std::env::var(SHARED_REDIS) {
        Ok(nodes) => TestRedis { nodes: nodes.split(',').map(str::to_owned).collect(), own: None },
        Err(_) => private_redis_cluster(topology).await,
    }
}

/// A Redis Cluster that this test may stop, kill and freeze.
///
/// # Panics
///
/// When it cannot be started.
pub async fn private_redis_cluster(topology: Topology) -> TestRedis {
    let (cluster, folder) = start_redis(topology).await.expect("a cluster for the test starts");
    TestRedis { nodes: cluster.urls(), own: Some((cluster, folder)) }
}

/// A throw-away cluster on free ports.
pub(crate) async fn start_redis(topology: Topology) -> Result<(RedisCluster, TempDir), StackError> {
    let count = u16::try_from(topology.nodes()).expect("a handful of nodes");
    let mut tries = 0;
    loop {
        let folder = folder()?;
        match RedisCluster::start(folder.path(), topology, free_range(count), true).await {
            Ok(cluster) => return Ok((cluster, folder)),
            Err(error) if tries == TRIES || matches!(error, StackError::Missing { .. }) => {
                return Err(error);
            }
            Err(_) => {
                // Nodes that did start would outlive the folder.
                RedisCluster::attach(folder.path(), topology, 0).stop();
                tries += 1;
            }
        }
    }
}

impl TestRedis {
    /// `redis://host:port` of every node; primaries come first in a private cluster.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        self.nodes.clone()
    }

    /// The processes of a private cluster, in the order of [`nodes`](Self::nodes); of a shared
    /// one, none.
    #[must_use]
    pub fn pids(&self) -> Vec<i32> {
        self.own.as_ref().map(|(cluster, _)| cluster.pids()).unwrap_or_default()
    }

    /// Stops every node.
    ///
    /// # Panics
    ///
    /// When the cluster is shared.
    pub async fn stop_all(&mut self) {
        self.cluster().stop();
    }

    /// Starts every node again, on the same ports and empty, and waits until they serve.
    ///
    /// # Panics
    ///
    /// When the cluster is shared, or does not come up.
    pub async fn start_all(&mut self) {
        let (cluster, _) = self.own.as_mut().expect("only a private cluster can be restarted");
        cluster.restart().await.expect("the cluster comes up again");
    }

    /// Ends node `index` as a crash would.
    ///
    /// # Panics
    ///
    /// When the cluster is shared, or has no such node.
    pub fn kill(&mut self, index: usize) {
        self.cluster().kill(index);
    }

    /// Freezes node `index`.
    ///
    /// # Panics
    ///
    /// When the cluster is shared, or has no such node.
    pub fn freeze(&mut self, index: usize) {
        self.cluster().freeze(index);
    }

    /// Lets a frozen node go on.
    ///
    /// # Panics
    ///
    /// When the cluster is shared, or has no such node.
    pub fn thaw(&mut self, index: usize) {
        self.cluster().thaw(index);
    }

    fn cluster(&self) -> &RedisCluster {
        &self.own.as_ref().expect("only a private cluster can be broken").0
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        if let Some((cluster, _folder)) = &self.own {
            for index in 0..self.nodes.len() {
                cluster.kill(index);
            }
        }
    }
}
