//! Several keys at once.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use tokio::time::Instant;
use tracing::Instrument;

use super::answer::Decision;
use super::fly::{Course, Leased};
use super::{Cache, CacheKey, Inner, Outcome};
use crate::codec::CacheValue;
use crate::load::{Joined, Passenger, Takeoff};
use crate::lookup::{GetError, LoadError, Loaded, Lookup};
use crate::options::CallOptions;
use crate::tier::{Place, Token};

/// A key that this call must load.
struct Led<K: CacheKey, V: CacheValue> {
    takeoff: Takeoff<K, Outcome<V>>,
    key: K,
    redis_key: String,
    place: Option<Place>,
    course: Course,
}

impl<K: CacheKey, V: CacheValue> Cache<K, V> {
    /// The values of `keys`, in their order: from L1, from L2, and what is missing in one load
    /// of the registered source.
    ///
    /// Each key is asked for on its own, within one round trip for all: a shard that is gone
    /// costs its own keys only.
    ///
    /// # Errors
    ///
    /// For each key by itself as for [`get`](Self::get).
    pub async fn get_many(&self, keys: &[K]) -> Vec<Result<Lookup<V>, GetError>> {
        let inner = &self.inner;
        if inner.source.get().is_none() {
            return keys.iter().map(|_| Err(GetError::NoSource)).collect();
        }
        let mut places: HashMap<&K, usize> = HashMap::new();
        let mut distinct: Vec<&K> = Vec::new();
        let order: Vec<usize> = keys
            .iter()
            .map(|key| {
                *places.entry(key).or_insert_with(|| {
                    distinct.push(key);
                    distinct.len() - 1
                })
            })
            .collect();
        let answers = inner.answer_many(&distinct).await;
        order.into_iter().map(|index| answers[index].clone()).collect()
    }
}

impl<K: CacheKey, V: CacheValue> Inner<K, V> {
    async fn answer_many(self: &Arc<Self>, keys: &[&K]) -> Vec<Outcome<V>> {
        let call = CallOptions::default();
        let found = join_all(keys.iter().map(|key| self.find(key, call.min_version))).await;
        let mut led = Vec::new();
        let mut answers: Vec<BoxFuture<'_, Outcome<V>>> = Vec::with_capacity(keys.len());
        for (key, found) in keys.iter().zip(found) {
            let answer = match self.decide(key, &call, found) {
                Decision::Answer(lookup, enough) => {
                    if let Some(enough) = enough {
                        self.refresh(key, enough, || self.job(key));
                    }
                    async { Ok(lookup) }.boxed()
                }
                Decision::Load(fallback, course) => {
                    let passenger = match self.flights.join(key) {
                        Joined::Leader(takeoff, passenger) => {
                            let (place, course) = self.depart_from(key, course);
                            let (key, redis_key) = ((*key).clone(), self.keys.key(key));
                            led.push(Led { takeoff, key, redis_key, place, course });
                            passenger
                        }
                        Joined::Passenger(passenger) => {
                            self.counters.coalesced_process.up();
                            passenger
                        }
                    };
                    self.settle(&call, fallback, self.arrive(key, course, passenger)).boxed()
                }
            };
            answers.push(answer);
        }
        if !led.is_empty() {
            let flight = Arc::clone(self).fly_many(led);
            tokio::spawn(flight.instrument(self.load_span()));
        }
        join_all(answers).await
    }

    /// Waits for a load; when it brings what is too old, for another.
    async fn arrive(
        self: &Arc<Self>,
        key: &K,
        course: Course,
        passenger: Passenger<Outcome<V>>,
    ) -> Outcome<V> {
        match passenger.arrive().await {
            Some(Ok(lookup)) if lookup.version < course.at_least => {
                self.load_once(key, course, || self.job(key)).await
            }
            Some(outcome) => outcome,
            None => Err(GetError::Aborted),
        }
    }

    fn job(&self, key: &K) -> super::Job<V> {
        self.source.get().expect("asked for when the call began").load(key.clone())
    }

    /// Loads what is led, in one load of all whose lease is free.
    async fn fly_many(self: Arc<Self>, led: Vec<Led<K, V>>) {
        let leases = led.iter().map(|led| self.lease_at_once(led));
        let leases = join_all(leases).await;
        let mut ours = Vec::new();
        for (led, leased) in led.into_iter().zip(leases) {
            match leased {
                Some(Leased::Needless(lookup)) => led.takeoff.land(Ok(lookup)),
                Some(Leased::Held(token)) => ours.push((led, Some(token))),
                Some(Leased::Without) => ours.push((led, None)),
                // Another process has it: wait for that one, each key by itself.
                None => {
                    let job = self.job(&led.key);
                    self.depart(led.takeoff, led.key, led.course, job);
                }
            }
        }
        if ours.is_empty() {
            return;
        }
        let keys = ours.iter().map(|(led, _)| led.key.clone()).collect();
        let source = self.source.get().expect("asked for when the call began");
        let load = self.load(source.load_many(keys));
        match self.renewing_all(&ours, load).await {
            Ok((loaded, cost)) => {
                let mut loaded: HashMap<K, Loaded<V>> = loaded.into_iter().collect();
                let fills = ours.into_iter().map(|(led, token)| {
                    let loaded = loaded.remove(&led.key);
                    self.land(led, token, loaded.map(|loaded| (loaded, cost)))
                });
                join_all(fills).await;
            }
            Err(error) => {
                let failures = ours.into_iter().map(async |(led, token)| {
                    self.judge(&led.key, true);
                    self.give_back(&led.redis_key, token).await;
                    led.takeoff.land(Err(error.clone()));
                });
                join_all(failures).await;
            }
        }
    }

    /// The lease if it is free, or the value if it is there; `None`: another one loads.
    async fn lease_at_once(&self, led: &Led<K, V>) -> Option<Leased<V>> {
        let leased = self.lease(&led.key, &led.redis_key, led.place, led.course);
        // It answers at the first question, unless it must wait.
        let mut leased = Box::pin(leased);
        let limit = Instant::now() + self.options.lease / 4;
        tokio::time::timeout_at(limit, &mut leased).await.ok()?.ok()
    }

    async fn renewing_all<T>(
        &self,
        ours: &[(Led<K, V>, Option<Token>)],
        load: impl Future<Output = T>,
    ) -> T {
        let Some(l2) = &self.l2 else { return load.await };
        let held = ours.iter().filter_map(|(led, token)| Some((led, token.as_ref()?)));
        let renewals = held.map(|(led, token)| {
            self.renewing(l2, &led.redis_key, token, std::future::pending::<()>())
        });
        tokio::select! {
            loaded = load => loaded,
            _ = async { join_all(renewals).await; std::future::pending::<()>().await } => {
                unreachable!("it renews until it is dropped")
            }
        }
    }

    async fn land(
        &self,
        led: Led<K, V>,
        token: Option<Token>,
        loaded: Option<(Loaded<V>, std::time::Duration)>,
    ) {
        self.judge(&led.key, loaded.is_none());
        let Led { takeoff, key, redis_key, place, course } = led;
        let outcome = match loaded {
            Some(loaded) => Ok(self.fill(&key, &redis_key, place, course, token, loaded).await),
            None => {
                self.give_back(&redis_key, token).await;
                let left_out = format!("the source left out key {key}");
                Err(GetError::Load(LoadError::new(left_out.into())))
            }
        };
        takeoff.land(outcome);
    }
}
