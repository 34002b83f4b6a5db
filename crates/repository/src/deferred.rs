//! Writes that were acknowledged outside of the database: how they are accepted and applied.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use catalog_domain::{Operation, Pending, Refusal, Standing, View};
use jiff::Timestamp;
use larder_postgres::{
    Base, Database, Deferred, Entry, JournalError, Made, Outcome, Purpose, Settled, Sink,
    Statement, Taken, Transaction, Version, apply, gave_way,
};
use sqlx::postgres::PgRow;
use sqlx::{Decode, Postgres, Row, Type};

use crate::journal::{CatalogueApplier, PendingRow, stored};

const BASES: &str = "
    SELECT key, standing::text AS standing, epoch, version, now_us FROM deferred_bases($1)";
const TAKE: &str = "
    SELECT key, standing::text AS standing, applied
    FROM deferred_take($1, $2, $3::text[]::jsonb[])";
const APPLY: &str = "
    SELECT key, error FROM deferred_apply(to_jsonb($1::text[]::jsonb[]))";
const RECORD: &str = "
    SELECT namespace, key, epoch, counter
    FROM larder.record_applied($1, make_interval(secs => $2))";
const FIND: &str = "
    SELECT id, epoch, counter FROM larder.find_applied($1, $2, $3)";
const MADE: &str = "
    SELECT array_agg(a.id) AS ids, f.namespaces, f.keys, f.epochs, f.counters
    FROM larder.applied a JOIN larder.flushes f ON f.id = a.flush
    WHERE a.id = ANY ($1) GROUP BY f.id";

/// How long it is kept which writes were applied: whoever may still have one of them, and ask whether
/// it was, asks within this.
const KEPT: Duration = Duration::from_secs(600);

/// How often a flush is tried that Postgres undoes for the sake of another transaction.
const TRIES: u32 = 3;

/// Applies the catalogue's deferred writes, by the functions of `migrations/0007_deferred.sql`. Its
/// keys are those of [`journal_key`](crate::journal_key).
#[derive(Clone, Debug)]
pub struct CatalogueSink {
    db: Database,
}

/// What is there of a product, when that was asked.
#[derive(Clone, Debug)]
pub struct ProductState {
    /// `None`: there is no such product.
    standing: Option<Standing>,
    now: Timestamp,
}

const fn statement(purpose: Purpose, operation: &'static str) -> Statement {
    Statement { namespace: "", purpose, operation, collection: "larder.applied" }
}

impl CatalogueSink {
    pub(crate) const fn new(db: Database) -> Self {
        Self { db }
    }

    async fn settle_once(&self, writes: &[Deferred<Pending>]) -> Result<Settled, sqlx::Error> {
        let mut transaction = self.db.begin().await?;
        let settled = self.settle_in(&mut transaction, writes).await?;
        transaction.commit().await?;
        Ok(settled)
    }

    async fn settle_in(
        &self,
        transaction: &mut Transaction<'_>,
        writes: &[Deferred<Pending>],
    ) -> Result<Settled, sqlx::Error> {
        let (taken, repeated) = take(transaction, writes).await?;
        let outcome = apply(&CatalogueApplier, APPLY, transaction, &taken, Purpose::Flush).await?;
        let Outcome { applied, changes, refused } = outcome;
        let made = if applied.is_empty() {
            HashMap::new()
        } else {
            let rows = sqlx::query(RECORD)
                .bind(&applied)
                .bind(KEPT.as_secs_f64())
                .fetch_all(transaction.counted(statement(Purpose::Flush, "INSERT")))
                .await?;
            let made = rows.iter().map(|row| {
                let key = (row.try_get("namespace")?, row.try_get("key")?);
                Ok((key, version(row)?))
            });
            made.collect::<Result<_, sqlx::Error>>()?
        };
        let refused = refused.into_iter().map(|(id, why)| (id.unsigned_abs(), why));
        Ok(Settled {
            applied: applied.into_iter().map(i64::unsigned_abs).collect(),
            repeated: repeated.into_iter().map(i64::unsigned_abs).collect(),
            refused: refused.collect(),
            changes,
            made,
        })
    }
}

/// Locks what is free of the products of `writes`: what there is to apply, and what was before.
async fn take(
    transaction: &mut Transaction<'_>,
    writes: &[Deferred<Pending>],
) -> Result<(Vec<Taken>, Vec<i64>), sqlx::Error> {
    let ids: Vec<i64> = writes.iter().map(|write| signed(write.id)).collect();
    let keys: Vec<&str> = writes.iter().map(|write| write.key.as_str()).collect();
    let operations: Vec<String> =
        writes.iter().map(|write| stored::write(&write.entry.operation)).collect();
    let rows = sqlx::query(TAKE)
        .bind(&ids)
        .bind(&keys)
        .bind(&operations)
        .fetch_all(transaction.counted(statement(Purpose::Flush, "SELECT")))
        .await?;
    let mut by_key: BTreeMap<String, (Option<String>, HashSet<i64>)> = BTreeMap::new();
    for row in &rows {
        let applied: Vec<i64> = row.try_get("applied")?;
        let what = (row.try_get("standing")?, applied.into_iter().collect());
        by_key.insert(row.try_get("key")?, what);
    }
    let mut taken: BTreeMap<&str, Taken> = BTreeMap::new();
    let mut repeated = Vec::new();
    for ((write, id), operation) in writes.iter().zip(ids).zip(operations) {
        let Some((standing, applied)) = by_key.get(&write.key) else { continue };
        if applied.contains(&id) {
            repeated.push(id);
            continue;
        }
        let of_key = taken.entry(&write.key).or_insert_with(|| Taken {
            key: write.key.clone(),
            standing: standing.clone(),
            entries: Vec::new(),
        });
        let at_us = write.entry.at.as_microsecond();
        of_key.entries.push(Entry { position: id, operation, at_us });
    }
    Ok((taken.into_values().collect(), repeated))
}

impl Sink for CatalogueSink {
    type Operation = Operation;
    type Entry = Pending;
    type Refusal = Refusal;
    type State = ProductState;

    async fn bases(&self, keys: &[String]) -> Result<Vec<Base<ProductState>>, JournalError> {
        let rows = sqlx::query(BASES)
            .bind(keys)
            .fetch_all(self.db.counted(statement(Purpose::Write, "SELECT")))
            .await
            .map_err(failed)?;
        rows.iter().map(base).collect()
    }

    fn lay(state: &mut ProductState, waiting: &[Pending]) {
        if let Some(standing) = &mut state.standing {
            for entry in waiting {
                // What cannot be done shows nothing, and will be set aside.
                let _ = standing.apply(&entry.operation, entry.at);
            }
        }
    }

    fn accept(state: &mut ProductState, operation: &Operation) -> Result<Pending, Refusal> {
        let now = state.now;
        state.standing.as_mut().ok_or(Refusal::Absent)?.apply(operation, now)?;
        Ok(Pending { operation: operation.clone(), at: now })
    }

    async fn settle(&self, writes: &[Deferred<Pending>]) -> Result<Settled, JournalError> {
        let mut tries = 1;
        loop {
            match self.settle_once(writes).await {
                Err(error) if tries < TRIES && gave_way(&error) => tries += 1,
                answer => return answer.map_err(failed),
            }
        }
    }

    async fn applied(
        &self,
        ids: &[u64],
        namespace: &str,
        key: &str,
    ) -> Result<HashMap<u64, Option<Version>>, JournalError> {
        let ids: Vec<i64> = ids.iter().map(|id| signed(*id)).collect();
        let rows = sqlx::query(FIND)
            .bind(ids)
            .bind(namespace)
            .bind(key)
            .fetch_all(self.db.counted(statement(Purpose::Admin, "SELECT")))
            .await
            .map_err(failed)?;
        let fate = |row: &PgRow| {
            let touched: Option<i64> = row.try_get("counter")?;
            let version = touched.map(|_| version(row)).transpose()?;
            Ok((row.try_get::<i64, _>("id")?.unsigned_abs(), version))
        };
        rows.iter().map(fate).collect::<Result<_, sqlx::Error>>().map_err(failed)
    }

    async fn made(&self, ids: &[u64]) -> Result<HashMap<u64, Arc<Made>>, JournalError> {
        let ids: Vec<i64> = ids.iter().map(|id| signed(*id)).collect();
        let rows = sqlx::query(MADE)
            .bind(ids)
            .fetch_all(self.db.counted(statement(Purpose::Flush, "SELECT")))
            .await
            .map_err(failed)?;
        let mut found = HashMap::new();
        for row in &rows {
            let (ids, made) = made(row).map_err(failed)?;
            let made = Arc::new(made);
            found.extend(ids.into_iter().map(|id| (id.unsigned_abs(), Arc::clone(&made))));
        }
        Ok(found)
    }

    fn keep(entry: &Pending) -> Vec<u8> {
        let (operation, at) = (stored::write(&entry.operation), entry.at.as_microsecond());
        format!(r#"{{"operation":{operation},"at":{at}}}"#).into_bytes()
    }

    fn restore(kept: &[u8]) -> Result<Pending, String> {
        let row: PendingRow = serde_json::from_slice(kept).map_err(|error| error.to_string())?;
        row.checked()
    }

    fn spell(entry: &Pending) -> String {
        stored::write(&entry.operation)
    }
}

/// The writes of a flush, and what it has made newer.
fn made(row: &PgRow) -> Result<(Vec<i64>, Made), sqlx::Error> {
    let (namespaces, keys): (Vec<String>, Vec<String>) =
        (row.try_get("namespaces")?, row.try_get("keys")?);
    let (epochs, counters): (Vec<i32>, Vec<i64>) =
        (row.try_get("epochs")?, row.try_get("counters")?);
    let versions = epochs.into_iter().zip(counters);
    // Both columns are of columns that are CHECKed to be positive.
    let versions =
        versions.map(|(epoch, counter)| Version::new(epoch.unsigned_abs(), counter.unsigned_abs()));
    Ok((row.try_get("ids")?, namespaces.into_iter().zip(keys).zip(versions).collect()))
}

fn base(row: &PgRow) -> Result<Base<ProductState>, JournalError> {
    let standing: Option<String> = column(row, "standing")?;
    let standing = standing.map(|json| stored::standing(&json)).transpose();
    let standing = standing.map_err(|problem| {
        JournalError(format!("the product's data is wrong: {problem}").into())
    })?;
    let now = Timestamp::from_microsecond(column(row, "now_us")?)
        .map_err(|error| JournalError(Box::new(error)))?;
    let (epoch, counter): (i32, i64) = (column(row, "epoch")?, column(row, "version")?);
    Ok(Base {
        value: ProductState { standing, now },
        namespace: View::ProductPage.namespace().to_owned(),
        key: column(row, "key")?,
        // Both columns are CHECKed to be positive.
        version: Version::new(epoch.unsigned_abs(), counter.unsigned_abs()),
    })
}

fn column<'r, T: Decode<'r, Postgres> + Type<Postgres>>(
    row: &'r PgRow,
    name: &str,
) -> Result<T, JournalError> {
    row.try_get(name).map_err(failed)
}

/// The columns `epoch` and `counter`.
fn version(row: &PgRow) -> Result<Version, sqlx::Error> {
    let (epoch, counter): (i32, i64) = (row.try_get("epoch")?, row.try_get("counter")?);
    // Both columns are CHECKed to be positive.
    Ok(Version::new(epoch.unsigned_abs(), counter.unsigned_abs()))
}

fn signed(id: u64) -> i64 {
    i64::try_from(id).expect("ids are below 2^63")
}

fn failed(error: sqlx::Error) -> JournalError {
    JournalError(Box::new(error))
}
