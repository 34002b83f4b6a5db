//! How much the journal holds, as far as this process knows, and when a flush is due.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::journal::{Flushed, JournalState};

/// How much the journal holds. What this process does is known at once, what others do at the
/// next look.
#[derive(Debug, Default)]
pub(super) struct Level {
    known: Mutex<Known>,
    /// Rung when it changes at which moment a flush is due.
    sooner: Notify,
}

#[derive(Debug, Default)]
struct Known {
    depth: u64,
    /// Writes that wait for an append, or for its answer.
    underway: u64,
    dead: u64,
    /// Since when the oldest entry has waited, as far as is known.
    oldest: Option<Instant>,
    /// Appended by this process since the last flush began …
    unflushed: u64,
    /// … and when the first of those was.
    first: Option<Instant>,
    /// Appended by this process so far.
    appended: u64,
}

/// What is shown of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) depth: u64,
    pub(super) oldest: Duration,
    pub(super) dead: u64,
}

impl Level {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a write in, unless there are `most` already.
    pub(super) fn enter(&self, most: u64) -> bool {
        let mut known = self.known();
        let room = known.depth + known.underway < most;
        if room {
            known.underway += 1;
        }
        room
    }

    /// `writes` that were counted in are done with, `appended` of them as entries.
    pub(super) fn answered(&self, writes: u64, appended: u64, enough: usize) {
        let mut known = self.known();
        known.underway = known.underway.saturating_sub(writes);
        if appended == 0 {
            return;
        }
        known.depth += appended;
        known.appended += appended;
        known.unflushed += appended;
        let now = Instant::now();
        let is_first = known.first.is_none();
        known.first.get_or_insert(now);
        known.oldest.get_or_insert(now);
        let is_enough = known.unflushed >= enough as u64;
        drop(known);
        if is_first || is_enough {
            self.sooner.notify_one();
        }
    }

    /// Waits until it may have changed at which moment a flush is due.
    pub(super) async fn sooner(&self) {
        self.sooner.notified().await;
    }

    /// When a flush is due because of what this process has appended; `None`: there is nothing.
    pub(super) fn due(&self, enough: usize, after: Duration) -> Option<Instant> {
        let known = self.known();
        if known.unflushed >= enough as u64 { known.first } else { Some(known.first? + after) }
    }

    /// A flush begins: what is appended from now on is for the next one.
    pub(super) fn begin(&self) {
        let mut known = self.known();
        (known.unflushed, known.first) = (0, None);
    }

    /// What a flush did.
    pub(super) fn flushed(&self, flushed: &Flushed) {
        let mut known = self.known();
        known.depth = known.depth.saturating_sub(flushed.entries + flushed.dead);
        known.dead += flushed.dead;
        if known.depth == 0 {
            known.oldest = None;
        }
    }

    /// To be handed to [`looked`](Self::looked), taken before the journal is asked.
    pub(super) fn mark(&self) -> u64 {
        self.known().appended
    }

    /// What the journal says, with what was appended since it was asked.
    pub(super) fn looked(&self, state: &JournalState, mark: u64) {
        let mut known = self.known();
        known.depth = state.depth + (known.appended - mark);
        known.dead = state.dead;
        let now = Instant::now();
        known.oldest = if state.depth > 0 { now.checked_sub(state.oldest) } else { known.first };
    }

    pub(super) fn show(&self) -> Shown {
        let known = self.known();
        let oldest = known.oldest.map(|oldest| oldest.elapsed()).unwrap_or_default();
        Shown { depth: known.depth, oldest, dead: known.dead }
    }
}
