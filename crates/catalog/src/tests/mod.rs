//! The strategies over an in-memory store and the in-memory tier.

mod store;
mod write_behind;
mod write_through;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use catalog_domain::{
    Change, Currency, ListRequest, Listing, NewProduct, NewReview, Newest, Price, ProductId,
    ProductName, ProductPage, ProductPatch, ProductReplacement, ProductRepository, ProductSummary,
    RepositoryError, ReviewId, Revised, Revision, Sku, View, Written,
};
use futures_util::FutureExt;
use larder::testing::MemoryJournal;
use larder::{CallOptions, L1Options, L2, MemoryTier, NamespaceOptions, Tier};
use tokio::sync::Notify;

use self::store::Store;
use crate::{
    Catalogue, CatalogueError, Condition, NamespaceSettings, Shared, Source, Strategy, Tiers,
};

fn settings(strategy: Strategy) -> NamespaceSettings {
    let timed = matches!(strategy, Strategy::Ttl | Strategy::RefreshAhead);
    let ttl = timed.then_some(Duration::from_secs(10));
    let tiers = if strategy == Strategy::None { Tiers::None } else { Tiers::L2 };
    let options = NamespaceOptions { ttl, ..NamespaceOptions::default() };
    NamespaceSettings { strategy, tiers, options, l1: L1Options::default() }
}

fn catalogue(strategy: Strategy) -> (Store, Catalogue<Store>) {
    let shared = Shared {
        environment: "test".to_owned(),
        l2: Arc::new(L2::Memory(MemoryTier::default())),
        metrics: Arc::default(),
        coherence: None,
    };
    let store = Store::default();
    store.set(id(), 100);
    let catalogue = Catalogue::new(store.clone(), shared, |_| settings(strategy)).expect("valid");
    (store, catalogue)
}

fn id() -> ProductId {
    ProductId::try_from(7).expect("an id")
}

fn price(minor: i64) -> ProductPatch {
    let currency = Currency::try_from("EUR".to_owned()).expect("a currency");
    ProductPatch { price: Price::new(minor, currency).ok(), ..ProductPatch::default() }
}

/// The price that a reader sees, and where it came from.
async fn read(catalogue: &Catalogue<Store>) -> (i64, Source) {
    let reply = catalogue.summary(id(), &CallOptions::default()).await.expect("answers");
    let body = reply.body.expect("is there");
    let json: serde_json::Value = serde_json::from_slice(&body).expect("is JSON");
    (json["price"]["minor"].as_i64().expect("a number"), reply.status.source)
}

const HIT: Source = Source::Hit(Tier::L2);

#[tokio::test]
async fn who_invalidates_loads_once_and_sees_every_write() {
    let invalidating = [
        Strategy::CacheAside,
        Strategy::ReadThrough,
        Strategy::WriteBehind,
        Strategy::RefreshAhead,
    ];
    for strategy in invalidating {
        for (tiers, tier) in [(Tiers::L1, Tier::L1), (Tiers::L2, Tier::L2), (Tiers::L1L2, Tier::L1)]
        {
            let (store, catalogue) = catalogue(strategy);
            let chosen = NamespaceSettings { tiers, ..settings(strategy) };
            catalogue.switch(View::ProductSummary, chosen).expect("valid");
            assert_eq!(read(&catalogue).await, (100, Source::Miss("absent")));
            assert_eq!(read(&catalogue).await, (100, Source::Hit(tier)));
            catalogue.patch(id(), price(200), Condition::None).await.expect("writes");
            let why = if tiers == Tiers::L1 { "absent" } else { "invalidated" };
            assert_eq!(read(&catalogue).await, (200, Source::Miss(why)));
            assert_eq!(read(&catalogue).await, (200, Source::Hit(tier)));
            assert_eq!(store.loads(), 2, "{strategy} {tiers}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn refresh_ahead_reloads_before_anybody_has_to_wait() {
    let (store, catalogue) = catalogue(Strategy::RefreshAhead);
    read(&catalogue).await;
    // A load that took no time is not worth it; one of a second is.
    let gate = Arc::new(Notify::new());
    *store.0.gate.lock().unwrap() = Some(Arc::clone(&gate));
    catalogue.patch(id(), price(200), Condition::None).await.expect("writes");
    let slow = tokio::spawn({
        let catalogue = catalogue.clone();
        async move { read(&catalogue).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    gate.notify_one();
    assert_eq!(slow.await.expect("no panic"), (200, Source::Miss("invalidated")));
    *store.0.gate.lock().unwrap() = None;
    for _ in 0..95 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(read(&catalogue).await, (200, HIT));
    }
    assert!(store.loads() > 2, "{}", store.loads());
}

#[tokio::test]
async fn an_absent_product_is_remembered_until_it_is_there() {
    let (store, catalogue) = catalogue(Strategy::ReadThrough);
    let other = ProductId::try_from(8).expect("an id");
    for source in [Source::Miss("absent"), HIT, HIT] {
        let reply = catalogue.summary(other, &CallOptions::default()).await.expect("answers");
        assert_eq!((reply.body, reply.status.source), (None, source));
    }
    assert_eq!(store.loads(), 1);
    catalogue.patch(other, price(5), Condition::None).await.expect("writes");
    assert!(
        catalogue.summary(other, &CallOptions::default()).await.expect("answers").body.is_some()
    );
}

#[tokio::test]
async fn none_asks_postgres_each_time_and_ttl_only_once_per_ttl() {
    let (store, without) = catalogue(Strategy::None);
    for _ in 0..3 {
        assert_eq!(read(&without).await, (100, Source::Bypass("strategy-none")));
    }
    assert_eq!(store.loads(), 3);

    tokio::time::pause();
    let (store, ttl) = catalogue(Strategy::Ttl);
    read(&ttl).await;
    ttl.patch(id(), price(200), Condition::None).await.expect("writes");
    assert_eq!(read(&ttl).await, (100, HIT), "a write leaves the entry alone");
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(read(&ttl).await, (200, Source::Miss("absent")));
    assert_eq!(store.loads(), 2);
}

#[tokio::test]
async fn a_load_that_a_write_has_overtaken_is_not_stored() {
    let (store, catalogue) = catalogue(Strategy::CacheAside);
    let gate = Arc::new(Notify::new());
    *store.0.gate.lock().unwrap() = Some(Arc::clone(&gate));
    let slow = tokio::spawn({
        let catalogue = catalogue.clone();
        async move { read(&catalogue).await.0 }
    });
    while store.loads() == 0 {
        tokio::task::yield_now().await;
    }
    *store.0.gate.lock().unwrap() = None;
    catalogue.patch(id(), price(200), Condition::None).await.expect("writes");
    gate.notify_one();
    assert_eq!(slow.await.expect("no panic"), 100, "it read before the write");
    assert_eq!(read(&catalogue).await.0, 200, "and what it read was not stored");
    let stats = catalogue.shared().metrics.stats()["product-summary"];
    assert_eq!((stats.fills_rejected, stats.hits + stats.misses), (1, 2));
}

#[tokio::test]
async fn a_write_is_finished_when_its_client_has_gone() {
    let (_, catalogue) = catalogue(Strategy::CacheAside);
    read(&catalogue).await;
    // Polled once, then dropped: the client hangs up.
    assert!(catalogue.patch(id(), price(200), Condition::None).now_or_never().is_none());
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while read(&catalogue).await.0 != 200 {
        assert!(tokio::time::Instant::now() < deadline, "the entry was never invalidated");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn entries_of_another_strategy_are_not_trusted_after_a_switch() {
    let (_, catalogue) = catalogue(Strategy::CacheAside);
    read(&catalogue).await;
    catalogue.switch(View::ProductSummary, settings(Strategy::None)).expect("valid");
    catalogue.patch(id(), price(200), Condition::None).await.expect("writes");
    let mut back = settings(Strategy::CacheAside);
    // What adopting a strategy answers after two switches.
    back.options.floor_epoch = 3;
    catalogue.switch(View::ProductSummary, back).expect("valid");
    assert_eq!(read(&catalogue).await, (200, Source::Miss("invalidated")));
}

#[tokio::test]
async fn more_loads_than_the_cap_are_shed() {
    let (store, catalogue) = catalogue(Strategy::None);
    let mut tight = settings(Strategy::None);
    tight.options.max_concurrent_loads = 1;
    tight.options.load_wait = Duration::from_millis(10);
    catalogue.switch(View::ProductSummary, tight).expect("valid");
    *store.0.gate.lock().unwrap() = Some(Arc::default());
    let first = tokio::spawn({
        let catalogue = catalogue.clone();
        async move { catalogue.summary(id(), &CallOptions::default()).await.map(drop) }
    });
    while store.loads() == 0 {
        tokio::task::yield_now().await;
    }
    let shed = catalogue.summary(id(), &CallOptions::default()).await;
    assert!(matches!(shed, Err(CatalogueError::Overloaded { .. })), "{shed:?}");
    first.abort();
}

#[test]
fn combinations_that_cannot_work_name_the_field() {
    let field = |settings: NamespaceSettings| settings.validate().err().map(|(field, _)| field);
    for strategy in Strategy::ALL {
        assert_eq!(field(settings(strategy)), None, "{strategy}");
        assert_eq!(strategy.as_str().parse(), Ok(strategy));
    }
    for tiers in Tiers::ALL {
        assert_eq!(tiers.as_str().parse(), Ok(tiers));
    }
    assert_eq!(
        field(NamespaceSettings { tiers: Tiers::L2, ..settings(Strategy::None) }),
        Some("tiers")
    );
    let aside = settings(Strategy::CacheAside);
    assert_eq!(field(NamespaceSettings { tiers: Tiers::None, ..aside.clone() }), Some("tiers"));
    for timed in [Strategy::Ttl, Strategy::RefreshAhead] {
        let untimed = NamespaceSettings { strategy: timed, ..aside.clone() };
        assert_eq!(field(untimed), Some("ttl"));
    }
}

#[tokio::test]
async fn a_part_of_the_answers_is_compared_and_nobody_waits_for_it() {
    let (store, catalogue) = catalogue(Strategy::Ttl);
    read(&catalogue).await;
    let compared = || store.0.compared.load(Ordering::SeqCst);
    let verified = || catalogue.shared().metrics.stats()["product-summary"].verified;
    // None unless it is asked for; of loads none at all.
    read(&catalogue).await;
    let sampling = catalogue.clone().sampling(1.0);
    let other = ProductId::try_from(8).expect("an id");
    sampling.summary(other, &CallOptions::default()).await.expect("answers");
    tokio::task::yield_now().await;
    assert_eq!(compared(), 0);
    // The store hangs: answers come all the same, and few comparisons wait.
    let gate = Arc::new(Notify::new());
    *store.0.gate.lock().unwrap() = Some(Arc::clone(&gate));
    for _ in 0..50 {
        assert_eq!(read(&sampling).await, (100, HIT));
    }
    while compared() < 4 {
        tokio::task::yield_now().await;
    }
    assert_eq!((compared(), verified().sampled), (4, 0));
    *store.0.gate.lock().unwrap() = None;
    gate.notify_waiters();
    while verified().sampled < 4 {
        tokio::task::yield_now().await;
    }
    assert_eq!(verified().stale, 0);
    // A write that nothing invalidates.
    catalogue.patch(id(), price(200), Condition::None).await.expect("writes");
    assert_eq!(read(&sampling).await, (100, HIT));
    while verified().sampled < 5 {
        tokio::task::yield_now().await;
    }
    assert_eq!(verified().stale, 1);
}
