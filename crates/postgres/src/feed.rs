//! The change feed: what was committed to Postgres, whoever wrote it.

use std::sync::OnceLock;
use std::time::Duration;

use larder::{Batch, Change, Feed, FeedError, Place, Version};
use sqlx::Row;
use sqlx::postgres::PgRow;
use thiserror::Error;

use crate::database::Database;
use crate::doorbell::Doorbell;
use crate::statement::{Purpose, Statement};

/// How a feed is relayed.
#[derive(Clone, Debug)]
pub struct FeedOptions {
    /// For how long the right to relay is taken or kept at a time. Too short: a relay that is
    /// slow for once loses it; too long: after a crash nobody relays for so long.
    pub lease: Duration,
}

/// Why a feed could not be opened or read.
#[derive(Debug, Error)]
pub enum PostgresFeedError {
    /// An option has a value that cannot work.
    #[error("{option}: {reason}")]
    Option {
        /// The argument of [`PostgresFeed::open`], or the field of [`FeedOptions`].
        option: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Postgres does not answer, or refuses.
    #[error("the change feed cannot be read: {0}")]
    Database(#[from] sqlx::Error),
    /// The place just opened is of another history already.
    #[error("the database was exchanged for another while its change feed was opened")]
    Exchanged,
}

/// The version table as a [`Feed`].
///
/// Each call is one statement, counted as [`Purpose::Feed`]. It needs the rights of the group
/// role `larder_relay`, on the primary; a replica refuses. A place names the history it is of:
/// after a promotion or a restore, [`since`](Feed::since) opens the feed anew, which moves all
/// epochs, and goes on from there.
#[derive(Debug)]
pub struct PostgresFeed {
    db: Database,
    name: String,
    /// This process, among those that could relay.
    holder: String,
    lease: Duration,
    doorbell: OnceLock<Doorbell>,
}

const fn statement(collection: &'static str) -> Statement {
    Statement { namespace: "", purpose: Purpose::Feed, operation: "SELECT", collection }
}

/// Statements about the feed's own row.
const FEEDS: Statement = statement("larder.feeds");
const VERSIONS: Statement = statement("larder.versions");
const EPOCHS: Statement = statement("larder.epochs");

const SINCE: &str = "
    SELECT next_place, namespace, epoch, epoch_moved, overflown, keys, counters
    FROM larder.feed_since($1, $2)";

/// In the order in which everything locks epochs (see `larder.move_epochs`).
const CLEAR: &str = r#"
    SELECT larder.clear(n.namespace)
    FROM (SELECT namespace FROM unnest($1) AS namespace
          GROUP BY namespace ORDER BY (namespace || '_') COLLATE "C") AS n"#;

impl Default for FeedOptions {
    /// A lease of 5 s.
    fn default() -> Self {
        Self { lease: Duration::from_secs(5) }
    }
}

impl PostgresFeed {
    /// Opens the feed `name` (one for each environment or region), and makes it if it is not
    /// there. A new feed, and one of another history (a replica was promoted, a dump restored),
    /// moves all epochs: nobody has relayed what was cached before.
    ///
    /// # Errors
    ///
    /// When an option is unusable, or Postgres does not answer.
    pub async fn open(
        db: Database,
        name: &str,
        options: &FeedOptions,
    ) -> Result<Self, PostgresFeedError> {
        let refuse = |option, reason| Err(PostgresFeedError::Option { option, reason });
        if name.is_empty() {
            return refuse("name", "must not be empty");
        }
        if options.lease.as_millis() == 0 {
            return refuse("lease", "must be at least 1 ms");
        }
        let feed = Self {
            db,
            name: name.to_owned(),
            holder: format!("{}-{:016x}", std::process::id(), rand::random::<u64>()),
            lease: options.lease,
            doorbell: OnceLock::new(),
        };
        feed.reopen().await?;
        Ok(feed)
    }

    /// Where the feed is to be read on from, after it was made sure that it is of the database's
    /// history.
    async fn reopen(&self) -> Result<Place, sqlx::Error> {
        sqlx::query_scalar("SELECT larder.open_feed($1)")
            .bind(&self.name)
            .fetch_one(self.db.counted(FEEDS))
            .await
            .map(Place::new)
    }

    /// What was committed since `place`; `None`: the place is of another history.
    async fn read(&self, place: &Place, limit: usize) -> Result<Option<Batch>, sqlx::Error> {
        // Below the maximum by one, for the statement counts one further.
        let most = i32::try_from(limit).unwrap_or(i32::MAX).min(i32::MAX - 1);
        let rows = sqlx::query(SINCE)
            .bind(place.as_str())
            .bind(most)
            .fetch_all(self.db.counted(VERSIONS))
            .await?;
        batch(&rows)
    }
}

impl Feed for PostgresFeed {
    async fn claim(&self) -> Result<Option<Place>, FeedError> {
        let place: Option<String> =
            sqlx::query_scalar("SELECT larder.claim_feed($1, $2, make_interval(secs => $3))")
                .bind(&self.name)
                .bind(&self.holder)
                .bind(self.lease.as_secs_f64())
                .fetch_one(self.db.counted(FEEDS))
                .await
                .map_err(PostgresFeedError::from)?;
        Ok(place.map(Place::new))
    }

    async fn remember(&self, place: &Place) -> Result<bool, FeedError> {
        let kept = sqlx::query_scalar(
            "SELECT larder.remember_feed($1, $2, make_interval(secs => $3), $4)",
        )
        .bind(&self.name)
        .bind(&self.holder)
        .bind(self.lease.as_secs_f64())
        .bind(place.as_str())
        .fetch_one(self.db.counted(FEEDS))
        .await
        .map_err(PostgresFeedError::from)?;
        Ok(kept)
    }

    async fn resign(&self) -> Result<(), FeedError> {
        sqlx::query("SELECT larder.resign_feed($1, $2)")
            .bind(&self.name)
            .bind(&self.holder)
            .execute(self.db.counted(FEEDS))
            .await
            .map_err(PostgresFeedError::from)?;
        Ok(())
    }

    async fn since(&self, place: &Place, limit: usize) -> Result<Batch, FeedError> {
        if let Some(batch) = self.read(place, limit).await.map_err(PostgresFeedError::from)? {
            return Ok(batch);
        }
        tracing::warn!(
            feed = self.name,
            "the database has another history than the change feed was read from: all epochs move"
        );
        let place = self.reopen().await.map_err(PostgresFeedError::from)?;
        let batch = self.read(&place, limit).await.map_err(PostgresFeedError::from)?;
        Ok(batch.ok_or(PostgresFeedError::Exchanged)?)
    }

    async fn rung(&self) {
        self.doorbell.get_or_init(|| Doorbell::hang(self.db.connect_options())).rung().await;
    }

    async fn clear(&self, namespaces: &[String]) -> Result<(), FeedError> {
        sqlx::query(CLEAR)
            .bind(namespaces)
            .execute(self.db.counted(EPOCHS))
            .await
            .map_err(PostgresFeedError::from)?;
        Ok(())
    }

    async fn epochs(&self) -> Result<Vec<(String, u32)>, FeedError> {
        let epochs: Vec<(String, i32)> =
            sqlx::query_as("SELECT namespace, epoch FROM larder.epochs ORDER BY namespace")
                .fetch_all(self.db.counted(EPOCHS))
                .await
                .map_err(PostgresFeedError::from)?;
        // CHECKed to be positive.
        Ok(epochs.into_iter().map(|(name, epoch)| (name, epoch.unsigned_abs())).collect())
    }
}

/// Reads the answer of `larder.feed_since`.
fn batch(rows: &[PgRow]) -> Result<Option<Batch>, sqlx::Error> {
    let Some((head, namespaces)) = rows.split_first() else { return Ok(None) };
    let mut batch = Batch {
        changes: Vec::new(),
        epochs: Vec::new(),
        overflown: Vec::new(),
        place: Place::new(head.try_get("next_place")?),
    };
    for row in namespaces {
        let namespace: String = row.try_get("namespace")?;
        let epoch: i32 = row.try_get("epoch")?;
        // CHECKed to be positive, as the counters are.
        let epoch = epoch.unsigned_abs();
        let keys: Option<Vec<String>> = row.try_get("keys")?;
        let counters: Option<Vec<i64>> = row.try_get("counters")?;
        for (key, counter) in keys.into_iter().flatten().zip(counters.into_iter().flatten()) {
            let version = Version::new(epoch, counter.unsigned_abs());
            batch.changes.push(Change { namespace: namespace.clone(), key, version });
        }
        if row.try_get("epoch_moved")? {
            batch.epochs.push((namespace.clone(), epoch));
        }
        if row.try_get("overflown")? {
            batch.overflown.push(namespace);
        }
    }
    Ok(Some(batch))
}
