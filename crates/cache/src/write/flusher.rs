//! The flusher: applies what is in the journal, by size or age, whichever comes first.
//!
//! Every process runs one, and each takes what nobody else is flushing: when a process dies, the
//! others apply what it has acknowledged. A process that neither writes behind nor knows of anything
//! that waits asks the journal nothing, once it has been told that nothing waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::crash::CrashPoint;
use super::engine::{Inner, Tell};
use super::journal::{Flushed, Journal, JournalError};

/// How often the journal is asked what it holds: what other processes left is found by it, and
/// what is to be tried again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the first retry waits when the journal does not answer; twice as long each time …
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// … up to this.
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// Flushes until `inner` is closed. A flush under way is not cancelled.
pub(super) async fn run<J: Journal>(inner: Arc<Inner<J>>, tell: Tell) {
    let (enough, after) = (inner.options.flush.entries, inner.options.flush_after);
    let mut watch = inner.watch.subscribe();
    let mut look_at = Instant::now() + LOOK_EVERY;
    loop {
        let is_looking = *watch.borrow_and_update()
            || inner.level.show().depth > 0
            || !inner.known.load(Ordering::Relaxed);
        let looks = is_looking.then_some(look_at);
        let next = [looks, inner.level.due(enough, after)].into_iter().flatten().min();
        tokio::select! {
            () = closed(&inner) => return,
            () = inner.level.sooner() => {}
            // The sender is in `inner`.
            _changed = watch.changed() => {}
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
        }
        let now = Instant::now();
        let mut is_due = inner.level.due(enough, after).is_some_and(|due| due <= now);
        if looks.is_some_and(|at| at <= now) {
            let Some(found) = persist(&inner, || look(&inner)).await else { return };
            is_due |= found;
            look_at = Instant::now() + LOOK_EVERY;
        }
        if is_due {
            inner.level.begin();
            loop {
                match persist(&inner, || flush(&inner, &tell)).await {
                    Some(true) => {}
                    Some(false) => break,
                    None => return,
                }
            }
        }
    }
}

async fn closed<J>(inner: &Inner<J>) {
    // The sender is in `inner`: there is no other end to this.
    let _closed = inner.closing.subscribe().wait_for(|closed| *closed).await.is_ok();
}

/// Whether something has waited for long enough.
pub(super) async fn look<J: Journal>(inner: &Inner<J>) -> Result<bool, JournalError> {
    let mark = inner.level.mark();
    let state = inner.journal.state().await?;
    inner.level.looked(&state, mark);
    inner.known.store(true, Ordering::Relaxed);
    Ok(state.depth > 0 && state.oldest >= inner.options.flush_after)
}

/// One flush; whether there may be more to flush at once.
pub(super) async fn flush<J: Journal>(inner: &Inner<J>, tell: &Tell) -> Result<bool, JournalError> {
    let options = &inner.options.flush;
    inner.options.crash.pass(CrashPoint::BeforeFlush);
    let flushed = inner.journal.flush(options).await?;
    inner.options.crash.pass(CrashPoint::AfterFlush);
    let done = flushed.entries + flushed.failed + flushed.dead;
    note(inner, flushed, tell).await;
    Ok(done >= options.entries as u64)
}

/// Counts what was flushed, and tells what it has changed.
pub(super) async fn note<J: Journal>(inner: &Inner<J>, flushed: Flushed, tell: &Tell) {
    inner.level.flushed(&flushed);
    inner.counters.flush(J::MODE, &flushed);
    let Flushed { dead, changes, .. } = flushed;
    if dead > 0 {
        tracing::error!(dead, mode = %J::MODE, "writes could not be applied: see the dead letters");
    }
    if !changes.is_empty() {
        tell(changes).await;
    }
}

/// Tries until there is an answer; `None`: `inner` was closed meanwhile. A failure is logged when
/// it begins.
async fn persist<J, T, F>(inner: &Inner<J>, attempt: impl Fn() -> F) -> Option<T>
where
    F: Future<Output = Result<T, JournalError>>,
{
    let mut pause = FIRST_PAUSE;
    let mut failures: u32 = 0;
    loop {
        match attempt().await {
            Ok(answer) => {
                if failures > 0 {
                    tracing::info!(failures, "the journal answers again");
                }
                return Some(answer);
            }
            Err(error) if failures == 0 => tracing::warn!(%error, "writes wait to be applied"),
            Err(error) => tracing::debug!(%error, "writes still wait to be applied"),
        }
        failures += 1;
        // Not all processes at the same moment.
        let pause_now = pause.mul_f64(0.5 + 0.5 * rand::random::<f64>());
        tokio::select! {
            () = closed(inner) => return None,
            () = sleep(pause_now) => {}
        }
        pause = (pause * 2).min(LAST_PAUSE);
    }
}
