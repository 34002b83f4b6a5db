//! The cache of one namespace: what it is made of, and how it is asked.

mod ahead;
mod answer;
mod find;
mod fly;
mod many;
mod member;
mod write;

use std::collections::HashMap;
use std::error::Error;
use std::fmt::{self, Display};
use std::future::Future;
use std::hash::Hash;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;

use self::ahead::Ahead;
use self::fly::Job;
use crate::codec::{CacheValue, fingerprint};
use crate::coherence::Coherence;
use crate::key::KeySpace;
use crate::load::{Flights, LoadLimit, Overloaded, Source};
use crate::lookup::{GetError, Loaded, Lookup};
use crate::options::{CallOptions, NamespaceOptions, OptionError};
use crate::tag::Barriers;
use crate::telemetry::{Counters, Metrics};
use crate::tier::{L1, L2};

/// What a key can be: it names an entry in Redis by its `Display`, and one in this process by
/// its `Eq`, which must agree.
pub trait CacheKey: Display + Hash + Eq + Clone + Send + Sync + 'static {}

impl<K: Display + Hash + Eq + Clone + Send + Sync + 'static> CacheKey for K {}

/// The entries of one namespace, with keys `K` and values `V`. Clones share them.
///
/// Nothing here fails because Redis does: then values are loaded, one load per key and
/// process, and no more at once than the namespace's cap.
pub struct Cache<K: CacheKey, V: CacheValue> {
    inner: Arc<Inner<K, V>>,
}

/// How a load ended, for all who waited for it.
type Outcome<V> = Result<Lookup<V>, GetError>;

struct Inner<K: CacheKey, V: CacheValue> {
    namespace: String,
    keys: KeySpace,
    l1: Option<L1<K, V>>,
    l2: Option<Arc<L2>>,
    options: NamespaceOptions,
    limit: LoadLimit,
    counters: Arc<Counters>,
    flights: Arc<Flights<K, Outcome<V>>>,
    /// Until when a key's stale value is served without another try.
    failures: Mutex<HashMap<K, Instant>>,
    /// The largest epoch seen: entries of a smaller one are misses.
    floor: AtomicU32,
    barriers: Barriers,
    ahead: Ahead<K>,
    coherence: OnceLock<Arc<Coherence>>,
    source: OnceLock<Box<dyn Source<K, V>>>,
}

impl<K: CacheKey, V: CacheValue> Clone for Cache<K, V> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<K: CacheKey, V: CacheValue> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("namespace", &self.inner.namespace)
            .field("options", &self.inner.options)
            .finish_non_exhaustive()
    }
}

impl<K: CacheKey, V: CacheValue> Cache<K, V> {
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
        let inner = Arc::new(Inner {
            namespace: namespace.to_owned(),
            keys: KeySpace::new(environment, namespace),
            l1: options.l1.as_ref().map(L1::new),
            l2: options.l2.then_some(l2),
            limit: LoadLimit::new(options.max_concurrent_loads, options.load_wait),
            counters: metrics.namespace(namespace),
            flights: Arc::new(Flights::new()),
            failures: Mutex::default(),
            floor: AtomicU32::new(options.floor_epoch),
            barriers: Barriers::default(),
            ahead: Ahead::default(),
            coherence: OnceLock::new(),
            source: OnceLock::new(),
            options,
        });
        let weak = Arc::downgrade(&inner);
        inner.counters.set_usage(move || Some(weak.upgrade()?.l1.as_ref()?.usage()));
        Ok(Self { inner })
    }

    /// The same cache with `source` as its origin, which [`get`](Self::get) loads from. The
    /// first source stays.
    #[must_use]
    pub fn with_source(self, source: impl Source<K, V>) -> Self {
        let _already = self.inner.source.set(Box::new(source));
        self
    }

    /// The options it was made with.
    #[must_use]
    pub fn options(&self) -> &NamespaceOptions {
        &self.inner.options
    }

    /// The value of `key`: from L1, from L2, or loaded from the registered source.
    ///
    /// # Errors
    ///
    /// When it must be loaded and the load fails, is shed or takes too long, and no stale
    /// value may stand in for it.
    pub async fn get(&self, key: &K) -> Result<Lookup<V>, GetError> {
        self.get_by(key, &CallOptions::default()).await
    }

    /// [`get`](Self::get) with options of this call.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub async fn get_by(&self, key: &K, call: &CallOptions) -> Result<Lookup<V>, GetError> {
        let source = self.inner.source.get().ok_or(GetError::NoSource)?;
        self.inner.answer(key, call, || source.load(key.clone())).await
    }

    /// The value of `key`: from L1, from L2, or loaded by `load`, which is not run when the
    /// value is there or another load of this key is under way, in this process or another.
    ///
    /// `load` runs to its end also when the caller does not wait for it: others may.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub async fn get_with<F, L, E>(&self, key: &K, load: F) -> Result<Lookup<V>, GetError>
    where
        F: FnOnce() -> L,
        L: Future<Output = Result<Loaded<V>, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.get_with_by(key, &CallOptions::default(), load).await
    }

    /// [`get_with`](Self::get_with) with options of this call.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub async fn get_with_by<F, L, E>(
        &self,
        key: &K,
        call: &CallOptions,
        load: F,
    ) -> Result<Lookup<V>, GetError>
    where
        F: FnOnce() -> L,
        L: Future<Output = Result<Loaded<V>, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let begin = || -> Job<V> {
            let load = load();
            Box::pin(async { load.await.map_err(Into::into) })
        };
        self.inner.answer(key, call, begin).await
    }

    /// Runs `load`, which reads the origin, when its turn comes, past the tiers.
    ///
    /// # Errors
    ///
    /// [`Overloaded`] when more loads are wanted than the origin is to be asked at once.
    pub async fn bypass<F: Future>(&self, load: F) -> Result<F::Output, Overloaded> {
        let counted = async {
            self.inner.counters.loads.up();
            load.await
        };
        self.inner.limit.run(counted.instrument(self.inner.load_span())).await
    }
}

impl<K: CacheKey, V: CacheValue> Inner<K, V> {
    const FINGERPRINT: u32 = fingerprint(V::SCHEMA);

    fn floor(&self) -> u32 {
        self.floor.load(Ordering::Acquire)
    }

    /// Everything of an epoch before this is old.
    fn raise_floor(&self, epoch: u32) {
        if epoch > self.floor() {
            self.floor.fetch_max(epoch, Ordering::AcqRel);
        }
    }

    /// Everything of an epoch before `epoch` is gone from this process.
    fn clear_before(&self, epoch: u32) {
        self.raise_floor(epoch);
        self.flights.detach_all();
        if let Some(l1) = &self.l1 {
            l1.clear();
        }
    }

    /// The life of a value with `ttl` of its own, and the part of it that is stale.
    fn life(&self, ttl: Option<Duration>, negative: bool) -> (Duration, Duration) {
        let unbounded = crate::options::UNBOUNDED_TTL;
        if negative {
            return (ttl.unwrap_or(self.options.negative_ttl), Duration::ZERO);
        }
        let Some(ttl) = ttl.or(self.options.ttl) else { return (unbounded, Duration::ZERO) };
        let kept = 1.0 - self.options.jitter * rand::random::<f64>();
        let stale = self.options.stale_for;
        (ttl.mul_f64(kept).saturating_add(stale).min(unbounded), stale)
    }
}
