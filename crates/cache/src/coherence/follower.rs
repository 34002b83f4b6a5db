//! Follows the backplane: hears what other processes tell, and proves that it has heard all.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::hub::Hub;
use super::message::decode;
use crate::tier::{Posted, Reader, Tail, TierError};

/// How long a reader waits for the next message before it asks again. Each answer is a proof.
const PATIENCE: Duration = Duration::from_millis(100);
/// How often the stream's history is looked at: whether it is still the one that was read.
const CHECK_EVERY: Duration = Duration::from_millis(500);
/// How long it waits after a failure.
const PAUSE: Duration = Duration::from_millis(50);

/// Why reading on is not possible.
enum Stopped {
    /// It is time to look whether the history is still the same.
    CheckIsDue,
    /// Something was missed.
    Gap,
    /// The node does not answer.
    Failed(TierError),
}

/// Follows until it is aborted.
pub(crate) async fn follow(hub: Arc<Hub>, mut reader: Reader) {
    let mut place: Option<Tail> = None;
    loop {
        let tail = match reader.tail().await {
            Ok(tail) => tail,
            Err(error) => {
                tracing::debug!(%error, "the backplane is not heard at present");
                sleep(PAUSE).await;
                continue;
            }
        };
        let goes_on = |place: &Tail| place.generation == tail.generation && place.last <= tail.last;
        let mut at = match place.take().filter(goes_on) {
            Some(place) => place,
            None => {
                // Only now that the end is known: what enters from here on is told after it.
                hub.missed();
                tail
            }
        };
        match read_on(&hub, &mut reader, &mut at).await {
            Stopped::CheckIsDue => place = Some(at),
            Stopped::Gap => tracing::warn!("messages were missed: this process's tier is dropped"),
            Stopped::Failed(error) => {
                tracing::debug!(%error, "the backplane is not heard at present");
                place = Some(at);
                sleep(PAUSE).await;
            }
        }
    }
}

async fn read_on(hub: &Hub, reader: &mut Reader, at: &mut Tail) -> Stopped {
    let check = Instant::now() + CHECK_EVERY;
    loop {
        let asked = Instant::now();
        let heard = match reader.read(at.last, PATIENCE).await {
            Ok(heard) => heard,
            Err(error) => return Stopped::Failed(error),
        };
        for Posted { at: id, before, sender, message } in heard {
            if before != at.last {
                return Stopped::Gap;
            }
            at.last = id;
            if sender == hub.name() {
                continue;
            }
            let Some(events) = decode(&message) else { return Stopped::Gap };
            for event in &events {
                hub.hear(event);
            }
        }
        hub.proof().heard(asked);
        if Instant::now() >= check {
            return Stopped::CheckIsDue;
        }
    }
}
