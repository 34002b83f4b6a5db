//! What writes do to the cache, and what an operator sees of it.

use std::error::Error;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;
use tracing::Instrument;

use super::{Cache, CacheKey, Inner};
use crate::codec::CacheValue;
use crate::coherence::Event;
use crate::entry::{Entry, is_leased};
use crate::lookup::{Freshness, Held, Inspection, Invalidation, Loaded, Publication, State};
use crate::tag::{Tag, Tags};
use crate::tier::{Kept, Place, Store, Stored, TierError, Token, Verdict};
use crate::version::Version;

impl<K: CacheKey, V: CacheValue> Cache<K, V> {
    /// Makes every value of `key` older than `version` disappear, and keeps those out that
    /// loads already under way will bring.
    ///
    /// L2 is told first, then this process, then the others. What could not be told is left to
    /// the change feed, where there is one.
    pub async fn invalidate(&self, key: &K, version: Version) -> Invalidation {
        let inner = &self.inner;
        inner.counters.invalidations.up();
        if inner.hides(key) {
            return Invalidation::Done;
        }
        let redis_key = inner.keys.key(key);
        let outcome = match &inner.l2 {
            None => Ok(Verdict::Stored),
            Some(l2) => {
                let span =
                    tracing::debug_span!("cache.invalidate", larder.namespace = %inner.namespace);
                let tombstone = Entry::Tombstone(version).encode();
                let life = inner.options.tombstone_ttl;
                l2.invalidate(&redis_key, tombstone, version, life).instrument(span).await
            }
        };
        // After L2, so that nothing old is taken from there once it is gone from here.
        inner.forget(key, version);
        match outcome {
            Ok(_) => inner.ahead.settle(key, version),
            Err(_) => inner.go_ahead(key, version),
        }
        let told = inner.tell(|| Event::key(&inner.namespace, &key.to_string(), version)).await;
        inner.outcome(outcome.map(drop), told)
    }

    /// [`invalidate`](Self::invalidate) for several keys, in one round trip for all.
    pub async fn invalidate_many(&self, changes: &[(K, Version)]) -> Vec<Invalidation> {
        join_all(changes.iter().map(|(key, version)| self.invalidate(key, *version))).await
    }

    /// Makes every value disappear that has the tag `name` in a version older than `version`,
    /// and keeps those out that loads already under way will bring.
    ///
    /// It costs one command, however many values that are; each is reloaded when it is asked
    /// for. Other processes are told; without coherence, values live on in their L1 for as long
    /// as `l1.ttl`.
    pub async fn invalidate_tag(&self, name: &str, version: Version) -> Invalidation {
        let inner = &self.inner;
        inner.counters.invalidations.up();
        let outcome = match &inner.l2 {
            None => Ok(()),
            Some(l2) => {
                let span =
                    tracing::debug_span!("cache.invalidate", larder.namespace = %inner.namespace);
                inner.set_barrier(l2, name, version).instrument(span).await
            }
        };
        // After L2, as with a key.
        inner.raise_barrier(&name.into(), version);
        // Which keys are concerned is not known: who asks from now on joins no older load.
        inner.flights.detach_all();
        let told = inner.tell(|| Event::tag(&inner.namespace, name, version)).await;
        inner.outcome(outcome, told)
    }

    /// Stores what a write produced: `value` in `version`, or with `None` that the origin has
    /// no such value any more.
    pub async fn put(&self, key: &K, version: Version, value: Option<&V>) -> Publication {
        let made = match value {
            Some(value) => Loaded::found(version, value.clone()),
            None => Loaded::absent(version),
        };
        self.publish(key, made).await
    }

    /// [`put`](Self::put) of a value with tags or a TTL of its own.
    pub async fn publish(&self, key: &K, made: Loaded<V>) -> Publication {
        let place = self.inner.place(key);
        self.publish_under(&Token::none(), key, made, place).await
    }

    /// Loads `key` anew after a write that made `version`, and publishes what the load brings.
    ///
    /// It asks for the key's lease first, so that the value is stored also where nothing was:
    /// without one, a tombstone would stand there. Readers go on hitting the old value until the
    /// new one takes its place. When the load fails, the old one is invalidated instead.
    pub async fn republish<L, E>(&self, key: &K, version: Version, load: L) -> Publication
    where
        L: Future<Output = Result<Loaded<V>, E>>,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let inner = &self.inner;
        let redis_key = inner.keys.key(key);
        // Before it is loaded: what is invalidated meanwhile keeps the value out of L1.
        let place = inner.place(key);
        let token = inner.try_lease(&redis_key).await;
        let load = inner.load(async { load.await.map_err(Into::into) });
        let loaded = match (&inner.l2, &token) {
            (Some(l2), Some(token)) => inner.renewing(l2, &redis_key, token, load).await,
            _ => load.await,
        };
        let problem = match loaded {
            Ok((made, _cost)) if made.version >= version => {
                let token = token.unwrap_or_else(Token::none);
                let publication = self.publish_under(&token, key, made, place).await;
                if publication == Publication::Superseded {
                    // What is there as new came without this lease.
                    inner.give_back(&redis_key, Some(token)).await;
                }
                return publication;
            }
            Ok(_) => "the load brought an older value".to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::debug!(namespace = %inner.namespace, problem, "invalidated instead of published");
        // It ends the lease as well.
        match self.invalidate(key, version).await {
            Invalidation::Done => Publication::Guarded,
            Invalidation::Unavailable(why) => Publication::Unavailable(why),
        }
    }

    /// `place`: `key`'s, from before the value was read.
    async fn publish_under(
        &self,
        token: &Token,
        key: &K,
        made: Loaded<V>,
        place: Option<Place>,
    ) -> Publication {
        let Loaded { value, version, ttl, tags } = made;
        let inner = &self.inner;
        inner.raise_floor(version.epoch);
        let life = inner.life(ttl, value.is_none());
        if life.0.is_zero() {
            return match self.invalidate(key, version).await {
                Invalidation::Done => Publication::Guarded,
                Invalidation::Unavailable(why) => Publication::Unavailable(why),
            };
        }
        let publication = match &inner.l2 {
            None => Publication::Stored,
            Some(l2) => {
                let cost = Duration::ZERO;
                let Some(entry) = inner.envelope(version, (value.as_ref(), &tags), cost, life)
                else {
                    // What cannot be stored must not leave an older one where it is.
                    Box::pin(self.invalidate(key, version)).await;
                    return Publication::NotEncodable;
                };
                if let Err(error) = inner.set_barriers(l2, &tags).await {
                    Box::pin(self.invalidate(key, version)).await;
                    return Publication::Unavailable(error.reason());
                }
                let redis_key = inner.keys.key(key);
                let store = Store { key: &redis_key, entry, version, life: life.0, token };
                let tombstone = Entry::Tombstone(version).encode();
                let tombstone_life = inner.options.tombstone_ttl;
                let span =
                    tracing::debug_span!("cache.publish", larder.namespace = %inner.namespace);
                match l2.publish(store, tombstone, tombstone_life).instrument(span).await {
                    Ok(Verdict::Stored) => Publication::Stored,
                    Ok(Verdict::Newer) => Publication::Superseded,
                    Ok(Verdict::Guarded | Verdict::LeaseLost) => Publication::Guarded,
                    Err(error) => Publication::Unavailable(error.reason()),
                }
            }
        };
        let place = inner.replace(key, place, version);
        match publication {
            Publication::Stored | Publication::Superseded => inner.ahead.settle(key, version),
            Publication::Unavailable(_) => inner.go_ahead(key, version),
            _ => {}
        }
        if publication == Publication::Stored {
            let now = Instant::now();
            let kept = Kept {
                size: value.as_ref().map_or(0, V::size),
                value,
                version,
                load_cost: Duration::ZERO,
                since: now,
                fresh_until: Some(now + life.0 - life.1),
                until: now + life.0,
                age: Some(Duration::ZERO),
                tags,
            };
            inner.admit(key, place, kept);
        }
        match inner.tell(|| Event::key(&inner.namespace, &key.to_string(), version)).await {
            Ok(()) => publication,
            Err(why) => {
                inner.counters.invalidations_lost.up();
                Publication::Unavailable(why)
            }
        }
    }

    /// Makes everything of an epoch before `epoch` disappear, here at once, in other processes
    /// as soon as they are told, or see a value of the new epoch.
    ///
    /// The epoch must be one that the origin will give to what it loads from now on.
    pub async fn clear(&self, epoch: u32) -> Invalidation {
        let inner = &self.inner;
        inner.clear_before(epoch);
        let told = inner.tell(|| Event::epoch(&inner.namespace, epoch)).await;
        inner.outcome(Ok(()), told)
    }

    /// What the tiers hold of `key`. It changes nothing: no lease, no use that eviction sees
    /// in Redis.
    pub async fn inspect(&self, key: &K) -> Inspection {
        let inner = &self.inner;
        let now = Instant::now();
        let show = |kept: &Kept<V>| {
            let fresh = kept.fresh_until.is_none_or(|until| until > now);
            Held {
                state: if kept.value.is_some() { State::Value } else { State::Negative },
                version: kept.version,
                bytes: kept.size,
                expires_in: kept.until - now,
                freshness: if fresh { Freshness::Fresh } else { Freshness::Stale },
                leased: inner.flights.is_flying(key),
                tags: list(&kept.tags),
            }
        };
        let l1 = inner.l1.as_ref().and_then(|l1| l1.get(key, now, show));
        let l2 = match &inner.l2 {
            None => Ok(None),
            Some(l2) => match l2.read(&inner.keys.key(key), true).await {
                Ok(stored) => Ok(stored.map(|stored| held(&stored))),
                Err(error) => Err(error.reason()),
            },
        };
        Inspection { l1, l2 }
    }
}

impl<K: CacheKey, V: CacheValue> Inner<K, V> {
    /// Whether both L2 and the other processes were told.
    fn outcome(
        &self,
        in_l2: Result<(), TierError>,
        told: Result<(), &'static str>,
    ) -> Invalidation {
        match in_l2.map_err(|error| error.reason()).and(told) {
            Ok(()) => Invalidation::Done,
            Err(why) => {
                self.counters.invalidations_lost.up();
                Invalidation::Unavailable(why)
            }
        }
    }

    /// What is older than `version` leaves this process; the place of what comes instead, which
    /// enters unless `key` was invalidated since it was in `place`.
    fn replace(&self, key: &K, place: Option<Place>, version: Version) -> Option<Place> {
        let l1 = self.l1.as_ref().zip(place);
        let place = l1.map(|(l1, place)| l1.replace(key, place, version));
        self.flights.detach(key);
        place
    }

    /// What is older than `version` leaves this process, and does not come in again.
    pub(super) fn forget(&self, key: &K, version: Version) {
        if let Some(l1) = &self.l1 {
            l1.invalidate(key, version);
        }
        self.flights.detach(key);
    }
}

fn held(stored: &Stored) -> Held {
    let mut tags = Vec::new();
    let (state, version, bytes, stale) = match Entry::decode(&stored.bytes) {
        Ok(Entry::Value(value)) => {
            let state = if value.negative { State::Negative } else { State::Value };
            tags = list(&value.tags);
            (state, value.version, value.payload.len(), value.stale)
        }
        Ok(Entry::Tombstone(version)) => (State::Tombstone, version, 0, Duration::ZERO),
        Ok(Entry::Lease(version)) => (State::Lease, version, 0, Duration::ZERO),
        Err(_) => (State::Unreadable, Version::default(), stored.bytes.len(), Duration::ZERO),
    };
    let expires_in = stored.remaining.unwrap_or_default();
    let stale = !stale.is_zero() && expires_in <= stale;
    Held {
        state,
        version,
        bytes,
        expires_in,
        freshness: if stale { Freshness::Stale } else { Freshness::Fresh },
        leased: is_leased(&stored.bytes),
        tags,
    }
}

fn list(tags: &Tags) -> Vec<Tag> {
    tags.as_deref().unwrap_or_default().to_vec()
}
