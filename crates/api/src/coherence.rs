//! Keeps this process's caches coherent: the backplane, and the change feed behind it.

use std::sync::Arc;
use std::time::Duration;

use larder::{Coherence, L2};
use larder_postgres::{Database, PostgresFeed};
use opentelemetry::metrics::Meter;
use tokio::time::{Instant, sleep};

use crate::config::{Config, ConfigError};
use crate::server::ServeError;

/// How long a start waits until the backplane is heard. After that, requests are answered without
/// the tier in this process until it is.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(10);

/// What keeps the caches coherent, and the database that the feed is read from, where that is
/// another role's.
pub(crate) struct Kept {
    pub(crate) coherence: Arc<Coherence>,
    pub(crate) feed: Option<Database>,
}

/// Opens the feed, where it is enabled, and begins to listen.
///
/// It comes before the namespaces' epochs are read: a feed that is new moves them all.
pub(crate) async fn keep(
    config: &Config,
    db: &Database,
    l2: &Arc<L2>,
    meter: &Meter,
) -> Result<Kept, ServeError> {
    let options = config.feed.options()?;
    let environment = &config.cache.environment;
    if !config.feed.enabled {
        let coherence = Coherence::between_processes(environment, l2, &options);
        return Ok(Kept { coherence, feed: None });
    }
    let role = config.feed_database_options();
    let refused = |error: String| ConfigError::value("database.feed_url", error);
    let (reader, feed) = match &role {
        // A role of its own is counted on its own.
        Some(role) => {
            let db = Database::new(role).map_err(|error| refused(error.to_string()))?;
            db.ledger().register(meter);
            (db.clone(), Some(db))
        }
        None => (db.clone(), None),
    };
    let name = format!("{environment}/{}", config.feed.region);
    let opened = PostgresFeed::open(reader, &name, &config.feed.lease()).await;
    let opened = opened.map_err(|error| ServeError::Feed(error.to_string()))?;
    let coherence = Coherence::with_feed(environment, l2, &options, Arc::new(opened));
    coherence.register(meter);
    Ok(Kept { coherence, feed })
}

/// Waits until the backplane is heard, for a while.
pub(crate) async fn settle(coherence: &Coherence) {
    let until = Instant::now() + PATIENCE;
    while !coherence.is_proven() && Instant::now() < until {
        sleep(PAUSE).await;
    }
}
