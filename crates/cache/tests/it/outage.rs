//! Redis gone, frozen and back: lookups turn into misses in bounded time, never into errors.

use std::time::{Duration, Instant};

use larder::{Fill, Invalidation, Lookup, Miss, NamespaceOptions};
use larder_stack::{Topology, testing};

use crate::support::{bytes, cache, connect, found, v, within};

/// Far above the overall deadline of a command, far below what a hanging client would take.
const PROMPT: Duration = Duration::from_secs(2);

#[tokio::test]
async fn without_redis_every_lookup_is_a_prompt_miss() {
    // Nothing listens there: the port was free a moment ago and nobody was told of it.
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    let node = format!("redis://{}", port.expect("a free port"));
    let tier = larder::RedisTier::connect(larder::RedisOptions::new(vec![node])).expect("valid");
    let l2 = std::sync::Arc::new(larder::L2::Redis(tier));
    let cache = cache(&l2, "nowhere", NamespaceOptions::default());
    let key = "a".to_owned();
    let began = Instant::now();
    for _ in 0..100 {
        let lookup = cache.lookup(&key).await;
        assert!(matches!(lookup, Lookup::Miss(Miss::Unavailable(_))), "{lookup:?}");
    }
    let filled = cache.fill(&key, v(1), &bytes(1), Duration::ZERO).await;
    assert!(matches!(filled, Fill::Unavailable(_)), "{filled:?}");
    let invalidated = cache.invalidate(&key, v(1)).await;
    assert!(matches!(invalidated, Invalidation::Unavailable(_)), "{invalidated:?}");
    assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
}

#[tokio::test]
async fn hits_resume_after_the_cluster_was_stopped_and_started() {
    if testing::skip_without_servers("hits_resume_after_the_cluster_was_stopped_and_started") {
        return;
    }
    let mut cluster = testing::private_redis_cluster(Topology::ThreeByZero).await;
    let l2 = connect(cluster.nodes()).await;
    let cache = cache(&l2, "outage", NamespaceOptions::default());
    let key = "a".to_owned();
    cache.fill(&key, v(1), &bytes(1), Duration::ZERO).await;
    assert!(found(&cache, &key).await.is_some());

    cluster.stop_all().await;
    for _ in 0..20 {
        let began = Instant::now();
        assert_eq!(found(&cache, &key).await, None);
        assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
    }
    within(PROMPT, "the breaker opens", async || !l2.is_available()).await;

    cluster.start_all().await;
    within(Duration::from_secs(20), "hits resume", async || {
        cache.fill(&key, v(1), &bytes(1), Duration::ZERO).await;
        found(&cache, &key).await.is_some()
    })
    .await;
}

#[tokio::test]
async fn a_frozen_primary_costs_its_own_keys_a_bounded_wait_and_others_nothing() {
    if testing::skip_without_servers("a_frozen_primary") {
        return;
    }
    let mut cluster = testing::private_redis_cluster(Topology::ThreeByZero).await;
    let l2 = connect(cluster.nodes()).await;
    let cache = cache(&l2, "frozen", NamespaceOptions::default());
    let keys: Vec<String> = (0..30).map(|n| n.to_string()).collect();
    for key in &keys {
        cache.fill(key, v(1), &bytes(1), Duration::ZERO).await;
    }

    cluster.freeze(0);
    let mut hits = 0;
    for key in &keys {
        let began = Instant::now();
        hits += usize::from(found(&cache, key).await.is_some());
        assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
    }
    assert!(hits > 0, "the other shards' keys are still found");

    cluster.thaw(0);
    within(Duration::from_secs(20), "all keys are found again", async || {
        for key in &keys {
            if found(&cache, key).await.is_none() {
                return false;
            }
        }
        true
    })
    .await;
}
