//! What a get answers, and how often the origin is asked for it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use larder::{
    CallOptions, Coalesce, Freshness, GetError, L1Options, Loaded, Miss, NamespaceOptions, State,
    Tier,
};
use larder_stack::{Topology, testing};
use tokio::time::{Instant, advance, sleep, timeout};

use crate::support::{Origin, Process, alone, bytes, connect, fails, get, memory, never, v};

const SECOND: Duration = Duration::from_secs(1);

/// A TTL of 10 s and another 20 s as a fallback.
pub(crate) fn with_fallback() -> NamespaceOptions {
    NamespaceOptions {
        ttl: Some(10 * SECOND),
        stale_for: 20 * SECOND,
        jitter: 0.0,
        ..NamespaceOptions::default()
    }
}

pub(crate) fn both_tiers() -> NamespaceOptions {
    NamespaceOptions { l1: Some(L1Options::default()), ..NamespaceOptions::default() }
}

#[tokio::test(start_paused = true)]
async fn an_answer_says_where_it_came_from() {
    let l2 = memory();
    let one = Process::new(&l2, "tiers", both_tiers());
    let other = Process::new(&l2, "tiers", both_tiers());
    let origin = Origin::default();
    origin.write();
    let lookup = get(&one, "a", &origin).await.expect("loads");
    assert_eq!((lookup.tier, lookup.miss, lookup.stored), (Tier::Origin, Some(Miss::Absent), true));
    assert_eq!((lookup.value, lookup.version), (Some(bytes(1)), v(1)));
    for (process, tier) in [(&one, Tier::L1), (&other, Tier::L2), (&other, Tier::L1)] {
        let lookup = get(process, "a", &origin).await.expect("is there");
        assert_eq!((lookup.tier, lookup.value, lookup.miss), (tier, Some(bytes(1)), None));
        assert_eq!(lookup.freshness, Freshness::Fresh);
    }
    assert_eq!(origin.loads(), 1);
    // L1 serves it no longer than it may.
    advance(SECOND).await;
    assert_eq!(get(&one, "a", &origin).await.expect("is there").tier, Tier::L2);
    let stats = one.stats();
    assert_eq!((stats.hits, stats.misses, stats.loads), (2, 1, 1));
    assert_eq!((stats.l1.hits, stats.l1.misses), (1, 2));
    assert_eq!((stats.l2.hits, stats.l2.misses), (1, 1));
    assert_eq!(stats.l1_entries, 1);
}

#[tokio::test(start_paused = true)]
async fn of_many_who_want_a_key_one_loads_in_all_processes() {
    let l2 = memory();
    let origin = Origin::slow(SECOND / 2);
    let processes: Vec<_> = (0..4).map(|_| Process::new(&l2, "herd", both_tiers())).collect();
    let herd = (0..1_000).map(|n| get(&processes[n % 4], "a", &origin));
    for answer in join_all(herd).await {
        assert_eq!(answer.expect("is loaded").value, Some(bytes(0)));
    }
    assert_eq!(origin.loads(), 1);
    let coalesced: u64 = processes.iter().map(|p| p.stats().coalesced_process).sum();
    assert_eq!(coalesced, 996);
    assert!(processes.iter().map(|p| p.stats().coalesced_cluster).sum::<u64>() >= 3);
}

#[tokio::test(start_paused = true)]
async fn loads_can_be_shared_less() {
    for (coalesce, loads) in [(Coalesce::Request, 100), (Coalesce::Process, 4)] {
        let l2 = memory();
        let origin = Origin::slow(SECOND / 2);
        let options = || NamespaceOptions { coalesce, max_concurrent_loads: 100, ..both_tiers() };
        let processes: Vec<_> = (0..4).map(|_| Process::new(&l2, "herd", options())).collect();
        let herd = (0..100).map(|n| get(&processes[n % 4], "a", &origin));
        let answers = join_all(herd).await;
        let stored = answers.iter().filter(|answer| answer.as_ref().expect("is loaded").stored);
        assert_eq!(origin.loads(), loads);
        // Of all who load, one has the lease; who joined its flight has its answer.
        let holders = if coalesce == Coalesce::Process { 25 } else { 1 };
        assert_eq!(stored.count(), holders, "{coalesce:?}");
        for process in &processes {
            assert!(get(process, "a", &origin).await.expect("is there").miss.is_none());
            assert_eq!(process.stats().coalesced_cluster, 0);
        }
        assert_eq!(origin.loads(), loads);
    }
}

#[tokio::test]
async fn of_many_who_want_a_key_one_loads_over_redis() {
    if testing::skip_without_servers("of_many_who_want_a_key_one_loads_over_redis") {
        return;
    }
    let cluster = testing::redis_cluster(Topology::ThreeByOne).await;
    let environment = testing::unique("herd");
    let mut processes = Vec::new();
    for _ in 0..4 {
        let l2 = connect(cluster.nodes()).await;
        processes.push(Process::new(&l2, &environment, NamespaceOptions::default()));
    }
    for round in 0..5 {
        let origin = Origin::slow(Duration::from_millis(150));
        let key = format!("key {round}");
        let herd = (0..400).map(|n| get(&processes[n % 4], &key, &origin));
        for answer in join_all(herd).await {
            answer.expect("is loaded");
        }
        assert_eq!(origin.loads(), 1, "round {round}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_frees_all_who_wait_and_the_next_may_try() {
    let l2 = memory();
    let one = Process::new(&l2, "fails", NamespaceOptions::default());
    let other = Process::new(&l2, "fails", NamespaceOptions::default());
    let key = "a".to_owned();
    let slow_failure = || async {
        sleep(SECOND).await;
        fails().await
    };
    let began = Instant::now();
    let waiting = async {
        sleep(SECOND / 10).await;
        let same_process = one.get_with(&key, never).await;
        let elapsed = began.elapsed();
        (same_process, elapsed)
    };
    let elsewhere = async {
        sleep(SECOND / 10).await;
        let found = other.get_with(&key, || async { Origin::default().load().await }).await;
        (found, began.elapsed())
    };
    let (first, (same, at), (next, then)) =
        tokio::join!(one.get_with(&key, slow_failure), waiting, elsewhere);
    for failed in [first, same] {
        let Err(GetError::Load(error)) = failed else { panic!("{failed:?}") };
        assert!(error.downcast_ref::<std::io::Error>().is_some());
        assert_eq!(error.to_string(), "the origin is gone");
    }
    assert!(at < SECOND + SECOND / 10, "{at:?}");
    assert_eq!(next.expect("loads itself").tier, Tier::Origin);
    assert!(then < SECOND + SECOND / 10, "woken at once: {then:?}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_a_hang_and_a_caller_who_leaves_harm_nobody() {
    let options = NamespaceOptions { load_deadline: 2 * SECOND, ..NamespaceOptions::default() };
    let process = alone(options);
    let origin = Origin::default();
    let panicking = || async {
        sleep(SECOND / 10).await;
        never().await
    };
    let answer = process.get_with(&"panic".to_owned(), panicking).await;
    assert!(matches!(answer, Err(GetError::Aborted)), "{answer:?}");
    get(&process, "panic", &origin).await.expect("the lease was given back");

    let began = Instant::now();
    let hanging =
        || async { std::future::pending::<Result<Loaded<Bytes>, std::io::Error>>().await };
    let answer = process.get_with(&"hang".to_owned(), hanging).await;
    assert!(matches!(answer, Err(GetError::Deadline(limit)) if limit == 2 * SECOND), "{answer:?}");
    assert!(began.elapsed() < 2 * SECOND + SECOND / 10);
    get(&process, "hang", &origin).await.expect("the lease was given back");

    // The one who began the load goes away; who waits for it is served by it.
    let slow = Origin::slow(SECOND);
    let leaves = timeout(SECOND / 10, get(&process, "left", &slow));
    let stays = get(&process, "left", &slow);
    let (left, stayed) = tokio::join!(leaves, stays);
    assert!(left.is_err());
    stayed.expect("the load goes on");
    assert_eq!(slow.loads(), 1);
    assert_eq!(process.stats().loads_failed, 2);
}

#[tokio::test(start_paused = true)]
async fn loads_are_capped_and_the_rest_is_shed() {
    let options = NamespaceOptions { max_concurrent_loads: 2, ..NamespaceOptions::default() };
    let process = alone(options);
    let slow = Origin::slow(SECOND * 3 / 4);
    let keys: Vec<String> = (0..6).map(|n| n.to_string()).collect();
    let answers = join_all(keys.iter().map(|key| get(&process, key, &slow))).await;
    // Two at once, two more after 0.75 s; the others would begin after 1.5 s.
    let shed = answers.iter().filter(|a| matches!(a, Err(GetError::Overloaded(_)))).count();
    assert_eq!((shed, slow.loads()), (2, 4));
    for key in &keys {
        get(&process, key, &slow).await.expect("no lease was left behind");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_gets_what_is_older_than_the_change_he_has_seen() {
    for options in [both_tiers(), NamespaceOptions::default()] {
        let l2 = memory();
        let writer = Process::new(&l2, "order", options.clone());
        let reader = Process::new(&l2, "order", options);
        let origin = Origin::slow(SECOND);
        origin.write();
        let key = "a".to_owned();
        // A load begins, reads version 1, and takes its time; meanwhile version 2 is written.
        let old = get(&reader, &key, &origin);
        let new = async {
            sleep(SECOND / 2).await;
            let version = origin.write();
            writer.invalidate(&key, version).await;
            let here = get(&writer, &key, &origin);
            let there = get(&reader, &key, &origin);
            tokio::join!(here, there)
        };
        let (old, (here, there)) = tokio::join!(old, new);
        assert_eq!(old.expect("began before the write").version, v(1));
        assert_eq!(here.expect("began after it").version, v(2));
        assert_eq!(there.expect("began after it").version, v(2));
        assert_eq!(origin.loads(), 2);
        sleep(2 * SECOND).await;
        for process in [&writer, &reader] {
            assert_eq!(get(process, &key, &origin).await.expect("is there").version, v(2));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_can_ask_for_a_version_and_a_barrier_ends_all_before_it() {
    let process = alone(both_tiers());
    let origin = Origin::default();
    let key = "a".to_owned();
    get(&process, &key, &origin).await.expect("loads");
    let version = origin.write();
    let call = CallOptions { min_version: version, ..CallOptions::default() };
    let lookup = process.get_with_by(&key, &call, || origin.clone().load()).await.expect("loads");
    assert_eq!((lookup.version, lookup.miss), (version, Some(Miss::Invalidated)));
    process.clear(2).await;
    let newer = larder::Version::new(2, 0);
    let loads = async move || Ok::<_, std::io::Error>(Loaded::found(newer, bytes(9)));
    let lookup = process.get_with(&key, loads).await.expect("loads");
    assert_eq!((lookup.version, lookup.tier), (newer, Tier::Origin));
    assert_eq!(process.get_with(&key, never).await.expect("is there").version, newer);
}

#[tokio::test(start_paused = true)]
async fn an_inspection_tells_and_changes_nothing() {
    let process = alone(NamespaceOptions { l1: Some(L1Options::default()), ..with_fallback() });
    let key = "a".to_owned();
    let nothing = process.inspect(&key).await;
    assert_eq!((nothing.l1, nothing.l2), (None, Ok(None)));
    get(&process, &key, &Origin::default()).await.expect("loads");
    advance(SECOND / 2).await;
    let before = process.stats();
    let seen = process.inspect(&key).await;
    let l2 = seen.l2.expect("answers").expect("is there");
    assert_eq!((l2.state, l2.version, l2.bytes), (State::Value, v(0), 7));
    assert_eq!(l2.expires_in, 30 * SECOND - SECOND / 2);
    assert!(!l2.leased && l2.freshness == Freshness::Fresh);
    assert_eq!(seen.l1.expect("is there").expires_in, SECOND / 2);
    advance(10 * SECOND).await;
    let seen = process.inspect(&key).await;
    assert_eq!(seen.l1, None);
    assert_eq!(seen.l2.expect("answers").expect("is there").freshness, Freshness::Stale);
    process.invalidate(&key, v(1)).await;
    let seen = process.inspect(&key).await.l2.expect("answers").expect("is there");
    assert_eq!((seen.state, seen.version), (State::Tombstone, v(1)));
    assert_eq!(process.stats().l1.hits, before.l1.hits);
    assert_eq!(process.stats().loads, 1);
}

#[tokio::test(start_paused = true)]
async fn a_publication_is_read_and_an_old_one_is_not() {
    use larder::Publication;
    let process = alone(both_tiers());
    let key = "a".to_owned();
    // Nothing was there to replace: a tombstone stands, so that no older load fills.
    assert_eq!(process.put(&key, v(2), Some(&bytes(2))).await, Publication::Guarded);
    let origin = Origin::default();
    origin.write();
    origin.write();
    get(&process, &key, &origin).await.expect("loads");
    assert_eq!(process.put(&key, v(3), Some(&bytes(3))).await, Publication::Stored);
    assert_eq!(process.put(&key, v(2), Some(&bytes(2))).await, Publication::Superseded);
    let lookup = process.get_with(&key, never).await.expect("is there");
    assert_eq!((lookup.value, lookup.tier), (Some(bytes(3)), Tier::L1));
    assert_eq!(process.put(&key, v(4), None).await, Publication::Stored);
    assert_eq!(process.get_with(&key, never).await.expect("is known").value, None);
}

#[tokio::test]
async fn what_redis_still_has_is_fresh_up_to_its_end_where_nothing_is_kept_as_a_fallback() {
    if testing::skip_without_servers("what_redis_still_has_is_fresh_up_to_its_end") {
        return;
    }
    let cluster = testing::redis_cluster(Topology::ThreeByOne).await;
    let l2 = connect(cluster.nodes()).await;
    let life = Duration::from_millis(60);
    let options = NamespaceOptions { ttl: Some(life), jitter: 0.0, ..NamespaceOptions::default() };
    let process = Process::new(&l2, &testing::unique("last-moment"), options);
    let mut found = 0;
    for key in 0..30 {
        let key = key.to_string();
        get(&process, &key, &Origin::default()).await.expect("loads");
        // Asked until its end, so in its last millisecond, too, of which Redis tells none left.
        while let Ok(lookup) = process.get_with(&key, fails).await {
            assert_eq!((lookup.tier, lookup.freshness), (Tier::L2, Freshness::Fresh), "{lookup:?}");
            found += 1;
        }
    }
    assert!(found > 30, "{found}");
}
