//! Which keys a generated load asks for.

use std::sync::Arc;

use rand::distr::Distribution;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::Zipf;

/// Keys, the more popular the earlier, by a Zipf law.
#[derive(Clone, Debug)]
pub struct Keys {
    by_rank: Arc<[u32]>,
    law: Option<Zipf<f64>>,
    random: ChaCha8Rng,
}

impl Keys {
    /// `exponent` 0 makes all keys equally popular.
    ///
    /// # Panics
    ///
    /// When there are no keys, or `exponent` is negative.
    #[must_use]
    pub fn new(by_rank: Arc<[u32]>, exponent: f64, seed: u64) -> Self {
        assert!(!by_rank.is_empty() && exponent >= 0.0, "a load needs keys and a law");
        let law = (exponent > 0.0).then(|| {
            Zipf::new(by_rank.len() as f64, exponent).expect("there are keys, and a positive law")
        });
        Self { by_rank, law, random: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// A stream of its own of the same law, for one worker.
    #[must_use]
    pub fn worker(&self, number: u64) -> Self {
        let mut worker = self.clone();
        worker.random.set_stream(number + 1);
        worker
    }

    /// The next key.
    pub fn next_key(&mut self) -> u32 {
        let rank = self.next_rank();
        self.by_rank[rank]
    }

    /// The rank of the next key, from 0.
    pub(crate) fn next_rank(&mut self) -> usize {
        let count = self.by_rank.len();
        match &self.law {
            Some(law) => (law.sample(&mut self.random) as usize).clamp(1, count) - 1,
            None => self.random.random_range(0..count),
        }
    }

    /// The next `count` keys.
    #[must_use]
    pub fn draw(&mut self, count: usize) -> Vec<u32> {
        (0..count).map(|_| self.next_key()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn popularity_follows_the_law_and_workers_differ() {
        let keys = Keys::new((1..=1_000).rev().collect(), 1.0, 7);
        let drawn = keys.worker(1).draw(20_000);
        assert!(drawn.iter().all(|key| (1..=1_000).contains(key)));
        let top = drawn.iter().filter(|key| **key == 1_000).count();
        // 1 / H(1000) = 13.4 %.
        assert!((2_400..2_950).contains(&top), "{top}");
        assert_eq!(drawn, keys.worker(1).draw(20_000));
        assert_ne!(drawn[..20], keys.worker(2).draw(20));
        let even = Keys::new((1..=10).collect(), 0.0, 7).draw(10_000);
        let first = even.iter().filter(|key| **key == 1).count();
        assert!((850..1_150).contains(&first), "{first}");
    }
}
