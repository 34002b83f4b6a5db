//! How long an answer is good for: negative, stale, reloaded, sliding.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use larder::{CallOptions, Freshness, Loaded, Miss, NamespaceOptions, Tier};
use tokio::time::{Instant, advance, sleep};

use crate::reads::{both_tiers, with_fallback};
use crate::support::{Origin, alone, bytes, fails, get, never, v};

const SECOND: Duration = Duration::from_secs(1);

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
