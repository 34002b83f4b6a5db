//! What this process has answered of keys in a version that L2 was not seen to have.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use crate::version::Version;

/// Keys in each of the two generations, at most: so many that were noted last are remembered.
const REMEMBERED: usize = 16_384;

/// What this process has answered of keys in a version that L2 was not seen to have.
///
/// A load that goes past L2 reads what was committed last; L2 may hold what was there before, until
/// the invalidation arrives. From then on, what is older than noted here is no answer: the next
/// reader leases and fills the key, as after an invalidation. A process so never answers less of a
/// key than it has answered before.
///
/// As long as nothing is noted, it costs a read of L2 one atomic read.
#[derive(Debug)]
pub(super) struct Ahead<K> {
    noted: AtomicBool,
    generations: RwLock<Generations<K>>,
}

/// When the young are too many, they become the old, which are forgotten.
#[derive(Debug)]
struct Generations<K> {
    young: HashMap<K, Version>,
    old: HashMap<K, Version>,
}

impl<K> Default for Ahead<K> {
    fn default() -> Self {
        let generations = Generations { young: HashMap::new(), old: HashMap::new() };
        Self { noted: AtomicBool::new(false), generations: RwLock::new(generations) }
    }
}

impl<K: Hash + Eq + Clone> Ahead<K> {
    /// What is older than this is no answer for `key`.
    pub(super) fn least(&self, key: &K) -> Version {
        if !self.noted.load(Ordering::Acquire) {
            return Version::default();
        }
        let generations = self.generations.read().unwrap_or_else(PoisonError::into_inner);
        generations.of(key).unwrap_or_default()
    }

    /// `version` of `key` is about to be answered, and L2 may hold an older one.
    pub(super) fn note(&self, key: &K, version: Version) {
        if version == Version::default() {
            return;
        }
        let mut generations = self.generations.write().unwrap_or_else(PoisonError::into_inner);
        if generations.young.get(key).is_some_and(|noted| *noted >= version) {
            return;
        }
        // Noted again, it is young again.
        let version = generations.of(key).map_or(version, |noted| noted.max(version));
        if generations.young.len() >= REMEMBERED {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(key.clone(), version);
        self.noted.store(true, Ordering::Release);
    }

    /// L2 has `version` of `key`, or has kept out what is older; or the origin has nothing newer,
    /// whatever was noted.
    pub(super) fn settle(&self, key: &K, version: Version) {
        // Looked at first: readers of other keys need not wait for each other.
        if self.least(key) == Version::default() {
            return;
        }
        let mut generations = self.generations.write().unwrap_or_else(PoisonError::into_inner);
        if generations.of(key).is_some_and(|noted| noted <= version) {
            generations.young.remove(key);
            generations.old.remove(key);
            let none = generations.young.is_empty() && generations.old.is_empty();
            self.noted.store(!none, Ordering::Release);
        }
    }
}

impl<K: Hash + Eq> Generations<K> {
    fn of(&self, key: &K) -> Option<Version> {
        self.young.get(key).max(self.old.get(key)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(counter: u64) -> Version {
        Version::new(1, counter)
    }

    #[test]
    fn the_newest_counts_until_l2_has_it() {
        let ahead = Ahead::default();
        ahead.note(&1, v(5));
        ahead.note(&1, v(4));
        assert_eq!((ahead.least(&1), ahead.least(&2)), (v(5), Version::default()));
        ahead.settle(&1, v(4));
        assert_eq!(ahead.least(&1), v(5), "L2 has an older one still");
        ahead.note(&2, v(1));
        ahead.settle(&1, v(6));
        assert_eq!((ahead.least(&1), ahead.least(&2)), (Version::default(), v(1)));
        ahead.settle(&2, v(1));
        assert!(!ahead.noted.load(Ordering::Acquire));
    }

    #[test]
    fn the_last_keys_are_remembered_and_no_more_than_twice_as_many() {
        let ahead = Ahead::default();
        let keys = 3 * REMEMBERED;
        for key in 0..keys {
            ahead.note(&key, v(1));
            // One that is noted again and again is as young as the last of them.
            ahead.note(&usize::MAX, v(7));
            ahead.note(&usize::MAX, v(6));
        }
        assert!((keys - REMEMBERED + 2..keys).all(|key| ahead.least(&key) == v(1)));
        assert_eq!(ahead.least(&usize::MAX), v(7));
        assert_eq!(ahead.least(&0), Version::default());
        let generations = ahead.generations.read().expect("no panic");
        assert!(generations.young.len() + generations.old.len() <= 2 * REMEMBERED);
    }
}
