//! Hears which keys have changed that somebody in this process waits for.

use std::sync::Arc;

use futures_util::StreamExt;
use redis::RedisResult;
use tokio::time::{sleep, timeout};

use super::WAKE_CHANNEL;
use super::options::RedisOptions;
use crate::tier::Wakes;

/// Listens on one node after the other, for a cluster passes messages on to all of them; until
/// it is aborted.
///
/// It promises nothing: who waits looks again by itself.
pub(crate) async fn listen(options: RedisOptions, wakes: Arc<Wakes>) {
    for node in options.nodes.iter().cycle() {
        if let Err(error) = hear(node, &options, &wakes).await {
            tracing::debug!(%error, "wake-ups are not heard at present");
        }
        sleep(options.probe_interval).await;
    }
}

/// Wakes until the connection is lost.
async fn hear(node: &str, options: &RedisOptions, wakes: &Wakes) -> RedisResult<()> {
    let client = options.client_of(node)?;
    let subscribed = timeout(options.connect_timeout, async {
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
