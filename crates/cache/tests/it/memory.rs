//! What an entry costs in Redis.

use bytes::Bytes;
use larder::NamespaceOptions;
use larder::{Loaded, Version};
use larder_stack::{Topology, testing};
use redis::cluster::ClusterClient;

use crate::support::{Process, connect};

/// Over a bare `SET … PX` of the same payload, on average over payloads of every length: Redis
/// rounds each up to the next of its allocator's sizes.
const MOST_OVERHEAD: f64 = 96.0;

#[tokio::test]
async fn an_entry_costs_little_more_than_its_payload() {
    if testing::skip_without_servers("an_entry_costs_little_more_than_its_payload") {
        return;
    }
    let cluster = testing::redis_cluster(Topology::ThreeByZero).await;
    let environment = testing::unique("memory");
    let process =
        Process::new(&connect(cluster.nodes()).await, &environment, NamespaceOptions::default());
    let client = ClusterClient::new(cluster.nodes()).expect("valid nodes");
    let mut connection = client.get_async_connection().await.expect("Redis answers");
    let mut usage = async |key: &str| -> u64 {
        let mut command = redis::cmd("MEMORY");
        command.arg("USAGE").arg(key).arg("SAMPLES").arg(0);
        command.query_async(&mut connection).await.expect("Redis answers")
    };
    let mut bare = client.get_async_connection().await.expect("Redis answers");
    let (mut over, mut entries) = (0, 0);
    for length in (100..5_000).step_by(37) {
        let payload = Bytes::from(vec![b'x'; length]);
        let key = format!("{length:08}");
        let load = {
            let payload = payload.clone();
            async || Ok::<_, std::io::Error>(Loaded::found(Version::new(1, 1), payload))
        };
        assert!(process.get_with(&key, load).await.expect("loads").stored);
        // As long as the entry's own key.
        let other = format!("{environment}:{{thingz:{key}}}");
        let mut set = redis::cmd("SET");
        set.arg(&other).arg(&payload[..]).arg("PX").arg(60_000);
        set.query_async::<()>(&mut bare).await.expect("Redis answers");
        over += usage(&format!("{environment}:{{things:{key}}}")).await;
        over -= usage(&other).await;
        entries += 1;
    }
    let each = over as f64 / f64::from(entries);
    println!("{each:.1} bytes over a bare SET, on average of {entries} entries");
    assert!((1.0..=MOST_OVERHEAD).contains(&each), "{each}");
}
