//! A pool of connections whose statements are all counted.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, Postgres};
use thiserror::Error;

use crate::executor::Counted;
use crate::ledger::Ledger;
use crate::statement::Statement;

/// A connection that lay idle this long is tested before it is used again.
///
/// Testing each time would cost every statement a second round trip; never testing would
/// make the first request after a restart of Postgres pay with an error.
const TEST_AFTER_IDLE: Duration = Duration::from_millis(500);

/// How to reach Postgres, and for how long to wait for it.
#[derive(Clone)]
pub struct DatabaseOptions {
    /// `postgres://user:password@host:port/database`.
    pub url: String,
    /// Connections at most. Too low: requests wait for one; too high: Postgres
    /// spends its time switching between backends.
    pub max_connections: u32,
    /// How long a statement waits for a free connection before it fails.
    pub acquire_timeout: Duration,
    /// How long Postgres lets one statement run before it cancels it itself.
    pub statement_timeout: Duration,
    /// Shown in `pg_stat_activity`.
    pub application_name: String,
    /// Whether a commit wakes the relay of the change feed at once. For writers that publish
    /// nothing themselves: `NOTIFY` takes a lock that the whole server shares until the commit
    /// is done, so a service with many writes publishes them itself and leaves this off.
    pub doorbell: bool,
}

/// Why a [`Database`] could not be opened.
#[derive(Debug, Error)]
pub enum DatabaseError {
    /// The URL cannot be read. The URL itself is not repeated: it may hold a password.
    #[error("url: {0}")]
    Url(#[source] sqlx::Error),
    /// An option has a value that cannot work.
    #[error("{option}: {reason}")]
    Option {
        /// The field of [`DatabaseOptions`].
        option: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// A pool of connections to Postgres that counts every statement in its [`Ledger`].
///
/// There is no way to the bare pool: what could send an uncounted statement is not public.
#[derive(Clone, Debug)]
pub struct Database {
    pool: PgPool,
    ledger: Arc<Ledger>,
}

/// A transaction whose statements are counted. Rolls back when dropped.
///
/// `BEGIN`, `COMMIT` and `ROLLBACK` are utility commands, which neither the ledger nor
/// `pg_stat_statements` (with `track_utility = off`) counts.
#[derive(Debug)]
pub struct Transaction<'c> {
    inner: sqlx::Transaction<'c, Postgres>,
    ledger: Arc<Ledger>,
}

impl DatabaseOptions {
    /// Defaults for `url`: 10 connections, 2 s to get one, 5 s for a statement, no doorbell.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            max_connections: 10,
            acquire_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(5),
            application_name: "larder".to_owned(),
            doorbell: false,
        }
    }
}

impl fmt::Debug for DatabaseOptions {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseOptions")
            .field("application_name", &self.application_name)
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}

impl Database {
    /// A pool that connects when it is first used: Postgres may come up later.
    ///
    /// # Errors
    ///
    /// If an option is unusable; never because Postgres does not answer.
    pub fn new(options: &DatabaseOptions) -> Result<Self, DatabaseError> {
        Self::with_ledger(options, Arc::default())
    }

    /// The same, counting in a ledger that others may count in as well. Postgres counts by
    /// role: pools of one role share a ledger, those of another role have another.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_ledger(
        options: &DatabaseOptions,
        ledger: Arc<Ledger>,
    ) -> Result<Self, DatabaseError> {
        let connect = connect_options(options)?;
        let pool = PgPoolOptions::new()
            .max_connections(options.max_connections)
            .acquire_timeout(options.acquire_timeout)
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    Ok(meta.idle_for < TEST_AFTER_IDLE || connection.ping().await.is_ok())
                })
            })
            .connect_lazy_with(connect);
        Ok(Self { pool, ledger })
    }

    /// Whether `options` can work, without making anything.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn check(options: &DatabaseOptions) -> Result<(), DatabaseError> {
        connect_options(options).map(drop)
    }

    /// An executor for one statement.
    ///
    /// ```no_run
    /// # async fn example(db: &larder_postgres::Database) -> Result<(), sqlx::Error> {
    /// use larder_postgres::{Purpose, Statement};
    /// const READY: Statement = Statement {
    ///     namespace: "", purpose: Purpose::Admin, operation: "SELECT", collection: "products",
    /// };
    /// sqlx::query("SELECT FROM products LIMIT 1").fetch_optional(db.counted(READY)).await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn counted(&self, statement: Statement) -> Counted<&PgPool> {
        Counted::new(&self.pool, statement, Arc::clone(&self.ledger))
    }

    /// Begins a transaction.
    ///
    /// # Errors
    ///
    /// When no connection is to be had within the acquire timeout, or Postgres refuses.
    pub async fn begin(&self) -> Result<Transaction<'static>, sqlx::Error> {
        Ok(Transaction { inner: self.pool.begin().await?, ledger: Arc::clone(&self.ledger) })
    }

    /// How the pool's connections are made: for a connection that sends no statements.
    pub(crate) fn connect_options(&self) -> PgConnectOptions {
        PgConnectOptions::clone(&self.pool.connect_options())
    }

    /// Where the statements are counted.
    #[must_use]
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Closes the pool and waits until its connections are gone.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

impl Transaction<'_> {
    /// An executor for one statement within the transaction.
    #[must_use]
    pub fn counted(&mut self, statement: Statement) -> Counted<&mut PgConnection> {
        Counted::new(&mut self.inner, statement, Arc::clone(&self.ledger))
    }

    /// Makes the transaction's changes permanent.
    ///
    /// # Errors
    ///
    /// When a deferred constraint fails, or the connection is lost. In the latter case it
    /// is not known whether Postgres committed.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        self.inner.commit().await
    }

    /// Undoes the transaction's changes.
    ///
    /// # Errors
    ///
    /// When the connection is lost; Postgres then rolls back by itself.
    pub async fn rollback(self) -> Result<(), sqlx::Error> {
        self.inner.rollback().await
    }
}

/// Checks the options and reads the URL.
fn connect_options(options: &DatabaseOptions) -> Result<PgConnectOptions, DatabaseError> {
    let refuse = |option, reason| Err(DatabaseError::Option { option, reason });
    if options.max_connections == 0 {
        return refuse("max_connections", "must be at least 1");
    }
    if options.acquire_timeout.is_zero() {
        return refuse("acquire_timeout", "must be more than 0");
    }
    if options.statement_timeout.as_millis() == 0 {
        // Postgres reads 0 as "no limit", which nobody means who writes it here.
        return refuse("statement_timeout", "must be at least 1 ms");
    }
    if !["postgres://", "postgresql://"].iter().any(|scheme| options.url.starts_with(scheme)) {
        return refuse("url", "must begin with postgres://");
    }
    let timeout = format!("{}ms", options.statement_timeout.as_millis());
    let doorbell = if options.doorbell { "on" } else { "off" };
    Ok(PgConnectOptions::from_str(&options.url)
        .map_err(DatabaseError::Url)?
        .application_name(&options.application_name)
        .options([("statement_timeout", timeout.as_str()), ("larder.doorbell", doorbell)])
        .disable_statement_logging())
}
