//! The course of a lookup: what the tiers have is answered, or a load is begun, joined or waited for.

use std::sync::{Arc, PoisonError};

use tokio::time::{Instant, timeout};
use tracing::Instrument;

use super::find::Found;
use super::fly::{Course, Job};
use super::{CacheKey, Inner, Outcome};
use crate::codec::CacheValue;
use crate::load::{Joined, Takeoff};
use crate::lookup::{GetError, Lookup, Miss, Tier};
use crate::options::{CallOptions, Coalesce};
use crate::tier::Enough;

/// Keys whose loads failed lately, at most; beyond it, what has been forgiven is forgotten.
const FAILURES_KEPT: usize = 4_096;

/// What to do with what the tiers have.
pub(super) enum Decision<V> {
    /// Answer it; where there is not `Enough`, reload it in the background.
    Answer(Lookup<V>, Option<Enough>),
    /// Load; the value stands in for one that does not come.
    Load(Option<Lookup<V>>, Course),
}

impl<K: CacheKey, V: CacheValue> Inner<K, V> {
    /// The course of a lookup: the tiers, then a load that may be another's.
    pub(super) async fn answer(
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
    pub(super) fn decide(&self, key: &K, call: &CallOptions, found: Found<V>) -> Decision<V> {
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
    pub(super) async fn settle(
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
    pub(super) async fn load_once(
        self: &Arc<Self>,
        key: &K,
        course: Course,
        begin: impl FnOnce() -> Job<V>,
    ) -> Outcome<V> {
        if self.prover().is_some_and(|coherence| !coherence.is_awake(Instant::now())) {
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
    pub(super) fn refresh(
        self: &Arc<Self>,
        key: &K,
        enough: Enough,
        begin: impl FnOnce() -> Job<V>,
    ) {
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
    pub(super) fn depart(
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
    pub(super) fn load_span(&self) -> tracing::Span {
        tracing::debug_span!("cache.load", larder.namespace = %self.namespace)
    }

    /// Whether `key` may be loaded again although a stale value is there.
    fn is_forgiven(&self, key: &K) -> bool {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(key).is_none_or(|until| *until <= Instant::now())
    }

    /// Remembers whether the load of `key` failed.
    pub(super) fn judge(&self, key: &K, failed: bool) {
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
}
