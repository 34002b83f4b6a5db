//! A cap on concurrent loads: what protects the origin when the cache is gone.

use std::future::Future;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// A load waited for its turn in vain; the request should be answered 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("too many loads at once; try again in {retry_after:?}")]
pub struct Overloaded {
    /// When it makes sense to try again.
    pub retry_after: Duration,
}

/// Lets a bounded number of loads run at once, and a further one wait for a bounded time.
#[derive(Debug)]
pub struct LoadLimit {
    turns: Semaphore,
    wait: Duration,
}

impl LoadLimit {
    /// At most `concurrent` loads, each waiting at most `wait` for its turn.
    #[must_use]
    pub fn new(concurrent: usize, wait: Duration) -> Self {
        Self { turns: Semaphore::new(concurrent), wait }
    }

    /// Runs `load` when its turn comes.
    ///
    /// # Errors
    ///
    /// [`Overloaded`] when it does not come in time; `load` was then not started.
    pub async fn run<F: Future>(&self, load: F) -> Result<F::Output, Overloaded> {
        let _turn = self.turn().await?;
        Ok(load.await)
    }

    /// The next turn; it is given back when it is dropped.
    pub(crate) async fn turn(&self) -> Result<SemaphorePermit<'_>, Overloaded> {
        if let Ok(turn) = self.turns.try_acquire() {
            return Ok(turn);
        }
        let turn = timeout(self.wait, self.turns.acquire()).await;
        let turn = turn.map_err(|_elapsed| self.overloaded())?;
        Ok(turn.expect("the semaphore is never closed"))
    }

    /// A second at least: clients round it to whole seconds.
    pub(crate) fn overloaded(&self) -> Overloaded {
        Overloaded { retry_after: self.wait.max(Duration::from_secs(1)) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn never_more_loads_than_the_cap_and_the_rest_is_shed() {
        let limit = LoadLimit::new(3, Duration::from_millis(100));
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let load = || async {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(Duration::from_millis(60)).await;
            running.fetch_sub(1, Ordering::SeqCst);
        };
        let answers = tokio::join!(
            limit.run(load()),
            limit.run(load()),
            limit.run(load()),
            limit.run(load()),
            limit.run(load()),
            limit.run(load()),
            limit.run(load()),
        );
        let answers = [answers.0, answers.1, answers.2, answers.3, answers.4, answers.5, answers.6];
        // Three at once, three more after 60 ms; the seventh would begin after 120 ms.
        assert_eq!(most.load(Ordering::SeqCst), 3);
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 6);
        assert_eq!(answers[6], Err(Overloaded { retry_after: Duration::from_secs(1) }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_load_gives_its_turn_back() {
        let limit = LoadLimit::new(1, Duration::from_millis(10));
        let hung = timeout(Duration::from_millis(5), limit.run(std::future::pending::<()>())).await;
        assert!(hung.is_err());
        assert_eq!(limit.run(async { 1 }).await, Ok(1));
    }
}
