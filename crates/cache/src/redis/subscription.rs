//! Hears which keys have changed that somebody in this process waits for.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use redis::{Client, RedisResult};
use tokio::time::{sleep, timeout};

use super::WAKE_CHANNEL;
use crate::tier::Wakes;

/// Listens on one node after the other, for a cluster passes messages on to all of them; until
/// it is aborted.
///
/// It promises nothing: who waits looks again by itself.
pub(crate) async fn listen(
    nodes: Vec<String>,
    wakes: Arc<Wakes>,
    connect_timeout: Duration,
    pause: Duration,
) {
    for node in nodes.iter().cycle() {
        if let Err(error) = hear(node, &wakes, connect_timeout).await {
            tracing::debug!(%error, "wake-ups are not heard at present");
        }
        sleep(pause).await;
    }
}

/// Wakes until the connection is lost.
async fn hear(node: &str, wakes: &Wakes, connect_timeout: Duration) -> RedisResult<()> {
    let client = Client::open(node)?;
    let subscribed = timeout(connect_timeout, async {
        let mut subscription = client.get_async_pubsub().await?;
        subscription.subscribe(WAKE_CHANNEL).await?;
        RedisResult::Ok(subscription)
    });
    let Ok(subscription) = subscribed.await else { return Ok(()) };
    let mut messages = subscription?.into_on_message();
    while let Some(message) = messages.next().await {
        wakes.wake(&message.get_payload::<String>()?);
    }
    Ok(())
}
