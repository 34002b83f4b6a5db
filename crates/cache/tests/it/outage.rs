//! Redis gone, frozen and back: lookups turn into loads in bounded time, never into errors.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use larder::{Invalidation, L2, Miss, NamespaceOptions, RedisOptions, RedisTier, Tier};
use larder_stack::{Topology, testing};

use crate::proxy::{Proxy, announce, port_of};
use crate::support::{Origin, Process, ask, connect, get, v, within};

/// Far above the overall deadline of a command, far below what a hanging client would take.
const PROMPT: Duration = Duration::from_secs(2);
/// Hits are back so soon after a shard answers again, or another node has taken its slots.
const BACK: Duration = Duration::from_secs(5);

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

/// Cuts one of three shards off, and holds that its keys cost a bounded wait, those of others
/// nothing, and that all are found again once it is back.
async fn one_shard_is_gone(process: &Process, cut: impl FnOnce(), mend: impl FnOnce()) {
    let keys: Vec<String> = (0..60).map(|n| n.to_string()).collect();
    within(PROMPT, "all keys are filled", async || all_hit(process, &keys).await).await;

    cut();
    let mut found = 0;
    for key in &keys {
        let began = Instant::now();
        let limit = if hits(process, key).await {
            found += 1;
            Duration::from_secs(1)
        } else {
            PROMPT
        };
        assert!(began.elapsed() < limit, "{key}: {:?}", began.elapsed());
    }
    assert!(found > 20, "the other shards' keys are still found: {found}");
    // By now the shard's breaker is open: its keys cost nothing, now and then a probe.
    let began = Instant::now();
    let mut again = 0;
    for key in &keys {
        again += usize::from(hits(process, key).await);
    }
    assert!(began.elapsed() < PROMPT * 2, "{:?}", began.elapsed());
    assert!(again >= found, "{again} of {found} are still found");

    mend();
    within(BACK, "all keys are found again", async || all_hit(process, &keys).await).await;
}

async fn all_hit(process: &Process, keys: &[String]) -> bool {
    let mut all = true;
    for key in keys {
        all &= hits(process, key).await;
    }
    all
}

#[tokio::test]
async fn a_frozen_primary_costs_its_own_keys_a_bounded_wait_and_others_nothing() {
    if testing::skip_without_servers("a_frozen_primary") {
        return;
    }
    let cluster = RefCell::new(testing::private_redis_cluster(Topology::ThreeByZero).await);
    let nodes = cluster.borrow().nodes();
    let l2 = connect(nodes).await;
    let process = Process::new(&l2, "frozen", NamespaceOptions::default());
    let (freeze, thaw) = (|| cluster.borrow_mut().freeze(0), || cluster.borrow_mut().thaw(0));
    one_shard_is_gone(&process, freeze, thaw).await;
}

#[tokio::test]
async fn a_black_holed_primary_costs_its_own_keys_a_bounded_wait_and_others_nothing() {
    if testing::skip_without_servers("a_black_holed_primary") {
        return;
    }
    let cluster = testing::private_redis_cluster(Topology::ThreeByZero).await;
    let nodes = cluster.nodes();
    let proxy = Proxy::before(port_of(&nodes[0]), None).await;
    // The others keep talking to it over the bus: nothing but its clients' way is cut.
    announce(&nodes, &[&proxy]).await;
    let l2 = connect(nodes[1..].to_vec()).await;
    let process = Process::new(&l2, "swallowed", NamespaceOptions::default());
    one_shard_is_gone(&process, || proxy.swallow(), || proxy.pass()).await;
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
    within(Duration::from_secs(10), "all keys are filled", async || all_hit(&process, &keys).await)
        .await;
    // Asked of a primary that stays.
    let witness = cluster.nodes()[2].clone();
    for gone in 0..2 {
        if gone == 0 {
            cluster.freeze(gone);
        } else {
            cluster.kill(gone);
        }
        // From then on the clock runs: until then its keys are nobody's, and how long the nodes
        // take to agree is not for the client to say.
        let lost = port_of(&cluster.nodes()[gone]);
        within(Duration::from_secs(60), "another node takes its slots", async || {
            served_slots(&witness, lost).await == 16_384
        })
        .await;
        within(BACK, "its keys are found again", async || all_hit(&process, &keys).await).await;
    }
    cluster.thaw(0);
}

/// Slots whose primary `node` takes for alive, but for those of the node at port `lost`: that one it
/// takes for alive at first.
async fn served_slots(node: &str, lost: u16) -> u32 {
    let nodes: String = ask(node, &["CLUSTER", "NODES"]).await;
    let lost = format!(":{lost}@");
    let alive = nodes.lines().filter(|line| {
        let flags = line.split(' ').nth(2).unwrap_or_default();
        flags.contains("master") && !flags.contains("fail") && !line.contains(&lost)
    });
    let ranges = alive.flat_map(|line| line.split(' ').skip(8));
    let count = |range: &str| -> Option<u32> {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(last.parse::<u32>().ok()? - first.parse::<u32>().ok()? + 1)
    };
    ranges.filter_map(count).sum()
}
