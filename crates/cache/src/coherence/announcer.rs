//! Tells other processes what has changed: what is asked for while a message is on its way goes
//! into the next one.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::message::{Event, encode};
use crate::tier::L2;

/// Events told in one message, at most.
const EVENTS_AT_ONCE: usize = 512;

/// Who waits for an event to be told.
type Waiting = oneshot::Sender<Result<(), &'static str>>;

/// The way to the backplane.
#[derive(Clone, Debug)]
pub(crate) struct Announcer(mpsc::UnboundedSender<(Event, Waiting)>);

impl Announcer {
    /// An announcer, and the work of it, which its owner runs.
    pub(crate) fn new(
        l2: Arc<L2>,
        stream: String,
        sender: Bytes,
    ) -> (Self, impl Future<Output = ()>) {
        let (announcer, events) = mpsc::unbounded_channel();
        (Self(announcer), announce(l2, stream, sender, events))
    }

    /// Tells `event`; else why that was not possible.
    pub(crate) async fn tell(&self, event: Event) -> Result<(), &'static str> {
        let (waiting, told) = oneshot::channel();
        // Fails only when the task is gone, as the answer then does.
        let _ = self.0.send((event, waiting));
        told.await.unwrap_or(Err("backplane-closed"))
    }
}

async fn announce(
    l2: Arc<L2>,
    stream: String,
    sender: Bytes,
    mut events: mpsc::UnboundedReceiver<(Event, Waiting)>,
) {
    let mut taken = Vec::new();
    while events.recv_many(&mut taken, EVENTS_AT_ONCE).await > 0 {
        let (told, waiting): (Vec<Event>, Vec<Waiting>) = taken.drain(..).unzip();
        let outcome = l2.append(&stream, &sender, &encode(&told)).await;
        let outcome = outcome.map_err(|error| {
            tracing::debug!(%error, events = told.len(), "the backplane did not take a message");
            error.reason()
        });
        for one in waiting {
            // Who does not wait any more does not mind.
            let _ = one.send(outcome);
        }
    }
}
