//! Which container should hold L1: hit ratios and throughput of candidate libraries and their
//! policies on a recorded trace, and on a Zipf law.
//!
//! `cargo bench -p larder-benches --bench eviction` prints a table. Recorded traces are looked for
//! in `$LARDER_DATA/traces`, or `../shared/data/traces` beside the clone.

use std::collections::HashSet;
use std::io::Read;
use std::path::PathBuf;
use std::time::Instant;

use foyer_memory::{
    CacheBuilder, EvictionConfig, FifoConfig, LfuConfig, LruConfig, S3FifoConfig, SieveConfig,
};
use moka::policy::EvictionPolicy;
use rand::SeedableRng;
use rand_distr::{Distribution, Zipf};

/// Entries, as a part of a sequence's distinct keys.
const SIZES: [f64; 3] = [0.01, 0.05, 0.10];
/// Threads that ask at the same time when throughput is measured.
const THREADS: usize = 2;

/// A bounded cache of keys: asks for one, and stores it if it was not there.
type Ask = Box<dyn Fn(u32) -> bool + Send + Sync>;

fn foyer(config: impl Into<EvictionConfig>) -> impl Fn(usize) -> Ask {
    let config = config.into();
    move |entries| {
        // One shard, as all others have for the ratio: a shard's share of few entries is fewer.
        let cache: foyer_memory::Cache<u32, u32> =
            CacheBuilder::new(entries).with_shards(1).with_eviction_config(config.clone()).build();
        Box::new(move |key| {
            let hit = cache.get(&key).is_some();
            if !hit {
                cache.insert(key, key);
            }
            hit
        })
    }
}

fn moka(policy: EvictionPolicy) -> impl Fn(usize) -> Ask {
    move |entries| {
        let cache = moka::sync::Cache::builder()
            .max_capacity(entries as u64)
            .eviction_policy(policy.clone())
            .build();
        Box::new(move |key| {
            let hit = cache.get(&key).is_some();
            if !hit {
                cache.insert(key, key);
            }
            hit
        })
    }
}

fn quick_cache(entries: usize) -> Ask {
    let cache = quick_cache::sync::Cache::new(entries);
    Box::new(move |key| {
        let hit = cache.get(&key).is_some();
        if !hit {
            cache.insert(key, key);
        }
        hit
    })
}

fn recorded(name: &str) -> Option<Vec<u32>> {
    let folder = std::env::var("LARDER_DATA").map_or_else(
        |_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    let file = std::fs::File::open(folder.join("traces").join(name)).ok()?;
    let mut bytes = Vec::new();
    liblzma::read::XzDecoder::new(file).read_to_end(&mut bytes).ok()?;
    let (keys, _) = bytes.as_chunks::<4>();
    Some(keys.iter().map(|key| u32::from_be_bytes(*key)).collect())
}

fn zipf() -> Vec<u32> {
    let law = Zipf::new(50_000.0, 0.99).expect("a valid law");
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    (0..500_000).map(|_| law.sample(&mut random) as u32).collect()
}

/// Makes a container of so many bytes.
type Make = Box<dyn Fn(usize) -> Ask>;

fn main() {
    let containers: Vec<(&str, Make)> = vec![
        ("foyer lru", Box::new(foyer(LruConfig { high_priority_pool_ratio: 0.0 }))),
        ("foyer s3-fifo", Box::new(foyer(S3FifoConfig::default()))),
        ("foyer w-tinylfu", Box::new(foyer(LfuConfig::default()))),
        ("foyer sieve", Box::new(foyer(SieveConfig))),
        ("foyer fifo", Box::new(foyer(FifoConfig::default()))),
        ("moka tiny-lfu", Box::new(moka(EvictionPolicy::tiny_lfu()))),
        ("moka lru", Box::new(moka(EvictionPolicy::lru()))),
        ("quick_cache", Box::new(quick_cache)),
    ];
    let mut sequences = vec![("zipf 0.99", Some(zipf()))];
    sequences
        .extend(["web07", "orm-night"].map(|name| (name, recorded(&format!("{name}.trace.xz")))));
    for (name, sequence) in sequences {
        let Some(sequence) = sequence else {
            println!("\n{name}: not there (LARDER_DATA names the folder of recorded inputs)");
            continue;
        };
        let distinct = sequence.iter().collect::<HashSet<_>>().len();
        println!("\n{name}: {} requests, {distinct} keys", sequence.len());
        println!("| container | hit ratio at 1 % | 5 % | 10 % | million/s, {THREADS} threads |");
        println!("| --- | --- | --- | --- | --- |");
        for (container, make) in &containers {
            let ratios = SIZES.map(|part| {
                let ask = make((distinct as f64 * part) as usize);
                let hits = sequence.iter().filter(|key| ask(**key)).count();
                hits as f64 / sequence.len() as f64
            });
            let ask = make((distinct as f64 * SIZES[2]) as usize);
            let began = Instant::now();
            std::thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| sequence.iter().filter(|key| ask(**key)).count());
                }
            });
            let each = (sequence.len() * THREADS) as f64 / began.elapsed().as_secs_f64() / 1e6;
            let [one, five, ten] = ratios;
            println!("| {container} | {one:.3} | {five:.3} | {ten:.3} | {each:.1} |");
        }
    }
}
