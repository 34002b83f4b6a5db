//! What the steps of the protocol cost over a real Redis Cluster: round trips and scripts.

use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use larder::{
    Cache, Invalidation, L2, Loaded, Metrics, Publication, RedisOptions, RedisTier, Version,
};
use larder_benches::fixtures::{LENGTHS, PAGE, load, one_tier, steady, value};
use larder_stack::Topology;
use larder_stack::testing;
use tokio::runtime::Runtime;

/// Keys in one call of `get_many`.
const BATCHES: [u64; 3] = [1, 10, 100];
const PATIENCE: Duration = Duration::from_secs(20);

/// A cache in Redis alone, connected.
struct Scene {
    runtime: Runtime,
    l2: Arc<L2>,
    cache: Cache<u64, Bytes>,
    /// The last key that nobody has asked for before.
    fresh: u64,
    version: u64,
}

impl Scene {
    /// `None`, and says so, where there are no servers.
    fn new() -> Option<(Self, testing::TestRedis)> {
        if testing::skip_without_servers("protocol") {
            return None;
        }
        let runtime = Runtime::new().expect("a runtime");
        let redis = runtime.block_on(testing::redis_cluster(Topology::ThreeByOne));
        let patient = Duration::from_secs(10);
        let options = RedisOptions {
            // Nothing here is about time limits.
            response_timeout: patient,
            overall_timeout: patient,
            ..RedisOptions::new(redis.nodes())
        };
        let l2 = runtime.block_on(async {
            let tier = RedisTier::connect(options).expect("the options are valid");
            let l2 = Arc::new(L2::Redis(tier));
            let began = Instant::now();
            while !l2.is_available() {
                assert!(began.elapsed() < PATIENCE, "the cluster does not answer");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            l2
        });
        let source = value(PAGE);
        // Entries of its own: nothing is there yet.
        let environment = testing::unique("bench");
        let metrics = Metrics::default();
        let cache = Cache::new(&environment, "pages", one_tier(false), Arc::clone(&l2), &metrics)
            .expect("the options are valid")
            .with_source(move |_| load(source.clone()));
        Some((Self { runtime, l2, cache, fresh: 1_000_000, version: 1 }, redis))
    }

    fn fill(&self, key: u64, value: &Bytes) {
        let filled = self.runtime.block_on(self.cache.get_with(&key, || load(value.clone())));
        assert!(filled.is_ok_and(|lookup| lookup.stored), "{key} is not filled");
    }

    fn next_version(&mut self) -> Version {
        self.version += 1;
        Version::new(1, self.version)
    }

    fn next_key(&mut self) -> u64 {
        self.fresh += 1;
        self.fresh
    }
}

/// A hit, beside the barest GET that there is on the same connections.
fn hit(scene: &Scene, criterion: &mut Criterion) {
    let L2::Redis(tier) = &*scene.l2 else { unreachable!("the scene is in Redis") };
    let mut group = criterion.benchmark_group("redis_hit");
    for (key, length) in (1..).zip(LENGTHS) {
        let value = value(length);
        scene.fill(key, &value);
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_function(BenchmarkId::new("bare GET", length), |b| {
            b.to_async(&scene.runtime)
                .iter(async || black_box(tier.bare_get(&value).await.expect("Redis answers")));
        });
        group.bench_function(BenchmarkId::new("larder", length), |b| {
            b.to_async(&scene.runtime).iter(async || {
                let lookup = scene.cache.get_with(&key, || load(Bytes::new())).await;
                black_box(lookup.map(|lookup| lookup.value))
            });
        });
    }
    group.finish();
}

fn get_many(scene: &Scene, criterion: &mut Criterion) {
    let page = value(PAGE);
    let most = BATCHES[BATCHES.len() - 1];
    for key in 100..100 + most {
        scene.fill(key, &page);
    }
    let mut group = criterion.benchmark_group("redis_get_many");
    for batch in BATCHES {
        let wanted: Vec<u64> = (100..100 + batch).collect();
        group.throughput(Throughput::Elements(batch));
        group.bench_function(BenchmarkId::from_parameter(batch), |b| {
            b.to_async(&scene.runtime)
                .iter(async || black_box(scene.cache.get_many(&wanted).await));
        });
    }
    group.finish();
}

/// Each step as a caller makes it, named by the commands that it sends in turn.
fn scripts(scene: &mut Scene, criterion: &mut Criterion) {
    let page = value(PAGE);
    scene.fill(1_000, &page);
    scene.fill(1_001, &page);
    scene.fill(1_002, &page);
    let mut group = criterion.benchmark_group("redis_scripts");
    group.bench_function("hit: read", |b| {
        b.to_async(&scene.runtime)
            .iter(async || black_box(scene.cache.get_with(&1_000, || load(Bytes::new())).await));
    });
    group.bench_function("write: invalidate", |b| {
        b.iter_custom(|times| {
            let began = Instant::now();
            for _ in 0..times {
                let version = scene.next_version();
                let done = scene.runtime.block_on(scene.cache.invalidate(&1_001, version));
                assert_eq!(done, Invalidation::Done);
            }
            began.elapsed()
        });
    });
    group.bench_function("write: publish", |b| {
        b.iter_custom(|times| {
            let began = Instant::now();
            for _ in 0..times {
                let version = scene.next_version();
                let put = scene.cache.put(&1_002, version, Some(&page));
                assert_eq!(scene.runtime.block_on(put), Publication::Stored);
            }
            began.elapsed()
        });
    });
    group.bench_function("failed load: read, acquire, release", |b| {
        b.iter_custom(|times| {
            let began = Instant::now();
            for _ in 0..times {
                let key = scene.next_key();
                let failing = async || Err::<Loaded<Bytes>, _>(io::Error::other("on purpose"));
                let failed = scene.runtime.block_on(scene.cache.get_with(&key, failing));
                assert!(failed.is_err());
            }
            began.elapsed()
        });
    });
    group.bench_function("miss: read, acquire, fill", |b| {
        b.iter_custom(|times| {
            let began = Instant::now();
            for _ in 0..times {
                let key = scene.next_key();
                let missed = scene.cache.get_with(&key, || load(page.clone()));
                assert!(scene.runtime.block_on(missed).is_ok_and(|lookup| lookup.stored));
            }
            began.elapsed()
        });
    });
    group.finish();
}

fn protocol(criterion: &mut Criterion) {
    let Some((mut scene, _redis)) = Scene::new() else { return };
    hit(&scene, criterion);
    get_many(&scene, criterion);
    scripts(&mut scene, criterion);
}

criterion_group! {
    name = benches;
    config = steady();
    targets = protocol
}
criterion_main!(benches);
