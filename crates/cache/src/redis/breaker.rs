//! A circuit breaker: when nothing gets through, stop asking.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Failures in a row, with no success among them, that open the breaker.
///
/// One dead shard of several does not open it: the others' answers come in between.
const THRESHOLD: u32 = 5;

/// Opens when nothing succeeds any more; closed by the watchdog, once it has proven a new
/// connection. Open, it costs a request one atomic read.
#[derive(Debug)]
pub(crate) struct Breaker {
    open: AtomicBool,
    failures: AtomicU32,
}

impl Breaker {
    /// A breaker for a link that has never worked yet.
    pub(crate) const fn open() -> Self {
        Self { open: AtomicBool::new(true), failures: AtomicU32::new(0) }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    pub(crate) fn close(&self) {
        self.failures.store(0, Ordering::Release);
        self.open.store(false, Ordering::Release);
    }

    pub(crate) fn succeeded(&self) {
        // Read first: on the hot path the line stays shared between cores.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Whether this failure has opened the breaker.
    pub(crate) fn failed(&self) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::AcqRel) + 1;
        failures >= THRESHOLD && !self.open.swap(true, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unbroken_row_of_failures_opens_it_and_only_once() {
        let breaker = Breaker::open();
        assert!(breaker.is_open());
        breaker.close();
        for _ in 0..3 {
            for _ in 1..THRESHOLD {
                assert!(!breaker.failed());
            }
            breaker.succeeded();
        }
        assert!(!breaker.is_open());
        let opened = (0..2 * THRESHOLD).filter(|_| breaker.failed()).count();
        assert_eq!(opened, 1);
        assert!(breaker.is_open());
        breaker.close();
        assert!(!breaker.is_open());
    }
}
