//! The cache's own work in this process, without any network: hits by tier and size, several keys
//! at once, misses, and many who want the same.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use larder::{Cache, Coherence, CoherenceOptions, L2, Loaded, MemoryTier, Publication, Version};
use larder_benches::fixtures::{KEYS, LENGTHS, PAGE, brief, cache, keys, load, one_tier, value};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// Keys in one call of `get_many`.
const BATCHES: [u64; 3] = [1, 10, 100];
/// Callers who want one key that nobody has.
const CALLERS: [u64; 3] = [1, 16, 256];

fn memory() -> Arc<L2> {
    Arc::new(L2::Memory(MemoryTier::default()))
}

fn fill(runtime: &Runtime, larder: &Cache<u64, Bytes>, value: &Bytes, keys: u64) {
    for key in 0..keys {
        let filled = runtime.block_on(larder.get_with(&key, || load(value.clone())));
        assert!(filled.is_ok_and(|lookup| lookup.stored));
    }
}

/// A hit in this process, by length; then one that asks whether it has missed nothing.
fn l1_hit(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let l2 = memory();
    let coherence = runtime.block_on(async {
        Coherence::between_processes("bench", &l2, &CoherenceOptions::default())
    });
    while !coherence.is_proven() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut group = criterion.benchmark_group("l1_hit");
    let alone = LENGTHS.map(|length| ("alone", length, cache(&memory(), one_tier(true))));
    let coherent = ("coherent", PAGE, cache(&l2, one_tier(true)).coherent(&coherence));
    for (name, length, larder) in alone.into_iter().chain([coherent]) {
        // As many as fit.
        let held = KEYS.min((32 << 20) / length as u64);
        fill(&runtime, &larder, &value(length), held);
        group.bench_function(BenchmarkId::new(name, length), |b| {
            let mut next = keys();
            b.to_async(&runtime).iter(|| {
                let key = next() % held;
                let larder = &larder;
                async move {
                    let lookup = larder.get_with(&key, || load(Bytes::new())).await;
                    black_box(lookup.map(|lookup| lookup.value))
                }
            });
        });
    }
    group.finish();
}

/// A hit in the in-memory twin of Redis: keys, envelope and checksum, without the network.
fn l2_hit(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let cache = cache(&memory(), one_tier(false));
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

/// Several keys in one call, all of them hits.
fn get_many(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let page = value(PAGE);
    let mut group = criterion.benchmark_group("get_many");
    for (tier, l1) in [("l1", true), ("l2", false)] {
        let source = page.clone();
        let larder = cache(&memory(), one_tier(l1)).with_source(move |_| load(source.clone()));
        // The twin of Redis looks through all that it holds each time: few keys, so that this is
        // not what is timed.
        let held = if l1 { KEYS } else { BATCHES[BATCHES.len() - 1] };
        fill(&runtime, &larder, &page, held);
        for batch in BATCHES {
            group.throughput(Throughput::Elements(batch));
            group.bench_function(BenchmarkId::new(tier, batch), |b| {
                let mut next = keys();
                b.to_async(&runtime).iter(|| {
                    let wanted: Vec<u64> = (0..batch).map(|_| next() % held).collect();
                    let larder = &larder;
                    async move { black_box(larder.get_many(&wanted).await) }
                });
            });
        }
    }
    group.finish();
}

/// A miss: the lease, a load that takes no time, the fill; and what a write stores itself.
fn change(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let cache = cache(&memory(), one_tier(false));
    let page = value(PAGE);
    let mut group = criterion.benchmark_group("change");
    let mut version = 0;
    group.bench_function("invalidate, miss, load, fill", |b| {
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
    group.bench_function("publish", |b| {
        b.to_async(&runtime).iter(|| {
            version += 1;
            let (cache, page) = (&cache, &page);
            async move {
                let stored = cache.put(&1, Version::new(1, version), Some(page)).await;
                assert!(matches!(stored, Publication::Stored | Publication::Guarded));
            }
        });
    });
    group.finish();
}

/// Callers in tasks of their own who all want one key that nobody has, until all have it: one load.
fn single_flight(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let larder = cache(&memory(), one_tier(true));
    let page = value(PAGE);
    let mut key = 0;
    let mut group = criterion.benchmark_group("single_flight");
    for callers in CALLERS {
        group.throughput(Throughput::Elements(callers));
        group.bench_function(BenchmarkId::from_parameter(callers), |b| {
            b.iter_custom(|times| {
                let mut took = Duration::ZERO;
                for _ in 0..times {
                    key += 1;
                    let began = Instant::now();
                    runtime.block_on(async {
                        let mut all = JoinSet::new();
                        for _ in 0..callers {
                            let (larder, page) = (larder.clone(), page.clone());
                            all.spawn(async move { larder.get_with(&key, || load(page)).await });
                        }
                        all.join_all().await
                    });
                    took += began.elapsed();
                }
                took
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = brief();
    targets = l1_hit, l2_hit, get_many, change, single_flight
}
criterion_main!(benches);
