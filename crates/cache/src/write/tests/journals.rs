//! Both journals in memory, and what they hold.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{add, nobody, options, shelf, write};
use crate::testing::{MemoryJournal, Shelf, ShelfOperation, Subject, journal_contract};
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

/// A volatile journal over numbers by key; nothing can be done to the key "poison" but alone.
fn volatile() -> (VolatileJournal<i64>, Arc<Mutex<BTreeMap<String, i64>>>) {
    let numbers: Arc<Mutex<BTreeMap<String, i64>>> = Arc::default();
    let journal = VolatileJournal::new({
        let numbers = Arc::clone(&numbers);
        move |key: String, amounts: Vec<i64>| {
            let numbers = Arc::clone(&numbers);
            async move {
                tokio::time::sleep(Duration::from_millis(5)).await;
                if amounts.contains(&0) {
                    return Err("nothing to do".to_owned());
                }
                *numbers.lock().unwrap().entry(key.clone()).or_default() +=
                    amounts.iter().sum::<i64>();
                Ok(vec![("things".to_owned(), key, Version::new(1, 1))])
            }
        }
    });
    (journal, numbers)
}

fn amount(key: &str, operation: i64) -> Write<i64> {
    Write { key: key.to_owned(), operation }
}

#[tokio::test(start_paused = true)]
async fn a_volatile_journal_names_no_version_before_its_flush_and_says_what_it_is() {
    let (journal, numbers) = volatile();
    let engine = WriteBehind::new(journal, options()).expect("valid");
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
        let made = engine.write(amount("a", 2)).await.expect("it is taken");
        assert_eq!(made.changes, []);
    }
    assert_eq!(engine.journal().pending("a"), [2, 2, 2]);
    assert_eq!((told.lock().unwrap().len(), numbers.lock().unwrap().len()), (0, 0));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(engine.journal().pending("a"), [0; 0]);
    assert_eq!((&*told.lock().unwrap(), numbers.lock().unwrap()["a"]), (&vec!["a".to_owned()], 6));
    let status = engine.status();
    assert_eq!((status.flushed, status.coalesced, status.depth), (3, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn of_a_volatile_key_the_poison_alone_dies_and_a_cancelled_flush_holds_nothing_back() {
    let (journal, numbers) = volatile();
    let options = FlushOptions { entries: 10, attempts: 2, backoff: Duration::from_millis(10) };
    let writes = [amount("a", 1), amount("a", 0), amount("a", 2), amount("b", 3)];
    journal.append(&writes).await.expect("it answers");
    let hurried = tokio::time::timeout(Duration::from_millis(1), journal.flush(&options)).await;
    assert!(hurried.is_err());
    let first = journal.flush(&options).await.expect("it answers");
    assert_eq!((first.entries, first.failed, first.dead), (2, 1, 0));
    // It waits for its next attempt, and keeps back what comes after it.
    let none = journal.flush(&options).await;
    assert_eq!(none.expect("it answers").entries, 0);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let second = journal.flush(&options).await.expect("it answers");
    assert_eq!((second.entries, second.dead), (0, 1));
    journal.flush(&options).await.expect("it answers");
    assert_eq!(*numbers.lock().unwrap(), BTreeMap::from([("a".into(), 3), ("b".into(), 3)]));
    assert_eq!(journal.find(2).await.expect("it answers"), Some(WriteState::Dead));
    assert!(journal.discard(2).await.expect("it answers"));
}

#[tokio::test(start_paused = true)]
async fn a_drain_applies_what_a_volatile_journal_holds() {
    let (journal, numbers) = volatile();
    let engine = WriteBehind::new(journal, options()).expect("valid");
    engine.start(nobody()).await;
    for step in 1..=50 {
        engine.write(amount(&format!("key {}", step % 7), step)).await.expect("it is taken");
    }
    assert!(engine.drain(Duration::from_secs(5), &nobody()).await);
    assert_eq!(numbers.lock().unwrap().values().sum::<i64>(), 50 * 51 / 2);
    assert!(engine.write(amount("a", 1)).await.is_err());
}
