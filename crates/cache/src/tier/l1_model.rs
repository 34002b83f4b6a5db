//! What L1 would hold, without values: for forecasts.

use foyer_memory::Cache;

use super::l1::{OVERHEAD, SHARDS, container};
use crate::options::L1Options;

/// The container of L1 with its eviction and its shards, holding a note for each key in place of
/// a value: whoever asks it in the order in which a cache was asked learns what that cache would
/// have had. Versions, fences and expiry are left to the caller.
#[derive(Debug)]
pub struct L1Model<T: Copy + Send + Sync + 'static> {
    entries: Cache<u32, Noted<T>, ahash::RandomState>,
    largest: usize,
}

#[derive(Clone, Copy, Debug)]
struct Noted<T> {
    size: usize,
    note: T,
}

impl<T: Copy + Send + Sync + 'static> L1Model<T> {
    /// Bytes that an entry is reckoned to take besides its key and value.
    pub const OVERHEAD: usize = OVERHEAD;

    /// An empty model of a tier with `options`. Which keys share a shard is drawn from `seed`; in
    /// a real tier it is another draw in each process.
    #[must_use]
    pub fn new(options: &L1Options, seed: u64) -> Self {
        let hasher = ahash::RandomState::with_seeds(seed, !seed, seed.rotate_left(32), 1);
        let entries = container(options, hasher, |noted: &Noted<T>| noted.size);
        Self { entries, largest: options.capacity / SHARDS }
    }

    /// What was noted of `key`, if it is held; it counts as used.
    #[must_use]
    pub fn get(&self, key: u32) -> Option<T> {
        self.entries.get(&key).map(|entry| entry.value().note)
    }

    /// Takes `key` in, whose key and value take `size` bytes; what is too large is not taken.
    pub fn admit(&self, key: u32, size: usize, note: T) {
        if size + OVERHEAD <= self.largest {
            self.entries.insert(key, Noted { size, note });
        }
    }

    /// Forgets `key`.
    pub fn remove(&self, key: u32) {
        self.entries.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Eviction;

    #[test]
    fn it_holds_as_many_entries_as_fit_and_forgets_what_it_is_told_to() {
        let each = 1_000 + OVERHEAD;
        for eviction in Eviction::ALL {
            let options = L1Options { capacity: 800 * each, eviction, ..L1Options::default() };
            let model = L1Model::new(&options, 7);
            for key in 0..10_000 {
                model.admit(key, 1_000, key);
            }
            let held = |model: &L1Model<u32>| {
                (0..10_000).filter(|key| model.get(*key) == Some(*key)).count()
            };
            let full = held(&model);
            assert!((700..=800).contains(&full), "{eviction}: {full}");
            (0..10_000).for_each(|key| model.remove(key));
            assert_eq!(held(&model), 0, "{eviction}");
            model.admit(1, options.capacity / SHARDS, 1);
            assert_eq!(model.get(1), None, "{eviction}: larger than a shard");
        }
    }
}
