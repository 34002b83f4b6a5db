//! What Redis evicts is counted by node, over a node's restarts.

use std::collections::BTreeMap;
use std::time::Duration;

use larder::NamespaceOptions;
use larder_stack::{Topology, testing};

use crate::support::{Origin, Process, ask, connect, get, within};

/// Nodes are asked every ten seconds.
const PATIENCE: Duration = Duration::from_secs(90);

type Counts = BTreeMap<String, u64>;

/// A field of what `node` says of itself.
async fn info(node: &str, section: &str, field: &str) -> u64 {
    let info: String = ask(node, &["INFO", section]).await;
    let value = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.expect("the field").parse().expect("a number")
}

/// What each node says that it has evicted.
async fn evicted(nodes: &[String]) -> Counts {
    let mut counts = Counts::new();
    for node in nodes {
        let address = node.trim_start_matches("redis://").to_owned();
        counts.insert(address, info(node, "stats", "evicted_keys").await);
    }
    counts
}

/// Fills every node, and leaves it no more room than it has taken, until each has evicted.
async fn fill(nodes: &[String], process: &Process, origin: &Origin) {
    within(PATIENCE, "every node evicts", async || {
        for _ in 0..500 {
            let key = format!("key {}", origin.loads());
            get(process, &key, origin).await.expect("the origin answers");
        }
        for node in nodes {
            // What connections take is part of it, so the limit comes after them and the keys.
            let limit = info(node, "memory", "used_memory").await.to_string();
            ask::<()>(node, &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
            ask::<()>(node, &["CONFIG", "SET", "maxmemory", &limit]).await;
        }
        evicted(nodes).await.values().all(|count| *count > 0)
    })
    .await;
}

#[tokio::test]
async fn what_each_node_evicts_is_counted_over_its_restarts() {
    if testing::skip_without_servers("what_each_node_evicts_is_counted_over_its_restarts") {
        return;
    }
    let mut cluster = testing::private_redis_cluster(Topology::ThreeByZero).await;
    let nodes = cluster.nodes();
    let l2 = connect(nodes.clone()).await;
    // One for all: a key that it has been asked for once is never asked for again.
    let origin = Origin::default();
    let process = Process::new(&l2, "evictions", NamespaceOptions::default());
    let counted = || l2.evictions().into_iter().collect::<Counts>();
    within(PATIENCE, "every node is known", async || counted() == evicted(&nodes).await).await;
    assert!(counted().values().all(|count| *count == 0), "{:?}", counted());

    assert_eq!(l2.round_trips(), 0, "none of it is a request's");
    fill(&nodes, &process, &origin).await;
    within(PATIENCE, "it is counted", async || counted() == evicted(&nodes).await).await;

    let before = counted();
    cluster.stop_all().await;
    cluster.start_all().await;
    within(PATIENCE, "it is connected again", async || l2.is_available()).await;
    fill(&nodes, &process, &origin).await;
    within(PATIENCE, "what is new is added", async || {
        let since = evicted(&nodes).await.into_iter();
        counted() == since.map(|(node, count)| (node.clone(), before[&node] + count)).collect()
    })
    .await;
}
