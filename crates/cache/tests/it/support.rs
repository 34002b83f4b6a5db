//! What the tests share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use larder::{Cache, L2, Lookup, Metrics, NamespaceOptions, RedisOptions, RedisTier, Version};

pub(crate) type TestCache = Cache<String, Bytes>;

pub(crate) fn cache(l2: &Arc<L2>, environment: &str, options: NamespaceOptions) -> TestCache {
    Cache::new(environment, "things", options, Arc::clone(l2), &Metrics::default())
        .expect("the options are valid")
}

/// Connects to the cluster and waits until it answers.
pub(crate) async fn connect(nodes: Vec<String>) -> Arc<L2> {
    let tier = RedisTier::connect(RedisOptions::new(nodes)).expect("the options are valid");
    let l2 = Arc::new(L2::Redis(tier));
    within(Duration::from_secs(20), "redis answers", async || l2.is_available()).await;
    l2
}

/// Waits until `holds`, and fails the test when it does not in time.
pub(crate) async fn within(limit: Duration, what: &str, holds: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a lookup found: the version and the value.
pub(crate) async fn found(cache: &TestCache, key: &str) -> Option<(Version, Bytes)> {
    match cache.lookup(&key.to_owned()).await {
        Lookup::Hit(hit) => Some((hit.version, hit.value)),
        Lookup::Miss(_) => None,
    }
}

pub(crate) fn v(counter: u64) -> Version {
    Version::new(1, counter)
}

pub(crate) fn bytes(counter: u64) -> Bytes {
    Bytes::from(format!("value {counter}"))
}
