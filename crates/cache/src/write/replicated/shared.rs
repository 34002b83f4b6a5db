//! What the journal and its tasks share, and the tasks: one writer and one follower for each lane.

use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::sleep;

use super::books::{Books, Item};
use crate::redis::{Lane, LaneEntry};
use crate::tier::TierError;
use crate::write::journal::JournalError;
use crate::write::overlay::Overlay;
use crate::write::sink::Sink;

/// How long a follower waits before it looks what others have taken off.
const GLANCE: Duration = Duration::from_millis(200);
/// How long it rests after each look: what comes meanwhile is read together.
const REST: Duration = Duration::from_millis(5);
/// How long it waits after a failure.
const PAUSE: Duration = Duration::from_millis(100);
/// Batches that one append takes together, at most.
const BATCHES: usize = 64;

pub(super) struct Shared<S: Sink> {
    pub(super) lanes: Vec<Mutex<Books<S::Entry>>>,
    pub(super) overlay: Arc<Overlay<S::Entry>>,
    pub(super) sink: Arc<S>,
    /// The number of this process's next write.
    pub(super) next: AtomicU64,
    /// Where the next flush begins.
    pub(super) first: AtomicUsize,
    /// One check at a time: each counts on what those before it were granted.
    pub(super) turn: Mutex<()>,
}

/// Writes of one lane that were granted together, and who waits for them.
pub(super) struct Batch<E> {
    pub(super) items: Vec<Item<E>>,
    pub(super) answer: oneshot::Sender<Result<(), Arc<TierError>>>,
}

impl<S: Sink> Shared<S> {
    /// Reads a lane, and learns what became of what has gone from it.
    pub(super) async fn sync(&self, lane: usize) -> Result<(), TierError> {
        let vanished = {
            let mut books = self.lanes[lane].lock().await;
            books.sync::<S>(&self.overlay).await?;
            books.vanished()
        };
        if vanished.is_empty() {
            return Ok(());
        }
        let ids: Vec<u64> = vanished.iter().map(|(_, id)| *id).collect();
        match self.sink.made(&ids).await {
            Ok(made) => {
                for (key, id) in &vanished {
                    match made.get(id) {
                        Some(made) => self.overlay.applied(key, *id, Some(made)),
                        // It is a dead letter, or was thrown away.
                        None => self.overlay.remove(key, *id),
                    }
                }
                self.lanes[lane].lock().await.explained(&ids);
            }
            // Readers ask for themselves meanwhile, and this is asked again.
            Err(error) => tracing::debug!(%error, "what was applied elsewhere is not known yet"),
        }
        Ok(())
    }
}

/// Appends what was granted, in that order: what comes while an append is on its way goes into the
/// next one.
pub(super) async fn write<S: Sink>(
    shared: Weak<Shared<S>>,
    index: usize,
    mut lane: Lane,
    mut queue: mpsc::UnboundedReceiver<Batch<S::Entry>>,
) {
    let mut batches = Vec::new();
    while queue.recv_many(&mut batches, BATCHES).await > 0 {
        let entries: Vec<LaneEntry> = batches
            .iter()
            .flat_map(|batch| &batch.items)
            .map(|item| LaneEntry { id: item.id, body: item.body.clone() })
            .collect();
        let appended = lane.append(&entries).await.map_err(Arc::new);
        let Some(shared) = shared.upgrade() else { return };
        let items: Vec<_> = batches.iter_mut().flat_map(|batch| batch.items.drain(..)).collect();
        match &appended {
            Ok(places) => {
                let mut books = shared.lanes[index].lock().await;
                for (at, item) in places.iter().zip(items) {
                    books.put(*at, item, &shared.overlay);
                }
            }
            Err(error) => {
                tracing::debug!(%error, lane = index, "writes were not kept");
                for item in items {
                    shared.overlay.withdraw(&item.key, item.id);
                }
            }
        }
        for batch in batches.drain(..) {
            // Who does not wait any more has his writes kept all the same.
            let _ = batch.answer.send(appended.clone().map(drop));
        }
    }
}

/// Reads what other processes append and take off, as long as the journal is there.
pub(super) async fn follow<S: Sink>(shared: Weak<Shared<S>>, index: usize, mut lane: Lane) {
    let mut is_behind = false;
    loop {
        let followed = {
            let Some(shared) = shared.upgrade() else { return };
            let followed = shared.sync(index).await;
            shared.overlay.sweep();
            let after = shared.lanes[index].lock().await.after();
            followed.map(|()| after)
        };
        let waited = match followed {
            Ok(after) => lane.wait(after, GLANCE).await,
            Err(error) => Err(error),
        };
        match waited {
            Ok(()) => {
                if std::mem::take(&mut is_behind) {
                    tracing::info!(lane = index, "what others write is seen again");
                }
                sleep(REST).await;
            }
            Err(error) => {
                if !std::mem::replace(&mut is_behind, true) {
                    tracing::warn!(%error, lane = index, "what others write is not seen");
                }
                sleep(PAUSE).await;
            }
        }
    }
}

pub(super) fn failed(error: TierError) -> JournalError {
    JournalError(Box::new(error))
}
