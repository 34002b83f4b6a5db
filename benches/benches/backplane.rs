//! The backplane over a real Redis Cluster: what it costs to tell, and how soon it is heard.
//!
//! Processes are simulated: each has a coherence and connections of its own, but all share this
//! one's runtime and cores.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group,
    criterion_main,
};
use larder::{
    Cache, Coherence, CoherenceOptions, L1Options, L2, Loaded, Metrics, NamespaceOptions,
    RedisOptions, RedisTier, Version,
};
use larder_stack::Topology;
use larder_stack::testing::{self, TestRedis};
use tokio::runtime::Runtime;

const SUBSCRIBERS: [usize; 4] = [0, 1, 4, 16];
/// Invalidations in a burst, …
const BURST: u64 = 10_000;
/// … and how many of them are under way at once: as many as a relay sends.
const AT_ONCE: usize = 256;
/// Messages in a row, for the processor time of one.
const MESSAGES: u64 = 4_000;
/// How long the silence is watched.
const SILENCE: Duration = Duration::from_secs(2);
const TTL: Duration = Duration::from_secs(3_600);
const PATIENCE: Duration = Duration::from_secs(20);
/// Far below what is measured.
const GLANCE: Duration = Duration::from_micros(10);

/// A process, as far as the backplane knows.
struct Process {
    cache: Cache<u64, Bytes>,
    coherence: Arc<Coherence>,
    metrics: Metrics,
}

/// One that writes, and some that hear of it.
struct Scene<'a> {
    runtime: &'a Runtime,
    environment: String,
    teller: Process,
    subscribers: Vec<Process>,
    version: u64,
}

impl Process {
    /// With `l2`, a write leaves its tombstone there first; else it is told and no more.
    async fn start(redis: &TestRedis, environment: &str, l2: bool) -> Self {
        let patient = Duration::from_secs(10);
        let redis = RedisOptions {
            connections: 1,
            // Nothing here is about time limits.
            response_timeout: patient,
            overall_timeout: patient,
            ..RedisOptions::new(redis.nodes())
        };
        let tier = Arc::new(L2::Redis(RedisTier::connect(redis).expect("the options are valid")));
        let coherence =
            Coherence::between_processes(environment, &tier, &CoherenceOptions::default());
        let options = NamespaceOptions {
            l1: Some(L1Options { ttl: TTL, ..L1Options::default() }),
            l2,
            ttl: Some(TTL),
            ..NamespaceOptions::default()
        };
        let metrics = Metrics::default();
        let cache = Cache::new(environment, "pages", options, Arc::clone(&tier), &metrics);
        let cache = cache.expect("the options are valid").coherent(&coherence);
        let began = Instant::now();
        while !(tier.is_available() && coherence.is_proven()) {
            assert!(began.elapsed() < PATIENCE, "the backplane is not heard");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Self { cache, coherence, metrics }
    }

    /// Keys that others told this process of.
    fn heard(&self) -> u64 {
        self.metrics.stats()["pages"].invalidations_backplane
    }

    async fn hold(&self, key: u64, version: u64) {
        let load = async move || {
            let value = Bytes::from_static(b"a page");
            Ok::<_, std::io::Error>(Loaded::found(Version::new(1, version), value))
        };
        self.cache.get_with(&key, load).await.expect("loads");
    }

    async fn holds(&self, key: u64) -> bool {
        self.cache.inspect(&key).await.l1.is_some()
    }
}

impl<'a> Scene<'a> {
    fn new(runtime: &'a Runtime, redis: &TestRedis, subscribers: usize, l2: bool) -> Self {
        // A stream of its own: nobody hears an earlier scene's.
        let environment = testing::unique("bench");
        let (teller, subscribers) = runtime.block_on(async {
            let teller = Process::start(redis, &environment, l2).await;
            let mut all = Vec::new();
            for _ in 0..subscribers {
                all.push(Process::start(redis, &environment, false).await);
            }
            (teller, all)
        });
        Self { runtime, environment, teller, subscribers, version: 1 }
    }

    fn next(&mut self) -> Version {
        self.version += 1;
        Version::new(1, self.version)
    }

    /// Tells one message, and waits until the stream has taken it.
    fn tell(&mut self) {
        let version = self.next();
        let done = self.runtime.block_on(self.teller.cache.invalidate(&1, version));
        assert_eq!(done, larder::Invalidation::Done);
    }

    /// Waits until each subscriber has heard `count` keys more than `before`.
    fn wait(&self, before: &[u64], count: u64) {
        let began = Instant::now();
        for (subscriber, before) in self.subscribers.iter().zip(before) {
            while subscriber.heard() < before + count {
                assert!(began.elapsed() < PATIENCE, "{}: not all is heard", self.environment);
                std::thread::sleep(GLANCE);
            }
        }
    }

    fn heard(&self) -> Vec<u64> {
        self.subscribers.iter().map(Process::heard).collect()
    }

    /// From an invalidation until the last subscriber has let go of the value.
    fn let_go(&mut self) -> Duration {
        let now = self.version;
        self.runtime.block_on(async {
            for subscriber in &self.subscribers {
                subscriber.hold(1, now).await;
                assert!(subscriber.holds(1).await);
            }
        });
        let (before, version) = (self.heard(), self.next());
        let began = Instant::now();
        // Not waited for: a subscriber may have heard it before its teller knows that it is told.
        let cache = self.teller.cache.clone();
        let told = self.runtime.spawn(async move { cache.invalidate(&1, version).await });
        self.wait(&before, 1);
        // What is heard is counted a moment before the value goes.
        for subscriber in &self.subscribers {
            while self.runtime.block_on(subscriber.holds(1)) {
                assert!(began.elapsed() < PATIENCE, "{}: it is still held", self.environment);
            }
        }
        let took = began.elapsed();
        self.runtime.block_on(told).expect("does not panic");
        took
    }

    /// A burst of invalidations of different keys, until all have heard of all.
    fn burst(&mut self) -> Duration {
        let (before, version) = (self.heard(), self.next());
        let changes: Vec<(u64, Version)> = (0..BURST).map(|key| (key, version)).collect();
        let began = Instant::now();
        self.runtime.block_on(async {
            for some in changes.chunks(AT_ONCE) {
                let done = self.teller.cache.invalidate_many(some).await;
                assert!(done.iter().all(|one| *one == larder::Invalidation::Done));
            }
        });
        self.wait(&before, BURST);
        began.elapsed()
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        for process in self.subscribers.iter().chain([&self.teller]) {
            assert!(
                std::thread::panicking() || process.coherence.is_proven(),
                "the backplane was not heard throughout"
            );
            process.coherence.close();
        }
    }
}

/// Processor time of a process's main thread, which is all of Redis that matters here.
fn main_thread(pid: i32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}

/// Processor time of the node that has the stream: the one that used most.
fn busiest(redis: &TestRedis, work: impl FnOnce()) -> Duration {
    let nodes = redis.pids();
    let before: Vec<Duration> = nodes.iter().map(|pid| main_thread(*pid)).collect();
    work();
    let used = nodes.iter().zip(before).map(|(pid, before)| main_thread(*pid) - before);
    used.max().unwrap_or_default()
}

/// A table: what a message, and a second of silence, cost the stream's node.
fn processor_time(runtime: &Runtime, redis: &TestRedis) {
    println!("subscribers | node's CPU per message | node's CPU per second of silence");
    for subscribers in SUBSCRIBERS {
        let mut scene = Scene::new(runtime, redis, subscribers, false);
        let silent = busiest(redis, || std::thread::sleep(SILENCE)).div_f64(SILENCE.as_secs_f64());
        let began = Instant::now();
        let told = busiest(redis, || {
            let before = scene.heard();
            for _ in 0..MESSAGES {
                scene.tell();
            }
            scene.wait(&before, MESSAGES);
        });
        let told = told.saturating_sub(silent.mul_f64(began.elapsed().as_secs_f64()));
        println!(
            "{subscribers:>11} | {:>19.1} µs | {:>19.0} µs ({:.2} %)",
            told.as_secs_f64() * 1e6 / MESSAGES as f64,
            silent.as_secs_f64() * 1e6,
            silent.as_secs_f64() * 1e2,
        );
    }
}

/// Measures `work` of a scene; its own time is what counts.
fn timed(
    group: &mut BenchmarkGroup<'_, WallTime>,
    scene: &mut Scene<'_>,
    work: impl Fn(&mut Scene<'_>) -> Duration,
) {
    let subscribers = BenchmarkId::from_parameter(scene.subscribers.len());
    group.bench_function(subscribers, |b| {
        b.iter_custom(|times| (0..times).map(|_| work(scene)).sum());
    });
}

fn backplane(criterion: &mut Criterion) {
    if testing::skip_without_servers("backplane") {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let redis = runtime.block_on(testing::private_redis_cluster(Topology::ThreeByZero));

    let mut group = criterion.benchmark_group("tell");
    for subscribers in SUBSCRIBERS {
        let mut scene = Scene::new(&runtime, &redis, subscribers, false);
        timed(&mut group, &mut scene, |scene| {
            let began = Instant::now();
            scene.tell();
            began.elapsed()
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("all_have_let_go");
    for subscribers in [1, 4, 16] {
        timed(&mut group, &mut Scene::new(&runtime, &redis, subscribers, true), |scene| {
            scene.let_go()
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("burst");
    group.throughput(Throughput::Elements(BURST)).sampling_mode(SamplingMode::Flat);
    for subscribers in [1, 16] {
        timed(&mut group, &mut Scene::new(&runtime, &redis, subscribers, true), |scene| {
            scene.burst()
        });
    }
    group.finish();

    processor_time(&runtime, &redis);
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    targets = backplane
}
criterion_main!(benches);
