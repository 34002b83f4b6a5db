//! A load's way: the lease, the origin, the fill.

use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep, timeout};
use tracing::Instrument;

use super::{CacheKey, Inner, Outcome};
use crate::codec::{CacheValue, Compression};
use crate::entry::{Entry, StoredValue, fits};
use crate::lookup::{Freshness, GetError, LoadError, Loaded, Lookup, Miss, Tier};
use crate::options::{Coalesce, UNBOUNDED_TTL};
use crate::tag::Tags;
use crate::tier::{Acquire, Acquired, Enough, Kept, L2, Place, Store, TierError, Token, Verdict};
use crate::version::Version;

/// A load, not yet begun.
pub(super) type Job<V> =
    Pin<Box<dyn Future<Output = Result<Loaded<V>, Box<dyn Error + Send + Sync>>> + Send>>;

/// How long one who waits for another process's load sleeps at first before it looks again,
/// should no wake-up come …
const FIRST_POLL: Duration = Duration::from_millis(50);
/// … and at most.
const LAST_POLL: Duration = Duration::from_millis(400);

/// A barrier outlives every entry: it is set before the fill, and no entry lives longer than
/// the shortest of these.
const BARRIER_LIFE: Duration = UNBOUNDED_TTL.saturating_mul(2);

/// Why a load is wanted, and what would make it needless.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    pub(super) miss: Miss,
    /// What is older is no answer.
    pub(super) at_least: Version,
    /// What this process had answered past L2 when the load was wanted, or began.
    pub(super) noted: Version,
    pub(super) enough: Enough,
    /// Whether what could stand in for the load may be older than anything here knows: then it
    /// does so only when the load fails.
    pub(super) unproven: bool,
}

/// What the wish for a lease led to.
pub(super) enum Leased<V> {
    /// The value is there by now.
    Needless(Lookup<V>),
    /// The lease is held, under this token.
    Held(Token),
    /// There is no tier to lease from, or another one has the lease and is not waited for: the
    /// load fills nothing there.
    Without,
}

impl<K: CacheKey, V: CacheValue> Inner<K, V> {
    /// Loads `key` and fills it, unless the value comes from elsewhere meanwhile.
    pub(super) async fn fly(&self, key: &K, course: Course, job: Job<V>) -> Outcome<V> {
        let (place, course) = self.depart_from(key, course);
        let redis_key = self.keys.key(key);
        let token = match self.lease(key, &redis_key, place, course).await? {
            Leased::Needless(lookup) => return Ok(lookup),
            Leased::Held(token) => Some(token),
            Leased::Without => None,
        };
        let load = self.load(job);
        let outcome = match (&token, &self.l2) {
            (Some(token), Some(l2)) => self.renewing(l2, &redis_key, token, load).await,
            _ => load.await,
        };
        self.judge(key, outcome.is_err());
        match outcome {
            Ok(fresh) => Ok(self.fill(key, &redis_key, place, course, token, fresh).await),
            Err(error) => {
                self.give_back(&redis_key, token).await;
                Err(error)
            }
        }
    }

    /// Asks for the lease until it is granted or the value is there.
    pub(super) async fn lease(
        &self,
        key: &K,
        redis_key: &str,
        place: Option<Place>,
        mut course: Course,
    ) -> Result<Leased<V>, GetError> {
        let Some(l2) = &self.l2 else { return Ok(Leased::Without) };
        let token = Token::unique();
        let patience = self.options.load_deadline + self.options.load_wait;
        let began = Instant::now();
        let mut poll = FIRST_POLL;
        loop {
            // Made before the question is asked: no wake-up falls in between.
            let listener = l2.listen(redis_key);
            let woken = listener.woken();
            match l2.acquire(&self.wish(redis_key, &token, course.enough)).await {
                Ok(Acquired::Granted) => return Ok(Leased::Held(token)),
                Ok(Acquired::Hit(stored)) => {
                    let sighted = match self.interpret(&stored, course.at_least) {
                        Ok(sighted) => self.past_barriers(l2, sighted, course.at_least).await,
                        Err(miss) => Err(miss),
                    };
                    if let Ok(sighted) = sighted {
                        let lookup = sighted.lookup.clone();
                        self.ahead.settle(key, lookup.version);
                        self.admit(key, place, sighted.kept);
                        return Ok(Leased::Needless(lookup));
                    }
                    // It is there, but of no use.
                    course.enough = Enough::Nothing;
                }
                Ok(Acquired::Wait(_)) if self.options.coalesce != Coalesce::Cluster => {
                    return Ok(Leased::Without);
                }
                Ok(Acquired::Wait(rest)) => {
                    if began.elapsed() > patience {
                        return Err(self.limit.overloaded().into());
                    }
                    self.counters.coalesced_cluster.up();
                    let _woken = timeout(rest.min(poll), woken).await;
                    poll = (poll * 2).min(LAST_POLL);
                    if course.enough == Enough::Nothing {
                        // What could not be used is being replaced.
                        course.enough = Enough::Fresh;
                    }
                }
                Err(error) => {
                    tracing::debug!(namespace = %self.namespace, %error, "loading without a lease");
                    return Ok(Leased::Without);
                }
            }
        }
    }

    /// Asks once for the lease, whatever value is there; `None`: another one has it, or there is
    /// no tier to lease from.
    pub(super) async fn try_lease(&self, redis_key: &str) -> Option<Token> {
        let l2 = self.l2.as_ref()?;
        let token = Token::unique();
        match l2.acquire(&self.wish(redis_key, &token, Enough::Nothing)).await {
            Ok(Acquired::Granted) => Some(token),
            Ok(Acquired::Hit(_) | Acquired::Wait(_)) => None,
            Err(error) => {
                tracing::debug!(namespace = %self.namespace, %error, "publishing without a lease");
                None
            }
        }
    }

    fn wish<'a>(&self, key: &'a str, token: &'a Token, enough: Enough) -> Acquire<'a> {
        Acquire { key, token, lease: self.options.lease, floor: self.floor(), enough }
    }

    /// Runs `load`, and renews the lease until it ends.
    pub(super) async fn renewing<T>(
        &self,
        l2: &L2,
        redis_key: &str,
        token: &Token,
        load: impl Future<Output = T>,
    ) -> T {
        let renew = async {
            loop {
                sleep(self.options.lease / 3).await;
                match l2.renew(redis_key, token, self.options.lease).await {
                    Ok(true) => {}
                    // What is read now may not be filled any more; it is answered all the same.
                    Ok(false) => return std::future::pending().await,
                    Err(error) => {
                        tracing::debug!(namespace = %self.namespace, %error, "lease not renewed");
                    }
                }
            }
        };
        tokio::select! {
            loaded = load => loaded,
            () = renew => unreachable!("it renews until it is dropped"),
        }
    }

    /// Runs `job` when its turn comes, not longer than it may, and survives its panic.
    pub(super) async fn load<T>(
        &self,
        job: impl Future<Output = Result<T, Box<dyn Error + Send + Sync>>>,
    ) -> Result<(T, Duration), GetError> {
        let _turn = self.limit.turn().await?;
        self.counters.loads.up();
        let limit = self.options.load_deadline;
        let began = Instant::now();
        let job = AssertUnwindSafe(job).catch_unwind();
        let outcome = match timeout(limit, job).await {
            Ok(Ok(Ok(value))) => return Ok((value, began.elapsed())),
            Ok(Ok(Err(error))) => GetError::Load(LoadError::new(error)),
            Ok(Err(_panic)) => GetError::Aborted,
            Err(_elapsed) => GetError::Deadline(limit),
        };
        self.counters.loads_failed.up();
        Err(outcome)
    }

    /// Stores what was loaded where it may be stored, and answers it.
    pub(super) async fn fill(
        &self,
        key: &K,
        redis_key: &str,
        place: Option<Place>,
        course: Course,
        token: Option<Token>,
        (loaded, cost): (Loaded<V>, Duration),
    ) -> Lookup<V> {
        let Loaded { value, version, ttl, tags } = loaded;
        self.raise_floor(version.epoch);
        let (life, stale) = self.life(ttl, value.is_none());
        let (mut stored, mut verdict) = (false, None);
        if version < course.noted {
            // The origin has gone back: it knows best.
            self.ahead.settle(key, course.noted);
        }
        if life.is_zero() {
            self.give_back(redis_key, token).await;
        } else {
            verdict = match token {
                Some(token) => {
                    self.store(redis_key, &token, version, (&value, &tags), cost, (life, stale))
                        .await
                }
                None => None,
            };
            stored = verdict == Some(Verdict::Stored);
            // Where this process fills no L2, L1 is all there is to fill.
            let alone = self.l2.as_ref().is_none_or(|l2| l2.is_read_only());
            if stored || (alone && self.l1.is_some()) {
                let now = Instant::now();
                let kept = Kept {
                    size: value.as_ref().map_or(0, V::size),
                    value: value.clone(),
                    version,
                    load_cost: cost,
                    since: now,
                    fresh_until: Some(now + life - stale),
                    until: now + life,
                    age: Some(Duration::ZERO),
                    tags,
                };
                self.admit(key, place, kept);
                stored = true;
            }
        }
        match verdict {
            Some(Verdict::Stored | Verdict::Newer) => self.ahead.settle(key, version),
            _ => self.go_ahead(key, version),
        }
        Lookup {
            value,
            version,
            tier: Tier::Origin,
            freshness: Freshness::Fresh,
            age: Some(Duration::ZERO),
            remaining: Some(life - stale),
            miss: Some(course.miss),
            stored,
        }
    }

    /// Stores a value in L2; `None`: it could not be.
    async fn store(
        &self,
        redis_key: &str,
        token: &Token,
        version: Version,
        (value, tags): (&Option<V>, &Tags),
        cost: Duration,
        life: (Duration, Duration),
    ) -> Option<Verdict> {
        let l2 = self.l2.as_ref()?;
        let entry = self.envelope(version, (value.as_ref(), tags), cost, life);
        let guarded = self.set_barriers(l2, tags).await;
        let (Some(entry), Ok(())) = (entry, guarded) else {
            self.give_back(redis_key, Some(token.clone())).await;
            return None;
        };
        let span = tracing::debug_span!("cache.fill", larder.namespace = %self.namespace);
        let store = Store { key: redis_key, entry, version, life: life.0, token };
        match l2.fill(store).instrument(span).await {
            Ok(Verdict::Stored) => Some(Verdict::Stored),
            Ok(verdict) => {
                self.counters.fills_rejected.up();
                Some(verdict)
            }
            Err(error) => {
                tracing::debug!(namespace = %self.namespace, %error, "fill not taken");
                None
            }
        }
    }

    /// Sees to it that each of `tags` has a barrier in L2, in its version or a newer one.
    pub(super) async fn set_barriers(&self, l2: &L2, tags: &Tags) -> Result<(), TierError> {
        let Some(tags) = tags else { return Ok(()) };
        let set = tags.iter().map(async |tag| self.set_barrier(l2, &tag.name, tag.version).await);
        try_join_all(set).await.map(drop)
    }

    /// Raises the barrier of a tag in L2, where it outlives every value that it is about.
    pub(super) async fn set_barrier(
        &self,
        l2: &L2,
        name: &str,
        version: Version,
    ) -> Result<(), TierError> {
        let barrier = Entry::Tombstone(version).encode();
        let key = self.keys.tag(name);
        l2.invalidate(&key, barrier, version, BARRIER_LIFE).await.map(drop)
    }

    /// The envelope of a value, or of its absence; `None`: it has no encoding.
    pub(super) fn envelope(
        &self,
        version: Version,
        (value, tags): (Option<&V>, &Tags),
        load_cost: Duration,
        (life, stale): (Duration, Duration),
    ) -> Option<bytes::Bytes> {
        if !fits(tags) {
            tracing::error!(namespace = %self.namespace, "a value has too many or too long tags");
            return None;
        }
        let payload = match value.map(V::encode).transpose() {
            Ok(payload) => payload.unwrap_or_default(),
            Err(error) => {
                tracing::error!(namespace = %self.namespace, %error, "a value has no encoding");
                return None;
            }
        };
        let (compression, payload) = Compression::shrink(payload, self.options.compress_above);
        let stored = StoredValue {
            version,
            negative: value.is_none(),
            codec: V::CODEC,
            compression,
            fingerprint: Self::FINGERPRINT,
            load_cost,
            life,
            stale,
            tags: tags.clone(),
            payload,
        };
        Some(Entry::Value(stored).encode())
    }

    /// Lets the next one load.
    pub(super) async fn give_back(&self, redis_key: &str, token: Option<Token>) {
        let (Some(token), Some(l2)) = (token, &self.l2) else { return };
        if let Err(error) = l2.release(redis_key, &token).await {
            tracing::debug!(namespace = %self.namespace, %error, "lease left to expire");
        }
    }
}
