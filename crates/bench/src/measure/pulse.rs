//! How unevenly a service asks Postgres: the most statements in a short while.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// The while.
const WINDOW: Duration = Duration::from_millis(250);

/// Reads the count of statements once in each window until it is asked for the most.
#[derive(Debug)]
pub(super) struct Pulse {
    stop: watch::Sender<bool>,
    most: JoinHandle<sqlx::Result<u64>>,
}

impl Pulse {
    /// Begins to look at those of `roles`, as Postgres counts them.
    pub(super) fn start(admin_url: &str, roles: Vec<String>) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let url = admin_url.to_owned();
        let most = tokio::spawn(async move {
            let mut admin = PgConnection::connect(&url).await?;
            let mut ticks = interval(WINDOW);
            // A look that comes late makes a longer window: the next one is not to be shorter.
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let (mut last, mut most) = (None::<i64>, 0);
            loop {
                let ended = tokio::select! {
                    _ = ticks.tick() => false,
                    _ = stopped.changed() => true,
                };
                let now: i64 = sqlx::query_scalar(
                    "SELECT coalesce(sum(s.calls), 0)::bigint
                     FROM pg_stat_statements(false) s JOIN pg_roles r ON r.oid = s.userid
                     WHERE r.rolname = ANY ($1)",
                )
                .bind(&roles)
                .fetch_one(&mut admin)
                .await?;
                if let Some(last) = last {
                    most = most.max((now - last).unsigned_abs());
                }
                last = Some(now);
                if ended {
                    admin.close().await?;
                    return Ok(most);
                }
            }
        });
        Self { stop, most }
    }

    /// The most within one window.
    pub(super) async fn stop(self) -> sqlx::Result<u64> {
        self.stop.send_replace(true);
        self.most.await.expect("looking does not panic")
    }
}
