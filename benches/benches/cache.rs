//! The cache over its tiers, beside the libraries that do a part of the same job.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cached::Cached;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use larder::{
    Cache, Coherence, CoherenceOptions, L1Options, L2, Loaded, MemoryTier, Metrics,
    NamespaceOptions, Publication, Version,
};
use tokio::runtime::Runtime;

/// Lengths of a summary, a page, and a large page.
const LENGTHS: [usize; 3] = [256, 3_300, 64 << 10];
/// Keys in a first tier; each is asked for in turn.
const KEYS: u64 = 10_000;
const TTL: Duration = Duration::from_secs(3_600);

fn cache(l1: bool) -> Cache<u64, Bytes> {
    cache_on(Arc::new(L2::Memory(MemoryTier::default())), l1)
}

fn cache_on(l2: Arc<L2>, l1: bool) -> Cache<u64, Bytes> {
    let options = NamespaceOptions {
        l1: l1.then(|| L1Options { ttl: TTL, ..L1Options::default() }),
        l2: !l1,
        ttl: Some(TTL),
        ..NamespaceOptions::default()
    };
    Cache::new("bench", "pages", options, l2, &Metrics::default()).expect("the options are valid")
}

fn value(length: usize) -> Bytes {
    (0..length).map(|n| n as u8).collect()
}

async fn load(value: Bytes) -> Result<Loaded<Bytes>, std::io::Error> {
    Ok(Loaded::found(Version::new(1, 1), value))
}

/// A page as hitbox has it: a function whose result is kept, encoded.
#[hitbox_fn::cached]
async fn page_by_hitbox(key: u64) -> String {
    let _ = key;
    "x".repeat(3_300)
}

/// Asks for one key after the other.
fn keys() -> impl FnMut() -> u64 {
    let mut next = 0;
    move || {
        // Odd and prime to the number of keys: neighbours in time are none in the table.
        next = (next + 7_919) % KEYS;
        next
    }
}

/// A hit in this process: what `larder` adds to the container that holds its entries, and what
/// others take for a value with a TTL in a bounded cache.
fn l1_hit(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let page = value(3_300);
    let mut group = criterion.benchmark_group("l1_hit");

    // The second one asks at each hit whether it has missed nothing.
    let l2 = Arc::new(L2::Memory(MemoryTier::default()));
    let options = CoherenceOptions::default();
    let coherence =
        runtime.block_on(async { Coherence::between_processes("bench", &l2, &options) });
    while !coherence.is_proven() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let coherent = cache_on(l2, true).coherent(&coherence);
    for (name, larder) in [("larder", cache(true)), ("larder, coherent", coherent)] {
        for key in 0..KEYS {
            let filled = runtime.block_on(larder.get_with(&key, || load(page.clone())));
            assert!(filled.is_ok_and(|lookup| lookup.stored));
        }
        group.bench_function(name, |b| {
            let mut next = keys();
            b.to_async(&runtime).iter(|| {
                let key = next();
                let larder = &larder;
                async move {
                    let lookup = larder.get_with(&key, || load(Bytes::new())).await;
                    black_box(lookup.map(|lookup| lookup.value))
                }
            });
        });
    }

    let foyer: foyer_memory::Cache<u64, Bytes> = foyer_memory::CacheBuilder::new(64 << 20)
        .with_eviction_config(foyer_memory::S3FifoConfig::default())
        .with_weighter(|_: &u64, value: &Bytes| value.len())
        .build();
    let moka = moka::sync::Cache::builder()
        .weigher(|_: &u64, value: &Bytes| value.len() as u32)
        .max_capacity(64 << 20)
        .time_to_live(TTL)
        .build();
    let quick = quick_cache::sync::Cache::<u64, Bytes>::new(KEYS as usize * 2);
    let mut timed = cached::LruTtlCache::new(KEYS as usize * 2, TTL);
    for key in 0..KEYS {
        foyer.insert(key, page.clone());
        moka.insert(key, page.clone());
        quick.insert(key, page.clone());
        timed.cache_set(key, page.clone());
    }
    // As `#[cached]` holds it in an async function.
    let timed = tokio::sync::Mutex::new(timed);
    group.bench_function("foyer (what larder stands on)", |b| {
        let mut next = keys();
        b.to_async(&runtime).iter(|| {
            let found = foyer.get(&next()).map(|entry| entry.value().clone());
            async move { black_box(found) }
        });
    });
    group.bench_function("moka", |b| {
        let mut next = keys();
        b.to_async(&runtime).iter(|| {
            let found = moka.get(&next());
            async move { black_box(found) }
        });
    });
    group.bench_function("quick_cache", |b| {
        let mut next = keys();
        b.to_async(&runtime).iter(|| {
            let found = quick.get(&next());
            async move { black_box(found) }
        });
    });
    group.bench_function("cached", |b| {
        let mut next = keys();
        b.to_async(&runtime).iter(|| {
            let key = next();
            let timed = &timed;
            async move { black_box(timed.lock().await.cache_get(&key).cloned()) }
        });
    });
    let hitbox = hitbox_fn::Cache::builder()
        .backend(hitbox_moka::MokaBackend::builder().max_bytes(64 << 20).build())
        .policy(hitbox::policy::PolicyConfig::builder().ttl(TTL).build())
        .build();
    for key in 0..KEYS {
        runtime.block_on(async { page_by_hitbox(key).cache(&hitbox).await });
    }
    group.bench_function("hitbox", |b| {
        let mut next = keys();
        b.to_async(&runtime).iter(|| {
            let (key, hitbox) = (next(), &hitbox);
            async move { black_box(page_by_hitbox(key).cache(hitbox).await) }
        });
    });
    group.finish();
}

/// A hit in the in-memory twin of Redis: keys, envelope and checksum, without the network.
fn l2_hit(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let cache = cache(false);
    let mut group = criterion.benchmark_group("l2_hit");
    for (key, length) in (1..).zip(LENGTHS) {
        let value = value(length);
        let filled = runtime.block_on(cache.get_with(&key, || load(value)));
        assert!(filled.is_ok());
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_function(BenchmarkId::from_parameter(length), |b| {
            b.to_async(&runtime)
                .iter(async || black_box(cache.get_with(&key, || load(Bytes::new())).await));
        });
    }
    group.finish();
}

/// A miss: the lease, a load that takes no time, the fill.
fn miss(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let cache = cache(false);
    let page = value(3_300);
    let mut version = 0;
    criterion.bench_function("miss_load_fill", |b| {
        b.to_async(&runtime).iter(|| {
            version += 1;
            let (cache, page) = (&cache, page.clone());
            async move {
                cache.invalidate(&1, Version::new(1, version)).await;
                let load = || async move {
                    Ok::<_, std::io::Error>(Loaded::found(Version::new(1, version), page))
                };
                black_box(cache.get_with(&1, load).await)
            }
        });
    });
}

fn publish(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let cache = cache(false);
    let page = value(3_300);
    let mut version = 0;
    criterion.bench_function("publish", |b| {
        b.to_async(&runtime).iter(|| {
            version += 1;
            let (cache, page) = (&cache, &page);
            async move {
                let stored = cache.put(&1, Version::new(1, version), Some(page)).await;
                assert!(matches!(stored, Publication::Stored | Publication::Guarded));
            }
        });
    });
}

criterion_group!(benches, l1_hit, l2_hit, miss, publish);
criterion_main!(benches);
