//! What a relay does at present, and has done so far.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::metrics::Meter;

/// What a relay does at present, and has done so far.
#[derive(Debug, Default)]
pub struct RelayStatus {
    active: AtomicBool,
    relayed: AtomicU64,
    backlog: AtomicU64,
    replays: AtomicU64,
    clears: AtomicU64,
    lag_ms: AtomicU64,
}

impl RelayStatus {
    /// Whether this process relays.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    /// Changes told so far, repeated ones included.
    #[must_use]
    pub fn relayed(&self) -> u64 {
        self.relayed.load(Ordering::Relaxed)
    }

    /// Changes that wait for a shard that does not answer.
    #[must_use]
    pub fn backlog(&self) -> u64 {
        self.backlog.load(Ordering::Relaxed)
    }

    /// How often recent changes were told again.
    #[must_use]
    pub fn replays(&self) -> u64 {
        self.replays.load(Ordering::Relaxed)
    }

    /// How often a namespace was cleared, for there was too much to tell.
    #[must_use]
    pub fn clears(&self) -> u64 {
        self.clears.load(Ordering::Relaxed)
    }

    /// How old the last moment is up to which all changes were taken by all; zero where this
    /// process does not relay.
    #[must_use]
    pub fn lag(&self) -> Duration {
        Duration::from_millis(self.lag_ms.load(Ordering::Relaxed))
    }

    pub(super) fn begin(&self) {
        self.active.store(true, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.active.store(false, Ordering::Relaxed);
        self.report(0, Duration::ZERO);
    }

    pub(super) fn report(&self, backlog: usize, lag: Duration) {
        self.backlog.store(backlog as u64, Ordering::Relaxed);
        self.lag_ms.store(u64::try_from(lag.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn told(&self) {
        self.relayed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn replayed(&self) {
        self.replays.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn cleared(&self) {
        self.clears.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn register(self: &Arc<Self>, meter: &Meter) {
        let counter = |name: &'static str, what: &'static str, read: fn(&Self) -> u64| {
            let status = Arc::clone(self);
            let counter = meter.u64_observable_counter(name).with_description(what);
            counter.with_callback(move |observer| observer.observe(read(&status), &[])).build();
        };
        counter("larder.feed.relayed", "Changes told to L2 and the backplane.", Self::relayed);
        counter("larder.feed.replays", "How often recent changes were told again.", Self::replays);
        counter("larder.feed.clears", "How often there was too much to tell.", Self::clears);
        let gauge = |name: &'static str, what: &'static str, read: fn(&Self) -> f64| {
            let status = Arc::clone(self);
            let gauge = meter.f64_observable_gauge(name).with_description(what);
            gauge.with_callback(move |observer| observer.observe(read(&status), &[])).build();
        };
        gauge("larder.feed.active", "1 in the process that relays, else 0.", |status| {
            f64::from(u8::from(status.is_active()))
        });
        gauge("larder.feed.backlog", "Changes that wait for a shard.", |status| {
            status.backlog() as f64
        });
        gauge("larder.feed.lag", "Seconds since all changes were taken by all.", |status| {
            status.lag().as_secs_f64()
        });
    }
}
