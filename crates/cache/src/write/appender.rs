//! Group commit: what comes while an append is on its way goes into the next one.
//!
//! As a rule one append is on its way at a time: two would share the same writes among more
//! statements and commits, and queue up at the locks of the same versions. But an append can be
//! held up by somebody else's lock on a single row. So that this does not hold up the rest, the
//! next append begins after a short while all the same, up to a fixed number of them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::crash::CrashPoint;
use super::engine::{Answer, Inner, WriteError};
use super::journal::{Journal, JournalError, Write};

/// How long an append keeps the next one waiting.
const OVERTAKEN_AFTER: Duration = Duration::from_millis(20);
/// Appends on their way at the same time, at most. Each takes a connection.
const AT_ONCE: usize = 4;

/// A write whose writer waits.
pub(super) struct Waiting<J: Journal> {
    pub(super) write: Write<J::Operation>,
    pub(super) answer: oneshot::Sender<Answer<J>>,
}

/// Appends what comes, until `inner` is closed and nothing waits any more.
pub(super) async fn run<J: Journal>(inner: Arc<Inner<J>>, mut queue: mpsc::Receiver<Waiting<J>>) {
    let most = inner.options.append_entries;
    let mut closing = inner.closing.subscribe();
    let mut flights = JoinSet::new();
    loop {
        let mut batch = Vec::new();
        let came = tokio::select! {
            came = queue.recv_many(&mut batch, most) => came,
            // What waits already is still taken.
            _closed = closing.wait_for(|closed| *closed), if !queue.is_closed() => {
                queue.close();
                continue;
            }
        };
        if came == 0 {
            break;
        }
        let newest = flights.spawn(append(Arc::clone(&inner), batch));
        let patience = Instant::now() + OVERTAKEN_AFTER;
        while !newest.is_finished() {
            tokio::select! {
                _landed = flights.join_next() => {}
                () = sleep_until(patience), if flights.len() < AT_ONCE => break,
            }
        }
        while flights.try_join_next().is_some() {}
    }
    while flights.join_next().await.is_some() {}
}

async fn append<J: Journal>(inner: Arc<Inner<J>>, batch: Vec<Waiting<J>>) {
    let (writes, answers): (Vec<_>, Vec<_>) =
        batch.into_iter().map(|waiting| (waiting.write, waiting.answer)).unzip();
    // Should the journal panic, the room that the writes take is given back all the same.
    let mut room = Room { inner: &inner, writes: writes.len() as u64, appended: 0 };
    inner.options.crash.pass(CrashPoint::BeforeAppend);
    inner.options.crash.pass_into(CrashPoint::AmidAppend);
    let outcome = inner.journal.append(&writes).await;
    inner.options.crash.pass(CrashPoint::BeforeAcknowledgement);
    match outcome {
        Ok(taken) if taken.len() == answers.len() => {
            room.appended = taken.iter().filter(|taken| taken.is_ok()).count() as u64;
            inner.counters.append(J::MODE, room.appended);
            drop(room);
            for (taken, answer) in taken.into_iter().zip(answers) {
                // Who does not wait any more has his write journaled all the same.
                let _ = answer.send(taken.map_err(WriteError::Refused));
            }
        }
        Ok(_) => {
            drop(room);
            fail::<J>(answers, JournalError("it answered other writes than it was given".into()));
        }
        Err(error) => {
            drop(room);
            tracing::warn!(%error, writes = writes.len(), "writes were not journaled");
            fail::<J>(answers, error);
        }
    }
}

fn fail<J: Journal>(answers: Vec<oneshot::Sender<Answer<J>>>, error: JournalError) {
    let error = Arc::new(error);
    for answer in answers {
        let _ = answer.send(Err(WriteError::Journal(Arc::clone(&error))));
    }
}

/// The room that writes take in the count of what the journal holds.
struct Room<'a, J: Journal> {
    inner: &'a Inner<J>,
    writes: u64,
    appended: u64,
}

impl<J: Journal> Drop for Room<'_, J> {
    fn drop(&mut self) {
        let enough = self.inner.options.flush.entries;
        self.inner.level.answered(self.writes, self.appended, enough);
    }
}
