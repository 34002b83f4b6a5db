//! Several processes that write, and one feed: nobody goes on answering what is old.

use std::sync::Arc;
use std::time::Duration;

use larder::{
    CallOptions, Coherence, CoherenceOptions, Invalidation, L1Options, L2, Loaded,
    NamespaceOptions, RelayOptions, Tag, Tier, Version,
};
use larder_stack::Topology;
use larder_stack::testing::{self, TestRedis};

use crate::feed::Commits;
use crate::support::{Origin, Process, bytes, connect, fails, get, memory, never, v, within};

/// Far above what telling takes, far below the life of an entry.
const SOON: Duration = Duration::from_secs(2);

/// Both tiers, with entries that live on unless something ends them.
fn lasting() -> NamespaceOptions {
    let hour = Duration::from_secs(3_600);
    NamespaceOptions {
        ttl: Some(hour),
        l1: Some(L1Options { ttl: hour, ..L1Options::default() }),
        ..NamespaceOptions::default()
    }
}

/// The two tiers that every promise is held on.
async fn both(test: &str) -> Vec<(Arc<L2>, String, Option<TestRedis>)> {
    let mut tiers = vec![(memory(), "memory".to_owned(), None)];
    if !testing::skip_without_servers(test) {
        let cluster = testing::redis_cluster(Topology::ThreeByZero).await;
        let l2 = connect(cluster.nodes()).await;
        tiers.push((l2, testing::unique("coherence"), Some(cluster)));
    }
    tiers
}

/// A process that hears what others write.
async fn process(l2: &Arc<L2>, environment: &str) -> (Process, Arc<Coherence>) {
    let coherence = Coherence::between_processes(environment, l2, &CoherenceOptions::default());
    let process = Process::new(l2, environment, lasting()).coherent(&coherence);
    within(SOON, "the backplane is heard", async || coherence.is_proven()).await;
    (process, coherence)
}

async fn fed(
    l2: &Arc<L2>,
    environment: &str,
    commits: &Arc<Commits>,
    n: u64,
) -> (Process, Arc<Coherence>) {
    let options = CoherenceOptions {
        relay: RelayOptions { clear_above: 50, ..RelayOptions::default() },
        ..CoherenceOptions::default()
    };
    let coherence = Coherence::with_feed(environment, l2, &options, commits.feed(n));
    let process = Process::new(l2, environment, lasting()).coherent(&coherence);
    within(SOON, "the backplane is heard", async || coherence.is_proven()).await;
    (process, coherence)
}

async fn tier(process: &Process, key: &str, origin: &Origin) -> (Tier, Version) {
    let lookup = get(process, key, origin).await.expect("the origin answers");
    (lookup.tier, lookup.version)
}

#[tokio::test]
async fn what_one_process_writes_all_others_let_go_of() {
    for (l2, environment, _cluster) in both("what_one_process_writes").await {
        let (writer, _one) = process(&l2, &environment).await;
        let (reader, _two) = process(&l2, &environment).await;
        let origin = Origin::default();
        for key in ["a", "b"] {
            get(&writer, key, &origin).await.expect("loads");
            get(&reader, key, &origin).await.expect("is there");
            assert_eq!(tier(&reader, key, &origin).await.0, Tier::L1);
        }
        let version = origin.write();
        assert_eq!(writer.invalidate(&"a".to_owned(), version).await, Invalidation::Done);
        within(SOON, "the reader lets go of it", async || {
            tier(&reader, "a", &origin).await.1 == version
        })
        .await;
        assert_eq!(tier(&reader, "b", &origin).await, (Tier::L1, v(0)));
        // It hears of others, not of itself.
        assert_eq!(writer.stats().invalidations_backplane, 0);
        assert_eq!(reader.stats().invalidations_backplane, 1);

        // A value that was published, too.
        let version = origin.write();
        writer.put(&"b".to_owned(), version, Some(&bytes(2))).await;
        within(SOON, "the reader lets go of it", async || {
            tier(&reader, "b", &origin).await.1 == version
        })
        .await;
    }
}

#[tokio::test]
async fn tags_and_epochs_reach_other_processes() {
    for (l2, environment, _cluster) in both("tags_and_epochs_reach_other_processes").await {
        let (writer, _one) = process(&l2, &environment).await;
        let (reader, _two) = process(&l2, &environment).await;
        let key = "a".to_owned();
        let tagged = |counter| async move {
            let value = Loaded::found(v(1), bytes(counter));
            Ok::<_, std::io::Error>(value.with_tags([Tag::new("brand", v(counter))]))
        };
        reader.get_with(&key, || tagged(1)).await.expect("loads");
        assert_eq!(reader.get_with(&key, never).await.expect("is there").tier, Tier::L1);
        assert_eq!(writer.invalidate_tag("brand", v(2)).await, Invalidation::Done);
        within(SOON, "the tag's values are let go of", async || {
            let lookup = reader.get_with(&key, || tagged(2)).await.expect("loads");
            lookup.value == Some(bytes(2))
        })
        .await;

        assert_eq!(writer.clear(2).await, Invalidation::Done);
        let newer = Version::new(2, 0);
        within(SOON, "all of the older epoch is let go of", async || {
            let load = async move || Ok::<_, std::io::Error>(Loaded::found(newer, bytes(3)));
            reader.get_with(&key, load).await.expect("loads").version == newer
        })
        .await;
    }
}

#[tokio::test]
async fn without_proof_the_tier_in_this_process_is_not_used_and_stands_in_when_a_load_fails() {
    let l2 = memory();
    let coherence = Coherence::between_processes("e", &l2, &CoherenceOptions::default());
    let stale_for = Duration::from_secs(60);
    let options = NamespaceOptions { stale_for, l2: false, ..lasting() };
    let process = Process::new(&l2, "e", options).coherent(&coherence);
    within(SOON, "the backplane is heard", async || coherence.is_proven()).await;
    let origin = Origin::default();
    get(&process, "a", &origin).await.expect("loads");
    assert_eq!(tier(&process, "a", &origin).await.0, Tier::L1);
    // Its tasks are gone: nothing is heard any more. (The cache holds on to it, as to all.)
    coherence.close();
    within(SOON, "the proof runs out", async || !coherence.is_proven()).await;
    assert_eq!(tier(&process, "a", &origin).await.0, Tier::Origin);
    let stands_in = process.get_with(&"a".to_owned(), fails).await.expect("there is a fallback");
    assert_eq!((stands_in.tier, stands_in.freshness), (Tier::L1, larder::Freshness::Stale));
    let only_fresh = CallOptions { only_fresh: true, ..CallOptions::default() };
    assert!(process.get_with_by(&"a".to_owned(), &only_fresh, fails).await.is_err());
}

#[tokio::test]
async fn what_nobody_tells_the_feed_tells_and_another_process_takes_over() {
    for (l2, environment, _cluster) in both("what_nobody_tells_the_feed_tells").await {
        let commits = Arc::new(Commits::default());
        let origin = Origin::default();
        let (one, first) = fed(&l2, &environment, &commits, 1).await;
        within(SOON, "it relays", async || first.relay().is_active()).await;
        let (other, second) = fed(&l2, &environment, &commits, 2).await;
        let seen = async |version: Version| {
            within(SOON, "both see it", async || {
                tier(&one, "a", &origin).await.1 == version
                    && tier(&other, "a", &origin).await.1 == version
            })
            .await;
        };
        seen(v(0)).await;
        commits.commit("a", origin.write());
        seen(v(1)).await;
        assert!(!second.relay().is_active());

        // The one that relays is gone, as in a crash.
        first.close();
        commits.commit("a", origin.write());
        within(Duration::from_secs(5), "the other takes over", async || {
            second.relay().is_active() && tier(&other, "a", &origin).await.1 == v(2)
        })
        .await;
        assert_eq!(commits.holder(), Some(2));
    }
}

#[tokio::test]
async fn too_much_to_tell_clears_the_namespace() {
    for (l2, environment, _cluster) in both("too_much_to_tell_clears_the_namespace").await {
        let commits = Arc::new(Commits::default());
        let (process, coherence) = fed(&l2, &environment, &commits, 1).await;
        within(SOON, "it relays", async || coherence.relay().is_active()).await;
        let key = "n7".to_owned();
        let load =
            |version| async move { Ok::<_, std::io::Error>(Loaded::found(version, bytes(1))) };
        process.get_with(&key, || load(v(1))).await.expect("loads");
        assert_eq!(process.get_with(&key, never).await.expect("is there").tier, Tier::L1);
        for n in 0..200 {
            commits.commit(&format!("n{n}"), v(2));
        }
        within(SOON, "all is cleared", async || {
            let now = Version::new(commits.epoch("things"), 2);
            let lookup = process.get_with(&key, || load(now)).await.expect("loads");
            lookup.version == now && now.epoch > 1
        })
        .await;
        assert!(coherence.relay().clears() >= 1);
    }
}

#[tokio::test]
async fn an_epoch_that_moved_unheard_is_known_before_anything_older_is_answered() {
    let l2 = memory();
    let commits = Arc::new(Commits::default());
    let (one, _first) = fed(&l2, "e", &commits, 1).await;
    let key = "a".to_owned();
    let old = async || Ok::<_, std::io::Error>(Loaded::found(v(1), bytes(1)));
    one.get_with(&key, old).await.expect("loads");
    // Moved while this process was not there; nobody is left to tell.
    commits.move_epoch("things", 2);
    let (two, _second) = fed(&l2, "e", &commits, 2).await;
    let now = Version::new(2, 1);
    let load = async move || Ok::<_, std::io::Error>(Loaded::found(now, bytes(2)));
    assert_eq!(two.get_with(&key, load).await.expect("loads").version, now);
}

/// A process that goes by its TTL.
async fn aloof(l2: &Arc<L2>, environment: &str) -> (Process, Arc<Coherence>) {
    let coherence = Coherence::between_processes(environment, l2, &CoherenceOptions::default());
    let options = NamespaceOptions { coherent: false, ..lasting() };
    let process = Process::new(l2, environment, options).coherent(&coherence);
    within(SOON, "the backplane is heard", async || coherence.is_proven()).await;
    (process, coherence)
}

#[tokio::test]
async fn what_is_invalidated_by_name_also_those_who_go_by_their_ttl_let_go_of() {
    for (l2, environment, _cluster) in both("what_is_invalidated_by_name_also_those").await {
        let (writer, _one) = aloof(&l2, &environment).await;
        let (reader, second) = aloof(&l2, &environment).await;
        let origin = Origin::default();
        for key in ["a", "b", "c"] {
            get(&writer, key, &origin).await.expect("loads");
            get(&reader, key, &origin).await.expect("is there");
            assert_eq!(tier(&reader, key, &origin).await, (Tier::L1, v(0)));
        }
        let version = origin.write();
        assert_eq!(writer.invalidate(&"a".to_owned(), version).await, Invalidation::Done);
        within(SOON, "the reader lets go of it", async || {
            tier(&reader, "a", &origin).await.1 == version
        })
        .await;
        assert_eq!(tier(&reader, "b", &origin).await, (Tier::L1, v(0)));

        // What it holds it answers also while it hears nothing.
        second.close();
        within(SOON, "the proof runs out", async || !second.is_proven()).await;
        assert_eq!(tier(&reader, "b", &origin).await, (Tier::L1, v(0)));
        let (late, _third) = aloof(&l2, &environment).await;
        get(&late, "b", &origin).await.expect("is there");
        assert_eq!(writer.clear(2).await, Invalidation::Done);
        let newer = Version::new(2, 0);
        within(SOON, "all of the older epoch is let go of", async || {
            let load = async move || Ok::<_, std::io::Error>(Loaded::found(newer, bytes(3)));
            late.get_with(&"b".to_owned(), load).await.expect("loads").version == newer
        })
        .await;
    }
}

#[tokio::test]
async fn a_namespace_that_goes_by_its_ttl_is_left_alone() {
    let l2 = memory();
    let commits = Arc::new(Commits::default());
    let coherence = Coherence::with_feed("e", &l2, &CoherenceOptions::default(), commits.feed(1));
    // Set up for the epoch of the feed: since a later one, others might be told what it leaves alone.
    let options = NamespaceOptions { coherent: false, floor_epoch: 1, ..lasting() };
    let process = Process::new(&l2, "e", options).coherent(&coherence);
    within(SOON, "it relays", async || coherence.relay().is_active()).await;
    let origin = Origin::default();
    get(&process, "a", &origin).await.expect("loads");
    commits.commit("a", origin.write());
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(tier(&process, "a", &origin).await, (Tier::L1, v(0)));
    assert_eq!(coherence.relay().relayed(), 0);
}
