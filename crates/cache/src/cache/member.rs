//! A cache as one that takes part in coherence.

use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::{Arc, Weak};

use super::{Cache, CacheKey, Inner};
use crate::codec::CacheValue;
use crate::coherence::{Coherence, Event, Member, Source};
use crate::version::Version;

impl<K: CacheKey + FromStr, V: CacheValue> Cache<K, V> {
    /// The same cache, kept coherent with those of other processes (and with the origin, where
    /// `coherence` has a feed): what is written anywhere is old here within the bound.
    ///
    /// Keys travel as text: `FromStr` must read what `Display` writes. The first coherence stays.
    /// With [`coherent`](crate::NamespaceOptions::coherent) off, the namespace is left to its TTL: the
    /// feed is not relayed for it, and it needs no proof. What somebody invalidates by hand
    /// it tells and hears all the same, as soon as the backplane is heard.
    #[must_use]
    pub fn coherent(self, coherence: &Arc<Coherence>) -> Self {
        let inner = &self.inner;
        if inner.coherence.set(Arc::clone(coherence)).is_ok() {
            let member: Shadow<K, V> = Shadow(Arc::downgrade(inner), PhantomData);
            let options = &inner.options;
            let aloof = (!options.coherent).then_some(options.floor_epoch);
            coherence.join(&inner.namespace, Arc::new(member), aloof);
        }
        self
    }
}

impl<K: CacheKey, V: CacheValue> Inner<K, V> {
    /// Tells other processes; else why that was not possible.
    pub(super) async fn tell(&self, event: impl FnOnce() -> Event) -> Result<(), &'static str> {
        match self.coherence.get() {
            Some(coherence) => coherence.tell(event()).await,
            None => Ok(()),
        }
    }

    /// Who proves that this process has missed nothing; nobody where entries go by their TTL.
    pub(super) fn prover(&self) -> Option<&Coherence> {
        self.coherence.get().filter(|_| self.options.coherent).map(|coherence| &**coherence)
    }

    /// Whether a change of `key` is kept from everybody, on purpose.
    pub(super) fn hides(&self, key: &K) -> bool {
        let sabotage = self.coherence.get().map(|coherence| coherence.sabotage());
        sabotage.is_some_and(|sabotage| sabotage.hides(&key.to_string()))
    }
}

/// A cache by the text of its keys. It does not keep it alive.
struct Shadow<K: CacheKey, V: CacheValue>(Weak<Inner<K, V>>, PhantomData<fn(&str) -> K>);

impl<K: CacheKey + FromStr, V: CacheValue> Member for Shadow<K, V> {
    fn is_alive(&self) -> bool {
        self.0.strong_count() > 0
    }

    fn invalidated(&self, key: &str, version: Version, source: Source) {
        let Some(inner) = self.0.upgrade() else { return };
        match source {
            Source::Feed => inner.counters.invalidations_feed.up(),
            Source::Backplane => inner.counters.invalidations_backplane.up(),
        }
        inner.raise_floor(version.epoch);
        match key.parse() {
            Ok(key) => inner.forget(&key, version),
            // Not a key of this cache, so it holds nothing of it.
            Err(_) => tracing::debug!(namespace = %inner.namespace, key, "not a key"),
        }
    }

    fn tag_invalidated(&self, name: &str, version: Version) {
        let Some(inner) = self.0.upgrade() else { return };
        inner.counters.invalidations_backplane.up();
        inner.raise_barrier(&name.into(), version);
        inner.flights.detach_all();
    }

    fn epoch_raised(&self, epoch: u32) {
        let Some(inner) = self.0.upgrade() else { return };
        if epoch > inner.floor() {
            inner.clear_before(epoch);
        }
    }

    fn missed(&self) {
        let Some(inner) = self.0.upgrade() else { return };
        if let Some(l1) = &inner.l1 {
            l1.clear();
        }
        inner.flights.detach_all();
    }
}
