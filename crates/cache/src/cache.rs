//! The cache of one namespace.

use std::fmt::{self, Display};
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;

use crate::codec::{CacheValue, fingerprint};
use crate::entry::{Entry, StoredValue};
use crate::key::KeySpace;
use crate::load::{LoadLimit, Overloaded};
use crate::lookup::{Fill, Hit, Invalidation, Loaded, Lookup, Miss, Tier};
use crate::options::{NamespaceOptions, OptionError, UNBOUNDED_TTL};
use crate::telemetry::{Counters, Metrics};
use crate::tier::{L2, Verdict};
use crate::version::Version;

/// The entries of one namespace, with keys `K` and values `V`.
///
/// These are the primitives that a strategy is written with; none of them fails because
/// Redis does.
pub struct Cache<K, V> {
    namespace: String,
    keys: KeySpace,
    l2: Arc<L2>,
    options: NamespaceOptions,
    limit: LoadLimit,
    counters: Arc<Counters>,
    types: PhantomData<fn(&K, &V)>,
}

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("namespace", &self.namespace)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl<K: Display, V: CacheValue> Cache<K, V> {
    const FINGERPRINT: u32 = fingerprint(V::SCHEMA);

    /// The namespace `namespace` of `environment` (which keeps, say, staging and production
    /// apart on one cluster), counted in `metrics`.
    ///
    /// # Errors
    ///
    /// Names the first option that cannot work.
    pub fn new(
        environment: &str,
        namespace: &str,
        options: NamespaceOptions,
        l2: Arc<L2>,
        metrics: &Metrics,
    ) -> Result<Self, OptionError> {
        options.validate()?;
        Ok(Self {
            namespace: namespace.to_owned(),
            keys: KeySpace::new(environment, namespace),
            l2,
            limit: LoadLimit::new(options.max_concurrent_loads, options.load_wait),
            options,
            counters: metrics.namespace(namespace),
            types: PhantomData,
        })
    }

    /// The options it was made with.
    #[must_use]
    pub fn options(&self) -> &NamespaceOptions {
        &self.options
    }

    /// Looks `key` up. One plain read; what cannot be decoded is a miss.
    pub async fn lookup(&self, key: &K) -> Lookup<V> {
        let span = tracing::debug_span!(
            "cache.lookup",
            larder.namespace = %self.namespace,
            larder.tier = "l2",
            larder.outcome = tracing::field::Empty,
        );
        let lookup = self.read(key).instrument(span.clone()).await;
        let (counter, outcome) = match &lookup {
            Lookup::Hit(_) => (&self.counters.hits, "hit"),
            Lookup::Miss(_) => (&self.counters.misses, "miss"),
        };
        counter.up();
        span.record("larder.outcome", outcome);
        lookup
    }

    /// Runs `load`, which reads the origin, when its turn comes, and takes its time.
    ///
    /// # Errors
    ///
    /// [`Overloaded`] when more loads are wanted than the origin is to be asked at once.
    pub async fn load<F: Future>(&self, load: F) -> Result<Loaded<F::Output>, Overloaded> {
        let span = tracing::debug_span!("cache.load", larder.namespace = %self.namespace);
        let timed = async {
            self.counters.loads.up();
            let began = Instant::now();
            let value = load.await;
            Loaded { value, cost: began.elapsed() }
        };
        self.limit.run(timed.instrument(span)).await
    }

    /// Stores what a load returned, unless a newer version or tombstone is there.
    pub async fn fill(&self, key: &K, version: Version, value: &V, cost: Duration) -> Fill {
        let payload = match value.encode() {
            Ok(payload) => payload,
            Err(error) => {
                tracing::error!(namespace = %self.namespace, %key, %error, "value has no encoding");
                return Fill::NotEncodable;
            }
        };
        let entry = Entry::Value(StoredValue {
            version,
            codec: V::CODEC,
            fingerprint: Self::FINGERPRINT,
            load_cost: cost,
            payload,
        });
        let ttl = self.options.ttl.unwrap_or(UNBOUNDED_TTL);
        let span = tracing::debug_span!("cache.fill", larder.namespace = %self.namespace);
        let key = self.keys.key(key);
        match self.l2.fill(&key, entry.encode(), version, ttl).instrument(span).await {
            Ok(Verdict::Stored) => Fill::Stored,
            Ok(Verdict::Newer) => {
                self.counters.fills_rejected.up();
                Fill::Rejected
            }
            Err(error) => Fill::Unavailable(error),
        }
    }

    /// Makes every value of `key` older than `version` disappear, and keeps those out that
    /// loads already under way will bring.
    pub async fn invalidate(&self, key: &K, version: Version) -> Invalidation {
        self.counters.invalidations.up();
        let tombstone = Entry::Tombstone(version).encode();
        let span = tracing::debug_span!("cache.invalidate", larder.namespace = %self.namespace);
        let ttl = self.options.tombstone_ttl;
        let key = self.keys.key(key);
        match self.l2.invalidate(&key, tombstone, version, ttl).instrument(span).await {
            Ok(Verdict::Stored | Verdict::Newer) => Invalidation::Done,
            Err(error) => {
                self.counters.invalidations_lost.up();
                Invalidation::Unavailable(error)
            }
        }
    }

    async fn read(&self, key: &K) -> Lookup<V> {
        let life = self.options.ttl.is_some();
        let held = match self.l2.read(&self.keys.key(key), life).await {
            Ok(Some(held)) => held,
            Ok(None) => return Lookup::Miss(Miss::Absent),
            Err(error) => return Lookup::Miss(Miss::Unavailable(error)),
        };
        let stored = match Entry::decode(&held.bytes) {
            Ok(Entry::Value(stored)) => stored,
            Ok(Entry::Tombstone(_)) => return Lookup::Miss(Miss::Invalidated),
            Err(why) => {
                self.counters.unreadable(why);
                return Lookup::Miss(Miss::Unreadable);
            }
        };
        if stored.version.epoch < self.options.floor_epoch {
            return Lookup::Miss(Miss::Invalidated);
        }
        if stored.fingerprint != Self::FINGERPRINT || stored.codec != V::CODEC {
            self.counters.other_schema();
            return Lookup::Miss(Miss::Unreadable);
        }
        match V::decode(stored.payload) {
            Ok(value) => Lookup::Hit(Hit {
                value,
                version: stored.version,
                tier: Tier::L2,
                remaining: held.remaining,
            }),
            Err(error) => {
                tracing::debug!(namespace = %self.namespace, %error, "stored value unreadable");
                self.counters.unreadable(crate::entry::Unreadable::Corrupt);
                Lookup::Miss(Miss::Unreadable)
            }
        }
    }
}
