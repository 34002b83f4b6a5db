//! Every metric of the cache, defined once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use crate::entry::Unreadable;
use crate::tier::L2;

/// The counters of all namespaces of a process, exported under the `larder.` names.
#[derive(Debug, Default)]
pub struct Metrics {
    namespaces: Mutex<BTreeMap<String, Arc<Counters>>>,
}

/// The counters of one namespace. Each event is counted in exactly one place.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) hits: Count,
    pub(crate) misses: Count,
    pub(crate) loads: Count,
    pub(crate) fills_rejected: Count,
    pub(crate) invalidations: Count,
    pub(crate) invalidations_lost: Count,
    unreadable_format: Count,
    unreadable_schema: Count,
    unreadable_corrupt: Count,
}

/// A counter that only grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

/// What a namespace has counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NamespaceStats {
    /// Lookups that a tier answered.
    pub hits: u64,
    /// Lookups that no tier answered.
    pub misses: u64,
    /// Loads from the origin, whatever the strategy.
    pub loads: u64,
    /// Fills refused because a newer version or tombstone was there.
    pub fills_rejected: u64,
    /// Invalidations sent by the application.
    pub invalidations: u64,
    /// Of those, the ones that Redis could not take.
    pub invalidations_lost: u64,
    /// Entries that were there but could not be used: another format or schema, or damaged.
    pub unreadable: u64,
}

impl Count {
    pub(crate) fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(crate) fn unreadable(&self, why: Unreadable) {
        match why {
            Unreadable::Format => self.unreadable_format.up(),
            Unreadable::Corrupt => self.unreadable_corrupt.up(),
        }
    }

    pub(crate) fn other_schema(&self) {
        self.unreadable_schema.up();
    }

    fn stats(&self) -> NamespaceStats {
        NamespaceStats {
            hits: self.hits.get(),
            misses: self.misses.get(),
            loads: self.loads.get(),
            fills_rejected: self.fills_rejected.get(),
            invalidations: self.invalidations.get(),
            invalidations_lost: self.invalidations_lost.get(),
            unreadable: self.unreadable_format.get()
                + self.unreadable_schema.get()
                + self.unreadable_corrupt.get(),
        }
    }
}

impl Metrics {
    /// The counters of `name`, shared by all who ask for it.
    pub(crate) fn namespace(&self, name: &str) -> Arc<Counters> {
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(namespaces.entry(name.to_owned()).or_default())
    }

    /// What each namespace has counted so far.
    #[must_use]
    pub fn stats(&self) -> BTreeMap<String, NamespaceStats> {
        let namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        namespaces.iter().map(|(name, counters)| (name.clone(), counters.stats())).collect()
    }

    /// Exports all of it, and the round trips of `l2`, through `meter`. Call it once.
    pub fn register(self: &Arc<Self>, meter: &Meter, l2: &Arc<L2>) {
        self.export(
            meter,
            "larder.cache.lookups",
            "{lookup}",
            "Lookups by tier and outcome; hits and misses add up to all lookups.",
            |counters| {
                let tier = || KeyValue::new("larder.tier", "l2");
                vec![
                    (counters.hits.get(), vec![tier(), KeyValue::new("larder.outcome", "hit")]),
                    (counters.misses.get(), vec![tier(), KeyValue::new("larder.outcome", "miss")]),
                ]
            },
        );
        self.export(
            meter,
            "larder.cache.loads",
            "{load}",
            "Loads from the origin, whatever the strategy.",
            |counters| vec![(counters.loads.get(), vec![])],
        );
        self.export(
            meter,
            "larder.cache.fills_rejected",
            "{fill}",
            "Fills refused because a newer version or tombstone was there.",
            |counters| vec![(counters.fills_rejected.get(), vec![])],
        );
        self.export(
            meter,
            "larder.cache.invalidations",
            "{invalidation}",
            "Invalidations by who asked for them.",
            |counters| {
                vec![(counters.invalidations.get(), vec![KeyValue::new("larder.source", "app")])]
            },
        );
        self.export(
            meter,
            "larder.cache.invalidations_lost",
            "{invalidation}",
            "Invalidations that Redis could not take: readers may see old values until the TTL.",
            |counters| vec![(counters.invalidations_lost.get(), vec![])],
        );
        self.export(
            meter,
            "larder.cache.unreadable",
            "{entry}",
            "Entries that were there but could not be used; each is a miss.",
            |counters| {
                let reason = |name| vec![KeyValue::new("larder.reason", name)];
                vec![
                    (counters.unreadable_format.get(), reason("format")),
                    (counters.unreadable_schema.get(), reason("schema")),
                    (counters.unreadable_corrupt.get(), reason("corrupt")),
                ]
            },
        );
        let l2 = Arc::downgrade(l2);
        meter
            .u64_observable_counter("larder.redis.round_trips")
            .with_unit("{command}")
            .with_description("Commands sent to Redis: a pipeline or a script call is one.")
            .with_callback(move |observer| {
                if let Some(l2) = l2.upgrade() {
                    observer.observe(l2.round_trips(), &[]);
                }
            })
            .build();
    }

    fn export(
        self: &Arc<Self>,
        meter: &Meter,
        name: &'static str,
        unit: &'static str,
        description: &'static str,
        read: impl Fn(&Counters) -> Vec<(u64, Vec<KeyValue>)> + Send + Sync + 'static,
    ) {
        let metrics = Arc::downgrade(self);
        let observe = move |observer: &dyn AsyncInstrument<u64>| {
            let Some(metrics) = metrics.upgrade() else { return };
            let namespaces = metrics.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
            for (namespace, counters) in namespaces.iter() {
                for (count, mut attributes) in read(counters) {
                    attributes.push(KeyValue::new("larder.namespace", namespace.clone()));
                    observer.observe(count, &attributes);
                }
            }
        };
        meter
            .u64_observable_counter(name)
            .with_unit(unit)
            .with_description(description)
            .with_callback(observe)
            .build();
    }
}
