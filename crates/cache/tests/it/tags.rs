//! Tags: values of several keys made old at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use larder::{
    Freshness, Invalidation, L1Options, L2, Loaded, Miss, NamespaceOptions, Publication, Tag, Tier,
};
use larder_stack::{Topology, testing};
use tokio::time::{advance, sleep};

use crate::support::{Process, bytes, connect, memory, never, v, within};

const SECOND: Duration = Duration::from_secs(1);

/// An origin whose values all depend on one thing, `lamps`.
#[derive(Clone, Default)]
struct Lamps {
    loads: Arc<AtomicU64>,
    version: Arc<AtomicU64>,
    delay: Duration,
}

impl Lamps {
    fn change(&self) -> larder::Version {
        v(self.version.fetch_add(1, Ordering::SeqCst) + 1)
    }

    fn loads(&self) -> u64 {
        self.loads.load(Ordering::SeqCst)
    }

    async fn load(self) -> Result<Loaded<Bytes>, std::io::Error> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        let counter = self.version.load(Ordering::SeqCst);
        sleep(self.delay).await;
        // The key itself never changes: only the tag tells.
        Ok(Loaded::found(v(7), bytes(counter)).with_tags([Tag::new("lamps", v(counter))]))
    }
}

async fn get(process: &Process, key: &str, lamps: &Lamps) -> larder::Lookup<Bytes> {
    let found = process.get_with(&key.to_owned(), || lamps.clone().load()).await;
    found.expect("the origin answers")
}

fn both_tiers() -> NamespaceOptions {
    NamespaceOptions { l1: Some(L1Options::default()), ..NamespaceOptions::default() }
}

/// What holds on Redis and on its twin.
async fn one_command_makes_all_values_of_a_tag_old(l2: &Arc<L2>, environment: &str) {
    let here = Process::new(l2, environment, both_tiers());
    let there = Process::new(l2, environment, NamespaceOptions::default());
    let lamps = Lamps::default();
    let keys: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    for key in &keys {
        assert!(get(&here, key, &lamps).await.stored);
        assert_eq!(get(&here, key, &lamps).await.tier, Tier::L1);
        assert_eq!(get(&there, key, &lamps).await.tier, Tier::L2);
    }
    // Without the tag, it stays.
    let other = "other".to_owned();
    let untagged = async || Ok::<_, std::io::Error>(Loaded::found(v(1), bytes(0)));
    here.get_with(&other, untagged).await.expect("loads");

    let changed = lamps.change();
    assert_eq!(here.invalidate_tag("lamps", changed).await, Invalidation::Done);
    for key in &keys {
        for (process, loaded) in [(&there, true), (&here, false)] {
            let lookup = get(process, key, &lamps).await;
            assert_eq!(lookup.value, Some(bytes(1)), "{key}");
            assert_eq!(lookup.miss, loaded.then_some(Miss::Invalidated), "{key}");
        }
    }
    assert_eq!(lamps.loads(), 20);
    assert_eq!(here.get_with(&other, never).await.expect("is there").tier, Tier::L1);

    // The same again, and an older one: nothing changes.
    for version in [changed, v(0)] {
        here.invalidate_tag("lamps", version).await;
    }
    for key in &keys {
        assert_eq!(get(&there, key, &lamps).await.tier, Tier::L2);
    }
    let tags = there.inspect(&keys[0]).await.l2.expect("answers").expect("is there").tags;
    assert_eq!(tags, [Tag::new("lamps", v(1))]);
}

#[tokio::test]
async fn one_command_makes_all_values_of_a_tag_old_in_memory() {
    one_command_makes_all_values_of_a_tag_old(&memory(), "tags").await;
}

#[tokio::test]
async fn one_command_makes_all_values_of_a_tag_old_in_redis() {
    if testing::skip_without_servers("one_command_makes_all_values_of_a_tag_old") {
        return;
    }
    let cluster = testing::redis_cluster(Topology::ThreeByZero).await;
    let l2 = connect(cluster.nodes()).await;
    one_command_makes_all_values_of_a_tag_old(&l2, &testing::unique("tags")).await;
}

#[tokio::test(start_paused = true)]
async fn a_load_that_began_before_the_change_is_no_answer_after_it() {
    for l2 in [true, false] {
        let options = NamespaceOptions { l2, ..both_tiers() };
        let process = Arc::new(Process::new(&memory(), "late", options));
        let lamps = Lamps { delay: SECOND, ..Lamps::default() };
        let early = {
            let (process, lamps) = (Arc::clone(&process), lamps.clone());
            tokio::spawn(async move { get(&process, "a", &lamps).await })
        };
        sleep(SECOND / 2).await;
        process.invalidate_tag("lamps", lamps.change()).await;
        let late = get(&process, "a", &lamps).await;
        assert_eq!(late.value, Some(bytes(1)), "L2: {l2}");
        assert_eq!(early.await.expect("no panic").value, Some(bytes(0)));
        // Whichever was stored last.
        assert_eq!(get(&process, "a", &lamps).await.value, Some(bytes(1)), "L2: {l2}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_tag_made_old_stands_in_for_nothing() {
    let options = NamespaceOptions {
        ttl: Some(SECOND),
        stale_for: 60 * SECOND,
        jitter: 0.0,
        stale_while_revalidate: true,
        l1: Some(L1Options { ttl: 60 * SECOND, ..L1Options::default() }),
        ..NamespaceOptions::default()
    };
    let l2 = memory();
    let (here, there) =
        (Process::new(&l2, "stale", options.clone()), Process::new(&l2, "stale", options));
    let lamps = Lamps::default();
    get(&here, "a", &lamps).await;
    advance(2 * SECOND).await;
    there.invalidate_tag("lamps", lamps.change()).await;
    let lookup = get(&here, "a", &lamps).await;
    assert_eq!((lookup.value, lookup.freshness), (Some(bytes(1)), Freshness::Fresh));
}

#[tokio::test]
async fn a_lost_barrier_makes_its_values_misses() {
    if testing::skip_without_servers("a_lost_barrier_makes_its_values_misses") {
        return;
    }
    let cluster = testing::redis_cluster(Topology::ThreeByZero).await;
    let environment = testing::unique("barrier");
    let l2 = connect(cluster.nodes()).await;
    let process = Process::new(&l2, &environment, NamespaceOptions::default());
    let lamps = Lamps::default();
    get(&process, "a", &lamps).await;
    assert_eq!(get(&process, "a", &lamps).await.tier, Tier::L2);
    // As an eviction under memory pressure does.
    let client = redis::cluster::ClusterClient::new(cluster.nodes()).expect("valid nodes");
    let mut connection = client.get_async_connection().await.expect("Redis answers");
    let mut delete = redis::cmd("DEL");
    let deleted: u8 = delete
        .arg(format!("{environment}:{{things:tag:lamps}}"))
        .query_async(&mut connection)
        .await
        .expect("Redis answers");
    assert_eq!(deleted, 1);
    assert_eq!(get(&process, "a", &lamps).await.miss, Some(Miss::Invalidated));
    assert_eq!(get(&process, "a", &lamps).await.tier, Tier::L2);
    assert_eq!(lamps.loads(), 2);
}

#[tokio::test]
async fn a_publication_can_have_tags() {
    let process = Process::new(&memory(), "published", both_tiers());
    let key = "a".to_owned();
    let lamps = Lamps::default();
    get(&process, &key, &lamps).await;
    let made = Loaded::found(v(8), bytes(5)).with_tags([Tag::new("lamps", v(0))]);
    assert_eq!(process.publish(&key, made).await, Publication::Stored);
    assert_eq!(get(&process, &key, &lamps).await.value, Some(bytes(5)));
    process.invalidate_tag("lamps", lamps.change()).await;
    assert_eq!(get(&process, &key, &lamps).await.miss, Some(Miss::Invalidated));
}

#[tokio::test]
async fn a_tag_that_redis_was_not_told_of_holds_here_when_it_answers_again() {
    if testing::skip_without_servers("a_tag_that_redis_was_not_told_of_holds_here") {
        return;
    }
    const NODES: usize = 3;
    let mut cluster = testing::private_redis_cluster(Topology::ThreeByZero).await;
    let l2 = connect(cluster.nodes()).await;
    for (environment, options) in
        [("untold", both_tiers()), ("untold-l2", NamespaceOptions::default())]
    {
        let [before, process] = [(); 2].map(|()| Process::new(&l2, environment, options.clone()));
        let lamps = Lamps::default();
        within(20 * SECOND, "it is filled", async || get(&before, "a", &lamps).await.stored).await;

        (0..NODES).for_each(|node| cluster.freeze(node));
        let told = process.invalidate_tag("lamps", lamps.change()).await;
        assert!(matches!(told, Invalidation::Unavailable(_)), "{told:?}");
        let lookup = get(&process, "a", &lamps).await;
        assert!(matches!(lookup.miss, Some(Miss::Unavailable(_))), "{lookup:?}");
        assert_eq!((lookup.value, lookup.version), (Some(bytes(1)), v(7)));
        (0..NODES).for_each(|node| cluster.thaw(node));
        // Redis has the old value and the old barrier, and the key's version is the same.
        within(20 * SECOND, "it is found again", async || {
            let lookup = get(&process, "a", &lamps).await;
            assert_eq!(lookup.value, Some(bytes(1)), "{lookup:?}");
            lookup.tier != Tier::Origin
        })
        .await;
    }
}
