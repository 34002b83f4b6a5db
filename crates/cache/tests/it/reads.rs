//! What a get answers, and how often the origin is asked for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
fn with_fallback() -> NamespaceOptions {
    NamespaceOptions {
        ttl: Some(10 * SECOND),
        stale_for: 20 * SECOND,
        jitter: 0.0,
        ..NamespaceOptions::default()
    }
}

fn both_tiers() -> NamespaceOptions {
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
async fn what_the_origin_does_not_have_is_remembered_for_a_while() {
    let process = alone(both_tiers());
    let loads = AtomicU64::new(0);
    let absent = || {
        loads.fetch_add(1, Ordering::SeqCst);
        async { Ok::<_, std::io::Error>(Loaded::absent(v(0))) }
    };
    let key = "nothing".to_owned();
    for _ in 0..100 {
        let lookup = process.get_with(&key, absent).await.expect("is known to be absent");
        assert_eq!(lookup.value, None);
        advance(SECOND / 20).await;
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    let stats = process.stats();
    assert!(stats.l1.negative > 0 && stats.l2.negative > 0, "{stats:?}");
    advance(10 * SECOND).await;
    process.get_with(&key, absent).await.expect("is asked for again");
    assert_eq!(loads.load(Ordering::SeqCst), 2);
    // Once it is created, nobody is told that it is not there.
    process.invalidate(&key, v(1)).await;
    let origin = Origin::default();
    origin.write();
    assert_eq!(get(&process, &key, &origin).await.expect("loads").value, Some(bytes(1)));
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_stands_in_for_a_load_that_fails_and_spares_the_origin() {
    let process = alone(with_fallback());
    let origin = Origin::default();
    let key = "a".to_owned();
    get(&process, &key, &origin).await.expect("loads");
    advance(11 * SECOND).await;
    let tries = AtomicU64::new(0);
    let failing = || {
        tries.fetch_add(1, Ordering::SeqCst);
        fails()
    };
    for _ in 0..10 {
        let lookup = process.get_with(&key, failing).await.expect("a stale value stands in");
        assert_eq!(lookup.freshness, Freshness::Stale);
    }
    assert_eq!(tries.load(Ordering::SeqCst), 1, "for a second nobody tries again");
    advance(SECOND).await;
    process.get_with(&key, failing).await.expect("a stale value stands in");
    assert_eq!(tries.load(Ordering::SeqCst), 2);
    let only_fresh = CallOptions { only_fresh: true, ..CallOptions::default() };
    assert!(process.get_with_by(&key, &only_fresh, failing).await.is_err());
    // The origin is back.
    advance(SECOND).await;
    let lookup = get(&process, &key, &origin).await.expect("loads");
    assert_eq!((lookup.tier, lookup.miss), (Tier::Origin, Some(Miss::Stale)));
    // Past its window it is gone.
    advance(30 * SECOND).await;
    assert!(process.get_with(&key, fails).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_is_served_while_it_is_replaced() {
    let options = NamespaceOptions { stale_while_revalidate: true, ..with_fallback() };
    let process = alone(options);
    let origin = Origin::slow(SECOND);
    get(&process, "a", &origin).await.expect("loads");
    advance(11 * SECOND).await;
    let began = Instant::now();
    for _ in 0..5 {
        let lookup = get(&process, "a", &origin).await.expect("is stale");
        assert_eq!((lookup.tier, lookup.freshness), (Tier::L2, Freshness::Stale));
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    sleep(2 * SECOND).await;
    let lookup = get(&process, "a", &origin).await.expect("was replaced");
    assert_eq!((lookup.tier, lookup.freshness), (Tier::L2, Freshness::Fresh));
    assert_eq!((origin.loads(), process.stats().refreshes), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_slow_load_is_not_waited_for_and_fills_in_the_end() {
    let options = NamespaceOptions { soft_timeout: Some(SECOND / 10), ..with_fallback() };
    let process = alone(options);
    let origin = Origin::slow(SECOND);
    get(&process, "a", &origin).await.expect("nothing could stand in for it");
    advance(11 * SECOND).await;
    let began = Instant::now();
    let lookup = get(&process, "a", &origin).await.expect("is stale");
    assert_eq!(lookup.freshness, Freshness::Stale);
    assert!(began.elapsed() < SECOND / 5, "{:?}", began.elapsed());
    sleep(2 * SECOND).await;
    let lookup = get(&process, "a", &origin).await.expect("was filled");
    assert_eq!((lookup.freshness, origin.loads()), (Freshness::Fresh, 2));
}

#[tokio::test(start_paused = true)]
async fn values_are_reloaded_before_they_go_stale() {
    let options = NamespaceOptions { refresh_beta: 1.0, ..with_fallback() };
    let process = alone(options);
    let origin = Origin::slow(SECOND / 2);
    let mut slowest = Duration::ZERO;
    get(&process, "a", &origin).await.expect("loads");
    for _ in 0..2_000 {
        let began = Instant::now();
        let lookup = get(&process, "a", &origin).await.expect("is there");
        assert_eq!(lookup.freshness, Freshness::Fresh);
        slowest = slowest.max(began.elapsed());
        sleep(Duration::from_millis(50)).await;
    }
    // 100 s with a TTL of 10 s: about ten reloads, hardly any of them waited for: only one that
    // happens to begin within its own length of the end, and then not for all of it.
    assert!(slowest < origin.delay, "{slowest:?}");
    assert!((9..20).contains(&origin.loads()), "{}", origin.loads());
    assert_eq!(process.stats().refreshes, origin.loads() - 1);
}

#[tokio::test(start_paused = true)]
async fn lives_slide_scatter_and_can_be_a_values_own() {
    let ttl = Some(10 * SECOND);
    let sliding =
        alone(NamespaceOptions { ttl, jitter: 0.0, sliding: true, ..NamespaceOptions::default() });
    let origin = Origin::default();
    for _ in 0..20 {
        get(&sliding, "a", &origin).await.expect("is there");
        sleep(6 * SECOND).await;
    }
    assert_eq!(origin.loads(), 1);

    let scattered = alone(NamespaceOptions { ttl, jitter: 0.5, ..NamespaceOptions::default() });
    let mut lives = Vec::new();
    for n in 0..100 {
        let lookup = get(&scattered, &n.to_string(), &origin).await.expect("loads");
        lives.push(lookup.remaining.expect("has a TTL"));
    }
    lives.sort();
    assert!(lives[0] >= 5 * SECOND && lives[99] <= 10 * SECOND, "{lives:?}");
    assert!(lives[90] - lives[10] > 2 * SECOND, "{lives:?}");

    let key = "own".to_owned();
    let brief =
        || async { Ok::<_, std::io::Error>(Loaded::found(v(1), bytes(1)).with_ttl(SECOND)) };
    let never_stored = || async {
        Ok::<_, std::io::Error>(Loaded::found(v(1), bytes(1)).with_ttl(Duration::ZERO))
    };
    let process = alone(NamespaceOptions { ttl, jitter: 0.0, ..NamespaceOptions::default() });
    process.get_with(&key, brief).await.expect("loads");
    assert!(process.get_with(&key, never).await.is_ok());
    advance(SECOND).await;
    assert!(!process.get_with(&key, never_stored).await.expect("loads").stored);
    assert_eq!(process.inspect(&key).await.l2, Ok(None));
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
async fn what_is_missing_of_many_is_loaded_at_once() {
    let l2 = memory();
    let batches = Arc::new(std::sync::Mutex::new(Vec::new()));
    let processes: Vec<_> = (0..2)
        .map(|_| {
            let process = Process::new(&l2, "many", both_tiers());
            let source = Batches(Arc::clone(&batches));
            process.with_source(source)
        })
        .collect();
    let keys: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    let (one, other) =
        tokio::join!(processes[0].get_many(&keys), processes[1].get_many(&keys[5..]));
    for (key, answer) in keys.iter().zip(one).chain(keys[5..].iter().zip(other)) {
        assert_eq!(answer.expect("is loaded").value, Some(Bytes::from(key.clone())));
    }
    let mut loaded: Vec<String> = batches.lock().expect("no panic").concat();
    loaded.sort();
    assert_eq!(loaded, keys, "each key once");
    let before = batches.lock().expect("no panic").len();
    assert!(before <= 2, "{before}");
    // In their order, also where one is asked for twice; nothing is loaded any more.
    let twice = ["3".to_owned(), "1".to_owned(), "3".to_owned()];
    let answers = processes[0].get_many(&twice).await;
    let values: Vec<_> = answers.into_iter().map(|a| a.expect("is there").value).collect();
    assert_eq!(values, ["3", "1", "3"].map(|key| Some(Bytes::from(key))));
    // A key that the source leaves out is its own failure.
    let answers = processes[0].get_many(&["1".to_owned(), "left out".to_owned()]).await;
    assert!(answers[0].is_ok() && matches!(answers[1], Err(GetError::Load(_))), "{answers:?}");
    assert_eq!(batches.lock().expect("no panic").len(), before + 1);
}

#[tokio::test]
async fn of_a_hundred_keys_asked_for_in_tens_each_is_loaded_once_over_redis() {
    if testing::skip_without_servers("of_a_hundred_keys_asked_for_in_tens") {
        return;
    }
    let cluster = testing::redis_cluster(Topology::ThreeByOne).await;
    let environment = testing::unique("tens");
    let batches = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut processes = Vec::new();
    for _ in 0..4 {
        let l2 = connect(cluster.nodes()).await;
        let process = Process::new(&l2, &environment, both_tiers());
        processes.push(process.with_source(Batches(Arc::clone(&batches))));
    }
    let keys: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    // Each process asks for all, in tens that overlap the others' by half.
    let asked = processes.iter().enumerate().flat_map(|(number, process)| {
        let keys = &keys;
        (0..10).map(move |ten| {
            let from = ten * 10 + number % 2 * 5;
            let some: Vec<String> = (from..from + 10).map(|n| keys[n % 100].clone()).collect();
            async move { (process.get_many(&some).await, some) }
        })
    });
    for (answers, some) in join_all(asked).await {
        for (answer, key) in answers.into_iter().zip(some) {
            assert_eq!(answer.expect("is loaded").value, Some(Bytes::from(key)));
        }
    }
    let mut loaded: Vec<String> = batches.lock().expect("no panic").concat();
    loaded.sort();
    let mut expected = keys;
    expected.sort();
    assert_eq!(loaded, expected);
}

/// A source that remembers what was asked for at once.
#[derive(Clone)]
struct Batches(Arc<std::sync::Mutex<Vec<Vec<String>>>>);

impl larder::Source<String, Bytes> for Batches {
    fn load(&self, key: String) -> larder::Load<Loaded<Bytes>> {
        let all = self.load_many(vec![key]);
        Box::pin(async { Ok(all.await?.remove(0).1) })
    }

    fn load_many(&self, keys: Vec<String>) -> larder::Load<Vec<(String, Loaded<Bytes>)>> {
        let batches = Arc::clone(&self.0);
        Box::pin(async move {
            sleep(SECOND / 10).await;
            batches.lock().expect("no panic").push(keys.clone());
            let found = keys.into_iter().filter(|key| key != "left out");
            Ok(found.map(|key| (key.clone(), Loaded::found(v(1), Bytes::from(key)))).collect())
        })
    }
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
