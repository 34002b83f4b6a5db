//! What the tests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use larder::{
    Cache, Coherence, GetError, L2, Loaded, Lookup, MemoryTier, Metrics, NamespaceOptions,
    NamespaceStats, RedisOptions, RedisTier, Version,
};

/// A cache as a process has it, with counters of its own.
pub(crate) struct Process {
    pub(crate) cache: Cache<String, Bytes>,
    metrics: Metrics,
}

impl std::ops::Deref for Process {
    type Target = Cache<String, Bytes>;

    fn deref(&self) -> &Self::Target {
        &self.cache
    }
}

impl Process {
    pub(crate) fn new(l2: &Arc<L2>, environment: &str, options: NamespaceOptions) -> Self {
        let metrics = Metrics::default();
        let cache = Cache::new(environment, "things", options, Arc::clone(l2), &metrics);
        Self { cache: cache.expect("the options are valid"), metrics }
    }

    /// The same process with a registered source.
    pub(crate) fn with_source(self, source: impl larder::Source<String, Bytes>) -> Self {
        Self { cache: self.cache.with_source(source), metrics: self.metrics }
    }

    /// The same process, kept coherent.
    pub(crate) fn coherent(self, coherence: &Arc<Coherence>) -> Self {
        Self { cache: self.cache.coherent(coherence), metrics: self.metrics }
    }

    pub(crate) fn stats(&self) -> NamespaceStats {
        self.metrics.stats()["things"]
    }
}

/// A process over memory of its own.
pub(crate) fn alone(options: NamespaceOptions) -> Process {
    Process::new(&memory(), "alone", options)
}

pub(crate) fn memory() -> Arc<L2> {
    Arc::new(L2::Memory(MemoryTier::default()))
}

/// An origin that counts how often it is asked, and takes its time.
#[derive(Clone, Default)]
pub(crate) struct Origin {
    loads: Arc<AtomicU64>,
    /// The version of everything in it.
    version: Arc<AtomicU64>,
    pub(crate) delay: Duration,
}

impl Origin {
    pub(crate) fn slow(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }

    pub(crate) fn loads(&self) -> u64 {
        self.loads.load(Ordering::SeqCst)
    }

    /// A write: everything has a newer version.
    pub(crate) fn write(&self) -> Version {
        v(self.version.fetch_add(1, Ordering::SeqCst) + 1)
    }

    /// Reads first, then takes its time, as a slow query does.
    pub(crate) async fn load(self) -> Result<Loaded<Bytes>, std::io::Error> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        let counter = self.version.load(Ordering::SeqCst);
        tokio::time::sleep(self.delay).await;
        Ok(Loaded::found(v(counter), bytes(counter)))
    }
}

/// Asks `process` for `key`, loading from `origin`.
pub(crate) async fn get(
    process: &Process,
    key: &str,
    origin: &Origin,
) -> Result<Lookup<Bytes>, GetError> {
    process.get_with(&key.to_owned(), || origin.clone().load()).await
}

/// A load that the test does not expect.
pub(crate) async fn never() -> Result<Loaded<Bytes>, std::io::Error> {
    panic!("loaded, although the value was there")
}

pub(crate) async fn fails() -> Result<Loaded<Bytes>, std::io::Error> {
    Err(std::io::Error::other("the origin is gone"))
}

/// Connects to the cluster and waits until it answers.
pub(crate) async fn connect(nodes: Vec<String>) -> Arc<L2> {
    connect_by(RedisOptions::new(nodes)).await
}

pub(crate) async fn connect_by(options: RedisOptions) -> Arc<L2> {
    let tier = RedisTier::connect(options).expect("the options are valid");
    let l2 = Arc::new(L2::Redis(tier));
    within(Duration::from_secs(20), "redis answers", async || l2.is_available()).await;
    l2
}

/// The answer of one node to one command.
pub(crate) async fn ask<T: redis::FromRedisValue>(node: &str, command: &[&str]) -> T {
    let client = redis::Client::open(node).expect("a node's URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("the node answers");
    let mut words = redis::cmd(command[0]);
    words.arg(&command[1..]).query_async(&mut connection).await.expect("the node answers")
}

/// Waits until `holds`, and fails the test when it does not in time.
pub(crate) async fn within(limit: Duration, what: &str, holds: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn v(counter: u64) -> Version {
    Version::new(1, counter)
}

pub(crate) fn bytes(counter: u64) -> Bytes {
    Bytes::from(format!("value {counter}"))
}
