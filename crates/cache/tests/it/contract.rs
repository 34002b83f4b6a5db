//! One contract, held by Redis with Larder's scripts and by the in-memory twin.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use larder::{
    Cache, CacheValue, Codec, CodecError, Fill, Invalidation, L2, Lookup, MemoryTier, Metrics,
    Miss, NamespaceOptions, Version,
};
use larder_stack::{Topology, testing};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::support::{TestCache, bytes, cache, connect, found, v};

#[tokio::test]
async fn the_in_memory_twin_keeps_the_contract() {
    suite(Arc::new(L2::Memory(MemoryTier::default())), "memory").await;
}

#[tokio::test]
async fn redis_keeps_the_contract() {
    if testing::skip_without_servers("redis_keeps_the_contract") {
        return;
    }
    let cluster = testing::redis_cluster(Topology::ThreeByOne).await;
    suite(connect(cluster.nodes()).await, &testing::unique("contract")).await;
}

async fn suite(l2: Arc<L2>, environment: &str) {
    what_is_stored_is_found(&l2, environment).await;
    no_older_version_replaces_a_newer_one(&l2, environment).await;
    a_tombstone_keeps_older_loads_out(&l2, environment).await;
    a_tombstone_spares_what_is_as_new(&l2, environment).await;
    repeating_changes_nothing(&l2, environment).await;
    entries_expire(&l2, environment).await;
    another_schema_is_a_counted_miss(&l2, environment).await;
    entries_below_the_floor_are_misses(&l2, environment).await;
    environments_and_keys_do_not_mix(&l2, environment).await;
    random_operations_match_an_oracle(&l2, environment).await;
}

async fn fill(cache: &TestCache, key: &str, counter: u64) -> Fill {
    cache.fill(&key.to_owned(), v(counter), &bytes(counter), Duration::from_millis(7)).await
}

async fn invalidate(cache: &TestCache, key: &str, counter: u64) {
    let answer = cache.invalidate(&key.to_owned(), v(counter)).await;
    assert!(matches!(answer, Invalidation::Done), "{answer:?}");
}

async fn what_is_stored_is_found(l2: &Arc<L2>, environment: &str) {
    let cache = cache(l2, environment, NamespaceOptions::default());
    assert_eq!(found(&cache, "stored").await, None);
    assert!(matches!(fill(&cache, "stored", 3).await, Fill::Stored));
    assert_eq!(found(&cache, "stored").await, Some((v(3), bytes(3))));
}

async fn no_older_version_replaces_a_newer_one(l2: &Arc<L2>, environment: &str) {
    let cache = cache(l2, environment, NamespaceOptions::default());
    assert!(matches!(fill(&cache, "older", 5).await, Fill::Stored));
    assert!(matches!(fill(&cache, "older", 4).await, Fill::Rejected));
    assert_eq!(found(&cache, "older").await, Some((v(5), bytes(5))));
    // A larger epoch is newer, whatever the counter; 2^53 + 1 is where doubles give up.
    let past_doubles = (1_u64 << 53) + 1;
    for newer in [v(past_doubles - 1), v(past_doubles), Version::new(2, 0)] {
        let stored = cache.fill(&"older".to_owned(), newer, &bytes(0), Duration::ZERO).await;
        assert!(matches!(stored, Fill::Stored), "{newer}");
    }
    assert!(matches!(fill(&cache, "older", u64::MAX).await, Fill::Rejected));
}

async fn a_tombstone_keeps_older_loads_out(l2: &Arc<L2>, environment: &str) {
    let cache = cache(l2, environment, NamespaceOptions::default());
    fill(&cache, "tomb", 1).await;
    invalidate(&cache, "tomb", 2).await;
    let lookup = cache.lookup(&"tomb".to_owned()).await;
    assert!(matches!(lookup, Lookup::Miss(Miss::Invalidated)), "{lookup:?}");
    // A load that began before the write brings what it read then.
    assert!(matches!(fill(&cache, "tomb", 1).await, Fill::Rejected));
    assert_eq!(found(&cache, "tomb").await, None);
    assert!(matches!(fill(&cache, "tomb", 2).await, Fill::Stored));
    assert_eq!(found(&cache, "tomb").await, Some((v(2), bytes(2))));
    // The same for a key that nothing was stored for yet.
    invalidate(&cache, "never stored", 9).await;
    assert!(matches!(fill(&cache, "never stored", 8).await, Fill::Rejected));
}

async fn a_tombstone_spares_what_is_as_new(l2: &Arc<L2>, environment: &str) {
    let cache = cache(l2, environment, NamespaceOptions::default());
    fill(&cache, "spared", 7).await;
    for older_or_same in [6, 7] {
        invalidate(&cache, "spared", older_or_same).await;
        assert_eq!(found(&cache, "spared").await, Some((v(7), bytes(7))));
    }
}

async fn repeating_changes_nothing(l2: &Arc<L2>, environment: &str) {
    let cache = cache(l2, environment, NamespaceOptions::default());
    for _ in 0..2 {
        assert!(matches!(fill(&cache, "twice", 1).await, Fill::Stored));
    }
    assert_eq!(found(&cache, "twice").await, Some((v(1), bytes(1))));
    for _ in 0..2 {
        invalidate(&cache, "twice", 2).await;
    }
    assert_eq!(found(&cache, "twice").await, None);
}

async fn entries_expire(l2: &Arc<L2>, environment: &str) {
    let options = NamespaceOptions {
        ttl: Some(Duration::from_millis(300)),
        tombstone_ttl: Duration::from_millis(300),
        ..NamespaceOptions::default()
    };
    let cache = cache(l2, environment, options);
    fill(&cache, "brief", 2).await;
    invalidate(&cache, "brief tombstone", 2).await;
    let Lookup::Hit(hit) = cache.lookup(&"brief".to_owned()).await else {
        panic!("expired at once")
    };
    let remaining = hit.remaining.expect("a namespace with a TTL tells what remains of it");
    assert!(remaining <= Duration::from_millis(300), "{remaining:?}");
    tokio::time::sleep(Duration::from_millis(450)).await;
    assert_eq!(found(&cache, "brief").await, None);
    assert!(matches!(fill(&cache, "brief tombstone", 1).await, Fill::Stored));
}

/// The shape of a value in the next release.
struct Next(Bytes);

impl CacheValue for Next {
    const SCHEMA: &'static str = "bytes/2";
    const CODEC: Codec = Codec::Raw;

    fn encode(&self) -> Result<Bytes, CodecError> {
        Ok(self.0.clone())
    }

    fn decode(bytes: Bytes) -> Result<Self, CodecError> {
        if bytes.starts_with(b"value") {
            return Ok(Self(bytes));
        }
        Err(CodecError::new("not a value"))
    }
}

async fn another_schema_is_a_counted_miss(l2: &Arc<L2>, environment: &str) {
    let metrics = Metrics::default();
    let options = NamespaceOptions::default();
    let key = "schema".to_owned();
    let old: TestCache =
        Cache::new(environment, "schemas", options.clone(), Arc::clone(l2), &metrics)
            .expect("valid");
    let next: Cache<String, Next> =
        Cache::new(environment, "schemas", options, Arc::clone(l2), &metrics).expect("valid");

    fill(&old, &key, 1).await;
    assert!(matches!(next.lookup(&key).await, Lookup::Miss(Miss::Unreadable)));
    let stored = next.fill(&key, v(1), &Next(bytes(1)), Duration::ZERO).await;
    assert!(matches!(stored, Fill::Stored));
    assert!(matches!(next.lookup(&key).await, Lookup::Hit(_)));
    assert!(matches!(old.lookup(&key).await, Lookup::Miss(Miss::Unreadable)));
    // The right schema, but bytes that its decoder refuses.
    next.fill(&key, v(1), &Next(Bytes::from_static(b"?")), Duration::ZERO).await;
    assert!(matches!(next.lookup(&key).await, Lookup::Miss(Miss::Unreadable)));

    let stats = metrics.stats()["schemas"];
    assert_eq!((stats.hits, stats.misses, stats.unreadable), (1, 3, 3));
}

async fn entries_below_the_floor_are_misses(l2: &Arc<L2>, environment: &str) {
    let before = cache(l2, environment, NamespaceOptions::default());
    fill(&before, "floor", u64::MAX).await;
    let options = NamespaceOptions { floor_epoch: 2, ..NamespaceOptions::default() };
    let after = cache(l2, environment, options);
    let lookup = after.lookup(&"floor".to_owned()).await;
    assert!(matches!(lookup, Lookup::Miss(Miss::Invalidated)), "{lookup:?}");
    let newer = Version::new(2, 0);
    after.fill(&"floor".to_owned(), newer, &bytes(1), Duration::ZERO).await;
    assert_eq!(found(&after, "floor").await, Some((newer, bytes(1))));
}

async fn environments_and_keys_do_not_mix(l2: &Arc<L2>, environment: &str) {
    let here = cache(l2, environment, NamespaceOptions::default());
    let there = cache(l2, &format!("{environment}:other"), NamespaceOptions::default());
    fill(&here, "a:b", 1).await;
    assert_eq!(found(&there, "a:b").await, None);
    assert_eq!(found(&here, "a}b").await, None);
    assert_eq!(found(&here, "a%3Ab").await, None);
}

#[derive(Clone, Debug)]
enum Operation {
    Fill(u8, u64),
    Invalidate(u8, u64),
    Lookup(u8),
}

/// What a key holds: its version, and whether it is a value.
type Oracle = HashMap<u8, (u64, bool)>;

async fn random_operations_match_an_oracle(l2: &Arc<L2>, environment: &str) {
    let operation = prop_oneof![
        (0..3_u8, 0..6_u64).prop_map(|(key, counter)| Operation::Fill(key, counter)),
        (0..3_u8, 0..6_u64).prop_map(|(key, counter)| Operation::Invalidate(key, counter)),
        (0..3_u8).prop_map(Operation::Lookup),
    ];
    let sequences = prop::collection::vec(operation, 1..40);
    let mut runner = TestRunner::deterministic();
    for round in 0..40 {
        let sequence = sequences.new_tree(&mut runner).expect("generates").current();
        let environment = format!("{environment}-{round}");
        let cache = cache(l2, &environment, NamespaceOptions::default());
        let mut oracle = Oracle::new();
        for operation in &sequence {
            step(&cache, &mut oracle, operation).await;
        }
    }
}

async fn step(cache: &TestCache, oracle: &mut Oracle, operation: &Operation) {
    match *operation {
        Operation::Fill(key, counter) => {
            let stays = oracle.get(&key).is_some_and(|&(held, _)| held > counter);
            let answer = fill(cache, &key.to_string(), counter).await;
            assert_eq!(matches!(answer, Fill::Rejected), stays, "{operation:?}");
            if !stays {
                oracle.insert(key, (counter, true));
            }
        }
        Operation::Invalidate(key, counter) => {
            invalidate(cache, &key.to_string(), counter).await;
            let held = oracle.get(&key).copied();
            if held.is_none_or(|(held, value)| held < counter || (held == counter && !value)) {
                oracle.insert(key, (counter, false));
            }
        }
        Operation::Lookup(key) => {
            let expected = match oracle.get(&key) {
                Some(&(counter, true)) => Some((v(counter), bytes(counter))),
                _ => None,
            };
            assert_eq!(found(cache, &key.to_string()).await, expected, "{operation:?}");
        }
    }
}
