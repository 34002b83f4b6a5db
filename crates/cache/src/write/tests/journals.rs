//! Both journals in memory, and what they hold.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{add, nobody, options, shelf, write};
use crate::testing::{MemoryJournal, Shelf, ShelfOperation, ShelfSink, Subject, journal_contract};
use crate::version::Version;
use crate::write::{FlushOptions, Journal, Mode, VolatileJournal, Write, WriteBehind, WriteState};

struct Twin(MemoryJournal<Shelf>);

impl Subject for Twin {
    type Journal = MemoryJournal<Shelf>;

    fn journal(&self) -> &MemoryJournal<Shelf> {
        &self.0
    }

    fn put(&self, key: usize, number: i64) -> Write<ShelfOperation> {
        write(key, ShelfOperation::Put(number))
    }

    fn add(&self, key: usize, amount: i64) -> Write<ShelfOperation> {
        add(key, amount)
    }

    fn poison(&self, key: usize) -> Write<ShelfOperation> {
        write(key, ShelfOperation::Poison(1))
    }

    async fn heal(&self) {
        self.0.target().heal();
    }

    async fn seen(&self, key: usize) -> (i64, Version) {
        let key = format!("key {key}");
        self.0.target().seen(&key, &self.0.pending(&key))
    }

    async fn stored(&self, key: usize) -> i64 {
        self.0.target().seen(&format!("key {key}"), &[]).0
    }
}

#[tokio::test]
async fn the_twin_of_a_durable_journal_holds_the_contract() {
    journal_contract(&Twin(shelf())).await;
}

/// A volatile journal over a shelf, to which nothing poisonous can be applied until it is healed.
struct Volatile(VolatileJournal<ShelfSink>);

impl Volatile {
    fn new() -> Self {
        Self(VolatileJournal::new(ShelfSink::default()))
    }

    fn shelf(&self) -> &Shelf {
        self.0.sink().shelf()
    }
}

impl Subject for Volatile {
    type Journal = VolatileJournal<ShelfSink>;

    fn journal(&self) -> &VolatileJournal<ShelfSink> {
        &self.0
    }

    fn put(&self, key: usize, number: i64) -> Write<ShelfOperation> {
        write(key, ShelfOperation::Put(number))
    }

    fn add(&self, key: usize, amount: i64) -> Write<ShelfOperation> {
        add(key, amount)
    }

    fn poison(&self, key: usize) -> Write<ShelfOperation> {
        write(key, ShelfOperation::Poison(1))
    }

    async fn heal(&self) {
        self.shelf().heal();
    }

    async fn seen(&self, key: usize) -> (i64, Version) {
        let key = format!("key {key}");
        let (number, version) = self.shelf().seen(&key, &[]);
        let over = self.0.overlay().over(&key, "things", &key, version).await;
        (over.iter().fold(number, |number, operation| operation.on(number)), version)
    }

    async fn stored(&self, key: usize) -> i64 {
        self.shelf().seen(&format!("key {key}"), &[]).0
    }
}

#[tokio::test]
async fn a_volatile_journal_holds_the_contract_but_for_versions_before_the_flush() {
    journal_contract(&Volatile::new()).await;
}

#[tokio::test(start_paused = true)]
async fn a_volatile_journal_names_no_version_before_its_flush_and_says_what_it_is() {
    let Volatile(journal) = Volatile::new();
    let journal = Arc::new(journal);
    let engine = WriteBehind::new(Arc::clone(&journal), options()).expect("valid");
    assert_eq!((engine.status().mode, Mode::Volatile.as_str()), (Mode::Volatile, "volatile"));
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let start = engine.start({
        let told = Arc::clone(&told);
        Arc::new(move |changes| {
            told.lock().unwrap().extend(changes.into_iter().map(|(_, key, _)| key));
            Box::pin(async {})
        })
    });
    start.await;
    for _ in 0..3 {
        let made = engine.write(add(1, 2)).await.expect("it is taken");
        assert_eq!(made.changes, []);
    }
    let shown = journal.overlay().over("key 1", "things", "key 1", Version::default()).await;
    assert_eq!((shown.len(), told.lock().unwrap().len()), (3, 0));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(&*told.lock().unwrap(), &vec!["key 1".to_owned()]);
    assert_eq!(journal.sink().shelf().seen("key 1", &[]).0, 6);
    let status = engine.status();
    assert_eq!((status.flushed, status.coalesced, status.depth), (3, 2, 0));
    // Who has read the old value still sees what was applied, and who has the new one does not
    // see it twice; after a while nobody has the old one any more.
    let over = async |counter| {
        journal.overlay().over("key 1", "things", "key 1", Version::new(1, counter)).await.len()
    };
    assert_eq!((over(0).await, over(1).await), (3, 0));
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert!(journal.overlay().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_flush_whose_answer_is_lost_is_neither_applied_nor_shown_twice() {
    let volatile = Volatile::new();
    let journal = &volatile.0;
    let options = FlushOptions { entries: 10, attempts: 2, backoff: Duration::from_millis(10) };
    journal.append(&[add(1, 5), add(1, 2)]).await.expect("it answers");
    // Its transaction commits, and nobody hears of it.
    journal.sink().lose_answers(true);
    let lost = tokio::time::timeout(Duration::from_secs(1), journal.flush(&options)).await;
    assert!(lost.is_err(), "cancelled: {lost:?}");
    assert_eq!((volatile.stored(1).await, volatile.seen(1).await.0), (7, 7));
    // A write that is accepted meanwhile counts on what is there once.
    let answers = journal.append(&[add(1, -8), add(1, -7)]).await.expect("it answers");
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true]);
    journal.sink().lose_answers(false);
    let flushed = journal.flush(&options).await.expect("it answers");
    assert_eq!((flushed.entries, flushed.failed, flushed.dead), (3, 0, 0));
    assert_eq!((volatile.stored(1).await, volatile.seen(1).await.0), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_does_not_wait_comes_after_what_waits_for_its_key() {
    let volatile = Volatile::new();
    let engine = WriteBehind::new(volatile.0, options()).expect("valid");
    for (key, operation) in [(1, ShelfOperation::Add(4)), (2, ShelfOperation::Add(1))] {
        engine.write(write(key, operation)).await.expect("it is taken");
    }
    let poison = engine.write(write(1, ShelfOperation::Poison(1))).await.expect("it is taken");
    engine.write(add(1, 3)).await.expect("it is taken");
    engine.settle("key 1", &nobody()).await.expect("it is free");
    let shelf = engine.journal().sink().shelf();
    assert_eq!((shelf.seen("key 1", &[]).0, shelf.seen("key 2", &[]).0), (7, 0));
    let found = engine.journal().find(poison.position).await.expect("it answers");
    assert_eq!(found, Some(WriteState::Dead), "nobody waits for a second attempt");
    assert_eq!((engine.status().depth, engine.status().dead_letters), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_drain_applies_what_a_volatile_journal_holds() {
    let Volatile(journal) = Volatile::new();
    let engine = WriteBehind::new(journal, options()).expect("valid");
    engine.start(nobody()).await;
    for step in 1..=50 {
        engine.write(add(step % 7, step as i64)).await.expect("it is taken");
    }
    assert!(engine.drain(Duration::from_secs(5), &nobody()).await);
    let shelf = engine.journal().sink().shelf();
    let all = (0..7).map(|key| shelf.seen(&format!("key {key}"), &[]).0).sum::<i64>();
    assert_eq!(all, 50 * 51 / 2);
    assert!(engine.write(add(1, 1)).await.is_err());
}
