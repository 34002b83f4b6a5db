//! A shelf as a journal sees it that keeps writes elsewhere.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::memory::{Refused, Shelf, ShelfOperation, Target};
use crate::version::Version;
use crate::write::{Base, Deferred, JournalError, Made, Settled, Sink};

/// The in-memory twin of a database as a [`Sink`]: a [`Shelf`], and what was applied to it.
#[derive(Debug, Default)]
pub struct ShelfSink {
    shelf: Shelf,
    applied: Mutex<HashMap<u64, Made>>,
    silent: AtomicBool,
}

impl ShelfSink {
    /// What is there.
    pub const fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// From now on what is asked for is done, and no answer to it comes.
    pub fn lose_answers(&self, lost: bool) {
        self.silent.store(lost, Ordering::SeqCst);
    }

    fn settle_at_once(&self, writes: &[Deferred<ShelfOperation>]) -> Settled {
        let mut applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        let mut settled = Settled::default();
        let mut groups: BTreeMap<&str, Vec<&Deferred<ShelfOperation>>> = BTreeMap::new();
        for write in writes {
            if applied.contains_key(&write.id) {
                settled.repeated.push(write.id);
            } else {
                groups.entry(&write.key).or_default().push(write);
            }
        }
        for (key, group) in groups {
            let operations: Vec<_> = group.iter().map(|write| write.entry.clone()).collect();
            // All that can be applied together, which is all before the poison.
            let fitting = (0..=group.len())
                .rev()
                .find(|most| *most == 0 || self.shelf.apply(key, &operations[..*most]).is_ok());
            let fitting = fitting.unwrap_or_default();
            if fitting > 0 {
                settled.changes += 1;
                settled.applied.extend(group[..fitting].iter().map(|write| write.id));
                let bumped = self.shelf.bump(key).into_iter();
                settled.made.extend(bumped.map(|(space, key, version)| ((space, key), version)));
            }
            if let Some(refused) = group.get(fitting) {
                settled.refused.push((refused.id, "poison".to_owned()));
            }
        }
        applied.extend(settled.applied.iter().map(|id| (*id, settled.made.clone())));
        settled
    }
}

impl Sink for ShelfSink {
    type Operation = ShelfOperation;
    type Entry = ShelfOperation;
    type Refusal = Refused;
    type State = i64;

    async fn bases(&self, keys: &[String]) -> Result<Vec<Base<i64>>, JournalError> {
        let base = |key: &String| {
            let (value, version) = self.shelf.seen(key, &[]);
            Base { value, namespace: "things".to_owned(), key: key.clone(), version }
        };
        Ok(keys.iter().map(base).collect())
    }

    fn lay(number: &mut i64, waiting: &[ShelfOperation]) {
        *number = waiting.iter().fold(*number, |number, operation| operation.on(number));
    }

    fn accept(number: &mut i64, operation: &ShelfOperation) -> Result<ShelfOperation, Refused> {
        let after = operation.on(*number);
        if after < 0 {
            return Err(Refused);
        }
        *number = after;
        Ok(operation.clone())
    }

    async fn settle(&self, writes: &[Deferred<ShelfOperation>]) -> Result<Settled, JournalError> {
        let settled = self.settle_at_once(writes);
        if self.silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Ok(settled)
    }

    async fn applied(
        &self,
        ids: &[u64],
        namespace: &str,
        key: &str,
    ) -> Result<HashMap<u64, Option<Version>>, JournalError> {
        let applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        let view = (namespace.to_owned(), key.to_owned());
        let fate = |id: &u64| Some((*id, applied.get(id)?.get(&view).copied()));
        Ok(ids.iter().filter_map(fate).collect())
    }

    fn spell(operation: &ShelfOperation) -> String {
        format!("{operation:?}")
    }
}
