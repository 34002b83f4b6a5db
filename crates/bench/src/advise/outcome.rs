//! What `advise` found: `advise.json` holds it field by field.

use jiff::Timestamp;
use serde::Serialize;

use crate::floor::Floor;
use crate::simulate::{Demand, Estimate};
use crate::trace::Broken;

/// All that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Advice {
    /// The command line.
    pub command: String,
    /// The file.
    pub log: String,
    /// When it was looked at.
    pub looked_at: Timestamp,
    /// What is in it.
    pub traffic: Traffic,
    /// The fewest loads with which any cache could have answered, with no time to live.
    pub floor: Floor,
    /// The part of the reads that such a cache answers.
    pub ceiling: f64,
    /// Queries by strategy and time to live, with a shared tier that holds everything.
    pub strategies: Vec<StrategyRow>,
    /// The tiers, with the recommended L1 in each process.
    pub tiers: Vec<TierRow>,
    /// L1 by policy and size.
    pub l1: L1,
    /// What is asked for most.
    pub hot_keys: Vec<HotKey>,
    /// The part of the reads that goes to the most popular 1 % of the keys.
    pub top_1_percent: f64,
    /// What to do.
    pub recommendation: Recommendation,
    /// What was assumed for want of knowledge.
    pub assumptions: Vec<String>,
    /// How long it took, the report apart.
    pub took_s: f64,
    /// The most memory that this program had, in bytes; none where that is unknown.
    pub peak_memory_bytes: Option<u64>,
}

/// What is in the log.
#[derive(Clone, Debug, Serialize)]
pub struct Traffic {
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
    /// Lines that are neither.
    pub others: u64,
    /// Lines that could not be read.
    pub broken: Broken,
    /// Keys that were read.
    pub keys: u64,
    /// From the first step to the last; none where times are unknown.
    pub seconds: Option<f64>,
    /// Mean bytes of a value.
    pub value_bytes: f64,
    /// Bytes that L1 needs for every key that was read.
    pub all_keys_bytes: u64,
    /// Mean milliseconds of a load, by what is read; none where costs are unknown.
    pub query_ms: Option<f64>,
}

/// A strategy.
#[derive(Clone, Debug, Serialize)]
pub struct StrategyRow {
    /// Its name, or those of several that send the same queries.
    pub strategy: String,
    /// Time to live; none: unbounded.
    pub ttl_ms: Option<u64>,
    /// Its queries.
    pub demand: Demand,
    /// All of them.
    pub queries: u64,
    /// The part of the queries without a cache that it saves.
    pub saved: f64,
    /// The fewest loads with this time to live and these writes.
    pub floor: u64,
    /// Queries a second on average, where times are known.
    pub queries_per_s: Option<f64>,
    /// And in the busiest 10 seconds.
    pub busiest_per_s: Option<f64>,
    /// Connections busy with loads on average (arrivals times duration), where times and costs
    /// are known.
    pub busy_connections: Option<f64>,
}

/// What the tiers do.
#[derive(Clone, Debug, Serialize)]
pub struct TierRow {
    /// `l1`, `l2` or `l1+l2`.
    pub tiers: String,
    /// Loads.
    pub loads: u64,
    /// Reads that Redis is asked for.
    pub redis_reads: u64,
    /// Reads answered by a tier.
    pub hit_ratio: f64,
}

/// The tier in the process.
#[derive(Clone, Debug, Serialize)]
pub struct L1 {
    /// Processes, each with one.
    pub processes: u32,
    /// The part of the keys that were simulated.
    pub sample: f64,
    /// By policy and size, in the container that the service uses.
    pub rows: Vec<L1Row>,
    /// LRU at many sizes, without shards.
    pub lru: Vec<LruPoint>,
    /// The hit ratio that is asked for.
    pub target: f64,
    /// The smallest sizes that reach it.
    pub smallest: Vec<Smallest>,
}

/// One size of one policy.
#[derive(Clone, Debug, Serialize)]
pub struct L1Row {
    /// The policy.
    pub eviction: String,
    /// Its bytes.
    pub capacity_bytes: u64,
    /// Reads that it answers, with the error of this policy at this size.
    pub hit_ratio: Estimate,
    /// Reads that it does not answer.
    pub misses: u64,
}

/// One size of LRU.
#[derive(Clone, Debug, Serialize)]
pub struct LruPoint {
    /// Its entries.
    pub entries: u64,
    /// Bytes of so many entries of mean size.
    pub bytes: u64,
    /// Reads that it answers.
    pub hit_ratio: Estimate,
}

/// The smallest cache that reaches the target.
#[derive(Clone, Debug, Serialize)]
pub struct Smallest {
    /// The policy, and how it was found.
    pub eviction: String,
    /// Its bytes; none if no size that was tried reaches the target.
    pub bytes: Option<u64>,
    /// Its entries, of mean size.
    pub entries: Option<u64>,
}

/// A key that many ask for.
#[derive(Clone, Debug, Serialize)]
pub struct HotKey {
    /// The key.
    pub key: String,
    /// Its reads.
    pub reads: u64,
    /// Its part of all reads.
    pub share: f64,
    /// Its writes.
    pub writes: u64,
}

/// What to do.
#[derive(Clone, Debug, Serialize)]
pub struct Recommendation {
    /// The strategy.
    pub strategy: String,
    /// The tiers.
    pub tiers: String,
    /// The policy of L1, where there is one.
    pub l1_eviction: String,
    /// The bytes of L1, in each process.
    pub l1_capacity_bytes: u64,
    /// The time to live; none: as it is by default.
    pub ttl_ms: Option<u64>,
    /// Why.
    pub reasons: Vec<String>,
    /// The same as a `larder.toml`.
    pub toml: String,
}
