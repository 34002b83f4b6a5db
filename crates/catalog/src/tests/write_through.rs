//! `write-through` over the store in memory.

use super::*;

#[tokio::test]
async fn write_through_publishes_what_the_next_reader_hits() {
    for (tiers, tier) in [(Tiers::L1, Tier::L1), (Tiers::L2, Tier::L2), (Tiers::L1L2, Tier::L1)] {
        let (store, catalogue) = catalogue(Strategy::WriteThrough);
        let chosen = NamespaceSettings { tiers, ..settings(Strategy::WriteThrough) };
        catalogue.switch(View::ProductSummary, chosen).expect("valid");
        // Also where nothing was before.
        catalogue.patch(id(), price(200), Condition::None).await.expect("writes");
        assert_eq!(read(&catalogue).await, (200, Source::Hit(tier)));
        catalogue.patch(id(), price(300), Condition::None).await.expect("writes");
        assert_eq!(read(&catalogue).await, (300, Source::Hit(tier)));
        assert_eq!(store.loads(), 2, "{tiers}: one for each write, none for a read");
    }
}

#[tokio::test]
async fn of_two_writes_through_the_cache_the_newer_wins_whoever_publishes_last() {
    let (store, catalogue) = catalogue(Strategy::WriteThrough);
    read(&catalogue).await;
    let gate = Arc::new(Notify::new());
    *store.0.gate.lock().unwrap() = Some(Arc::clone(&gate));
    let slow = tokio::spawn({
        let catalogue = catalogue.clone();
        async move { catalogue.patch(id(), price(200), Condition::None).await.map(drop) }
    });
    while store.loads() < 2 {
        tokio::task::yield_now().await;
    }
    *store.0.gate.lock().unwrap() = None;
    catalogue.patch(id(), price(300), Condition::None).await.expect("writes");
    assert_eq!(read(&catalogue).await, (300, HIT));
    gate.notify_one();
    slow.await.expect("no panic").expect("writes");
    assert_eq!(read(&catalogue).await, (300, HIT));
}

#[tokio::test]
async fn a_write_whose_new_value_cannot_be_loaded_invalidates_the_old_one() {
    let (store, catalogue) = catalogue(Strategy::WriteThrough);
    read(&catalogue).await;
    store.0.fails.store(true, Ordering::SeqCst);
    catalogue
        .patch(id(), price(200), Condition::None)
        .await
        .expect("the write is committed all the same");
    store.0.fails.store(false, Ordering::SeqCst);
    assert_eq!(read(&catalogue).await, (200, Source::Miss("invalidated")));
    assert_eq!(read(&catalogue).await, (200, HIT));
}
