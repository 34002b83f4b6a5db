//! What several benchmarks measure with: values, keys, caches, and for how long.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::Criterion;
use larder::{Cache, L1Options, L2, Loaded, Metrics, NamespaceOptions, Version};

/// Lengths of a summary, a page, and a large page, in bytes.
pub const LENGTHS: [usize; 3] = [256, PAGE, 64 << 10];
/// The length of a page, in bytes.
pub const PAGE: usize = 3_300;
/// Keys in a first tier; each is asked for in turn.
pub const KEYS: u64 = 10_000;
/// Bytes that a first tier may take. All keys' pages fit.
pub const CAPACITY: usize = 64 << 20;
/// Nothing expires while it is measured.
pub const TTL: Duration = Duration::from_secs(3_600);

/// Options with a TTL, and one tier: L1, or else L2.
#[must_use]
pub fn one_tier(l1: bool) -> NamespaceOptions {
    NamespaceOptions {
        l1: l1.then(|| L1Options { ttl: TTL, capacity: CAPACITY, ..L1Options::default() }),
        l2: !l1,
        ttl: Some(TTL),
        ..NamespaceOptions::default()
    }
}

/// A cache of bytes over `l2`.
///
/// # Panics
///
/// When the options cannot work.
#[must_use]
pub fn cache(l2: &Arc<L2>, options: NamespaceOptions) -> Cache<u64, Bytes> {
    let cache = Cache::new("bench", "pages", options, Arc::clone(l2), &Metrics::default());
    cache.expect("the options are valid")
}

/// A value of `length` bytes.
#[must_use]
pub fn value(length: usize) -> Bytes {
    (0..length).map(|n| n as u8).collect()
}

/// A load that takes no time.
///
/// # Errors
///
/// Never.
pub async fn load(value: Bytes) -> Result<Loaded<Bytes>, std::io::Error> {
    Ok(Loaded::found(Version::new(1, 1), value))
}

/// All keys in turn, for ever.
pub fn keys() -> impl FnMut() -> u64 {
    let mut next = 0;
    move || {
        // Odd and prime to the number of keys: neighbours in time are none in the table.
        next = (next + 7_919) % KEYS;
        next
    }
}

/// How long each is measured: short, for there are many. A whole run is to end within a
/// quarter of an hour.
#[must_use]
pub fn brief() -> Criterion {
    Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_000))
}

/// The same for what has other processes in it, whose times scatter more.
#[must_use]
pub fn steady() -> Criterion {
    brief().measurement_time(Duration::from_millis(2_000))
}
