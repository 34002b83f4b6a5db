//! Statements, counted twice: by the application and by Postgres.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use sqlx::{Connection, PgConnection};

use crate::bed::Api;
use crate::load::Client;

/// Between two looks at counters that move.
const PAUSE: Duration = Duration::from_millis(50);

/// All counters at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    totals: Totals,
    loads: u64,
    postgres: u64,
    round_trips: u64,
    l1: Lookups,
    l2: Lookups,
}

/// Lookups in one tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lookups {
    /// Those it answered, be it with a stale value or with "there is none".
    pub hits: u64,
    /// Those it did not.
    pub misses: u64,
}

/// What was counted between two moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Statements the application counted as completed.
    pub counted: u64,
    /// Of those, loads: reads that a cache could answer.
    pub loads: u64,
    /// Statements whose outcome the application does not know.
    pub unknown: u64,
    /// Statements refused or never sent.
    pub failed: u64,
    /// Statements that Postgres counted for the application's role.
    pub postgres: u64,
    /// Commands sent to Redis.
    pub round_trips: u64,
    /// Lookups in the service's process.
    pub l1: Lookups,
    /// Lookups in Redis.
    pub l2: Lookups,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
struct Totals {
    completed: u64,
    failed: u64,
    unknown: u64,
    in_flight: u64,
}

impl Snapshot {
    /// Reads all counters of `api`, once nothing waits in the journal or is in flight any more.
    ///
    /// # Errors
    ///
    /// When the API or Postgres does not answer, or statements stay in flight.
    pub async fn take(api: &Api) -> Result<Self> {
        let mut client = api.client();
        if api.settings().strategy == "write-behind" {
            flushed(&mut client).await?;
        }
        let mut tries = 0;
        let (totals, rows, postgres) = loop {
            let (totals, rows) = statements(&mut client).await?;
            let postgres = postgres_count(api).await?;
            // A process that writes behind asks its journal now and then: both counts of one moment.
            if totals.in_flight == 0 && statements(&mut client).await?.0 == totals {
                break (totals, rows, postgres);
            }
            tries += 1;
            ensure!(tries < 200, "statements stay in flight: {totals:?}");
            tokio::time::sleep(PAUSE).await;
        };
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        let rows = rows.as_array().context("/admin/queries has rows")?;
        let loads = rows.iter().filter(|row| row["purpose"] == "load");
        let loads = loads.map(|row| number(&row["completed"])).sum();
        let cache: Value = serde_json::from_slice(&client.fetch("/admin/cache").await?)?;
        let namespaces = cache["namespaces"].as_array().context("/admin/cache has namespaces")?;
        let sum = |tier: &str, field: &str| -> u64 {
            namespaces.iter().map(|n| number(&n[tier][field])).sum()
        };
        let lookups = |tier| Lookups {
            hits: ["hits", "stale", "negative"].into_iter().map(|field| sum(tier, field)).sum(),
            misses: sum(tier, "misses"),
        };
        Ok(Self {
            totals,
            loads,
            postgres,
            round_trips: number(&cache["redis_round_trips"]),
            l1: lookups("l1"),
            l2: lookups("l2"),
        })
    }

    /// What was counted since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Counts {
        Counts {
            counted: self.totals.completed - earlier.totals.completed,
            loads: self.loads - earlier.loads,
            unknown: self.totals.unknown - earlier.totals.unknown,
            failed: self.totals.failed - earlier.totals.failed,
            postgres: self.postgres - earlier.postgres,
            round_trips: self.round_trips - earlier.round_trips,
            l1: self.l1.since(earlier.l1),
            l2: self.l2.since(earlier.l2),
        }
    }
}

impl Counts {
    /// Fails unless both counts agree: Postgres's lies between completed and completed plus
    /// unknown.
    ///
    /// # Errors
    ///
    /// With the numbers.
    pub fn agree(&self) -> Result<()> {
        ensure!(
            (self.counted..=self.counted + self.unknown).contains(&self.postgres),
            "the counts disagree: the application counted {} statements (and {} of unknown \
             outcome), Postgres {}",
            self.counted,
            self.unknown,
            self.postgres
        );
        Ok(())
    }
}

impl Lookups {
    fn since(self, earlier: Self) -> Self {
        Self { hits: self.hits - earlier.hits, misses: self.misses - earlier.misses }
    }

    /// The part that was answered; `None` without lookups.
    #[must_use]
    pub fn hit_ratio(self) -> Option<f64> {
        let lookups = self.hits + self.misses;
        (lookups > 0).then(|| self.hits as f64 / lookups as f64)
    }
}

async fn statements(client: &mut Client) -> Result<(Totals, Value)> {
    let shown: Value = serde_json::from_slice(&client.fetch("/admin/queries").await?)?;
    Ok((serde_json::from_value(shown["totals"].clone())?, shown["rows"].clone()))
}

/// Waits until what was written behind is in the tables.
async fn flushed(client: &mut Client) -> Result<()> {
    let mut tries = 0;
    loop {
        let shown: Value = serde_json::from_slice(&client.fetch("/admin/journal").await?)?;
        if shown["depth"] == 0 {
            return Ok(());
        }
        tries += 1;
        ensure!(tries < 1_200, "writes stay in the journal: {shown}");
        tokio::time::sleep(PAUSE).await;
    }
}

async fn postgres_count(api: &Api) -> Result<u64> {
    let mut admin = PgConnection::connect(api.admin_url()).await?;
    let (calls, dealloc): (i64, i64) = sqlx::query_as(
        "SELECT coalesce(sum(s.calls), 0)::bigint, (SELECT dealloc FROM pg_stat_statements_info)
         FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid WHERE r.rolname = $1",
    )
    .bind(api.role())
    .fetch_one(&mut admin)
    .await
    .context("pg_stat_statements")?;
    admin.close().await?;
    ensure!(dealloc == 0, "pg_stat_statements has thrown statements away: raise its max");
    Ok(calls.unsigned_abs())
}
