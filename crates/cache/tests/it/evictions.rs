//! What Redis evicts is counted by node, over a node's restarts.

use std::collections::BTreeMap;
use std::time::Duration;

use larder::NamespaceOptions;
use larder_stack::{Topology, testing};

use crate::support::{Origin, Process, ask, connect, get, within};

/// Nodes are asked every ten seconds.
const PATIENCE: Duration = Duration::from_secs(90);
/// Bytes that each node may take beyond what it takes already.
const ROOM: u64 = 100_000;

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

/// Leaves every node little room, and fills it until each has evicted.
async fn fill(nodes: &[String], process: &Process) {
    for node in nodes {
        let limit = (info(node, "memory", "used_memory").await + ROOM).to_string();
        ask::<()>(node, &["CONFIG", "SET", "maxmemory", &limit]).await;
    }
    let origin = Origin::default();
    within(PATIENCE, "every node evicts", async || {
        for _ in 0..500 {
            let key = format!("key {}", origin.loads());
            get(process, &key, &origin).await.expect("the origin answers");
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
    let process = Process::new(&l2, "evictions", NamespaceOptions::default());
    let counted = || l2.evictions().into_iter().collect::<Counts>();
    within(PATIENCE, "every node is known", async || counted() == evicted(&nodes).await).await;
    assert!(counted().values().all(|count| *count == 0), "{:?}", counted());

    assert_eq!(l2.round_trips(), 0, "none of it is a request's");
    fill(&nodes, &process).await;
    within(PATIENCE, "it is counted", async || counted() == evicted(&nodes).await).await;

    let before = counted();
    cluster.stop_all().await;
    cluster.start_all().await;
    within(PATIENCE, "it is connected again", async || l2.is_available()).await;
    fill(&nodes, &process).await;
    within(PATIENCE, "what is new is added", async || {
        let since = evicted(&nodes).await.into_iter();
        counted() == since.map(|(node, count)| (node.clone(), before[&node] + count)).collect()
    })
    .await;
}
