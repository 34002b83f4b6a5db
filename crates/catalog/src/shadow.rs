//! Shadow reads: beside a part of the cache's answers Postgres is asked how new they were.
//!
//! What staleness a strategy promises is thereby measured where it matters, on real requests. Only
//! the version is read, by its primary key, after the answer was made: nobody waits for it. When
//! Postgres is slow, samples are dropped rather than queued.

use std::sync::Arc;

use catalog_domain::{ProductId, ProductRepository, View};
use larder::Metrics;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::reply::{Reply, Source};

/// Shadow reads at the same time, in this process. Too low: a burst is hardly sampled; too high:
/// they take the connections of loads.
const AT_ONCE: usize = 4;

/// Which answers are compared, and where that is recorded.
pub(crate) struct Shadow<R> {
    repository: Arc<R>,
    metrics: Arc<Metrics>,
    sample: f64,
    turns: Arc<Semaphore>,
}

impl<R: ProductRepository> Shadow<R> {
    pub(crate) fn new(repository: Arc<R>, metrics: Arc<Metrics>, sample: f64) -> Self {
        Self { repository, metrics, sample, turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Compares `reply`, which was asked for at `began`, if it is one of the sample.
    pub(crate) fn cast(&self, view: View, id: ProductId, began: Instant, reply: &Reply) {
        let (Source::Hit(tier) | Source::Stale(tier)) = reply.status.source else { return };
        // From [0, 1): a sample of 1 is all of them.
        if rand::random::<f64>() >= self.sample {
            return;
        }
        let Ok(turn) = Arc::clone(&self.turns).try_acquire_owned() else { return };
        let (repository, metrics) = (Arc::clone(&self.repository), Arc::clone(&self.metrics));
        let seen = reply.revision;
        tokio::spawn(async move {
            let newest = repository.newest(view, id).await;
            drop(turn);
            match newest {
                Ok(newest) => {
                    let old = newest.and_then(|newest| newest.older_for(seen)).unwrap_or_default();
                    // What changed after the request had begun was not missed by its answer. The
                    // way back from Postgres is taken off with it: rather too little is said.
                    let staleness = old.saturating_sub(began.elapsed());
                    metrics.verified(view.namespace(), tier, staleness);
                }
                Err(error) => {
                    tracing::debug!(namespace = view.namespace(), %error, "a sample was lost");
                }
            }
        });
    }
}
