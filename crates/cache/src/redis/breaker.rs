//! A circuit breaker: when nothing gets through, stop asking.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row, with no success among them, that open the breaker.
const THRESHOLD: u32 = 5;

/// Opens when nothing succeeds any more. Then it lets one command through per interval, half
/// open: the first that succeeds closes it. Open, it costs a request one atomic read, and now
/// and then a lock that is not waited for.
#[derive(Debug)]
pub(crate) struct Breaker {
    open: AtomicBool,
    failures: AtomicU32,
    interval: Duration,
    last_probe: Mutex<Instant>,
}

impl Breaker {
    /// A breaker for what has never worked yet.
    pub(crate) fn open(interval: Duration) -> Self {
        Self { open: AtomicBool::new(true), ..Self::closed(interval) }
    }

    /// A breaker for what is believed to work.
    pub(crate) fn closed(interval: Duration) -> Self {
        Self {
            open: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            interval,
            last_probe: Mutex::new(Instant::now()),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Whether a command may be sent.
    pub(crate) fn lets_through(&self) -> bool {
        if !self.is_open() {
            return true;
        }
        let now = Instant::now();
        let Ok(mut last) = self.last_probe.try_lock() else { return false };
        if now.duration_since(*last) < self.interval {
            return false;
        }
        *last = now;
        true
    }

    /// Whether this success has closed the breaker.
    pub(crate) fn succeeded(&self) -> bool {
        // Read first: on the hot path the line stays shared between cores.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        self.is_open() && self.open.swap(false, Ordering::AcqRel)
    }

    /// Whether this failure has opened the breaker.
    pub(crate) fn failed(&self) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::AcqRel) + 1;
        let opened = failures >= THRESHOLD && !self.open.swap(true, Ordering::AcqRel);
        if opened {
            *self.last_probe.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
        opened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_an_unbroken_row_of_failures_opens_it_and_only_once() {
        let interval = Duration::from_millis(250);
        let breaker = Breaker::closed(interval);
        for _ in 0..3 {
            for _ in 1..THRESHOLD {
                assert!(!breaker.failed());
            }
            assert!(!breaker.succeeded());
        }
        assert!(breaker.lets_through());
        let opened = (0..2 * THRESHOLD).filter(|_| breaker.failed()).count();
        assert_eq!(opened, 1);
        // Half open: one command per interval.
        for _ in 0..3 {
            assert!(!breaker.lets_through());
            tokio::time::advance(interval).await;
            assert!(breaker.lets_through());
            assert!(!breaker.failed());
        }
        assert!(!breaker.lets_through());
        assert!(breaker.succeeded());
        assert!(breaker.lets_through() && !breaker.is_open());
    }
}
