//! Slots move while clients read and write, and nothing is lost on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use larder_stack::{Topology, reshard, testing};

/// How many slots each primary has, by its port.
async fn slots(nodes: &[String]) -> Vec<usize> {
    let mut connection = redis::Client::open(nodes[0].as_str())
        .expect("a URL")
        .get_multiplexed_async_connection()
        .await
        .expect("the node answers");
    let text: String =
        redis::cmd("CLUSTER").arg("NODES").query_async(&mut connection).await.expect("answers");
    let mut counts: Vec<(String, usize)> = text
        .lines()
        .filter(|line| line.contains("master"))
        .map(|line| {
            let mut fields = line.split(' ').skip(1);
            let address = fields.next().expect("an address").to_owned();
            let ranges = fields.skip(6).map(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let number = |text: &str| text.parse::<usize>().expect("a slot");
                number(last) - number(first) + 1
            });
            (address, ranges.sum())
        })
        .collect();
    counts.sort();
    counts.into_iter().map(|(_, count)| count).collect()
}

#[tokio::test]
async fn slots_move_under_load_and_every_key_is_found() {
    if testing::skip_without_servers("slots_move_under_load_and_every_key_is_found") {
        return;
    }
    let redis = testing::private_redis_cluster(Topology::ThreeByOne).await;
    let nodes = redis.nodes();
    let client = redis::cluster::ClusterClient::new(nodes.clone()).expect("URLs");
    let mut connection = client.get_async_connection().await.expect("connects");
    for key in 0..3_000 {
        let set = redis::cmd("SET").arg(key).arg(key).exec_async(&mut connection).await;
        set.expect("every slot takes writes");
    }
    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn({
        let (stop, mut connection) = (Arc::clone(&stop), connection.clone());
        async move {
            let mut rounds: u64 = 0;
            while !stop.load(Ordering::Relaxed) {
                for key in (0..3_000).step_by(7) {
                    let got: Option<u64> = redis::cmd("GET")
                        .arg(key)
                        .query_async(&mut connection)
                        .await
                        .expect("reads");
                    assert_eq!(got, Some(key));
                }
                redis::cmd("INCR").arg("rounds").exec_async(&mut connection).await.expect("writes");
                rounds += 1;
            }
            rounds
        }
    });
    assert_eq!(slots(&nodes).await, [5_461, 5_461, 5_462]);
    let moved = reshard(&nodes, 2_000).await.expect("slots move");
    assert_eq!(moved.slots, 2_000);
    assert!(moved.keys > 100 && moved.from != moved.to, "{moved:?}");
    stop.store(true, Ordering::Relaxed);
    let rounds = load.await.expect("no request fails");
    assert_eq!(slots(&nodes).await.iter().sum::<usize>(), 16_384);
    assert!(slots(&nodes).await.contains(&3_462), "{:?}", slots(&nodes).await);
    let counted: u64 =
        redis::cmd("GET").arg("rounds").query_async(&mut connection).await.expect("reads");
    assert_eq!(counted, rounds);
    for key in 0..3_000_u64 {
        let got: Option<u64> =
            redis::cmd("GET").arg(key).query_async(&mut connection).await.expect("reads");
        assert_eq!(got, Some(key));
    }
}

#[tokio::test]
async fn more_slots_than_there_are_and_a_lone_primary_are_refused() {
    if testing::skip_without_servers("more_slots_than_there_are_and_a_lone_primary_are_refused") {
        return;
    }
    let redis = testing::private_redis_cluster(Topology::OneByTwo).await;
    let said = reshard(&redis.nodes(), 10).await.expect_err("there is nowhere to go").to_string();
    assert_eq!(said, "10 slots cannot be moved: the cluster has one primary only");
    let redis = testing::private_redis_cluster(Topology::ThreeByZero).await;
    let said = reshard(&redis.nodes(), 6_000).await.expect_err("there are fewer").to_string();
    assert_eq!(said, "6000 slots cannot be moved: the primary with the most has 5462");
    assert_eq!(slots(&redis.nodes()).await, [5_461, 5_461, 5_462], "nothing was changed");
}
