//! Every metric of the cache, defined once.

mod redis;
mod staleness;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Histogram, Meter};

pub use self::staleness::Verified;
use self::staleness::VerifiedCounters;
use crate::entry::Unreadable;
use crate::tier::L2;

/// The counters of all namespaces of a process, exported under the `larder.` names.
#[derive(Debug, Default)]
pub struct Metrics {
    namespaces: Mutex<BTreeMap<String, Arc<Counters>>>,
    staleness: OnceLock<Histogram<f64>>,
}

/// The counters of one namespace. Each event is counted in exactly one place.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) l1: TierCounters,
    pub(crate) l2: TierCounters,
    /// Calls that a tier answered.
    pub(crate) hits: Count,
    /// Calls that waited for a load.
    pub(crate) misses: Count,
    pub(crate) loads: Count,
    pub(crate) loads_failed: Count,
    pub(crate) refreshes: Count,
    /// Calls that joined another's load in this process …
    pub(crate) coalesced_process: Count,
    /// … and loads that waited for one in another process instead.
    pub(crate) coalesced_cluster: Count,
    pub(crate) fills_rejected: Count,
    pub(crate) invalidations: Count,
    pub(crate) invalidations_feed: Count,
    pub(crate) invalidations_backplane: Count,
    pub(crate) invalidations_lost: Count,
    verified: VerifiedCounters,
    unreadable_format: Count,
    unreadable_schema: Count,
    unreadable_corrupt: Count,
    usage: Mutex<Option<Usage>>,
}

/// Entries and bytes of a tier at present; `None` when it is gone.
type Usage = Box<dyn Fn() -> Option<(usize, usize)> + Send + Sync>;

/// What lookups in one tier led to. Each lookup is in exactly one of these.
#[derive(Debug, Default)]
pub(crate) struct TierCounters {
    pub(crate) hits: Count,
    pub(crate) stale: Count,
    pub(crate) negative: Count,
    pub(crate) misses: Count,
}

/// A counter that only grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

/// What a namespace has counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NamespaceStats {
    /// Calls that a tier answered.
    pub hits: u64,
    /// Calls that had to wait for a load, or were refused one.
    pub misses: u64,
    /// Lookups in this process.
    pub l1: TierStats,
    /// Lookups in Redis.
    pub l2: TierStats,
    /// Loads from the origin, whatever the strategy.
    pub loads: u64,
    /// Of those, the ones that brought nothing: failed, cancelled or panicked.
    pub loads_failed: u64,
    /// Of the loads, the ones begun in the background.
    pub refreshes: u64,
    /// Calls that joined a load of the same process.
    pub coalesced_process: u64,
    /// Loads that waited for one in another process instead.
    pub coalesced_cluster: u64,
    /// Fills refused: something newer was there, or the lease was lost.
    pub fills_rejected: u64,
    /// Invalidations sent by the application.
    pub invalidations: u64,
    /// Of those, the ones that not all were told of: they are left to the change feed.
    pub invalidations_lost: u64,
    /// Invalidations that this process relayed from the change feed.
    pub invalidations_feed: u64,
    /// Invalidations that other processes told of.
    pub invalidations_backplane: u64,
    /// Entries that were there but could not be used: another format or schema, or damaged.
    pub unreadable: u64,
    /// Answers whose age was found out.
    pub verified: Verified,
    /// Entries in this process at present …
    pub l1_entries: u64,
    /// … and the bytes they are reckoned to take.
    pub l1_bytes: u64,
}

/// What lookups in one tier led to; the four add up to all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TierStats {
    /// A fresh value.
    pub hits: u64,
    /// A stale one.
    pub stale: u64,
    /// That the origin has none.
    pub negative: u64,
    /// Nothing of use.
    pub misses: u64,
}

impl Count {
    pub(crate) fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl TierCounters {
    fn stats(&self) -> TierStats {
        TierStats {
            hits: self.hits.get(),
            stale: self.stale.get(),
            negative: self.negative.get(),
            misses: self.misses.get(),
        }
    }

    fn by_outcome(&self, tier: &'static str) -> [(u64, Vec<KeyValue>); 4] {
        let TierStats { hits, stale, negative, misses } = self.stats();
        [("hit", hits), ("stale", stale), ("negative", negative), ("miss", misses)].map(
            |(outcome, count)| {
                let tier = KeyValue::new("larder.tier", tier);
                (count, vec![tier, KeyValue::new("larder.outcome", outcome)])
            },
        )
    }
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.stats().fmt(f)
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

    /// Who tells the entries and bytes of L1 from now on.
    pub(crate) fn set_usage(
        &self,
        usage: impl Fn() -> Option<(usize, usize)> + Send + Sync + 'static,
    ) {
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(usage));
    }

    fn usage(&self) -> (u64, u64) {
        let usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        let (entries, bytes) = usage.as_ref().and_then(|usage| usage()).unwrap_or_default();
        (entries as u64, bytes as u64)
    }

    fn stats(&self) -> NamespaceStats {
        let (l1_entries, l1_bytes) = self.usage();
        NamespaceStats {
            hits: self.hits.get(),
            misses: self.misses.get(),
            l1: self.l1.stats(),
            l2: self.l2.stats(),
            loads: self.loads.get(),
            loads_failed: self.loads_failed.get(),
            refreshes: self.refreshes.get(),
            coalesced_process: self.coalesced_process.get(),
            coalesced_cluster: self.coalesced_cluster.get(),
            fills_rejected: self.fills_rejected.get(),
            invalidations: self.invalidations.get(),
            invalidations_lost: self.invalidations_lost.get(),
            invalidations_feed: self.invalidations_feed.get(),
            invalidations_backplane: self.invalidations_backplane.get(),
            unreadable: self.unreadable_format.get()
                + self.unreadable_schema.get()
                + self.unreadable_corrupt.get(),
            verified: self.verified.stats(),
            l1_entries,
            l1_bytes,
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

    /// Exports all of it, and what `l2` counts, through `meter`. Call it once.
    pub fn register(self: &Arc<Self>, meter: &Meter, l2: &Arc<L2>) {
        self.export(
            meter,
            "larder.cache.lookups",
            "{lookup}",
            "Lookups by tier and outcome; hits and misses add up to all lookups.",
            |counters| {
                let both = [counters.l1.by_outcome("l1"), counters.l2.by_outcome("l2")];
                both.into_iter().flatten().collect()
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
            "larder.cache.loads_failed",
            "{load}",
            "Loads that brought nothing: failed, cancelled or panicked.",
            |counters| vec![(counters.loads_failed.get(), vec![])],
        );
        self.export(
            meter,
            "larder.cache.refreshes",
            "{load}",
            "Loads begun in the background, before or after a value went stale.",
            |counters| vec![(counters.refreshes.get(), vec![])],
        );
        self.export(
            meter,
            "larder.cache.coalesced",
            "{load}",
            "Loads that were not needed: another one in the same scope was under way.",
            |counters| {
                let scope = |name| vec![KeyValue::new("larder.scope", name)];
                vec![
                    (counters.coalesced_process.get(), scope("process")),
                    (counters.coalesced_cluster.get(), scope("cluster")),
                ]
            },
        );
        self.export(
            meter,
            "larder.cache.fills_rejected",
            "{fill}",
            "Fills refused: something newer was there, or the lease was lost.",
            |counters| vec![(counters.fills_rejected.get(), vec![])],
        );
        self.export(
            meter,
            "larder.cache.invalidations",
            "{invalidation}",
            "Invalidations by who asked for them.",
            |counters| {
                let source = |name| vec![KeyValue::new("larder.source", name)];
                vec![
                    (counters.invalidations.get(), source("app")),
                    (counters.invalidations_feed.get(), source("feed")),
                    (counters.invalidations_backplane.get(), source("backplane")),
                ]
            },
        );
        self.export(
            meter,
            "larder.cache.invalidations_lost",
            "{invalidation}",
            "Invalidations of the application that not all were told of: left to the change feed.",
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
        self.gauge(
            meter,
            "larder.cache.entries",
            "{entry}",
            "Entries held in this process.",
            |counters| counters.usage().0,
        );
        self.gauge(
            meter,
            "larder.cache.bytes",
            "By",
            "Bytes that the entries held in this process are reckoned to take.",
            |counters| counters.usage().1,
        );
        self.register_staleness(meter);
        redis::register(meter, l2);
    }

    fn export(
        self: &Arc<Self>,
        meter: &Meter,
        name: &'static str,
        unit: &'static str,
        description: &'static str,
        read: impl Fn(&Counters) -> Vec<(u64, Vec<KeyValue>)> + Send + Sync + 'static,
    ) {
        meter
            .u64_observable_counter(name)
            .with_unit(unit)
            .with_description(description)
            .with_callback(self.observe(read))
            .build();
    }

    fn gauge(
        self: &Arc<Self>,
        meter: &Meter,
        name: &'static str,
        unit: &'static str,
        description: &'static str,
        read: impl Fn(&Counters) -> u64 + Send + Sync + 'static,
    ) {
        let tier = || vec![KeyValue::new("larder.tier", "l1")];
        meter
            .u64_observable_gauge(name)
            .with_unit(unit)
            .with_description(description)
            .with_callback(self.observe(move |counters| vec![(read(counters), tier())]))
            .build();
    }

    /// What an instrument's callback does: `read` for each namespace.
    fn observe(
        self: &Arc<Self>,
        read: impl Fn(&Counters) -> Vec<(u64, Vec<KeyValue>)> + Send + Sync + 'static,
    ) -> impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + 'static {
        let metrics = Arc::downgrade(self);
        move |observer| {
            let Some(metrics) = metrics.upgrade() else { return };
            let namespaces = metrics.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
            for (namespace, counters) in namespaces.iter() {
                for (count, mut attributes) in read(counters) {
                    attributes.push(KeyValue::new("larder.namespace", namespace.clone()));
                    observer.observe(count, &attributes);
                }
            }
        }
    }
}
