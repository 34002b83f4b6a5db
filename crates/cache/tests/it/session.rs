//! What a caller gets who has seen a version.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use larder::{
    CallOptions, GetError, Invalidation, L1Options, Loaded, Lookup, Miss, NamespaceOptions, Tier,
    Version,
};
use larder_stack::{Topology, testing};
use tokio::time::{sleep, timeout};

use crate::support::{Origin, Process, alone, bytes, connect, get, memory, never, v, within};

const SECOND: Duration = Duration::from_secs(1);

fn both_tiers() -> NamespaceOptions {
    let l1 = L1Options { ttl: 600 * SECOND, ..L1Options::default() };
    NamespaceOptions { l1: Some(l1), ..NamespaceOptions::default() }
}

async fn not_older(
    process: &Process,
    than: Version,
    origin: &Origin,
) -> Result<Lookup<Bytes>, GetError> {
    let call = CallOptions { min_version: than, ..CallOptions::default() };
    process.get_with_by(&"a".to_owned(), &call, || origin.clone().load()).await
}

#[tokio::test(start_paused = true)]
async fn a_load_that_began_before_the_version_is_no_answer_wherever_it_runs() {
    for here in [true, false] {
        let l2 = memory();
        let [writer, reader] = [(); 2].map(|()| Process::new(&l2, "session", both_tiers()));
        let origin = Origin::slow(SECOND);
        origin.write();
        // The load has read version 1 and takes its time; nobody invalidates what it fills.
        let old = get(if here { &reader } else { &writer }, "a", &origin);
        let asked = async {
            sleep(SECOND / 2).await;
            let version = origin.write();
            not_older(&reader, version, &origin).await
        };
        let (old, asked) = tokio::join!(old, asked);
        assert_eq!(old.expect("loads").version, v(1));
        let asked = asked.expect("loads");
        assert_eq!((asked.version, asked.value, asked.tier), (v(2), Some(bytes(2)), Tier::Origin));
        assert_eq!(origin.loads(), 2);
        // It has replaced what was there, in both tiers.
        for process in [&reader, &writer] {
            let lookup = process.get_with(&"a".to_owned(), never).await;
            let version = lookup.expect("is there").version;
            assert!(version == v(2) || (!here && version == v(1)), "{version}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_version_that_does_not_exist_is_answered_by_the_origin_at_once() {
    let l2 = memory();
    let processes = [(); 2].map(|()| Process::new(&l2, "session", both_tiers()));
    let origin = Origin::slow(SECOND / 10);
    let newest = origin.write();
    get(&processes[0], "a", &origin).await.expect("loads");
    let bogus = Version::new(u32::MAX, u64::MAX);
    let herd = (0..1_000).map(|n| not_older(&processes[n % 2], bogus, &origin));
    // As they come: not one after the other.
    let herd = timeout(SECOND, join_all(herd)).await.expect("nobody waits for all others");
    for lookup in herd {
        let lookup = lookup.expect("is loaded");
        assert_eq!((lookup.version, lookup.tier), (newest, Tier::Origin));
    }
    assert!(origin.loads() <= 6, "{}", origin.loads());
    // A bogus version leaves nothing behind.
    for process in &processes {
        let lookup = process.get_with(&"a".to_owned(), never).await.expect("is there");
        assert_eq!(lookup.version, newest);
    }
    let alone = alone(NamespaceOptions { l2: false, ..both_tiers() });
    for _ in 0..3 {
        let lookup = not_older(&alone, bogus, &origin).await.expect("is loaded");
        assert_eq!((lookup.version, lookup.tier), (newest, Tier::Origin));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_invalidated_while_a_writer_read_it_anew_does_not_enter() {
    for l2 in [false, true] {
        let process = alone(NamespaceOptions { l2, ..both_tiers() });
        let key = "a".to_owned();
        let loaded = |counter| Ok::<_, std::io::Error>(Loaded::found(v(counter), bytes(counter)));
        let written = process.republish(&key, v(5), async {
            // It was read; then this process hears of the next write.
            process.invalidate(&key, v(6)).await;
            loaded(5)
        });
        Box::pin(written).await;
        let lookup =
            process.get_with(&key, move || std::future::ready(loaded(6))).await.expect("loads");
        assert_eq!((lookup.version, lookup.tier), (v(6), Tier::Origin), "l2: {l2}");
    }
}

/// While Redis does not answer, a load shows what is committed; when it answers again, it has what was
/// there before. `l1`: whether the process has a tier of its own; `told`: whether it makes the write
/// itself, or only sees it.
async fn what_redis_missed_is_not_answered_after_it(l1: bool, told: bool) {
    const NODES: usize = 3;
    let mut cluster = testing::private_redis_cluster(Topology::ThreeByZero).await;
    let l2 = connect(cluster.nodes()).await;
    let options = if l1 { both_tiers() } else { NamespaceOptions::default() };
    let [before, process] = [(); 2].map(|()| Process::new(&l2, "ahead", options.clone()));
    let origin = Origin::default();
    let old = origin.write();
    within(20 * SECOND, "it is filled", async || {
        get(&before, "a", &origin).await.expect("loads").stored
    })
    .await;

    (0..NODES).for_each(|node| cluster.freeze(node));
    let new = origin.write();
    if told {
        let invalidated = process.invalidate(&"a".to_owned(), new).await;
        assert!(matches!(invalidated, Invalidation::Unavailable(_)), "{invalidated:?}");
    } else {
        let lookup = get(&process, "a", &origin).await.expect("Redis is no reason to fail");
        assert!(matches!(lookup.miss, Some(Miss::Unavailable(_))), "{lookup:?}");
        assert_eq!((lookup.version, lookup.stored), (new, false));
    }
    (0..NODES).for_each(|node| cluster.thaw(node));
    // Nobody invalidates what is there: the first who reads it puts it right, for all others too.
    within(20 * SECOND, "it is found again", async || {
        let lookup = get(&process, "a", &origin).await.expect("Redis is no reason to fail");
        assert_eq!(lookup.version, new, "{lookup:?}");
        lookup.tier != Tier::Origin
    })
    .await;
    let third = Process::new(&l2, "ahead", options);
    within(20 * SECOND, "others find it", async || {
        let lookup = get(&third, "a", &origin).await.expect("Redis is no reason to fail");
        assert!(lookup.version == new && new > old, "{lookup:?}");
        lookup.tier == Tier::L2
    })
    .await;
}

#[tokio::test]
async fn a_process_does_not_go_back_behind_what_it_has_loaded_past_redis() {
    if testing::skip_without_servers("a_process_does_not_go_back") {
        return;
    }
    for l1 in [false, true] {
        what_redis_missed_is_not_answered_after_it(l1, false).await;
    }
}

#[tokio::test]
async fn a_process_does_not_go_back_behind_a_write_that_redis_was_not_told_of() {
    if testing::skip_without_servers("a_process_does_not_go_back_behind_a_write") {
        return;
    }
    for l1 in [false, true] {
        what_redis_missed_is_not_answered_after_it(l1, true).await;
    }
}
