//! `larder.staleness`: how old wrong answers were, by who found it out.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use super::{Count, Metrics};
use crate::lookup::Tier;

/// From 1 ms to a minute; the first bucket holds the answers that were right.
const BUCKETS: [f64; 16] =
    [0.0, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// How many answers were compared with the origin.
#[derive(Debug, Default)]
pub(super) struct VerifiedCounters {
    sampled: Count,
    stale: Count,
}

/// How many answers were compared with the origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// All that were.
    pub sampled: u64,
    /// Of those, the ones that were older than the origin when they were asked for.
    pub stale: u64,
}

impl VerifiedCounters {
    pub(super) fn stats(&self) -> Verified {
        Verified { sampled: self.sampled.get(), stale: self.stale.get() }
    }
}

impl Metrics {
    /// Records that an answer of `tier` in `namespace` was compared with the origin, and for how
    /// long it had been wrong when it was asked for; zero: it was right.
    pub fn verified(&self, namespace: &str, tier: Tier, staleness: Duration) {
        let counters = self.namespace(namespace);
        counters.verified.sampled.up();
        if !staleness.is_zero() {
            counters.verified.stale.up();
        }
        if let Some(histogram) = self.staleness.get() {
            let attributes = [
                KeyValue::new("larder.namespace", namespace.to_owned()),
                KeyValue::new("larder.tier", tier.as_str()),
            ];
            histogram.record(staleness.as_secs_f64(), &attributes);
        }
    }

    pub(super) fn register_staleness(&self, meter: &Meter) {
        let histogram = meter
            .f64_histogram("larder.staleness")
            .with_unit("s")
            .with_description("Age of sampled answers of the cache that were wrong; else zero.")
            .with_boundaries(BUCKETS.to_vec())
            .build();
        // A second registration keeps the first instrument: same name, same stream.
        let _ = self.staleness.set(histogram);
    }
}
