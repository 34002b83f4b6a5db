//! LRU at every size in one pass.
//!
//! How deep a key lies in the stack of what was used last is the smallest LRU cache that still
//! holds it (R. L. Mattson, J. Gecsei, D. R. Slutz, I. L. Traiger, *Evaluation techniques for
//! storage hierarchies*, IBM Systems Journal 9 (2), 1970). Depths are counted in a Fenwick tree
//! over the moments of last use (P. M. Fenwick, *A New Data Structure for Cumulative Frequency
//! Tables*, 1994), so a step costs the logarithm of the number of keys.
//!
//! A write takes its key out of caches of every size and leaves a hole at its depth. What is
//! stored next in a cache fills its hole before anything is evicted: in the stack the topmost hole
//! moves to where the key came from, and is gone if that was nowhere.

use std::collections::BinaryHeap;

use crate::trace::{Access, Op};

/// A slot with nothing in it, and one with a hole.
const EMPTY: u32 = u32::MAX;
const HOLE: u32 = u32::MAX - 1;
/// A key that is not in the stack.
const NOWHERE: u32 = u32::MAX;

/// How deep in the stack of what was used last each read found its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distances {
    /// Reads that caches of at least so many entries answer, and no smaller one does.
    answered_from: Vec<u64>,
    reads: u64,
}

/// The stack: slots in the order of last use, those used last at the end.
struct Stack {
    slots: Vec<u32>,
    taken: Fenwick,
    next: usize,
    /// The slot of each key.
    places: Vec<u32>,
    holes: BinaryHeap<u32>,
}

impl Distances {
    /// Those of `accesses`, whose keys are numbered from 0.
    #[must_use]
    pub fn of(accesses: impl IntoIterator<Item = Access>) -> Self {
        let mut found = Self { answered_from: Vec::new(), reads: 0 };
        let mut stack = Stack::new();
        for Access { key, op, .. } in accesses {
            match op {
                Op::Write => stack.forget(key),
                Op::Read => {
                    found.reads += 1;
                    if let Some(depth) = stack.touch(key) {
                        let counts = &mut found.answered_from;
                        counts.resize(counts.len().max(depth + 1), 0);
                        counts[depth] += 1;
                    }
                }
            }
        }
        found
    }

    /// Reads that an LRU cache of `entries` answers.
    #[must_use]
    pub fn hits(&self, entries: usize) -> u64 {
        let end = self.answered_from.len().min(entries.saturating_add(1));
        self.answered_from[..end].iter().sum()
    }

    /// All reads.
    #[must_use]
    pub const fn reads(&self) -> u64 {
        self.reads
    }

    /// The part of the reads that an LRU cache of `entries` answers.
    #[must_use]
    pub fn hit_ratio(&self, entries: usize) -> f64 {
        self.hits(entries) as f64 / self.reads.max(1) as f64
    }

    /// The smallest LRU cache that answers the part `target` of the reads, in entries; none if no
    /// cache does.
    #[must_use]
    pub fn smallest(&self, target: f64) -> Option<usize> {
        let needed = target * self.reads as f64;
        let mut hits = 0;
        self.answered_from.iter().position(|count| {
            hits += count;
            hits as f64 >= needed
        })
    }
}

impl Stack {
    fn new() -> Self {
        let slots = vec![EMPTY; 1_024];
        let taken = Fenwick::of(&slots);
        Self { slots, taken, next: 0, places: Vec::new(), holes: BinaryHeap::new() }
    }

    /// Puts `key` on top; the depth it had, from 1, if it was in the stack.
    fn touch(&mut self, key: u32) -> Option<usize> {
        if self.next == self.slots.len() {
            self.compact();
        }
        let place = self.place(key);
        let depth = (place != NOWHERE).then(|| self.taken.from(place as usize));
        let hole_above = self.holes.peek().is_some_and(|hole| place == NOWHERE || *hole > place);
        if hole_above && let Some(hole) = self.holes.pop() {
            self.take_out(hole as usize);
            if place != NOWHERE {
                self.slots[place as usize] = HOLE;
                self.holes.push(place);
            }
        } else if place != NOWHERE {
            self.take_out(place as usize);
        }
        self.slots[self.next] = key;
        self.taken.add(self.next, 1);
        self.places[key as usize] = self.next as u32;
        self.next += 1;
        depth
    }

    /// Leaves a hole in place of `key`.
    fn forget(&mut self, key: u32) {
        let place = self.place(key);
        if place != NOWHERE {
            self.slots[place as usize] = HOLE;
            self.holes.push(place);
            self.places[key as usize] = NOWHERE;
        }
    }

    fn place(&mut self, key: u32) -> u32 {
        let key = key as usize;
        if key >= self.places.len() {
            self.places.resize((key + 1).next_power_of_two(), NOWHERE);
        }
        self.places[key]
    }

    fn take_out(&mut self, slot: usize) {
        self.slots[slot] = EMPTY;
        self.taken.add(slot, -1);
    }

    /// Numbers the slots in use anew, with as many free ones behind them.
    fn compact(&mut self) {
        let mut used: Vec<u32> = self.slots.iter().copied().filter(|key| *key != EMPTY).collect();
        self.next = used.len();
        self.holes.clear();
        for (slot, key) in (0_u32..).zip(&used) {
            match *key {
                HOLE => self.holes.push(slot),
                key => self.places[key as usize] = slot,
            }
        }
        used.resize((self.next * 2).max(1_024), EMPTY);
        self.slots = used;
        self.taken = Fenwick::of(&self.slots);
    }
}

/// How many slots are taken, summed in a tree.
struct Fenwick {
    sums: Vec<i32>,
    all: i32,
}

impl Fenwick {
    fn of(slots: &[u32]) -> Self {
        let mut sums = vec![0; slots.len() + 1];
        let mut all = 0;
        for (slot, key) in slots.iter().enumerate() {
            let taken = i32::from(*key != EMPTY);
            all += taken;
            let node = slot + 1;
            sums[node] += taken;
            let parent = node + (node & node.wrapping_neg());
            if parent < sums.len() {
                sums[parent] += sums[node];
            }
        }
        Self { sums, all }
    }

    fn add(&mut self, slot: usize, change: i32) {
        self.all += change;
        let mut node = slot + 1;
        while node < self.sums.len() {
            self.sums[node] += change;
            node += node & node.wrapping_neg();
        }
    }

    /// Slots taken from `slot` to the end.
    fn from(&self, slot: usize) -> usize {
        let mut before = 0;
        let mut node = slot;
        while node > 0 {
            before += self.sums[node];
            node -= node & node.wrapping_neg();
        }
        usize::try_from(self.all - before)
            .expect("as many slots are taken before as in all at most")
    }
}
