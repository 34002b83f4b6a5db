//! The figures.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use larder::{Eviction, L1Options};

use super::outcome::{
    Advice, HotKey, L1, L1Row, LruPoint, Smallest, StrategyRow, TierRow, Traffic,
};
use super::{AdviseArgs, Input, recommend};
use crate::floor::floor;
use crate::measure::peak_memory_bytes;
use crate::simulate::{
    BETA, Behaviour, Demand, L1Estimate, L1Plan, LruCurve, OnWrite, Refresh, Sample, in_parallel,
};
use crate::trace::Op;

/// Sizes of L1 where none are asked for, as parts of what all keys take.
const PARTS: [f64; 8] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0];
/// Points of LRU's curve.
const POINTS: u32 = 64;
/// Hot keys that are named.
const HOT: usize = 20;
/// The part of the most that a cache could answer that is aimed at where nothing is asked for.
const TARGET: f64 = 0.95;
/// Where draws begin.
const SEED: u64 = 7;

/// How often keys were read and written.
struct Counts {
    reads: Vec<u64>,
    writes: Vec<u64>,
    all_reads: u64,
    all_writes: u64,
}

/// Looks at `input`. `command` is the command line; `began` is when the log began to be read, for
/// that is part of the work.
#[must_use]
pub fn analyse(input: &Input, args: &AdviseArgs, command: String, began: Instant) -> Advice {
    let counts = Counts::of(input);
    let traffic = traffic(input, &counts);
    let least = floor(input.recording.accesses.iter().copied(), None);
    let reads = counts.all_reads as f64;
    let ceiling = 1.0 - least.loads() as f64 / reads;
    let strategies = strategies(input, args, traffic.seconds);
    let target = args.target.unwrap_or(TARGET * ceiling);
    let l1 = l1(input, args, &traffic, target);
    let (hot_keys, top_1_percent) = hot_keys(input, &counts);
    let mut advice = Advice {
        command,
        log: args.log.display().to_string(),
        looked_at: Timestamp::now(),
        traffic,
        floor: least,
        ceiling,
        strategies,
        tiers: Vec::new(),
        l1,
        hot_keys,
        top_1_percent,
        recommendation: recommend::nothing(args.namespace),
        assumptions: input.assumptions.clone(),
        took_s: 0.0,
        peak_memory_bytes: None,
    };
    advice.recommendation = recommend::recommend(&advice, args.namespace);
    advice.tiers = tiers(&advice);
    advice.took_s = began.elapsed().as_secs_f64();
    advice.peak_memory_bytes = peak_memory_bytes();
    advice
}

impl Counts {
    fn of(input: &Input) -> Self {
        let keys = input.recording.keys.len();
        let mut counts =
            Self { reads: vec![0; keys], writes: vec![0; keys], all_reads: 0, all_writes: 0 };
        for access in &input.recording.accesses {
            let place = access.key as usize;
            match access.op {
                Op::Read => {
                    counts.reads[place] += 1;
                    counts.all_reads += 1;
                }
                Op::Write => {
                    counts.writes[place] += 1;
                    counts.all_writes += 1;
                }
            }
        }
        counts
    }

    /// Keys that were read.
    fn read(&self) -> impl Iterator<Item = u32> {
        (0_u32..).zip(&self.reads).filter(|(_, reads)| **reads > 0).map(|(key, _)| key)
    }
}

fn traffic(input: &Input, counts: &Counts) -> Traffic {
    let all = |of: &dyn Fn(u32) -> f64| {
        let sum: f64 = counts.read().map(|key| of(key) * counts.reads[key as usize] as f64).sum();
        sum / counts.all_reads as f64
    };
    Traffic {
        reads: counts.all_reads,
        writes: counts.all_writes,
        others: input.recording.others,
        broken: input.recording.broken.clone(),
        keys: counts.read().count() as u64,
        // What has no length has no rate.
        seconds: input.recording.seconds().filter(|seconds| *seconds > 0.0),
        value_bytes: input.value_bytes,
        all_keys_bytes: counts.read().map(|key| input.sizes.entry(key) as u64).sum(),
        query_ms: input.costs.known().then(|| all(&|key| input.costs.of(key))),
    }
}

fn strategies(input: &Input, args: &AdviseArgs, seconds: Option<f64>) -> Vec<StrategyRow> {
    let accesses = &input.recording.accesses;
    // A time to live as long as the log is no other than an unbounded one.
    let bounded: Vec<Duration> = args
        .ttl
        .iter()
        .copied()
        .filter(|ttl| seconds.is_some_and(|seconds| ttl.as_secs_f64() < seconds))
        .collect();
    let any = || std::iter::once(None).chain(bounded.iter().copied().map(Some));
    let mut plans = vec![("none", Behaviour::none())];
    let caching =
        |on_write, ttl| Behaviour { jitter: args.jitter, ..Behaviour::caching(on_write, ttl) };
    let invalidating = |ttl| caching(OnWrite::Invalidate, ttl);
    plans.extend(any().map(|ttl| ("cache-aside, read-through, write-behind", invalidating(ttl))));
    plans.extend(any().map(|ttl| ("write-through", caching(OnWrite::Publish, ttl))));
    let ttls = || bounded.iter().copied().map(Some);
    plans.extend(ttls().map(|ttl| ("ttl", caching(OnWrite::Ignore, ttl))));
    if input.costs.known() {
        let refresh = Some(Refresh { beta: BETA, seed: SEED });
        plans.extend(
            ttls().map(|ttl| ("refresh-ahead", Behaviour { refresh, ..invalidating(ttl) })),
        );
    }
    let demands = in_parallel(&plans, |(_, behaviour)| {
        let demand = Demand::of(accesses, *behaviour, |key| input.costs.of(key));
        (demand, floor(accesses.iter().copied(), behaviour.ttl).loads())
    });
    let without = demands.first().map_or(1, |(none, _)| none.queries()).max(1) as f64;
    let row = |((name, behaviour), (demand, floor)): (&(&str, Behaviour), (Demand, u64))| {
        let queries = demand.queries();
        StrategyRow {
            strategy: (*name).to_owned(),
            ttl_ms: behaviour.ttl.map(|ttl| ttl.as_millis() as u64),
            queries,
            saved: 1.0 - queries as f64 / without,
            floor,
            queries_per_s: seconds.map(|seconds| queries as f64 / seconds),
            busiest_per_s: seconds.map(|seconds| demand.busiest_10_s as f64 / seconds.min(10.0)),
            busy_connections: seconds
                .filter(|_| input.costs.known())
                .map(|seconds| demand.load_ms / 1e3 / seconds),
            demand,
        }
    };
    plans.iter().zip(demands).map(row).collect()
}

fn l1(input: &Input, args: &AdviseArgs, traffic: &Traffic, target: f64) -> L1 {
    let accesses = &input.recording.accesses;
    let sample = Sample::of_at_most(accesses.len(), args.exact_up_to, SEED);
    let mut sizes = args.l1_sizes.clone();
    if sizes.is_empty() {
        sizes.extend(PARTS.map(|part| (traffic.all_keys_bytes as f64 * part).ceil() as u64));
    }
    for size in &mut sizes {
        *size = (L1Options::SMALLEST as u64).max(*size);
    }
    sizes.sort_unstable();
    sizes.dedup();
    let mean_entry = traffic.all_keys_bytes as f64 / traffic.keys as f64;
    let entries = |bytes: u64| (bytes as f64 / mean_entry) as usize;
    let lru = LruCurve::of(accesses, sample);
    let plans: Vec<(Eviction, u64)> = Eviction::ALL
        .into_iter()
        .flat_map(|policy| sizes.iter().map(move |size| (policy, *size)))
        .collect();
    let rows = in_parallel(&plans, |(eviction, capacity_bytes)| {
        let plan = L1Plan {
            eviction: *eviction,
            capacity: usize::try_from(*capacity_bytes).unwrap_or(usize::MAX),
            ttl: None,
            processes: args.replicas,
            seed: SEED,
        };
        let L1Estimate { hit_ratio, misses } = plan.estimate(accesses, &input.sizes, sample);
        let (eviction, capacity_bytes) = (eviction.to_string(), *capacity_bytes);
        L1Row { eviction, capacity_bytes, hit_ratio, misses }
    });
    let bytes = |entries: u64| (entries as f64 * mean_entry).ceil() as u64;
    let smallest_lru = lru.smallest(target).map(|entries| entries as u64);
    let mut smallest = vec![Smallest {
        eviction: "lru, in one process and without shards, to the entry".to_owned(),
        bytes: smallest_lru.map(bytes),
        entries: smallest_lru,
    }];
    smallest.extend(Eviction::ALL.into_iter().map(|policy| {
        let name = policy.to_string();
        let found = rows.iter().filter(|row| row.eviction == name && row.hit_ratio.value >= target);
        let found = found.map(|row| row.capacity_bytes).min();
        Smallest {
            eviction: format!("{name}, of the sizes that were tried"),
            bytes: found,
            entries: found.map(|bytes| entries(bytes) as u64),
        }
    }));
    let mut points: Vec<u64> = (0..=POINTS)
        .map(|step| (traffic.keys as f64).powf(f64::from(step) / f64::from(POINTS)).round() as u64)
        .collect();
    points.dedup();
    let point = |entries: u64| LruPoint {
        entries,
        bytes: bytes(entries),
        hit_ratio: lru.hit_ratio(usize::try_from(entries).unwrap_or(usize::MAX)),
    };
    L1 {
        processes: args.replicas,
        sample: sample.map_or(1.0, |sample| sample.rate),
        rows,
        lru: points.into_iter().map(point).collect(),
        target,
        smallest,
    }
}

/// What the tiers do with the recommended L1.
fn tiers(advice: &Advice) -> Vec<TierRow> {
    let chosen = &advice.recommendation;
    let reads = advice.traffic.reads;
    let least = advice.floor.loads();
    let l1 = advice.l1.rows.iter().find(|row| {
        row.eviction == chosen.l1_eviction && row.capacity_bytes == chosen.l1_capacity_bytes
    });
    let row = |tiers: &str, loads: u64, redis_reads: u64| TierRow {
        tiers: tiers.to_owned(),
        loads,
        redis_reads,
        hit_ratio: 1.0 - loads as f64 / reads as f64,
    };
    let mut rows = vec![row("none", reads, 0)];
    rows.extend(l1.map(|l1| row("l1", l1.misses, 0)));
    rows.push(row("l2", least, reads));
    rows.extend(l1.map(|l1| row("l1+l2", least, l1.misses)));
    rows
}

fn hot_keys(input: &Input, counts: &Counts) -> (Vec<HotKey>, f64) {
    let mut keys: Vec<u32> = counts.read().collect();
    keys.sort_by_key(|key| std::cmp::Reverse(counts.reads[*key as usize]));
    let reads = |key: &u32| counts.reads[*key as usize];
    let all = counts.all_reads as f64;
    let named = keys.iter().take(HOT).map(|key| HotKey {
        key: input.recording.keys[*key as usize].clone(),
        reads: reads(key),
        share: reads(key) as f64 / all,
        writes: counts.writes[*key as usize],
    });
    let top = keys.len().div_ceil(100);
    let top: u64 = keys.iter().take(top).map(reads).sum();
    (named.collect(), top as f64 / all)
}
