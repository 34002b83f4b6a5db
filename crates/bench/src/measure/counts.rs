//! Statements, counted twice: by the application and by Postgres; and what else the application
//! counts.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sqlx::{Connection, PgConnection};

use super::staleness::Staleness;
use crate::bed::Api;
use crate::load::Client;

/// Between two looks at counters that move.
const PAUSE: Duration = Duration::from_millis(50);
/// How often a moment without statements is waited for.
const TRIES: u32 = 200;
/// How often an empty journal is.
const FLUSH_TRIES: u32 = 1_200;

/// All counters of some processes at one moment, of each on its own: every process has a database role
/// of its own.
#[derive(Clone, Debug, Default)]
pub struct Snapshot(Vec<Counts>);

/// Lookups in one tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lookups {
    /// Those it answered, be it with a stale value or with "there is none".
    pub hits: u64,
    /// Those it did not.
    pub misses: u64,
}

/// What was counted between two moments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// Statements the application counted as completed.
    pub counted: u64,
    /// Of those, loads: reads that a cache could answer.
    pub loads: u64,
    /// Of those, the ones that shadow reads made: they are the measurement's, not the cache's.
    pub sampled: u64,
    /// Statements whose outcome the application does not know.
    pub unknown: u64,
    /// Statements refused or never sent.
    pub failed: u64,
    /// Statements that Postgres counted for the application's roles.
    pub postgres: u64,
    /// By how many statements both counts disagree, process by process: what one process has too many
    /// does not make up for what another lacks.
    pub apart: u64,
    /// Statements of the processes' change feeds, which have roles of their own: in no other count.
    pub relay: u64,
    /// Rows that Postgres returned or changed for them.
    pub rows: u64,
    /// Commands sent to Redis.
    pub round_trips: u64,
    /// Lookups in the service's processes.
    pub l1: Lookups,
    /// Lookups in Redis.
    pub l2: Lookups,
    /// Requests that joined a load of their own process …
    pub coalesced_process: u64,
    /// … and loads that waited for another process's instead.
    pub coalesced_cluster: u64,
    /// How old sampled answers were.
    pub staleness: Staleness,
    /// Bytes in the processes' L1 at the end.
    pub l1_bytes: u64,
}

/// What the application says of its statements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ledger {
    completed: u64,
    failed: u64,
    unknown: u64,
    in_flight: u64,
    loads: u64,
    /// Of the change feed, which asks on whether anybody reads or not.
    relay: u64,
}

impl Snapshot {
    /// Reads all counters of `apis`, once nothing waits in the journal or is in flight any more.
    ///
    /// # Errors
    ///
    /// When an API or Postgres does not answer, or statements stay in flight.
    pub async fn take(apis: &[Api]) -> Result<Self> {
        let mut each = Vec::new();
        for api in apis {
            each.push(of(api).await?);
        }
        Ok(Self(each))
    }

    /// What was counted since `earlier`, a snapshot of the same processes.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Counts {
        let each = self.0.iter().zip(&earlier.0).map(|(now, then)| now.since(then));
        each.fold(Counts::default(), |sum, one| sum.plus(&one))
    }
}

/// All counters of one process.
async fn of(api: &Api) -> Result<Counts> {
    let mut client = api.client();
    if api.settings().strategy == "write-behind" {
        flushed(&mut client).await?;
    }
    let mut tries = 0;
    let (ledger, (postgres, rows)) = loop {
        let ledger = Ledger::of(&client.fetch("/admin/queries").await?)?;
        if ledger.in_flight == 0 {
            let counted = postgres_count(api).await?;
            // A process that writes behind asks its journal now and then: both counts of one moment.
            if Ledger::of(&client.fetch("/admin/queries").await?)?.is_still(&ledger) {
                break (ledger, counted);
            }
        }
        tries += 1;
        ensure!(tries < TRIES, "statements stay in flight: {ledger:?}");
        tokio::time::sleep(PAUSE).await;
    };
    let cache: Value = serde_json::from_slice(&client.fetch("/admin/cache").await?)?;
    let namespaces = cache["namespaces"].as_array().context("/admin/cache has namespaces")?;
    let sum = |path: &str| -> u64 { namespaces.iter().map(|n| number(n.pointer(path))).sum() };
    let lookups = |tier: &str| Lookups {
        hits: ["hits", "stale", "negative"]
            .iter()
            .map(|name| sum(&format!("/{tier}/{name}")))
            .sum(),
        misses: sum(&format!("/{tier}/misses")),
    };
    let metrics = client.fetch("/metrics").await?;
    let staleness = Staleness::parse(&String::from_utf8_lossy(&metrics))?;
    Ok(Counts {
        counted: ledger.completed,
        loads: ledger.loads,
        sampled: staleness.sampled(),
        unknown: ledger.unknown,
        failed: ledger.failed,
        postgres,
        apart: 0,
        relay: ledger.relay,
        rows,
        round_trips: number(cache.get("redis_round_trips")),
        l1: lookups("l1"),
        l2: lookups("l2"),
        coalesced_process: sum("/coalesced/process"),
        coalesced_cluster: sum("/coalesced/cluster"),
        staleness,
        l1_bytes: sum("/l1_bytes"),
    })
}

impl Ledger {
    /// Out of what `/admin/queries` shows.
    fn of(body: &[u8]) -> Result<Self> {
        let shown: Value = serde_json::from_slice(body)?;
        let rows = shown["rows"].as_array().context("/admin/queries has rows")?;
        let loads = rows.iter().filter(|row| row["purpose"] == "load");
        let total = |name: &str| number(shown["totals"].get(name));
        Ok(Self {
            completed: total("completed"),
            failed: total("failed"),
            unknown: total("unknown"),
            in_flight: total("in_flight"),
            loads: loads.map(|row| number(row.get("completed"))).sum(),
            relay: number(shown["feed"].get("completed")),
        })
    }

    /// Whether the application has sent nothing since `earlier`.
    fn is_still(&self, earlier: &Self) -> bool {
        Self { relay: earlier.relay, ..*self } == *earlier
    }
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
        ensure!(tries < FLUSH_TRIES, "writes stay in the journal: {shown}");
        tokio::time::sleep(PAUSE).await;
    }
}

fn number(value: Option<&Value>) -> u64 {
    value.and_then(Value::as_u64).unwrap_or(0)
}

impl Counts {
    /// Both together, as of different processes.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a + b, self.l1_bytes + other.l1_bytes)
    }

    fn combine(&self, other: &Self, with: impl Fn(u64, u64) -> u64, l1_bytes: u64) -> Self {
        let lookups = |a: Lookups, b: Lookups| Lookups {
            hits: with(a.hits, b.hits),
            misses: with(a.misses, b.misses),
        };
        Self {
            counted: with(self.counted, other.counted),
            loads: with(self.loads, other.loads),
            sampled: with(self.sampled, other.sampled),
            unknown: with(self.unknown, other.unknown),
            failed: with(self.failed, other.failed),
            postgres: with(self.postgres, other.postgres),
            apart: with(self.apart, other.apart),
            relay: with(self.relay, other.relay),
            rows: with(self.rows, other.rows),
            round_trips: with(self.round_trips, other.round_trips),
            l1: lookups(self.l1, other.l1),
            l2: lookups(self.l2, other.l2),
            coalesced_process: with(self.coalesced_process, other.coalesced_process),
            coalesced_cluster: with(self.coalesced_cluster, other.coalesced_cluster),
            staleness: self.staleness.combine(&other.staleness, &with),
            l1_bytes,
        }
    }

    /// What one process has counted since `earlier`. Postgres's count must lie between completed and
    /// completed plus unknown.
    fn since(&self, earlier: &Self) -> Self {
        let counts = self.combine(earlier, |now, then| now.saturating_sub(then), self.l1_bytes);
        Self { apart: apart(counts.counted, counts.unknown, counts.postgres), ..counts }
    }
}

/// By how many statements Postgres's count lies outside of what the application allows: all that it
/// completed, and none but some of those of unknown outcome beside them.
pub(crate) const fn apart(completed: u64, unknown: u64, postgres: u64) -> u64 {
    let most = completed + unknown;
    completed.saturating_sub(postgres) + postgres.saturating_sub(most)
}

impl Lookups {
    /// All of them.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.hits + self.misses
    }

    /// The part that was answered; `None` without lookups.
    #[must_use]
    pub fn hit_ratio(self) -> Option<f64> {
        let lookups = self.count();
        (lookups > 0).then(|| self.hits as f64 / lookups as f64)
    }
}

/// Statements and rows of the role of `api`.
async fn postgres_count(api: &Api) -> Result<(u64, u64)> {
    let mut admin = PgConnection::connect(api.admin_url()).await?;
    let (calls, rows, dealloc): (i64, i64, i64) = sqlx::query_as(
        "SELECT coalesce(sum(s.calls), 0)::bigint, coalesce(sum(s.rows), 0)::bigint,
                (SELECT dealloc FROM pg_stat_statements_info)
         FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid WHERE r.rolname = $1",
    )
    .bind(api.role())
    .fetch_one(&mut admin)
    .await
    .context("pg_stat_statements")?;
    admin.close().await?;
    ensure!(dealloc == 0, "pg_stat_statements has thrown statements away: raise its max");
    Ok((calls.unsigned_abs(), rows.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(counted: u64, unknown: u64, postgres: u64) -> Counts {
        Counts { counted, unknown, postgres, ..Counts::default() }
    }

    #[test]
    fn counts_of_processes_add_up() {
        let one = Counts { l1_bytes: 10, ..counts(7, 1, 8) };
        let two = Counts { loads: 3, l1_bytes: 1, relay: 4, ..counts(5, 0, 5) };
        let both = Snapshot(vec![one, two]).since(&Snapshot(vec![Counts::default(); 2]));
        assert_eq!((both.counted, both.postgres, both.loads, both.l1_bytes), (12, 13, 3, 11));
        // One is of unknown outcome; the feed's are on top.
        assert_eq!((both.apart, both.relay), (0, 4));
        let begun = Snapshot(vec![Counts { l1_bytes: 10, ..counts(7, 1, 8) }]);
        let later = Snapshot(vec![Counts { l1_bytes: 4, ..counts(9, 1, 10) }]).since(&begun);
        assert_eq!((later.counted, later.postgres, later.unknown), (2, 2, 0));
        assert_eq!(later.l1_bytes, 4, "what is there at the end");
    }

    #[test]
    fn what_one_process_lacks_another_does_not_make_up_for() {
        let begun = Snapshot(vec![counts(10, 0, 10), counts(10, 0, 10)]);
        let apart = |one: Counts, two: Counts| Snapshot(vec![one, two]).since(&begun).apart;
        assert_eq!(apart(counts(15, 0, 15), counts(12, 0, 12)), 0);
        assert_eq!(apart(counts(15, 1, 16), counts(12, 1, 12)), 0);
        assert_eq!(apart(counts(15, 0, 16), counts(12, 0, 11)), 2);
        assert_eq!(apart(counts(15, 1, 18), counts(12, 0, 12)), 2);
    }
}
