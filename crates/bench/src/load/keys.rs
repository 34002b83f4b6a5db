//! Which keys a generated load asks for.

use rand::distr::Distribution;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::Zipf;

/// Keys from 1 to `count`, popular by a Zipf law over a seeded order.
#[derive(Clone, Debug)]
pub struct Keys {
    by_rank: Vec<u32>,
    exponent: f64,
    random: ChaCha8Rng,
}

impl Keys {
    /// `exponent` 0 makes all keys equally popular.
    ///
    /// # Panics
    ///
    /// When `count` is 0 or `exponent` negative.
    #[must_use]
    pub fn new(count: u32, exponent: f64, seed: u64) -> Self {
        assert!(count > 0 && exponent >= 0.0, "a load needs keys and a law");
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut by_rank: Vec<u32> = (1..=count).collect();
        by_rank.shuffle(&mut random);
        Self { by_rank, exponent, random }
    }

    /// A stream of its own of the same law, for one worker.
    #[must_use]
    pub fn worker(&self, number: u64) -> Self {
        let mut worker = self.clone();
        worker.random.set_stream(number + 1);
        worker
    }

    /// The most popular keys.
    #[must_use]
    pub fn popular(&self, count: usize) -> &[u32] {
        &self.by_rank[..count.min(self.by_rank.len())]
    }

    /// The next key.
    pub fn next_key(&mut self) -> u32 {
        let count = self.by_rank.len();
        if self.exponent == 0.0 {
            return self.by_rank[self.random.random_range(0..count)];
        }
        let law = Zipf::new(count as f64, self.exponent).expect("checked in the constructor");
        let rank = law.sample(&mut self.random) as usize;
        self.by_rank[rank.clamp(1, count) - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn popularity_follows_the_law_and_workers_differ() {
        let keys = Keys::new(1_000, 1.0, 7);
        let mut one = keys.worker(1);
        let drawn: Vec<u32> = (0..20_000).map(|_| one.next_key()).collect();
        assert!(drawn.iter().all(|key| (1..=1_000).contains(key)));
        let top = drawn.iter().filter(|key| **key == keys.popular(1)[0]).count();
        // 1 / H(1000) = 13.4 %.
        assert!((2_400..2_950).contains(&top), "{top}");
        let again: Vec<u32> = {
            let mut one = keys.worker(1);
            (0..20_000).map(|_| one.next_key()).collect()
        };
        assert_eq!(drawn, again);
        let mut two = keys.worker(2);
        assert_ne!(drawn[..20], (0..20).map(|_| two.next_key()).collect::<Vec<_>>());
    }
}
