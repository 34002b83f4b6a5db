//! What a generated load asks for: sequences of operations on products, the same for the same seed.
//!
//! [`Spec`] says which, in a scenario file; [`Workload`] is an endless iterator of [`Operation`]s.
//! Drivers decide what an operation is on the wire: an update may change a price or a stock.

mod presets;
mod spec;
mod ycsb;

use std::sync::Arc;

use anyhow::{Result, ensure};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub use presets::{Preset, presets};
pub use spec::{Pace, Spec};
pub use ycsb::{EXPONENT as YCSB_EXPONENT, Ycsb};

use crate::load::Keys;

/// What is done to the catalogue; products by their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A product is read.
    Read(u32),
    /// A part of a product is changed.
    Update(u32),
    /// A new product is made. Its id is the one after all others, which is what a catalogue gives
    /// that numbers products one after the other.
    Insert(u32),
    /// `count` products are listed from this id on.
    Scan {
        /// The first of them.
        from: u32,
        /// How many.
        count: u32,
    },
    /// A product is read, and then changed.
    ReadModifyWrite(u32),
}

/// How often each operation comes; the parts add up to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Mix {
    update: f64,
    insert: f64,
    scan: f64,
    read_modify_write: f64,
}

/// Which products are asked for.
#[derive(Clone, Debug)]
enum Choice {
    /// By a law of popularity.
    Popular,
    /// One after the other, and again.
    InTurn(usize),
    /// The newer (the higher its id) the more popular, by the law.
    Latest,
    /// As [`Choice::Popular`]; but the part `share` goes to one product that the law never gives, another
    /// one after each `every` operations.
    Storm { share: f64, every: u64 },
}

/// Of the products of a storm, one in so many, the least popular ones, is kept for it: nobody asks for these
/// before they are hot.
const KEPT_FOR_A_STORM: usize = 10;

/// An endless sequence of operations.
#[derive(Clone, Debug)]
pub struct Workload {
    by_rank: Arc<[u32]>,
    keys: Keys,
    choice: Choice,
    mix: Mix,
    random: ChaCha8Rng,
    done: u64,
    /// The id after all others, and how many were made.
    next_id: u32,
    inserted: u32,
}

impl Workload {
    /// The sequence of `spec` over products, the most popular first.
    ///
    /// # Errors
    ///
    /// When there are no products, or the specification cannot work; the message names the field.
    pub fn new(spec: &Spec, by_rank: Arc<[u32]>, seed: u64) -> Result<Self> {
        ensure!(!by_rank.is_empty(), "a workload needs products");
        let (exponent, choice, mix) = spec.plan()?;
        let by_rank = if matches!(choice, Choice::Latest) {
            let mut newest_first = by_rank.to_vec();
            newest_first.sort_unstable_by(|a, b| b.cmp(a));
            newest_first.into()
        } else {
            by_rank
        };
        let popular = if matches!(choice, Choice::Storm { .. }) {
            by_rank[..before_a_storm(by_rank.len())].into()
        } else {
            Arc::clone(&by_rank)
        };
        let keys = Keys::new(popular, exponent, seed);
        let next_id = by_rank.iter().max().map_or(1, |last| last + 1);
        // Which keys is one stream, what is done with them another.
        let random = ChaCha8Rng::seed_from_u64(seed.rotate_left(32) ^ 1);
        Ok(Self { by_rank, keys, choice, mix, random, done: 0, next_id, inserted: 0 })
    }

    /// The same in a catalogue whose next new product will have the id `next_id`.
    #[must_use]
    pub const fn creating_from(mut self, next_id: u32) -> Self {
        self.next_id = next_id;
        self
    }

    /// The same before a storm breaks: what will be hot then is not asked for. Anything else stays as it
    /// is.
    #[must_use]
    pub fn calm(mut self) -> Self {
        if let Choice::Storm { .. } = self.choice {
            self.choice = Choice::Popular;
        }
        self
    }

    /// A sequence of its own of the same kind, for one worker.
    #[must_use]
    pub fn worker(&self, number: u64) -> Self {
        let mut worker = self.clone();
        worker.keys = self.keys.worker(number);
        worker.random.set_stream(number + 1);
        if let Choice::InTurn(next) = &mut worker.choice {
            // Workers begin far apart.
            *next = self.random_place(number);
        }
        worker
    }

    fn random_place(&self, number: u64) -> usize {
        let mut random = self.random.clone();
        random.set_stream(number + 1);
        random.random_range(0..self.by_rank.len())
    }

    fn product(&mut self) -> u32 {
        match &mut self.choice {
            Choice::Popular => self.keys.next_key(),
            Choice::InTurn(next) => {
                let product = self.by_rank[*next];
                *next = (*next + 1) % self.by_rank.len();
                product
            }
            Choice::Latest => {
                // The rank counts from the newest back.
                let back = self.keys.next_rank();
                match back.checked_sub(self.inserted as usize) {
                    None => self.next_id - 1 - back as u32,
                    Some(older) => self.by_rank[older],
                }
            }
            Choice::Storm { share, every } => {
                if self.random.random_bool(*share) {
                    let all = self.by_rank.len();
                    let hot = (all - before_a_storm(all)).max(1);
                    let number = (self.done / *every) as usize % hot;
                    self.by_rank[all - 1 - number]
                } else {
                    self.keys.next_key()
                }
            }
        }
    }
}

/// How many of `all` products, the most popular first, are asked for before a storm.
#[must_use]
pub fn before_a_storm(all: usize) -> usize {
    (all - all.div_ceil(KEPT_FOR_A_STORM)).max(1)
}

impl Iterator for Workload {
    type Item = Operation;

    fn next(&mut self) -> Option<Operation> {
        let Mix { update, insert, scan, read_modify_write } = self.mix;
        let draw: f64 = self.random.random();
        let operation = if draw < update {
            Operation::Update(self.product())
        } else if draw < update + insert {
            let id = self.next_id;
            (self.next_id, self.inserted) = (id + 1, self.inserted + 1);
            Operation::Insert(id)
        } else if draw < update + insert + scan {
            let count = self.random.random_range(1..=ycsb::LONGEST_SCAN);
            Operation::Scan { from: self.product(), count }
        } else if draw < update + insert + scan + read_modify_write {
            Operation::ReadModifyWrite(self.product())
        } else {
            Operation::Read(self.product())
        };
        self.done += 1;
        Some(operation)
    }
}

#[cfg(test)]
mod tests;
