//! Tags: what values of several keys depend on together, and are made old by at once.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::version::Version;

/// Barriers that a process remembers, at most; beyond it, it forgets them with all of L1.
const BARRIERS_KEPT: usize = 65_536;

/// Something that a value depends on besides its key, in the version that this had in the
/// snapshot that the value was read in.
///
/// A tag's versions come from where a key's do, and are independent of the keys'.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Its name, unique within the namespace.
    pub name: Arc<str>,
    /// Its version.
    pub version: Version,
}

/// The tags of one value; `None`: it has none, and costs nothing.
pub(crate) type Tags = Option<Arc<[Tag]>>;

/// The newest version of each tag that this process has heard of.
#[derive(Debug, Default)]
pub(crate) struct Barriers(RwLock<HashMap<Arc<str>, Version>>);

impl Tag {
    /// The tag `name` in `version`.
    pub fn new(name: impl Into<Arc<str>>, version: Version) -> Self {
        Self { name: name.into(), version }
    }
}

impl Barriers {
    /// Whether none of `tags` is known to be newer.
    pub(crate) fn let_pass(&self, tags: &Tags) -> bool {
        let Some(tags) = tags else { return true };
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        tags.iter().all(|tag| known.get(&tag.name).is_none_or(|newest| *newest <= tag.version))
    }

    /// Remembers that `name` has `version`. When there are too many to remember, all are
    /// forgotten; `drop_entries` must make sure that nothing is left that they kept back.
    pub(crate) fn raise(&self, name: &Arc<str>, version: Version, drop_entries: impl FnOnce()) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(newest) = known.get_mut(name) {
            *newest = version.max(*newest);
            return;
        }
        if known.len() >= BARRIERS_KEPT {
            // Under the lock: nothing tagged passes meanwhile.
            drop_entries();
            known.clear();
        }
        known.insert(Arc::clone(name), version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(counters: &[(&str, u64)]) -> Tags {
        Some(counters.iter().map(|(name, n)| Tag::new(*name, Version::new(1, *n))).collect())
    }

    #[test]
    fn a_barrier_only_rises_and_holds_back_what_is_older() {
        let barriers = Barriers::default();
        let never = || panic!("there are not too many");
        for counter in [3, 2] {
            barriers.raise(&"a".into(), Version::new(1, counter), never);
        }
        assert!(barriers.let_pass(&None));
        assert!(barriers.let_pass(&tags(&[("a", 3), ("b", 0)])));
        assert!(!barriers.let_pass(&tags(&[("b", 0), ("a", 2)])));
    }

    #[test]
    fn too_many_barriers_are_forgotten_together_with_what_they_held_back() {
        let barriers = Barriers::default();
        let mut dropped = 0;
        for n in 0..=BARRIERS_KEPT {
            barriers.raise(&n.to_string().into(), Version::new(1, 1), || dropped += 1);
        }
        assert_eq!(dropped, 1);
        assert!(barriers.let_pass(&tags(&[("0", 0)])));
        assert!(!barriers.let_pass(&tags(&[(&BARRIERS_KEPT.to_string(), 0)])));
    }
}
