//! `write-behind` over the twin of a journal.

use larder::testing::{MemoryJournal, Target};
use larder::{FlushOptions, Version, WhenFull, Write, WriteBehind, WriteBehindOptions, WriteState};

use super::*;
use crate::{Dictionary, JournaledPatches};

/// The price 13 cannot be applied, and 666 is refused.
pub(super) struct Prices(Store);

impl Target for Prices {
    type Operation = i64;
    type Refusal = RepositoryError;

    fn check(&self, _: &str, _: &[i64], minor: &i64) -> Result<(), RepositoryError> {
        match minor {
            666 => Err(RepositoryError::Timeout),
            _ => Ok(()),
        }
    }

    fn bump(&self, key: &str) -> Vec<(String, String, Version)> {
        let mut prices = self.0.0.prices.lock().unwrap();
        let entry = prices.entry(key.parse().expect("an id")).or_default();
        entry.0 += 1;
        let version = Version::new(1, entry.0);
        vec![(View::ProductSummary.namespace().to_owned(), key.to_owned(), version)]
    }

    fn apply(&self, key: &str, minors: &[i64]) -> Result<(), String> {
        if minors.contains(&13) {
            return Err("13 is no price".to_owned());
        }
        let mut prices = self.0.0.prices.lock().unwrap();
        let entry = prices.entry(key.parse().expect("an id")).or_default();
        entry.1 = minors.last().copied().unwrap_or(entry.1);
        Ok(())
    }
}

type Twin = Arc<MemoryJournal<Prices>>;

async fn behind(options: WriteBehindOptions) -> (Store, Twin, Catalogue<Store>) {
    let (store, catalogue) = catalogue(Strategy::WriteBehind);
    let twin = Arc::new(MemoryJournal::new(Prices(store.clone())));
    store.0.journal.set(Arc::clone(&twin)).ok().expect("set once");
    let engine = WriteBehind::new(Arc::clone(&twin), options).expect("valid");
    let dictionary = Dictionary {
        write: |id, patch| {
            let alone = patch.stock.is_empty() && patch.stock_delta.is_empty();
            let price = patch.price.filter(|_| alone)?;
            Some(Write { key: id.to_string(), operation: price.minor() })
        },
        key: |id| id.to_string(),
        refusal: |refusal: RepositoryError| Some(refusal.into()),
    };
    let pending = Arc::new(JournaledPatches::new(engine, dictionary));
    (store, twin, catalogue.journaling(pending).await)
}

fn options() -> WriteBehindOptions {
    let flush = FlushOptions { entries: 100, attempts: 2, backoff: Duration::from_millis(10) };
    WriteBehindOptions { flush, ..WriteBehindOptions::default() }
}

fn applied(store: &Store) -> i64 {
    store.0.prices.lock().unwrap()[&id().get()].1
}

async fn patch(catalogue: &Catalogue<Store>, minor: i64) -> Option<u64> {
    let receipt = catalogue.patch(id(), price(minor), Condition::None).await.expect("writes");
    receipt.expect("is there").position
}

#[tokio::test(start_paused = true)]
async fn write_behind_answers_before_the_store_has_it_and_readers_see_it_at_once() {
    let (store, twin, catalogue) = behind(options()).await;
    assert_eq!(read(&catalogue).await.0, 100);
    for (position, minor) in [(1, 200), (2, 300), (3, 400)] {
        assert_eq!(patch(&catalogue, minor).await, Some(position));
        assert_eq!(read(&catalogue).await, (minor, Source::Miss("invalidated")));
        assert_eq!(read(&catalogue).await, (minor, HIT));
    }
    assert_eq!((applied(&store), twin.pending("7").len()), (100, 3));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((applied(&store), twin.pending("7").len()), (400, 0));
    // The flush is no change that readers see.
    assert_eq!(read(&catalogue).await, (400, HIT));
    let pending = catalogue.pending().expect("there is a journal");
    assert_eq!((pending.status().flushed, pending.status().coalesced), (3, 2));
    assert_eq!(pending.find(3).await.expect("answers"), Some(WriteState::Flushed));
}

#[tokio::test(start_paused = true)]
async fn pending_writes_stay_visible_when_the_cache_and_the_strategy_are_gone() {
    let (_, _, catalogue) = behind(options()).await;
    patch(&catalogue, 200).await;
    for strategy in [Strategy::None, Strategy::CacheAside, Strategy::Ttl] {
        catalogue.switch(View::ProductSummary, settings(strategy)).expect("valid");
        assert_eq!(read(&catalogue).await.0, 200, "{strategy}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_seen_no_more_and_seen_again_when_it_is_replayed() {
    let (store, _, catalogue) = behind(options()).await;
    read(&catalogue).await;
    let position = patch(&catalogue, 13).await.expect("it is journaled");
    assert_eq!(read(&catalogue).await.0, 13);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((read(&catalogue).await.0, applied(&store)), (100, 100));
    let pending = catalogue.pending().expect("there is a journal");
    assert_eq!(pending.find(position).await.expect("answers"), Some(WriteState::Dead));
    let journal = catalogue.pending().expect("it has one");
    let again = catalogue.replay(journal, position).await.expect("answers").expect("it is dead");
    assert!(again > position);
    assert_eq!(read(&catalogue).await.0, 13);
    assert_eq!(catalogue.replay(journal, position).await.expect("answers"), None);
}

#[tokio::test(start_paused = true)]
async fn what_breaks_a_rule_is_refused_and_a_full_journal_says_so_or_writes_at_once() {
    let (_, _, catalogue) = behind(options()).await;
    let refused = catalogue.patch(id(), price(666), Condition::None).await;
    let refused = refused.expect_err("it breaks a rule");
    assert!(matches!(refused.repository(), Some(RepositoryError::Timeout)), "{refused:?}");

    let one = WriteBehindOptions { max_depth: 1, ..options() };
    let (_, _, full) = behind(one.clone()).await;
    patch(&full, 200).await;
    let error = full.patch(id(), price(300), Condition::None).await.expect_err("there is no room");
    assert!(matches!(error, CatalogueError::JournalFull { .. }), "{error:?}");

    let (_, _, slow) = behind(WriteBehindOptions { when_full: WhenFull::Synchronous, ..one }).await;
    assert_eq!(patch(&slow, 200).await, Some(1));
    assert_eq!(patch(&slow, 300).await, None, "it is in the store");
}

#[tokio::test(start_paused = true)]
async fn without_a_journal_and_after_a_drain_writes_are_written_at_once() {
    let (store, catalogue) = catalogue(Strategy::WriteBehind);
    assert_eq!(patch(&catalogue, 200).await, None);
    assert_eq!((applied(&store), read(&catalogue).await.0), (200, 200));

    let (store, _, catalogue) = behind(options()).await;
    patch(&catalogue, 300).await;
    assert!(catalogue.drain(Duration::from_secs(1)).await);
    assert_eq!(applied(&store), 300);
    assert_eq!(patch(&catalogue, 400).await, None);
    assert_eq!(read(&catalogue).await.0, 400);
}

#[tokio::test(start_paused = true)]
async fn a_journaled_write_is_finished_when_its_client_has_gone() {
    let (_, twin, catalogue) = behind(options()).await;
    read(&catalogue).await;
    assert!(catalogue.patch(id(), price(200), Condition::None).now_or_never().is_none());
    while twin.pending("7").is_empty() || read(&catalogue).await.0 != 200 {
        tokio::task::yield_now().await;
    }
}
