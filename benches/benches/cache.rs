//! The primitives of the cache over its in-memory tier.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use larder::{Cache, L2, MemoryTier, Metrics, NamespaceOptions, Version};
use tokio::runtime::Runtime;

/// Lengths of a summary, a page, and a large page.
const LENGTHS: [usize; 3] = [256, 3_300, 64 << 10];

fn cache() -> Cache<u64, Bytes> {
    let l2 = Arc::new(L2::Memory(MemoryTier::default()));
    Cache::new("bench", "pages", NamespaceOptions::default(), l2, &Metrics::default())
        .expect("the default options are valid")
}

fn value(length: usize) -> Bytes {
    (0..length).map(|n| n as u8).collect()
}

fn lookup(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let cache = cache();
    let mut group = criterion.benchmark_group("lookup");
    for (key, length) in (1..).zip(LENGTHS) {
        let value = value(length);
        runtime.block_on(cache.fill(&key, Version::new(1, 1), &value, Duration::ZERO));
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_function(BenchmarkId::new("hit", length), |b| {
            b.to_async(&runtime).iter(async || black_box(cache.lookup(&key).await));
        });
    }
    group.bench_function("miss", |b| {
        b.to_async(&runtime).iter(async || black_box(cache.lookup(&0).await));
    });
    group.finish();
}

fn fill(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let cache = cache();
    let mut group = criterion.benchmark_group("fill");
    for length in LENGTHS {
        let value = value(length);
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_function(BenchmarkId::from_parameter(length), |b| {
            b.to_async(&runtime).iter(async || {
                black_box(cache.fill(&1, Version::new(1, 1), &value, Duration::ZERO).await)
            });
        });
    }
    group.finish();
}

fn invalidate(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let cache = cache();
    criterion.bench_function("invalidate", |b| {
        b.to_async(&runtime)
            .iter(async || black_box(cache.invalidate(&1, Version::new(1, 2)).await));
    });
}

criterion_group!(benches, lookup, fill, invalidate);
criterion_main!(benches);
