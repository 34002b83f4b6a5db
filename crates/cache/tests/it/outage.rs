//! Redis gone, frozen and back: lookups turn into loads in bounded time, never into errors.

use std::sync::Arc;
use std::time::{Duration, Instant};

use larder::{Invalidation, L2, Miss, NamespaceOptions, RedisOptions, RedisTier, Tier};
use larder_stack::{Topology, testing};

use crate::support::{Origin, Process, connect, get, v, within};

/// Far above the overall deadline of a command, far below what a hanging client would take.
const PROMPT: Duration = Duration::from_secs(2);

/// Whether `key` is a hit in L2.
async fn hits(process: &Process, key: &str) -> bool {
    let lookup = get(process, key, &Origin::default()).await.expect("Redis is no reason to fail");
    lookup.tier == Tier::L2
}

#[tokio::test]
async fn without_redis_every_lookup_is_a_prompt_load() {
    // Nothing listens there: the port was free a moment ago and nobody was told of it.
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    let node = format!("redis://{}", port.expect("a free port"));
    let tier = RedisTier::connect(RedisOptions::new(vec![node])).expect("valid");
    let process = Process::new(&Arc::new(L2::Redis(tier)), "nowhere", NamespaceOptions::default());
    let (origin, began) = (Origin::default(), Instant::now());
    for _ in 0..100 {
        let lookup = get(&process, "a", &origin).await.expect("the origin answers");
        assert_eq!(lookup.miss, Some(Miss::Unavailable("redis-unavailable")));
        assert!(!lookup.stored);
    }
    assert_eq!(origin.loads(), 100);
    let invalidated = process.invalidate(&"a".to_owned(), v(1)).await;
    assert_eq!(invalidated, Invalidation::Unavailable("redis-unavailable"));
    assert_eq!(process.stats().invalidations_lost, 1);
    assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
}

#[tokio::test]
async fn hits_resume_after_the_cluster_was_stopped_and_started() {
    if testing::skip_without_servers("hits_resume_after_the_cluster_was_stopped_and_started") {
        return;
    }
    let mut cluster = testing::private_redis_cluster(Topology::ThreeByZero).await;
    let l2 = connect(cluster.nodes()).await;
    let process = Process::new(&l2, "outage", NamespaceOptions::default());
    hits(&process, "a").await;
    assert!(hits(&process, "a").await);

    cluster.stop_all().await;
    for n in 0..60 {
        let began = Instant::now();
        assert!(!hits(&process, &n.to_string()).await);
        assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
    }
    within(PROMPT, "the breakers open", async || !l2.is_available()).await;

    cluster.start_all().await;
    within(Duration::from_secs(20), "hits resume", async || hits(&process, "a").await).await;
}

#[tokio::test]
async fn a_frozen_primary_costs_its_own_keys_a_bounded_wait_and_others_nothing() {
    if testing::skip_without_servers("a_frozen_primary") {
        return;
    }
    let mut cluster = testing::private_redis_cluster(Topology::ThreeByZero).await;
    let l2 = connect(cluster.nodes()).await;
    let process = Process::new(&l2, "frozen", NamespaceOptions::default());
    let keys: Vec<String> = (0..60).map(|n| n.to_string()).collect();
    for key in &keys {
        hits(&process, key).await;
    }

    cluster.freeze(0);
    let mut found = 0;
    for key in &keys {
        let began = Instant::now();
        found += usize::from(hits(&process, key).await);
        assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
    }
    assert!(found > 20, "the other shards' keys are still found: {found}");
    // By now the shard's breaker is open: its keys cost nothing, now and then a probe.
    let began = Instant::now();
    for key in &keys {
        hits(&process, key).await;
    }
    assert!(began.elapsed() < PROMPT * 2, "{:?}", began.elapsed());

    cluster.thaw(0);
    within(Duration::from_secs(20), "all keys are found again", async || {
        let mut all = true;
        for key in &keys {
            all &= hits(&process, key).await;
        }
        all
    })
    .await;
}

#[tokio::test]
async fn a_killed_or_frozen_primary_is_replaced_and_its_keys_are_found_again() {
    if testing::skip_without_servers("a_killed_or_frozen_primary_is_replaced") {
        return;
    }
    let mut cluster = testing::private_redis_cluster(Topology::ThreeByOne).await;
    let l2 = connect(cluster.nodes()).await;
    let process = Process::new(&l2, "failover", NamespaceOptions::default());
    let keys: Vec<String> = (0..60).map(|n| n.to_string()).collect();
    let all_hit = async || {
        let mut all = true;
        for key in &keys {
            all &= hits(&process, key).await;
        }
        all
    };
    within(Duration::from_secs(10), "all keys are filled", all_hit).await;
    cluster.freeze(0);
    within(Duration::from_secs(30), "another node took the frozen one's slots", all_hit).await;
    cluster.kill(1);
    within(Duration::from_secs(30), "another node took the killed one's slots", all_hit).await;
    cluster.thaw(0);
}
