//! How many connections a service's roles hold to Postgres.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How often they are counted.
const INTERVAL: Duration = Duration::from_millis(250);

/// Counts connections until it is asked for the most.
#[derive(Debug)]
pub(super) struct ConnectionCount {
    stop: watch::Sender<bool>,
    most: JoinHandle<sqlx::Result<u64>>,
}

impl ConnectionCount {
    /// Begins to count those of `roles`.
    pub(super) fn start(admin_url: &str, roles: Vec<String>) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let url = admin_url.to_owned();
        let most = tokio::spawn(async move {
            let mut admin = PgConnection::connect(&url).await?;
            let mut most = 0;
            loop {
                let now: i64 = sqlx::query_scalar(
                    "SELECT count(*) FROM pg_stat_activity WHERE usename = ANY ($1)",
                )
                .bind(&roles)
                .fetch_one(&mut admin)
                .await?;
                most = most.max(now.unsigned_abs());
                let waited = tokio::time::timeout(INTERVAL, stopped.changed()).await;
                if waited.is_ok() {
                    admin.close().await?;
                    return Ok(most);
                }
            }
        });
        Self { stop, most }
    }

    /// The most at any moment.
    pub(super) async fn stop(self) -> sqlx::Result<u64> {
        self.stop.send_replace(true);
        self.most.await.expect("counting does not panic")
    }
}
