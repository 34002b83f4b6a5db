//! Any sequence of writes, flushes and decisions: each entry is applied once, in its key's order.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::{shelf, write};
use crate::testing::ShelfOperation;
use crate::write::{FlushOptions, Journal};

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<(usize, ShelfOperation)>),
    Flush(usize),
    /// Of the oldest dead letter.
    Replay,
    Discard,
    Heal,
}

fn operation() -> impl Strategy<Value = ShelfOperation> {
    prop_oneof![
        2 => (0_i64..20).prop_map(ShelfOperation::Put),
        6 => (-5_i64..10).prop_map(ShelfOperation::Add),
        1 => (0_i64..3).prop_map(ShelfOperation::Poison),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let append = proptest::collection::vec((0_usize..4, operation()), 1..6).prop_map(Step::Append);
    let step = prop_oneof![
        6 => append,
        5 => (1_usize..8).prop_map(Step::Flush),
        1 => Just(Step::Replay),
        1 => Just(Step::Discard),
        1 => Just(Step::Heal),
    ];
    proptest::collection::vec(step, 1..60)
}

/// Attempts at once.
fn flush(entries: usize) -> FlushOptions {
    FlushOptions { entries, attempts: 2, backoff: Duration::ZERO }
}

/// What is to wait for each key, by position, and what is dead.
#[derive(Default)]
struct Books {
    pending: BTreeMap<u64, (usize, ShelfOperation)>,
    dead: BTreeMap<u64, (usize, ShelfOperation)>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn entries_are_applied_once_and_in_the_order_of_their_key(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let journal = shelf();
            let mut books = Books::default();
            // What has been applied of each key, in that order: a number tells too little.
            let mut numbers = [0_i64; 4];
            let mut healed = false;
            for step in steps.into_iter().chain((0..200).map(|_| Step::Flush(5))) {
                match step {
                    Step::Append(writes) => {
                        let given: Vec<_> =
                            writes.iter().map(|(key, done)| write(*key, done.clone())).collect();
                        let answers = journal.append(&given).await.expect("it answers");
                        for (answer, done) in answers.into_iter().zip(writes) {
                            if let Ok(made) = answer {
                                books.pending.insert(made.position, done);
                            }
                        }
                    }
                    Step::Flush(entries) => {
                        let before = journal.state().await.expect("it answers");
                        let flushed = journal.flush(&flush(entries)).await.expect("it answers");
                        prop_assert!(flushed.applied <= flushed.entries);
                        let after = journal.state().await.expect("it answers");
                        prop_assert_eq!(before.depth - after.depth, flushed.entries + flushed.dead);
                        prop_assert_eq!(after.dead - before.dead, flushed.dead);
                        // By what is gone the books follow, in the order of positions.
                        for (position, (key, done)) in std::mem::take(&mut books.pending) {
                            match journal.find(position).await.expect("it answers") {
                                Some(crate::write::WriteState::Pending) => {
                                    books.pending.insert(position, (key, done));
                                }
                                Some(crate::write::WriteState::Dead) => {
                                    books.dead.insert(position, (key, done));
                                }
                                Some(crate::write::WriteState::Flushed) => {
                                    // Nothing older of its key may wait behind it.
                                    prop_assert!(
                                        !books.pending.values().any(|(other, _)| *other == key),
                                        "out of order"
                                    );
                                    numbers[key] = match done {
                                        ShelfOperation::Put(to) => to,
                                        ShelfOperation::Add(by) => numbers[key] + by,
                                        ShelfOperation::Poison(by) => {
                                            prop_assert!(healed, "poison was applied");
                                            numbers[key] + by
                                        }
                                    };
                                }
                                None => prop_assert!(false, "it is forgotten"),
                            }
                        }
                    }
                    Step::Replay => {
                        if let Some((position, done)) = books.dead.pop_first() {
                            let again = journal.replay(position).await.expect("it answers");
                            let again = again.expect("it was dead");
                            prop_assert!(books.pending.keys().all(|known| *known < again.position));
                            books.pending.insert(again.position, done);
                        }
                    }
                    Step::Discard => {
                        if let Some((position, _)) = books.dead.pop_first() {
                            prop_assert!(journal.discard(position).await.expect("it answers"));
                        }
                    }
                    Step::Heal => {
                        journal.target().heal();
                        healed = true;
                    }
                }
                for (key, number) in numbers.iter().enumerate() {
                    let stored = journal.target().seen(&format!("key {key}"), &[]).0;
                    prop_assert_eq!(stored, *number);
                }
            }
            // Dead letters have held up nobody.
            prop_assert_eq!(journal.state().await.expect("it answers").depth, 0);
            Ok(())
        })?;
    }
}
