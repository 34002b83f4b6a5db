//! The cache of one namespace: what it is made of, and its reads.

mod ahead;
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
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tracing::Instrument;

use self::ahead::Ahead;
use self::find::Found;
use self::fly::{Course, Job};
use crate::codec::{CacheValue, fingerprint};
use crate::coherence::Coherence;
use crate::key::KeySpace;
use crate::load::{Flights, Joined, LoadLimit, Overloaded, Source, Takeoff};
use crate::lookup::{GetError, Loaded, Lookup, Miss, Tier};
use crate::options::{CallOptions, Coalesce, NamespaceOptions, OptionError};
use crate::tag::Barriers;
use crate::telemetry::{Counters, Metrics};
use crate::tier::{Enough, L1, L2};

/// Keys whose loads failed lately, at most; beyond it, what has been forgiven is forgotten.
const FAILURES_KEPT: usize = 4_096;

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

/// What to do with what the tiers have.
enum Decision<V> {
    /// Answer it; where there is not `Enough`, reload it in the background.
    Answer(Lookup<V>, Option<Enough>),
    /// Load; the value stands in for one that does not come.
    Load(Option<Lookup<V>>, Course),
}

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

    /// The course of a lookup: the tiers, then a load that may be another's.
    async fn answer(
        self: &Arc<Self>,
        key: &K,
        call: &CallOptions,
        begin: impl FnOnce() -> Job<V>,
    ) -> Outcome<V> {
        let found = self.find(key, call.min_version).await;
        match self.decide(key, call, found) {
            Decision::Answer(lookup, enough) => {
                if let Some(enough) = enough {
                    self.refresh(key, enough, begin);
                }
                Ok(lookup)
            }
            Decision::Load(fallback, course) => {
                self.settle(call, fallback, self.load_once(key, course, begin)).await
            }
        }
    }

    /// What is to be done with what the tiers have.
    fn decide(&self, key: &K, call: &CallOptions, found: Found<V>) -> Decision<V> {
        match found {
            Found::Fresh(lookup, due) => {
                self.counters.hits.up();
                Decision::Answer(lookup, due)
            }
            Found::Stale(lookup, course) if !call.only_fresh => {
                let at_once = call.stale_while_revalidate;
                let at_once =
                    at_once.unwrap_or(self.options.stale_while_revalidate) && !course.unproven;
                let forgiven = self.is_forgiven(key);
                if at_once || !forgiven {
                    self.counters.hits.up();
                    return Decision::Answer(lookup, forgiven.then_some(course.enough));
                }
                Decision::Load(Some(lookup), course)
            }
            Found::Stale(_, course) | Found::Miss(course) => Decision::Load(None, course),
        }
    }

    /// Waits for a load as long as is worth it, with a stale value to fall back on.
    async fn settle(
        &self,
        call: &CallOptions,
        fallback: Option<Lookup<V>>,
        loaded: impl Future<Output = Outcome<V>>,
    ) -> Outcome<V> {
        let soft = call.soft_timeout.or(self.options.soft_timeout);
        let outcome = match (soft, &fallback) {
            // Past it the load goes on, and fills.
            (Some(limit), Some(_)) => timeout(limit, loaded).await.ok(),
            _ => Some(loaded.await),
        };
        let stands_in = match &outcome {
            None => true,
            Some(outcome) => outcome.is_err() && self.options.stale_on_error,
        };
        if let Some(stale) = fallback.filter(|_| stands_in) {
            self.counters.hits.up();
            return Ok(stale);
        }
        self.counters.misses.up();
        outcome.expect("only who has a fallback stops waiting")
    }

    /// Leads the load of `key`, or waits for the one under way, if it brings what is new
    /// enough: what was asked for, or else what the origin has by now.
    async fn load_once(
        self: &Arc<Self>,
        key: &K,
        course: Course,
        begin: impl FnOnce() -> Job<V>,
    ) -> Outcome<V> {
        if self.coherence.get().is_some_and(|coherence| !coherence.is_awake(Instant::now())) {
            // This process was frozen: what it was loading then may be old by now.
            self.flights.detach(key);
        }
        if self.options.coalesce == Coalesce::Request {
            return self.load_alone(key.clone(), course, begin()).await;
        }
        let mut waited = false;
        loop {
            match self.flights.join(key) {
                Joined::Leader(takeoff, passenger) => {
                    self.depart(takeoff, key.clone(), course, begin());
                    return passenger.arrive().await.unwrap_or(Err(GetError::Aborted));
                }
                Joined::Passenger(passenger) => {
                    self.counters.coalesced_process.up();
                    match passenger.arrive().await {
                        // It began before the change that this caller has seen. The next one
                        // does not: what the origin answers then is its newest, should even that
                        // be older than what was asked for.
                        Some(Ok(lookup))
                            if lookup.version < course.at_least
                                && !(waited && lookup.tier == Tier::Origin) =>
                        {
                            waited = true;
                        }
                        Some(outcome) => return outcome,
                        None => return Err(GetError::Aborted),
                    }
                }
            }
        }
    }

    /// Loads `key` whoever else does.
    async fn load_alone(self: &Arc<Self>, key: K, course: Course, job: Job<V>) -> Outcome<V> {
        let inner = Arc::clone(self);
        let load = async move { inner.fly(&key, course, job).await };
        // A task of its own, as a flight is: a caller who goes away does not end it.
        let load = tokio::spawn(load.instrument(self.load_span()));
        load.await.unwrap_or(Err(GetError::Aborted))
    }

    /// Loads in the background, unless somebody does already.
    fn refresh(self: &Arc<Self>, key: &K, enough: Enough, begin: impl FnOnce() -> Job<V>) {
        if self.flights.is_flying(key) {
            return;
        }
        if let Joined::Leader(takeoff, _nobody) = self.flights.join(key) {
            self.counters.refreshes.up();
            let noted = self.ahead.least(key);
            let course =
                Course { miss: Miss::Stale, at_least: noted, noted, enough, unproven: false };
            self.depart(takeoff, key.clone(), course, begin());
        }
    }

    /// Sees to a flight in a task of its own: a caller who goes away does not end it.
    fn depart(
        self: &Arc<Self>,
        takeoff: Takeoff<K, Outcome<V>>,
        key: K,
        course: Course,
        job: Job<V>,
    ) {
        let inner = Arc::clone(self);
        let flight = async move {
            let outcome = inner.fly(&key, course, job).await;
            takeoff.land(outcome);
        };
        tokio::spawn(flight.instrument(self.load_span()));
    }

    /// A load, made where it is asked for: the task that it runs in has no other tie to the
    /// request's trace.
    fn load_span(&self) -> tracing::Span {
        tracing::debug_span!("cache.load", larder.namespace = %self.namespace)
    }

    /// Whether `key` may be loaded again although a stale value is there.
    fn is_forgiven(&self, key: &K) -> bool {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(key).is_none_or(|until| *until <= Instant::now())
    }

    /// Remembers whether the load of `key` failed.
    fn judge(&self, key: &K, failed: bool) {
        if self.options.stale_for.is_zero() {
            return;
        }
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failed {
            let now = Instant::now();
            if failures.len() >= FAILURES_KEPT {
                failures.retain(|_, until| *until > now);
            }
            failures.insert(key.clone(), now + self.options.error_backoff);
        } else {
            failures.remove(key);
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
