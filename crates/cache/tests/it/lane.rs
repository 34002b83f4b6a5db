//! The stream that keeps writes on replicas, while its primary is killed.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use larder::{Lane, LaneEntry, RedisOptions};
use larder_stack::Topology;
use larder_stack::testing::{private_redis_cluster, skip_without_servers};

fn lane(nodes: &[String], key: &str) -> Lane {
    Lane::new(RedisOptions::new(nodes.to_vec()), key.to_owned(), 1)
}

fn entry(id: u64) -> LaneEntry {
    LaneEntry { id, body: Bytes::from(format!("write {id}")) }
}

/// A key on the first primary, which has the first third of the slots.
const KEY: &str = "lane:{b}";

#[tokio::test]
async fn an_acknowledged_entry_survives_the_kill_of_its_primary() {
    if skip_without_servers("an_acknowledged_entry_survives_the_kill_of_its_primary") {
        return;
    }
    let mut redis = private_redis_cluster(Topology::ThreeByOne).await;
    let nodes = redis.nodes();
    let (next, stop) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicU64::new(0)));
    let acknowledged: Arc<Mutex<HashSet<u64>>> = Arc::default();
    let mut writers = Vec::new();
    for _ in 0..4 {
        let mut lane = lane(&nodes, KEY);
        let (next, stop) = (Arc::clone(&next), Arc::clone(&stop));
        let acknowledged = Arc::clone(&acknowledged);
        writers.push(tokio::spawn(async move {
            let mut refused = 0_u64;
            while stop.load(Ordering::SeqCst) == 0 {
                let first = next.fetch_add(16, Ordering::SeqCst);
                let entries: Vec<_> = (first..first + 16).map(entry).collect();
                match lane.append(&entries).await {
                    Ok(_) => acknowledged.lock().unwrap().extend(first..first + 16),
                    Err(_) => {
                        refused += 1;
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            }
            refused
        }));
    }
    let so_far = || acknowledged.lock().unwrap().len();
    let began = Instant::now();
    while so_far() < 2_000 {
        assert!(began.elapsed() < Duration::from_secs(30), "nothing is acknowledged");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let before = so_far();
    redis.kill(0);
    // With its only replica a primary, the shard has too few: nothing is acknowledged any more.
    tokio::time::sleep(Duration::from_secs(8)).await;
    stop.store(1, Ordering::SeqCst);
    let mut refused = 0;
    for writer in writers {
        refused += writer.await.expect("a writer ends");
    }
    let acknowledged = acknowledged.lock().unwrap().clone();
    let mut reader = lane(&nodes, KEY);
    let (mut found, mut after) = (HashMap::<u64, u32>::new(), Default::default());
    loop {
        let rows = reader.read(after, 1_000).await.expect("the replica has taken over");
        let Some((last, _)) = rows.last() else { break };
        after = *last;
        for (_, entry) in rows {
            *found.entry(entry.id).or_default() += 1;
        }
    }
    let lost = acknowledged.iter().filter(|id| !found.contains_key(id)).count();
    let twice = found.values().filter(|times| **times > 1).count();
    println!(
        "acknowledged {} ({before} before the kill), appends refused {refused}, lost {lost}, twice {twice}",
        acknowledged.len()
    );
    assert!(refused > 0, "the kill was felt");
    assert_eq!((lost, twice), (0, 0));
}

#[tokio::test]
async fn an_entry_is_taken_off_only_under_its_own_name() {
    if skip_without_servers("an_entry_is_taken_off_only_under_its_own_name") {
        return;
    }
    let redis = private_redis_cluster(Topology::ThreeByOne).await;
    let mut lane = lane(&redis.nodes(), KEY);
    let at = lane.append(&[entry(1), entry(2)]).await.expect("appends");
    assert_eq!(lane.take_off(&[(at[0], 7), (at[1], 2)]).await.expect("answers"), 1);
    assert_eq!(lane.take_off(&[(at[1], 2)]).await.expect("answers"), 0);
    let left = lane.read(Default::default(), 10).await.expect("answers");
    assert_eq!(left, [(at[0], entry(1))]);
}

#[tokio::test]
async fn a_shard_without_replicas_takes_nothing() {
    if skip_without_servers("a_shard_without_replicas_takes_nothing") {
        return;
    }
    let redis = private_redis_cluster(Topology::ThreeByZero).await;
    let mut lane = lane(&redis.nodes(), KEY);
    lane.append(&[entry(1)]).await.expect_err("there is no replica");
    assert_eq!(lane.read(Default::default(), 10).await.expect("answers"), []);
}
