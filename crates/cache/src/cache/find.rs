//! What the tiers have.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::Instant;
use tracing::Instrument;

use super::fly::Course;
use super::{CacheKey, Inner};
use crate::codec::CacheValue;
use crate::entry::{Entry, StoredValue, Unreadable};
use crate::load::is_due;
use crate::lookup::{Freshness, Lookup, Miss, Tier};
use crate::tag::Tag;
use crate::telemetry::TierCounters;
use crate::tier::{Enough, Kept, L2, Place, Stored};
use crate::version::Version;

/// A value that was loaded since one was seen lives longer than that one by more than this.
const SLACK: Duration = Duration::from_millis(20);

/// Redis tells whole milliseconds: of what is there, at least a part of one is left.
const LEAST_LEFT: Duration = Duration::from_millis(1);

/// What the tiers have.
pub(super) enum Found<V> {
    /// A fresh value; it should be reloaded in the background unless there is `Enough`.
    Fresh(Lookup<V>, Option<Enough>),
    /// A stale value, and how to replace it.
    Stale(Lookup<V>, Course),
    /// Nothing of use, and how to load it.
    Miss(Course),
}

/// A value out of a tier.
pub(super) struct Sighted<V> {
    pub(super) lookup: Lookup<V>,
    pub(super) kept: Kept<V>,
}

impl<K: CacheKey, V: CacheValue> Inner<K, V> {
    /// Looks in the tiers, in turn. An L1 hit allocates nothing and waits for nobody.
    pub(super) async fn find(&self, key: &K, at_least: Version) -> Found<V> {
        let mut stale = None;
        let mut unproven = false;
        if let Some(l1) = &self.l1 {
            let now = Instant::now();
            let floor = self.floor();
            unproven = self.prover().is_some_and(|coherence| !coherence.holds(now));
            let view = |kept: &Kept<V>| {
                let usable = kept.version >= at_least
                    && kept.version.epoch >= floor
                    && self.barriers.let_pass(&kept.tags);
                usable.then(|| (sight(kept, now, Tier::L1), self.due(kept, now)))
            };
            match l1.get(key, now, view).flatten() {
                Some((lookup, _)) if unproven => {
                    // It may have been invalidated unheard: for want of anything better only.
                    self.counters.l1.misses.up();
                    let kept_for_that = !self.options.stale_for.is_zero();
                    stale =
                        kept_for_that.then_some(Lookup { freshness: Freshness::Stale, ..lookup });
                }
                Some((lookup, due)) => {
                    count(&self.counters.l1, &lookup);
                    if lookup.freshness == Freshness::Fresh {
                        return Found::Fresh(lookup, due);
                    }
                    stale = Some(lookup);
                }
                None => self.counters.l1.misses.up(),
            }
        }
        let missed = self.find_in_l2(key, at_least).await;
        match (missed, stale) {
            // An older process-wide copy may stand in, unless it was invalidated meanwhile.
            (Found::Miss(course), Some(stale))
                if stale.version >= course.at_least && course.miss != Miss::Invalidated =>
            {
                Found::Stale(stale, Course { unproven, ..course })
            }
            (found, _) => found,
        }
    }

    async fn find_in_l2(&self, key: &K, at_least: Version) -> Found<V> {
        // Before it is asked what was answered past L2: who answers so afterwards moves the fence.
        let place = self.place(key);
        let noted = self.ahead.least(key);
        let at_least = at_least.max(noted);
        let miss = |miss, at_least| {
            let enough = if miss == Miss::Unreadable { Enough::Nothing } else { Enough::Fresh };
            Found::Miss(Course { miss, at_least, noted, enough, unproven: false })
        };
        let Some(l2) = &self.l2 else { return miss(Miss::Absent, at_least) };
        let span = tracing::debug_span!(
            "cache.lookup",
            larder.namespace = %self.namespace,
            larder.tier = "l2",
            larder.outcome = tracing::field::Empty,
        );
        let redis_key = self.keys.key(key);
        let read = l2.read(&redis_key, self.options.ttl.is_some());
        let read = match read.instrument(span.clone()).await {
            Ok(Some(stored)) => match self.interpret(&stored, at_least) {
                Ok(sighted) => self.past_barriers(l2, sighted, at_least).await,
                Err(miss) => Err(miss),
            },
            Ok(None) => Err((Miss::Absent, at_least)),
            Err(error) => Err((Miss::Unavailable(error.reason()), at_least)),
        };
        let sighted = match read {
            Ok(sighted) => sighted,
            Err((why, at_least)) => {
                self.counters.l2.misses.up();
                span.record("larder.outcome", "miss");
                return miss(why, at_least);
            }
        };
        let mut lookup = sighted.lookup;
        self.ahead.settle(key, lookup.version);
        let enough = Enough::Fresh;
        let mut course = Course { miss: Miss::Stale, at_least, noted, enough, unproven: false };
        if self.prover().is_some_and(|coherence| !coherence.knows_epochs()) {
            // The namespace may have been cleared unheard.
            lookup.freshness = Freshness::Stale;
            course = Course { enough: Enough::Nothing, unproven: true, ..course };
        }
        span.record("larder.outcome", count(&self.counters.l2, &lookup));
        if lookup.freshness == Freshness::Stale {
            if let Some(l1) = &self.l1 {
                l1.outdate(key, lookup.version);
            }
            return Found::Stale(lookup, course);
        }
        let due = self.due(&sighted.kept, sighted.kept.since);
        self.slide(&redis_key, &sighted.kept);
        self.admit(key, place, sighted.kept);
        Found::Fresh(lookup, due)
    }

    /// A stored entry as a value; else why not, and what would be new enough.
    pub(super) fn interpret(
        &self,
        stored: &Stored,
        at_least: Version,
    ) -> Result<Sighted<V>, (Miss, Version)> {
        let value = match Entry::decode(&stored.bytes) {
            Ok(Entry::Value(value)) => value,
            Ok(Entry::Tombstone(version)) => {
                return Err((Miss::Invalidated, version.max(at_least)));
            }
            Ok(Entry::Lease(version)) => return Err((Miss::Absent, version.max(at_least))),
            Err(why) => {
                self.counters.unreadable(why);
                return Err((Miss::Unreadable, at_least));
            }
        };
        if value.version.epoch < self.floor() || value.version < at_least {
            return Err((Miss::Invalidated, at_least));
        }
        // Another process has seen a barrier that this one has not.
        self.raise_floor(value.version.epoch);
        let decoded = self.decode(&value).inspect_err(|why| match why {
            Some(why) => self.counters.unreadable(*why),
            None => self.counters.other_schema(),
        });
        let decoded = decoded.map_err(|_| (Miss::Unreadable, at_least))?;
        let now = Instant::now();
        let end = stored.remaining.map(|left| now + left.max(LEAST_LEFT));
        let kept = Kept {
            size: decoded.as_ref().map_or(0, V::size),
            value: decoded,
            version: value.version,
            load_cost: value.load_cost,
            since: now,
            fresh_until: end.map(|end| end - value.stale.min(end - now)),
            until: end.unwrap_or_else(|| now + value.life),
            age: stored.remaining.map(|left| value.life.saturating_sub(left)),
            tags: value.tags,
        };
        Ok(Sighted { lookup: sight(&kept, now, Tier::L2), kept })
    }

    /// `sighted`, unless a tag of it is newer by now: the barriers in L2 are asked, in one round
    /// trip for all, and those that this process has heard of, for L2 may not have been told.
    ///
    /// A barrier that is not there was evicted or lost: what it kept back cannot be told from
    /// what it did not, and is no answer.
    pub(super) async fn past_barriers(
        &self,
        l2: &L2,
        sighted: Sighted<V>,
        at_least: Version,
    ) -> Result<Sighted<V>, (Miss, Version)> {
        let Some(tags) = &sighted.kept.tags else { return Ok(sighted) };
        let barriers =
            join_all(tags.iter().map(async |tag| l2.read(&self.keys.tag(&tag.name), false).await));
        let mut all_there = true;
        for (tag, barrier) in tags.iter().zip(barriers.await) {
            let barrier = barrier.map_err(|error| (Miss::Unavailable(error.reason()), at_least))?;
            match barrier.map(|stored| Entry::decode(&stored.bytes)) {
                Some(Ok(Entry::Tombstone(newest))) => {
                    self.raise_barrier(&tag.name, newest);
                }
                _ => all_there = false,
            }
        }
        let stands = all_there && self.barriers.let_pass(&sighted.kept.tags);
        if stands { Ok(sighted) } else { Err((Miss::Invalidated, at_least)) }
    }

    /// From now on nothing is served from here whose tag `name` is older than `version`.
    pub(super) fn raise_barrier(&self, name: &Arc<str>, version: Version) {
        self.barriers.raise(name, version, || {
            if let Some(l1) = &self.l1 {
                l1.clear();
            }
        });
    }

    /// `None` as the error: written under another schema.
    fn decode(&self, value: &StoredValue) -> Result<Option<V>, Option<Unreadable>> {
        if value.fingerprint != Self::FINGERPRINT || value.codec != V::CODEC {
            return Err(None);
        }
        if value.negative {
            return Ok(None);
        }
        let expanded: Result<Bytes, _> = value.compression.expand(value.payload.clone());
        expanded.and_then(V::decode).map(Some).map_err(|error| {
            tracing::debug!(namespace = %self.namespace, %error, "stored value unreadable");
            Some(Unreadable::Corrupt)
        })
    }

    /// Whether a fresh value should be reloaded before it goes stale; then, what would make
    /// that needless.
    fn due(&self, kept: &Kept<V>, now: Instant) -> Option<Enough> {
        let beta = self.options.refresh_beta;
        let fresh_until = kept.fresh_until.filter(|_| beta > 0.0)?;
        let remaining = fresh_until.saturating_duration_since(now);
        // From (0, 1]: the logarithm of zero would always be due.
        let chance = 1.0 - rand::random::<f64>();
        let stale = self.options.stale_for;
        is_due(kept.load_cost, remaining, beta, chance)
            .then(|| Enough::LongerThan(remaining.saturating_add(stale).saturating_add(SLACK)))
    }

    /// Renews the life of an entry that is used, in the background, when half of it is over.
    fn slide(&self, redis_key: &str, kept: &Kept<V>) {
        let Some(ttl) = self.options.ttl.filter(|_| self.options.sliding) else { return };
        let (Some(fresh_until), Some(l2)) = (kept.fresh_until, &self.l2) else { return };
        if kept.value.is_some() && fresh_until - kept.since < ttl / 2 {
            let (l2, key) = (Arc::clone(l2), redis_key.to_owned());
            let life = ttl.saturating_add(self.options.stale_for);
            tokio::spawn(async move {
                if let Err(error) = l2.prolong(&key, life).await {
                    tracing::debug!(%error, "an entry's life was not renewed");
                }
            });
        }
    }

    /// Notes `key`'s place, before a value of it is read.
    pub(super) fn place(&self, key: &K) -> Option<Place> {
        self.l1.as_ref().map(|l1| l1.place(key))
    }

    /// `key`'s place before it is leased, and `course` held against what was answered past L2
    /// by then.
    pub(super) fn depart_from(&self, key: &K, course: Course) -> (Option<Place>, Course) {
        // In this order, as when L2 is read.
        let place = self.place(key);
        let noted = course.noted.max(self.ahead.least(key));
        (place, Course { at_least: course.at_least.max(noted), noted, ..course })
    }

    /// Notes that `version` of `key` is answered and L2 may hold an older one: here nothing older
    /// is answered from now on.
    pub(super) fn go_ahead(&self, key: &K, version: Version) {
        if self.l2.is_none() {
            return;
        }
        self.ahead.note(key, version);
        // After the note: what is read from L2 under a later place is held against it.
        if let Some(l1) = &self.l1 {
            l1.invalidate(key, version);
        }
    }

    /// Takes a value into L1, for as long as that may serve it.
    pub(super) fn admit(&self, key: &K, place: Option<Place>, mut kept: Kept<V>) {
        let (Some(l1), Some(place), Some(options)) = (&self.l1, place, &self.options.l1) else {
            return;
        };
        kept.until = kept.until.min(kept.since + options.ttl);
        let tags = kept.tags.iter().flat_map(|tags| tags.iter());
        kept.size +=
            size_of::<K>() + tags.map(|tag| size_of::<Tag>() + tag.name.len()).sum::<usize>();
        l1.admit(key.clone(), place, kept);
    }
}

/// What `kept` answers at `now`.
fn sight<V: Clone>(kept: &Kept<V>, now: Instant, tier: Tier) -> Lookup<V> {
    let remaining = kept.fresh_until.map(|until| until.saturating_duration_since(now));
    let stale = remaining.is_some_and(|remaining| remaining.is_zero());
    Lookup {
        value: kept.value.clone(),
        version: kept.version,
        tier,
        freshness: if stale { Freshness::Stale } else { Freshness::Fresh },
        age: kept.age.map(|age| age + (now - kept.since)),
        remaining,
        miss: None,
        stored: false,
    }
}

/// Counts what one tier answered, by its name.
fn count<V>(counters: &TierCounters, lookup: &Lookup<V>) -> &'static str {
    let (counter, name) = match (lookup.freshness, &lookup.value) {
        (Freshness::Stale, _) => (&counters.stale, "stale"),
        (Freshness::Fresh, None) => (&counters.negative, "negative"),
        (Freshness::Fresh, Some(_)) => (&counters.hits, "hit"),
    };
    counter.up();
    name
}
