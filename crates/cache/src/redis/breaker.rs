//! A circuit breaker: when nothing gets through, stop asking.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Failures in a row, with no success among them, that open the breaker.
const THRESHOLD: u32 = 5;

/// Opens when nothing succeeds any more. Then no request is let through: the watchdog asks, on
/// connections of its own, and the first answer closes it. Open, it costs a request one atomic
/// read.
#[derive(Debug)]
pub(crate) struct Breaker {
    open: AtomicBool,
    failures: AtomicU32,
}

impl Breaker {
    /// A breaker for what has never worked yet.
    pub(crate) const fn open() -> Self {
        Self { open: AtomicBool::new(true), failures: AtomicU32::new(0) }
    }

    /// A breaker for what is believed to work.
    pub(crate) const fn closed() -> Self {
        Self { open: AtomicBool::new(false), failures: AtomicU32::new(0) }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// A command was answered: the row of failures has ended. It does not close the breaker,
    /// for the command may have been sent before that opened.
    pub(crate) fn succeeded(&self) {
        // Read first: on the hot path the line stays shared between cores.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Closes it; whether it was open.
    pub(crate) fn close(&self) -> bool {
        self.failures.store(0, Ordering::Relaxed);
        self.open.swap(false, Ordering::AcqRel)
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
        let breaker = Breaker::closed();
        for _ in 0..3 {
            for _ in 1..THRESHOLD {
                assert!(!breaker.failed());
            }
            breaker.succeeded();
        }
        assert!(!breaker.is_open());
        let opened = (0..2 * THRESHOLD).filter(|_| breaker.failed()).count();
        assert_eq!(opened, 1);
        breaker.succeeded();
        assert!(breaker.is_open(), "an answer that was on its way");
        assert!(breaker.close() && !breaker.close());
        assert!(!breaker.is_open() && !breaker.failed());
    }
}
