//! The first tier: entries in this process.
//!
//! The container and its eviction are `foyer-memory`'s. What is added is what a cache of
//! versioned values needs: an entry never gives way to an older one, and a value whose key was
//! invalidated while it was being loaded does not enter.

use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use foyer_memory::{
    Cache, CacheBuilder, EvictionConfig, FifoConfig, LfuConfig, LruConfig, S3FifoConfig,
    SieveConfig,
};
use tokio::time::Instant;

use crate::options::{Eviction, L1Options};
use crate::tag::Tags;
use crate::version::Version;

/// Locks of the fences: a key has one by its hash. Two keys that share one only cost each
/// other an admission now and then.
const FENCES: usize = 1_024;
/// Shards of the container: threads that meet in one wait for each other.
pub(super) const SHARDS: usize = 8;
/// Bytes that an entry costs besides key and value: the container's record, this entry, and
/// their parts of its tables. Measured by
/// `cargo bench -p larder-benches --bench memory`.
pub(super) const OVERHEAD: usize = 280;

/// The first tier of one namespace.
pub(crate) struct L1<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    entries: Cache<K, Kept<V>, ahash::RandomState>,
    fences: Box<[Mutex<u64>]>,
    hasher: ahash::RandomState,
    largest: usize,
}

/// An entry.
#[derive(Debug)]
pub(crate) struct Kept<V> {
    /// `None`: the origin has no such value.
    pub(crate) value: Option<V>,
    pub(crate) version: Version,
    pub(crate) load_cost: Duration,
    /// Bytes of key and value.
    pub(crate) size: usize,
    /// When it was stored here.
    pub(crate) since: Instant,
    /// When it goes stale; `None`: not before it ends.
    pub(crate) fresh_until: Option<Instant>,
    /// When it must not be served from here any more.
    pub(crate) until: Instant,
    /// Its age when it was stored here, where that is known.
    pub(crate) age: Option<Duration>,
    pub(crate) tags: Tags,
}

/// The state of a key's fence before a value was read: admission asks that it is unchanged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place(u64);

impl<K, V> L1<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(options: &L1Options) -> Self {
        let entries = container(options, ahash::RandomState::new(), |kept: &Kept<V>| kept.size);
        Self {
            entries,
            fences: (0..FENCES).map(|_| Mutex::default()).collect(),
            hasher: ahash::RandomState::new(),
            largest: options.capacity / SHARDS,
        }
    }

    /// What `view` makes of what is held of `key`, unless that must not be served any more.
    pub(crate) fn get<T>(
        &self,
        key: &K,
        now: Instant,
        view: impl FnOnce(&Kept<V>) -> T,
    ) -> Option<T> {
        let entry = self.entries.get(key)?;
        let kept = entry.value();
        (now < kept.until).then(|| view(kept))
    }

    /// Notes where `key`'s fence is: call it before a value is read anywhere.
    pub(crate) fn place(&self, key: &K) -> Place {
        Place(*self.fence(key).lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes `kept` in, unless something was invalidated since `place`, or something newer is
    /// held.
    pub(crate) fn admit(&self, key: K, place: Place, kept: Kept<V>) {
        let fence = self.fence(&key).lock().unwrap_or_else(PoisonError::into_inner);
        let newer = |entry: &Kept<V>| {
            entry.version > kept.version
                || (entry.version == kept.version
                    && entry.tags == kept.tags
                    && entry.until > kept.until)
        };
        if *fence != place.0 || kept.size + OVERHEAD > self.largest {
            // Where it does not enter, nothing older stays either: it is answered all the same.
            self.remove_older(&key, kept.version);
        } else if !self.entries.get(&key).is_some_and(|held| newer(held.value())) {
            self.entries.insert(key, kept);
        }
    }

    /// Removes what is older than `version`, which was seen elsewhere.
    pub(crate) fn outdate(&self, key: &K, version: Version) {
        let _fence = self.fence(key).lock().unwrap_or_else(PoisonError::into_inner);
        self.remove_older(key, version);
    }

    /// Removes what is older than `version`, and keeps out what was read before.
    pub(crate) fn invalidate(&self, key: &K, version: Version) {
        let mut fence = self.fence(key).lock().unwrap_or_else(PoisonError::into_inner);
        *fence += 1;
        self.remove_older(key, version);
    }

    /// As [`invalidate`](Self::invalidate), by who brings `version` himself, and noted `place` before
    /// it was stored anywhere: where that may be admitted, which is nowhere if something was
    /// invalidated since.
    pub(crate) fn replace(&self, key: &K, place: Place, version: Version) -> Place {
        let mut fence = self.fence(key).lock().unwrap_or_else(PoisonError::into_inner);
        let undisturbed = *fence == place.0;
        *fence += 1;
        self.remove_older(key, version);
        if undisturbed { Place(*fence) } else { place }
    }

    fn remove_older(&self, key: &K, version: Version) {
        if self.entries.get(key).is_some_and(|held| held.value().version < version) {
            self.entries.remove(key);
        }
    }

    /// Removes everything, and keeps out what was read before.
    pub(crate) fn clear(&self) {
        for fence in &self.fences {
            *fence.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        }
        self.entries.clear();
    }

    /// Entries held, and the bytes they are reckoned to take.
    pub(crate) fn usage(&self) -> (usize, usize) {
        (self.entries.entries(), self.entries.usage())
    }

    fn fence(&self, key: &K) -> &Mutex<u64> {
        &self.fences[self.hasher.hash_one(key) as usize % FENCES]
    }
}

/// The container of `options`, whose entries are as large as `size` says, and the overhead.
pub(super) fn container<K, T>(
    options: &L1Options,
    hasher: ahash::RandomState,
    size: impl Fn(&T) -> usize + Send + Sync + 'static,
) -> Cache<K, T, ahash::RandomState>
where
    K: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    let eviction: EvictionConfig = match options.eviction {
        Eviction::Lru => LruConfig { high_priority_pool_ratio: 0.0 }.into(),
        Eviction::S3Fifo => S3FifoConfig::default().into(),
        Eviction::WTinyLfu => LfuConfig::default().into(),
        Eviction::Sieve => SieveConfig.into(),
        Eviction::Fifo => FifoConfig::default().into(),
    };
    CacheBuilder::new(options.capacity)
        .with_shards(SHARDS)
        .with_eviction_config(eviction)
        .with_hash_builder(hasher)
        .with_weighter(move |_: &K, kept: &T| size(kept) + OVERHEAD)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tier(capacity: usize, eviction: Eviction) -> L1<u64, Vec<u8>> {
        L1::new(&L1Options { capacity, eviction, ..L1Options::default() })
    }

    fn kept(counter: u64, size: usize) -> Kept<Vec<u8>> {
        let since = Instant::now();
        Kept {
            value: Some(vec![counter as u8]),
            version: Version::new(1, counter),
            load_cost: Duration::ZERO,
            size,
            since,
            fresh_until: None,
            until: since + Duration::from_secs(60),
            age: None,
            tags: None,
        }
    }

    fn version(tier: &L1<u64, Vec<u8>>, key: u64) -> Option<u64> {
        tier.get(&key, Instant::now(), |kept| kept.version.counter)
    }

    #[test]
    fn nothing_older_and_nothing_invalidated_meanwhile_enters() {
        let tier = tier(1 << 20, Eviction::S3Fifo);
        let place = tier.place(&1);
        tier.admit(1, place, kept(5, 8));
        tier.admit(1, place, kept(4, 8));
        assert_eq!(version(&tier, 1), Some(5));
        // A load that began before an invalidation ends after it.
        tier.invalidate(&1, Version::new(1, 6));
        assert_eq!(version(&tier, 1), None);
        tier.admit(1, place, kept(5, 8));
        assert_eq!(version(&tier, 1), None);
        tier.admit(1, tier.place(&1), kept(6, 8));
        // Something newer that may not enter is answered: what is held must not be after it.
        let before = tier.place(&1);
        tier.invalidate(&1, Version::new(1, 5));
        tier.admit(1, before, kept(7, 8));
        assert_eq!(version(&tier, 1), None);
        tier.admit(1, tier.place(&1), kept(6, 8));
        // What is as new as the invalidation stays.
        tier.invalidate(&1, Version::new(1, 6));
        assert_eq!(version(&tier, 1), Some(6));
        let before = tier.place(&2);
        tier.clear();
        tier.admit(2, before, kept(1, 8));
        assert_eq!((version(&tier, 1), version(&tier, 2)), (None, None));
    }

    #[test]
    fn what_a_writer_brings_enters_unless_something_was_invalidated_since_it_was_stored() {
        let tier = tier(1 << 20, Eviction::S3Fifo);
        let reader = tier.place(&1);
        let place = tier.place(&1);
        let place = tier.replace(&1, place, Version::new(1, 5));
        tier.admit(1, place, kept(5, 8));
        tier.admit(1, reader, kept(4, 8));
        assert_eq!(version(&tier, 1), Some(5));
        // A newer one was told of between the store and the admission …
        let place = tier.place(&1);
        tier.invalidate(&1, Version::new(1, 7));
        let place = tier.replace(&1, place, Version::new(1, 6));
        tier.admit(1, place, kept(6, 8));
        assert_eq!(version(&tier, 1), None);
        // … or just before the admission.
        let place = tier.place(&1);
        let place = tier.replace(&1, place, Version::new(1, 8));
        tier.invalidate(&1, Version::new(1, 9));
        tier.admit(1, place, kept(8, 8));
        assert_eq!(version(&tier, 1), None);
    }

    #[test]
    fn an_entry_is_not_served_past_its_end() {
        let tier = tier(1 << 20, Eviction::S3Fifo);
        let entry = kept(1, 8);
        let until = entry.until;
        tier.admit(1, tier.place(&1), entry);
        assert!(tier.get(&1, until - Duration::from_nanos(1), |_| ()).is_some());
        assert!(tier.get(&1, until, |_| ()).is_none());
    }

    #[test]
    fn every_policy_stays_within_its_bytes() {
        for policy in Eviction::ALL {
            let capacity = 1 << 20;
            let tier = tier(capacity, policy);
            for key in 0..20_000 {
                tier.admit(key, tier.place(&key), kept(1, 1_000));
                if key % 3 == 0 {
                    tier.get(&(key / 2), Instant::now(), |_| ());
                }
            }
            let (entries, bytes) = tier.usage();
            assert!(bytes <= capacity, "{policy}: {bytes}");
            assert!(entries > 600, "{policy}: {entries}");
            // One that would push all others out is not taken.
            tier.admit(30_000, tier.place(&30_000), kept(1, capacity));
            assert_eq!(version(&tier, 30_000), None, "{policy}");
            // … nor is what it replaces kept.
            tier.admit(19_999, tier.place(&19_999), kept(2, capacity));
            assert_eq!(version(&tier, 19_999), None, "{policy}");
        }
    }
}
