//! The first tier, in the very container that the service uses.

use std::time::Duration;

use larder::{Eviction, L1Model, L1Options};

use super::sample::{Sample, mixed};
use crate::trace::{Access, Op};

/// Bytes of a key in L1: an id of 64 bits.
const KEY_BYTES: usize = 8;

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

impl L1Plan {
    /// Sends `accesses` through it. With `sample` only its keys are, through a tier that is as
    /// much smaller, and the answers to all are estimated as in [`super::LruCurve`].
    #[must_use]
    pub fn answers(&self, accesses: &[Access], sizes: &Sizes, sample: Option<Sample>) -> Answers {
        let rate = sample.map_or(1.0, |sample| sample.rate);
        let options = L1Options {
            capacity: (self.capacity as f64 * rate) as usize,
            eviction: self.eviction,
            ..L1Options::default()
        };
        let tiers: Vec<L1Model<u64>> = (0..u64::from(self.processes.max(1)))
            .map(|process| L1Model::new(&options, self.seed.wrapping_add(process << 32)))
            .collect();
        let ttl_us = self.ttl.map_or(u64::MAX, |ttl| ttl.as_micros() as u64);
        let (mut all, mut tried, mut hits) = (0_u64, 0_u64, 0_u64);
        for (number, Access { at_us, key, op }) in (0_u64..).zip(accesses.iter().copied()) {
            all += u64::from(op == Op::Read);
            if sample.is_some_and(|sample| !sample.holds(key)) {
                continue;
            }
            match op {
                Op::Write => tiers.iter().for_each(|tier| tier.remove(key)),
                Op::Read => {
                    // Not in turn: that would send a client's pairs of requests to pairs of
                    // processes.
                    let tier = &tiers[(mixed(number) % tiers.len() as u64) as usize];
                    tried += 1;
                    if tier.get(key).is_some_and(|since| at_us - since < ttl_us) {
                        hits += 1;
                    } else {
                        tier.admit(key, sizes.of(key), at_us);
                    }
                }
            }
        }
        let expected = all as f64 * rate;
        let estimate = (hits as f64 + expected - tried as f64) / rate;
        Answers { reads: all, hits: (estimate.round().max(0.0) as u64).min(all) }
    }
}
