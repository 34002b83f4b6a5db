//! How values become bytes, and what LZ4 costs and saves.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use larder::{
    Cache, CacheValue, Json, L2, MemoryTier, MessagePack, NamespaceOptions, Postcard, Publication,
    Schema, Version,
};
use larder_benches::fixtures::{brief, cache, load, one_tier};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

/// Reviews on a page: it then has about 1 KiB, 4 KiB and 64 KiB of JSON.
const REVIEWS: [usize; 3] = [5, 25, 400];

/// Something like a product's page.
#[derive(Clone, Serialize, Deserialize)]
struct Page {
    id: i64,
    name: String,
    price_minor: i64,
    currency: String,
    related: Vec<i64>,
    reviews: Vec<Review>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Review {
    id: i64,
    rating: u8,
    title: String,
    body: String,
}

impl Schema for Page {
    const SCHEMA: &'static str = "page/1";
}

fn page(reviews: usize) -> Page {
    let review = |n: usize| Review {
        id: n as i64 * 7_919,
        rating: (n % 5 + 1) as u8,
        title: format!("Lantern, seen {n} times"),
        body: format!("Burned for {} hours, then {} more on what was left of the oil.", n * 13, n),
    };
    Page {
        id: 42,
        name: "White hanging heart T-light holder".to_owned(),
        price_minor: 255,
        currency: "GBP".to_owned(),
        related: (1..=8).map(|n| n * 104_729).collect(),
        reviews: (0..reviews).map(review).collect(),
    }
}

/// Both ways of one codec.
fn both_ways<V: CacheValue>(group: &mut BenchmarkGroup<'_, WallTime>, codec: &str, value: &V) {
    let stored = value.encode().expect("a page has an encoding");
    println!("{codec}: {} bytes", stored.len());
    group.bench_function(BenchmarkId::new(codec, "encode"), |b| {
        b.iter(|| black_box(value.encode().expect("a page has an encoding")));
    });
    group.bench_function(BenchmarkId::new(codec, "decode"), |b| {
        b.iter(|| black_box(V::decode(stored.clone()).is_ok()));
    });
}

fn codec(criterion: &mut Criterion) {
    let page = page(REVIEWS[1]);
    let mut group = criterion.benchmark_group("codec");
    both_ways(&mut group, "json", &Json::from(page.clone()));
    both_ways(&mut group, "message-pack", &MessagePack::from(page.clone()));
    both_ways(&mut group, "postcard", &Postcard::from(page));
    group.finish();
}

/// A publication and a hit through the in-memory twin of Redis, where payloads are compressed and
/// where they are not. The payload is JSON text.
fn compression(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let scenes: Vec<(&str, Bytes, Cache<u64, Bytes>)> = REVIEWS
        .into_iter()
        .flat_map(|reviews| {
            let text = Json::from(page(reviews)).encode().expect("a page has an encoding");
            [("plain", None), ("lz4", Some(0))].map(|(name, compress_above)| {
                let l2 = Arc::new(L2::Memory(MemoryTier::default()));
                let options = NamespaceOptions { compress_above, ..one_tier(false) };
                (name, text.clone(), cache(&l2, options))
            })
        })
        .collect();
    for (_, text, cache) in &scenes {
        let filled = runtime.block_on(cache.get_with(&1, || load(text.clone())));
        assert!(filled.is_ok_and(|lookup| lookup.stored));
    }

    let mut group = criterion.benchmark_group("compression_publish");
    for (name, text, cache) in &scenes {
        let mut version = 1;
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(BenchmarkId::new(*name, text.len()), |b| {
            b.to_async(&runtime).iter(|| {
                version += 1;
                async move {
                    let stored = cache.put(&1, Version::new(1, version), Some(text)).await;
                    assert_eq!(stored, Publication::Stored);
                }
            });
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("compression_hit");
    for (name, text, cache) in &scenes {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(BenchmarkId::new(*name, text.len()), |b| {
            b.to_async(&runtime).iter(async || {
                let lookup = cache.get_with(&1, || load(Bytes::new())).await;
                black_box(lookup.map(|lookup| lookup.value))
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = brief();
    targets = codec, compression
}
criterion_main!(benches);
