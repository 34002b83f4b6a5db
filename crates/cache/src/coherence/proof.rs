//! The proof that this process has missed nothing, and how long it holds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// What this process can prove of itself. Silence proves nothing: a proof runs out.
#[derive(Debug)]
pub(crate) struct Proof {
    base: Instant,
    bound: Duration,
    /// Nanoseconds after `base`; 0: nothing is proven.
    proven_until: AtomicU64,
    awake_until: AtomicU64,
    /// How often something may have been missed …
    losses: AtomicU64,
    /// … and for how many of these the epochs were read anew since.
    recovered: AtomicU64,
}

impl Proof {
    pub(crate) fn new(bound: Duration) -> Self {
        Self {
            base: Instant::now(),
            bound,
            proven_until: AtomicU64::new(0),
            awake_until: AtomicU64::new(0),
            losses: AtomicU64::new(0),
            recovered: AtomicU64::new(0),
        }
    }

    /// Everything that was told before `asked` has been heard.
    pub(crate) fn heard(&self, asked: Instant) {
        self.proven_until.fetch_max(self.nanos(asked + self.bound), Ordering::AcqRel);
    }

    /// Whether a value in this process can be answered at `now`.
    pub(crate) fn holds(&self, now: Instant) -> bool {
        self.nanos(now) < self.proven_until.load(Ordering::Acquire)
    }

    /// Nothing is proven until something is heard again.
    pub(crate) fn lost(&self) {
        self.proven_until.store(0, Ordering::Release);
        self.losses.fetch_add(1, Ordering::AcqRel);
    }

    /// This process runs at `now`.
    pub(crate) fn ticked(&self, now: Instant) {
        self.awake_until.store(self.nanos(now + self.bound), Ordering::Release);
    }

    /// Whether this process has not been frozen, for longer than the bound, just before `now`.
    pub(crate) fn is_awake(&self, now: Instant) -> bool {
        self.nanos(now) < self.awake_until.load(Ordering::Acquire)
    }

    /// How often something may have been missed so far.
    pub(crate) fn losses(&self) -> u64 {
        self.losses.load(Ordering::Acquire)
    }

    /// The epochs were read after that many losses.
    pub(crate) fn recovered(&self, losses: u64) {
        self.recovered.fetch_max(losses, Ordering::AcqRel);
    }

    /// Whether no epoch can have moved unheard.
    pub(crate) fn knows_epochs(&self) -> bool {
        self.recovered.load(Ordering::Acquire) >= self.losses.load(Ordering::Acquire)
    }

    fn nanos(&self, at: Instant) -> u64 {
        let nanos = at.saturating_duration_since(self.base).as_nanos();
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_proof_runs_out_and_a_loss_ends_it() {
        let bound = Duration::from_millis(500);
        let proof = Proof::new(bound);
        let start = Instant::now();
        assert!(!proof.holds(start) && !proof.is_awake(start));
        proof.heard(start);
        assert!(proof.holds(start + bound / 2) && !proof.holds(start + bound));
        // What was asked for earlier proves no less than is known.
        proof.heard(start - Duration::from_secs(1));
        assert!(proof.holds(start + bound / 2));
        proof.lost();
        assert!(!proof.holds(start) && !proof.knows_epochs());
        proof.recovered(0);
        assert!(!proof.knows_epochs());
        proof.recovered(proof.losses());
        assert!(proof.knows_epochs());
        proof.ticked(start);
        assert!(proof.is_awake(start) && !proof.is_awake(start + bound));
    }
}
