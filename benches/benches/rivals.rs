//! The cache in one process, beside the libraries that do a part of the same job: the same values,
//! the same capacity, a TTL where they have one, from async code.

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cached::Cached;
use criterion::{Criterion, criterion_group, criterion_main};
use larder::{L2, MemoryTier, Version};
use larder_benches::fixtures::{
    CAPACITY, KEYS, PAGE, TTL, brief, cache, keys, load, one_tier, value,
};
use tokio::runtime::Runtime;

/// Threads that ask for one key at the same time.
const THREADS: usize = 2;
/// The first of the keys that nobody has asked for yet.
const FRESH: u64 = 1_000_000;
/// Keys that are let go of between two fillings.
const ROUND: u64 = 5_000;

/// A page as hitbox has it: a function whose result is kept, encoded.
#[hitbox_fn::cached]
async fn page_by_hitbox(key: u64) -> String {
    let _ = key;
    "x".repeat(PAGE)
}

/// What a value weighs, for quick_cache.
#[derive(Clone)]
struct Length;

impl quick_cache::Weighter<u64, Bytes> for Length {
    fn weight(&self, _: &u64, value: &Bytes) -> u64 {
        value.len() as u64
    }
}

/// Times what all libraries have: `get` of what is there, `load` of what is not, into a cache that
/// is full by then, and `get` of one key by several threads.
fn measure<G, L>(
    criterion: &mut Criterion,
    runtime: &Runtime,
    name: &str,
    get: impl Fn(u64) -> G + Sync,
    load: impl Fn(u64) -> L,
) where
    G: Future,
    L: Future,
{
    for key in 0..KEYS {
        runtime.block_on(load(key));
    }
    let mut group = criterion.benchmark_group("rivals_hit");
    group.bench_function(name, |b| {
        let mut next = keys();
        b.to_async(runtime).iter(|| {
            let found = get(next());
            async move { black_box(found.await) }
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("rivals_hot_key");
    group.bench_function(name, |b| {
        b.iter_custom(|times| {
            let began = Instant::now();
            std::thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        runtime.block_on(async {
                            for _ in 0..times {
                                black_box(get(1).await);
                            }
                        });
                    });
                }
            });
            began.elapsed()
        });
    });
    group.finish();

    let mut key = FRESH;
    // All caches are full from here on.
    for _ in 0..(CAPACITY / PAGE) as u64 {
        key += 1;
        runtime.block_on(load(key));
    }
    let mut group = criterion.benchmark_group("rivals_miss");
    group.bench_function(name, |b| {
        b.to_async(runtime).iter(|| {
            key += 1;
            let loaded = load(key);
            async move { black_box(loaded.await) }
        });
    });
    group.finish();
}

/// Times how a key that is there is let go of.
fn invalidate<L, I>(
    criterion: &mut Criterion,
    runtime: &Runtime,
    name: &str,
    load: impl Fn(u64) -> L,
    invalidate: impl Fn(u64) -> I,
) where
    L: Future,
    I: Future,
{
    let mut group = criterion.benchmark_group("rivals_invalidate");
    group.bench_function(name, |b| {
        b.iter_custom(|times| {
            let mut took = Duration::ZERO;
            let mut left = times;
            while left > 0 {
                let some = left.min(ROUND);
                left -= some;
                runtime.block_on(async {
                    for key in 0..some {
                        load(key).await;
                    }
                    let began = Instant::now();
                    for key in 0..some {
                        black_box(invalidate(key).await);
                    }
                    took += began.elapsed();
                });
            }
            took
        });
    });
    group.finish();
}

fn larder(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let larder = cache(&Arc::new(L2::Memory(MemoryTier::default())), one_tier(true));
    let (larder, page) = (&larder, &value(PAGE));
    // What is loaded after an invalidation is as new as that.
    let newest = &AtomicU64::new(1);
    let ask = |key| async move {
        let version = Version::new(1, newest.load(Ordering::Relaxed));
        let page = page.clone();
        let load = || async move { Ok::<_, Infallible>(larder::Loaded::found(version, page)) };
        larder.get_with(&key, load).await.map(|lookup| lookup.value)
    };
    let hit = |key| async move {
        let lookup = larder.get_with(&key, || load(Bytes::new())).await;
        lookup.map(|lookup| lookup.value)
    };
    measure(criterion, &runtime, "larder", hit, ask);
    invalidate(criterion, &runtime, "larder", ask, |key| async move {
        let version = newest.fetch_add(1, Ordering::Relaxed) + 1;
        larder.invalidate(&key, Version::new(1, version)).await
    });
}

/// The container that L1 stands on, alone.
fn foyer(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let foyer: foyer_memory::Cache<u64, Bytes> = foyer_memory::CacheBuilder::new(CAPACITY)
        .with_eviction_config(foyer_memory::S3FifoConfig::default())
        .with_weighter(|_: &u64, value: &Bytes| value.len())
        .build();
    let (foyer, page) = (&foyer, &value(PAGE));
    let get = |key| async move { foyer.get(&key).map(|entry| entry.value().clone()) };
    let load = |key| async move {
        let page = page.clone();
        let entry = foyer.get_or_fetch(&key, || async move { Ok::<_, Infallible>(page) }).await;
        entry.map(|entry| entry.value().clone()).ok()
    };
    measure(criterion, &runtime, "foyer", get, load);
    invalidate(criterion, &runtime, "foyer", load, |key| async move { foyer.remove(&key) });
}

fn moka(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let moka = moka::future::Cache::builder()
        .weigher(|_: &u64, value: &Bytes| value.len() as u32)
        .max_capacity(CAPACITY as u64)
        .time_to_live(TTL)
        .build();
    let (moka, page) = (&moka, &value(PAGE));
    let load = |key| async move {
        let page = page.clone();
        moka.get_with(key, async move { page }).await
    };
    measure(criterion, &runtime, "moka", |key| async move { moka.get(&key).await }, load);
    let gone = |key| async move { moka.invalidate(&key).await };
    invalidate(criterion, &runtime, "moka", load, gone);
}

/// It has no TTL.
fn quick_cache(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let quick = quick_cache::sync::Cache::with_weighter(CAPACITY / PAGE, CAPACITY as u64, Length);
    let (quick, page) = (&quick, &value(PAGE));
    let load = |key| async move {
        let page = page.clone();
        quick.get_or_insert_async(&key, async move { Ok::<_, Infallible>(page) }).await
    };
    measure(criterion, &runtime, "quick_cache", |key| async move { quick.get(&key) }, load);
    invalidate(criterion, &runtime, "quick_cache", load, |key| async move { quick.remove(&key) });
}

/// As `#[cached]` holds it in an async function: behind a lock, bounded by entries, and without a
/// single flight.
fn cached(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let timed = tokio::sync::Mutex::new(cached::LruTtlCache::new(CAPACITY / PAGE, TTL));
    let (timed, page) = (&timed, &value(PAGE));
    let get = |key| async move { timed.lock().await.cache_get(&key).cloned() };
    let load = |key: u64| async move {
        let found = timed.lock().await.cache_get(&key).cloned();
        if let Some(found) = found {
            return found;
        }
        let page = page.clone();
        timed.lock().await.cache_set(key, page.clone());
        page
    };
    measure(criterion, &runtime, "cached", get, load);
    let gone = |key| async move { timed.lock().await.cache_remove(&key) };
    invalidate(criterion, &runtime, "cached", load, gone);
}

/// It keeps values encoded and decodes them on a hit; a call's entry cannot be taken out by the
/// call's arguments, so there is no invalidation to compare.
fn hitbox(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let hitbox = hitbox_fn::Cache::builder()
        .backend(hitbox_moka::MokaBackend::builder().max_bytes(CAPACITY as u64).build())
        .policy(hitbox::policy::PolicyConfig::builder().ttl(TTL).build())
        .build();
    let hitbox = &hitbox;
    let ask = |key| async move { page_by_hitbox(key).cache(hitbox).await };
    measure(criterion, &runtime, "hitbox", ask, ask);
}

criterion_group! {
    name = benches;
    config = brief();
    targets = larder, foyer, moka, quick_cache, cached, hitbox
}
criterion_main!(benches);
