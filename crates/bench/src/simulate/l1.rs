//! The first tier, in the very container that the service uses.

use std::time::Duration;

use larder::{Eviction, L1Model, L1Options};

use super::sample::{Estimate, PARTS, Sample, mixed, off_by};
use crate::trace::{Access, Op};

/// Bytes of a key in L1: an id of 64 bits.
const KEY_BYTES: usize = 8;
/// The fewest of the largest entries that a part's tier must hold for its answers to tell an error: a few in
/// each of the container's shards.
const LEAST_ENTRIES: usize = 64;

/// A first tier to try out.
#[derive(Clone, Copy, Debug)]
pub struct L1Plan {
    /// What goes first when it is full.
    pub eviction: Eviction,
    /// Its bytes, in each process.
    pub capacity: usize,
    /// How long an entry is served; none: until it is evicted or changed.
    pub ttl: Option<Duration>,
    /// Processes with a tier each, among which reads are spread evenly.
    pub processes: u32,
    /// Which keys share a shard of the container.
    pub seed: u64,
}

/// Bytes of each key's entry.
#[derive(Clone, Debug)]
pub struct Sizes {
    each: Vec<u32>,
    usual: u32,
}

/// What a first tier answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Reads.
    pub reads: u64,
    /// Of those, answered by it.
    pub hits: u64,
}

impl Answers {
    /// The part that was answered.
    #[must_use]
    pub fn hit_ratio(self) -> f64 {
        self.hits as f64 / self.reads.max(1) as f64
    }

    /// Reads that it did not answer.
    #[must_use]
    pub const fn misses(self) -> u64 {
        self.reads - self.hits
    }
}

impl Sizes {
    /// Values of `each` bytes by key, 0 where that is unknown; `usual` bytes for all others.
    #[must_use]
    pub const fn new(each: Vec<u32>, usual: u32) -> Self {
        Self { each, usual }
    }

    /// Values that are all as large.
    #[must_use]
    pub const fn equal(bytes: u32) -> Self {
        Self::new(Vec::new(), bytes)
    }

    /// Bytes of `key` and its value.
    fn of(&self, key: u32) -> usize {
        let known = self.each.get(key as usize).copied().filter(|bytes| *bytes > 0);
        known.unwrap_or(self.usual) as usize + KEY_BYTES
    }

    /// Bytes of `key`'s entry, with all that L1 reckons.
    #[must_use]
    pub fn entry(&self, key: u32) -> usize {
        self.of(key) + L1Model::<()>::OVERHEAD
    }
}

/// What is estimated of a first tier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct L1Estimate {
    /// The part of the reads that it answers.
    pub hit_ratio: Estimate,
    /// Reads that it does not answer.
    pub misses: u64,
}

/// Reads that went through tiers, and those that they answered.
#[derive(Clone, Copy, Debug, Default)]
struct Tried {
    reads: u64,
    hits: u64,
}

impl Tried {
    /// The answers to `all` reads if this is the part `rate` of them: reads that the sample has too many or
    /// too few are taken for answered, as in [`super::LruCurve`].
    fn scaled(self, all: u64, rate: f64) -> Answers {
        let Self { reads, hits } = self;
        let estimate = (hits as f64 + all as f64 * rate - reads as f64) / rate;
        Answers { reads: all, hits: (estimate.round().max(0.0) as u64).min(all) }
    }
}

/// The tiers of all processes.
struct Tiers {
    each: Vec<L1Model<u64>>,
    ttl_us: u64,
    tried: Tried,
}

impl Tiers {
    /// Those of `plan`, with the part `rate` of its bytes.
    fn of(plan: &L1Plan, rate: f64) -> Self {
        let options = L1Options {
            capacity: (plan.capacity as f64 * rate) as usize,
            eviction: plan.eviction,
            ..L1Options::default()
        };
        let each = (0..u64::from(plan.processes.max(1)))
            .map(|process| L1Model::new(&options, plan.seed.wrapping_add(process << 32)))
            .collect();
        let ttl_us = plan.ttl.map_or(u64::MAX, |ttl| ttl.as_micros() as u64);
        Self { each, ttl_us, tried: Tried::default() }
    }

    /// Sends the access with that number.
    fn take(&mut self, number: u64, Access { at_us, key, op }: Access, size: usize) {
        match op {
            Op::Write => self.each.iter().for_each(|tier| tier.remove(key)),
            Op::Read => {
                // Not in turn: that would send a client's pairs of requests to pairs of processes.
                let tier = &self.each[(mixed(number) % self.each.len() as u64) as usize];
                self.tried.reads += 1;
                if tier.get(key).is_some_and(|since| at_us - since < self.ttl_us) {
                    self.tried.hits += 1;
                } else {
                    tier.admit(key, size, at_us);
                }
            }
        }
    }
}

impl L1Plan {
    /// Sends all `accesses` through it.
    #[must_use]
    pub fn answers(&self, accesses: &[Access], sizes: &Sizes) -> Answers {
        let mut tiers = Tiers::of(self, 1.0);
        for (number, access) in (0_u64..).zip(accesses.iter().copied()) {
            tiers.take(number, access, sizes.of(access.key));
        }
        tiers.tried.scaled(tiers.tried.reads, 1.0)
    }

    /// Sends `accesses` through it, or, with `sample`, those of its keys through a tier that is as much
    /// smaller. How far off that may be is found as for LRU: from disjoint parts of the sample, each through
    /// a tier of this policy of its own. Where a part's tier holds hardly any entries, that tells nothing, and
    /// there is no error.
    #[must_use]
    pub fn estimate(
        &self,
        accesses: &[Access],
        sizes: &Sizes,
        sample: Option<Sample>,
    ) -> L1Estimate {
        let Some(sample) = sample else {
            let answers = self.answers(accesses, sizes);
            let hit_ratio = Estimate::exact(answers.hit_ratio());
            return L1Estimate { hit_ratio, misses: answers.misses() };
        };
        let part_rate = sample.rate / PARTS as f64;
        let mut whole = Tiers::of(self, sample.rate);
        let mut parts: Vec<Tiers> = (0..PARTS).map(|_| Tiers::of(self, part_rate)).collect();
        let (mut all, mut largest) = (0_u64, 0);
        for (number, access) in (0_u64..).zip(accesses.iter().copied()) {
            all += u64::from(access.op == Op::Read);
            if sample.holds(access.key) {
                let size = sizes.of(access.key);
                largest = largest.max(sizes.entry(access.key));
                whole.take(number, access, size);
                parts[sample.part(access.key) as usize].take(number, access, size);
            }
        }
        let answers = whole.tried.scaled(all, sample.rate);
        let each: Vec<f64> =
            parts.iter().map(|part| part.tried.scaled(all, part_rate).hit_ratio()).collect();
        let holds_enough = self.capacity as f64 * part_rate >= (LEAST_ENTRIES * largest) as f64;
        let error = holds_enough.then(|| off_by(&each));
        let hit_ratio = Estimate { value: answers.hit_ratio(), error };
        L1Estimate { hit_ratio, misses: answers.misses() }
    }
}
