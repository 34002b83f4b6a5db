//! Hears that something was committed, so that nobody need ask all the time.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Executor;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// What `larder.ring` notifies.
const CHANNEL: &str = "larder_feed";

/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_secs(1);

/// After so long without a sound, whether the connection still lives is asked.
const SILENCE: Duration = Duration::from_secs(30);

/// How long that answer, or a new connection, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Listens on a connection of its own until it is dropped.
///
/// It sends nothing but `LISTEN`, which is no statement: neither a ledger nor
/// `pg_stat_statements` (with `track_utility = off`) counts it.
#[derive(Debug)]
pub(crate) struct Doorbell {
    rung: Arc<Notify>,
    listener: JoinHandle<()>,
}

impl Doorbell {
    /// Begins to listen. Needs a Tokio runtime.
    pub(crate) fn hang(connect: PgConnectOptions) -> Self {
        let rung = Arc::new(Notify::new());
        let listener = tokio::spawn(listen(connect, Arc::clone(&rung)));
        Self { rung, listener }
    }

    /// Ends when the bell was rung since this last ended, however often, or may have been.
    pub(crate) async fn rung(&self) {
        self.rung.notified().await;
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn listen(connect: PgConnectOptions, rung: Arc<Notify>) {
    let mut deaf = false;
    loop {
        let Err(error) = hear(&connect, &rung, &mut deaf).await;
        // Once for each outage: the feed is read without the bell as well.
        if !std::mem::replace(&mut deaf, true) {
            tracing::warn!(error = %error, "the change feed's doorbell is not heard");
        }
        sleep(PAUSE).await;
    }
}

/// Rings until the connection is lost.
async fn hear(
    connect: &PgConnectOptions,
    rung: &Notify,
    deaf: &mut bool,
) -> Result<Infallible, sqlx::Error> {
    // A pool each time: a connection that hangs would keep its place in the old one.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(PATIENCE)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_lazy_with(connect.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    in_time(listener.listen(CHANNEL)).await?;
    *deaf = false;
    // What was committed before has rung for nobody.
    rung.notify_one();
    loop {
        match timeout(SILENCE, listener.try_recv()).await {
            Ok(Ok(Some(_))) => rung.notify_one(),
            Ok(Ok(None)) => return Err(lost(io::ErrorKind::ConnectionAborted)),
            Ok(Err(error)) => return Err(error),
            // A line that was cut without a word is as silent as a quiet evening.
            Err(_) => in_time(listener.execute("LISTEN larder_feed")).await.map(drop)?,
        }
    }
}

async fn in_time<T>(
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    timeout(PATIENCE, answer).await.unwrap_or_else(|_| Err(lost(io::ErrorKind::TimedOut)))
}

fn lost(kind: io::ErrorKind) -> sqlx::Error {
    sqlx::Error::Io(kind.into())
}
