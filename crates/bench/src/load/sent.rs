//! What was sent, and when: the sequence that a floor is computed for.

use std::collections::HashSet;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use super::client::{Answer, Request};

/// One request of a load, and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The product that it was about; 0: none.
    pub key: u32,
    /// Whether it changed the product.
    pub write: bool,
    /// Whether it was answered 2xx.
    pub ok: bool,
    /// When it was sent, in microseconds of [`now_us`].
    pub begun_us: u64,
    /// When it was answered.
    pub ended_us: u64,
}

/// What a closed loop keeps of its requests, which are as many as there is time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Nothing: no floor is computed.
    Nothing,
    /// The first read of each product that was answered: all that a floor needs where nothing is written and
    /// nothing expires. No more than there are products.
    FirstReads,
    /// Every request, in 24 bytes.
    All,
}

/// What the users of one closed loop keep together.
#[derive(Debug)]
pub(super) struct Keeper {
    keep: Keep,
    read: Mutex<HashSet<u32>>,
}

impl Keeper {
    pub(super) fn new(keep: Keep) -> Self {
        Self { keep, read: Mutex::default() }
    }

    /// Whether `request` is to be remembered, which was answered so.
    pub(super) fn keeps(&self, request: &Request, answer: &Answer) -> bool {
        match self.keep {
            Keep::Nothing => false,
            Keep::FirstReads => {
                let counts = request.key != 0 && answer.ok && !request.writes();
                let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
                counts && read.insert(request.key)
            }
            Keep::All => true,
        }
    }
}

impl Sent {
    /// `request`, sent at `begun_us` and answered just now.
    pub(super) fn of(request: &Request, answer: &Answer, begun_us: u64) -> Self {
        let (key, write, ok) = (request.key, request.writes(), answer.ok);
        Self { key, write, ok, begun_us, ended_us: now_us() }
    }
}

/// Microseconds since this program first asked: times of several loads can be compared.
#[must_use]
pub fn now_us() -> u64 {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    let origin = *ORIGIN.get_or_init(Instant::now);
    u64::try_from(origin.elapsed().as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_reads_the_first_of_each_product_is_kept() {
        let answer =
            |ok| Answer { ok, status: 200, hit: false, stale: false, shed: false, bytes: 9 };
        let read = |key| Request::get("/").about(key);
        let sequence = [
            (read(1), false),
            (read(1), true),
            (read(2), true),
            (read(1), true),
            (Request::get("/list"), true),
            (Request::patch("/", "{}").about(3), true),
        ];
        let kept = |keep| -> Vec<bool> {
            let keeper = Keeper::new(keep);
            sequence.iter().map(|(request, ok)| keeper.keeps(request, &answer(*ok))).collect()
        };
        assert_eq!(kept(Keep::FirstReads), [false, true, true, false, false, false]);
        assert_eq!(kept(Keep::Nothing), [false; 6]);
        assert_eq!(kept(Keep::All), [true; 6]);
    }
}
