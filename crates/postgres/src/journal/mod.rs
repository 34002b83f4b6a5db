//! The durable journal: a table of Postgres.

mod applier;
mod letters;
mod settle;

use std::time::Duration;

use larder::{
    CrashAt, CrashPoint, DeadLetter, FlushOptions, Flushed, Journal, JournalError, JournalState,
    Journaled, Version, Write, WriteState,
};
use sqlx::postgres::PgRow;
use sqlx::{Executor, Postgres, Row};

use crate::database::Database;
use crate::statement::Purpose;

pub use self::applier::{Applier, Coalesced, Entry, Refused, Taken};
use self::settle::statement;
pub use self::settle::{Outcome, apply, settle, taken};

/// How often an append is tried that Postgres undoes for the sake of another transaction.
const TRIES: u32 = 3;

/// A [`Journal`] in the table `larder.journal`, applied by an [`Applier`].
///
/// An append is one statement, and a flush two (three or more where an entry cannot be applied),
/// each in a transaction of its own. One database has one journal.
#[derive(Clone, Debug)]
pub struct PostgresJournal<A> {
    db: Database,
    applier: A,
    crash: CrashAt,
}

impl<A: Applier> PostgresJournal<A> {
    /// The journal in `db`, whose schema must be migrated.
    #[must_use]
    pub const fn new(db: Database, applier: A) -> Self {
        Self { db, applier, crash: CrashAt::NEVER }
    }

    /// The same journal, which ends the process where `at` says: for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn crashing(self, at: CrashAt) -> Self {
        Self { crash: at, ..self }
    }

    /// Where its statements are counted.
    #[must_use]
    pub const fn database(&self) -> &Database {
        &self.db
    }

    async fn flush_once(&self, options: &FlushOptions) -> Result<Flushed, sqlx::Error> {
        let entries = i32::try_from(options.entries).unwrap_or(i32::MAX);
        let mut transaction = self.db.begin().await?;
        let rows = sqlx::query(A::TAKE)
            .bind(entries)
            .fetch_all(transaction.counted(statement(Purpose::Flush)))
            .await?;
        let keys: Vec<Taken> =
            rows.iter().map(|row| taken(row, row.try_get("key")?)).collect::<Result<_, _>>()?;
        let flushed =
            settle(&self.applier, &mut transaction, &keys, options, Purpose::Flush).await?;
        if flushed.entries > 0 {
            self.crash.pass(CrashPoint::BeforeFlushCommit);
        }
        transaction.commit().await?;
        Ok(flushed)
    }
}

/// What became of each of `writes`, keys and operations, by the rows that [`Applier::APPEND`] returned.
async fn append<'e, R>(
    sql: &'static str,
    executor: impl Executor<'e, Database = Postgres>,
    writes: &[(String, String)],
    refusal: impl Fn(usize, &Refused) -> R,
) -> Result<Vec<Result<Journaled, R>>, sqlx::Error> {
    let (keys, operations): (Vec<&str>, Vec<&str>) =
        writes.iter().map(|(key, operation)| (key.as_str(), operation.as_str())).unzip();
    let rows = sqlx::query(sql).bind(keys).bind(operations).fetch_all(executor).await?;
    let answer = |(index, row): (usize, &PgRow)| {
        Ok(match row.try_get::<Option<i64>, _>("position")? {
            Some(position) => {
                Ok(Journaled { position: position.unsigned_abs(), changes: changes(row)? })
            }
            None => Err(refusal(
                index,
                &Refused {
                    rule: row.try_get("refusal")?,
                    list: row.try_get("list")?,
                    part: row.try_get("sku")?,
                },
            )),
        })
    };
    rows.iter().enumerate().map(answer).collect()
}

/// The keys that a write changes, from the columns of a row.
fn changes(row: &PgRow) -> Result<Vec<(String, String, Version)>, sqlx::Error> {
    let namespaces: Vec<String> = row.try_get("namespaces")?;
    let keys: Vec<String> = row.try_get("changed")?;
    let epochs: Vec<i32> = row.try_get("epochs")?;
    let counters: Vec<i64> = row.try_get("counters")?;
    let versions = epochs
        .into_iter()
        .zip(counters)
        // Both columns are CHECKed to be positive.
        .map(|(epoch, counter)| Version::new(epoch.unsigned_abs(), counter.unsigned_abs()));
    let named = namespaces.into_iter().zip(keys).zip(versions);
    Ok(named.map(|((namespace, key), version)| (namespace, key, version)).collect())
}

impl<A: Applier> Journal for PostgresJournal<A> {
    type Operation = A::Operation;
    type Refusal = A::Refusal;

    async fn append(
        &self,
        writes: &[Write<A::Operation>],
    ) -> Result<Vec<Result<Journaled, A::Refusal>>, JournalError> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        let stored: Vec<(String, String)> = writes
            .iter()
            .map(|write| (write.key.clone(), self.applier.write(&write.operation)))
            .collect();
        let refusal =
            |index: usize, why: &Refused| self.applier.refusal(&writes[index].operation, why);
        let mut tries = 1;
        loop {
            let executor = self.db.counted(statement(Purpose::Write));
            match append(A::APPEND, executor, &stored, &refusal).await {
                Err(error) if tries < TRIES && gave_way(&error) => tries += 1,
                answer => return answer.map_err(failed),
            }
        }
    }

    async fn flush(&self, options: &FlushOptions) -> Result<Flushed, JournalError> {
        self.flush_once(options).await.map_err(failed)
    }

    async fn state(&self) -> Result<JournalState, JournalError> {
        letters::state(&self.db).await.map_err(failed)
    }

    async fn find(&self, position: u64) -> Result<Option<WriteState>, JournalError> {
        letters::find(&self.db, position).await.map_err(failed)
    }

    async fn dead_letters(&self, most: usize) -> Result<Vec<DeadLetter>, JournalError> {
        letters::list(&self.db, most).await.map_err(failed)
    }

    async fn dead_letter(&self, position: u64) -> Result<Option<DeadLetter>, JournalError> {
        letters::one(&self.db, position).await.map_err(failed)
    }

    async fn replay(&self, position: u64) -> Result<Option<Journaled>, JournalError> {
        letters::replay::<A>(&self.db, position).await
    }

    async fn discard(&self, position: u64) -> Result<bool, JournalError> {
        letters::discard(&self.db, position).await.map_err(failed)
    }
}

/// Whether Postgres undid a transaction for the sake of another. Everything of this crate locks in one
/// order, but a transaction of somebody else's may not, and a deadlock takes whom it finds.
///
/// Nothing of it was done, so it may be made again.
#[must_use]
pub fn gave_way(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code == "40P01" || code == "40001")
}

fn failed(error: sqlx::Error) -> JournalError {
    JournalError(Box::new(error))
}

/// A span that Postgres gave in µs. A clock that was set back makes it 0.
fn span(us: i64) -> Duration {
    Duration::from_micros(us.try_into().unwrap_or(0))
}
