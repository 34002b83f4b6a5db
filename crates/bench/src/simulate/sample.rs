//! LRU at every size from a sample of the keys.
//!
//! A key is in the sample when its hash is below a bound, with all its reads and writes; depths
//! are scaled up (C. A. Waldspurger, N. Park, A. Garthwaite, I. Ahmad, *Efficient MRC Construction
//! with SHARDS*, FAST 2015). As there, reads that the sample has too many or too few, mostly of the
//! hottest keys, are taken for reads that every size answers.

use super::distances::Distances;
use crate::trace::{Access, Op};

/// Disjoint parts of a sample, from whose differences its error is estimated.
pub(super) const PARTS: u64 = 8;
/// Student's t for an interval of 95 % and [`PARTS`] − 1 degrees of freedom.
const STUDENT_95: f64 = 2.365;

/// Which keys are in a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// The part of the keys that is.
    pub rate: f64,
    /// Which ones: samples of other seeds are others.
    pub seed: u64,
}

/// LRU at every size.
#[derive(Clone, Debug)]
pub struct LruCurve {
    whole: Part,
    /// Empty where nothing was left out.
    parts: Vec<Part>,
}

/// What a sample says, and how far off the truth may be.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Estimate {
    /// The most likely value.
    pub value: f64,
    /// Half of the interval that holds the truth with 95 %: 0 where nothing was left out, none where it could
    /// not be estimated.
    pub error: Option<f64>,
}

impl Estimate {
    /// What is known: nothing was left out.
    #[must_use]
    pub const fn exact(value: f64) -> Self {
        Self { value, error: Some(0.0) }
    }
}

#[derive(Clone, Debug)]
struct Part {
    distances: Distances,
    rate: f64,
    /// Reads in all, in the sample and outside.
    reads: u64,
}

impl Sample {
    /// So many of the keys that about `most` of `accesses` are in the sample; `None` if that is
    /// all of them.
    #[must_use]
    pub fn of_at_most(accesses: usize, most: usize, seed: u64) -> Option<Self> {
        (accesses > most).then(|| Self { rate: most as f64 / accesses as f64, seed })
    }

    /// Whether `key` is in it.
    #[must_use]
    pub fn holds(self, key: u32) -> bool {
        self.place(key) < self.rate
    }

    /// Where `key` lies between 0 and 1.
    fn place(self, key: u32) -> f64 {
        (mixed(u64::from(key) ^ self.seed) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Which of its parts `key`, which it holds, is in.
    pub(super) fn part(self, key: u32) -> u64 {
        ((self.place(key) / self.rate * PARTS as f64) as u64).min(PARTS - 1)
    }
}

impl LruCurve {
    /// That of all `accesses`, or of `sample`.
    #[must_use]
    pub fn of(accesses: &[Access], sample: Option<Sample>) -> Self {
        let reads = accesses.iter().filter(|access| access.op == Op::Read).count() as u64;
        let part = |rate, distances| Part { distances, rate, reads };
        let Some(sample) = sample else {
            let whole = part(1.0, Distances::of(accesses.iter().copied()));
            return Self { whole, parts: Vec::new() };
        };
        let sampled: Vec<Access> =
            accesses.iter().copied().filter(|access| sample.holds(access.key)).collect();
        let parts = (0..PARTS).map(|number| {
            let own = sampled.iter().copied().filter(|access| sample.part(access.key) == number);
            part(sample.rate / PARTS as f64, Distances::of(own))
        });
        let parts = parts.collect();
        Self { whole: part(sample.rate, Distances::of(sampled)), parts }
    }

    /// The part of the reads that an LRU cache of `entries` answers.
    #[must_use]
    pub fn hit_ratio(&self, entries: usize) -> Estimate {
        let value = self.whole.hit_ratio(entries);
        if self.parts.is_empty() {
            return Estimate::exact(value);
        }
        // Less than an entry in each part: all that is known is that no more is answered than by
        // one entry in each.
        let finest = (PARTS as f64 / self.whole.rate).ceil();
        if (entries as f64) < finest {
            return Estimate { value, error: Some(self.whole.hit_ratio(finest as usize)) };
        }
        let each: Vec<f64> = self.parts.iter().map(|part| part.hit_ratio(entries)).collect();
        Estimate { value, error: Some(off_by(&each)) }
    }

    /// The smallest LRU cache that answers the part `target` of the reads, in entries; none if no
    /// cache does.
    #[must_use]
    pub fn smallest(&self, target: f64) -> Option<usize> {
        self.whole.smallest(target)
    }
}

impl Part {
    fn hit_ratio(&self, entries: usize) -> f64 {
        if self.rate >= 1.0 {
            return self.distances.hit_ratio(entries);
        }
        let scaled = (entries as f64 * self.rate).round() as usize;
        let hits = self.correction() + self.distances.hits(scaled) as f64;
        (hits / self.expected()).clamp(0.0, 1.0)
    }

    fn smallest(&self, target: f64) -> Option<usize> {
        if self.rate >= 1.0 {
            return self.distances.smallest(target);
        }
        let needed = target * self.expected() - self.correction();
        let entries = self.distances.smallest(needed.max(0.0) / self.distances.reads() as f64)?;
        Some((entries as f64 / self.rate).round() as usize)
    }

    /// Reads that a sample of this rate has if it is like the whole.
    fn expected(&self) -> f64 {
        self.reads as f64 * self.rate
    }

    fn correction(&self) -> f64 {
        self.expected() - self.distances.reads() as f64
    }
}

/// Half of the interval that holds the mean of what [`PARTS`] parts say with 95 %.
pub(super) fn off_by(each: &[f64]) -> f64 {
    let count = each.len() as f64;
    let mean = each.iter().sum::<f64>() / count;
    let variance = each.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / (count - 1.0);
    STUDENT_95 * (variance / count).sqrt()
}

/// The finaliser of `SplitMix64` (G. L. Steele, D. Lea, C. H. Flood, *Fast Splittable Pseudorandom
/// Number Generators*, OOPSLA 2014): all bits of the result depend on all bits of `number`.
pub(super) const fn mixed(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
